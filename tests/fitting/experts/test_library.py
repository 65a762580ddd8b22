"""A library holds models whole or not at all, whoever is killed and whoever else adds."""

from __future__ import annotations

import json
import shutil

import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.experts import library as module
from ionloop.fitting.experts.entries import VARIABLE, chosen_entries, library_folder, read_entries
from ionloop.fitting.experts.library import Library
from ionloop.fitting.experts.sufficiency import ElementError
from ionloop.fitting.models import fit_model, load_model, read_manifest
from ionloop.fitting.native.sparse_fit.fit_inputs import FitResources

from .materials import ALONE_EV, SETTINGS, cell, data_of, fitted


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "library")


def test_an_entry_says_what_is_in_a_model(library, sulphide):
    entry = library.add(sulphide, "li2s")
    assert entry.compositions == {"Li2S": 6}
    assert entry.isolated_atom_energies_eV == {symbol: ALONE_EV[symbol] for symbol in ("Li", "S")}
    assert entry.computed_isolated_atoms == ("Li", "S")
    assert entry.references == ("unnamed",)
    assert entry.environments is not None
    assert {symbol: len(found) for symbol, found in entry.environments.items()} == entry.points
    assert read_entries(library.folder) == (entry,)


def test_a_model_in_it_is_the_model(library, sulphide, tmp_path):
    moved = shutil.copytree(sulphide, tmp_path / "moved")
    library.add(moved, "li2s")
    shutil.rmtree(moved)
    (expert,) = library.experts()
    assert expert.inputs_hash == read_manifest(sulphide).inputs_hash
    energies = [load_model(folder).get_potential_energy(cell("S", 4)) for folder in (sulphide, library.model("li2s"))]
    assert energies[0] == energies[1]


def test_adding_twice_changes_nothing_and_another_model_is_refused(library, sulphide, phosphide):
    first = library.add(sulphide, "one")
    assert library.add(sulphide, "one") == first
    with pytest.raises(InputError, match="another model called one"):
        library.add(phosphide, "one")
    assert [entry.name for entry in read_entries(library.folder)] == ["one"]


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "two words", "ü"])
def test_names_are_those_of_folders(library, sulphide, name):
    with pytest.raises(InputError, match="is no name for a model"):
        library.add(sulphide, name)


@pytest.mark.parametrize("step", ["_copy", "write_whole"])
def test_who_is_killed_leaves_nothing_that_counts(library, sulphide, phosphide, monkeypatch, step):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(*((Library, step) if step == "_copy" else (module, step)), killed)
        with pytest.raises(KeyboardInterrupt):
            library.add(sulphide, "one")
    assert read_entries(library.folder) == ()
    # The name is free: also what lies there without an entry makes way.
    assert library.add(phosphide, "one").elements == ("Li", "P")
    assert library.experts()[0].elements == ("Li", "P")


def test_a_damaged_model_is_not_used(library, sulphide):
    library.add(sulphide, "one")
    (library.model("one") / "training_set.xyz").write_text("broken")
    with pytest.raises(InputError, match="damaged"):
        library.experts()
    library.add(sulphide, "one")
    assert len(library.experts()) == 1


def test_a_damaged_entry_is_named(library, sulphide):
    library.add(sulphide, "one")
    path = library.folder / "entries" / "one.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"one\.json is damaged"):
        read_entries(library.folder)


def test_unknown_names_are_told(library, sulphide):
    with pytest.raises(InputError, match="is empty"):
        chosen_entries(library.folder)
    library.add(sulphide, "li2s-pbe")
    with pytest.raises(InputError, match=r"did you mean 'li2s-pbe'"):
        library.experts(["li2s-pb"])


def test_slopes_are_measured_once(library, sulphide, tmp_path, monkeypatch):
    library.add(sulphide, "one")
    library.add(fitted(tmp_path, "sulphide", seeds=range(6, 12)), "two")
    found = library.slopes(library.experts(), FitResources())
    assert set(found.by_element) == {"Li", "S"}

    def again(*_):
        raise AssertionError

    monkeypatch.setattr(module, "left_out_errors", again)
    assert library.slopes(library.experts(["two", "one"]), FitResources()) == found
    monkeypatch.setattr(module, "left_out_errors", lambda *_: (ElementError("one", "Li", 0.1, 0.2),))
    assert library.slopes(library.experts(["two"]), FitResources()).by_element == {"Li": pytest.approx(2.0)}


def test_models_without_the_atoms_of_their_points_combine_with_the_same_elements_only(library, sulphide, tmp_path):
    grown = tmp_path / "grown"
    later = data_of("sulphide", range(6, 9))
    fit_model(
        "gap",
        DataSet(later.configurations, isolated_atoms=later.isolated_atoms),
        SETTINGS,
        None,
        grown,
        seed=1,
        earlier_model=sulphide,
    )
    entry = library.add(grown, "grown")
    assert entry.environments is None
    assert json.loads((library.folder / "entries" / "grown.json").read_text())["environments"] is None


def test_the_folder_is_the_one_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    assert library_folder() == tmp_path / "named"
    assert library_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert library_folder() == tmp_path / "data" / "ionloop" / "library"
