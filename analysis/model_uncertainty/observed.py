"""Predicted against observed errors of labels that no fit had seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from ...core.arrays import FloatArray
from ...fitting.posterior.base import ModelPosterior
from ...fitting.posterior.calibration import LEVELS
from ..errors.statistics import Labelled, ParityData
from .coverage import Coverage, DeviationBin, ModelCoverage

MOST_BINS: Final = 10
LEAST_IN_A_BIN: Final = 8
_NOTHING: Final = 1e-9
"""Deviations that symmetry takes away, such as of forces that vanish; in eV or eV/Å."""


def coverage(posterior: ModelPosterior, errors: ArrayLike, deviations: ArrayLike) -> Coverage | None:
    """Return how often errors lie inside the intervals that their predicted deviations give; None without errors.

    Values that symmetry fixes, error and deviation both nothing, are left out: they test nothing.

    Parameters
    ----------
    errors, deviations
        In one unit, of one shape.
    """
    error, deviation = (np.abs(np.asarray(values, dtype=np.float64)).ravel() for values in (errors, deviations))
    tells = (error > _NOTHING) | (deviation > _NOTHING)
    error, deviation = error[tells], np.maximum(deviation[tells], _NOTHING)
    if not len(error):
        return None
    inside = [float(np.mean(error <= posterior.factor(level) * deviation)) for level in LEVELS]
    return Coverage(
        count=len(error),
        rms_z=_root_mean_square(error / deviation),
        inside_50=inside[0],
        inside_90=inside[1],
        inside_95=inside[2],
        bins=_bins(error, deviation),
    )


def _bins(error: FloatArray, deviation: FloatArray) -> tuple[DeviationBin, ...]:
    parts = np.array_split(np.argsort(deviation, kind="stable"), max(1, min(MOST_BINS, len(error) // LEAST_IN_A_BIN)))
    return tuple(
        DeviationBin(
            predicted=_root_mean_square(deviation[part]), observed=_root_mean_square(error[part]), count=len(part)
        )
        for part in parts
    )


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def energy_differences(
    errors_eV: ArrayLike, vectors: FloatArray, compositions: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Return errors of energies against the mean of their composition, and their predicted deviations (eV), both [m].

    Parameters
    ----------
    errors_eV
        Of total energies, [n].
    vectors
        Of the total energies (eV), [n, k].
    compositions
        What structures must have in common to be compared, [n]; one alone is left out.
    """
    errors, names = np.asarray(errors_eV, dtype=np.float64), np.array(compositions, dtype=np.str_)
    found: list[FloatArray] = []
    deviations: list[FloatArray] = []
    for name in np.unique(names):
        alike = np.flatnonzero(names == name)
        if len(alike) > 1:
            found.append(errors[alike] - errors[alike].mean())
            deviations.append(np.linalg.norm(vectors[alike] - vectors[alike].mean(axis=0), axis=1))
    return np.concatenate([np.zeros(0), *found]), np.concatenate([np.zeros(0), *deviations])


@dataclass(frozen=True, eq=False)
class Deviations:
    """What a model says beforehand of its errors on some configurations.

    Attributes
    ----------
    energy_vectors
        Of the total energies (eV), [n_configurations, k]; their lengths are standard deviations.
    force_stds
        Of the force components on the atoms that have one to compare with (eV/Å), [n_atoms, 3] of each configuration.
    """

    energy_vectors: FloatArray
    force_stds: tuple[FloatArray, ...]


def predicted_deviations(posterior: ModelPosterior, configurations: Sequence[Labelled]) -> Deviations:
    """Return what a model says of its errors on configurations."""
    return Deviations(
        posterior.energy_vectors([one.atoms for one in configurations]),
        tuple(posterior.force_stds(one.atoms)[one.fitted_forces] for one in configurations),
    )


def observed_coverage(
    posterior: ModelPosterior, configurations: Sequence[Labelled], predicted: ParityData, told: Deviations
) -> ModelCoverage:
    """Return predicted against observed errors of a model on labels that it was not fitted to.

    Parameters
    ----------
    predicted, told
        The model's predictions for the configurations, in their order, and its deviations.
    """
    sizes = np.array([len(one.atoms) for one in configurations])
    energies, stds = energy_differences(
        (predicted.predicted_energies - predicted.reference_energies) * sizes,
        told.energy_vectors,
        [one.atoms.get_chemical_formula() for one in configurations],
    )
    forces = predicted.predicted_forces - predicted.reference_forces
    deviations = np.concatenate([np.zeros((0, 3)), *told.force_stds])
    by_element = {
        str(element): found
        for element in np.unique(predicted.elements)
        if (found := coverage(posterior, *(values[predicted.elements == element] for values in (forces, deviations))))
    }
    return ModelCoverage(
        energy_eV=coverage(posterior, energies, stds),
        force_eV_per_A=coverage(posterior, forces, deviations),
        force_by_element_eV_per_A=by_element,
    )
