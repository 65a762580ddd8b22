import sys

import pytest
from fireworks import FiretaskBase, Firework, FWAction, FWorker, Launch, PyTask, ScriptTask, Workflow
from fireworks.core.rocket_launcher import launch_rocket
from fireworks.utilities import fw_serializers

from ionloop.core.errors import IonloopError
from ionloop.store.jobs.launchpad import open_launchpad
from ionloop.store.jobs.registered_tasks import ForbiddenTask, restricted_tasks


class HarmlessTask(FiretaskBase):
    _fw_name = "ionloop test task"

    def run_task(self, fw_spec):
        return FWAction(stored_data={"ran": self["number"]})


ALLOWED = {HarmlessTask._fw_name: HarmlessTask}


@pytest.fixture
def restricted():
    with restricted_tasks(ALLOWED):
        yield


def as_stored(task):
    return Firework(task, name="one", fw_id=1).to_db_dict()


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (ScriptTask.from_str("echo harm"), "ScriptTask"),
        (PyTask(func="os.getcwd"), "PyTask"),
    ],
)
def test_fireworks_own_tasks_are_refused_by_name(restricted, task, name):
    with pytest.raises(ForbiddenTask, match=name):
        Firework.from_dict(as_stored(task))
    assert issubclass(ForbiddenTask, IonloopError)


@pytest.mark.parametrize("name", ["{{antigravity.Task}}", "{{ os.path }}", "Script Task", "", None, 5, ["ScriptTask"]])
def test_names_that_would_import_are_refused_without_an_import(restricted, name):
    sys.modules.pop("antigravity", None)
    document = as_stored(HarmlessTask(number=1))
    document["spec"]["_tasks"] = [{"_fw_name": name}]
    with pytest.raises(ForbiddenTask):
        Firework.from_dict(document)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "place", ["spec value", "nested spec value", "background task", "dupefinder", "addition of a launch"]
)
def test_hidden_places_are_searched_too(restricted, place):
    document = as_stored(HarmlessTask(number=1))
    evil = {"_fw_name": "{{os.path}}"}
    if place == "spec value":
        document["spec"]["innocent"] = evil
    elif place == "nested spec value":
        document["spec"]["innocent"] = {"deep": [1, {"deeper": evil}]}
    elif place == "background task":
        document["spec"]["_background_tasks"] = [evil]
    elif place == "dupefinder":
        document["spec"]["_dupefinder"] = evil
    else:
        launch = Launch("COMPLETED", "/", FWorker(), launch_id=1, fw_id=1, action=FWAction()).to_db_dict()
        launch["action"]["stored_data"] = {"innocent": evil}
        with pytest.raises(ForbiddenTask):
            Launch.from_dict(launch)
        return
    with pytest.raises(ForbiddenTask):
        Firework.from_dict(document)


def test_monty_objects_stay_plain_data(restricted):
    sys.modules.pop("antigravity", None)
    document = as_stored(HarmlessTask(number=1))
    document["spec"]["innocent"] = {"@module": "antigravity", "@class": "Anything"}
    assert Firework.from_dict(document).spec["innocent"]["@class"] == "Anything"
    assert "antigravity" not in sys.modules


def test_registered_tasks_and_fireworks_own_classes_are_read_as_before(restricted):
    parent = Firework(HarmlessTask(number=1), name="parent", fw_id=1)
    child = Firework(HarmlessTask(number=2), name="child", fw_id=2, parents=[parent])
    workflow = Workflow.from_dict(Workflow([parent, child], name="both").to_dict())
    assert workflow.name == "both"
    assert [type(fw.tasks[0]) for fw in workflow.fws] == [HarmlessTask, HarmlessTask]
    action = FWAction(additions=[Firework(HarmlessTask(number=3), name="third", fw_id=-3)])
    launch = Launch("COMPLETED", "/", FWorker("w"), launch_id=1, fw_id=1, action=action)
    assert isinstance(Launch.from_dict(launch.to_db_dict()).action.additions[0].fws[0].tasks[0], HarmlessTask)


def test_the_restriction_ends_with_its_context():
    # Another test of this process may have restricted it for good.
    before = fw_serializers.load_object, fw_serializers.DECODE_MONTY
    with restricted_tasks(ALLOWED):
        assert fw_serializers.load_object is not before[0]
        assert not fw_serializers.DECODE_MONTY
    assert (fw_serializers.load_object, fw_serializers.DECODE_MONTY) == before


def test_a_worker_marks_a_forbidden_firework_and_goes_on_with_the_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launchpad = open_launchpad(tmp_path / "store.db")
    harm = tmp_path / "harm"
    launchpad.add_wf(Firework(ScriptTask.from_str(f"touch {harm}"), spec={"_priority": 9}, name="harmful"))
    launchpad.add_wf(Firework(HarmlessTask(number=1), name="harmless"))
    with restricted_tasks(ALLOWED):
        assert launch_rocket(launchpad, FWorker(), strm_lvl="CRITICAL")
    states = {fw["name"]: fw["state"] for fw in launchpad.fireworks.find()}
    assert states == {"harmful": "FIZZLED", "harmless": "COMPLETED"}
    assert not harm.exists()
    assert "ScriptTask" in launchpad.fireworks.find_one({"name": "harmful"})["refusal"]
