"""The compiled sums and the mesh: against arrays of pairs, against the exact sum, and as derivatives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, Method, SlaterEwald
from ionloop.fitting.electrostatics.coulomb import summation
from ionloop.fitting.electrostatics.coulomb.ewald import (
    COMPILED_COSTS,
    ChargedCell,
    Contribution,
    ReciprocalLattice,
    Splitting,
    checked_cell,
    choose_splitting,
)
from ionloop.fitting.electrostatics.coulomb.particle_mesh import (
    MeshSplitting,
    ParticleMesh,
    choose_mesh,
    estimated_error,
)
from ionloop.fitting.electrostatics.coulomb.real_space import CellList, PairTables
from ionloop.fitting.electrostatics.coulomb.slater import SlaterPairTable
from ionloop.sampling.structures.crystals import build_crystal

CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
CHARGED = {"Li": 0.7, "P": 1.5, "S": -0.6}
MIXED_EXPONENTS = {"Li": 0.7888, "S": 1.6422}  # P stays a point charge
SAME_SUM_TOLERANCE = 1e-10  # eV, eV/Å and eV/Å³: the same sum, added in another order
TABLE_TOLERANCE = 3e-14  # of ψ, which is at most 1
DERIVATIVE_TOLERANCE = 1e-6  # eV/Å and eV/Å³
DEFAULT_ACCURACY = 1e-6  # eV/Å
REQUIRED_FORCE_ERROR = 1e-4  # eV/Å, at the default accuracy
ESTIMATE_FACTOR = 1.6  # of a root mean square over 84 random ions
SELF_FORCE_LEFT = 0.1


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
    atoms = Atoms(["Li", "P", "S", "Li", "S"][: 1 + seed], cell=cell, pbc=True)
    scaled = generator.uniform(0, 0.1, (len(atoms), 3)) + 0.2 * np.arange(len(atoms))[:, None]
    atoms.set_scaled_positions(scaled + generator.integers(-3, 4, (len(atoms), 3)))
    return atoms


@pytest.mark.parametrize("exponents", [None, MIXED_EXPONENTS, SLATER_EXPONENTS], ids=["points", "mixed", "clouds"])
@pytest.mark.parametrize(
    "atoms", [rattled(), rattled((3, 2, 1)), *map(random_ions, range(5))], ids=lambda atoms: f"{len(atoms)} atoms"
)
def test_compiled_real_space_is_the_sum_over_arrays_of_pairs(
    atoms: Atoms, exponents: dict[str, float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluate(atoms, SlaterEwald(CHARGED, exponents, method="ewald"))
    monkeypatch.setattr(summation, "tables_fit", lambda *_: False)
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


@pytest.mark.parametrize("accuracy", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 2)])
def test_mesh_stays_within_accuracy_of_the_exact_sum(accuracy: float, repeat: tuple[int, int, int]) -> None:
    atoms = rattled(repeat)
    exact = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, accuracy=1e-12, method="ewald"))
    mesh = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, accuracy=accuracy, method="mesh"))
    assert np.abs(mesh["forces"] - exact["forces"]).max() < accuracy
    assert abs(mesh["energy"] - exact["energy"]) / len(atoms) < accuracy
    assert np.abs(mesh["stress"] - exact["stress"]).max() < accuracy


def test_large_cells_take_the_mesh_and_stay_within_accuracy() -> None:
    atoms = rattled((4, 3, 2))
    assert len(atoms) >= summation.MESH_FROM_ATOMS
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


def coarse_mesh(cell: np.ndarray, order: int = 4) -> ParticleMesh:
    return ParticleMesh.build(cell, MeshSplitting(Splitting(0.5, 8.0, 3.0), (9, 16, 15), order))


@pytest.mark.parametrize("charges", [CHARGES, CHARGED], ids=["neutral", "charged"])
def test_forces_of_a_coarse_mesh_are_derivatives_of_its_energy(charges: dict[str, float]) -> None:
    atoms = rattled()
    cell, q = atoms.cell.array, np.array([charges[symbol] for symbol in atoms.symbols])

    def contribution(positions: np.ndarray, cell: np.ndarray) -> Contribution:
        fractions = np.linalg.solve(cell.T, positions.T)
        return coarse_mesh(cell).contribution(np.ascontiguousarray(fractions - np.floor(fractions)), q)

    found = contribution(atoms.positions, cell)
    exact = ReciprocalLattice.build(cell, Splitting(0.5, 8.0, 6.0)).contribution(
        np.linalg.solve(cell.T, atoms.positions.T), q
    )
    # The mesh is so coarse that its derivatives are not those of the exact sum.
    assert np.abs(found.forces - exact.forces).max() > 100 * DERIVATIVE_TOLERANCE
    assert np.abs(found.strain_derivative - exact.strain_derivative).max() > 100 * DERIVATIVE_TOLERANCE
    step = 1e-4
    for atom, axis in ((0, 0), (3, 1), (14, 2), (17, 0), (40, 2)):
        energies = []
        for sign in (1, -1):
            positions = atoms.positions.copy()
            positions[atom, axis] += sign * step
            energies.append(contribution(positions, cell).energy)
        numerical = -(energies[0] - energies[1]) / (2 * step)
        assert found.forces[atom, axis] == pytest.approx(numerical, abs=DERIVATIVE_TOLERANCE)
    for row, column in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            energies.append(contribution(atoms.positions @ strain, cell @ strain).energy)
        numerical = (energies[0] - energies[1]) / (2 * step)
        assert found.strain_derivative[row, column] == pytest.approx(numerical, abs=10 * DERIVATIVE_TOLERANCE)


def test_forces_and_stress_with_a_mesh_are_derivatives() -> None:
    atoms = rattled()
    calculator = SlaterEwald(CHARGED, MIXED_EXPONENTS, accuracy=1e-8, method="mesh")
    results = evaluate(atoms, calculator)
    step = 1e-4
    for atom, axis in ((0, 0), (14, 2), (20, 1)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(evaluate(moved, calculator)["energy"])
        numerical = -(energies[0] - energies[1]) / (2 * step)
        assert results["forces"][atom, axis] == pytest.approx(numerical, abs=DERIVATIVE_TOLERANCE)
    for voigt, (row, column) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(evaluate(strained, calculator)["energy"])
        numerical = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert results["stress"][voigt] == pytest.approx(numerical, abs=DERIVATIVE_TOLERANCE)


def test_lone_ion_feels_no_force_from_its_own_mesh() -> None:
    """What an ion feels through the mesh from itself is taken out but for its higher harmonics."""
    cell = np.array([[9.0, 0.4, 0.0], [-1.0, 10.0, 0.8], [0.5, 0.0, 11.0]])
    mesh = coarse_mesh(cell, order=6)
    uncorrected = replace(mesh, factors=mesh.factors * np.array([1, 1, 0])[:, None, None])
    largest = [0.0, 0.0]
    for fractions in np.random.default_rng(2).uniform(0, 1, (40, 3, 1)):
        for which, candidate in enumerate((mesh, uncorrected)):
            forces = candidate.contribution(fractions, np.ones(1)).forces
            largest[which] = max(largest[which], float(np.abs(forces).max()))
    assert largest[0] < SELF_FORCE_LEFT * largest[1]


@pytest.mark.parametrize("seed", range(1, 5))
def test_mesh_in_skewed_cells(seed: int) -> None:
    atoms = random_ions(seed)
    exact = evaluate(atoms, SlaterEwald(CHARGED, SLATER_EXPONENTS, accuracy=1e-10, method="ewald"))
    summed, mesh = (
        evaluate(atoms, SlaterEwald(CHARGED, SLATER_EXPONENTS, accuracy=1e-5, method=method))
        for method in ("ewald", "mesh")
    )
    np.testing.assert_allclose(mesh["forces"], exact["forces"], atol=1e-5)
    assert mesh["energy"] == pytest.approx(exact["energy"], abs=1e-5 * len(atoms))
    # Truncating the real-space sum of a charged cell costs both methods some pressure.
    np.testing.assert_allclose(mesh["stress"], summed["stress"], atol=1e-5)


@pytest.mark.parametrize(
    ("order", "shape"), [(4, (20, 40, 40)), (6, (12, 25, 25)), (8, (12, 20, 24)), (10, (10, 24, 20))]
)
def test_estimate_is_the_error_of_the_mesh(order: int, shape: tuple[int, int, int]) -> None:
    atoms = rattled((2, 1, 1))
    cell = atoms.cell.array
    # Random ions, as the estimate assumes, each moved alone: the error of crystals is smaller.
    positions = np.random.default_rng(5).uniform(0, 1, (len(atoms), 3)) @ cell
    q = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    charged = ChargedCell(len(atoms), atoms.get_volume(), float(q @ q))
    alpha = 0.45
    mesh = ParticleMesh.build(cell, MeshSplitting(Splitting(alpha, 9.0, 3.0), shape, order))
    fractions = np.linalg.solve(cell.T, positions.T)
    fractions = np.ascontiguousarray(fractions - np.floor(fractions))
    exact = ReciprocalLattice.build(cell, Splitting(alpha, 9.0, 6.5)).contribution(fractions, q)
    differences = mesh.contribution(fractions, q).forces - exact.forces
    found = math.sqrt(float(np.mean(np.sum(differences**2, axis=1))))
    expected = estimated_error(charged, alpha, order, np.linalg.norm(cell, axis=1) / np.array(shape))
    assert expected / ESTIMATE_FACTOR < found < expected * ESTIMATE_FACTOR


def test_sum_takes_over_where_no_mesh_reaches_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = rattled()
    q = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    charged = ChargedCell(len(atoms), atoms.get_volume(), float(q @ q))
    assert choose_mesh(charged, atoms.cell.array, 1e-12, None, COMPILED_COSTS) is not None
    assert choose_mesh(charged, atoms.cell.array, 1e-25, None, COMPILED_COSTS) is None
    monkeypatch.setattr(summation, "choose_mesh", lambda *_: None)
    found = evaluate(atoms, SlaterEwald(CHARGES, method="mesh"))
    exact = evaluate(atoms, SlaterEwald(CHARGES, method="ewald"))
    np.testing.assert_array_equal(found["forces"], exact["forces"])


@pytest.mark.parametrize("method", ["ewald", "mesh"])
def test_result_depends_on_the_atoms_alone(method: Method) -> None:
    """Bit for bit: whatever was evaluated before, and however many threads transform."""
    calculator = SlaterEwald(CHARGES, SLATER_EXPONENTS, method=method)
    atoms = rattled((2, 1, 1))
    expected = evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS, method=method, workers=2))
    for scale in (1.02, 0.97, 1.3, 0.9, 1.1):
        other = atoms.copy()
        other.set_cell(scale * atoms.cell.array, scale_atoms=True)
        evaluate(other, calculator)
    evaluate(rattled(), calculator)
    found = evaluate(atoms, calculator)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_mesh_energy_does_not_depend_on_where_the_cell_begins() -> None:
    atoms = rattled()
    calculator = SlaterEwald(CHARGES, SLATER_EXPONENTS, accuracy=1e-8, method="mesh")
    expected = evaluate(atoms, calculator)
    atoms.positions += [0.31, -17.2, 4.7]
    atoms.positions[3] -= 2 * atoms.cell[1]
    found = evaluate(atoms, calculator)
    np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-8)
    assert found["energy"] == pytest.approx(expected["energy"], abs=1e-8 * len(atoms))


def test_overlapping_atoms_are_named_as_given() -> None:
    atoms = rattled()
    atoms.positions[31] = atoms.positions[7] + atoms.cell[0] + 1e-5
    with pytest.raises(InputError, match="Atoms 7 and 31"):
        evaluate(atoms, SlaterEwald(CHARGES, SLATER_EXPONENTS))


def test_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match=r"'pppm': choose auto, ewald, mesh"):
        SlaterEwald(CHARGES, method="pppm")  # type: ignore[arg-type]
