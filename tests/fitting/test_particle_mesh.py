"""The compiled sums and the mesh: against arrays of pairs, against the exact sum, and as derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms

from ionloop.errors import InputError
from ionloop.fitting import electrostatics
from ionloop.fitting.electrostatics import COULOMB_CONSTANT_EV_A, SLATER_EXPONENTS, Method, SlaterEwald
from ionloop.fitting.ewald import ChargedCell, ReciprocalLattice, checked_cell, choose_splitting
from ionloop.fitting.pair_lists import periodic_pairs
from ionloop.fitting.particle_mesh import MeshSplitting, ParticleMesh, choose_mesh, estimated_error
from ionloop.fitting.real_space import CellList, PairTables
from ionloop.fitting.slater import SlaterPairTable
from ionloop.sampling.crystals import build_crystal

CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
CHARGED = {"Li": 0.7, "P": 1.5, "S": -0.6}
MIXED_EXPONENTS = {"Li": 0.7888, "S": 1.6422}  # P stays a point charge
SAME_SUM_TOLERANCE = 1e-10  # eV, eV/Å and eV/Å³: the same sum, added in another order
TABLE_TOLERANCE = 3e-14  # of ψ, which is at most 1
DERIVATIVE_TOLERANCE = 1e-6  # eV/Å and eV/Å³
DEFAULT_ACCURACY = 1e-6  # eV/Å
REQUIRED_FORCE_ERROR = 1e-4  # eV/Å, at the default accuracy
# The two sums each leave their share, and the estimate is of a root mean square over random ions.
ESTIMATE_FACTOR = 1.6


def rattled(repeat: tuple[int, int, int] = (1, 1, 1), seed: int = 3) -> Atoms:
    """Li7P3S11, atoms and cell distorted so that no symmetry hides an error."""
    atoms = build_crystal("li7p3s11").repeat(repeat)
    atoms.rattle(0.1, seed=seed)
    strain = np.eye(3) + np.array([[0.01, 0.02, -0.01], [0.0, -0.02, 0.015], [0.005, 0.0, 0.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


def evaluate(atoms: Atoms, calculator: SlaterEwald) -> dict[str, np.ndarray]:
    calculator.calculate(atoms)
    return dict(calculator.results)


def random_ions(seed: int) -> Atoms:
    """A few ions in a strongly skewed cell smaller than the cutoff."""
    generator = np.random.default_rng(seed)
    cell = generator.uniform(3, 6) * (np.eye(3) + generator.uniform(-0.5, 0.5, (3, 3)))
    atoms = Atoms("LiPSLiS"[: 1 + seed], cell=cell, pbc=True)
    scaled = generator.uniform(0, 0.1, (len(atoms), 3)) + 0.2 * np.arange(len(atoms))[:, None]
    atoms.set_scaled_positions(scaled + generator.integers(-3, 4, (len(atoms), 3)))
    return atoms


@pytest.mark.parametrize("exponents", [None, MIXED_EXPONENTS, SLATER_EXPONENTS], ids=["points", "mixed", "clouds"])
@pytest.mark.parametrize("atoms", [rattled(), rattled((3, 2, 1)), *map(random_ions, range(5))], ids=len)
def test_compiled_real_space_is_the_sum_over_arrays_of_pairs(
    atoms: Atoms, exponents: dict[str, float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluate(atoms, SlaterEwald(CHARGED, exponents, method="ewald"))
    monkeypatch.setattr(electrostatics, "tables_fit", lambda *_: False)
    expected = evaluate(atoms, SlaterEwald(CHARGED, exponents, method="ewald"))
    scale = len(atoms) if len(atoms) > 42 else 1
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=scale * SAME_SUM_TOLERANCE)


def test_huge_exponent_is_a_point_charge_and_not_tabulated() -> None:
    atoms = rattled()
    points = evaluate(atoms, SlaterEwald(CHARGES, {"Li": 0.8}))
    sharp = evaluate(atoms, SlaterEwald(CHARGES, {"Li": 0.8, "P": 1e5, "S": 1e5}))
    np.testing.assert_allclose(sharp["forces"], points["forces"], atol=DEFAULT_ACCURACY)


@pytest.mark.parametrize("exponents", [[0.8, 1.6, math.inf], [1.2, 1.21], [math.inf]])
def test_tables_hold_every_digit(exponents: list[float]) -> None:
    slater, alpha = SlaterPairTable(exponents), 0.4
    tables = PairTables.build(slater, alpha, 12.0)
    distances = np.random.default_rng(0).uniform(0.02, 12.0, 5000)
    places = distances * tables.per_length
    intervals = places.astype(int)
    t = 2 * (places - intervals) - 1
    for first in range(len(exponents)):
        for second in range(len(exponents)):
            coefficients = tables.coefficients[tables.rows[first, second], intervals]
            psi = sum(coefficients[:, power] * t**power for power in range(8))
            rows = slater.pair_index(np.full(len(t), first), np.full(len(t), second))
            correction, _ = slater.correction(rows, distances)
            expected = np.array([math.erfc(alpha * r) for r in distances]) + distances * correction
            # Nearly equal exponents: the closed form itself loses digits.
            np.testing.assert_allclose(psi, expected, rtol=0, atol=TABLE_TOLERANCE)


@pytest.mark.parametrize("cutoff", [2.0, 7.0, 15.0])
@pytest.mark.parametrize("seed", range(4))
def test_cell_list_leaves_no_bin_out(seed: int, cutoff: float) -> None:
    generator = np.random.default_rng(seed)
    cell = 7 * (np.eye(3) + generator.uniform(-0.6, 0.6, (3, 3)))
    cells = CellList.build(cell, 60, cutoff)
    edges = cell / cells.bins[:, None]
    found = {
        (sign * dx, sign * dy, sign * dz)
        for dx, dy, first, last in cells.rows.tolist()
        for dz in range(first, last + 1)
        for sign in (1, -1)
    }
    # Two random points of a bin and of another that are within the cutoff.
    start = generator.uniform(0, 1, (200_000, 3))
    direction = generator.normal(size=(len(start), 3))
    direction *= cutoff * generator.uniform(0.5, 1, (len(start), 1)) / np.linalg.norm(direction, axis=1)[:, None]
    needed = np.floor(start + direction @ np.linalg.inv(edges)).astype(int)
    assert {tuple(offset) for offset in np.unique(needed, axis=0).tolist()} <= found


def test_compiled_waves_are_the_direct_sum() -> None:
    atoms = rattled()
    cell = checked_cell(atoms.cell.array)
    charges = np.array([CHARGED[symbol] for symbol in atoms.symbols])
    charged = ChargedCell(len(atoms), atoms.get_volume(), float(charges @ charges))
    lattice = ReciprocalLattice.build(cell, choose_splitting(charged, 1e-7))
    found = lattice.contribution(np.linalg.solve(cell.T, atoms.positions.T), charges)
    used = lattice.prefactors > 0
    vectors, prefactors = lattice.vectors[used], lattice.prefactors[used]
    waves = np.exp(1j * vectors @ atoms.positions.T)
    structure = waves @ charges
    powers = 0.5 * prefactors * np.abs(structure) ** 2
    forces = charges[:, None] * ((prefactors * structure.conj())[:, None] * waves).imag.T @ vectors
    squares = np.einsum("gx,gx->g", vectors, vectors)
    strain = np.einsum("g,gx,gy->xy", powers * (2 / squares + 0.5 / lattice.alpha**2), vectors, vectors)
    strain -= powers.sum() * np.eye(3)
    assert found.energy == pytest.approx(powers.sum(), abs=SAME_SUM_TOLERANCE)
    np.testing.assert_allclose(found.forces, forces, atol=SAME_SUM_TOLERANCE)
    np.testing.assert_allclose(found.strain_derivative, strain, atol=SAME_SUM_TOLERANCE)


@pytest.mark.parametrize("accuracy", [1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 2)])
def test_mesh_stays_within_accuracy_of_the_exact_sum(accuracy: float, repeat: tuple[int, int, int]) -> None:
    atoms = rattled(repeat)
    exact = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, accuracy=1e-11, method="ewald"))
    mesh = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, accuracy=accuracy, method="mesh"))
    assert np.abs(mesh["forces"] - exact["forces"]).max() < accuracy
    assert abs(mesh["energy"] - exact["energy"]) / len(atoms) < accuracy
    assert np.abs(mesh["stress"] - exact["stress"]).max() < accuracy


def test_large_cells_take_the_mesh_and_stay_within_accuracy() -> None:
    atoms = rattled((4, 3, 2))
    assert len(atoms) >= electrostatics.MESH_FROM_ATOMS
    exact = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, accuracy=1e-10, method="ewald"))
    automatic = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS))
    mesh = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, method="mesh"))
    np.testing.assert_array_equal(automatic["forces"], mesh["forces"])
    error = np.abs(automatic["forces"] - exact["forces"]).max()
    assert error < DEFAULT_ACCURACY < REQUIRED_FORCE_ERROR
    assert error > 0


def test_small_cells_take_the_sum() -> None:
    atoms = rattled()
    automatic = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS))
    direct = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, method="ewald"))
    np.testing.assert_array_equal(automatic["forces"], direct["forces"])


@pytest.mark.parametrize("charges", [CHARGES, CHARGED], ids=["neutral", "charged"])
def test_mesh_forces_and_stress_are_derivatives_of_its_energy(charges: dict[str, float]) -> None:
    # A coarse mesh: its forces are exact derivatives whatever its error.
    atoms = rattled()
    calculator = SlaterEwald(charges, MIXED_EXPONENTS, accuracy=1e-3, method="mesh", alpha=0.4)
    results = evaluate(atoms, calculator)
    exact = evaluate(atoms, SlaterEwald(charges, MIXED_EXPONENTS, accuracy=1e-9))
    assert np.abs(results["forces"] - exact["forces"]).max() > 10 * DERIVATIVE_TOLERANCE
    step = 1e-4
    for atom, axis in ((0, 0), (3, 1), (14, 2), (17, 0), (40, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(evaluate(moved, _long_reaching(calculator))["energy"])
        numerical = -(energies[0] - energies[1]) / (2 * step)
        found = evaluate(atoms, _long_reaching(calculator))["forces"][atom, axis]
        assert found == pytest.approx(numerical, abs=DERIVATIVE_TOLERANCE)
