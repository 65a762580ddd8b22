"""Fits with three-body terms: those of gap_fit for the same sparse points, chosen and grown like the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.gap_fit import POTENTIAL_FILE, FitLimits, fit_gap
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.sparse_fit.design import sparse_points_of
from ionloop.fitting.native.sparse_fit.fit import fit_native, read_sparse_points, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.native.sparse_fit.sparse_points import uniform_points
from ionloop.fitting.preflight import estimate_cost
from ionloop.fitting.settings import GapSettings, SparseMethod, ThreeBodyDescriptor, ThreeBodySettings

SAME_POINTS_TOLERANCE_eV_per_A = 2e-5  # gap_fit's rounding of K, amplified by near-singular covariances
SAME_POINTS_TOLERANCE_eV = 2e-5
FILE_TOLERANCE_eV_per_A = 1e-7
VIRIAL_TOLERANCE_eV = 1e-6


def with_triplets(
    settings: GapSettings, descriptor: ThreeBodyDescriptor = "angle_3b", method: SparseMethod = "uniform"
) -> GapSettings:
    three_body = ThreeBodySettings(triplet_descriptor=descriptor, cutoff_A=3.4, sparse_points=12, sparse_method=method)
    return settings.model_copy(update={"three_body": three_body})


@pytest.mark.parametrize("descriptor", ["distance_Nb", "angle_3b"])
def test_same_sparse_points_give_the_potential_of_gap_fit(
    descriptor: ThreeBodyDescriptor, lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    """Pair, triplet and SOAP terms; QUIP and ours agree on the energies of either potential."""
    potential = pytest.importorskip("quippy.potential")
    settings = with_triplets(small_settings, descriptor)
    lithium_sulfide = DataSet(lithium_sulfide.configurations[:2], lithium_sulfide.isolated_atom_energies)
    cost = estimate_cost(lithium_sulfide, settings)
    assert ("Li", "S", "S") in cost.triplets
    assert ("S", "S", "S") not in cost.triplets
    groups = (*cost.pairs, *cost.triplets)
    fit_gap(tmp_path, lithium_sulfide, groups, settings, seed=1, limits=FitLimits())
    model = read_gap_xml(tmp_path / POTENTIAL_FILE)
    points = sparse_points_of(model)
    ours = run_fit(FitInputs(lithium_sulfide, settings, seed=1, sparse_points=points), FitResources())
    theirs = potential.Potential(param_filename=str(tmp_path / POTENTIAL_FILE))
    rewritten = potential.Potential(param_filename=str(ours.write(tmp_path / "ours")))
    native = NativeGapCalculator(tmp_path / "ours" / POTENTIAL_FILE)
    for item, errors in zip(lithium_sulfide, ours.training_errors.configurations, strict=True):
        forces = theirs.get_property("forces", item.atoms) - item.forces
        np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=SAME_POINTS_TOLERANCE_eV_per_A)
        energy = theirs.get_property("energy", item.atoms) - item.energy
        assert errors.energy_eV == pytest.approx(energy, abs=SAME_POINTS_TOLERANCE_eV)
        assert errors.virial_eV is not None
        for calculator in (rewritten, native):
            forces = calculator.get_property("forces", item.atoms) - item.forces
            np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=FILE_TOLERANCE_eV_per_A)
            stress = calculator.get_property("stress", item.atoms) - item.stress
            virial = -stress[[0, 5, 4, 1, 3, 2]] * item.atoms.get_volume()
            np.testing.assert_allclose(errors.virial_eV, virial, atol=VIRIAL_TOLERANCE_eV)
    chosen = fit_native(lithium_sulfide, settings, seed=1).sparse_points
    for key in points.keys:
        if len(key) == 3:
            same = {tuple(row) for row in chosen.of(key).round(6)} & {tuple(row) for row in points.of(key).round(6)}
            # The first of each cell of the grid that these few data meet; the rest is filled at random.
            assert len(same) >= 4


@pytest.mark.parametrize("method", ["cur_points", "farthest_points", "random"])
def test_every_method_chooses_as_many_triplets_as_asked_for(
    method: SparseMethod, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    fit = fit_native(lithium_sulfide, with_triplets(small_settings, method=method), seed=1)
    triplets = [key for key in fit.sparse_points.keys if len(key) == 3]
    assert triplets == [(3, 3, 3), (3, 3, 16), (3, 16, 16), (16, 3, 3)]
    assert [len(fit.sparse_points.of(key)) for key in triplets] == [12, 12, 12, 12]


def test_triplets_make_the_fit_no_worse(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    plain = fit_native(lithium_sulfide, small_settings, seed=1)
    richer = fit_native(lithium_sulfide, with_triplets(small_settings), seed=1)
    assert richer.objective < plain.objective


def test_a_later_fit_keeps_triplets_and_their_rows(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    settings = with_triplets(small_settings, method="farthest_points")
    resources = FitResources(cache_folder=tmp_path / "rows")
    young = DataSet(lithium_sulfide.configurations[:2], lithium_sulfide.isolated_atom_energies)
    first = run_fit(FitInputs(young, settings, seed=1), resources)
    path = first.write(tmp_path / "first")
    earlier = read_sparse_points(path.parent, read_gap_xml(path))
    second = run_fit(FitInputs(lithium_sulfide, settings, seed=2, earlier=earlier), resources)
    assert second.rows_reused > 0
    for key in first.sparse_points.keys:
        kept = first.sparse_points.of(key)
        np.testing.assert_allclose(second.sparse_points.of(key)[: len(kept)], kept, rtol=1e-14)
        assert len(second.sparse_points.of(key)) <= 3 * max(len(kept), 12) // 2
    without = FitInputs(young, with_triplets(small_settings, "distance_Nb", "farthest_points"), seed=1)
    assert run_fit(without, resources).rows_reused == 0


def test_settings_without_triplets_are_those_of_earlier_releases(small_settings: GapSettings) -> None:
    assert "three_body" not in small_settings.identifying_values()
    assert with_triplets(small_settings).identifying_values()["three_body"]["triplet_descriptor"] == "angle_3b"


@pytest.mark.parametrize("count", [8, 27, 30])
def test_the_first_triplet_in_each_cell_of_the_grid_is_taken(count: int) -> None:
    """As gap_fit 0.10.3 does: the smallest cube of nodes that has enough, the first cells that the data meet."""
    random = np.random.default_rng(0)
    descriptors = random.random((400, 3))
    chosen = uniform_points(descriptors, count, random)
    n_nodes = {8: 2, 27: 3, 30: 4}[count]
    nodes = np.rint((descriptors - descriptors.min(axis=0)) / np.ptp(descriptors, axis=0) * (n_nodes - 1))
    met: dict[tuple[float, ...], int] = {}
    for index, node in enumerate(map(tuple, nodes)):
        met.setdefault(node, index)
    assert chosen.tolist() == sorted(met.values())[:count]
