"""Labels of different settings do not join one data set; the message says what differs."""

from __future__ import annotations

import pytest

from ionloop.core.states import State
from ionloop.fitting.consistency import MixedReferencesError, version_in
from ionloop.labelling.engines.cp2k_settings import Cp2kSettings
from ionloop.labelling.engines.gfn1_xtb import Gfn1XtbSettings
from ionloop.labelling.engines.imported import ImportedSettings
from ionloop.labelling.registry import EngineSettings
from ionloop.labelling.settings import settings_hash
from ionloop.labelling.versions import NOT_KNOWN
from ionloop.store.queries.labelled import reference_of
from ionloop.store.records import ConfigurationRecord, DataSetRecord, LabelRecord, Origin, Structure
from ionloop.store.reference_guard import check_one_setting, check_version_here
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


def of_version(version: str, name: str = "label-1", engine: EngineSettings | None = None) -> LabelRecord:
    return label(engine or Gfn1XtbSettings(), name).model_copy(update={"engine_version": version})


class TestVersions:
    """The same settings of tblite 0.7 and 0.8 differ by tenths of an eV for four atoms: two references."""

    def test_two_are_refused_with_the_labels_of_each_and_taken_by_name(self):
        labels = [of_version("tblite 0.8.0", f"label-{number}") for number in range(5)]
        labels.append(of_version("tblite 0.7.0", "label-old"))
        with pytest.raises(MixedReferencesError) as raised:
            check_one_setting(labels)
        told = str(raised.value)
        assert "tblite 0.7 (1 labels: label-old); tblite 0.8 (5 labels: label-0, label-1, label-2 and 2 more)" in told
        assert "mix_versions: [tblite 0.7, tblite 0.8]" in told
        check_one_setting(labels, ("tblite 0.7", "tblite 0.8"))
        with pytest.raises(MixedReferencesError):
            check_one_setting(labels, ("tblite 0.8",))

    def test_patch_releases_are_one_and_other_codes_may_be_of_any(self):
        check_one_setting([of_version("tblite 0.8.0"), of_version("tblite 0.8.3")])
        cp2k = Cp2kSettings()
        check_one_setting([of_version("CP2K 2023.1", engine=cp2k), of_version("CP2K 2025.1", engine=cp2k)])

    def test_one_that_is_not_known_is_not_the_same(self):
        labels = [of_version("tblite 0.8.0"), of_version("imported from train.xyz")]
        with pytest.raises(MixedReferencesError, match=r"mix_versions: \[tblite 0\.8, version not known\]"):
            check_one_setting(labels)
        check_one_setting(labels, ("tblite 0.8", NOT_KNOWN))
        check_one_setting([of_version("tblite 0.8.0"), of_version("tblite 0.8, imported from train.xyz")])

    def test_identifiers_and_names_of_earlier_labels_hold(self):
        # Of the release before this: labels and files in the world carry them.
        assert settings_hash(Gfn1XtbSettings()).startswith("62f0c6910bdee1fe")
        known = of_version("tblite 0.8.0")
        assert reference_of(known) == f"gfn1-xtb:{known.settings_hash[:12]}@tblite-0.8"
        assert reference_of(of_version("")) == f"gfn1-xtb:{known.settings_hash[:12]}"
        assert reference_of(of_version("CP2K 2023.1", engine=Cp2kSettings())).count("@") == 0
        assert version_in(reference_of(known)) == "tblite 0.8"

    def test_what_would_be_computed_is_refused_before(self, store):
        engine = Gfn1XtbSettings()

        def check(version: str, known: LabelRecord | None = None) -> None:
            check_version_here(store, "c", engine, settings_hash(engine), version, known)

        check("tblite 0.8.0")
        old = of_version("tblite 0.7.0", "label-old")
        store.labels.add(old)
        store.labels.add(of_version("CP2K 2023.1", "label-other", Cp2kSettings()))
        check("tblite 0.7.2")
        check("tblite unknown")
        for known in (None, old):
            with pytest.raises(MixedReferencesError, match=r"tblite 0\.7 \(1 labels: label-old\); here is tblite 0\.8"):
                check("tblite 0.8.0", known)
        check_version_here(store, "another", engine, settings_hash(engine), "tblite 0.8.0")
