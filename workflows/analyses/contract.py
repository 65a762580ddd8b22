"""What every analysis must satisfy, as a test class to inherit.

A test of an analysis is a subclass in a pytest file that defines ``analysis`` and, where the defaults do not suit it,
``settings``, ``atoms`` and ``campaign``::

    class TestMyAnalysis(AnalysisContract):
        def analysis(self):
            return MY_ANALYSIS
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ase import Atoms
from pydantic import BaseModel

from ...sampling.structures.crystals import build_crystal
from ...store.connection import open_store
from ...tasks.base import IonloopTask, TaskParameters
from ..campaign.changes import Effect, rule_of
from ..campaign.settings import Campaign
from ..graph.jobs import Job
from ..graph.plan import Plan
from .base import Analysis, AnalysisPlan
from .comparison import Comparison
from .of_trajectories import TrajectoryAnalysis
from .registry import ANALYSES


class AnalysisContract:
    """Its name, its settings, its graph, its cost, and what it tells where there is nothing to tell."""

    def analysis(self) -> Analysis[Any]:
        """Return the analysis under test."""
        raise TypeError(f"{type(self).__name__} must define analysis()")

    def settings(self) -> BaseModel:
        """Return settings to test with: the defaults."""
        found: BaseModel = self.analysis().settings_type()
        return found

    def atoms(self) -> Atoms:
        """Return the crystal to test with."""
        return build_crystal("gamma-li3ps4")

    def campaign(self) -> Campaign:
        """Return a campaign that makes the analysis."""
        return Campaign.model_validate(
            {
                "name": "contract",
                "structure": "gamma-li3ps4",
                "baseline": {"charges": "formal"},
                "analyses": {self.analysis().name: self.settings().model_dump(mode="json")},
            }
        )

    def _jobs(self) -> list[Job]:
        plan = Plan.of_one(self.campaign(), self.atoms())
        models = {str(kind): f"model-{kind}" for kind in plan.campaign.models}
        fits = {kind: f"final/fit/{kind}" for kind in models}
        return self.analysis().jobs(AnalysisPlan(plan, 2, models, fits))

    def test_is_registered_under_its_name(self) -> None:
        assert ANALYSES.get(self.analysis().name) is self.analysis()
        assert self.analysis().description

    def test_the_campaign_file_has_its_section(self) -> None:
        campaign = self.campaign()
        assert campaign.analyses.chosen == (self.analysis().name,)
        assert self.analysis().settings(campaign) == self.settings()
        assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign
        without = Campaign.model_validate({"name": "contract", "structure": "gamma-li3ps4"})
        assert self.analysis().chosen_settings(without) is None
        assert self.analysis().settings(without) == self.analysis().settings_type()

    def test_every_setting_is_described_and_unknown_keys_are_errors(self) -> None:
        settings_type = self.analysis().settings_type
        assert [name for name, field in settings_type.model_fields.items() if not field.description] == []
        assert settings_type.model_config.get("extra") == "forbid"

    def test_what_may_change_later_are_settings(self) -> None:
        analysis = self.analysis()
        for effect, names in ((Effect.MORE, analysis.grows), (Effect.FREE, analysis.free)):
            for name in names:
                key = ("analyses", analysis.name, *name.split("."))
                assert key[2] in analysis.settings_type.model_fields
                assert rule_of(key).effect is effect

    def test_its_jobs_are_a_graph_of_its_own_tasks(self) -> None:
        jobs = self._jobs()
        keys = {job.key for job in jobs}
        assert jobs
        assert all(key.startswith("analysis/") for key in keys)
        assert {parent for job in jobs for parent in job.parents} <= keys | {
            f"final/fit/{kind}" for kind in self.campaign().models
        }
        assert {job.task for job in jobs} <= set(self.analysis().tasks())
        assert len(keys) == len(jobs)

    def test_the_graph_is_the_same_whenever_it_is_described(self) -> None:
        first, second = ([(job.key, job.parameters, job.parents) for job in self._jobs()] for _ in range(2))
        assert first == second

    def test_parameters_survive_a_document(self) -> None:
        for job in self._jobs():
            assert isinstance(job.parameters, TaskParameters)
            assert job.task.parameters_type.model_validate(job.parameters.model_dump(mode="json")) == job.parameters

    def test_its_property_is_asked_of_the_driver_alone_and_not_known_without_results(self, tmp_path: Path) -> None:
        analysis = self.analysis()
        assert analysis.property_unit in ("", "eV", "%")
        plan = Plan.of_one(self.campaign(), self.atoms())
        driver = plan.campaign.driver
        described = AnalysisPlan(plan, 2, {driver: "model-x"}, {driver: "fit"})
        if analysis.property_unit:
            jobs = {job.key: job for job in analysis.property_jobs(described)}
            assert {parent for job in jobs.values() for parent in job.parents} <= {*jobs, "fit"}
            potentials = [getattr(job.parameters, "potential", None) for job in jobs.values()]
            assert {potential.kind for potential in potentials if potential is not None} == {driver}
        store = open_store(str(tmp_path / "contract.db"), use_environment=False)
        try:
            assert list(analysis.property_numbers(store, described)) == []
            assert list(analysis.proposals(store, described)) == []
        finally:
            store.close()

    def test_its_tasks_have_names_of_their_own(self) -> None:
        tasks = self.analysis().tasks()
        assert all(issubclass(task, IonloopTask) for task in tasks)
        assert len({task._fw_name for task in tasks}) == len(tasks)
        assert IonloopTask._fw_name not in {task._fw_name for task in tasks}

    def test_its_cost_is_told(self) -> None:
        cost = self.analysis().cost(self.campaign(), self.atoms())
        # Who only looks at what others run asks for nothing.
        looks = isinstance(self.analysis(), TrajectoryAnalysis)
        assert (cost.reference_evaluations + cost.model_evaluations > 0) != looks
        assert (cost.model_evaluations > 0) == (cost.model_atoms > 0)
        assert (cost.reference_evaluations > 0) == (cost.reference_atoms > 0)
        assert cost.disk_bytes >= 0

    def test_a_campaign_that_fits_has_no_problems(self) -> None:
        assert [problem.message for problem in self.analysis().problems(self.campaign(), self.atoms())] == []

    def test_without_results_there_is_no_section(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path / "contract.db"), use_environment=False)
        try:
            assert self.analysis().section(store, "contract") is None
        finally:
            store.close()

    def test_it_tells_what_was_done_and_whom_to_cite(self) -> None:
        assert isinstance(self.analysis().methods(self.settings()), str)
        works = [(one.what, one.reference) for one in self.analysis().citations]
        assert all(what and reference for what, reference in works)
        assert len(set(works)) == len(works)

    def test_results_of_its_kinds_are_compared(self) -> None:
        assert all(isinstance(one, Comparison) for one in self.analysis().comparisons().values())

    def test_its_commands_are_there(self) -> None:
        for place in self.analysis().commands.values():
            module, _, name = place.partition(":")
            assert callable(getattr(importlib.import_module(module), name))
