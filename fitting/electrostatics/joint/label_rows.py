"""Charges and dipoles as labels, and what is believed of mean charges: rows of a fit's linear system.

All charges are linear in the parameters.

For equilibrated charges and dipoles of molecules alone this is the closed form of kQEq (Staacke, Wengert, Kunkel,
Csányi, Reuter, Margraf, Mach. Learn.: Sci. Technol. 2022, 3, 015032, 10.1088/2632-2153/ac568d), on sparse points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lstsq

from ....core.arrays import FloatArray
from ....core.errors import InputError
from ...data_sets import LabelledConfiguration
from .charge_columns import ChargeColumns
from .charge_models import centred


@dataclass(frozen=True)
class LabelSigmas:
    """Standard deviations of labels; None: they are not fitted."""

    charge_e: float | None = None
    dipole_eA: float | None = None

    @property
    def are_wanted(self) -> bool:
        """Whether any label is fitted."""
        return self.charge_e is not None or self.dipole_eA is not None


@dataclass(frozen=True, eq=False)
class LabelRows:
    """Rows and targets over their standard deviations: what all parameters make of the labels, and what they should.

    Shapes [n_rows, n_coefficients + n_species] and [n_rows].
    """

    matrix: FloatArray
    targets: FloatArray

    def residuals(self, theta: FloatArray) -> FloatArray:
        """Return prediction less target, over the standard deviations. Shape [n_rows]."""
        return np.asarray(self.matrix @ theta - self.targets, dtype=np.float64)

    @classmethod
    def together(cls, parts: Sequence[LabelRows]) -> LabelRows | None:
        """Return all rows; None of none."""
        if not parts:
            return None
        return cls(np.concatenate([one.matrix for one in parts]), np.concatenate([one.targets for one in parts]))


def mean_charge_rows(columns: ChargeColumns, charges_e: FloatArray, deviation_e: float) -> LabelRows:
    """Return one row for each species: that its mean charge is, to within a deviation, the given one.

    Parameters
    ----------
    columns
        Of the charges, prepared for some configurations.
    charges_e
        Of the species, in the builder's order (e). Shape [n_species].
    deviation_e
        Prior standard deviation of the means (e).
    """
    indices = columns.together()
    starts = [columns.charges(index, columns.nothing) for index in indices]
    # Every structure keeps its total, whatever the charges of the species add up to in it.
    held = [
        centred(charges_e[columns.kinds(index)]) + start.mean() for index, start in zip(indices, starts, strict=True)
    ]
    targets = columns.species_means(held) - columns.species_means(starts)
    return LabelRows(columns.mean_charge_columns(indices) / deviation_e, targets / deviation_e)


def label_rows(
    columns: ChargeColumns, configurations: Sequence[LabelledConfiguration], sigmas: LabelSigmas
) -> LabelRows:
    """Return the rows of all labels of charges, and of dipoles of molecules, which of a crystal are not defined.

    Parameters
    ----------
    columns
        Of the charges, prepared for these configurations.
    configurations
        With labels, or some of them without.
    sigmas
        Which labels, and how well they are known.

    Raises
    ------
    InputError
        If labels are to be fitted, and no configuration has any.
    """
    n_parameters, nothing = columns.n_coefficients + len(columns.builder.descriptors.species), columns.nothing
    matrices, targets = [np.zeros((0, n_parameters))], [np.zeros(0)]
    found = {"charges": 0, "dipoles": 0}
    for index, one in enumerate(configurations):
        charges = one.charges if sigmas.charge_e is not None else None
        dipole = one.molecular_dipole if sigmas.dipole_eA is not None else None
        if charges is None and dipole is None:
            continue
        derivatives, start = columns.charge_derivatives(index), columns.charges(index, nothing)
        if charges is not None and sigmas.charge_e is not None:
            matrices.append(derivatives / sigmas.charge_e)
            targets.append((charges - start) / sigmas.charge_e)
            found["charges"] += 1
        if dipole is not None and sigmas.dipole_eA is not None:
            matrices.append(one.atoms.positions.T @ derivatives / sigmas.dipole_eA)
            targets.append((dipole - start @ one.atoms.positions) / sigmas.dipole_eA)
            found["dipoles"] += 1
    for name, sigma in (("charges", sigmas.charge_e), ("dipoles", sigmas.dipole_eA)):
        if sigma is not None and not found[name]:
            whom = "no molecule" if name == "dipoles" else "no configuration"
            raise InputError(f"{name} are to be fitted, and {whom} of the data has them as labels")
    return LabelRows(np.concatenate(matrices), np.concatenate(targets))


def solve_labels(rows: LabelRows, prior_factor: FloatArray, prior_mean: FloatArray) -> FloatArray:
    """Return the parameters that labels alone determine: one linear least squares. Shape [n_parameters].

    Parameters
    ----------
    rows
        Of the labels.
    prior_factor
        Upper triangular factor of the inverse prior covariance. Shape [n_parameters, n_parameters].
    prior_mean
        Shape [n_parameters].
    """
    matrix = np.concatenate([rows.matrix, prior_factor])
    targets = np.concatenate([-rows.residuals(prior_mean), np.zeros(len(prior_mean))])
    return np.asarray(prior_mean + lstsq(matrix, targets, check_finite=False)[0], dtype=np.float64)
