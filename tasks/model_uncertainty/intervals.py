"""Model intervals of what jobs found, from the posteriors of the models that they used.

They are computed where the result is: whoever reads it loads no model. A number without an interval says why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms

from ...analysis.barriers.bands import Profile
from ...analysis.barriers.settings import LOWEST_BARRIER_EV
from ...analysis.energy_volume.curves import BirchMurnaghanFit
from ...analysis.errors.statistics import Labelled, ParityData
from ...analysis.model_uncertainty.intervals import curve_intervals, half_widths, path_vectors
from ...analysis.model_uncertainty.observed import observed_coverage, predicted_deviations
from ...core.arrays import FloatArray
from ...core.errors import IonloopError
from ...fitting.models import load_posterior
from ...fitting.posterior.base import ModelPosterior, NoPosterior
from ...store.connection import Store
from ..results import stands_in

logger = logging.getLogger(__name__)

NOT_A_MODEL: Final = "the reference engine is not a model"
OWN_CALCULATOR: Final = "a calculator that stands in for a model has no posterior"


@dataclass
class Posteriors:
    """Posteriors of the models of a store, each read once."""

    store: Store
    _known: dict[str, ModelPosterior | str] = field(default_factory=dict)

    def of(self, model: str | None) -> ModelPosterior | str:
        """Return what a model knows of its own errors (None: the reference), or why it knows nothing."""
        if model is None:
            return NOT_A_MODEL
        if model not in self._known:
            self._known[model] = self._read(model)
        return self._known[model]

    def _read(self, model: str) -> ModelPosterior | str:
        if stands_in(model) is not None:
            return OWN_CALCULATOR
        record = self.store.models.get(model)
        if record is None:
            return f"the model {model} is not in the store"
        return read_posterior(self.store.artefacts.path(record.path))


def read_posterior(path: Path) -> ModelPosterior | str:
    """Return what the model in a folder knows of its own errors, or why it knows nothing."""
    try:
        # Who computed with the model compared its files.
        return load_posterior(path, verify=False)
    except IonloopError as error:
        if not isinstance(error, NoPosterior):
            # The numbers themselves are there: they must not be lost with their intervals.
            logger.warning("no model intervals: %s", error)
        # Where the store lies is none of a record's business.
        return str(error).replace(f" in {path}", "").replace(f"{path.parent}/", "")


def coverage_values(
    store: Store, model: str, configurations: Sequence[Labelled], predicted: ParityData
) -> dict[str, Any]:
    """Return the fields of `ErrorValues` on what a model said beforehand of its errors on labels that were new to it.

    Parameters
    ----------
    predicted
        Its predictions for the configurations, in their order.
    """
    known = Posteriors(store).of(model)
    if isinstance(known, str):
        return {"model_interval_reason": known}
    told = predicted_deviations(known, configurations)
    return {"model_interval_coverage": observed_coverage(known, configurations, predicted, told)}


def path_interval_values(
    known: ModelPosterior | str, atoms: Atoms, positions: FloatArray, found: Profile
) -> dict[str, Any]:
    """Return the fields of `PotentialOnPathValues` on model intervals.

    Parameters
    ----------
    atoms
        Elements and cell of the images.
    positions
        Of the images (Å), [n_images, n_atoms, 3].
    """
    if isinstance(known, str):
        return {"model_interval_reason": known}
    vectors = path_vectors(known, atoms, positions, found)
    # Where the maximum is an end its energy against itself has no error, and is no barrier.
    barriers = {
        "forward_model_half_width_eV": (found.forward_eV, vectors.forward),
        "reverse_model_half_width_eV": (found.reverse_eV, vectors.reverse),
    }
    return {
        "energies_model_half_width_eV": tuple(half_widths(known, vectors.relative).tolist()),
        **{
            name: float(half_widths(known, vector))
            for name, (barrier_eV, vector) in barriers.items()
            if barrier_eV >= LOWEST_BARRIER_EV
        },
    }


def curve_interval_values(
    known: ModelPosterior | str,
    cells: list[Atoms],
    energies_eV_per_atom: tuple[float, ...],
    fit: BirchMurnaghanFit | None,
) -> dict[str, Any]:
    """Return the fields of `CurveValues` on model intervals; cells and energies in the same order."""
    if isinstance(known, str):
        return {"model_interval_reason": known}
    if not cells:
        return {}
    sizes = np.array([len(cell) for cell in cells])
    vectors = known.energy_vectors(cells) / sizes[:, None]
    lowest = int(np.argmin(energies_eV_per_atom))
    energies = half_widths(known, vectors - vectors[lowest])
    told: dict[str, Any] = {"energies_model_half_width_eV_per_atom": tuple(energies.tolist())}
    if fit is None:
        return told
    volumes = np.array([cell.get_volume() for cell in cells]) / sizes
    found = curve_intervals(known, fit, volumes, energies_eV_per_atom, vectors)
    if not np.isfinite(found.volume_A3_per_atom):
        share = f"{100 * found.without_curve:.0f} %"
        return told | {"model_interval_reason": f"{share} of what the model holds possible has no equation of state"}
    return told | {
        "volume_model_half_width_A3_per_atom": found.volume_A3_per_atom,
        "bulk_modulus_model_half_width_GPa": found.bulk_modulus_GPa,
        "bulk_modulus_derivative_model_half_width": found.bulk_modulus_derivative,
        "energy_model_half_width_eV_per_atom": found.energy_eV_per_atom,
    }
