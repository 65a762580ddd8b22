"""The native evaluator against QUIP, finite differences and symmetries, on potentials with random weights."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import all_changes

from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.descriptor_strings import parse_descriptor
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel, read_gap_xml, write_gap_xml
from ionloop.fitting.native.neighbours import neighbour_pairs
from ionloop.fitting.native.soap import SoapBasis
from ionloop.fitting.quip import quip_potential

ENERGY_TOLERANCE_EV = 1e-10
FORCE_TOLERANCE_EV_A = 1e-9
VIRIAL_TOLERANCE_EV = 1e-8
VARIANCE_TOLERANCE_EV2 = 1e-11
FINITE_DIFFERENCE_TOLERANCE = 2e-7
THREAD_TOLERANCE = 1e-12
SINGLE_PRECISION_TOLERANCE_EV_A = 1e-4

SOAP = "soap cutoff=4.0 cutoff_transition_width=0.7 n_max=4 l_max=3 atom_sigma=0.5 n_species=3 species_Z={3 15 16}"
ISOLATED = {3: -1.5, 15: -3.0, 16: -2.0}

PAIR_LINES = {
    "unlike": "distance_2b cutoff=4.5 cutoff_transition_width=1.0 Z1=16 Z2=3",
    "alike": "distance_2b cutoff=4.5 cutoff_transition_width=1.0 Z1=3 Z2=3",
    "half wildcard": "distance_2b cutoff=4.5 Z1=0 Z2=16",
    "wildcard": "distance_2b cutoff=4.5",
    "tail": "distance_2b cutoff=4.5 tail_exponent=2 tail_range=0.7",
    "two exponents": "distance_2b cutoff=4.5 n_exponents=2 exponents={1 -2}",
}

SOAP_VARIANTS = [
    "",
    "radial_basis=GTO",
    "radial_basis=POLY",
    "covariance_sigma0=0.3",
    "diagonal_radial=T",
    "central_weight=0.4",
    "basis_error_exponent=7",
    "central_reference_all_species=T",
    *(f"nu_R={radial} nu_S={species}" for radial in range(3) for species in range(3) if (radial, species) != (2, 2)),
    "R_mix=T Z_mix=T K=5",
    "R_mix=T Z_mix=T sym_mix=T K=5",
    "Z_mix=T K=2",
    "Z_mix=T sym_mix=T K=2",
    "R_mix=T K=3",
    "R_mix=T sym_mix=T K=3 mix_shift=7",
    "coupling=F",
    "R_mix=T Z_mix=T K=5 coupling=F",
    "Z_mix=T K=2 coupling=F",
    "Z_mix=T sym_mix=T K=2 coupling=F",
    "R_mix=T K=3 coupling=F",
    "R_mix=T sym_mix=T K=3 coupling=F",
    "Z_map={3, 15 16}",
    "Z_map={3, 15 16 : 3 15, 16}",
    "Z_map={3, 15 16} coupling=F",
]


def make_structure(seed: int = 0) -> Atoms:
    """Ten atoms in a triclinic cell smaller than two cutoffs, none closer than 1.6 Å."""
    random = np.random.default_rng(seed)
    cell = np.array([[5.0, 0, 0], [1.5, 4.7, 0], [-1.0, 0.8, 5.5]])
    atoms = Atoms("Li4P2S4", scaled_positions=random.random((10, 3)), cell=cell, pbc=True)
    for _ in range(400):
        distances = atoms.get_all_distances(mic=True) + 9 * np.eye(10)
        i, j = np.unravel_index(distances.argmin(), distances.shape)
        if distances[i, j] > 1.6:
            return atoms
        atoms.positions[i] -= 0.2 * atoms.get_distance(i, j, mic=True, vector=True) / distances[i, j]
    raise AssertionError("no structure without close atoms was found")


def soap_coordinate(line: str, zeta: float = 4.0, version: int = GAP_VERSION, n_sparse: int = 8) -> Coordinate:
    descriptor = parse_descriptor(line, version)
    basis = SoapBasis(descriptor)
    rows = []
    for seed in range(3):
        atoms = make_structure()
        atoms.rattle(0.2, seed=seed)
        pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, descriptor.cutoff_A)
        numbers = atoms.numbers.astype(np.int64)
        rows.append(basis.to_file_order(basis.forward(pairs, numbers, basis.central_atoms(numbers)).spectrum))
    random = np.random.default_rng(1)
    points = np.concatenate(rows)
    points = points[random.permutation(len(points))[:n_sparse]]
    n_points = len(points)
    return Coordinate(
        descriptor, "dot_product", 0.5, points, random.normal(0, 1, n_points), np.ones(n_points), zeta=zeta
    )


def pair_coordinate(line: str, signal_mean: float = 0.0) -> Coordinate:
    random = np.random.default_rng(2)
    descriptor = parse_descriptor(line, GAP_VERSION)
    points = np.linspace(1.5, 4.4, 6)[:, None] ** np.array(descriptor.exponents)
    scales = np.array([1.0, 0.1])[: descriptor.n_dimensions]
    weights, cutoffs = random.normal(0, 1, 6), random.random(6)
    return Coordinate(descriptor, "ard_se", 1.0, points, weights, cutoffs, theta=scales, signal_mean=signal_mean)


@pytest.fixture(scope="module")
def structure() -> Atoms:
    return make_structure()


@pytest.fixture(scope="module")
def full_model() -> GapModel:
    """Pair and SOAP terms for every element."""
    return GapModel(
        ISOLATED,
        (
            pair_coordinate(PAIR_LINES["wildcard"]),
            *(soap_coordinate(f"{SOAP} Z={number}") for number in ISOLATED),
        ),
    )


def assert_as_quip(model: GapModel, atoms: Atoms, folder: Path, variance: bool = True) -> None:
    path = write_gap_xml(model, folder)
    native = NativeGapCalculator(path, variance=variance)
    native.calculate(atoms.copy())
    quip = quip_potential()(param_filename=str(path))
    extra = {"calc_args": "local_gap_variance"} if variance else {}
    quip.calculate(atoms.copy(), ["energy", "energies", "forces", "stress"], list(all_changes), **extra)
    ours, theirs = native.results, quip.results
    assert np.abs(theirs["forces"]).max() > 1e-3
    assert ours["energy"] == pytest.approx(theirs["energy"], abs=ENERGY_TOLERANCE_EV)
    assert ours["energies"] == pytest.approx(theirs["energies"], abs=ENERGY_TOLERANCE_EV)
    assert ours["forces"] == pytest.approx(theirs["forces"], abs=FORCE_TOLERANCE_EV_A)
    assert ours["stress"] == pytest.approx(theirs["stress"], abs=VIRIAL_TOLERANCE_EV / atoms.get_volume())
    if variance:
        reference = quip.extra_results["atoms"]["local_gap_variance"]
        assert ours["local_variance"] == pytest.approx(reference, abs=VARIANCE_TOLERANCE_EV2)


class TestAgainstQuip:
    @pytest.mark.parametrize("name", PAIR_LINES)
    def test_pair_terms(self, name: str, structure: Atoms, tmp_path: Path) -> None:
        assert_as_quip(GapModel(ISOLATED, (pair_coordinate(PAIR_LINES[name]),)), structure, tmp_path)

    def test_constant_of_the_covariance(self, structure: Atoms, tmp_path: Path) -> None:
        coordinate = pair_coordinate(PAIR_LINES["unlike"], signal_mean=0.3)
        assert_as_quip(GapModel(ISOLATED, (coordinate,)), structure, tmp_path, variance=False)

    @pytest.mark.parametrize("options", SOAP_VARIANTS)
    def test_soap_variants(self, options: str, structure: Atoms, tmp_path: Path) -> None:
        # QUIP predicts negative variances where covariance_sigma0 is not zero, and stops.
        variance = "sigma0" not in options
        model = GapModel(ISOLATED, (soap_coordinate(f"{SOAP} Z=3 {options}"),))
        assert_as_quip(model, structure, tmp_path, variance)

    @pytest.mark.parametrize("zeta", [1.0, 2.0, 2.5])
    def test_exponents(self, zeta: float, structure: Atoms, tmp_path: Path) -> None:
        assert_as_quip(GapModel(ISOLATED, (soap_coordinate(f"{SOAP} Z=3", zeta),)), structure, tmp_path)

    @pytest.mark.parametrize(
        "line",
        [
            "soap cutoff=4.0 n_max=3 l_max=2 atom_sigma=0.4",
            f"{SOAP} n_Z=2 Z={{3 16}}",
            "soap cutoff=3.5 n_max=3 l_max=2 atom_sigma=0.4 n_species=2 Z=15 species_Z={16 3}",
            "soap cutoff=4.0 n_max=5 l_max=0 atom_gaussian_width=0.6 Z=15 n_species=1 species_Z={16}",
        ],
    )
    def test_central_and_neighbouring_species(self, line: str, structure: Atoms, tmp_path: Path) -> None:
        assert_as_quip(GapModel(ISOLATED, (soap_coordinate(line),)), structure, tmp_path)

    def test_not_normalised(self, structure: Atoms, tmp_path: Path) -> None:
        coordinate = soap_coordinate(f"{SOAP} Z=3 normalise=F")
        # Powers of small spectra: weights large enough for energies of some eV.
        scale = float(np.linalg.norm(coordinate.sparse_points, axis=1).max()) ** -8
        scaled = Coordinate(
            coordinate.descriptor, "dot_product", 0.5, coordinate.sparse_points, scale * coordinate.alphas,
            coordinate.sparse_cutoffs, zeta=4.0,
        )  # fmt: skip
        assert_as_quip(GapModel(ISOLATED, (scaled,)), structure, tmp_path, variance=False)

    def test_several_soaps_of_one_element(self, full_model: GapModel, structure: Atoms, tmp_path: Path) -> None:
        second = soap_coordinate("soap cutoff=3.0 n_max=3 l_max=2 atom_sigma=0.4 Z=3 n_species=2 species_Z={16 3}")
        model = GapModel(ISOLATED, (*full_model.coordinates, second))
        assert_as_quip(model, structure, tmp_path)

    def test_energy_scale(self, full_model: GapModel, structure: Atoms, tmp_path: Path) -> None:
        model = GapModel(ISOLATED, full_model.coordinates, energy_scale=1.7)
        assert_as_quip(model, structure, tmp_path, variance=False)

    @pytest.mark.parametrize("version", [1400000000, 1425143769])
    def test_old_conventions(self, version: int, structure: Atoms, tmp_path: Path) -> None:
        coordinate = soap_coordinate(f"{SOAP} Z=3", version=version)
        assert_as_quip(GapModel(ISOLATED, (coordinate,), gap_version=version), structure, tmp_path)

    def test_large_cell(self, full_model: GapModel, structure: Atoms, tmp_path: Path) -> None:
        atoms = structure.repeat((3, 2, 2))
        atoms.rattle(0.1, seed=3)
        assert_as_quip(full_model, atoms, tmp_path)


class TestDerivatives:
    def test_forces_are_the_slopes_of_the_energy(self, full_model: GapModel, structure: Atoms) -> None:
        calculator, step = NativeGapCalculator(full_model), 2e-5
        atoms = structure.copy()
        atoms.calc = calculator
        forces = atoms.get_forces()
        for index, axis in [(0, 0), (3, 1), (5, 2), (9, 0)]:
            energies = []
            for sign in (1, -1):
                moved = structure.copy()
                moved.positions[index, axis] += sign * step
                energies.append(calculator.get_property("energy", moved))
            slope = (energies[0] - energies[1]) / (2 * step)
            assert forces[index, axis] == pytest.approx(-slope, abs=FINITE_DIFFERENCE_TOLERANCE)

    def test_stress_is_the_slope_along_strain(self, full_model: GapModel, structure: Atoms) -> None:
        calculator, step = NativeGapCalculator(full_model), 1e-5
        stress = calculator.get_property("stress", structure)
        for component, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += sign * step / 2
                strain[b, a] += sign * step / 2
                strained = structure.copy()
                strained.set_cell(structure.cell @ strain, scale_atoms=True)
                energies.append(calculator.get_property("energy", strained))
            slope = (energies[0] - energies[1]) / (2 * step) / structure.get_volume()
            assert stress[component] == pytest.approx(slope, abs=FINITE_DIFFERENCE_TOLERANCE)

    def test_forces_add_up_to_nothing(self, full_model: GapModel, structure: Atoms) -> None:
        forces = NativeGapCalculator(full_model).get_property("forces", structure)
        assert np.abs(forces.sum(axis=0)).max() < 1e-12


class TestSymmetries:
    def test_rotation(self, full_model: GapModel, structure: Atoms) -> None:
        calculator = NativeGapCalculator(full_model)
        energy, forces = (calculator.get_property(name, structure) for name in ("energy", "forces"))
        rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
        turned = structure.copy()
        turned.set_cell(structure.cell.array @ rotation)
        turned.positions = structure.positions @ rotation
        assert calculator.get_property("energy", turned) == pytest.approx(energy, abs=1e-11)
        assert calculator.get_property("forces", turned) == pytest.approx(forces @ rotation, abs=1e-11)

    def test_translation_and_wrapping(self, full_model: GapModel, structure: Atoms) -> None:
        calculator = NativeGapCalculator(full_model)
        forces = calculator.get_property("forces", structure)
        moved = structure.copy()
        moved.positions += [0.3, -7.1, 40.0]
        moved.wrap()
        assert calculator.get_property("forces", moved) == pytest.approx(forces, abs=1e-11)

    def test_order_of_atoms(self, full_model: GapModel, structure: Atoms) -> None:
        calculator = NativeGapCalculator(full_model)
        energies = calculator.get_property("energies", structure)
        order = np.random.default_rng(4).permutation(len(structure))
        assert calculator.get_property("energies", structure[order]) == pytest.approx(energies[order], abs=1e-12)

    def test_supercell(self, full_model: GapModel, structure: Atoms) -> None:
        calculator = NativeGapCalculator(full_model)
        energy = calculator.get_property("energy", structure)
        assert calculator.get_property("energy", structure.repeat((1, 2, 3))) == pytest.approx(6 * energy, rel=1e-12)


class TestUnusualStructures:
    def test_isolated_atom_has_no_forces(self, full_model: GapModel) -> None:
        calculator = NativeGapCalculator(full_model)
        atoms = Atoms("P")
        assert np.all(calculator.get_property("forces", atoms) == 0)
        assert np.isfinite(calculator.get_property("energy", atoms))
        boxed = Atoms("P", cell=[20, 20, 20], pbc=True)
        assert calculator.get_property("energy", boxed) == calculator.get_property("energy", atoms)

    def test_atom_without_density_has_its_isolated_energy(self) -> None:
        # Without its own Gaussian an isolated atom has an empty density, whose norm is zero.
        model = GapModel(ISOLATED, (soap_coordinate(f"{SOAP} Z=15 central_weight=0.0"),))
        calculator = NativeGapCalculator(model)
        assert calculator.get_property("energy", Atoms("P")) == ISOLATED[15]
        assert np.all(calculator.get_property("forces", Atoms("PLi", positions=[[0, 0, 0], [9, 0, 0]])) == 0)

    def test_molecule_is_the_same_in_a_large_box(self, full_model: GapModel) -> None:
        calculator = NativeGapCalculator(full_model)
        free = Atoms("PS3Li", positions=[[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2], [-2.4, 0.1, 0.3]])
        boxed = free.copy()
        boxed.set_cell([30, 30, 30])
        boxed.pbc = True
        assert calculator.get_property("forces", boxed) == pytest.approx(calculator.get_property("forces", free))
        with pytest.raises(InputError, match="three lattice vectors"):
            calculator.get_property("stress", free)

    def test_cell_much_smaller_than_the_cutoff(self, full_model: GapModel) -> None:
        calculator = NativeGapCalculator(full_model)
        atoms = Atoms("Li", cell=[[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], pbc=True)
        energy = calculator.get_property("energy", atoms)
        assert calculator.get_property("energy", atoms.repeat(3)) == pytest.approx(27 * energy, rel=1e-12)

    def test_no_atoms(self, full_model: GapModel) -> None:
        assert NativeGapCalculator(full_model).get_property("energy", Atoms()) == 0.0

    def test_unknown_element(self, full_model: GapModel) -> None:
        model = GapModel(ISOLATED, full_model.coordinates[1:])
        with pytest.raises(InputError, match="Li, P, S and knows nothing about Ge"):
            NativeGapCalculator(model).get_property("energy", Atoms("LiGe", positions=[[0, 0, 0], [3, 0, 0]]))

    def test_exploded_positions(self, full_model: GapModel, structure: Atoms) -> None:
        atoms = structure.copy()
        atoms.positions[2, 1] = np.nan
        calculator = NativeGapCalculator(full_model)
        calculator.get_property("energy", structure)
        with pytest.raises(InputError, match="not finite"):
            calculator.get_property("energy", atoms)
        assert np.isfinite(calculator.get_property("energy", structure))

    def test_atoms_at_one_place(self, full_model: GapModel) -> None:
        atoms = Atoms("LiS2", positions=[[0, 0, 0], [2, 2, 0], [2, 2, 0]])
        with pytest.raises(InputError, match="atoms 1 and 2 are at the same place"):
            NativeGapCalculator(full_model).get_property("energy", atoms)


class TestReproducibility:
    def test_history_leaves_no_trace(self, full_model: GapModel, structure: Atoms) -> None:
        random = np.random.default_rng(5)
        traveller = NativeGapCalculator(full_model)
        atoms = structure.repeat((2, 1, 1))
        for _ in range(6):
            atoms.positions += random.normal(0, 0.05, atoms.positions.shape)
            traveller.calculate(atoms)
            traveller.calculate(structure)
            traveller.calculate(atoms)
            fresh = NativeGapCalculator(full_model, skin_A=0.0)
            fresh.calculate(atoms)
            for name in ("energies", "forces", "stress"):
                assert np.array_equal(traveller.results[name], fresh.results[name])

    def test_threads(self, full_model: GapModel, structure: Atoms) -> None:
        atoms = structure.repeat((3, 2, 2))
        atoms.rattle(0.1, seed=1)
        one, three = (NativeGapCalculator(full_model, threads=count) for count in (1, 3))
        for name in ("energies", "forces", "stress"):
            reference = one.get_property(name, atoms)
            assert three.get_property(name, atoms) == pytest.approx(reference, abs=THREAD_TOLERANCE)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_repetition_gives_the_same_bits(self, threads: int, full_model: GapModel, structure: Atoms) -> None:
        calculators = [NativeGapCalculator(full_model, threads=threads) for _ in range(4)]
        results = []
        for _ in range(5):
            for calculator in calculators:
                calculator.calculate(structure)
                results.append(calculator.results["forces"])
        assert all(np.array_equal(forces, results[0]) for forces in results[1:])

    def test_errors_in_threads_are_raised(self, full_model: GapModel) -> None:
        calculator = NativeGapCalculator(full_model, threads=2)
        with pytest.raises(InputError):
            calculator.get_property("energy", Atoms("Li2"))

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda calculator: pickle.loads(pickle.dumps(calculator))])
    def test_copies(self, duplicate, full_model: GapModel, structure: Atoms) -> None:
        calculator = NativeGapCalculator(full_model, threads=2, variance=True)
        calculator.calculate(structure)
        twin = duplicate(calculator)
        twin.calculate(structure)
        assert (twin.threads, twin.variance) == (2, True)
        for name, value in calculator.results.items():
            assert np.array_equal(twin.results[name], value)

    def test_single_precision_is_close(self, full_model: GapModel, structure: Atoms) -> None:
        double = NativeGapCalculator(full_model).get_property("forces", structure)
        single = NativeGapCalculator(full_model, precision="float32").get_property("forces", structure)
        assert 0 < np.abs(single - double).max() < SINGLE_PRECISION_TOLERANCE_EV_A


class TestVariance:
    def test_is_computed_on_request(self, full_model: GapModel, structure: Atoms) -> None:
        calculator = NativeGapCalculator(full_model)
        calculator.calculate(structure)
        assert "local_variance" not in calculator.results
        variances = calculator.get_property("local_variance", structure)
        assert variances.shape == (len(structure),)
        assert np.all(variances > 0)

    def test_is_small_at_the_sparse_points(self, structure: Atoms) -> None:
        coordinate = soap_coordinate(f"{SOAP} Z=3 covariance_sigma0=0.2", n_sparse=12)
        calculator = NativeGapCalculator(GapModel(ISOLATED, (coordinate,)), variance=True)
        known = make_structure()
        known.rattle(0.2, seed=0)
        at_sparse_points = calculator.get_property("local_variance", known)[:4].max()
        elsewhere = calculator.get_property("local_variance", structure)[:4].min()
        assert at_sparse_points < 1e-5 < elsewhere


@pytest.mark.parametrize(("option", "value"), [("threads", 0), ("precision", "half")])
def test_wrong_options(option: str, value: object, full_model: GapModel) -> None:
    with pytest.raises(IonloopError, match=option):
        NativeGapCalculator(full_model, **{option: value})


def test_reading_what_was_written_gives_the_same_bits(full_model: GapModel, structure: Atoms, tmp_path: Path) -> None:
    read = read_gap_xml(write_gap_xml(full_model, tmp_path))
    first, second = (NativeGapCalculator(model).get_property("forces", structure) for model in (full_model, read))
    assert np.array_equal(first, second)
