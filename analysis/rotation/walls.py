"""Polyanions that are kept from turning by walls: a bond is free within a cone about the direction that it began with.

With u along a bond and u0 where it pointed, the energy is ½ k Σ (cos θ0 - u·u0)² over the bonds with u·u0 < cos θ0.
It acts on directions alone: neither lengths of bonds nor where the polyanion is cost anything. Within the cone nothing
is changed; a rotation by more than twice the cone's angle leads through a wall for at least one bond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ..trajectories.reading import Trajectory
from .polyanions import find_polyanions, nearest_images
from .settings import HeldSettings, PolyanionSettings

_APART_FS = 1e9


def polyanions_in(atoms: Atoms, settings: PolyanionSettings) -> tuple[IntArray, IntArray]:
    """Return the centres, [n_anions], and ligands, [n_anions, n_ligands], of the whole polyanions of a structure.

    Raises
    ------
    InputError
        If there is none, or the cell is too small to tell ligands from their images.
    """
    symbols = tuple(atoms.get_chemical_symbols())
    none = InputError(f"the structure holds no {settings.formula} that could be held")
    if not {settings.centre, settings.ligand} <= set(symbols):
        raise none
    # The same frame twice: bonds are those of distances alone.
    positions_A = np.repeat(atoms.positions[None], 2, axis=0)
    one = Trajectory(symbols, positions_A, atoms.cell.array.copy(), _APART_FS)
    found = find_polyanions(one, settings).stretches
    if not found:
        raise none
    return np.array([anion.centre for anion in found]), np.array([anion.ligands for anion in found])


def with_heavy_ligands(atoms: Atoms, settings: PolyanionSettings, factor: float) -> Atoms:
    """Return a copy of a structure in which the ligands of whole polyanions weigh ``factor`` times as much."""
    _, ligands = polyanions_in(atoms, settings)
    heavy = atoms.copy()
    masses = heavy.get_masses()
    masses[np.unique(ligands)] *= factor
    heavy.set_masses(masses)
    return heavy


class OrientationWalls(Calculator):
    """A calculator with walls about the bonds of polyanions.

    Properties: energy, free_energy (eV), forces (eV/Å), and stress (eV/Å³) where the inner calculator has one. The
    stress is that of strains that leave the walls' directions as they are.

    Parameters
    ----------
    calculator
        What computes the crystal without walls.
    parent
        The structure whose polyanions are held, as they lie in it.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, calculator: Calculator, parent: Atoms, anion: PolyanionSettings, held: HeldSettings) -> None:
        super().__init__()
        self._calculator = calculator
        centres, ligands = polyanions_in(parent, anion)
        self._centres = np.repeat(centres, ligands.shape[1])
        self._ligands = ligands.ravel()
        self._cosine = float(np.cos(np.radians(held.free_degree)))
        self._strength_eV = held.wall_eV
        bonds = self._bonds(parent)
        self._directions = bonds / np.linalg.norm(bonds, axis=1, keepdims=True)

    def reset(self) -> None:
        """Forget the last configuration, and let the inner calculator forget it."""
        super().reset()
        if hasattr(self._calculator, "reset"):
            self._calculator.reset()

    def forget(self) -> None:
        """Let the inner calculator drop what it starts from."""
        if hasattr(self._calculator, "forget"):
            self._calculator.forget()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the crystal and add the walls; raises what the inner calculator raises."""
        super().calculate(atoms, list(properties), list(system_changes))
        wall_eV, wall_forces, wall_stress = self.walls(self.atoms)
        forces = self._calculator.get_forces(self.atoms) + wall_forces
        energy_eV = float(self._calculator.get_potential_energy(self.atoms)) + wall_eV
        self.results = {"energy": energy_eV, "free_energy": energy_eV, "forces": forces}
        if "stress" in properties:
            self.results["stress"] = self._calculator.get_stress(self.atoms) + wall_stress

    def walls(self, atoms: Atoms) -> tuple[float, FloatArray, FloatArray]:
        """Return energy (eV), forces [n_atoms, 3] (eV/Å) and stress [6] (eV/Å³) of the walls alone."""
        bonds = self._bonds(atoms)
        lengths = np.linalg.norm(bonds, axis=1)
        units = bonds / lengths[:, None]
        cosines = np.einsum("bx,bx->b", units, self._directions)
        beyond = np.maximum(0.0, self._cosine - cosines)
        energy_eV = 0.5 * self._strength_eV * float(beyond @ beyond)
        slopes = (-self._strength_eV * beyond / lengths)[:, None] * (self._directions - cosines[:, None] * units)
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, self._ligands, -slopes)
        np.add.at(forces, self._centres, slopes)
        virial = bonds.T @ slopes
        virial = 0.5 * (virial + virial.T) / atoms.get_volume()
        return energy_eV, forces, virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]

    def _bonds(self, atoms: Atoms) -> FloatArray:
        return nearest_images(atoms.positions[self._ligands] - atoms.positions[self._centres], atoms.cell.array)
