"""One Coulomb kernel for charges of every atom: computed references, and its two forms against each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.coulomb.clouds import GaussianPairTable, cloud_table
from ionloop.fitting.electrostatics.coulomb.ewald import COULOMB_CONSTANT_EV_A
from ionloop.fitting.electrostatics.coulomb.matrix import VOIGT, CoulombMatrix, coulomb_matrix, matrix_surroundings
from ionloop.fitting.electrostatics.coulomb.slabs import Surroundings
from ionloop.fitting.electrostatics.coulomb.slater import SlaterPairTable
from ionloop.fitting.electrostatics.coulomb.summation import CoulombSum
from ionloop.fitting.electrostatics.equilibrated.response import response

EDGE_A = 5.64
SALT = GaussianPairTable([1.2, 1.0])
SALT_HARDNESS_EV = np.array([1.5, 4.5])
SALT_CHI_EV = np.array([-2.5, 3.5])
MADELUNG_OF_ROCK_SALT = 1.74756459463
TIGHT = 1e-10


def salt_cube() -> tuple[Atoms, np.ndarray]:
    """Rock salt's cube: four sodium, four chlorine, in the order of the references."""
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    scaled = np.concatenate([corners, (corners + np.array([0.5, 0, 0])) % 1.0])
    atoms = Atoms("Na4Cl4", scaled_positions=scaled, cell=[EDGE_A] * 3, pbc=True)
    return atoms, np.repeat([0, 1], 4)


def sheared_salt() -> tuple[Atoms, np.ndarray]:
    """The cube sheared, two atoms moved: the structure of the references."""
    atoms, kinds = salt_cube()
    atoms.set_cell([[EDGE_A, 0.3, 0], [0, EDGE_A, 0.2], [0, 0, EDGE_A]], scale_atoms=True)
    atoms.positions[0] += [0.2, -0.1, 0.15]
    atoms.positions[5] += [-0.1, 0.25, 0.05]
    return atoms, kinds


def matrix_of(atoms: Atoms, kinds: np.ndarray, clouds=SALT, accuracy: float = TIGHT) -> CoulombMatrix:
    return coulomb_matrix(atoms.positions, matrix_surroundings(atoms, accuracy), kinds, clouds, accuracy)


def equilibrated(matrix: np.ndarray, hardness, chi, total: float = 0.0) -> tuple[np.ndarray, float, float]:
    """Charges, energy and Lagrange multiplier of charge equilibration over all atoms."""
    n = len(chi)
    found = response(np.asarray(chi), matrix + np.diag(hardness), np.full(n, total / n), None)
    np.testing.assert_allclose(np.ptp(found.slopes), 0, atol=1e-10)
    return found.charges, found.energy_eV, -float(found.slopes[0])


def environments(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Σ exp(-r²/4.5) over all neighbours, and its derivatives by positions and strain [n, 3n + 6]."""
    from ase.neighborlist import neighbor_list

    n = len(atoms)
    first, second, r, vectors = neighbor_list("ijdD", atoms, 13.0)
    values = np.exp(-(r**2) / 4.5)
    slopes = -2 / 4.5 * values[:, None] * vectors
    sums, derivatives = np.bincount(first, values, n), np.zeros((n, 3 * n + 6))
    for axis in range(3):
        np.add.at(derivatives, (first, 3 * second + axis), slopes[:, axis])
        np.add.at(derivatives, (first, 3 * first + axis), -slopes[:, axis])
    for component, (a, b) in enumerate(VOIGT):
        np.add.at(derivatives, (first, np.full(len(first), 3 * n + component)), slopes[:, a] * vectors[:, b])
    return sums, derivatives


def test_two_gaussians_in_open_space():
    pair = Atoms("NaCl", positions=[[0, 0, 0], [1.6, 0, 0]])
    found = matrix_of(pair, np.array([0, 1]), GaussianPairTable([0.9, 0.6]))
    expected = [[9.0268110950, 7.7480286742], [7.7480286742, 13.5402166424]]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-9)
    hardness, chi = np.array([3.0, 7.0]), np.array([-2.0, 4.0])
    q, energy, multiplier = equilibrated(found.values, hardness, chi)
    np.testing.assert_allclose([q[0], energy, multiplier], [0.3514738684, -1.0544216052, 0.4961197905], atol=1e-9)
    np.testing.assert_allclose(-found.energy_derivative(q)[3], -0.3235904248, atol=1e-9)
    q, energy, multiplier = equilibrated(found.values, hardness, chi, 1.0)
    np.testing.assert_allclose(
        [*q, energy, multiplier], [1.10082717, -0.10082717, 3.9266328015, -10.4582286039], atol=1e-8
    )


def test_rock_salt_of_gaussians():
    primitive = bulk("NaCl", "rocksalt", a=EDGE_A)
    small = matrix_of(primitive, np.array([0, 1]))
    found = [small.values[0, 0], small.values[0, 1], small.values[1, 1]]
    np.testing.assert_allclose(found, [-5.76508283, -5.00288483, -3.79076232], atol=1e-8)
    assert found[0] + found[2] - 2 * found[1] == pytest.approx(0.4499245126, abs=1e-9)
    q, energy, multiplier = equilibrated(small.values, SALT_HARDNESS_EV, SALT_CHI_EV)
    np.testing.assert_allclose([q[0], energy, multiplier], [0.9302434452, -2.7907303356, 1.8136645223], atol=1e-9)
    atoms, kinds = salt_cube()
    large = matrix_of(atoms, kinds)
    many, four, same = equilibrated(large.values, SALT_HARDNESS_EV[kinds], SALT_CHI_EV[kinds])
    np.testing.assert_allclose([many[0], four / 4, same], [q[0], energy, multiplier], atol=1e-9)
    neutral = np.eye(8) - 1 / 8
    assert np.linalg.eigvalsh(neutral @ large.values @ neutral)[1] == pytest.approx(0.225, abs=5e-4)


def test_small_clouds_have_madelung_s_energy():
    atoms, kinds = salt_cube()
    points = CoulombSum(cloud_table(["Na", "Cl"], {}), [1, 1], TIGHT, with_self=False)
    q = np.where(kinds == 0, 1.0, -1.0)
    found = points.evaluate(atoms.positions, atoms.cell.array, atoms.pbc, kinds, q)
    assert -found.energy / 4 / COULOMB_CONSTANT_EV_A * EDGE_A / 2 == pytest.approx(MADELUNG_OF_ROCK_SALT, abs=1e-9)
    np.testing.assert_allclose(0.5 * found.potentials @ q, found.energy, rtol=1e-12)


def test_point_charges_run_away_where_hardness_does_not_hold_them():
    """Without the clouds' own energy charges diverge where hardnesses add up to Madelung's: 2 k_e M/(a/2)."""
    tiny = GaussianPairTable([0.05, 0.05])
    points = matrix_of(bulk("NaCl", "rocksalt", a=EDGE_A), np.array([0, 1]), tiny).values
    points -= COULOMB_CONSTANT_EV_A * np.diag(tiny.self_interaction)
    limit = 2 * COULOMB_CONSTANT_EV_A * MADELUNG_OF_ROCK_SALT / (EDGE_A / 2)
    assert 2 * points[0, 1] - points[0, 0] - points[1, 1] == pytest.approx(limit, abs=1e-8)
    for excess in (1e-3, 1e-5):
        found, _, _ = equilibrated(points, [0.5 * (limit + excess)] * 2, SALT_CHI_EV)
        assert found[0] == pytest.approx(6.0 / excess, rel=1e-3)
    with pytest.raises(InputError, match="no minimum"):
        equilibrated(points, [0.5 * (limit - 1e-3)] * 2, SALT_CHI_EV)


def test_equilibrated_charges_of_a_sheared_crystal():
    atoms, kinds = sheared_salt()
    matrix = matrix_of(atoms, kinds)
    sums, slopes = environments(atoms)
    chi = SALT_CHI_EV[kinds] + 0.4 * sums
    q, energy, multiplier = equilibrated(matrix.values, SALT_HARDNESS_EV[kinds], chi)
    assert [energy, multiplier] == pytest.approx([-11.1291973943, 1.2378630741], abs=1e-8)
    expected = [0.93017062, 0.92547193, 0.93070018, 0.92338438, -0.92774396, -0.92879513, -0.92609945, -0.92708857]
    np.testing.assert_allclose(q, expected, atol=1e-8)
    derivative = matrix.energy_derivative(q) + 0.4 * q @ slopes
    np.testing.assert_allclose(-derivative[:3], [-0.05858755, -0.00462451, -0.07263921], atol=1e-8)
    np.testing.assert_allclose(-derivative[15:18], [-0.00515950, -0.06007410, -0.05149506], atol=1e-8)
    strain = [1.90650537, 0.35544076, 0.03656967, 1.94600063, 0.22965411, 1.96956948]
    np.testing.assert_allclose(derivative[24:], strain, atol=1e-8)
    # What else depends on the charges: one more solve instead of dq/dr.
    factors = 0.1 * np.arange(1, 9)
    assert factors @ q**3 == pytest.approx(-1.2776648498, abs=1e-9)
    eta, _, _ = equilibrated(matrix.values, SALT_HARDNESS_EV[kinds], 3 * factors * q**2)
    changes = matrix.potential_derivative(q) + 0.4 * slopes
    assert (eta @ changes)[0] == pytest.approx(0.0271784805, abs=1e-8)


def test_fixed_charges_with_and_without_what_a_cloud_is_to_itself():
    atoms, kinds = sheared_salt()
    q = np.where(kinds == 0, 1.0, -1.0)
    for with_self, expected in ((True, 0.9391022079), (False, -28.8493744055)):
        kernel = CoulombSum(SALT, [1, 1], TIGHT, with_self=with_self)
        found = kernel.evaluate(atoms.positions, atoms.cell.array, atoms.pbc, kinds, q)
        assert found.energy == pytest.approx(expected, abs=1e-8)


def test_latent_ewald_summation_is_that_of_gaussians():
    """LES with a smearing of 1 Å: Gaussian charges of standard deviation 1/√2 Å, themselves included."""
    atoms, kinds = sheared_salt()
    sums, _ = environments(atoms)
    q = np.where(kinds == 0, 0.9, -0.9) + 0.2 * 0.4 * (sums - sums.mean())
    cell = atoms.cell.array
    indices = [one for one in itertools.product(range(-9, 10), repeat=3) if any(one)]
    waves = np.array(indices) @ (2 * np.pi * np.linalg.inv(cell).T)
    squares = (waves**2).sum(axis=1)
    structure_factors = np.exp(1j * waves @ atoms.positions.T) @ q
    powers = np.exp(-squares / 2) / squares * np.abs(structure_factors) ** 2
    powers *= 2 * np.pi * COULOMB_CONSTANT_EV_A / atoms.get_volume()
    near, expected = squares < np.pi**2, powers.sum()
    assert near.sum() == 84
    assert powers[near].sum() == pytest.approx(8.7659122733, abs=1e-9)
    kernel = CoulombSum(GaussianPairTable([1 / np.sqrt(2)] * 2), [1, 1], TIGHT)
    found = kernel.evaluate(atoms.positions, cell, atoms.pbc, kinds, q)
    assert found.energy == pytest.approx(expected, abs=1e-8)
    assert found.energy == pytest.approx(8.8181746501, abs=1e-8)


@pytest.mark.parametrize("clouds", [SALT, SlaterPairTable([0.9, 1.6])], ids=["gaussian", "slater"])
@pytest.mark.parametrize("place", ["ewald", "mesh", "open"])
def test_sum_and_matrix_agree_for_any_charges(clouds, place):
    atoms, kinds = sheared_salt()
    q = np.random.default_rng(3).normal(size=8)
    q[2] = 0.0
    q -= q.mean()
    atoms.pbc = place != "open"
    kernel = CoulombSum(clouds, [1, 1], 1e-9, method="mesh" if place == "mesh" else "ewald")
    found = kernel.evaluate(atoms.positions, atoms.cell.array, atoms.pbc, kinds, q)
    matrix = matrix_of(atoms, kinds, clouds)
    derivative = matrix.energy_derivative(q)
    assert found.energy == pytest.approx(0.5 * q @ matrix.values @ q, abs=1e-7)
    np.testing.assert_allclose(found.potentials, matrix.potentials(q), atol=1e-7)
    np.testing.assert_allclose(-found.forces.ravel(), derivative[:24], atol=1e-7)
    if place != "open":
        strain = [found.strain_derivative[a, b] for a, b in VOIGT]
        np.testing.assert_allclose(strain, derivative[24:], atol=1e-7)


@pytest.mark.parametrize("screening_A", [None, 2.0])
@pytest.mark.parametrize("periodic", [True, False])
def test_derivatives_of_the_matrix(periodic, screening_A):
    atoms, kinds = sheared_salt()
    q = np.random.default_rng(4).normal(size=8)
    step = 1e-5

    def potentials(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        found = coulomb_matrix(positions, Surroundings(cell if periodic else None), kinds, SALT, TIGHT, screening_A)
        return found.potentials(q)

    cell = atoms.cell.array
    matrix = coulomb_matrix(atoms.positions, Surroundings(cell if periodic else None), kinds, SALT, TIGHT, screening_A)
    analytic = matrix.potential_derivative(q)
    np.testing.assert_allclose(q @ analytic, 2 * matrix.energy_derivative(q), atol=1e-10)
    moved = np.zeros((8, 3))
    moved[5, 1] = step
    difference = potentials(atoms.positions + moved, cell) - potentials(atoms.positions - moved, cell)
    np.testing.assert_allclose(analytic[:, 16], difference / (2 * step), atol=1e-7)
    if periodic:
        strain = np.zeros((3, 3))
        strain[0, 2] = strain[2, 0] = step / 2
        plus, minus = np.eye(3) + strain, np.eye(3) - strain
        difference = potentials(atoms.positions @ plus, cell @ plus) - potentials(atoms.positions @ minus, cell @ minus)
        np.testing.assert_allclose(analytic[:, 26], difference / (2 * step), atol=1e-7)


def test_a_screened_matrix_is_short_ranged():
    pair = Atoms("NaCl", positions=[[0, 0, 0], [12.0, 0, 0]])
    kinds = np.array([0, 1])
    screened = coulomb_matrix(pair.positions, Surroundings(None), kinds, SALT, 1e-8, 2.0)
    assert abs(screened.values[0, 1]) < 1e-9
    assert matrix_of(pair, kinds).values[0, 1] == pytest.approx(COULOMB_CONSTANT_EV_A / 12.0, rel=1e-9)


def test_point_charges_that_vary_are_refused():
    with pytest.raises(InputError, match="exponent or a width"):
        CoulombSum(cloud_table(["Na", "Cl"], {"Na": 1.0}), [1, 1])
    with pytest.raises(InputError, match="none for Cl"):
        cloud_table(["Na", "Cl"], {}, {"Na": 1.0})
