"""Charges at rest of structures of any size: by matrices where they are small, else by conjugate gradients.

What is minimised is E(q₀ + B z) + ½ |Y z|², z what has passed: per atom with its mean taken off (Y = 0), or per bond,
scaled by the root of its conductance, where Y = 1. Every step of the conjugate gradients takes the potentials of the
charges once (`..coulomb.summation`), of N log N cost for large cells. In dynamics they start from the last charges,
extrapolated as in Kolafa's always stable predictor (J. Comput. Chem. 2004, 25, 335, 10.1002/jcc.10385): the energy,
which is at its minimum, has an error of second order in what is left of the residual.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from ....core.arrays import FloatArray, IntArray
from ....core.errors import IonloopError
from ..joint.bonds import Bonds
from ..joint.charge_models import LargeStructure, centred
from .response import NOT_A_MINIMUM, response

DENSE_ATOMS: Final = 300
"""Up to this size by matrices: results are then the same bits, whatever was evaluated before."""
RESIDUAL_V: Final = 1e-6
"""Largest difference of dE/dq between atoms that exchange charge, less what the bond costs, that is left."""
_MOST_STEPS = 300
# Kolafa's coefficients of the predictor for four earlier steps.
_PREDICTOR = (2.8, -2.8, 1.2, -0.2)
# Farther than this from the last step nothing is extrapolated (Å).
_SAME_TRAJECTORY_A = 0.3


@dataclass(frozen=True, eq=False)
class Settled:
    """Charges at rest (e) [n_atoms], and for bonds -κ p/f, the drop of dE/dq that makes them pass (V) [n_bonds]."""

    charges: FloatArray
    drops: FloatArray | None


class Passage(Protocol):
    """Ways for charge."""

    def conductances(self) -> FloatArray | None:
        """Return the matrix S (e/V) of `.response`. Shape [n_atoms, n_atoms]."""

    def spread(self, passed: FloatArray) -> FloatArray:
        """Return B z (e). Shape [n_atoms]."""

    def collect(self, slopes: FloatArray) -> FloatArray:
        """Return Bᵀ g. Shape of z."""

    def cost(self, passed: FloatArray) -> FloatArray:
        """Return YᵀY z. Shape of z."""

    def guess(self, slopes: FloatArray, charges: FloatArray) -> FloatArray:
        """Return z from dE/dq (V) and charges less q₀ (e) that are about right. Shapes [n_atoms]."""

    def drops(self, passed: FloatArray) -> FloatArray | None:
        """Return what `Settled.drops` is, from z."""

    def drops_of(self, slopes: FloatArray) -> FloatArray | None:
        """Return what `Settled.drops` is of charges exactly at rest, from dE/dq (V) [n_atoms]."""


class FreePassage:
    """Charge passes freely between all atoms."""

    def conductances(self) -> FloatArray | None:
        """Return None."""
        return None

    def spread(self, passed: FloatArray) -> FloatArray:
        """Return z less its mean. Shape [n_atoms]."""
        return centred(passed)

    collect = spread

    def cost(self, passed: FloatArray) -> FloatArray:
        """Return zeros."""
        return np.zeros_like(passed)

    def guess(self, slopes: FloatArray, charges: FloatArray) -> FloatArray:
        """Return the charges."""
        return centred(charges)

    def drops(self, passed: FloatArray) -> FloatArray | None:
        """Return None."""
        return None

    drops_of = drops


class BondPassage:
    """Charge passes over bonds.

    Parameters
    ----------
    bonds
        Of the structure.
    n_atoms
        Of the structure.
    bond_hardness_eV
        κ.
    """

    def __init__(self, bonds: Bonds, n_atoms: int, bond_hardness_eV: float) -> None:
        self._bonds = bonds
        self._bond_hardness_eV = bond_hardness_eV
        # A bond of an atom to its own image passes nothing.
        moving = np.where(bonds.pairs.first == bonds.pairs.second, 0.0, bonds.values)
        self._roots = np.sqrt(moving / bond_hardness_eV)
        self._n_atoms = n_atoms

    def conductances(self) -> FloatArray | None:
        """Return the matrix S (e/V) of `.response`. Shape [n_atoms, n_atoms]."""
        return -self._bonds.matrix(self._n_atoms, with_derivatives=False).laplacian() / self._bond_hardness_eV

    def spread(self, passed: FloatArray) -> FloatArray:
        """Return what bonds bring to atoms (e). Shape [n_atoms]."""
        return self._bonds.collected(self._roots * passed, self._n_atoms)

    def collect(self, slopes: FloatArray) -> FloatArray:
        """Return differences of the atoms of bonds. Shape [n_bonds]."""
        return np.asarray(self._roots * self.drops_of(slopes), dtype=np.float64)

    def cost(self, passed: FloatArray) -> FloatArray:
        """Return z."""
        return passed

    def guess(self, slopes: FloatArray, charges: FloatArray) -> FloatArray:
        """Return what would be at rest with these slopes. Shape [n_bonds]."""
        return -self.collect(slopes)

    def drops(self, passed: FloatArray) -> FloatArray | None:
        """Return -κ p/f (V), 0 for a bond that passes nothing. Shape [n_bonds]."""
        return np.divide(-passed, self._roots, out=np.zeros_like(passed), where=self._roots > 0)

    def drops_of(self, slopes: FloatArray) -> FloatArray:
        """Return the drops of charges that are exactly at rest (V). Shape [n_bonds]."""
        pairs = self._bonds.pairs
        return np.asarray(slopes[pairs.first] - slopes[pairs.second], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Step:
    positions: FloatArray
    kinds: IntArray
    slopes: FloatArray
    charges: FloatArray


class Solver:
    """Finds charges at rest; remembers the last steps of a trajectory of a large structure.

    Parameters
    ----------
    dense_atoms
        Up to this size by matrices.
    residual_V
        What conjugate gradients leave of the residual.
    """

    def __init__(self, dense_atoms: int = DENSE_ATOMS, residual_V: float = RESIDUAL_V) -> None:
        self._dense_atoms = dense_atoms
        self._residual_V = residual_V
        self._last: deque[_Step] = deque(maxlen=len(_PREDICTOR))
        self.steps = 0
        """How often the last solution took potentials."""

    def forget(self) -> None:
        """Forget all steps: the next solution is what it is without them, to the last bit."""
        self._last.clear()

    def settle(
        self, structure: LargeStructure, chi: FloatArray, hardness: FloatArray, reference: FloatArray, passage: Passage
    ) -> Settled:
        """Return the charges at rest.

        Parameters
        ----------
        structure
            Positions and the Coulomb sum.
        chi, hardness, reference
            χ (V), H (V/e) and q₀ (e) of the atoms. Shapes [n_atoms].
        passage
            How charge passes.

        Raises
        ------
        InputError
            If there is no minimum.
        IonloopError
            If conjugate gradients do not converge.
        """
        n_atoms = len(chi)
        if n_atoms <= self._dense_atoms:
            whole = structure.matrix() + np.diag(hardness)
            found = response(chi, whole, reference, passage.conductances())
            return Settled(found.charges, passage.drops_of(found.slopes))
        return self._iterate(structure, chi, hardness, reference, passage)

    def _iterate(
        self, structure: LargeStructure, chi: FloatArray, hardness: FloatArray, reference: FloatArray, passage: Passage
    ) -> Settled:
        potentials = structure.potentials()

        def of_charges(charges: FloatArray) -> FloatArray:
            self.steps += 1
            return potentials(charges) + hardness * charges

        self.steps = 0
        guess = self._predicted(structure)
        if guess is None:
            guess = chi + of_charges(reference), reference
        passed = passage.guess(guess[0], guess[1] - reference)
        charges = reference + passage.spread(passed)
        slopes = chi + of_charges(charges)
        residual = -(passage.collect(slopes) + passage.cost(passed))
        direction, square = residual.copy(), float(residual @ residual)
        for _ in range(_MOST_STEPS):
            if self._is_small(residual):
                break
            moved = passage.spread(direction)
            change = of_charges(moved)
            applied = passage.collect(change) + passage.cost(direction)
            curvature = float(direction @ applied)
            if curvature <= 0:
                raise IonloopError(NOT_A_MINIMUM)
            length = square / curvature
            passed = passed + length * direction
            charges, slopes = charges + length * moved, slopes + length * change
            residual = residual - length * applied
            before, square = square, float(residual @ residual)
            direction = residual + square / before * direction
        else:
            raise IonloopError(f"the equilibrated charges did not settle in {_MOST_STEPS} steps")
        self._last.appendleft(_Step(structure.positions.copy(), structure.kinds.copy(), slopes, charges))
        return Settled(charges, passage.drops(passed))

    def _is_small(self, residual: FloatArray) -> bool:
        return float(np.abs(residual).max(initial=0.0)) <= self._residual_V

    def _predicted(self, structure: LargeStructure) -> tuple[FloatArray, FloatArray] | None:
        """Return slopes and charges extrapolated from the last steps, None where there are none of this trajectory."""
        if self._last:
            last = self._last[0]
            same = np.array_equal(last.kinds, structure.kinds)
            if not same or np.abs(last.positions - structure.positions).max() > _SAME_TRAJECTORY_A:
                self._last.clear()
        if not self._last:
            return None
        if len(self._last) < len(_PREDICTOR):
            return self._last[0].slopes, self._last[0].charges
        slopes = sum(factor * one.slopes for factor, one in zip(_PREDICTOR, self._last, strict=True))
        charges = sum(factor * one.charges for factor, one in zip(_PREDICTOR, self._last, strict=True))
        return np.asarray(slopes), np.asarray(charges)
