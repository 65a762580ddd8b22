"""Structure functions in a campaign: jobs, results, the report's section, comparisons, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.analysis.structure_functions.settings import MeasuredSettings, StructureFunctionsSettings
from ionloop.tasks import conductivity as conductivity_tasks
from ionloop.tasks.results import load_arrays
from ionloop.tasks.values.structure_functions import STRUCTURE_FUNCTIONS as RESULTS
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.kind import CONDUCTIVITY
from ionloop.workflows.analyses.sections import FigureBlock, TableBlock, TextBlock
from ionloop.workflows.analyses.structure_functions.kind import STRUCTURE_FUNCTIONS
from ionloop.workflows.campaign.problems import CampaignFileError
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.submission.campaign_file import read_campaign

MEASURED = MeasuredSettings(points=tuple((0.2 * at, 1.0 + 0.1 * (-1) ** at) for at in range(1, 40)), name="wiggle")
NOWHERE = MeasuredSettings(points=tuple((30.0 + at, float(at)) for at in range(20)), name="far away", scale="fit")
SETTINGS = StructureFunctionsSettings(q_max_per_A=8.0, models=("gap",), network_frames=4, measured=(MEASURED, NOWHERE))
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
    assert figures[:5] == ["measured-1", "total-neutrons", "correlation-neutrons", "pairs", "partials"]
    assert sum(isinstance(block, TableBlock) for block in section.blocks) >= 3
    told = " ".join(block.text for block in section.blocks if isinstance(block, TextBlock))
    assert "half of the shortest distance of opposite faces" in told
    assert "far away is not compared" in told
    near, far = result.agreements
    assert (near.name, near.points > 10, near.control) == ("wiggle", True, 1.0)
    assert (far.points, far.r_chi) == (0, None)
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


CAMPAIGN = """\
name: measured
structure: gamma-li3ps4
analyses:
  conductivity: {}
  structure_functions:
    measured:
      - {file: curve.dat, quantity: S, scale: fit}
"""


def test_a_measured_curve_is_read_once_beside_the_campaign_file(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    (tmp_path / "curve.dat").write_text("\n".join(f"{0.5 * at} {at % 3} 0.1" for at in range(1, 30)))
    (read,) = STRUCTURE_FUNCTIONS.settings(read_campaign(tmp_path / "campaign.yaml")).measured
    assert read.file is None
    assert read.points is not None
    assert (read.name, read.points[0], len(read.points), read.scale) == ("curve.dat", (0.5, 1.0), 29, "fit")


def test_a_measured_curve_that_cannot_be_used_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    with pytest.raises(CampaignFileError) as caught:
        read_campaign(tmp_path / "campaign.yaml")
    (problem,) = caught.value.problems
    assert problem.key == ("analyses", "structure_functions", "measured", 0, "file")
    assert problem.line == 7
    assert "there is no file" in problem.message


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({}, "give the file of a measured curve, or its points"),
        ({"points": [[1, 2, 3], [1, 2]]}, "lists of two numbers, or all of three"),
        ({"file": "one", "window": [3, 1]}, "from a smaller number to a larger one"),
        ({"file": "one", "radiation": "x-rays"}, "which radiation does not name"),
    ],
)
def test_settings_of_a_measured_curve_that_make_no_sense_are_refused(measured: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StructureFunctionsSettings.model_validate({"measured": [measured]})
