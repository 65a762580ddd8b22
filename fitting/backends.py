"""The programs behind a model: the native fitter, and the native evaluator or QUIP."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from ..core.arrays import FloatArray
from ..core.errors import InputError, IonloopError
from .data_sets import DataSet, LabelledConfiguration
from .gap_fit import POTENTIAL_FILE, FitLimits
from .kinds.base import FitReport
from .native.sparse_fit.fit_inputs import FitInputs, FitProgress, FitResources, ProgressCallback
from .posterior.base import NoPosterior
from .settings import GapSettings

if TYPE_CHECKING:
    from .models import ModelManifest
    from .native.gap_xml import GapModel
    from .native.sparse_fit.fit import NativeFit
    from .native.sparse_fit.gap_posterior import GapPosterior
    from .native.sparse_fit.sparse_points import SparsePoints

_DEFAULT_MEMORY_MB = 4000.0
_SHARE_OF_AVAILABLE_MEMORY = 0.5


class FitTimeError(IonloopError):
    """A fit ran out of time."""


def fit_natively(
    folder: Path,
    data_set: DataSet,
    settings: GapSettings,
    *,
    seed: int,
    limits: FitLimits,
    earlier_model: Path | None = None,
) -> NativeFit:
    """Fit a GAP with the native fitter; ``gap.xml`` and its files appear in ``folder``.

    Parameters
    ----------
    earlier_model
        Folder of a native model whose sparse points are kept; None selects all anew.

    Raises
    ------
    FitTimeError
        If the wall time runs out.
    IonloopError
        As `ionloop.fitting.native.sparse_fit.fit.run_fit`.
    """

    from .native.sparse_fit.fit import run_fit

    inputs = FitInputs(data_set, settings, seed, earlier=sparse_points_of_model(earlier_model))
    fit = run_fit(inputs, native_resources(limits), time_check(limits))
    fit.write(folder)
    return fit


def report_of(fit: NativeFit) -> FitReport:
    """Return what a fit says of itself."""
    left_out = fit.leave_out_errors
    return FitReport(
        training_errors=fit.training_errors.summary(),
        leave_out_errors=None if left_out is None else left_out.summary(),
        calibration=fit.calibration,
    )


def gap_posterior(
    folder: Path, manifest: ModelManifest, settings: GapSettings, calculator_of: Callable[[GapModel], Calculator]
) -> GapPosterior:
    """Return the posterior of the GAP in the folder of a native model.

    Parameters
    ----------
    calculator_of
        Makes the whole model's calculator of a GAP.

    Raises
    ------
    NoPosterior
        If the fit kept none.
    """

    from .native.gap_xml import read_gap_xml
    from .native.sparse_fit.design import Descriptors, RowBuilder
    from .native.sparse_fit.fit import read_sparse_points, scaled_targets
    from .native.sparse_fit.gap_posterior import GapPosterior, read_triangle

    if manifest.calibration is None:
        why = "it was fitted by an earlier release, or to too few configurations to measure its errors"
        raise NoPosterior(f"the model in {folder} has no posterior: {why}")
    model = read_gap_xml(Path(folder) / POTENTIAL_FILE, beside_charges=True)
    points = read_sparse_points(folder, model)
    builder = RowBuilder(Descriptors.of(manifest.elements, settings), points)
    triangle = read_triangle(folder, builder.n_columns)
    energies = manifest.isolated_atom_energies_eV

    def sigmas_of(atoms: Atoms) -> FloatArray:
        stress = np.zeros(6) if atoms.cell.rank == 3 and atoms.pbc.all() else None
        unlabelled = LabelledConfiguration(atoms, 0.0, np.zeros((len(atoms), 3)), stress, "candidate")
        return scaled_targets(unlabelled, settings, DataSet((unlabelled,), energies)).sigmas

    return GapPosterior(builder, triangle, model, manifest.calibration, calculator_of, sigmas_of)


def time_check(limits: FitLimits) -> ProgressCallback:
    """Return what tells progress on, and raises `FitTimeError` when it is told after the wall time that starts now."""
    deadline = None if limits.wall_time_s is None else time.monotonic() + limits.wall_time_s

    def check_time(progress: FitProgress) -> None:
        if limits.progress is not None:
            limits.progress(progress)
        if deadline is not None and time.monotonic() > deadline:
            raise FitTimeError(
                f"the fit was stopped at its wall-time limit of {limits.wall_time_s:g} s; raise the limit, or use "
                "fewer configurations or sparse points"
            )

    return check_time


def sparse_points_of_model(folder: Path | None) -> SparsePoints | None:
    """Return the sparse points of a native model with their layers, None without a model."""

    from .native.gap_xml import read_gap_xml
    from .native.sparse_fit.fit import read_sparse_points

    if folder is None:
        return None
    return read_sparse_points(folder, read_gap_xml(Path(folder) / POTENTIAL_FILE, beside_charges=True))


def native_resources(limits: FitLimits) -> FitResources:
    """Return what a native fit may use; without a limit on its memory, a part of what the machine has free."""

    import psutil

    memory_MB = (
        limits.memory_bytes / 1e6
        if limits.memory_bytes is not None
        else min(_DEFAULT_MEMORY_MB, _SHARE_OF_AVAILABLE_MEMORY * psutil.virtual_memory().available / 1e6)
    )
    return FitResources(limits.threads, memory_MB, limits.cache_folder)


def gap_calculator(path: Path, elements: Sequence[str], backend: str) -> Calculator:
    """Return a GAP as an ASE calculator; ``elements`` are those that it was fitted for."""

    from .calculators import GapCalculator
    from .native.calculator import NativeGapCalculator

    if backend == "native":
        return NativeGapCalculator(path)
    return GapCalculator(path, elements)


def foreign_calculator(path: Path, backend: str) -> Calculator:
    """Return the GAP in an XML file as an ASE calculator, with the elements that the file names.

    Raises
    ------
    InputError
        If there is no such file.
    IonloopError
        If it is damaged, or the native backend does not have a feature of it.
    """

    from .calculators import GapCalculator
    from .native.calculator import NativeGapCalculator
    from .native.gap_xml import read_gap_xml

    if backend == "native":
        return NativeGapCalculator(path)
    known = frozenset({0})
    try:
        known = read_gap_xml(path).known_atomic_numbers
    except InputError:
        raise
    except IonloopError:
        # QUIP may read what our reader does not, or says itself what is wrong.
        pass
    numbers = range(1, len(chemical_symbols)) if 0 in known else sorted(known)
    return GapCalculator(path, [chemical_symbols[number] for number in numbers])
