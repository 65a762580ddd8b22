"""Carrying campaigns on: a store of an earlier release, with a finished campaign, is asked for more."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.store.care.verification import verify_store
from ionloop.store.connection import Store, open_store
from ionloop.store.jobs.queue import is_remaking
from ionloop.tasks.context import TaskContext, task_context
from ionloop.workflows.campaign.change_log import change_log
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.loop.generation_loop import label_job
from ionloop.workflows.loop.task_registry import admit_registered_tasks, registered_tasks
from ionloop.workflows.submission.campaign_file import load_structures, read_campaign
from ionloop.workflows.submission.continuation import carry_on
from ionloop.workflows.submission.holds import Hold, control_of, decide
from ionloop.workflows.submission.submission import Submission, submit
from ionloop.workflows.watching.control import pause
from ionloop.workflows.watching.ledger import failures
from ionloop.workflows.watching.status import campaign_status

RELEASE = Path(__file__).parent / "stores" / "release-0.1.0.tar.xz"


class Finished:
    """The finished campaign, the file that it was made from, and what can be done with them."""

    def __init__(self, folder: Path) -> None:
        with tarfile.open(RELEASE) as archive:
            archive.extractall(folder, filter="data")
        self.file = folder / "campaign.yaml"
        self.store = open_store(str(folder / "ionloop.db"))
        admit_registered_tasks()

    def submit(self, before: str = "", after: str = "") -> Submission:
        """Submit the file after one of its lines has been changed, or one has been added."""
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after) if before else f"{text}{after}\n")
        campaign = read_campaign(self.file)
        structures = load_structures(campaign, self.file.parent)
        return submit(self.store, campaign, structures, self.file)

    def jobs(self, **filters: Any) -> dict[str, str]:
        found = self.store.database.fireworks.find({"spec.campaign": "mini", **filters})
        return {job["spec"]["key"]: job["state"] for job in found}

    def run(self, key: str) -> Any:
        """Do the work of a job in this process."""
        job = self.store.database.fireworks.find_one({"spec.key": key})["spec"]["_tasks"][0]
        task: Any = registered_tasks()[job["_fw_name"]]
        context = TaskContext(self.store, campaign="mini")
        with task_context(context):
            return task(parameters={}).execute(task.parameters_type.model_validate(job["parameters"]), context)


@pytest.fixture
def finished(tmp_path: Path):
    made = Finished(tmp_path)
    yield made
    made.store.close()


def test_a_store_of_an_earlier_release_goes_on_as_it_is(finished: Finished) -> None:
    before = finished.jobs()
    assert finished.submit() == Submission(is_new=False)
    assert finished.jobs() == before
    assert campaign_status(finished.store, "mini").state is State.FINISHED
    assert verify_store(finished.store).problems == []


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ("max_generations: 1", "max_generations: 2", "generation-2/fit/gap"),
        ("", "analyses: {energy_volume: {reference: none}}", "analysis/energy-volume/gap/origin"),
        ("stop: {", "stop: {patience: 3, ", ""),
        ("", "max_core_hours: 100", ""),
        ('EMT"}', 'EMT", memory_limit_MB: 16000}', ""),
        ("length_ps: 0.05", "length_ps: 0.1", ""),
    ],
)
def test_what_only_adds_or_changes_no_physics_is_accepted_at_the_end(
    finished: Finished, before: str, after: str, added: str
) -> None:
    known = finished.jobs()
    done = finished.submit(before, after)
    assert done.changes
    assert not done.is_new
    new = finished.jobs().keys() - known.keys()
    assert set(done.carried_on.jobs) == new
    assert (added in new) if added else not new
    assert campaign_status(finished.store, "mini").state is (State.READY if added else State.FINISHED)
    # It is said and done once.
    assert finished.submit() == Submission(is_new=False)
    assert finished.jobs().keys() - known.keys() == new


def test_longer_sampling_is_a_reason_for_another_generation_where_one_is_left(finished: Finished) -> None:
    finished.submit(
        "stop: {max_generations: 1, energy_tolerance: 0", "stop: {max_generations: 5, energy_tolerance: 0.99"
    )
    assert finished.jobs(state="READY") == {"generation-2/fit/gap": "READY"}


@pytest.mark.parametrize(
    ("before", "after"), [("seed: 7", "seed: 8"), ("write_every: 5", "write_every: 1"), ("n_max: 3", "n_max: 4")]
)
def test_what_contradicts_is_refused_with_the_way_out_and_nothing_is_changed(
    finished: Finished, before: str, after: str
) -> None:
    known, settings = finished.jobs(), finished.store.campaigns["mini"].settings
    with pytest.raises(InputError, match="another name") as error:
        finished.submit(before, after)
    assert before.split(":")[0] in str(error.value)
    assert before.split()[1] in str(error.value)
    assert after.split()[1] in str(error.value)
    assert finished.jobs() == known
    assert finished.store.campaigns["mini"].settings == settings


def test_an_analysis_grows_by_what_is_new_and_begins_with_what_there_was(finished: Finished) -> None:
    length = "length_ps: 0.1, equilibration_ps: 0, timestep_fs: 2, write_every: 1, replicas: 1"
    short = f"analyses: {{conductivity: {{charge_e: 1, temperatures_K: [300], {length}}}}}"
    finished.submit("", short)
    (run,) = [key for key in finished.jobs() if "300K" in key]
    first = finished.run(run)
    more = short.replace("[300]", "[300, 400]")
    added = finished.submit(short, more).carried_on.jobs
    assert not added, "the campaign has not ended yet: its end asks for more by itself"
    finished.store.database.campaigns.update_one({"_id": "mini"}, {"$set": {"state": "finished"}})
    added = carry_on(finished.store, "mini").jobs
    assert [key for key in added if "K/" in key] == ["analysis/conductivity/gap/400K/0"]
    assert "analysis/conductivity/gap/again-1" in added
    finished.submit("length_ps: 0.1, equil", "length_ps: 0.2, equil")
    finished.store.database.campaigns.update_one({"_id": "mini"}, {"$set": {"state": "finished"}})
    added = carry_on(finished.store, "mini").jobs
    longer = finished.run("analysis/conductivity/gap/300K/0/again-1")
    records = finished.store.trajectories
    assert (records[first.outputs["trajectory"]].steps, records[longer.outputs["trajectory"]].steps) == (50, 100)
    old, new = (
        finished.store.artefacts.path(records[one.outputs["trajectory"]].artefact.path) for one in (first, longer)
    )
    assert old.stat().st_size < new.stat().st_size
    from ionloop.sampling.trajectory import read_frames

    assert [frame.positions.tolist() for frame in read_frames(old)] == [
        frame.positions.tolist() for frame in read_frames(new)[: len(read_frames(old))]
    ]


def test_limits_of_the_file_hold_for_jobs_that_are_in_the_store_and_names_of_results_do_not_change(
    finished: Finished,
) -> None:
    finished.submit("", "analyses: {energy_volume: {relax_ions: false, points: 5}}")
    before = {key for key in finished.jobs() if key.startswith("analysis")}
    finished.submit('EMT"}', 'EMT", wall_time_limit_s: 60, max_attempts: 7}')
    assert change_log(finished.store, "mini").reference["wall_time_limit_s"] == 3600
    finished.store.database.campaigns.update_one({"_id": "mini"}, {"$set": {"state": "finished"}})
    # Other limits are no other results.
    assert not carry_on(finished.store, "mini")
    assert {key for key in finished.jobs() if key.startswith("analysis")} == before


def test_files_that_are_gone_are_made_again_and_those_only(finished: Finished) -> None:
    conclusion = next(iter(finished.store.results.find({"kind": "conclusion"})))
    model = finished.store.models[conclusion.values["models"]["gap"]]
    shutil.rmtree(finished.store.root / "models")
    before = finished.jobs()
    done = finished.submit()
    assert sorted(done.carried_on.remade) == ["final/fit/gap/again-1", "generation-1/fit/gap/again-1"]
    assert finished.jobs().keys() - before.keys() == {*done.carried_on.remade, "final/conclude/again-1"}
    # The final model keeps the sparse points of the one before, which comes first.
    assert finished.jobs(state="READY").keys() == {"generation-1/fit/gap/again-1"}
    assert campaign_status(finished.store, "mini").state is State.READY
    assert not finished.submit().carried_on
    assert is_remaking(finished.store, "mini")
    for key in ("generation-1/fit/gap/again-1", "final/fit/gap/again-1", "final/conclude/again-1"):
        finished.run(key)
    assert all(finished.store.artefacts.is_there(file) for file in finished.store.models[model.id].files)
    assert finished.store.models[model.id].data_set == model.data_set
    assert campaign_status(finished.store, "mini").state is State.FINISHED


def without_rounding(value: Any) -> Any:
    """Return records with numbers of eight digits."""
    if isinstance(value, dict):
        return {key: without_rounding(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_rounding(one) for one in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def test_a_lost_trajectory_is_run_again_and_its_variances_are_selected_again(finished: Finished) -> None:
    for path in [*finished.store.root.glob("trajectories/*.traj"), *finished.store.root.glob("variances/*")]:
        path.unlink()
    remade = finished.submit().carried_on.remade
    assert sorted(remade) == [
        "generation-0/initial-molecular-dynamics/again-1",
        "generation-1/sample/0/again-1",
        "generation-1/select/again-1",
    ]
    records = {one.id: one.essence() for one in finished.store.trajectories.find()}
    for key in sorted(remade):
        finished.run(key)
    again = {one.id: one.essence() for one in finished.store.trajectories.find()}
    # Another processor multiplies in another order.
    assert without_rounding(again) == without_rounding(records)
    assert verify_store(finished.store).problems == []


def test_a_larger_budget_of_the_file_lets_a_campaign_go_on_that_paused_for_it(finished: Finished) -> None:
    pause(finished.store, "mini", reason="budget: 3 of 1 core hours are used")
    decide(finished.store, "mini", max_core_hours=1.0)
    finished.submit("", "max_core_hours: 100")
    control = control_of(finished.store, "mini")
    assert control.hold is None
    assert control.max_core_hours is None
    pause(finished.store, "mini", reason="paused by hand")
    finished.submit("max_core_hours: 100", "max_core_hours: 200")
    assert control_of(finished.store, "mini").hold is Hold.PAUSED


def test_a_campaign_of_which_no_job_was_started_may_still_be_written_otherwise(small) -> None:
    assert small.submit()
    small.campaign = Campaign.model_validate(small.settings(seed=5))
    assert small.submit()
    assert small.store.campaigns["small"].settings["seed"] == 5
    assert len(small.job_states()) == 7
    (small.folder / "other").mkdir()
    small.campaign = Campaign.model_validate(small.settings(seed=6))
    small.folder = small.folder / "other"
    with pytest.raises(InputError, match="another name"):
        small.submit()


def test_a_new_campaign_takes_over_finished_labels_and_never_failures(small) -> None:
    small.submit()
    done, failed = small.add_configurations(2)
    small.run(label_job(small.campaign, 0, done))
    small.fail(True)
    assert small.run(label_job(small.campaign, 0, failed)).state is State.FAILED
    small.fail(False)
    calls = small.calls()
    other: Store = small.store
    small.campaign = Campaign.model_validate(small.settings(name="again"))
    small.submit()
    for name in (done, failed):
        record = other.configurations[name]
        again = record.model_copy(update={"id": f"{name}-again", "campaign": "again"})
        other.configurations.add(again)
    # Before its own job has run it has failed at nothing.
    assert failures(other, "again") == []
    assert {one.id for one in failures(other, "small")} == {one.id for one in other.labels.find({"state": "failed"})}
    for name in (done, failed):
        assert small.run(label_job(small.campaign, 0, f"{name}-again")).state is State.FINISHED
    assert small.calls() == calls + 1


def test_a_limit_that_was_raised_holds_for_a_label_that_is_retried(small) -> None:
    small.submit()
    (name,) = small.add_configurations(1)
    job = label_job(small.campaign, 0, name)
    small.fail(True)
    small.run(job)
    small.fail(False)
    reference = small.settings()["reference"] | {"maximum_force_eV_per_A": 1e-6}
    small.campaign = Campaign.model_validate(small.settings(reference=reference))
    small.submit()
    retried = label_job(Campaign.model_validate(small.settings()), 0, name, retry=1)
    assert retried.parameters.engine.maximum_force_eV_per_A > 1
    assert small.run(retried).state is State.REJECTED
