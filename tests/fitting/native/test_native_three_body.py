"""Three-body terms, distance_Nb of order 2 and Glue cores against QUIP, finite differences and their own sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import all_changes

from ionloop.core.errors import IonloopError
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.descriptor_strings import TripletDescriptor, parse_descriptor
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel, read_gap_xml, write_gap_xml
from ionloop.fitting.native.glue import GluePotential, Spline
from ionloop.fitting.native.neighbours import neighbour_pairs
from ionloop.fitting.native.three_body import terms as three_body
from ionloop.fitting.native.three_body.terms import TripletTerm
from ionloop.fitting.native.three_body.triplet_kernel import TripletKernel
from ionloop.fitting.native.three_body.triplets import components, cutoffs_of_components, find_triplets

ENERGY_TOLERANCE_EV = 1e-8
FORCE_TOLERANCE_EV_A = 1e-7
VIRIAL_TOLERANCE_EV = 1e-6
VARIANCE_TOLERANCE_EV2 = 1e-10
FINITE_DIFFERENCE_TOLERANCE = 1e-6
ISOLATED = {3: -1.5, 16: -2.0}
LENGTH_SCALES = np.full(3, 0.9)
UNEQUAL_SCALES = np.array([0.9, 1.1, 0.8])

CUTOFF = "cutoff=3.6 cutoff_transition_width=0.8"
#: One of each form with two elements; the others cost the daily tests more than they tell.
TRIPLET_FORMS = [
    f"distance_Nb order=3 {CUTOFF} Z={{16 3 3}}",
    f"distance_Nb order=3 {CUTOFF} compact_clusters=F Z={{3 16 3}}",
    f"angle_3b {CUTOFF} Z=3 Z1=16 Z2=3",
]
TRIPLET_LINES = [
    *(f"distance_Nb order=3 {CUTOFF} Z={{{numbers}}}" for numbers in ("3 3 3", "16 3 3", "3 16 16", "0 0 0", "0 3 16")),
    *(f"distance_Nb order=3 {CUTOFF} compact_clusters=F Z={{{numbers}}}" for numbers in ("3 3 3", "3 16 3", "0 0 0")),
    *(f"angle_3b {CUTOFF} {numbers}" for numbers in ("Z=3 Z1=3 Z2=3", "Z=3 Z1=16 Z2=3", "Z_center=16 Z1=0 Z2=3", "")),
]
PAIR_LINES = [
    f"distance_Nb order=2 {CUTOFF} compact_clusters={compact} Z={{{numbers}}}"
    for compact in "TF"
    for numbers in ("3 3", "16 3", "0 3")
]
#: Six atoms in a triclinic cell, and two in one so small that each sees its own images.
STRUCTURES = [
    Atoms(
        "Li4S2",
        positions=[[0.1, 0, 0], [2.4, 0.3, 0.2], [0.3, 2.6, 0.1], [2.1, 2.3, 2.2], [0.9, 1.2, 2.1], [3.2, 1.6, 0.9]],
        cell=[[4.4, 0, 0], [0.7, 4.6, 0], [-0.5, 0.4, 4.2]],
        pbc=True,
    ),
    Atoms(
        "LiS",
        positions=[[0.1, 0, 0], [1.7, 1.5, 1.4]],
        cell=[[3.1, 0, 0], [0.3, 3.2, 0], [0.2, -0.4, 3.4]],
        pbc=True,
    ),
]


def daily(lines: list[str], chosen: list[str]) -> list[Any]:
    """All lines as parameters of a test, those that are not chosen in the slow suite only."""
    assert set(chosen) <= set(lines)
    return [line if line in chosen else pytest.param(line, marks=pytest.mark.slow) for line in lines]


def triplet_coordinate(line: str, signal_mean: float = 0.0, scales: np.ndarray = LENGTH_SCALES) -> Coordinate:
    """Random weights of descriptors that occur."""
    descriptor = parse_descriptor(line, GAP_VERSION)
    assert isinstance(descriptor, TripletDescriptor)
    atoms = STRUCTURES[0]
    pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, descriptor.cutoff_A)
    found = components(find_triplets(descriptor, pairs, atoms.numbers.astype(np.int64), np.arange(len(atoms))))
    random = np.random.default_rng(4)
    points = found[random.permutation(len(found))[:12]]
    orders = descriptor.permutations if len(descriptor.permutations) > 1 else ()
    cutoffs = np.maximum(cutoffs_of_components(descriptor, points), 1e-3)
    weights = random.normal(0, 1, len(points))
    return Coordinate(descriptor, "ard_se", 0.7, points, weights, cutoffs, theta=scales, signal_mean=signal_mean,
                      permutations=orders)  # fmt: skip


def pair_coordinate(line: str) -> Coordinate:
    weights = np.random.default_rng(5).normal(0, 1, 4)
    points = np.linspace(1.8, 3.4, 4)[:, None]
    return Coordinate(parse_descriptor(line, GAP_VERSION), "ard_se", 1.0, points, weights, np.ones(4), theta=np.ones(1))


def core_potential(embedding: bool) -> GluePotential:
    """A repulsion that has no curvature at its first point, and a jump at the last; and densities, if wanted."""
    pairs = {
        (3, 3): Spline(np.array([1.0, 1.8, 2.4, 3.2]), np.array([3.0, 1.0, 0.3, 0.1]), (1e30, 0.0)),
        (3, 16): Spline(np.array([0.8, 2.5, 3.0, 3.5]), np.array([5.0, 2.0, 0.4, 0.0]), (-4.0, 0.0)),
    }
    densities = {
        number: Spline(np.array([1.9, 3.0, 3.6]), np.array([0.4, 0.15, 0.0]), (-0.5, 0.0)) for number in (3, 16)
    }
    embeddings = {3: Spline(np.array([0.3, 0.9, 1.5]), np.array([0.2, -0.4, -0.5]), (1e30, 1e30))}
    return GluePotential(pairs, densities if embedding else {}, embeddings if embedding else {}, frozenset((3, 16)))


def assert_as_quip(model: GapModel, folder: Path, *, variance: bool = False, ours: GapModel | None = None) -> None:
    potential = pytest.importorskip("quippy.potential")
    path = write_gap_xml(model, folder)
    native = NativeGapCalculator(ours or path, variance=variance)
    quip = potential.Potential(param_filename=str(path))
    extra = {"calc_args": "local_gap_variance"} if variance else {}
    for atoms in STRUCTURES:
        native.calculate(atoms.copy())
        quip.calculate(atoms.copy(), ["energy", "energies", "forces", "stress"], list(all_changes), **extra)
        found, expected = native.results, quip.results
        assert found["energy"] == pytest.approx(expected["energy"], abs=ENERGY_TOLERANCE_EV)
        assert found["energies"] == pytest.approx(expected["energies"], abs=ENERGY_TOLERANCE_EV)
        assert found["forces"] == pytest.approx(expected["forces"], abs=FORCE_TOLERANCE_EV_A)
        volume = atoms.get_volume()
        assert found["stress"] * volume == pytest.approx(expected["stress"] * volume, abs=VIRIAL_TOLERANCE_EV)
        if variance:
            theirs = quip.extra_results["atoms"]["local_gap_variance"]
            assert found["local_variance"] == pytest.approx(theirs, abs=VARIANCE_TOLERANCE_EV2)


@pytest.mark.parametrize("line", daily(TRIPLET_LINES, TRIPLET_FORMS))
def test_triplets_and_their_variance_as_quip(line: str, tmp_path: Path) -> None:
    assert_as_quip(GapModel(ISOLATED, (triplet_coordinate(line),)), tmp_path, variance=True)


def test_length_scales_may_differ_where_nothing_is_exchanged(tmp_path: Path) -> None:
    for line in (f"distance_Nb order=3 {CUTOFF} Z={{0 3 16}}", TRIPLET_LINES[9]):
        assert_as_quip(GapModel(ISOLATED, (triplet_coordinate(line, scales=UNEQUAL_SCALES),)), tmp_path)
    with pytest.raises(IonloopError, match="length scales theta differ"):
        NativeGapCalculator(GapModel(ISOLATED, (triplet_coordinate(TRIPLET_LINES[0], scales=UNEQUAL_SCALES),)))


def test_a_constant_in_the_covariance_is_outside_of_the_norm(tmp_path: Path) -> None:
    assert_as_quip(GapModel(ISOLATED, (triplet_coordinate(TRIPLET_LINES[0], signal_mean=0.3),)), tmp_path)


@pytest.mark.parametrize("line", daily(PAIR_LINES, [PAIR_LINES[1], PAIR_LINES[4]]))
def test_pairs_of_order_two_as_quip(line: str, tmp_path: Path) -> None:
    assert_as_quip(GapModel(ISOLATED, (pair_coordinate(line),)), tmp_path, variance=True)


@pytest.mark.parametrize("embedding", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_core_is_added_as_in_quip(embedding: bool, tmp_path: Path) -> None:
    """The factor on the GAP is none on the core."""
    coordinates = (pair_coordinate(PAIR_LINES[0]), triplet_coordinate(TRIPLET_LINES[1]))
    assert_as_quip(GapModel(ISOLATED, coordinates, energy_scale=1.5, core=core_potential(embedding)), tmp_path)


def test_a_core_alone_differs_from_none(tmp_path: Path) -> None:
    with_core = GapModel(ISOLATED, (pair_coordinate(PAIR_LINES[0]),), core=core_potential(False))
    without = GapModel(ISOLATED, with_core.coordinates)
    energies = [NativeGapCalculator(model).get_property("energy", STRUCTURES[0]) for model in (with_core, without)]
    assert energies[0] - energies[1] > 1.0


@pytest.mark.parametrize(("line", "matters"), list(zip(TRIPLET_FORMS, (True, False, False), strict=True)))
def test_order_of_atoms_does_not_matter_but_in_the_compact_form(line: str, matters: bool) -> None:
    """QUIP's numbers in either order; around a central S the compact form tells two Li apart by their order."""
    calculator = NativeGapCalculator(GapModel(ISOLATED, (triplet_coordinate(line),)))
    atoms = STRUCTURES[0]
    order = [3, 1, 2, 0, 5, 4]
    change = np.abs(calculator.get_property("forces", atoms[order]) - calculator.get_property("forces", atoms)[order])
    assert (change.max() > 0.01) if matters else (change.max() < 1e-11)


@pytest.mark.parametrize("index", [1, 6, 9])
def test_forces_and_stress_are_derivatives(index: int) -> None:
    calculator = NativeGapCalculator(GapModel(ISOLATED, (triplet_coordinate(TRIPLET_LINES[index]),)))
    atoms = STRUCTURES[0].copy()
    forces, stress = calculator.get_property("forces", atoms), calculator.get_property("stress", atoms)
    step = 1e-4
    for atom, axis in ((0, 0), (4, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(calculator.get_property("energy", moved))
        assert forces[atom, axis] == pytest.approx(
            -np.diff(energies[::-1])[0] / (2 * step), abs=FINITE_DIFFERENCE_TOLERANCE
        )
    energies = []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[1, 2] = strain[2, 1] = sign * step / 2
        moved = atoms.copy()
        moved.set_cell(atoms.cell @ strain, scale_atoms=True)
        energies.append(calculator.get_property("energy", moved))
    slope = (energies[0] - energies[1]) / (2 * step * atoms.get_volume())
    assert stress[3] == pytest.approx(slope, abs=FINITE_DIFFERENCE_TOLERANCE)


def test_threads_share_the_triplets() -> None:
    model = GapModel(ISOLATED, tuple(triplet_coordinate(line) for line in TRIPLET_LINES[:3]))
    atoms = STRUCTURES[0].repeat((3, 3, 2))
    one, three = (NativeGapCalculator(model, threads=threads) for threads in (1, 3))
    for name in ("energies", "forces", "stress"):
        assert one.get_property(name, atoms) == pytest.approx(three.get_property(name, atoms), abs=1e-12)


@pytest.mark.parametrize("line", [TRIPLET_LINES[1], TRIPLET_LINES[6], TRIPLET_LINES[9]])
def test_table_and_sum_agree(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that cancel; and distances below those of the data, where no table is."""
    coordinate = triplet_coordinate(line)
    kernel = TripletKernel(coordinate.sparse_points, LENGTH_SCALES, coordinate.permutations)
    smooth = np.linalg.solve(kernel.matrix(coordinate.sparse_points) + 1e-5 * np.eye(12), np.linspace(-1, 1, 12))
    cutoffs = np.ones(12)
    coordinate = Coordinate(coordinate.descriptor, "ard_se", 0.7, coordinate.sparse_points, smooth, cutoffs,
                            theta=LENGTH_SCALES, permutations=coordinate.permutations)  # fmt: skip
    tabulated = TripletTerm(coordinate)
    monkeypatch.setattr(three_body, "_MOST_NODES", 0)
    summed = TripletTerm(coordinate)
    assert tabulated.table is not None
    assert summed.table is None
    close = STRUCTURES[0].copy()
    close.positions[1] = close.positions[0] + [0.4, 0.5, 0.3]
    assert_same = []
    for atoms in (*STRUCTURES, close):
        numbers = atoms.numbers.astype(np.int64)
        pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, coordinate.descriptor.cutoff_A)
        points = components(find_triplets(coordinate.descriptor, pairs, numbers, np.arange(len(atoms))))
        results = []
        for term in (tabulated, summed):
            values, slopes = np.empty(len(points)), np.empty((len(points), 3))
            term.evaluate(points, values, slopes)
            results.append((values, slopes))
        assert_same.append(np.abs(results[0][1] - results[1][1]).max(initial=0.0))
        assert np.isfinite(results[0][0]).all()
    assert max(assert_same) < FORCE_TOLERANCE_EV_A


def test_permutations_that_belong_to_other_atoms_are_refused(tmp_path: Path) -> None:
    path = write_gap_xml(GapModel(ISOLATED, (triplet_coordinate(TRIPLET_LINES[1]),)), tmp_path)
    text = path.read_text()
    assert '<permutation i="2">1 3 2</permutation>' in text
    path.write_text(text.replace("1 3 2</perm", "2 1 3</perm"))
    with pytest.raises(IonloopError, match=r"permutes its components in 2 ways.*--backend quippy"):
        read_gap_xml(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("distance_Nb order=4 cutoff=3.0", "order=4.*2 and 3 are.*--backend quippy"),
        ("distance_Nb order=3 cutoff=3.0 Z={3 16}", "3 atomic numbers"),
        ("distance_Nb order=3 cutoff=3.0 compact_clusters=F Z={0 3 16}", "mixes 0"),
        ("soap_turbo l_max=8", "'soap_turbo' is not supported.*--backend quippy"),
    ],
)
def test_descriptors_that_are_not_known_are_named(line: str, message: str) -> None:
    with pytest.raises(IonloopError, match=message):
        parse_descriptor(line, GAP_VERSION)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ("Sum init_args_pot1={IP Glue}", "Sum init_args_pot1={IP LJ}", "a Sum of 'IP Glue' and 'IP GAP'"),
        ('init_args="Sum init_args_pot1={IP Glue} init_args_pot2={IP GAP label=ionloop_gap}"',
         'init_args="IP GAP label=ionloop_gap"', "leave the core out"),
        ('do_spline="T"', 'do_spline="F"', "without do_spline"),
        ("<Glue_params", "<Glue_params/><Glue_params", "2 Glue_params instead of one"),
        ('num_points="4"', 'num_points="5"', "num_points points"),
        ('type2="2"', 'type2="7"', "pair of types"),
        ('fitted="T"', 'fitted="F"', 'not been fitted.*fitted="F"'),
        (f'gap_version="{GAP_VERSION}"', f'gap_version="{GAP_VERSION + 1}"', "later version of gap_fit"),
    ],
)  # fmt: skip
def test_files_that_quip_refuses_or_reads_otherwise(
    pattern: str, replacement: str, message: str, tmp_path: Path
) -> None:
    model = GapModel(ISOLATED, (pair_coordinate(PAIR_LINES[0]),), core=core_potential(True))
    path = write_gap_xml(model, tmp_path)
    text = path.read_text()
    assert pattern in text
    path.write_text(text.replace(pattern, replacement))
    with pytest.raises(IonloopError, match=message):
        read_gap_xml(path)
