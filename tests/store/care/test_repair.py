import pytest
from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow
from fireworks.core.rocket_launcher import launch_rocket

from ionloop.store.care.repair import (
    FireworkFact,
    LaunchFact,
    RepairReport,
    Snapshot,
    WorkflowFact,
    expected_state,
    find_problems,
    read_snapshot,
    repair,
)
from ionloop.store.jobs.launchpad import StoreLaunchPad, open_launchpad
from ionloop.store.jobs.registered_tasks import restricted_tasks

WORKER = FWorker("mortal")


class GrowTask(FiretaskBase):
    _fw_name = "grow"

    def run_task(self, fw_spec):
        more = [Firework(GrowTask(), name="addition")] if self.get("grow") else []
        return FWAction(update_spec={"passed on": fw_spec.get("passed on", 0) + 1}, additions=more)


class ServerLikeLaunchPad(StoreLaunchPad):
    """FireWorks' own way of writing, one document after another, as on MongoDB."""

    is_embedded = False


@pytest.fixture(autouse=True)
def only_our_task():
    with restricted_tasks({"grow": GrowTask}):
        yield


@pytest.fixture(params=["embedded", "server"])
def launchpad(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launchpad = open_launchpad(tmp_path / "store.db")
    if request.param == "server":
        launchpad.__class__ = ServerLikeLaunchPad
    first = Firework(GrowTask(), name="first")
    middle = Firework(GrowTask(), name="middle", parents=[first])
    last = Firework(GrowTask(), name="last", parents=[middle])
    launchpad.add_wf(Workflow([first, middle, last], name="chain"))
    yield launchpad
    launchpad.client.close()


def launch(launchpad, times=1):
    for _ in range(times):
        assert launch_rocket(launchpad, WORKER, strm_lvl="CRITICAL")


def run_all(launchpad):
    while launch_rocket(launchpad, WORKER, strm_lvl="CRITICAL"):
        pass


def identifier(launchpad, name):
    return launchpad.fireworks.find_one({"name": name})["fw_id"]


def mend(launchpad, **options):
    report = repair(launchpad, settle_s=0.0, **options)
    assert repair(launchpad, settle_s=0.0, **options) == RepairReport(), "a second repair found more"
    return report


def check_runs_to_the_end(launchpad, expected=("first", "last", "middle")):
    run_all(launchpad)
    states = {one["name"]: one["state"] for one in launchpad.fireworks.find()}
    assert states == dict.fromkeys(sorted(expected), "COMPLETED")


# -- healthy stores ----------------------------------------------------------------------------------------------


def test_a_healthy_store_is_left_alone_at_every_step(launchpad):
    for _ in range(3):
        assert repair(launchpad, settle_s=0.0) == RepairReport()
        launch(launchpad)
    assert repair(launchpad, settle_s=0.0) == RepairReport()
    launchpad.rerun_fw(identifier(launchpad, "first"))
    assert repair(launchpad, settle_s=0.0) == RepairReport()


@pytest.mark.parametrize(
    "operation", ["defuse_fw", "pause_fw", "reserve", "checkout", "archive_wf", "defuse_wf", "fizzled"]
)
def test_deliberate_states_are_left_alone(launchpad, operation):
    first = identifier(launchpad, "first")
    if operation == "reserve":
        launchpad.reserve_fw(WORKER, ".")
    elif operation == "checkout":
        launchpad.checkout_fw(WORKER, ".")
    elif operation == "fizzled":
        _, one = launchpad.checkout_fw(WORKER, ".")
        launchpad.mark_fizzled(one)
    else:
        getattr(launchpad, operation)(first)
    assert repair(launchpad, settle_s=0.0) == RepairReport()
    assert repair(launchpad, settle_s=0.0, dead_workers={"somebody else"}) == RepairReport()


# -- what a kill leaves ------------------------------------------------------------------------------------------


def test_a_locked_workflow_is_unlocked(launchpad):
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    assert len(mend(launchpad).unlocked_workflows) == 1
    check_runs_to_the_end(launchpad)


@pytest.mark.parametrize("state", ["RESERVED", "RUNNING"])
def test_a_taken_firework_without_a_launch_is_ready_again(launchpad, state):
    first = identifier(launchpad, "first")
    launchpad.fireworks.update_one({"fw_id": first}, {"$set": {"state": state}})
    assert mend(launchpad).released_fireworks == {first}
    check_runs_to_the_end(launchpad)


def test_a_launch_that_its_firework_does_not_know_is_removed(launchpad):
    first = identifier(launchpad, "first")
    _, orphan = launchpad.checkout_fw(WORKER, ".")
    launchpad.fireworks.update_one({"fw_id": first}, {"$set": {"state": "RESERVED", "launches": []}})
    report = mend(launchpad)
    assert report.orphaned_launches == {orphan}
    assert report.released_fireworks == {first}
    assert launchpad.launches.count_documents({}) == 0
    check_runs_to_the_end(launchpad)


def test_a_completed_launch_takes_effect(launchpad):
    first, middle = identifier(launchpad, "first"), identifier(launchpad, "middle")
    _, one = launchpad.checkout_fw(WORKER, ".")
    action = FWAction(update_spec={"passed on": 5}, additions=[Firework(GrowTask(), name="addition")])
    document = launchpad.get_launch_by_id(one)
    document.state, document.action = "COMPLETED", action
    launchpad.launches.replace_one({"launch_id": one}, document.to_db_dict())
    assert mend(launchpad).interrupted_fireworks == {first}
    assert launchpad.fireworks.find_one({"fw_id": middle})["spec"]["passed on"] == 5
    check_runs_to_the_end(launchpad, ("addition", "first", "last", "middle"))


def test_children_of_a_completed_parent_go_on(launchpad):
    launch(launchpad)
    middle = identifier(launchpad, "middle")
    launchpad.fireworks.update_one({"fw_id": middle}, {"$set": {"state": "WAITING"}})
    launchpad.workflows.update_one({}, {"$set": {f"fw_states.{middle}": "WAITING"}})
    assert mend(launchpad).stale_fireworks == {middle}
    check_runs_to_the_end(launchpad)


def test_a_half_written_result_is_written_again_and_its_orphans_removed(launchpad):
    """The parent was written as completed, an addition too, but neither the child nor the workflow."""
    first = identifier(launchpad, "first")
    launchpad.update_spec([first], {"_tasks.0.grow": True})
    before = launchpad.workflows.find_one()
    firework, _ = launchpad.checkout_fw(WORKER, ".")
    running = launchpad.workflows.find_one()
    launchpad.complete_launch(firework.launches[-1].launch_id, firework.tasks[0].run_task({}))
    launchpad.workflows.replace_one({}, {**running, "locked": True})
    launchpad.fireworks.update_one({"name": "middle"}, {"$set": {"state": "WAITING"}, "$unset": {"spec.passed on": ""}})
    assert len(before["nodes"]) == len(running["nodes"])
    report = mend(launchpad)
    assert report.interrupted_fireworks == {first}
    assert len(report.orphaned_fireworks) == 1
    assert report.unlocked_workflows
    assert launchpad.fireworks.find_one({"name": "middle"})["spec"]["passed on"] == 1
    check_runs_to_the_end(launchpad, ("addition", "first", "last", "middle"))


def test_what_depends_on_a_firework_that_runs_again_runs_again_too(launchpad):
    run_all(launchpad)
    first, middle, last = (identifier(launchpad, name) for name in ("first", "middle", "last"))
    launches = launchpad.fireworks.find_one({"fw_id": first})["launches"]
    launchpad.fireworks.update_one(
        {"fw_id": first}, {"$set": {"state": "READY", "launches": [], "archived_launches": launches}}
    )
    report = mend(launchpad)
    assert first in report.stale_fireworks
    assert middle in report.premature_fireworks
    states = {one["fw_id"]: one["state"] for one in launchpad.fireworks.find()}
    assert states == {first: "READY", middle: "WAITING", last: "WAITING"}
    check_runs_to_the_end(launchpad)


def test_fireworks_of_no_workflow_are_removed(launchpad):
    orphan = Firework(GrowTask(), name="orphan", fw_id=77)
    launchpad.fireworks.insert_one({**orphan.to_db_dict(), "state": "READY"})
    assert mend(launchpad).orphaned_fireworks == {77}
    check_runs_to_the_end(launchpad)


def test_a_workflow_that_was_added_in_part_is_removed(launchpad):
    ids = launchpad.add_wf(Workflow([Firework(GrowTask(), name="a"), Firework(GrowTask(), name="b")]))
    gone = max(ids.values())
    launchpad.fireworks.delete_one({"fw_id": gone})
    assert len(mend(launchpad).unfinished_workflows) == 1
    check_runs_to_the_end(launchpad)


def test_a_workflow_that_lost_a_firework_after_work_was_done_is_only_reported(launchpad):
    launch(launchpad)
    launchpad.fireworks.delete_one({"name": "last"})
    report = repair(launchpad, settle_s=0.0)
    assert len(report.damaged_workflows) == 1
    assert report.total == 0
    assert launchpad.fireworks.count_documents({}) == 2


@pytest.mark.parametrize("dead", [{"mortal"}, ["mortal"], lambda launch: launch["fworker"]["name"] == "mortal"])
@pytest.mark.parametrize("reserve", [False, True])
def test_jobs_of_dead_workers_run_again(launchpad, dead, reserve):
    take = launchpad.reserve_fw if reserve else launchpad.checkout_fw
    _, one = take(WORKER, ".")
    report = mend(launchpad, dead_workers=dead)
    assert report.lost_launches == {one}
    check_runs_to_the_end(launchpad)


def test_what_settles_by_itself_is_left_alone(launchpad, monkeypatch):
    first = identifier(launchpad, "first")
    launchpad.fireworks.update_one({"fw_id": first}, {"$set": {"state": "RESERVED"}})

    def other_worker_goes_on(seconds):
        assert seconds == 7.0
        launchpad.fireworks.update_one({"fw_id": first}, {"$set": {"state": "READY"}})

    monkeypatch.setattr("ionloop.store.care.repair.time.sleep", other_worker_goes_on)
    assert repair(launchpad, settle_s=7.0) == RepairReport()


def test_a_report_reads_well(launchpad):
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    launchpad.fireworks.update_one({"name": "first"}, {"$set": {"state": "RUNNING"}})
    first = identifier(launchpad, "first")
    report = repair(launchpad, settle_s=0.0)
    assert f"released fireworks: {first}" in report.lines()
    assert report.total == len(report.lines()) == 2


# -- findings: pure ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parents", "launches", "tolerant", "expected"),
    [
        ([], [], False, "READY"),
        (["COMPLETED"], [], False, "READY"),
        (["RUNNING"], [], False, "WAITING"),
        (["FIZZLED"], [], False, "WAITING"),
        (["FIZZLED"], [], True, "READY"),
        (["RUNNING"], ["COMPLETED"], False, "WAITING"),
        ([], ["FIZZLED", "RUNNING"], False, "RUNNING"),
        ([], ["FIZZLED", "COMPLETED"], False, "COMPLETED"),
        ([], ["FIZZLED"], False, "FIZZLED"),
        ([], ["ARCHIVED"], False, "READY"),
    ],
)
def test_states_follow_from_parents_and_launches(parents, launches, tolerant, expected):
    firework = FireworkFact(9, "WAITING", accepts_fizzled_parents=tolerant)
    parent_facts = [FireworkFact(number, state) for number, state in enumerate(parents)]
    launch_facts = [LaunchFact(number, 9, state) for number, state in enumerate(launches)]
    assert expected_state(firework, parent_facts, launch_facts) == expected


def test_an_archived_launch_of_a_dead_worker_is_not_lost():
    snapshot = Snapshot(
        {1: FireworkFact(1, "READY", archived_launches=(5,))},
        {5: LaunchFact(5, 1, "RUNNING", is_lost=True)},
        (WorkflowFact((1,), states={1: "READY"}),),
    )
    assert find_problems(snapshot) == RepairReport()


def test_an_empty_store_has_no_problems(tmp_path):
    launchpad = open_launchpad(tmp_path / "empty.db")
    assert find_problems(read_snapshot(launchpad)) == RepairReport()
    launchpad.client.close()
