import datetime
import inspect
import multiprocessing
import re
import time

import pytest
from fireworks import FiretaskBase, Firework, FWAction, FWorker, LaunchPad, Workflow
from fireworks.core.launchpad import LockedWorkflowError, WFLock
from fireworks.core.rocket_launcher import launch_rocket, rapidfire

from ionloop.core.errors import InputError
from ionloop.store.clients import connect, is_server
from ionloop.store.embedded import EmbeddedClient
from ionloop.store.jobs.launchpad import _OPERATIONS, open_launchpad
from ionloop.store.jobs.registered_tasks import restricted_tasks

FORK = multiprocessing.get_context("fork")
WORKER = FWorker("worker")


class LedgerTask(FiretaskBase):
    _fw_name = "ledger"

    def run_task(self, fw_spec):
        with open(fw_spec["ledger"], "a") as file:
            file.write(f"{self['name']}\n")
        if self.get("fail"):
            raise ValueError("on purpose")
        stored = "x" * self.get("size", 0)
        return FWAction(stored_data={"stored": stored}, update_spec={"from": self["name"]})


@pytest.fixture(autouse=True)
def only_our_task():
    with restricted_tasks({"ledger": LedgerTask}):
        yield


@pytest.fixture
def launchpad(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launchpad = open_launchpad(tmp_path / "store.db")
    yield launchpad
    launchpad.client.close()


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "ledger"
    path.touch()
    return path


def job(ledger, name, parents=None, **options):
    return Firework(LedgerTask(name=name, **options), spec={"ledger": str(ledger)}, name=name, parents=parents)


def chain(ledger, name, **options):
    first = job(ledger, f"{name}.1", **options)
    return Workflow([first, job(ledger, f"{name}.2", [first])], name=name)


def run_all(launchpad):
    while launch_rocket(launchpad, WORKER, strm_lvl="CRITICAL"):
        pass


def states(launchpad):
    return {one["name"]: one["state"] for one in launchpad.fireworks.find()}


def identifier(launchpad, name):
    return launchpad.fireworks.find_one({"name": name})["fw_id"]


def test_a_workflow_runs_to_its_end_in_order_and_passes_data(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    run_all(launchpad)
    assert ledger.read_text().split() == ["a.1", "a.2"]
    assert states(launchpad) == {"a.1": "COMPLETED", "a.2": "COMPLETED"}
    assert launchpad.fireworks.find_one({"name": "a.2"})["spec"]["from"] == "a.1"
    assert launchpad.workflows.find_one()["state"] == "COMPLETED"


def test_the_store_is_ready_at_once_and_again_after_reopening(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    launchpad.client.close()
    again = open_launchpad(launchpad.client.path)
    ids = again.add_wf(chain(ledger, "b"))
    assert sorted(ids.values()) == [3, 4]
    assert again.fireworks.index_information()["fw_id_1"]["unique"]


def test_fireworks_is_silent(launchpad, ledger, capfd):
    ids = launchpad.add_wf(chain(ledger, "a"))
    rapidfire(launchpad, WORKER, strm_lvl="CRITICAL")
    launchpad.delete_wf(min(ids.values()))
    assert capfd.readouterr().out == ""


def work(path, done):
    launchpad = open_launchpad(path)
    done.put(0)
    run_all(launchpad)


def test_three_processes_run_each_of_a_hundred_fireworks_once(launchpad, ledger):
    for number in range(50):
        launchpad.add_wf(chain(ledger, f"w{number}"))
    ready = FORK.SimpleQueue()
    workers = [FORK.Process(target=work, args=(launchpad.client.path, ready)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    run_all(launchpad)  # children that became ready after the last worker had looked
    executed = ledger.read_text().split()
    assert len(executed) == 100
    assert len(set(executed)) == 100
    assert set(states(launchpad).values()) == {"COMPLETED"}


def take_a_number(path, start):
    start.wait()
    open_launchpad(path).get_new_fw_id()


def test_processes_that_open_a_new_store_together_agree(tmp_path):
    start = FORK.Barrier(4)
    openers = [FORK.Process(target=take_a_number, args=(tmp_path / "new.db", start)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
        assert opener.exitcode == 0
    assert open_launchpad(tmp_path / "new.db").get_new_fw_id() == 5


def test_an_operation_is_all_or_nothing(launchpad, ledger, monkeypatch):
    launchpad.add_wf(chain(ledger, "a"))
    first = identifier(launchpad, "a.1")
    before = list(launchpad.fireworks.find()), list(launchpad.workflows.find()), list(launchpad.launches.find())

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(type(launchpad), "_update_wf", broken)
    with pytest.raises(MemoryError):
        launchpad.rerun_fw(first)
    after = list(launchpad.fireworks.find()), list(launchpad.workflows.find()), list(launchpad.launches.find())
    assert after == before


def test_a_locked_workflow_fails_fast(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    first = identifier(launchpad, "a.1")
    started = time.monotonic()
    with WFLock(launchpad, first):
        with pytest.raises(LockedWorkflowError):
            launchpad.rerun_fw(first)
        with pytest.raises(LockedWorkflowError):
            launchpad.append_wf(Workflow([job(ledger, "more")]), [first])
        launchpad._refresh_wf(first)  # FireWorks only notes that it could not
    assert time.monotonic() - started < 5
    launchpad.rerun_fw(first)


def test_an_orphan_does_not_stop_the_workers_for_ever(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    orphan = job(ledger, "orphan", None)
    orphan.fw_id, orphan.state = 99, "READY"
    orphan.spec["_priority"] = 5
    launchpad._upsert_fws([orphan])
    run_all(launchpad)
    assert states(launchpad) == {"a.1": "COMPLETED", "a.2": "COMPLETED", "orphan": "FIZZLED"}
    assert "belongs to no workflow" in launchpad.fireworks.find_one({"name": "orphan"})["refusal"]


def test_a_failed_task_fizzles_and_runs_again(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a", fail=True))
    run_all(launchpad)
    assert states(launchpad) == {"a.1": "FIZZLED", "a.2": "WAITING"}
    first = identifier(launchpad, "a.1")
    launchpad.update_spec([first], {"_tasks.0.fail": False})
    launchpad.rerun_fw(first)
    run_all(launchpad)
    assert set(states(launchpad).values()) == {"COMPLETED"}


def test_results_too_large_for_a_document_go_through_gridfs(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a", size=17_000_000))
    run_all(launchpad)
    assert set(states(launchpad).values()) == {"COMPLETED"}
    assert (
        len(launchpad.get_fw_by_id(identifier(launchpad, "a.1")).launches[0].action.stored_data["stored"]) == 17_000_000
    )


@pytest.mark.parametrize("operation", ["defuse_wf", "pause_wf", "archive_wf"])
def test_workflows_can_be_stopped(launchpad, ledger, operation):
    ids = launchpad.add_wf(chain(ledger, "a"))
    getattr(launchpad, operation)(min(ids.values()))
    run_all(launchpad)
    assert ledger.read_text() == ""


def test_lost_runs_are_found_and_run_again(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    firework, launch = launchpad.checkout_fw(WORKER, ".")
    lost = launchpad.detect_lostruns(expiration_secs=-1, rerun=True)
    assert lost == ([launch], [firework.fw_id], [])
    run_all(launchpad)
    assert set(states(launchpad).values()) == {"COMPLETED"}


def test_a_reservation_can_be_given_back(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    _, launch = launchpad.reserve_fw(WORKER, ".")
    launchpad.set_reservation_id(launch, "4711")
    assert states(launchpad)["a.1"] == "RESERVED"
    launchpad.cancel_reservation_by_reservation_id("4711")
    assert states(launchpad)["a.1"] == "READY"


def test_nothing_is_erased_by_todays_date(launchpad, ledger):
    launchpad.add_wf(chain(ledger, "a"))
    today = datetime.datetime.now().strftime("%Y-%m-%d")
    for arguments in [(today,), ("", False), (None, False, 100)]:
        with pytest.raises(InputError, match="erase ionloop"):
            launchpad.reset(*arguments)
    assert len(states(launchpad)) == 2
    launchpad.reset("erase ionloop")
    assert states(launchpad) == {}


def test_a_launchpad_describes_itself(launchpad):
    again = type(launchpad).from_dict(launchpad.to_dict())
    assert again.client.path == launchpad.client.path
    assert again.name == launchpad.name


def test_the_database_is_shared_with_other_collections(launchpad):
    with pytest.raises(ZeroDivisionError), launchpad.client.transaction():
        launchpad.db.labels.insert_one({"_id": 1})
        launchpad.get_new_fw_id()
        raise ZeroDivisionError
    assert launchpad.db.labels.count_documents({}) == 0
    assert launchpad.get_new_fw_id() == 1


def test_locations_are_told_apart(tmp_path):
    assert is_server("mongodb://host")
    assert is_server("mongodb+srv://host")
    assert not is_server(tmp_path / "store.db")
    assert isinstance(connect(str(tmp_path / "store.db")), EmbeddedClient)


def test_an_address_with_a_password_is_refused_without_showing_it():
    with pytest.raises(InputError, match=r"mongodb://\*\*\*@localhost:1/ holds credentials") as caught:
        open_launchpad("mongodb://ada:secret@localhost:1/", server_timeout_s=0.1)
    assert "secret" not in str(caught.value)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "notes"
    path.write_text("notes" * 50)
    with pytest.raises(InputError, match="not a store"):
        open_launchpad(path)


def test_every_operation_of_fireworks_that_writes_is_a_transaction():
    """A newer FireWorks may write in methods that this one does not have."""
    writes = re.compile(
        r"\.(insert_|update_|delete_|replace_|find_one_and_|put\()|self\.(_refresh_wf|_upsert_fws|rerun_fw)"
    )
    single_or_loops = {"get_new_fw_id", "get_new_launch_id", "_refresh_wf", "_get_a_fw_to_run", "maintain"}
    writing = {
        name
        for name, method in inspect.getmembers(LaunchPad, inspect.isfunction)
        if writes.search(inspect.getsource(method))
    }
    assert writing - single_or_loops <= set(_OPERATIONS)
