"""Walls about the bonds of polyanions: forces, stress, what they leave alone, and what they stop."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from scipy.spatial.transform import Rotation

from ionloop.analysis.rotation.polyanions import nearest_images
from ionloop.analysis.rotation.settings import HeldSettings, PolyanionSettings
from ionloop.analysis.rotation.walls import OrientationWalls, polyanions_in, with_heavy_ligands
from ionloop.core.errors import InputError
from ionloop.sampling.molecular_dynamics import run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ionloop.sampling.trajectory import read_frames

from .tetrahedra import BOND_A, TETRAHEDRON

STEP_A = 1e-5
DIFFERENCES = 1e-6
ANION, HELD = PolyanionSettings(), HeldSettings()


def crystal(turn: Rotation | None = None) -> Atoms:
    """Return a PS4, whole across the faces of a slanted cell, and an ion; turned about its P if asked."""
    ligands = BOND_A * (TETRAHEDRON if turn is None else turn.apply(TETRAHEDRON))
    positions = np.concatenate([np.zeros((1, 3)), ligands, [[0.5, 4.5, 4.0]]])
    atoms = Atoms("PS4Li", positions, cell=[[9.0, 0.3, 0.0], [0.0, 9.5, 0.2], [0.4, 0.0, 10.0]], pbc=True)
    atoms.wrap()
    return atoms


def walls(inner: LennardJones | None = None) -> OrientationWalls:
    soft = inner or LennardJones(sigma=1.0, epsilon=0.01, rc=4.0)
    return OrientationWalls(soft, crystal(), ANION, HELD)


def turned_by(degree: float) -> Atoms:
    return crystal(Rotation.from_rotvec(np.radians(degree) * TETRAHEDRON[0]))


def test_forces_and_stress_are_those_of_the_energy() -> None:
    atoms = turned_by(70.0)
    atoms.rattle(0.1, seed=1)
    atoms.calc = calculator = walls()
    assert calculator.walls(atoms)[0] > 0.5
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    for atom in range(6):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * STEP_A
                moved.calc = calculator
                ends.append(moved.get_potential_energy())
            assert forces[atom, axis] == pytest.approx((ends[1] - ends[0]) / (2 * STEP_A), abs=DIFFERENCES)
    assert forces.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-10)
    for a in range(3):
        for b in range(3):
            ends = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += 0.5 * sign * STEP_A
                strain[b, a] += 0.5 * sign * STEP_A
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                strained.calc = calculator
                ends.append(strained.get_potential_energy())
            slope = (ends[0] - ends[1]) / (2 * STEP_A * atoms.get_volume())
            assert stress[a, b] == pytest.approx(slope, abs=DIFFERENCES)


def test_within_the_cone_nothing_is_changed_and_a_jump_meets_a_wall() -> None:
    calculator = walls()
    for free in (crystal(), turned_by(29.0)):
        energy_eV, forces, stress = calculator.walls(free)
        assert (energy_eV, np.abs(forces).max(), np.abs(stress).max()) == (0.0, 0.0, 0.0)
    # Three bonds at the tetrahedral angle from the axis: u·u0 = cos² + sin² cos(turn) = 1/9 + 8/9 cos(turn).
    halfway = 3 * 0.5 * HELD.wall_eV * (np.cos(np.radians(30)) - (1 / 9 + 8 / 9 * 0.5)) ** 2
    assert calculator.walls(turned_by(60.0))[0] == pytest.approx(halfway, rel=1e-9)
    # It is pushed back: the torque about the axis is against the turn.
    atoms = turned_by(60.0)
    _, forces, _ = calculator.walls(atoms)
    bonds = BOND_A * Rotation.from_rotvec(np.radians(60.0) * TETRAHEDRON[0]).apply(TETRAHEDRON)
    assert np.cross(bonds, forces[1:5]).sum(axis=0) @ TETRAHEDRON[0] < -1.0
    # Neither moving it nor stretching its bonds costs anything.
    moved = crystal()
    moved.positions += [1.0, 2.0, 3.0]
    assert calculator.walls(moved)[0] == 0.0


def test_a_trajectory_in_walls_is_resumed_to_the_same_bits(tmp_path) -> None:
    settings = MolecularDynamicsSettings(temperature_K=600.0, timestep_fs=1.0, steps=60, write_every=20)
    start = turned_by(35.0)
    for name, lengths in (("whole", (60,)), ("halves", (20, 60))):
        for steps in lengths:
            shorter = settings.model_copy(update={"steps": steps})
            run_langevin(start, walls(), shorter, tmp_path / f"{name}.traj", seed=3)
    whole, halves = (list(read_frames(tmp_path / f"{name}.traj")) for name in ("whole", "halves"))
    assert len(whole) == len(halves) == 4
    assert all(np.array_equal(one.positions, other.positions) for one, other in zip(whole, halves, strict=True))


class Springs(Calculator):
    """Springs between the atoms of the polyanion: a body that turns freely."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = np.triu_indices(5, 1)
        self.rest_A = np.linalg.norm(self.bonds(crystal()), axis=1)

    def bonds(self, atoms: Atoms) -> np.ndarray:
        return nearest_images(atoms.positions[self.second] - atoms.positions[self.first], atoms.cell.array)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        bonds = self.bonds(self.atoms)
        lengths = np.linalg.norm(bonds, axis=1)
        pulls = (5.0 * (lengths - self.rest_A) / lengths)[:, None] * bonds
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, self.first, pulls)
        np.add.at(forces, self.second, -pulls)
        self.results = {"energy": 2.5 * float(((lengths - self.rest_A) ** 2).sum()), "forces": forces}


@pytest.mark.slow
def test_a_free_rotor_turns_and_one_in_walls_does_not(tmp_path) -> None:
    settings = MolecularDynamicsSettings(
        temperature_K=600.0, timestep_fs=1.0, steps=4000, write_every=20, friction_per_ps=1.0
    )
    rotor = crystal()[:5]
    least = []
    for name, calculator in (("free", Springs()), ("held", OrientationWalls(Springs(), rotor, ANION, HELD))):
        outcome = run_langevin(rotor, calculator, settings, tmp_path / f"{name}.traj", seed=1)
        assert outcome.reason == ""
        bonds = [one.positions[1:5] - one.positions[0] for one in read_frames(tmp_path / f"{name}.traj")]
        units = [nearest_images(one, rotor.cell.array) / BOND_A for one in bonds]
        least.append(min(float(np.einsum("bx,bx->b", one, TETRAHEDRON).min()) for one in units))
    assert least[0] < 0.0
    assert least[1] > 0.5


def test_only_ligands_of_whole_polyanions_are_heavy() -> None:
    atoms = crystal() + Atoms("S", [[4.5, 4.5, 8.0]])
    heavy = with_heavy_ligands(atoms, ANION, 100.0)
    assert heavy.get_masses() / atoms.get_masses() == pytest.approx([1, 100, 100, 100, 100, 1, 1])
    centres, ligands = polyanions_in(atoms, ANION)
    assert (centres.tolist(), ligands.tolist()) == ([0], [[1, 2, 3, 4]])


def test_without_a_polyanion_there_is_nothing_to_hold() -> None:
    with pytest.raises(InputError, match="holds no PS4 that could be held"):
        polyanions_in(Atoms("PS3", [[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]], cell=[9] * 3, pbc=True), ANION)
