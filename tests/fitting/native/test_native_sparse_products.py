"""Covariances with sparse points and their derivatives: the same as by two products of whole matrices."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.fitting.native import covariance_sums, soap_term
from ionloop.fitting.native.calculator import Evaluator
from ionloop.fitting.native.covariance_sums import (
    CovarianceSum,
    LinearSum,
    PointSum,
    QuadraticSum,
    covariance_sum,
    products_in_registers,
)
from ionloop.fitting.native.descriptor_strings import parse_descriptor
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel
from ionloop.fitting.native.narrow_products import NarrowProducts
from ionloop.fitting.native.scratch import Scratch
from ionloop.fitting.native.wide_products import WideProducts
from ionloop.sampling.structures.crystals import build_crystal

RELATIVE_ROUNDING = 1e-13
FORCE_TOLERANCE_eV_per_A = 1e-10

HERE = products_in_registers()
in_registers = pytest.mark.skipif(HERE is None, reason="on this processor BLAS multiplies")
# The compiler splits vectors that are wider than the registers: that is right all the same, but it takes a minute.
wide_only = pytest.mark.skipif(HERE is not WideProducts, reason="this processor has no AVX-512")
KINDS = (pytest.param(WideProducts, marks=wide_only), NarrowProducts)


def spectra(count: int, n_components: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).random((count, n_components))
    return rows / np.linalg.norm(rows, axis=1)[:, None]


# Fewer than a group, many groups, several blocks, and descriptors too long to be kept.
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 7, 5), (13, 130, 75), (29, 250, 16), (23, 96, 700), (17, 310, 2200)])
@pytest.mark.parametrize("zeta", [2.5, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_energies_slopes_and_products_are_those_of_whole_matrices(
    kind: type[WideProducts | NarrowProducts], size: tuple[int, int, int], zeta: float
) -> None:
    n_atoms, n_points, n_components = size
    p, x = spectra(n_atoms, n_components, 1), spectra(n_points, n_components, 2)
    random = np.random.default_rng(3)
    constants, weights = random.random(n_points), random.normal(size=n_points)
    energies, products = np.full(n_atoms, np.nan), np.empty((n_atoms, n_points))
    scratch = Scratch()
    evaluator = kind(x, constants, weights, zeta)
    for _ in range(2):  # the second time with what the first one left in the buffers
        slopes = evaluator.evaluate(p, energies, scratch, products)[:n_atoms, :n_components]
    k = p @ x.T + constants
    np.testing.assert_allclose(products, p @ x.T, rtol=RELATIVE_ROUNDING)
    np.testing.assert_allclose(
        energies, k**zeta @ weights, atol=RELATIVE_ROUNDING * (abs(k**zeta) @ abs(weights)).max()
    )
    expected = (zeta * weights * k ** (zeta - 1)) @ x
    bound = (zeta * abs(weights) * k ** (zeta - 1)) @ x
    np.testing.assert_allclose(slopes, expected, atol=RELATIVE_ROUNDING * bound.max())


@pytest.mark.parametrize("size", [(1, 1, 1), (13, 130, 75), (17, 310, 700)])
@pytest.mark.parametrize("kind", KINDS)
def test_two_sums_share_their_products(kind: type[WideProducts | NarrowProducts], size: tuple[int, int, int]) -> None:
    n_atoms, n_points, n_components = size
    p, x = spectra(n_atoms, n_components, 1), spectra(n_points, n_components, 2)
    random = np.random.default_rng(3)
    constants, weights, others = random.random(n_points), random.normal(size=n_points), random.normal(size=n_points)
    factors, scratch, zeta = random.normal(size=n_atoms), Scratch(), 3.0
    evaluator, sums = kind(x, constants, weights, zeta), np.empty((2, n_atoms))
    products = evaluator.products(p, scratch)
    k = p @ x.T + constants
    bound = RELATIVE_ROUNDING * (k**zeta).sum(axis=1).max() * 10
    np.testing.assert_allclose(evaluator.in_order(products, n_atoms), p @ x.T, rtol=RELATIVE_ROUNDING)
    evaluator.sums(products, others, sums)
    np.testing.assert_allclose(sums, [k**zeta @ weights, k**zeta @ others], atol=bound)
    slopes = evaluator.slopes(products, others, factors, n_components, scratch)[:n_atoms, :n_components]
    expected = (zeta * k ** (zeta - 1) * (weights + factors[:, None] * others)) @ x
    np.testing.assert_allclose(slopes, expected, atol=10 * bound)


@pytest.mark.parametrize("kind", KINDS)
def test_an_atom_has_the_same_bits_in_any_company(kind: type[WideProducts | NarrowProducts]) -> None:
    p, x = spectra(31, 90, 4), spectra(140, 90, 5)
    evaluator = kind(x, np.zeros(140), np.ones(140), 4.0)

    def evaluate(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies = np.empty(len(rows))
        slopes = evaluator.evaluate(rows, energies, Scratch())
        return energies, slopes[: len(rows), :90].copy()

    energies, slopes = evaluate(p)
    for chosen in (slice(0, 1), slice(5, 12), slice(7, 31)):
        some_energies, some_slopes = evaluate(p[chosen])
        np.testing.assert_array_equal(some_energies, energies[chosen])
        np.testing.assert_array_equal(some_slopes, slopes[chosen])


@pytest.mark.parametrize(("zeta", "collapsed"), [(1.0, LinearSum), (2.0, QuadraticSum)])
def test_sparse_points_collapse_into_a_vector_or_a_matrix(zeta: float, collapsed: type[CovarianceSum]) -> None:
    p, x = spectra(23, 90, 6), spectra(140, 90, 7)
    random = np.random.default_rng(8)
    # Weights of fits reach thousands, and cancel.
    constants, weights, second_weights = random.random(140), random.normal(0, 1e3, 140), random.normal(size=140)
    factors, scratch = random.normal(size=23), Scratch()
    chosen, points = covariance_sum(x, constants, weights, zeta), PointSum(x, constants, weights, zeta)
    assert type(chosen) is collapsed
    found = []
    for one in (chosen, points):
        energies, products, again, sums = np.empty(23), np.empty((23, 140)), np.empty((23, 140)), np.empty((2, 23))
        slopes = one.evaluate(p, energies, products, scratch)[:23, :90].copy()
        begun = one.begin(p, second_weights, sums, scratch)
        both = one.finish(p, begun, second_weights, factors, again, scratch)[:23, :90].copy()
        found.append((energies, slopes, products, sums, both, again))
    k = p @ x.T + constants
    bound = RELATIVE_ROUNDING * (k**zeta @ abs(weights)).max()
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=zeta * bound)


@pytest.mark.parametrize(("zeta", "n_points"), [(4.0, 140), (2.5, 140), (2.0, 20)])
def test_nothing_collapses_where_that_is_no_gain(zeta: float, n_points: int) -> None:
    chosen = covariance_sum(spectra(n_points, 90, 7), np.zeros(n_points), np.ones(n_points), zeta)
    assert not isinstance(chosen, LinearSum | QuadraticSum)


@pytest.mark.parametrize("zeta", [1.0, 2.0])
def test_a_collapsed_potential_gives_the_forces_of_its_sparse_points(
    zeta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms = build_crystal("gamma-li3ps4")
    atoms.rattle(0.05, seed=1)
    structure = (atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    model = small_model(zeta, n_points=120)
    collapsed = Evaluator(model).evaluate(*structure, variance=True)
    monkeypatch.setattr(soap_term, "covariance_sum", lambda *given: PointSum(*given[:4]))
    whole = Evaluator(model).evaluate(*structure, variance=True)
    for name in ("energies", "forces", "virial", "variances"):
        np.testing.assert_allclose(
            getattr(collapsed, name), getattr(whole, name), rtol=0, atol=FORCE_TOLERANCE_eV_per_A
        )


def small_model(zeta: float = 4.0, n_points: int = 40) -> GapModel:
    text = "soap n_max=3 l_max=2 atom_sigma=0.5 cutoff=4.0 n_species=3 Z=3 species_Z={3 15 16} covariance_sigma0=0.1"
    coordinates = []
    for number in (3, 15, 16):
        descriptor = parse_descriptor(text.replace("Z=3 ", f"Z={number} "), GAP_VERSION)
        points = np.hstack([spectra(n_points, 3 * 45, number), np.full((n_points, 1), 0.1)])
        weights = np.random.default_rng(number).normal(size=n_points)
        coordinates.append(Coordinate(descriptor, "dot_product", 0.5, points, weights, np.ones(n_points), zeta=zeta))
    return GapModel({3: -1.0, 15: -2.0, 16: -3.0}, tuple(coordinates))


@in_registers
def test_blas_gives_the_same_where_the_registers_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = build_crystal("gamma-li3ps4")
    atoms.rattle(0.05, seed=1)
    structure = (atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    ours = Evaluator(small_model()).evaluate(*structure, variance=True)
    monkeypatch.setattr(covariance_sums, "products_in_registers", lambda: None)
    blas = Evaluator(small_model()).evaluate(*structure, variance=True)
    np.testing.assert_allclose(ours.forces, blas.forces, rtol=0, atol=FORCE_TOLERANCE_eV_per_A)
    np.testing.assert_allclose(ours.energies, blas.energies, rtol=0, atol=FORCE_TOLERANCE_eV_per_A)
    np.testing.assert_allclose(ours.variances, blas.variances, rtol=0, atol=FORCE_TOLERANCE_eV_per_A)


def test_variances_on_request_leave_the_forces_as_they_are() -> None:
    atoms = build_crystal("gamma-li3ps4")
    evaluator = Evaluator(small_model())
    structure = (atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    with_variance, without = evaluator.evaluate(*structure, variance=True), evaluator.evaluate(*structure)
    np.testing.assert_array_equal(with_variance.forces, without.forces)
    np.testing.assert_array_equal(with_variance.energies, without.energies)
