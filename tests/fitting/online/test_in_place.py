"""A model that learns is at every moment what a full fit would be, in memory as on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom, read_extxyz
from ionloop.fitting.kinds.registry import MODELS
from ionloop.fitting.models import TRAINING_SET_FILE, fit_model, load_model, read_manifest
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.sparse_fit.fit import fit_native, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.online.driver import NOVELTY, LearningCalculator, load_driver
from ionloop.fitting.online.in_place import COVERED, InPlaceModel
from ionloop.fitting.online.novelty import FIRST_THRESHOLD, HIGHEST_THRESHOLD, NoveltyKernel, thresholds_of
from ionloop.fitting.settings import BaselineSettings, GapSettings

FORCE_TOLERANCE_eV_per_A = 1e-5
"""The measure of an update in place."""
NOVELTY_TOLERANCE = 1e-6
"""Variances of the evaluator and of the kernel are sums of 1 that cancel."""
UPDATES = 20


def rattled(data: DataSet, number: int, width_A: float) -> LabelledConfiguration:
    """Return a configuration of its own whose labels are numbers drawn at random: updates are algebra."""
    random = np.random.default_rng(number)
    one = data.configurations[number % len(data)]
    atoms = one.atoms.copy()
    atoms.positions += random.normal(0.0, width_A, atoms.positions.shape)
    forces = random.normal(0.0, 0.5, atoms.positions.shape)
    stress = None if number % 3 == 0 else random.normal(0.0, 0.02, 6)
    return LabelledConfiguration(atoms, one.energy + random.normal(0.0, 0.1), forces, stress, f"new-{number}")


@pytest.fixture(scope="module")
def start(lithium_sulfide: DataSet, small_settings: GapSettings) -> InPlaceModel:
    first = DataSet(lithium_sulfide.configurations[:2], lithium_sulfide.isolated_atom_energies)
    points = fit_native(first, small_settings, seed=3).sparse_points
    return InPlaceModel.start(first, small_settings, points)


def same_bits(first: LearningCalculator, second: LearningCalculator, atoms: Atoms) -> bool:
    names = ("energy", "forces", "stress", NOVELTY)
    return all(np.array_equal(first.get_property(name, atoms), second.get_property(name, atoms)) for name in names)


def full_fit(model: InPlaceModel, data: DataSet, settings: GapSettings) -> NativeGapCalculator:
    points = model.calculator().sparse_points
    return NativeGapCalculator(run_fit(FitInputs(data, settings, 0, sparse_points=points), FitResources()).model)


def test_it_begins_as_the_full_fit(start: InPlaceModel, lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    first = DataSet(lithium_sulfide.configurations[:2], lithium_sulfide.isolated_atom_energies)
    expected, found = full_fit(start, first, small_settings), start.calculator()
    for one in lithium_sulfide:
        difference = found.get_property("forces", one.atoms) - expected.get_property("forces", one.atoms)
        assert np.abs(difference).max() < FORCE_TOLERANCE_eV_per_A
    assert start.n_labels == 2


@settings(max_examples=2, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 10**6))
def test_any_additions_are_the_full_fit_to_all_and_the_same_bits_from_the_disk(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    first = DataSet(lithium_sulfide.configurations[:2], lithium_sulfide.isolated_atom_energies)
    points = fit_native(first, small_settings, seed=3).sparse_points
    model = InPlaceModel.start(first, small_settings, points, most_points=40)
    twin = InPlaceModel.start(first, small_settings, points, most_points=40)
    random = np.random.default_rng(seed)
    labels = list(first.configurations)
    folder = tmp_path_factory.mktemp("states")
    for step in range(UPDATES):
        numbers = random.integers(10**9, size=random.integers(1, 3)).tolist()
        new = [rattled(lithium_sulfide, number, random.uniform(0.02, 0.2)) for number in numbers]
        labels += new
        joined = model.add(new)
        assert joined == twin.add(new)
        if step % 5 == 4:
            twin.save(folder / str(step))
            twin = InPlaceModel.load(folder / str(step))
    probe = lithium_sulfide.configurations[4].atoms
    assert same_bits(model.calculator(), twin.calculator(), probe)
    assert same_bits(model.calculator(), load_driver(folder / str(step)), probe)
    expected = full_fit(model, DataSet(tuple(labels), first.isolated_atom_energies), small_settings)
    difference = model.calculator().get_property("forces", probe) - expected.get_property("forces", probe)
    assert np.abs(difference).max() < FORCE_TOLERANCE_eV_per_A


def test_points_join_until_what_joined_is_covered(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    first = DataSet(lithium_sulfide.configurations[:2], lithium_sulfide.isolated_atom_energies)
    points = fit_native(first, small_settings, seed=3).sparse_points
    model = InPlaceModel.start(first, small_settings, points, most_points=200)
    new = rattled(lithium_sulfide, 1, 0.4)
    before = model.calculator().get_property(NOVELTY, new.atoms)
    joined = model.add([new])
    after = model.calculator().get_property(NOVELTY, new.atoms)
    assert sum(joined.points.values()) > 0
    assert not joined.at_cap
    for symbol, limit in model.thresholds.items():
        own = np.array(new.atoms.get_chemical_symbols()) == symbol
        assert after[own].max() <= limit / COVERED + NOVELTY_TOLERANCE
        assert joined.novelty_before[symbol] == pytest.approx(before[own].max(), abs=NOVELTY_TOLERANCE)
        assert joined.novelty_after[symbol] == pytest.approx(after[own].max(), abs=1e-3)
    full = InPlaceModel.start(first, small_settings, points, most_points=1)
    stopped = full.add([new])
    assert stopped.points == {}
    assert set(stopped.at_cap) <= {"Li", "S"}
    assert stopped.at_cap


def test_novelty_is_zero_on_points_one_far_away_and_the_evaluators(
    start: InPlaceModel, lithium_sulfide: DataSet
) -> None:
    calculator = start.calculator()
    for one in lithium_sulfide:
        novelty = calculator.get_property(NOVELTY, one.atoms)
        assert novelty.min() >= 0.0
        assert novelty.max() <= 1.0
        np.testing.assert_allclose(calculator.kernel.novelty(one.atoms) ** 2, novelty**2, atol=NOVELTY_TOLERANCE)
    known = calculator.get_property(NOVELTY, lithium_sulfide.configurations[0].atoms).max()
    other = lithium_sulfide.configurations[0].atoms.copy()
    other.set_cell(other.cell * 1.5, scale_atoms=True)
    assert calculator.get_property(NOVELTY, other).max() > 2 * known


def test_thresholds_are_what_leaving_a_configuration_out_gives(
    lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    # Against the plain way: the points of a configuration are taken away and the rest is asked.
    points = fit_native(lithium_sulfide, small_settings, seed=3).sparse_points
    first = DataSet(lithium_sulfide.configurations, lithium_sulfide.isolated_atom_energies)
    model = InPlaceModel.start(first, small_settings, points)
    kernel = model.calculator().kernel
    found: dict[str, list[float]] = {"Li": [], "S": []}
    from ionloop.fitting.native.sparse_fit.sparse_points import SparseLayer, SparsePoints
    from ionloop.fitting.online.novelty import environments_of

    for one in lithium_sulfide:
        own = environments_of(kernel.descriptors, [one.atoms]).descriptors
        layer = {}
        for number, descriptors in own.items():
            all_points = points.of((number,))
            distances = np.linalg.norm(all_points[:, None] - descriptors[None], axis=2).min(axis=1)
            layer[number,] = all_points[distances > 1e-6]
        rest = NoveltyKernel(kernel.descriptors, SparsePoints((SparseLayer(layer),)))
        novelty = rest.novelty(one.atoms)
        for symbol in found:
            found[symbol] += novelty[np.array(one.atoms.get_chemical_symbols()) == symbol].tolist()
    for symbol, values in found.items():
        expected = min(1.2 * float(np.quantile(values, 0.999, method="higher")), HIGHEST_THRESHOLD)
        assert model.thresholds[symbol] == pytest.approx(expected, rel=1e-4)
    few = thresholds_of(kernel, [one.atoms for one in lithium_sulfide.configurations[:3]])
    assert few == {"Li": FIRST_THRESHOLD, "S": FIRST_THRESHOLD}


@pytest.mark.parametrize("kind", ["gap", "es-gap"])
def test_models_of_folders_learn(
    lithium_sulfide: DataSet, small_settings: GapSettings, baseline: BaselineSettings, tmp_path: Path, kind: str
) -> None:
    labelled = tuple(isolated_atom(symbol, value) for symbol, value in lithium_sulfide.isolated_atom_energies.items())
    data = DataSet(lithium_sulfide.configurations[:4], isolated_atoms=labelled)
    fit_model(kind, data, small_settings, baseline, tmp_path / "model", seed=1)
    manifest = read_manifest(tmp_path / "model")
    read = read_extxyz(tmp_path / "model" / TRAINING_SET_FILE)
    model = MODELS.get(kind).learning(tmp_path / "model", manifest, read)
    expected = load_model(tmp_path / "model")
    for one in lithium_sulfide:
        for name, tolerance in (("forces", FORCE_TOLERANCE_eV_per_A), ("energy", 1e-5), ("stress", 1e-6)):
            found = model.calculator().get_property(name, one.atoms)
            np.testing.assert_allclose(found, expected.get_property(name, one.atoms), rtol=0, atol=tolerance)
    model.add([lithium_sulfide.configurations[4]])
    model.save(tmp_path / "state")
    model.save(tmp_path / "state")
    probe = lithium_sulfide.configurations[0].atoms
    assert same_bits(model.calculator(), InPlaceModel.load(tmp_path / "state").calculator(), probe)
    assert same_bits(model.calculator(), load_driver(tmp_path / "state"), probe)
    with pytest.raises(InputError, match="joined the model already"):
        model.add([lithium_sulfide.configurations[4]])
    with pytest.raises(InputError, match="other data"):
        MODELS.get(kind).learning(tmp_path / "model", manifest, lithium_sulfide)


def test_what_cannot_learn_says_why(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    kind = MODELS.get("gap")
    assert kind.learns_in_place
    assert not kind.why_not_learning("native", None)
    assert "gap_fit" in kind.why_not_learning("gap_fit", None)
    with pytest.raises(InputError, match="no model that learns"):
        load_driver(tmp_path)
    with pytest.raises(InputError, match="no model that learns"):
        InPlaceModel.load(tmp_path)
