"""Covariances with sparse points and their derivatives: the same as by two products of whole matrices."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.fitting.native import soap_term
from ionloop.fitting.native.calculator import Evaluator
from ionloop.fitting.native.descriptor_strings import parse_descriptor
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel
from ionloop.fitting.native.scratch import Scratch
from ionloop.fitting.native.sparse_products import SparseProducts, is_supported
from ionloop.sampling.structures.crystals import build_crystal

RELATIVE_ROUNDING = 1e-13
FORCE_TOLERANCE_eV_per_A = 1e-10

pytestmark = pytest.mark.skipif(not is_supported(), reason="on this processor BLAS multiplies")


def spectra(count: int, n_components: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).random((count, n_components))
    return rows / np.linalg.norm(rows, axis=1)[:, None]


# Fewer than a group, many groups, several blocks, and descriptors too long to be kept.
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 7, 5), (13, 130, 75), (29, 250, 16), (23, 96, 700), (17, 310, 2200)])
@pytest.mark.parametrize("zeta", [1.0, 2.5, 4.0])
def test_energies_slopes_and_products_are_those_of_whole_matrices(size: tuple[int, int, int], zeta: float) -> None:
    n_atoms, n_points, n_components = size
    p, x = spectra(n_atoms, n_components, 1), spectra(n_points, n_components, 2)
    random = np.random.default_rng(3)
    constants, weights = random.random(n_points), random.normal(size=n_points)
    energies, products = np.full(n_atoms, np.nan), np.empty((n_atoms, n_points))
    scratch = Scratch()
    evaluator = SparseProducts(x, constants, weights, zeta)
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


def test_an_atom_has_the_same_bits_in_any_company() -> None:
    p, x = spectra(31, 90, 4), spectra(140, 90, 5)
    evaluator = SparseProducts(x, np.zeros(140), np.ones(140), 4.0)

    def evaluate(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies = np.empty(len(rows))
        slopes = evaluator.evaluate(rows, energies, Scratch())
        return energies, slopes[: len(rows), :90].copy()

    energies, slopes = evaluate(p)
    for chosen in (slice(0, 1), slice(5, 12), slice(7, 31)):
        some_energies, some_slopes = evaluate(p[chosen])
        np.testing.assert_array_equal(some_energies, energies[chosen])
        np.testing.assert_array_equal(some_slopes, slopes[chosen])


def small_model() -> GapModel:
    text = "soap n_max=3 l_max=2 atom_sigma=0.5 cutoff=4.0 n_species=3 Z=3 species_Z={3 15 16} covariance_sigma0=0.1"
    coordinates = []
    for number in (3, 15, 16):
        descriptor = parse_descriptor(text.replace("Z=3 ", f"Z={number} "), GAP_VERSION)
        points = np.hstack([spectra(40, 3 * 45, number), np.full((40, 1), 0.1)])
        weights = np.random.default_rng(number).normal(size=40)
        coordinates.append(Coordinate(descriptor, "dot_product", 0.5, points, weights, np.ones(40), zeta=4.0))
    return GapModel({3: -1.0, 15: -2.0, 16: -3.0}, tuple(coordinates))


def test_blas_gives_the_same_where_the_registers_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = build_crystal("gamma-li3ps4")
    atoms.rattle(0.05, seed=1)
    structure = (atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    ours = Evaluator(small_model()).evaluate(*structure, variance=True)
    monkeypatch.setattr(soap_term, "is_supported", lambda: False)
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
