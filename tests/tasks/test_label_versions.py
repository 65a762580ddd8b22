"""A campaign that goes on after tblite was upgraded stops and says so, or goes on by name."""

from __future__ import annotations

import pytest
from ase import Atoms

from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.fitting.consistency import MixedReferencesError
from ionloop.labelling import Gfn1XtbSettings, label
from ionloop.labelling.engines import gfn1_xtb
from ionloop.labelling.engines.gfn1_xtb import Gfn1XtbEngine
from ionloop.labelling.versions import version_that_counts
from ionloop.store.connection import open_store
from ionloop.store.records import Origin
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.context import TaskContext
from ionloop.tasks.label import IsolatedAtomParameters, IsolatedAtomTask, LabelParameters, LabelTask, add_configuration
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.submission.submission import submit


@pytest.fixture
def store(tmp_path):
    store = open_store(str(tmp_path / "ionloop.db"))
    yield store
    store.close()


def atoms() -> Atoms:
    positions = [[0.05, -0.02, 0.01], [2.41, 0.03, 0.3], [3.48, 1.62, 0.17], [0.23, 2.31, 0.42]]
    return Atoms("LiPS2", positions=positions, cell=[5.0, 5.2, 5.6], pbc=True)


def submitted(store, tmp_path, **changes) -> Campaign:
    campaign = Campaign.model_validate({"name": "c", "structure": "x", "mobile": "Li", **changes})
    submit(store, campaign, atoms(), tmp_path / "campaign.yaml")
    return campaign


def run_label(store, seed: int):
    moved = atoms()
    moved.rattle(0.02, seed=seed)
    place = TaskParameters(campaign="c", generation=0)
    configuration = add_configuration(store, place, moved, Origin(sampler="test", index=seed))
    parameters = LabelParameters(campaign="c", generation=0, configuration=configuration.id, engine=Gfn1XtbSettings())
    return LabelTask(parameters={}).execute(parameters, TaskContext(store))


def run_isolated(store):
    parameters = IsolatedAtomParameters(campaign="c", generation=0, species="Li", engine=Gfn1XtbSettings())
    return IsolatedAtomTask(parameters={}).execute(parameters, TaskContext(store))


def test_an_upgrade_stops_the_labels_until_the_versions_are_named(store, tmp_path, monkeypatch):
    submitted(store, tmp_path)
    assert run_label(store, 1).state is State.FINISHED
    run_isolated(store)
    (first,) = [one for one in store.labels.find() if len(one.forces) == 4]
    began_with = version_that_counts("gfn1-xtb", first.engine_version)
    # The labelling process keeps what is installed: only the question before it sees the upgrade.
    monkeypatch.setattr(gfn1_xtb, "_installed_version", lambda: "9.8.7")
    for run in (lambda: run_label(store, 2), lambda: run_label(store, 1), lambda: run_isolated(store)):
        with pytest.raises(MixedReferencesError, match=rf"{began_with} .*here is tblite 9\.8.*mix_versions"):
            run()
    assert store.labels.count() == 2
    submitted(store, tmp_path, mix_versions=[began_with, "tblite 9.8"])
    assert run_label(store, 2).state is State.FINISHED
    assert run_label(store, 1).outputs["label"] == first.id, "a label keeps its identifier"
    with pytest.raises(InputError, match="seed"):
        submitted(store, tmp_path, mix_versions=[began_with], seed=4)


def test_a_version_whose_stress_is_wrong_gives_no_labels(monkeypatch, tmp_path):
    monkeypatch.setattr(gfn1_xtb, "_installed_version", lambda: "0.6.0")
    probe = Gfn1XtbEngine().probe()
    assert not probe.found
    assert "tblite>=0.7" in probe.remedy
    with pytest.raises(Exception, match=r"tblite 0\.6\.0 has wrong stresses"):
        Gfn1XtbEngine().evaluate(atoms(), Gfn1XtbSettings(), tmp_path)
    for version in ("0.7.0", "0.10.2", "1.0", "unknown"):
        assert gfn1_xtb._version_objection(version) is None


def test_labels_of_the_installed_version_say_it(tmp_path):
    outcome = label(atoms(), Gfn1XtbSettings(), tmp_path)
    assert outcome.engine_version.startswith("tblite ")
    assert gfn1_xtb._version_objection(outcome.engine_version.split()[1]) is None
