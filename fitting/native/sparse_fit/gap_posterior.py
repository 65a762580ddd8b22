"""The posterior of a GAP's weights: α ~ N(α̂, (RᵀR)⁻¹), R the triangle that the fit ends with, kept beside the model.

Energies, forces and virials are linear in the weights: their deviations are exact and cost a row of the fit's system
and a triangular solution each. (RᵀR)⁻¹ is Σ of the projected process: Quiñonero-Candela, Rasmussen, J. Mach. Learn.
Res. 2005, 6, 1939, section 4, for a sum of such processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from scipy.linalg import solve_triangular

from ....core.arrays import FloatArray
from ....core.errors import IonloopError
from ....core.files import replacement
from ...posterior.base import ModelPosterior, NoPosterior
from ...posterior.calibration import Calibration
from ..gap_xml import GapModel
from .design import RowBuilder
from .posterior_size import posterior_bytes

POSTERIOR_FILE: Final = "posterior.npy"


class GapPosterior(ModelPosterior):
    """What a native fit leaves possible.

    Parameters
    ----------
    builder
        Of the fit's rows.
    triangle
        R [n_columns, n_columns].
    model
        The potential, whose weights are the mean.
    calibration
        What deviations are scaled by.
    calculator_of
        Makes the whole model's calculator of a potential, with what it stands on.
    label_sigmas
        Standard deviations that the fit would give the labels of a structure's rows [n_rows].
    """

    def __init__(
        self,
        builder: RowBuilder,
        triangle: FloatArray,
        model: GapModel,
        calibration: Calibration,
        calculator_of: Callable[[GapModel], Calculator],
        label_sigmas: Callable[[Atoms], FloatArray],
    ) -> None:
        self.calibration = calibration
        self.degrees_of_freedom = calibration.degrees_of_freedom
        self._builder = builder
        self._triangle = np.asfortranarray(triangle)
        self._model = model
        self._calculator_of = calculator_of
        self._label_sigmas = label_sigmas

    def energy_vectors(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return R⁻ᵀ times the energies' rows, scaled. Shape [n_structures, n_columns] (eV)."""
        rows = np.array([self._builder.energy_row(atoms) for atoms in structures])
        return self.calibration.energy_scale * self._whitened(rows.reshape(len(structures), -1)).T

    def label_vectors(self, atoms: Atoms) -> FloatArray:
        """Return R⁻ᵀ times all rows over their labels' deviations. Shape [n_columns, n_rows]."""
        sigmas = self._label_sigmas(atoms)
        return self._whitened(self._rows(atoms)[: len(sigmas)] / sigmas[:, None])

    def force_stds(self, atoms: Atoms) -> FloatArray:
        """Return deviations of force components, scaled by their elements' (eV/Å). Shape [n_atoms, 3]."""
        whitened = self._whitened(self._rows(atoms)[1 : 1 + 3 * len(atoms)])
        scales = np.array([self.calibration.force_scale(symbol) for symbol in atoms.symbols])
        return scales[:, None] * np.sqrt(np.square(whitened).sum(axis=0)).reshape(-1, 3)

    def sampled_calculator(self, seed: int) -> Calculator:
        """Return the calculator of weights α̂ + s R⁻¹ z with the energies' scale s and standard normal z."""
        points = self._builder.sparse_points
        normal = np.random.default_rng(seed).standard_normal(len(self._triangle))
        shift = self.calibration.energy_scale * solve_triangular(self._triangle, normal, check_finite=False)
        coordinates = (
            replace(one, alphas=one.alphas + shift[points.columns(key)])
            for key, one in zip(points.keys, self._model.coordinates, strict=True)
        )
        return self._calculator_of(replace(self._model, coordinates=tuple(coordinates)))

    def _rows(self, atoms: Atoms) -> FloatArray:
        return np.concatenate(self._builder.rows(atoms, range(len(self._builder.sparse_points.layers))), axis=1)

    def _whitened(self, rows: FloatArray) -> FloatArray:
        return np.asarray(solve_triangular(self._triangle, rows.T, trans="T", check_finite=False))


def write_posterior(folder: Path, triangle: FloatArray) -> None:
    """Write R's upper triangle, row by row, unless it is too large (`MOST_BYTES`)."""
    if posterior_bytes(len(triangle)):
        packed = np.ascontiguousarray(triangle)[np.triu_indices(len(triangle))]
        with replacement(folder / POSTERIOR_FILE) as temporary, temporary.open("wb") as file:
            np.save(file, packed, allow_pickle=False)


def read_triangle(folder: Path, columns: int) -> FloatArray:
    """Return R of a model's folder.

    Raises
    ------
    NoPosterior
        If none is kept there.
    IonloopError
        If it does not belong to the model.
    """
    path = Path(folder) / POSTERIOR_FILE
    if not path.is_file():
        reason = (
            "it was fitted by an earlier release, which kept none"
            if posterior_bytes(columns)
            else f"with {columns:,} sparse points it is too large to be kept"
        )
        raise NoPosterior(f"the model in {folder} has no posterior: {reason}")
    try:
        packed = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise IonloopError(f"{path} cannot be read ({error}); fit the model again") from error
    if packed.shape != (columns * (columns + 1) // 2,):
        raise IonloopError(f"{path} does not belong to the potential beside it; fit the model again")
    triangle = np.zeros((columns, columns), order="F")
    triangle[np.triu_indices(columns)] = packed
    return triangle
