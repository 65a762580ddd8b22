"""Time of GAPs, ours against QUIP's, in one table: evaluations, the electrostatic baseline of ES-GAP, and fits.

``python benchmarks/gap.py [--sizes 84 336 1344] [--zeta 4 1] [--threads 1 2] [--repeats 5] [--skip-large-basis]
[--skip-triplets] [--fit CELLS]``

The potential is a pair term and a SOAP term per element for Li7P3S11 with weights drawn at random, written as
gap_fit writes and read by both, with each exponent of the kernel; one row has a term of ``distance_Nb`` of order 3 per
triplet besides, and their share is what they add to the shortest time. Everything is timed in turn within one run,
atoms moved before every call; ratios of the shortest times. Operations are those of two products with all sparse
points, however few are done. What is printed as the share of matrix products is measured inside the evaluation, next to
their rate and to the rate of one large product on the same thread. Fits are those of ``native_fit.py``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import native_fit  # the other script of this folder
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from quippy.potential import Potential
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, SlaterEwald, default_charges
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.covariance_sums import CovarianceSum
from ionloop.fitting.native.descriptor_strings import TripletDescriptor, parse_descriptor
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel, read_gap_xml, write_gap_xml
from ionloop.fitting.native.neighbours import neighbour_pairs
from ionloop.fitting.native.scratch import Scratch
from ionloop.fitting.native.soap import SoapBasis
from ionloop.fitting.native.three_body.triplets import components, cutoffs_of_components, find_triplets, triplet_keys
from ionloop.sampling.structures.crystals import build_crystal

ELEMENTS = (3, 15, 16)
SYMBOLS = ("Li", "P", "S")
CUTOFF_A = 6.0
SUPERCELLS = {
    42: (1, 1, 1),
    84: (2, 1, 1),
    168: (2, 2, 1),
    336: (2, 2, 2),
    672: (4, 2, 2),
    1344: (4, 4, 2),
    10080: (8, 6, 5),
}
DISPLACEMENT_A = 0.1
STEP_A = 0.01
# Typical of fits: weights of pair terms reach thousands and cancel, those of SOAP terms stay in the tens.
PAIR_WEIGHT, SOAP_WEIGHT, TRIPLET_WEIGHT = 10.0, 20.0, 1.0
TRIPLET_CUTOFF_A, TRIPLET_POINTS = 3.5, 100


@dataclass
class Products:
    """Time (s) and operations of the matrix products inside evaluations."""

    seconds: float = 0.0
    operations: float = 0.0


@dataclass
class Comparison:
    """Shortest times (s) of one evaluation, and the largest differences between the two codes."""

    n_atoms: int
    native_s: dict[int, float]
    quippy_s: float
    baseline_s: float
    products: Products
    products_within_s: float
    differences: dict[str, float] = field(default_factory=dict)
    without_triplets_s: float | None = None


def rattled(n_atoms: int) -> Atoms:
    atoms = build_crystal("li7p3s11").repeat(SUPERCELLS[n_atoms])
    atoms.rattle(DISPLACEMENT_A, seed=1)
    return atoms


def sparse_descriptors(basis: SoapBasis, count: int) -> np.ndarray:
    """Descriptors of environments in cells displaced more and more."""
    rows: list[np.ndarray] = []
    for seed in range(count):
        atoms = rattled(42)
        atoms.rattle(0.02 * seed, seed=seed)
        numbers = atoms.numbers.astype(np.int64)
        pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF_A)
        central = basis.central_atoms(numbers)
        rows.extend(basis.to_file_order(basis.forward(pairs, numbers, central).spectrum))
        if len(rows) >= count:
            break
    return np.array(rows[:count])


def triplet_coordinates(count: int, cutoff_A: float) -> list[Coordinate]:
    """A term for each triplet of elements that occurs, its sparse points those of the crystal."""
    random = np.random.default_rng(1)
    atoms = rattled(42)
    pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff_A)
    coordinates = []
    for key in triplet_keys(ELEMENTS, central=False):
        line = f"distance_Nb order=3 cutoff={cutoff_A} cutoff_transition_width=0.5 Z={{{' '.join(map(str, key))}}}"
        descriptor = parse_descriptor(line, GAP_VERSION)
        assert isinstance(descriptor, TripletDescriptor)
        found = components(find_triplets(descriptor, pairs, atoms.numbers.astype(np.int64), np.arange(len(atoms))))
        if not len(found):
            continue
        points = found[random.permutation(len(found))[:count]]
        weights, cutoffs = random.normal(0, TRIPLET_WEIGHT, len(points)), cutoffs_of_components(descriptor, points)
        orders = descriptor.permutations if len(descriptor.permutations) > 1 else ()
        coordinates.append(
            Coordinate(descriptor, "ard_se", 0.5, points, weights, cutoffs, theta=np.ones(3), permutations=orders)
        )
    return coordinates


def random_potential(n_max: int, l_max: int, n_sparse: int, zeta: float) -> GapModel:
    random = np.random.default_rng(0)
    cutoff = f"cutoff={CUTOFF_A} cutoff_transition_width=1.0"
    coordinates = []
    distances = np.linspace(1.8, CUTOFF_A - 0.2, 15)[:, None]
    for index, first in enumerate(ELEMENTS):
        for second in ELEMENTS[index:]:
            descriptor = parse_descriptor(f"distance_2b {cutoff} Z1={first} Z2={second}", GAP_VERSION)
            weights = random.normal(0, PAIR_WEIGHT, 15)
            coordinates.append(Coordinate(descriptor, "ard_se", 1.0, distances, weights, np.ones(15), theta=np.ones(1)))
    for element in ELEMENTS:
        text = f"soap n_max={n_max} l_max={l_max} atom_sigma=0.5 {cutoff} n_species=3 Z={element} species_Z={{3 15 16}}"
        descriptor = parse_descriptor(text, GAP_VERSION)
        points = sparse_descriptors(SoapBasis(descriptor), n_sparse)
        weights = random.normal(0, SOAP_WEIGHT, n_sparse)
        coordinates.append(Coordinate(descriptor, "dot_product", 0.5, points, weights, np.ones(n_sparse), zeta=zeta))
    return GapModel({3: -1.5, 15: -3.0, 16: -2.5}, tuple(coordinates))


class TimedSum(CovarianceSum):
    """A sum over sparse points that measures itself."""

    def __init__(self, timed: CovarianceSum, products: Products) -> None:
        super().__init__(timed.points, timed.constants, timed.weights)
        self.timed, self.products = timed, products

    def evaluate(
        self, spectra: np.ndarray, energies: np.ndarray, products: np.ndarray | None, scratch: Scratch
    ) -> np.ndarray:
        started = time.perf_counter()
        slopes = self.timed.evaluate(spectra, energies, products, scratch)
        self.products.seconds += time.perf_counter() - started
        self.products.operations += 4.0 * spectra.size * len(self.weights)
        return slopes

    begin = finish = None  # type: ignore[assignment]


@contextmanager
def timed_products(calculator: NativeGapCalculator) -> Iterator[Products]:
    """Measure the sums over sparse points of everything evaluated inside."""
    products = Products()
    terms = calculator._evaluator._soap_terms
    sums = [term.sum for term in terms]
    for term in terms:
        term.sum = TimedSum(term.sum, products)
    yield products
    for term, kept in zip(terms, sums, strict=True):
        term.sum = kept


def dgemm_rate(size: int = 1024) -> float:
    """Operations per second of a large product on one thread."""
    matrix = np.random.default_rng(0).random((size, size))
    shortest = float("inf")
    with threadpool_limits(1, user_api="blas"):
        for _ in range(5):
            started = time.perf_counter()
            matrix @ matrix
            shortest = min(shortest, time.perf_counter() - started)
    return 2.0 * size**3 / shortest


def evaluate(calculator: Calculator, atoms: Atoms) -> float:
    started = time.perf_counter()
    calculator.calculate(atoms, ["energy", "forces", "stress"], list(all_changes))
    return time.perf_counter() - started


def compare(potential: Path, n_atoms: int, threads: list[int], repeats: int) -> Comparison:
    model = read_gap_xml(potential)
    natives = {count: NativeGapCalculator(model, threads=count) for count in threads}
    quippy = Potential(param_filename=str(potential))
    baseline = SlaterEwald(default_charges(SYMBOLS), {symbol: SLATER_EXPONENTS[symbol] for symbol in SYMBOLS})
    atoms = rattled(n_atoms)
    for calculator in (*natives.values(), baseline):
        evaluate(calculator, atoms)  # compiles and makes tables
    times: dict[int, list[float]] = {count: [] for count in threads}
    quippy_times, baseline_times = [], []
    random = np.random.default_rng(0)
    for _ in range(repeats):
        atoms.positions += random.normal(0, STEP_A, atoms.positions.shape)
        quippy_times.append(evaluate(quippy, atoms.copy()))
        for count, calculator in natives.items():
            # Ours takes so much less that several calls fit beside one of QUIP's.
            for _ in range(3):
                atoms.positions += random.normal(0, 1e-3, atoms.positions.shape)
                times[count].append(evaluate(calculator, atoms))
        baseline_times.append(evaluate(baseline, atoms))
    without_triplets_s = None
    if any(isinstance(coordinate.descriptor, TripletDescriptor) for coordinate in model.coordinates):
        kept = [part for part in model.coordinates if not isinstance(part.descriptor, TripletDescriptor)]
        plain = NativeGapCalculator(replace(model, coordinates=tuple(kept)), threads=threads[0])
        evaluate(plain, atoms)
        without, with_triplets = [], []
        for _ in range(3 * repeats):
            atoms.positions += random.normal(0, 1e-3, atoms.positions.shape)
            without.append(evaluate(plain, atoms))
            with_triplets.append(evaluate(natives[threads[0]], atoms))
        times[threads[0]] += with_triplets
        without_triplets_s = min(without)
    with timed_products(natives[threads[0]]) as products:
        within = sum(evaluate(natives[threads[0]], atoms) for _ in range(repeats))
    evaluate(quippy, atoms.copy())
    ours, theirs = natives[threads[0]].results, quippy.results
    return Comparison(
        n_atoms,
        {count: min(kept) for count, kept in times.items()},
        min(quippy_times),
        min(baseline_times),
        products,
        within,
        {
            "energy": abs(ours["energy"] - theirs["energy"]),
            "forces": float(np.abs(ours["forces"] - theirs["forces"]).max()),
            "virial": float(np.abs(ours["stress"] - theirs["stress"]).max() * atoms.get_volume()),
        },
        without_triplets_s,
    )


def per_atom(seconds: float, n_atoms: int) -> str:
    return f"{1e6 * seconds / n_atoms:,.3g} µs"


def add_evaluation(table: Table, name: str, comparison: Comparison) -> None:
    """Add the row of the GAP and that of the baseline, whose share of an ES-GAP is that of one thread."""
    n_atoms, products = comparison.n_atoms, comparison.products
    ours = list(comparison.native_s.values())
    table.add_row(
        f"evaluation, {name}",
        f"{n_atoms:,}",
        f"{1e6 * comparison.quippy_s / n_atoms:,.0f} µs",
        " / ".join(per_atom(seconds, n_atoms) for seconds in ours),
        " / ".join(f"{comparison.quippy_s / seconds:.1f}" for seconds in ours),
        f"{products.seconds / comparison.products_within_s:.0%}",
        f"{products.operations / products.seconds / 1e9:.0f}",
        "{energy:.0e} eV, {forces:.0e} eV/Å, {virial:.0e} eV".format(**comparison.differences),
    )
    if comparison.without_triplets_s is not None:
        added = ours[0] - comparison.without_triplets_s
        table.add_row(
            "  its triplets", "", "", per_atom(added, n_atoms), "", f"{added / ours[0]:.0%}", "", "of the GAP"
        )
        return
    share = " / ".join(f"{comparison.baseline_s / seconds:.1%}" for seconds in ours)
    table.add_row(
        "  ES-GAP: baseline", "", "", per_atom(comparison.baseline_s, n_atoms), "", "", "", f"{share} of the GAP"
    )


def add_evaluations(
    table: Table, sizes: list[int], zetas: list[float], threads: list[int], repeats: int, large_basis: bool
) -> None:
    """Add the usual basis with each exponent at several sizes, and a large one at the first."""
    bases = [(8, 4, 600, zeta, sizes) for zeta in zetas]
    for n_max, l_max, n_sparse, zeta, chosen in bases + ([(12, 6, 500, zetas[0], sizes[:1])] if large_basis else []):
        with tempfile.TemporaryDirectory() as folder:
            potential = write_gap_xml(random_potential(n_max, l_max, n_sparse, zeta), folder)
            for n_atoms in chosen:
                name = f"n{n_max} l{l_max}, {n_sparse} points, ζ = {zeta:g}"
                # One of QUIP's with ten thousand atoms takes a minute.
                add_evaluation(table, name, compare(potential, n_atoms, threads, repeats if n_atoms < 5000 else 2))


def add_triplets(table: Table, n_atoms: int, zeta: float, threads: list[int], repeats: int) -> None:
    """Add the usual basis with triplets besides."""
    plain = random_potential(8, 4, 600, zeta)
    triplets = triplet_coordinates(TRIPLET_POINTS, TRIPLET_CUTOFF_A)
    with tempfile.TemporaryDirectory() as folder:
        potential = write_gap_xml(replace(plain, coordinates=(*plain.coordinates, *triplets)), folder)
        name = f"n8 l4, 600 points, {TRIPLET_POINTS} per triplet"
        add_evaluation(table, name, compare(potential, n_atoms, threads, repeats))


def add_fit(table: Table, data_set: DataSet, threads: int) -> None:
    """Add the whole fit: selection, rows, solution, errors, files."""
    with tempfile.TemporaryDirectory() as name:
        native, theirs = Path(name) / "native", Path(name) / "gap_fit"
        theirs.mkdir()
        _, native_s = native_fit.time_native(data_set, native, threads)
        gap_fit_s = native_fit.time_gap_fit(data_set, theirs, threads)
        difference = native_fit.largest_force_difference(data_set, theirs, threads)
    table.add_row(
        f"fit, {len(data_set)} cells, n8 l4, 600 points",
        f"{sum(item.n_atoms for item in data_set):,}",
        f"{gap_fit_s:.1f} s",
        f"{native_s:.1f} s",
        f"{gap_fit_s / native_s:.1f}",
        "",
        "",
        f"{difference:.0e} eV/Å, same sparse points",
    )


def empty_table(threads: list[int]) -> Table:
    return Table(
        "",
        "atoms",
        "QUIP",
        f"ours, {' / '.join(map(str, threads))} threads",
        "times faster",
        "products",
        "GFLOP/s",
        "largest difference",
        title=f"Times of evaluations (energy, forces, stress) are per atom. One product of size 1024 runs at "
        f"{dgemm_rate() / 1e9:.0f} GFLOP/s.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[84, 336, 1344], choices=sorted(SUPERCELLS))
    parser.add_argument("--zeta", type=float, nargs="+", default=[4.0, 1.0], help="exponents of the kernel")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="first counts for the share of products")
    parser.add_argument("--repeats", type=int, default=5, help="timed evaluations by QUIP; three times as many by ours")
    parser.add_argument("--skip-large-basis", action="store_true", help="leave n12 l6 out")
    parser.add_argument("--skip-triplets", action="store_true", help="leave the three-body terms out")
    parser.add_argument("--fit", type=int, metavar="CELLS", help="compare fits of this many cells; QUIP: 25 s per cell")
    arguments = parser.parse_args()
    table = empty_table(arguments.threads)
    large_basis = not arguments.skip_large_basis
    add_evaluations(table, arguments.sizes, arguments.zeta, arguments.threads, arguments.repeats, large_basis)
    if not arguments.skip_triplets:
        add_triplets(table, arguments.sizes[0], arguments.zeta[0], arguments.threads, arguments.repeats)
    if arguments.fit:
        table.add_section()
        add_fit(table, native_fit.load(None, arguments.fit), arguments.threads[0])
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
