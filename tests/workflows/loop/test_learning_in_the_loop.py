"""Learning on the fly as jobs of a campaign: rounds, what they label, updates, ends; kills and failures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ionloop.core.states import State
from ionloop.store.care.verification import verify_store
from ionloop.store.connection import open_store
from ionloop.tasks.assess import AssessTask
from ionloop.tasks.base import JobFailed
from ionloop.tasks.context import task_context
from ionloop.tasks.on_the_fly import leg as legs
from ionloop.tasks.on_the_fly import update as updates
from ionloop.tasks.values.learning import LEGS, ROUNDS, UPDATES, LegValues, RoundValues, UpdateValues
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.jobs import Graph, Job
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.loop.error_history import end_of_loop, error_history
from ionloop.workflows.loop.generation_loop import GrowLabels, initial_graph, label_job, next_graph
from ionloop.workflows.loop.learning_rule import learning_standings
from ionloop.workflows.report.learning import learning_section
from ionloop.workflows.watching.status import campaign_status
from tests.learning_campaign import learning_settings
from tests.workflows.conftest import SmallCampaign

KILLED = RuntimeError("killed")


class LearningCampaign:
    """A submitted campaign that learns, with a first data set, whose jobs are run in this process."""

    def __init__(self, small: Any, **changes: Any) -> None:
        self.small, self.store = small, small.store
        small.campaign = Campaign.model_validate(learning_settings(small, **changes))
        small.submit()
        graph = initial_graph(load_plan(small.store, "small"))
        for job in graph.jobs:
            if "isolated-atom" in job.key:
                small.run(job)
        for name in small.add_configurations(6):
            small.run(label_job(small.campaign, 0, name))
        self.data_set = small.run(next(job for job in graph.jobs if job.task is AssessTask)).pass_on["data_set"]
        self.asked: list[str] = []
        self.fails: Callable[[str], bool] = lambda name: False

    def next(self, generation: int = 0) -> Graph:
        """The graph of what follows a generation."""
        return next_graph(self.store, "small", generation, self.data_set)

    def run(self, graph: Graph, done: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run jobs in turn, with the labels that they ask for; return outcomes, or why a job failed, by key."""
        outcomes: dict[str, Any] = {} if done is None else done
        waiting = [job for job in graph.jobs if job.key not in outcomes and "cross-check" not in job.key]
        outcomes |= {job.key: None for job in graph.jobs if "cross-check" in job.key}
        while waiting:
            job = next(one for one in waiting if set(one.parents) <= outcomes.keys())
            waiting.remove(job)
            try:
                outcome = self.small.run(job)
            except JobFailed as error:
                outcome = error
            if isinstance(job.grow, GrowLabels):
                self._label(job)
            outcomes[job.key] = outcome
            if job.task is AssessTask:
                self.data_set = outcome.pass_on["data_set"]
        return outcomes

    def _label(self, job: Job) -> None:
        with task_context(self.small.context):
            action = job.grow.run_task({})
        fireworks = action.detours[0].fws if action.detours else []
        for name in (one.tasks[0]["parameters"]["configuration"] for one in fireworks):
            is_to_fail = self.fails(name)
            if is_to_fail:
                self.small.fail(True)
            self.small.run(label_job(self.small.campaign, job.parameters.generation, name))
            if is_to_fail:
                self.small.fail(False)
            self.asked.append(name)

    def of(self, kind: Any, generation: int = 1) -> list[Any]:
        found = self.store.results.find({"kind": kind.name, "generation": generation})
        return sorted((kind.read(one) for one in found), key=lambda one: (one.round, getattr(one, "walker", 0)))

    @property
    def legs(self) -> list[LegValues]:
        return self.of(LEGS)

    @property
    def rounds(self) -> list[RoundValues]:
        return self.of(ROUNDS)

    @property
    def updates(self) -> list[UpdateValues]:
        return self.of(UPDATES)

    def essences(self) -> dict[str, Any]:
        """What two runs must agree on, but for the folder that the engine is told."""
        kinds = (self.store.configurations, self.store.labels, self.store.results, self.store.trajectories)
        return {one.id: one.essence() for records in kinds for one in records.find({})}


@pytest.fixture
def learning(small: Any) -> LearningCampaign:
    return LearningCampaign(small)


def test_rounds_do_not_wait_for_the_labels_that_they_ask_for(small: Any) -> None:
    jobs = {job.key: job for job in LearningCampaign(small).next().jobs}
    stage = "generation-1/explore/0-on-the-fly"
    assert set(jobs[f"{stage}/round-3/leg/1"].parents) == {f"{stage}/round-3/model", f"{stage}/round-2/candidates"}
    assert set(jobs[f"{stage}/round-3/model"].parents) == {f"{stage}/round-2/model", f"{stage}/round-1/labels"}
    assert jobs[f"{stage}/round-1/leg/0"].parents == (f"{stage}/round-2/model",)
    assert jobs[f"{stage}/round-2/model"].parents == ("generation-1/fit/gap",)
    # Four rounds; the models of two more only measure.
    assert f"{stage}/round-6/model" in jobs["generation-1/assess"].parents
    assert not any("select" in key for key in jobs)
    assert all(job.runs_after_failures for key, job in jobs.items() if key.startswith(stage))


def test_a_generation_learns_is_measured_by_audits_and_no_label_is_made_twice(learning: LearningCampaign) -> None:
    outcomes = learning.run(learning.next())
    assert not any(isinstance(one, JobFailed) for one in outcomes.values())
    frames = [frame for one in learning.rounds for frame in one.frames]
    assert len(learning.asked) == len(set(learning.asked)) == len(frames) == learning.rounds[-1].labels_used
    assert {"audit", "alarm"} <= {frame.kind for frame in frames}
    # Labels of round k are in the model of round k + 2.
    for one in learning.rounds:
        (update,) = [update for update in learning.updates if update.round == one.round + 2]
        assert {frame.configuration for frame in update.frames} == {frame.configuration for frame in one.frames}
    audits = {frame.configuration for frame in frames if frame.kind == "audit"}
    (errors,) = learning.store.results.find({"kind": "errors", "generation": 1, "values.subset": "new"})
    measured = {label.configuration for label in learning.store.labels.get_many(list(errors.inputs))}
    assert measured == audits
    assert [one.generation for one in error_history(learning.store, "small")] == [1]
    # All labels join the data of the next full fit.
    assert len(learning.store.data_sets[learning.data_set].labels) == 6 + len(frames)
    # Models that nobody walks with are gone.
    assert not list((learning.store.root / "learning").glob("*/round-*"))
    found = verify_store(learning.store)
    assert (found.problems, found.remarks) == ([], [])


def test_walkers_go_on_in_the_next_generation_and_the_budget_is_that_of_all(learning: LearningCampaign) -> None:
    learning.run(learning.next())
    last = {leg.walker: leg for leg in learning.legs}
    learning.run(learning.next(1))
    later = [leg for leg in learning.of(LEGS, 2) if leg.round == 1]
    assert [leg.leg for leg in later] == [last[leg.walker].leg + (last[leg.walker].end != "waited") for leg in later]
    assert any(leg.first_step > 0 for leg in later)
    assert all(leg.energy_jump_eV_per_atom is not None for leg in later)
    assert learning.of(ROUNDS, 2)[0].simulated_ps > learning.rounds[-1].simulated_ps
    standings = learning_standings(learning.store, "small")
    assert [one.generation for one in standings] == [2]
    assert standings[0].labels_used <= 12
    status = campaign_status(learning.store, "small").learning[0]
    assert (status.labels_used, status.max_labels, status.generation) == (standings[0].labels_used, 12, 2)
    section = learning_section(list(learning.store.results.find({"campaign": "small"})))
    assert section is not None
    assert len(section.figures) == 3
    verdict = end_of_loop(learning.store, load_plan(learning.store, "small"), 2)
    assert (verdict.stop, verdict.converged) == (True, False)
    assert "not converged" in verdict.reason


def test_a_budget_that_is_used_up_ends_learning_and_the_loop(small: Any) -> None:
    learning = LearningCampaign(small, max_labels=2)
    outcomes = learning.run(learning.next())
    assert len(learning.asked) == 2
    assert "max_labels" in learning.rounds[-1].ended
    after = [one for key, one in outcomes.items() if "/round-4/leg" in key]
    assert after
    assert all("max_labels" in one.reason for one in after)
    verdict = end_of_loop(learning.store, load_plan(learning.store, "small"), 1)
    assert (verdict.stop, verdict.converged) == (True, False)
    assert verdict.reason.startswith("stopped after generation 1, not converged: all 2 labels")


def test_a_second_run_is_equal_bit_for_bit_though_killed_between_label_and_update_and_in_a_leg(
    small: Any, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = LearningCampaign(small)
    undisturbed.run(undisturbed.next())
    other = SmallCampaign(open_store(str(tmp_path_factory.mktemp("other") / "store")), small.folder)
    learning = LearningCampaign(other)
    graph, done = learning.next(), {}
    killed: set[str] = set()

    def dies_once(name: str, then: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name not in killed:
                killed.add(name)
                raise KILLED
            return then(*arguments, **options)

        return call

    # In the middle of a leg, before its record; and when a model's folder is there, but not its record.
    monkeypatch.setattr(legs, "new_result", dies_once("leg", legs.new_result))
    monkeypatch.setattr(updates, "keep", dies_once("before the folder", updates.keep))
    monkeypatch.setattr(updates, "new_result", dies_once("after the folder", updates.new_result))
    while True:
        try:
            learning.run(graph, done)
            break
        except RuntimeError as error:
            assert error is KILLED
            if len(killed) == 3:
                # And a disk that lost the models: they are made again.
                shutil.rmtree(learning.store.root / "learning", ignore_errors=True)
    assert len(killed) == 3
    assert undisturbed.essences() == learning.essences()
    other.store.close()


def test_a_model_that_is_lost_is_made_again_as_it_was(learning: LearningCampaign) -> None:
    jobs = {job.key: job for job in learning.next().jobs}
    stage = "generation-1/explore/0-on-the-fly"
    graph = Graph(tuple(job for key, job in jobs.items() if "round-4/leg" not in key and "assess" not in key))
    until = [job for job in graph.jobs if not any(f"round-{n}" in job.key for n in (5, 6))]
    learning.run(Graph(tuple(job for job in until if "round-4" not in job.key or job.key.endswith("model"))))
    folder = next((learning.store.root / "learning").glob("*"))
    kept = {path.name: files(path) for path in folder.iterdir()}
    assert set(kept) == {"round-3", "round-4"}
    shutil.rmtree(folder)
    learning.small.run(jobs[f"{stage}/round-4/leg/0"])
    assert files(folder / "round-4") == kept["round-4"]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_label_that_fails_stops_nothing(learning: LearningCampaign) -> None:
    learning.fails = lambda name: not learning.asked
    outcomes = learning.run(learning.next())
    assert not any(isinstance(one, JobFailed) for key, one in outcomes.items() if "explore" in key)
    assert sum(update.missing for update in learning.updates) == 1
    failed = learning.store.labels.find({"state": State.FAILED.value})
    assert [one.configuration for one in failed] == learning.asked[:1]


def test_a_leg_that_fails_stops_no_walker_for_good(learning: LearningCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = legs._walk

    def fails_in_round_two(parameters: Any, context: Any) -> Any:
        if (parameters.round, parameters.walker) == (2, 0):
            raise JobFailed("told to fail")
        return walk(parameters, context)

    monkeypatch.setattr(legs, "_walk", fails_in_round_two)
    outcomes = learning.run(learning.next())
    assert sum(isinstance(one, JobFailed) for one in outcomes.values()) == 1
    assert [leg.leg for leg in learning.legs if leg.walker == 0] == [0, 1, 2]


def test_without_a_fit_all_of_it_fails_at_once(learning: LearningCampaign) -> None:
    graph = learning.next()
    done = {job.key: None for job in graph.jobs if "/fit/" in job.key}
    graph = Graph(tuple(job for job in graph.jobs if not job.key.endswith("assess")))
    outcomes = learning.run(graph, done)
    (reason,) = {str(one) for key, one in outcomes.items() if key.endswith("round-2/model")}
    assert "no model gap that could learn" in reason
    assert all(isinstance(one, JobFailed) for key, one in outcomes.items() if "/leg/" in key)
