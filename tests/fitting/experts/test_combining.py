"""Fusions are fits of everything; points among more elements are the same environments."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.experts.combine import combine_models
from ionloop.fitting.experts.expert import read_expert
from ionloop.fitting.experts.joining import common_zero, joined_data
from ionloop.fitting.experts.points import fused_points, pivots
from ionloop.fitting.experts.product import product_model
from ionloop.fitting.experts.settings import FusionSettings
from ionloop.fitting.models import fit_model, load_model, load_posterior, read_manifest
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.sparse_fit.fit import run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import BaselineSettings, Regularisation, TwoBodySettings

from .materials import ALONE_EV, ANIONS, SETTINGS, cell, data_of, fitted, labelled

ELEMENTS = ("Li", "P", "S")
SAME_ENERGY_EV = 1e-9
SAME_FORCE_EV_PER_A = 1e-8
FIT_TOLERANCE_EV_PER_A = 1e-6
"""Sums in another order, through a solution whose weights cancel."""


def force_rmse(calculator: Calculator, anion: str) -> float:
    tests = [labelled(anion, seed) for seed in range(100, 108)]
    found = [calculator.get_property("forces", one.atoms) - one.forces for one in tests]
    return float(np.sqrt(np.mean(np.square(found))))


@pytest.fixture(scope="module")
def fused(sulphide, phosphide, tmp_path_factory):
    out = tmp_path_factory.mktemp("fused") / "model"
    combine_models([sulphide, phosphide], out)
    return out


def test_points_that_are_described_among_more_elements_give_the_same_potential(sulphide):
    expert = read_expert(sulphide)
    alone, among = load_model(sulphide), NativeGapCalculator(product_model([expert], ("Li", "S"), SETTINGS))
    wider = joined_data([("one", expert.data_set), ("other", data_of("phosphide"))])
    assert wider.elements == ELEMENTS
    points = expert.points_among(ELEMENTS)
    assert points[(3,)].shape[1] > expert.points.of((3,)).shape[1]
    # Products of the vectors are what kernels know of them.
    np.testing.assert_allclose(points[(3,)] @ points[(3,)].T, expert.points.of((3,)) @ expert.points.of((3,)).T)
    atoms = cell("S", 50)
    for name, tolerance in (("energy", SAME_ENERGY_EV), ("forces", SAME_FORCE_EV_PER_A)):
        expected = alone.get_property(name, atoms)
        np.testing.assert_allclose(among.get_property(name, atoms), expected, rtol=0, atol=tolerance)


def test_a_fusion_is_the_fit_of_all_data_with_all_points(sulphide, phosphide, fused):
    experts = [read_expert(folder) for folder in (sulphide, phosphide)]
    data = joined_data([(one.name, one.data_set) for one in experts])
    points = fused_points(experts, ELEMENTS, SETTINGS)
    expected = NativeGapCalculator(run_fit(FitInputs(data, SETTINGS, 1, sparse_points=points), FitResources()).model)
    found, atoms = load_model(fused), cell("S", 51)
    np.testing.assert_allclose(
        found.get_property("forces", atoms),
        expected.get_property("forces", atoms),
        rtol=0,
        atol=FIT_TOLERANCE_EV_PER_A,
    )
    manifest = read_manifest(fused)
    assert manifest.elements == ELEMENTS
    assert manifest.configurations == 12
    assert manifest.experts == tuple(one.inputs_hash for one in experts)
    assert load_posterior(fused).factor(0.95) > 1.9


def test_a_fusion_knows_what_its_experts_know_and_a_product_does_not(sulphide, phosphide, fused, tmp_path):
    combine_models([sulphide, phosphide], tmp_path / "product", how="poe")
    both, product = load_model(fused), load_model(tmp_path / "product")
    for folder, anion in ((sulphide, "S"), (phosphide, "P")):
        of_expert = force_rmse(load_model(folder), anion)
        assert force_rmse(both, anion) < 1.15 * of_expert
        assert force_rmse(product, anion) > 1.4 * of_expert


def test_a_product_is_the_mean_of_models_of_the_same_elements(sulphide, tmp_path):
    other = fitted(tmp_path, "sulphide", seeds=range(6, 12))
    combine_models([sulphide, other], tmp_path / "product", how="poe", names=["first", "second"])
    atoms = cell("S", 52)
    for name in ("energy", "forces"):
        parts = [load_model(folder).get_property(name, atoms) for folder in (sulphide, other)]
        found = load_model(tmp_path / "product").get_property(name, atoms)
        np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=0, atol=SAME_FORCE_EV_PER_A)


def test_merging_keeps_points_that_the_others_do_not_explain(sulphide, phosphide, tmp_path):
    experts = [read_expert(folder) for folder in (sulphide, phosphide)]
    every = fused_points(experts, ELEMENTS, SETTINGS)
    fewer = fused_points(experts, ELEMENTS, SETTINGS, threshold=0.05)
    assert fewer.n_points < every.n_points
    assert set(fewer.keys) <= set(every.keys)
    combine_models([sulphide, phosphide], tmp_path / "merged", how="moe", threshold=0.05)
    assert force_rmse(load_model(tmp_path / "merged"), "S") < 2 * force_rmse(load_model(sulphide), "S")


def test_configurations_can_be_thinned_too(sulphide, phosphide, tmp_path):
    settings = FusionSettings.model_validate({**dict(SETTINGS), "of": ("a", "b"), "distinct_configurations": 0.5})
    arguments = ("fusion", DataSet(()), settings, None, tmp_path / "thinned")
    manifest = fit_model(*arguments, experts=[sulphide, phosphide])
    assert manifest.configurations == 12
    assert load_model(tmp_path / "thinned").get_potential_energy(cell("S", 3)) < 0


def test_pivots_leave_nothing_above_the_limit():
    random = np.random.default_rng(3)
    vectors = random.normal(size=(40, 12))
    matrix = vectors @ vectors.T
    kept = pivots(matrix, 2.0)
    assert 0 < len(kept) < 13
    block, mixed = matrix[np.ix_(kept, kept)], matrix[kept]
    left = matrix.diagonal() - np.einsum("ij,ij->j", mixed, np.linalg.solve(block, mixed))
    assert left.max() <= 2.0 + 1e-9
    assert list(pivots(matrix, 1e3)) == []


def test_own_data_have_points_beside_those_of_the_experts(sulphide, tmp_path):
    settings = FusionSettings.model_validate({**dict(SETTINGS), "of": ("sulphide",)})
    fit_model("fusion", data_of("phosphide"), settings, None, tmp_path / "model", experts=[sulphide])
    for anion in "PS":
        assert force_rmse(load_model(tmp_path / "model"), anion) < 0.25
    again = read_manifest(tmp_path / "model")
    alone = settings.model_copy(update={"of": ()})
    own = fit_model("fusion", data_of("phosphide"), alone, None, tmp_path / "own")
    assert again.configurations == 12
    assert again.inputs_hash != own.inputs_hash


class TestWhatExpertsMustShare:
    def test_everything_that_differs_is_named(self, sulphide, tmp_path):
        soap = SETTINGS.soap.model_copy(update={"n_max": 4, "sparse_points": 9})
        other = SETTINGS.model_copy(update={"soap": soap, "two_body": TwoBodySettings(cutoff_A=5.0)})
        second = fitted(tmp_path, "phosphide", other)
        with pytest.raises(InputError) as caught:
            combine_models([sulphide, second], tmp_path / "out")
        assert "soap.n_max differs: 3 in sulphide, 4 in phosphide" in str(caught.value)
        assert "two_body.cutoff_A differs" in str(caught.value)
        assert "sparse_points differs" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_the_datas_errors_may_differ(self, sulphide, tmp_path):
        loose = SETTINGS.model_copy(update={"regularisation": Regularisation(force_eV_per_A=0.2)})
        second = fitted(tmp_path, "phosphide", loose)
        assert combine_models([sulphide, second], tmp_path / "out").configurations == 12

    @pytest.mark.parametrize("how", ["foe", "poe"])
    def test_isolated_atoms_that_differ_are_listed(self, sulphide, tmp_path, how):
        data = data_of("phosphide")
        shifted = DataSet(data.configurations, {"Li": -3.2, "P": -6.0})
        fit_model("gap", shifted, SETTINGS, None, tmp_path / "shifted", seed=1)
        if how == "foe":
            # Nobody computed these: the fit of all data has the atom that somebody did.
            manifest = combine_models([sulphide, tmp_path / "shifted"], tmp_path / "out")
            assert manifest.isolated_atom_energies_eV == pytest.approx(ALONE_EV)
        else:
            with pytest.raises(InputError, match=r"isolated atom of Li differ .* -3.0\d* eV in sulphide"):
                combine_models([sulphide, tmp_path / "shifted"], tmp_path / "out", how="poe")

    def test_the_same_model_twice_is_refused(self, sulphide, tmp_path):
        with pytest.raises(InputError, match="same model as"):
            combine_models([sulphide, sulphide], tmp_path / "out", names=["a", "b"])

    def test_experts_are_for_kinds_that_are_made_of_them(self, sulphide, tmp_path):
        with pytest.raises(InputError, match="not made of other models"):
            fit_model("gap", data_of("phosphide"), SETTINGS, None, tmp_path / "out", experts=[sulphide])


class TestJoining:
    def test_a_structure_counts_once_and_names_stay_apart(self):
        first, second = data_of("sulphide", range(3)), data_of("sulphide", range(2, 5))
        joined = joined_data([("a", first), ("b", second)])
        assert [one.identifier for one in joined] == [f"S-{seed}" for seed in range(5)]
        renamed = DataSet((labelled("S", 9, name="S-0"),), first.isolated_atom_energies)
        assert [one.identifier for one in joined_data([("a", first), ("b c", renamed)])][-1] == "b-c-S-0"

    def test_energies_per_element_are_found_where_compositions_tell_them_apart(self):
        both = [*data_of("sulphide"), *data_of("phosphide")]
        bound = common_zero(both, {})
        assert bound["P"] - bound["S"] == pytest.approx(ALONE_EV["P"] - ALONE_EV["S"], abs=0.5)
        of_one = common_zero(list(data_of("sulphide")), {})
        mean = np.mean([one.energy / one.n_atoms for one in data_of("sulphide")])
        assert of_one["Li"] == pytest.approx(mean)
        assert common_zero(both, ALONE_EV) == {}


def test_points_that_are_no_atoms_of_the_training_set_are_refused(sulphide, tmp_path):
    expert = read_expert(sulphide)
    fewer = DataSet(expert.data_set.configurations[:1], isolated_atoms=expert.data_set.isolated_atoms)
    with pytest.raises(InputError, match="are no atoms of its training set"):
        type(expert)(expert.name, expert.settings, None, fewer, expert.points).points_among(ELEMENTS)


def test_models_that_are_named_and_not_given_are_refused(tmp_path):
    settings = FusionSettings.model_validate({**dict(SETTINGS), "of": ("sulphide",)})
    with pytest.raises(InputError, match="needs the folders"):
        fit_model("fusion", data_of("sulphide"), settings, None, tmp_path / "model")


CHARGES = {"S": {"Li": 0.4, "S": -0.8}, "P": {"Li": 0.4, "P": -0.8}}


class TestOnABaseline:
    def on_charges(self, folder, material, charges):
        fit_model("es-gap", data_of(material), SETTINGS, BaselineSettings(charges=charges), folder / material, seed=1)
        return folder / material

    def test_the_sum_stands_on_the_charges_of_all(self, tmp_path):
        parts = [self.on_charges(tmp_path, one, CHARGES[anion]) for one, anion in zip(ANIONS, "SP", strict=True)]
        manifest = combine_models(parts, tmp_path / "both")
        assert manifest.baseline is not None
        assert manifest.baseline.charges == {"Li": 0.4, "S": -0.8, "P": -0.8}
        for anion in "SP":
            assert force_rmse(load_model(tmp_path / "both"), anion) < 0.3

    def test_charges_that_differ_are_named(self, tmp_path):
        other = {"Li": 0.5, "P": -1.0}
        parts = [
            self.on_charges(tmp_path, "sulphide", CHARGES["S"]),
            self.on_charges(tmp_path, "phosphide", other),
        ]
        with pytest.raises(InputError, match=r"baseline\.charges\.Li differs: 0\.4 in sulphide, 0\.5 in phosphide"):
            combine_models(parts, tmp_path / "both")

    def test_a_model_without_one_joins_none(self, sulphide, tmp_path):
        on_one = self.on_charges(tmp_path, "phosphide", CHARGES["P"])
        with pytest.raises(InputError, match="stand on an electrostatic baseline"):
            combine_models([sulphide, on_one], tmp_path / "both")
