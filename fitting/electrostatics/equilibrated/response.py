"""How charges at rest answer to electronegativities, for structures small enough for matrices.

With electronegativities χ, the Coulomb matrix A, hardnesses H and M = A + H the energy of charges q is::

    E(q) = χᵀq + ½ qᵀM q

Over all atoms (QEq; Rappé, Goddard, J. Phys. Chem. 1991, 95, 3358, 10.1021/j100161a070) its minimum at a given total
charge is q = q₀ - P (χ + M q₀), q₀ any charges of that total and P = M⁻¹ - M⁻¹11ᵀM⁻¹/1ᵀM⁻¹1. A solid is then a metal:
its polarisability grows with its length. As split charges q = q₀ + T p, p what each bond b has passed (T has +1 and -1
for its atoms), a bond costs ½ κ p²/f (Nistor, Polihronov, Müser, Mosey, J. Chem. Phys. 2006, 125, 094108,
10.1063/1.2346671). Bonds need not be unknowns: with g = dE/dq they pass p_b = -(f_b/κ)(g_i - g_j), so that
q = q₀ - S g with the conductances' matrix S = T (f/κ) Tᵀ, and P = (1 + S M)⁻¹ S. What fades takes no charge with it.

At the minimum no derivative of the charges enters that of the energy: dE = ½ qᵀ(dA) q + qᵀdχ - ½ gᵀ(dS) g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve

from ....core.arrays import FloatArray
from ....core.errors import InputError

NOT_A_MINIMUM = (
    "the equilibrated charges have no minimum: an exchange between atoms lowers the energy for ever; raise hardness_eV"
)


@dataclass(frozen=True, eq=False)
class Response:
    """Charges at rest.

    Attributes
    ----------
    charges
        q (e). Shape [n_atoms].
    slopes
        g = dE/dq (V), equal on all atoms where charge passes freely. Shape [n_atoms].
    matrix
        P (e/V): charges change by -P dχ. Shape [n_atoms, n_atoms].
    energy_eV
        Of the charges, and of the bonds that pass them.
    """

    charges: FloatArray
    slopes: FloatArray
    matrix: FloatArray
    energy_eV: float


def response(chi: FloatArray, hardness: FloatArray, reference: FloatArray, conductances: FloatArray | None) -> Response:
    """Return charges at rest.

    Parameters
    ----------
    chi
        Electronegativities (V). Shape [n_atoms].
    hardness
        M = A + H (V/e). Shape [n_atoms, n_atoms].
    reference
        q₀ (e): without a difference of dE/dq nothing passes. Shape [n_atoms].
    conductances
        S (e/V), [n_atoms, n_atoms]; None: charge passes freely.

    Raises
    ------
    InputError
        If there is no minimum.
    """
    matrix = _free(hardness) if conductances is None else _over_bonds(hardness, conductances)
    charges = reference - matrix @ (chi + hardness @ reference)
    slopes = chi + hardness @ charges
    energy = float(chi @ charges + 0.5 * charges @ hardness @ charges)
    if conductances is not None:
        energy += 0.5 * float(slopes @ conductances @ slopes)
    return Response(charges, slopes, matrix, energy)


def _free(hardness: FloatArray) -> FloatArray:
    # Charges of all atoms together neither cost nor bring anything: a shift of the mean makes M definite.
    n_atoms = len(hardness)
    ones = np.ones((n_atoms, 1))
    shift = max(float(np.abs(np.diag(hardness)).mean()), 1.0) + max(-float(hardness.mean()), 0.0)
    try:
        factor = cho_factor(hardness + shift)
    except LinAlgError:
        raise InputError(NOT_A_MINIMUM) from None
    inverse = cho_solve(factor, np.eye(n_atoms))
    of_ones = inverse @ ones
    return np.asarray(inverse - of_ones @ of_ones.T / float(of_ones.sum()), dtype=np.float64)


def _over_bonds(hardness: FloatArray, conductances: FloatArray) -> FloatArray:
    found = solve(np.eye(len(hardness)) + conductances @ hardness, conductances, check_finite=False)
    found = 0.5 * (found + found.T)
    # S is positive: P is too where M is on what bonds can pass.
    if float(np.linalg.eigvalsh(found)[0]) < -1e-9 * max(float(np.abs(found).max()), 1e-30):
        raise InputError(NOT_A_MINIMUM)
    return np.asarray(found, dtype=np.float64)
