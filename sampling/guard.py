"""When a configuration is no longer matter: contacts that are too short, bounds on a trajectory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, PositiveFloat, field_validator

from ..core.settings import FrozenSettings

# Settings hold guards: who only reads settings waits for no physics.
if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

__all__ = ["ContactGuard", "ShortContact", "StepState", "TrajectoryGuard"]

# An instantaneous temperature scatters by sqrt(2 / degrees of freedom) around its mean. Ten of these never
# happen to a healthy trajectory, however small its cell.
TEMPERATURE_SCATTER_ALLOWED = 10.0


class ShortContact(NamedTuple):
    """Two atoms that are closer than they may be; lengths in Å."""

    first: str
    second: str
    distance_A: float
    allowed_A: float

    def __str__(self) -> str:
        return f"{self.first} and {self.second} are {self.distance_A:.2f} Å apart (at least {self.allowed_A:.2f})"


class ContactGuard(FrozenSettings):
    """The shortest distance that two atoms may have, by pair of elements."""

    covalent_fraction: float = Field(
        default=0.6,
        ge=0.0,
        le=1.5,
        description="Shortest distance allowed between two atoms, as a fraction of the sum of their covalent"
        " radii; 0 switches the check off for the pairs that minimum_distances_A does not name.",
    )
    minimum_distances_A: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="Shortest distance allowed by pair of elements, such as {Li-S: 1.6} (Å). It goes"
        " before covalent_fraction.",
    )

    @field_validator("minimum_distances_A")
    @classmethod
    def _pairs_are_elements(cls, value: dict[str, float]) -> dict[str, float]:
        from ase.data import atomic_numbers

        for pair in value:
            elements = pair.split("-")
            if len(elements) != 2 or any(element not in atomic_numbers for element in elements):
                raise ValueError(f"{pair!r} is not a pair of elements; write it as Li-S")
        return value

    def cutoffs_A(self, numbers: np.ndarray) -> dict[tuple[int, int], float]:
        """Return the shortest distance (Å) for each pair of the atomic numbers present; symmetric keys."""
        from ase.data import atomic_numbers, covalent_radii

        explicit = {
            frozenset(atomic_numbers[element] for element in pair.split("-")): distance
            for pair, distance in self.minimum_distances_A.items()
        }
        present = sorted({int(number) for number in numbers})
        cutoffs = {
            (a, b): explicit.get(
                frozenset((a, b)), self.covalent_fraction * float(covalent_radii[a] + covalent_radii[b])
            )
            for a in present
            for b in present
        }
        return {pair: distance for pair, distance in cutoffs.items() if distance > 0}

    def violation(self, atoms: Atoms) -> ShortContact | None:
        """Return the worst contact below its limit (periodic images included), or None."""
        import numpy as np
        from matscipy.neighbours import neighbour_list

        cutoffs = self.cutoffs_A(atoms.numbers)
        if not cutoffs:
            return None
        i, j, distance_A = neighbour_list(
            "ijd",
            positions=atoms.positions,
            numbers=atoms.numbers.astype(np.int32),
            cell=atoms.cell.complete()[:],
            pbc=atoms.pbc,
            cutoff=cutoffs,
        )
        if len(i) == 0:
            return None
        allowed_A = np.array([cutoffs[int(a), int(b)] for a, b in zip(atoms.numbers[i], atoms.numbers[j], strict=True)])
        # Ties (i, j) and (j, i) resolve to the lower first index: the message is the same on every machine.
        worst = np.lexsort((j, i, np.round(distance_A / allowed_A, 12)))[0]
        names = [f"{atoms.symbols[k]}{k}" for k in (int(i[worst]), int(j[worst]))]
        return ShortContact(names[0], names[1], float(distance_A[worst]), float(allowed_A[worst]))


class StepState(NamedTuple):
    """What the guard looks at after a step; energies in eV, temperature in K."""

    atoms: Atoms
    forces: np.ndarray
    potential_eV: float
    previous_potential_eV: float
    start_potential_eV: float
    conserved_eV: float
    start_conserved_eV: float
    temperature_K: float
    degrees_of_freedom: int


class TrajectoryGuard(FrozenSettings):
    """Bounds that a healthy trajectory never leaves; the defaults are wide and chosen, not published."""

    contacts: ContactGuard = Field(
        default_factory=ContactGuard, description="Shortest distances allowed between atoms (Å)"
    )
    maximum_temperature_factor: float = Field(
        default=3.0,
        gt=1.0,
        description="Highest instantaneous temperature, as a multiple of the thermostat's; small cells,"
        " whose temperature scatters more, are given as much as their scatter needs. No unit.",
    )
    maximum_force_eV_per_A: float = Field(default=100.0, gt=0, description="Largest force on any atom (eV/Å)")
    maximum_energy_jump_eV_per_atom: float = Field(
        default=0.5, gt=0, description="Largest change of the potential energy in one step (eV/atom)"
    )
    maximum_energy_change_eV_per_atom: float = Field(
        default=2.0,
        gt=0,
        description="Largest departure of the potential energy from that of the first frame (eV/atom)",
    )
    maximum_energy_drift_eV_per_atom: float = Field(
        default=0.5,
        gt=0,
        description="Largest drift of the conserved energy (kinetic plus potential minus the heat that the"
        " thermostat gave) since the first frame (eV/atom)",
    )

    def maximum_temperature_K(self, target_K: float, degrees_of_freedom: int) -> float:
        """Return the highest instantaneous temperature allowed, K."""
        scatter = 1.0 + TEMPERATURE_SCATTER_ALLOWED * math.sqrt(2.0 / degrees_of_freedom)
        return target_K * max(self.maximum_temperature_factor, scatter)

    def violation(self, state: StepState, target_K: float) -> str | None:
        """Return why this step must not be kept, or None where it is sound."""
        import numpy as np

        finite = [state.atoms.positions, state.atoms.get_momenta(), state.forces, state.potential_eV]
        if not all(np.all(np.isfinite(values)) for values in finite):
            return "energy, forces or positions are not finite numbers"
        limit_K = self.maximum_temperature_K(target_K, state.degrees_of_freedom)
        if state.temperature_K > limit_K:
            return f"the temperature is {state.temperature_K:.0f} K (at most {limit_K:.0f})"
        largest = float(np.sqrt((state.forces**2).sum(axis=1).max()))
        if largest > self.maximum_force_eV_per_A:
            return f"a force is {largest:.1f} eV/Å (at most {self.maximum_force_eV_per_A:g})"
        contact = self.contacts.violation(state.atoms)
        return str(contact) if contact else self._energy_violation(state)

    def _energy_violation(self, state: StepState) -> str | None:
        checks = (
            (
                "the potential energy jumped",
                state.potential_eV - state.previous_potential_eV,
                self.maximum_energy_jump_eV_per_atom,
            ),
            (
                "the potential energy has changed",
                state.potential_eV - state.start_potential_eV,
                self.maximum_energy_change_eV_per_atom,
            ),
            (
                "the conserved energy has drifted",
                state.conserved_eV - state.start_conserved_eV,
                self.maximum_energy_drift_eV_per_atom,
            ),
        )
        for what, change_eV, limit in checks:
            per_atom = change_eV / len(state.atoms)
            if abs(per_atom) > limit:
                return f"{what} by {per_atom:+.2f} eV/atom (at most {limit:g})"
        return None
