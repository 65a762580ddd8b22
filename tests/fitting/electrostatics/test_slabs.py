"""Slabs: the sum over crystals of slabs against the sum of planes, its limits, its derivatives, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy.special import erf, erfc

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, SlaterEwald
from ionloop.fitting.electrostatics.coulomb.clouds import GaussianPairTable
from ionloop.fitting.electrostatics.coulomb.ewald import COULOMB_CONSTANT_EV_A
from ionloop.fitting.electrostatics.coulomb.matrix import VOIGT, coulomb_matrix, matrix_surroundings
from ionloop.fitting.electrostatics.coulomb.potentials import PotentialSum
from ionloop.fitting.electrostatics.coulomb.summation import CoulombSum
from ionloop.sampling.structures.crystals import build_crystal

CLOUDS = GaussianPairTable([0.7, 0.9])
ACCURACY_EV_PER_A = 1e-7
SLATER_EXPONENTS_OF_LPS = {symbol: SLATER_EXPONENTS[symbol] for symbol in ("Li", "P", "S")}
KINDS = np.array([0, 0, 1, 1, 0, 1])


def skewed_slab() -> Atoms:
    """Polar, with a skewed surface that is not along the axes, atoms outside the cell, and no vector across."""
    atoms = Atoms("Li2S2LiS", cell=[[5.1, 0.3, 0.2], [-3.4, 4.0, 0.7], [0, 0, 0]], pbc=[True, True, False])
    random = np.random.default_rng(4)
    atoms.positions = random.uniform(0, 1, (6, 3)) @ np.array([*atoms.cell.array[:2], [0.5, -0.4, 4.0]])
    atoms.positions[2] += 2 * atoms.cell.array[0]
    return atoms


def sum_of_planes(atoms: Atoms, charges: np.ndarray, alpha: float = 0.45) -> float:
    """Energy of Gaussian charges in two periodic directions (Parry, Surf. Sci. 1975, 49, 433), by its definition."""
    a, b = atoms.cell.array[:2]
    normal = np.cross(a, b)
    area = np.linalg.norm(normal)
    normal /= area
    widths = np.array([0.7, 0.9])[KINDS]
    lengths = np.sqrt(2 * (widths[:, None] ** 2 + widths**2))
    vectors = atoms.positions[:, None] - atoms.positions
    z = vectors @ normal
    matrix = np.diag(1 / (widths * np.sqrt(np.pi)) - 2 * alpha / np.sqrt(np.pi))
    for m in range(-7, 8):
        for n in range(-7, 8):
            r = np.linalg.norm(vectors + m * a + n * b, axis=2)
            own = r < 1e-9
            r = np.where(own, 1.0, r)
            matrix += np.where(own, 0.0, (erfc(alpha * r) - erfc(r / lengths)) / r)
    reciprocal = 2 * np.pi / area * np.array([np.cross(b, normal), np.cross(normal, a)])
    matrix -= 2 * np.sqrt(np.pi) / area * (np.exp(-((alpha * z) ** 2)) / alpha + np.sqrt(np.pi) * z * erf(alpha * z))
    for m in range(-12, 13):
        for n in range(-12, 13):
            wave = m * reciprocal[0] + n * reciprocal[1]
            size = np.linalg.norm(wave)
            if 0 < size < 14 * alpha:
                sides = [np.exp(s * size * z) * erfc(size / (2 * alpha) + s * alpha * z) for s in (1, -1)]
                matrix += np.pi / area * np.cos(vectors @ wave) / size * sum(sides)
    return 0.5 * COULOMB_CONSTANT_EV_A * float(charges @ matrix @ charges)


@pytest.mark.parametrize("total", [0.0, 1.0], ids=["neutral", "charged"])
@pytest.mark.parametrize("method", ["ewald", "mesh"])
def test_the_energy_is_that_of_the_sum_over_planes(total, method):
    atoms, charges = skewed_slab(), np.array([0.9, 0.3, -0.5, -1.1, 0.8, -0.4])
    charges += total / 6
    kernel = CoulombSum(CLOUDS, [1, 1], ACCURACY_EV_PER_A, method=method)
    found = kernel.evaluate(atoms.positions, atoms.cell.array, atoms.pbc, KINDS, charges)
    assert sum_of_planes(atoms, charges) == pytest.approx(sum_of_planes(atoms, charges, 0.6), abs=1e-9)
    assert found.energy == pytest.approx(sum_of_planes(atoms, charges), abs=1e-6)
    np.testing.assert_allclose(0.5 * found.potentials @ charges, found.energy, atol=1e-10)
    np.testing.assert_allclose(found.forces.sum(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("total", [0.0, 1.0], ids=["neutral", "charged"])
def test_sum_and_matrix_agree_in_value_and_derivatives(total):
    atoms, charges = skewed_slab(), np.array([0.9, 0.3, -0.5, -1.1, 0.8, -0.4])
    charges += total / 6
    kernel = CoulombSum(CLOUDS, [1.5, 1.5], ACCURACY_EV_PER_A)
    found = kernel.evaluate(atoms.positions, atoms.cell.array, atoms.pbc, KINDS, charges)
    around = matrix_surroundings(atoms, ACCURACY_EV_PER_A)
    matrix = coulomb_matrix(atoms.positions, around, KINDS, CLOUDS, ACCURACY_EV_PER_A)
    derivative = matrix.energy_derivative(charges)
    assert found.energy == pytest.approx(0.5 * charges @ matrix.values @ charges, abs=1e-6)
    np.testing.assert_allclose(found.potentials, matrix.potentials(charges), atol=1e-6)
    np.testing.assert_allclose(-found.forces.ravel(), derivative[:18], atol=1e-6)
    np.testing.assert_allclose([found.strain_derivative[a, b] for a, b in VOIGT], derivative[18:], atol=2e-6)
    bare = coulomb_matrix(atoms.positions, around, KINDS, CLOUDS, ACCURACY_EV_PER_A, with_derivatives=False)
    np.testing.assert_allclose(bare.values, matrix.values, atol=1e-12)


@pytest.mark.parametrize("periodic", ["slab", "crystal"])
def test_potentials_of_many_charges_are_those_of_the_sum(periodic):
    """As a matrix and by iterations, whatever structure came before."""
    atoms = skewed_slab()
    if periodic == "crystal":
        atoms.cell[2] = [1.0, -0.5, 6.0]
        atoms.pbc = True
    kernel = CoulombSum(CLOUDS, [1.5, 1.5], ACCURACY_EV_PER_A)
    around = kernel.surroundings(atoms.positions, atoms.cell.array, atoms.pbc, KINDS)
    potentials = PotentialSum(CLOUDS, [1.5, 1.5], ACCURACY_EV_PER_A)
    matrix, at = potentials.matrix(atoms.positions, around, KINDS), potentials.at(atoms.positions, around, KINDS)
    expected = coulomb_matrix(atoms.positions, around, KINDS, CLOUDS, ACCURACY_EV_PER_A).values
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    for seed in range(2):
        charges = np.random.default_rng(seed).normal(0, 0.7, 6)
        found = kernel.evaluate(atoms.positions, atoms.cell.array, atoms.pbc, KINDS, charges)
        np.testing.assert_allclose(at(charges), found.potentials, atol=1e-6)
    moved = atoms.positions + 0.05
    potentials.matrix(moved, around, KINDS)
    np.testing.assert_array_equal(potentials.matrix(atoms.positions, around, KINDS), matrix)


def test_clouds_too_sharp_to_tabulate_are_left_to_others():
    atoms = skewed_slab()
    sharp = PotentialSum(GaussianPairTable([1e-4, 0.9]), [1.0, 1.0], ACCURACY_EV_PER_A)
    around = matrix_surroundings(atoms)
    assert sharp.matrix(atoms.positions, around, KINDS) is None
    assert sharp.at(atoms.positions, around, KINDS) is None


@pytest.mark.parametrize("accuracy", [1e-4, 1e-6])
def test_forces_of_slabs_are_as_accurate_as_asked_for(accuracy):
    """A film in a cell of which nine tenths are empty: estimates for atoms all over it would promise too much."""
    film = build_crystal("li7p3s11").repeat((2, 2, 1))
    film.rattle(0.1, seed=1)
    film.pbc = [True, True, False]
    charges = {"Li": 0.5, "P": 2.5, "S": -1.0}
    exact = SlaterEwald(charges, SLATER_EXPONENTS_OF_LPS, 1e-9).get_forces(film)
    for method in ("ewald", "mesh"):
        found = SlaterEwald(charges, SLATER_EXPONENTS_OF_LPS, accuracy, method=method).get_forces(film)
        assert np.abs(found - exact).max() < accuracy


def test_a_polar_slab_has_the_potential_step_of_its_dipole():
    """Two charged planes, 4π k_e times the dipole density apart; no field outside, no image to answer it."""
    a, distance = 3.0, 20.0
    cell = np.diag([a, a, 0.0])
    planes = np.array([[0.0, 0, 0], [0, 0, distance]])
    kernel = CoulombSum(GaussianPairTable([0.5]), [1.0], ACCURACY_EV_PER_A)
    found = kernel.evaluate(planes, cell, np.array([True, True, False]), np.zeros(2, int), np.array([1.0, -1.0]))
    field = 2 * np.pi * COULOMB_CONSTANT_EV_A / a**2
    np.testing.assert_allclose(found.forces[0], [0, 0, field], atol=1e-6)


def test_fixed_charges_know_slabs_in_any_direction_and_whatever_is_written_across():
    charges = {"Li": 0.5, "S": -0.5}
    atoms = skewed_slab()
    bare = SlaterEwald(charges, {"Li": 0.8, "S": 1.7}, ACCURACY_EV_PER_A)
    energy, forces = bare.get_potential_energy(atoms), bare.get_forces(atoms)
    for vector in ([0, 0, 30.0], [3.0, -1.0, 6.0]):
        written = atoms.copy()
        written.cell[2] = vector
        assert bare.get_potential_energy(written) == pytest.approx(energy, abs=1e-12)
    turned = Atoms(atoms.symbols, positions=atoms.positions[:, [2, 0, 1]], pbc=[False, True, True])
    turned.cell[1:] = atoms.cell.array[:2, [2, 0, 1]]
    assert bare.get_potential_energy(turned) == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(bare.get_forces(turned), forces[:, [2, 0, 1]], atol=1e-6)
    with pytest.raises(InputError, match="wires"):
        turned.pbc = [False, True, False]
        bare.get_potential_energy(turned)
    with pytest.raises(InputError, match="no area"):
        turned.pbc = [True, True, False]
        bare.get_potential_energy(turned)


def test_a_slab_without_a_dipole_has_its_energy_in_a_crystal_with_vacuum():
    layer = Atoms("Li2S", positions=[[0, 0, 1.2], [0, 0, -1.2], [0, 0, 0]], cell=np.diag([3.5, 3.5, 0.0]))
    layer.pbc = [True, True, False]
    baseline = SlaterEwald({"Li": 0.5, "S": -1.0}, {"Li": 0.8, "S": 1.7}, 1e-8)
    energy = baseline.get_potential_energy(layer)
    layer.pbc = True
    for height in (40.0, 80.0):
        layer.cell[2, 2] = height
        assert baseline.get_potential_energy(layer) == pytest.approx(energy, abs=1e-6)
