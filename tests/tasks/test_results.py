"""What the analyses share: arrays in the store, results that are whole, potentials by name."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.labelling.engines.gfn1_xtb import Gfn1XtbSettings
from ionloop.store.connection import Store
from ionloop.store.records import ResultRecord
from ionloop.tasks.results import Potential, known_result, load_arrays, open_potential, save_arrays


def test_arrays_come_back_and_equal_ones_make_equal_files(store: Store) -> None:
    arrays = {"radii_A": np.arange(3.0), "centres": np.array([4, 5])}
    first = save_arrays(store, "locality", "one", arrays)
    second = save_arrays(store, "locality", "two", arrays)
    assert first.sha256 == second.sha256
    loaded = load_arrays(store, first)
    assert set(loaded) == set(arrays)
    assert all(np.array_equal(loaded[name], arrays[name]) for name in arrays)


def test_a_result_whose_file_is_damaged_counts_as_missing(store: Store) -> None:
    artefact = save_arrays(store, "locality", "one", {"a": np.zeros(2)})
    store.results.add(
        ResultRecord(id="result-1", campaign="c", kind="locality", values={}, artefacts={"arrays": artefact})
    )
    assert known_result(store, "result-1") is not None
    store.artefacts.path(artefact.path).write_bytes(b"half")
    assert known_result(store, "result-1") is None
    assert known_result(store, "result-2") is None


def test_a_potential_must_name_something(store: Store) -> None:
    with pytest.raises(ValueError, match="neither a model nor an engine"):
        open_potential(store, Potential(kind="gap"))


def test_the_identity_of_an_engine_is_its_settings() -> None:
    engine = Gfn1XtbSettings()
    assert Potential(kind="reference", engine=engine).identity == engine.model_dump(mode="json")
    assert Potential(kind="gap", model="model-1").identity == "model-1"
