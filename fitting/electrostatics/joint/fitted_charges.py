"""Models with charges that were fitted with them: from a request to a folder, and from a folder to a calculator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from ase.calculators.calculator import Calculator

from ...backends import native_resources, report_of, sparse_points_of_model, time_check
from ...gap_fit import POTENTIAL_FILE
from ...kinds.base import FitReport, FitRequest
from ...native.descriptor_strings import SoapDescriptor
from ...native.gap_xml import GapModel, read_gap_xml
from ...native.sparse_fit.fit_inputs import FitInputs
from ...settings import GapSettings
from ..charges_file import CHARGES_FILE, read_charges
from ..coulomb.clouds import cloud_table
from .charged_calculator import ChargedGapCalculator
from .charged_fit import ChargedFitSettings, run_charged_fit

__all__: Final = ["fit_with_gap", "load_with_gap"]


def fit_with_gap(request: FitRequest, gap: GapSettings, settings: ChargedFitSettings) -> FitReport:
    """Fit GAP and charges together and write the files of both to the request's folder.

    A fit that grows from an earlier model starts from its charges, where that has any.

    Raises
    ------
    FitTimeError
        If the wall time runs out.
    IonloopError
        As `...native.sparse_fit.fit.run_fit`.
    """
    earlier = request.earlier_model
    has_charges = earlier is not None and (Path(earlier) / CHARGES_FILE).is_file()
    task = FitInputs(request.data_set, gap, request.seed, earlier=sparse_points_of_model(earlier))
    fit, charges = run_charged_fit(
        task,
        settings,
        native_resources(request.limits),
        earlier=read_charges(Path(earlier)) if has_charges and earlier is not None else None,
        progress=time_check(request.limits),
    )
    fit.write(request.folder)
    charges.write(request.folder)
    return report_of(fit)


def load_with_gap(
    folder: Path,
    settings: ChargedFitSettings,
    why_no_field: str,
    *,
    without_gap: bool = False,
    other: GapModel | None = None,
) -> Calculator:
    """Return the model in a folder as an ASE calculator, or of its energies those of the charges alone.

    Parameters
    ----------
    other
        A potential with the same sparse points, in place of the folder's.

    Raises
    ------
    IonloopError
        If a file is missing or damaged, or they do not belong together.
    """
    charges = read_charges(folder)
    symbols = sorted(charges.species)
    gap = other or read_gap_xml(Path(folder) / POTENTIAL_FILE, beside_charges=True)
    return ChargedGapCalculator(
        _without_energies(gap) if without_gap else gap,
        charges,
        settings.model_of(symbols),
        cloud_table(symbols, settings.exponents_per_A, settings.widths_A),
        settings.accuracy,
        why_no_field,
    )


def _without_energies(gap: GapModel) -> GapModel:
    """Return the environments that charges follow, without energies of their own."""
    environments = (one for one in gap.coordinates if isinstance(one.descriptor, SoapDescriptor))
    return replace(
        gap,
        isolated_atom_energies={},
        coordinates=tuple(replace(one, alphas=np.zeros_like(one.alphas)) for one in environments),
        core=None,
    )
