"""Species in a campaign: jobs, results, the report's section, comparisons, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.analysis.speciation.settings import SpeciationSettings
from ionloop.sampling.networks.settings import NetworkSettings
from ionloop.tasks import conductivity as conductivity_tasks
from ionloop.tasks.values.speciation import SPECIATIONS
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.kind import CONDUCTIVITY
from ionloop.workflows.analyses.sections import FigureBlock, TableBlock, TextBlock
from ionloop.workflows.analyses.speciation.kind import SPECIATION
from ionloop.workflows.graph.plan import load_plan

# Copper stands for centres and gold for ligands: what the tests' potential knows.
NETWORK = NetworkSettings(centres=("Cu",), ligands=("Au",))
RUNS = ConductivitySettings(
    temperatures_K=(300.0,), length_ps=0.05, equilibration_ps=0.01, write_every=1, replicas=2, charge_e=1.0
)


@pytest.fixture
def plan(small: Any, monkeypatch: pytest.MonkeyPatch) -> AnalysisPlan:
    monkeypatch.setattr(conductivity_tasks, "open_potential", lambda store, potential: EMT())
    monkeypatch.setattr(type(CONDUCTIVITY), "chosen_settings", lambda self, campaign: RUNS)
    small.submit()
    return AnalysisPlan(load_plan(small.store, "small"), 1, {"gap": "model-2"}, {"gap": "fit"})


def test_trajectories_become_species_and_a_section(
    small: Any, plan: AnalysisPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbols = sorted(set(plan.atoms.symbols))
    centre = next(one for one in symbols if one != plan.campaign.mobile)
    network = NetworkSettings(centres=(centre,), ligands=(plan.campaign.mobile,))
    settings = SpeciationSettings(models=("gap",), network=network)
    monkeypatch.setattr(type(SPECIATION), "chosen_settings", lambda self, campaign: settings)
    (job,) = SPECIATION.jobs(plan)
    for run in CONDUCTIVITY.jobs(plan):
        if run.key in job.parents:
            small.run(run)
    record = small.store.results[small.run(job).outputs["result"]]
    values = SPECIATIONS.read(record)
    assert (values.trajectories, values.network) == (2, f"{centre} with {plan.campaign.mobile}")
    assert sum(one.percent for one in values.species) == pytest.approx(100.0)
    assert small.run(job).outputs["result"] == record.id
    section = SPECIATION.section(small.store, "small")
    assert section is not None
    assert next(one.key for one in section.blocks if isinstance(one, FigureBlock)) == "shares"
    assert sum(isinstance(one, TableBlock) for one in section.blocks) == 3
    assert any("no intervals" in one.text or "made or broken" in one.text for one in section.blocks
               if isinstance(one, TextBlock)) or values.interval_reason == ""  # fmt: skip
    (comparison,) = SPECIATION.comparisons().values()
    (block,) = comparison.draw([comparison.read(small.store, record, None)] * 2)
    assert len(block.figure.data) == 2


def test_a_campaign_without_results_has_no_section(small: Any, plan: AnalysisPlan) -> None:
    assert SPECIATION.section(small.store, "small") is None


def test_elements_that_are_not_there_are_told(small: Any, plan: AnalysisPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(SPECIATION), "chosen_settings", lambda self, campaign: SpeciationSettings())
    problems = [one for one in SPECIATION.problems(plan.campaign, Atoms("CuAu")) if "network" in one.key]
    assert [(one.key[-1], one.value, one.allowed) for one in problems] == [
        ("centres", ["P"], "Au | Cu"),
        ("ligands", ["S"], "Au | Cu"),
    ]
