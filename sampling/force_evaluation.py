"""A calculator asked once per step, without what ASE does to find out what has changed."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import voigt_6_to_full_3x3_stress

from .guard import StepState, TrajectoryGuard

__all__ = ["EnergyAndForces", "ForceEvaluation", "StepGuard"]

# How much farther than the shortest allowed distances contacts are looked for. A wider margin is searched for more
# seldom and longer; between 0.5 and 1.5 Å it makes no difference.
CONTACT_SKIN_A = 1.0


class EnergyAndForces(NamedTuple):
    """Energy, forces [n_atoms, 3] (eV/Å) and, where asked for, stress [3, 3] (eV/Å³)."""

    energy_eV: float
    forces: np.ndarray
    stress: np.ndarray | None = None


class ForceEvaluation:
    """Asks a calculator about atoms that have moved for certain.

    ASE compares the atoms with those of the last calculation for each property; for 84 atoms this takes 0.4 ms per
    step. A calculator that changes how ASE asks (``get_property``, ``check_state``) is still asked its own way.

    Parameters
    ----------
    calculator
        Gives energy and forces.
    reset_history
        Makes the calculator forget its last configuration.
    """

    def __init__(self, calculator: Calculator, reset_history: Callable[[Calculator], None]) -> None:
        self.calculator = calculator
        self._reset_history = reset_history
        self._cell: np.ndarray | None = None
        kind = type(calculator)
        self._direct = (
            isinstance(calculator, Calculator)
            and kind.get_property is Calculator.get_property
            and kind.check_state is Calculator.check_state
        )

    def forget(self) -> None:
        """Clear the calculator's history: the next evaluation is as if it were the first."""
        self._reset_history(self.calculator)
        self._cell = None

    def __call__(self, atoms: Atoms, *, stress: bool = False) -> EnergyAndForces:
        """Return energy and forces of ``atoms``, and their stress if asked for; copies, float64.

        Raises
        ------
        PropertyNotImplementedError
            If the calculator does not give one of them; and whatever the calculator raises.
        """
        names = ("energy", "forces", "stress") if stress else ("energy", "forces")
        results = self._calculate(atoms, names) if self._direct else self._ask(atoms, names)
        return EnergyAndForces(
            float(results["energy"]),
            np.array(results["forces"], dtype=np.float64),
            voigt_6_to_full_3x3_stress(np.array(results["stress"], dtype=np.float64)) if stress else None,
        )

    def _ask(self, atoms: Atoms, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        # Forces first: some calculators give the energy along with them, and not the other way round.
        ask = {
            "forces": self.calculator.get_forces,
            "energy": self.calculator.get_potential_energy,
            "stress": self.calculator.get_stress,
        }
        return {name: ask[name](atoms) for name in ("forces", "energy", "stress") if name in names}

    def _calculate(self, atoms: Atoms, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        calculator = self.calculator
        self._check_given(names, calculator.implemented_properties)
        changes = self._changes(atoms)
        # As ASE's get_property leaves them before it calculates.
        calculator.atoms, calculator.results = atoms, {}
        try:
            calculator.calculate(atoms, list(names), changes)
        finally:
            if calculator.atoms is atoms:
                calculator.atoms = atoms.copy()
        self._cell = atoms.cell.array.copy()
        results: dict[str, np.ndarray] = calculator.results
        self._check_given(names, results)
        return results

    def _changes(self, atoms: Atoms) -> list[str]:
        if self._cell is None:
            return list(all_changes)
        return ["positions"] if np.array_equal(self._cell, atoms.cell.array) else ["positions", "cell"]

    def _check_given(self, names: tuple[str, ...], given: Container[str]) -> None:
        missing = [name for name in names if name not in given]
        if missing:
            raise PropertyNotImplementedError(f"{type(self.calculator).__name__} gives no {' and no '.join(missing)}")


class StepGuard:
    """`TrajectoryGuard`, looking for contacts only once atoms may have come close enough for one.

    Two atoms that were farther apart than allowed by a margin cannot violate it before one of them has moved by half
    of that margin. What is found is what `TrajectoryGuard.violation` finds at every step.
    """

    def __init__(self, guard: TrajectoryGuard, atoms: Atoms) -> None:
        self._guard = guard
        off = guard.contacts.model_copy(update={"covalent_fraction": 0.0, "minimum_distances_A": {}})
        self._without_contacts = guard.model_copy(update={"contacts": off})
        self._cutoffs = guard.contacts.cutoffs_A(atoms.numbers)
        self._numbers = atoms.numbers.astype(np.int32)
        self._positions: np.ndarray | None = None
        self._cell = atoms.cell.array.copy()
        self._margin_A = 0.0

    def violation(self, state: StepState, target_K: float) -> str | None:
        """Return why this step must not be kept, or None where it is sound."""
        guard = self._guard if self._may_touch(state.atoms) else self._without_contacts
        return guard.violation(state, target_K)

    def _may_touch(self, atoms: Atoms) -> bool:
        if not self._cutoffs:
            return False
        if self._positions is not None and np.array_equal(self._cell, atoms.cell.array):
            moves = atoms.positions - self._positions
            # Positions that are not numbers compare false and are looked at anew.
            if np.einsum("ij,ij->i", moves, moves).max() < (0.5 * self._margin_A) ** 2:
                return False
        if not np.all(np.isfinite(atoms.positions)):
            return True
        self._positions, self._cell = atoms.positions.copy(), atoms.cell.array.copy()
        self._margin_A = self._smallest_margin_A(atoms)
        return self._margin_A == 0.0

    def _smallest_margin_A(self, atoms: Atoms) -> float:
        """Return by how much the closest contact is farther than allowed; at most the skin, 0 where one is not."""
        # Samplers are kinds that a campaign file names: to read it takes no search of neighbours.
        from matscipy.neighbours import neighbour_list

        i, j, distances_A = neighbour_list(
            "ijd",
            positions=atoms.positions,
            numbers=self._numbers,
            cell=atoms.cell.complete()[:],
            pbc=atoms.pbc,
            cutoff={pair: cutoff + CONTACT_SKIN_A for pair, cutoff in self._cutoffs.items()},
        )
        table = np.full((self._numbers.max() + 1,) * 2, -np.inf)
        for pair, cutoff in self._cutoffs.items():
            table[pair] = cutoff
        margins_A = distances_A - table[self._numbers[i], self._numbers[j]]
        return max(0.0, float(margins_A.min(initial=CONTACT_SKIN_A)))
