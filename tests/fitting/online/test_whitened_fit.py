"""A fit that was grown in any order is the fit to everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.sparse_fit.fit import fit_native, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.native.sparse_fit.solve import SingularFitError
from ionloop.fitting.native.sparse_fit.sparse_points import SparseLayer, SparsePoints
from ionloop.fitting.online.whitened_fit import WhitenedFit
from ionloop.fitting.settings import GapSettings

FORCE_TOLERANCE_eV_per_A = 1e-5
"""The measure: a 1e-12 perturbation of the covariances moves forces by about as much."""
TRIANGLE_TOLERANCE = 1e-6
PARTS = 6


@pytest.fixture(scope="module")
def whole(lithium_sulfide: DataSet, small_settings: GapSettings) -> tuple[SparsePoints, NativeGapCalculator]:
    fit = fit_native(lithium_sulfide, small_settings, seed=3)
    return fit.sparse_points, NativeGapCalculator(fit.model)


def part_of(points: SparsePoints, number: int) -> SparseLayer:
    """Return every sixth point of each coordinate."""
    return SparseLayer(
        {key: points.of(key)[number::PARTS] for key in points.keys if len(points.of(key)[number::PARTS])}
    )


@settings(max_examples=6, deadline=None)
@given(
    order=st.permutations([("points", number) for number in range(PARTS)] + [("label", number) for number in range(5)])
)
def test_any_order_of_labels_and_points_gives_the_fit_to_everything(
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    whole: tuple[SparsePoints, NativeGapCalculator],
    order: list[tuple[str, int]],
) -> None:
    points, expected = whole
    grown = WhitenedFit(small_settings, lithium_sulfide.isolated_atom_energies)
    for what, number in order:
        if what == "points":
            grown.add_points(part_of(points, number))
        else:
            grown.add_labels([lithium_sulfide.configurations[number]])
    assert grown.n_points == points.n_points
    found = NativeGapCalculator(grown.model())
    for one in lithium_sulfide.configurations:
        difference = found.get_property("forces", one.atoms) - expected.get_property("forces", one.atoms)
        assert np.abs(difference).max() < FORCE_TOLERANCE_eV_per_A
    same = FitInputs(lithium_sulfide, small_settings, 3, sparse_points=grown.sparse_points)
    triangle = run_fit(same, FitResources()).triangle
    product, known = grown.triangle().T @ grown.triangle(), triangle.T @ triangle
    np.testing.assert_allclose(product, known, rtol=0, atol=TRIANGLE_TOLERANCE * np.abs(known).max())


def test_points_twice_are_refused_and_change_nothing(
    lithium_sulfide: DataSet, small_settings: GapSettings, whole: tuple[SparsePoints, NativeGapCalculator]
) -> None:
    grown = WhitenedFit(
        small_settings.model_copy(update={"sparse_jitter": 1e-18}), lithium_sulfide.isolated_atom_energies
    )
    layer = part_of(whole[0], 0)
    grown.add_points(layer)
    grown.add_labels(lithium_sulfide.configurations[:2])
    before = grown.weights()
    with pytest.raises(SingularFitError, match="combinations"):
        grown.add_points(layer)
    np.testing.assert_array_equal(grown.weights(), before)
    with pytest.raises(InputError, match="no energy of Li"):
        WhitenedFit(small_settings, {"S": 0.0}).add_labels(lithium_sulfide.configurations[:1])
