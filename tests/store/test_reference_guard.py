"""Labels of different settings do not join one data set; the message says what differs."""

from __future__ import annotations

import pytest

from ionloop.fitting.consistency import MixedReferencesError
from ionloop.labelling.settings import EngineSettings, Gfn1XtbSettings, ImportedSettings, settings_hash
from ionloop.states import State
from ionloop.store.records import ConfigurationRecord, DataSetRecord, LabelRecord, Origin, Structure
from ionloop.store.reference_guard import check_one_setting
from ionloop.tasks.fit import build_data_set


def label(engine: EngineSettings, name: str = "label-1") -> LabelRecord:
    return LabelRecord(
        id=name,
        campaign="c",
        content_hash="0",
        configuration="config-1",
        engine=engine.engine,
        settings_hash=settings_hash(engine),
        state=State.FINISHED,
        energy=-1.0,
        forces=[[0.0, 0.0, 0.0]],
        attempts=[{"settings": engine.model_dump(mode="json")}],
    )


def test_settings_that_do_not_change_the_physics_do_not_matter():
    check_one_setting([label(Gfn1XtbSettings()), label(Gfn1XtbSettings(max_iterations=7, wall_time_limit_s=5.0))])


def test_names_engines_counts_and_the_setting_that_differs():
    labels = [label(Gfn1XtbSettings())] * 3 + [label(Gfn1XtbSettings(electronic_temperature_K=5000.0))]
    with pytest.raises(MixedReferencesError) as raised:
        check_one_setting(labels)
    assert "(3 labels)" in str(raised.value)
    assert "electronic_temperature_K: 300.0 and 5000.0" in str(raised.value)
    assert "wall_time" not in str(raised.value)


def test_labels_whose_records_tell_no_settings_are_told_by_their_engine():
    bare = [label(engine).model_copy(update={"attempts": []}) for engine in _two_engines()]
    with pytest.raises(MixedReferencesError, match="engine: 'gfn1-xtb' and 'imported'"):
        check_one_setting(bare)


def test_a_data_set_record_of_two_references_is_not_fitted(store):
    structure = Structure(
        numbers=[3], positions=[[0.0] * 3], cell=[[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]], pbc=[True] * 3
    )
    store.configurations.add(
        ConfigurationRecord(
            id="config-1", campaign="c", structure=structure, formula="Li", origin=Origin(sampler="t"), content_hash="0"
        )
    )
    names = [f"label-{number}" for number in range(2)]
    for name, engine in zip(names, _two_engines(), strict=True):
        store.labels.add(label(engine, name))
    both = DataSetRecord(id="d", campaign="c", labels=names, configurations=["config-1"] * 2, isolated_atom_energies={})
    with pytest.raises(MixedReferencesError):
        build_data_set(store, both)
    assert len(build_data_set(store, both.model_copy(update={"labels": names[:1]}))) == 1


def _two_engines() -> tuple[EngineSettings, EngineSettings]:
    return Gfn1XtbSettings(), ImportedSettings(source="vasp")
