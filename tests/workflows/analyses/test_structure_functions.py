"""Structure functions in a campaign: jobs, results, the report's section, comparisons, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.analysis.structure_functions.settings import StructureFunctionsSettings
from ionloop.tasks import conductivity as conductivity_tasks
from ionloop.tasks.results import load_arrays
from ionloop.tasks.values.structure_functions import STRUCTURE_FUNCTIONS as RESULTS
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.kind import CONDUCTIVITY
from ionloop.workflows.analyses.sections import FigureBlock, TableBlock, TextBlock
from ionloop.workflows.analyses.structure_functions.kind import STRUCTURE_FUNCTIONS
from ionloop.workflows.graph.plan import load_plan

SETTINGS = StructureFunctionsSettings(q_max_per_A=8.0, models=("gap",), network_frames=4)
RUNS = ConductivitySettings(
    temperatures_K=(300.0,), length_ps=0.05, equilibration_ps=0.01, write_every=1, replicas=2, charge_e=1.0
)


@pytest.fixture
def plan(small: Any, monkeypatch: pytest.MonkeyPatch) -> AnalysisPlan:
    monkeypatch.setattr(conductivity_tasks, "open_potential", lambda store, potential: EMT())
    monkeypatch.setattr(type(CONDUCTIVITY), "chosen_settings", lambda self, campaign: RUNS)
    monkeypatch.setattr(type(STRUCTURE_FUNCTIONS), "chosen_settings", lambda self, campaign: SETTINGS)
    small.submit()
    return AnalysisPlan(load_plan(small.store, "small"), 1, {"gap": "model-2"}, {"gap": "fit"})


def test_trajectories_become_curves_and_numbers_and_a_section(small: Any, plan: AnalysisPlan) -> None:
    (job,) = STRUCTURE_FUNCTIONS.jobs(plan)
    for run in CONDUCTIVITY.jobs(plan):
        if run.key in job.parents:
            small.run(run)
    record = small.store.results[small.run(job).outputs["result"]]
    values, arrays = RESULTS.read(record), load_arrays(small.store, record.artefacts["curves"])
    result = values.structure
    assert (values.trajectories, result.atoms) == (2, len(plan.atoms))
    assert result.density_per_A3 == pytest.approx(len(plan.atoms) / plan.atoms.get_volume())
    assert arrays["g"].shape == (len(result.species), len(result.species), len(arrays["r_A"]))
    assert arrays["neutrons_s"].shape == arrays["q_per_A"].shape
    assert small.run(job).outputs["result"] == record.id
    section = STRUCTURE_FUNCTIONS.section(small.store, "small")
    assert section is not None
    figures = [block.key for block in section.blocks if isinstance(block, FigureBlock)]
    assert figures[:4] == ["total-neutrons", "correlation-neutrons", "pairs", "partials"]
    assert sum(isinstance(block, TableBlock) for block in section.blocks) >= 3
    told = " ".join(block.text for block in section.blocks if isinstance(block, TextBlock))
    assert "half of the shortest distance of opposite faces" in told
    (comparison,) = STRUCTURE_FUNCTIONS.comparisons().values()
    blocks = list(comparison.draw([comparison.read(small.store, record, None)] * 2))
    assert [len(block.figure.data) for block in blocks] == [2, 2] or all(block.figure.data for block in blocks)


def test_a_campaign_without_results_has_no_section(small: Any, plan: AnalysisPlan) -> None:
    assert STRUCTURE_FUNCTIONS.section(small.store, "small") is None


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        ({"isotopes": {"Na": 23}}, "isotopes", "does not hold"),
        ({"angles": ("S-P-S",)}, "angles", "does not hold"),
        ({"isotopes": {"Cu": 999}}, "radiation", "cannot be used"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(
    plan: AnalysisPlan, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], key: str, said: str
) -> None:
    chosen = StructureFunctionsSettings(**settings)
    monkeypatch.setattr(type(STRUCTURE_FUNCTIONS), "chosen_settings", lambda self, campaign: chosen)
    (problem,) = STRUCTURE_FUNCTIONS.problems(plan.campaign, Atoms("Cu2", cell=[3, 3, 3], pbc=True))
    assert problem.key == ("analyses", "structure_functions", key)
    assert said in problem.message


def test_methods_name_the_radiation_and_isotopes() -> None:
    told = STRUCTURE_FUNCTIONS.methods(StructureFunctionsSettings(radiation=("neutrons", "x-rays"), isotopes={"Li": 7}))
    assert "neutrons (7Li) and X-rays" in told
