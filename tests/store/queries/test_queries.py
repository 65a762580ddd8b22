"""Queries: what is found, what is refused, what is written."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read

from ionloop.cli.query import frame_text
from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.fitting.data_sets import LabelledConfiguration
from ionloop.store.connection import Store
from ionloop.store.queries.labelled import EXTXYZ_KINDS, frames
from ionloop.store.queries.record_kinds import RECORD_KINDS
from ionloop.store.queries.rows import Query, as_json, campaign_labels, run_query
from ionloop.store.records import LabelRecord

ROUNDTRIP = 1e-12


@pytest.mark.parametrize("kind", RECORD_KINDS)
def test_every_column_of_every_kind_gives_plain_data(finished_store: Store, kind: str) -> None:
    result = run_query(finished_store, Query(kind))
    assert result.records
    every = [column.name for column in result.kind.columns]
    rows = result.rows(result.columns(every))
    assert len(rows) == result.total
    assert all(isinstance(cell, str | int | float | bool | None) for row in rows for cell in row)
    json.dumps(as_json(result), allow_nan=False)


def test_results_that_differ_in_what_lies_below_a_name_stand_in_one_table(finished_store: Store) -> None:
    some = next(iter(finished_store.results.find({"kind": "errors"})))
    values = {**some.values, "energy": 0.5}
    finished_store.results.add(some.model_copy(update={"id": "result-flat", "kind": "flat", "values": values}))
    result = run_query(finished_store, Query("results"))
    rows = result.rows(result.columns([column.name for column in result.kind.columns]))
    assert len(rows) == result.total


def test_filters_combine(finished_store: Store) -> None:
    models = run_query(finished_store, Query("models", campaign="small", generation=2, model="es-gap"))
    assert {record.kind for record in models.records} == {"es-gap"}
    assert {record.generation for record in models.records} == {2}
    assert models.total == 2  # the loop's and the final one


def test_a_model_can_be_named_by_its_identifier(finished_store: Store) -> None:
    model = next(iter(finished_store.models.find({"kind": "gap", "generation": 1})))
    results = run_query(finished_store, Query("results", model=model.id))
    assert {record.values["subset"] for record in results.records} == {"new", "training"}


def test_labels_by_state(finished_store: Store) -> None:
    unconverged = run_query(finished_store, Query("labels", state="unconverged"))
    assert [record.state.value for record in unconverged.records] == ["unconverged"]
    of_campaign = run_query(finished_store, Query("labels", campaign="small", state="unconverged"))
    assert [record.id for record in of_campaign.records] == [record.id for record in unconverged.records]


def test_the_limit_keeps_the_total(finished_store: Store) -> None:
    result = run_query(finished_store, Query("configurations", limit=2))
    assert len(result.records) == 2
    assert result.total == finished_store.configurations.count()


def test_a_label_taken_over_from_another_campaign_is_found_in_both(finished_store: Store, make_builder: type) -> None:
    second = make_builder(finished_store, "second")
    second.add_campaign()
    first = next(
        record
        for record in finished_store.configurations.find({"campaign": "small", "generation": 1})
        if record.origin.sampler == "molecular-dynamics"
    )
    second.add_configuration(first.atoms, 0, "initial-dynamics", 0)
    found = run_query(finished_store, Query("labels", campaign="second"))
    assert [(record.campaign, record.generation) for record in found.records] == [("second", 0)]
    assert found.records[0].content_hash == first.content_hash


def test_labels_taken_over_are_found_where_their_engine_is_not_installed(store: Store, make_builder: type) -> None:
    first, second = make_builder(store), make_builder(store, "second")
    first.add_campaign()
    second.add_campaign()
    for name in ("small", "second"):
        reference = {**store.campaigns[name].settings["reference"], "engine": "gone"}
        store.database.campaigns.update_one({"_id": name}, {"$set": {"settings.reference": reference}})
    for index in range(3):
        atoms = bulk("Cu", a=3.6 + 0.01 * index)
        first.add_label(first.add_configuration(atoms, 0, "initial-dynamics", index), State.FINISHED)
        second.add_configuration(atoms, 0, "initial-dynamics", index)
    store.database.labels.update_many({}, {"$set": {"engine": "gone"}})
    # The same structure by the same engine with other settings.
    odd = next(iter(store.labels.find()))
    store.labels.add(odd.model_copy(update={"id": "label-odd", "settings_hash": "odd"}))
    assert run_query(store, Query("labels", campaign="second")).total == 3
    assert {label.settings_hash for label in campaign_labels(store, "second")} == {first.engine}


def test_columns_of_several_campaigns_name_the_campaign(finished_store: Store, make_builder: type) -> None:
    names = [column.name for column in run_query(finished_store, Query("labels")).columns()]
    assert "campaign" not in names
    second = make_builder(finished_store, "second")
    second.add_campaign()
    second.add_configuration(Atoms("Li", cell=[9, 9, 9], pbc=True), 0, "initial-dynamics", 0)
    names = [column.name for column in run_query(finished_store, Query("configurations")).columns()]
    assert "campaign" in names


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("label"), "did you mean 'labels'"),
        (Query("labels", campaign="smal"), "did you mean 'small'"),
        (Query("labels", state="finishd"), "did you mean 'finished'"),
        (Query("models", state="finished"), "have no state"),
        (Query("configurations", model="gap"), "belong to no model"),
        (Query("models", model="es_gap"), "did you mean 'es-gap'"),
        (Query("trajectories", model="model-1"), "allowed: gap, fusion, es-gap, es-fusion"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_allowed(finished_store: Store, query: Query, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        run_query(finished_store, query)


def test_an_unknown_column_is_refused(finished_store: Store) -> None:
    with pytest.raises(InputError, match=r"unknown column 'enrgy' of labels; did you mean 'energy'"):
        run_query(finished_store, Query("labels")).columns(["enrgy"])


@pytest.mark.parametrize("text", ["$ne", '{"$gt": ""}', "small\0", ".*"])
def test_what_a_user_types_is_never_an_operator(finished_store: Store, text: str) -> None:
    with pytest.raises(InputError):
        run_query(finished_store, Query("labels", campaign=text))


def test_a_number_that_json_does_not_know_becomes_null(finished_store: Store) -> None:
    trajectory = next(iter(finished_store.trajectories.find()))
    finished_store.trajectories.replace(trajectory.model_copy(update={"mean_temperature_K": math.nan}))
    data = as_json(run_query(finished_store, Query("trajectories", generation=1)))
    assert None in [record["mean_temperature_K"] for record in data["records"]]


def test_json_of_chosen_columns_has_their_units(finished_store: Store) -> None:
    result = run_query(finished_store, Query("labels", state="finished"))
    data = as_json(result, result.columns(["id", "energy"]))
    assert data["units"] == {"energy": "eV"}
    assert set(data["records"][0]) == {"id", "energy"}


def test_extxyz_has_labels_only_where_they_finished(finished_store: Store) -> None:
    result = run_query(finished_store, Query("configurations", campaign="small", generation=0))
    found = list(frames(finished_store, result))
    bare = [frame for frame in found if isinstance(frame, Atoms)]
    assert sorted(frame.info["label_state"] for frame in bare) == ["none", "unconverged"]
    text = "".join(frame_text(frame) for frame in found)
    atoms = read(io.StringIO(text), index=":", format="extxyz")
    assert len(atoms) == result.total
    assert sum("REF_energy" in frame.info for frame in atoms) == len(found) - len(bare)
    assert {frame.info["config_type"] for frame in atoms} == {"isolated_atom", "initial-dynamics"}


def test_extxyz_values_are_those_of_the_label(finished_store: Store) -> None:
    label = next(iter(finished_store.labels.find({"generation": 1, "state": "finished"})))
    frame = next(iter(frames(finished_store, run_query(finished_store, Query("labels", generation=1)))))
    assert isinstance(frame, LabelledConfiguration)
    atoms = read(io.StringIO(frame_text(frame)), format="extxyz")
    assert atoms.info["REF_energy"] == label.energy
    np.testing.assert_array_equal(atoms.arrays["REF_forces"], label.forces)
    virial = np.array(atoms.info["REF_virial"]).reshape(3, 3)
    xx, yy, zz, yz, xz, xy = label.stress
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    np.testing.assert_allclose(virial, -stress * atoms.get_volume(), rtol=ROUNDTRIP)


def test_extxyz_has_charges_and_dipole_of_the_label(finished_store: Store) -> None:
    result = run_query(finished_store, Query("labels", generation=1))
    first = next(record for record in result.records if isinstance(record, LabelRecord) and record.forces)
    charges = [0.1] * len(first.forces or ())
    charged = first.model_copy(update={"charges": charges, "dipole": [0.1, 0.2, 0.3]})
    frame = next(iter(frames(finished_store, replace(result, records=(charged,)))))
    atoms = read(io.StringIO(frame_text(frame)), format="extxyz")
    np.testing.assert_array_equal(atoms.arrays["REF_charges"], charges)
    np.testing.assert_array_equal(atoms.info["REF_dipole"], [0.1, 0.2, 0.3])


def test_a_label_of_before_there_were_dipoles_is_read(finished_store: Store) -> None:
    label = next(iter(finished_store.labels.find({"generation": 1, "state": "finished"})))
    document = label.to_document()
    del document["dipole"]
    assert LabelRecord.from_document(document) == label


def test_a_data_set_gives_the_frames_of_its_labels(finished_store: Store) -> None:
    result = run_query(finished_store, Query("data-sets", generation=1))
    assert sum(len(record.labels) for record in result.records) == len(list(frames(finished_store, result)))


@pytest.mark.parametrize("kind", sorted(set(RECORD_KINDS) - set(EXTXYZ_KINDS)))
def test_extxyz_is_refused_where_there_are_no_structures(finished_store: Store, kind: str) -> None:
    with pytest.raises(InputError, match="hold no structures"):
        list(frames(finished_store, run_query(finished_store, Query(kind))))
