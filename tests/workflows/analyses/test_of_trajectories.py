"""Analyses of trajectories that others run: whose, after which jobs, and what becomes of those that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pydantic import Field

from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.analysis.trajectories.settings import ReadRunsSettings
from ionloop.core.errors import InputError
from ionloop.store.result_kinds import ResultKind
from ionloop.tasks import conductivity as conductivity_tasks
from ionloop.tasks.base import JobFailed
from ionloop.tasks.context import TaskContext
from ionloop.tasks.of_trajectories.task import Analysed, TrajectoriesParameters, TrajectoriesTask
from ionloop.tasks.results import load_arrays
from ionloop.tasks.values.runs import RunsValues
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.kind import CONDUCTIVITY
from ionloop.workflows.analyses.of_trajectories import TrajectoryAnalysis
from ionloop.workflows.graph.plan import load_plan

CONDUCTIVITY_SETTINGS = ConductivitySettings(
    temperatures_K=(300.0, 500.0), length_ps=0.05, equilibration_ps=0.01, write_every=1, replicas=2, charge_e=1.0
)
PS_TOLERANCE = 1e-9


class FrameSettings(ReadRunsSettings):
    most: int = Field(1000, description="Frames that may be there (number)")


class FrameValues(RunsValues):
    frames: int = Field(description="Frames that were seen (number)")


class FrameParameters(TrajectoriesParameters):
    settings: FrameSettings


class FrameTask(TrajectoriesTask):
    _fw_name = "ionloop.test-frames"
    parameters_type = FrameParameters
    result_kind = ResultKind("test-frames", FrameValues)
    seen: ClassVar[list[int]] = []

    def analyse(self, trajectories: Sequence[Trajectory], parameters: Any, context: TaskContext) -> Analysed:
        frames = [one.n_frames for one in trajectories]
        self.seen.append(sum(frames))
        if sum(frames) > parameters.settings.most:
            raise InputError("there are too many frames")
        return Analysed({"frames": sum(frames)}, {"frames": np.array(frames)}, {"frames": "1"})


class FrameAnalysis(TrajectoryAnalysis[FrameSettings]):
    name = "test_frames"
    description = "How many frames there are"
    settings_type = FrameSettings
    chosen: ClassVar[FrameSettings] = FrameSettings()

    def chosen_settings(self, campaign: Any) -> FrameSettings:
        return self.chosen

    def task(self) -> type[TrajectoriesTask]:
        return FrameTask

    def section(self, store: Any, campaign: str, system: str | None = None) -> None:
        return None


@pytest.fixture(autouse=True)
def _potentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductivity_tasks, "open_potential", lambda store, potential: EMT())
    FrameTask.seen.clear()


def with_conductivity(monkeypatch: pytest.MonkeyPatch, asked: bool = True) -> None:
    settings = CONDUCTIVITY_SETTINGS if asked else None
    monkeypatch.setattr(type(CONDUCTIVITY), "chosen_settings", lambda self, campaign: settings)


def described(small: Any) -> AnalysisPlan:
    small.submit()
    return AnalysisPlan(load_plan(small.store, "small"), 1, {"es-gap": "model-1", "gap": "model-2"}, {"es-gap": "fit"})


def jobs_of(plan: AnalysisPlan, settings: Mapping[str, Any]) -> dict[str, Any]:
    analysis = FrameAnalysis()
    type(analysis).chosen = FrameSettings(**settings)
    return {job.key: job for job in analysis.jobs(plan)}


def test_one_result_for_every_potential_and_temperature(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_conductivity(monkeypatch)
    plan = described(small)
    runs = {job.key: job for job in CONDUCTIVITY.jobs(plan)}
    jobs = jobs_of(plan, {})
    models = sorted(plan.models)
    assert sorted(jobs) == [f"analysis/test_frames/{model}/{T}K" for model in models for T in (300, 500)]
    for job in jobs.values():
        assert len(job.parents) == len(job.parameters.trajectories) == CONDUCTIVITY_SETTINGS.replicas
        assert [runs[parent].parameters.trajectory for parent in job.parents] == list(job.parameters.trajectories)
        assert job.parameters.skipped_frames == CONDUCTIVITY_SETTINGS.equilibration_frames
    assert sorted(jobs_of(plan, {"models": ("gap",)})) == [f"analysis/test_frames/gap/{T}K" for T in (300, 500)]


def test_a_missing_trajectory_is_left_out_and_counted_and_looked_at_when_it_comes(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_conductivity(monkeypatch)
    plan = described(small)
    job = jobs_of(plan, {"models": ("gap",)})["analysis/test_frames/gap/300K"]
    with pytest.raises(JobFailed, match="no trajectory at 300 K is there"):
        small.run(job)
    first, second = (run for run in CONDUCTIVITY.jobs(plan) if run.key in job.parents)
    small.run(first)
    one = small.store.results[small.run(job).outputs["result"]]
    values = FrameTask.result_kind.read(one)
    frames = CONDUCTIVITY_SETTINGS.frames
    assert (values.trajectories, values.missing_trajectories, values.frames) == (1, 1, frames)
    assert values.duration_ps == pytest.approx((frames - 1) * 0.002, abs=PS_TOLERANCE)
    assert load_arrays(small.store, one.artefacts["curves"])["frames"].tolist() == [frames]
    assert (one.units["duration_ps"], one.units["frames"]) == ("ps", "1")
    small.run(second)
    both = small.store.results[small.run(job).outputs["result"]]
    assert both.id != one.id
    assert FrameTask.result_kind.read(both).frames == 2 * frames
    small.run(job)
    assert FrameTask.seen == [frames, 2 * frames]  # what is known is not computed again


def test_what_cannot_be_analysed_fails_with_its_words(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_conductivity(monkeypatch)
    plan = described(small)
    job = jobs_of(plan, {"models": ("gap",), "most": 1})["analysis/test_frames/gap/300K"]
    for run in CONDUCTIVITY.jobs(plan):
        if run.key in job.parents:
            small.run(run)
    with pytest.raises(JobFailed, match="too many frames"):
        small.run(job)


def test_without_another_analysis_the_last_generation_is_looked_at(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_conductivity(monkeypatch, asked=False)
    plan = described(small)
    (job,) = jobs_of(plan, {}).values()
    assert (job.parents, job.parameters.skipped_frames) == ((), 0)
    # The model that is final did not drive them.
    assert (job.parameters.potential.kind, job.parameters.potential.model) == (plan.campaign.driver, None)
    with_conductivity(monkeypatch)
    (job,) = jobs_of(plan, {"of": "sampling"}).values()
    assert job.parents == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"of": "barriers"}, "is no analysis of the campaign that runs trajectories"),
        ({"models": ("mace",)}, "names a model that the campaign does not fit"),
    ],
)
def test_what_does_not_fit_is_told(
    small: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    with_conductivity(monkeypatch)
    plan = described(small)
    analysis = FrameAnalysis()
    type(analysis).chosen = FrameSettings(**settings)
    (problem,) = analysis.problems(plan.campaign, plan.atoms)
    assert said in problem.message
