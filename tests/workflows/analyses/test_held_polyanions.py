"""Trajectories with held polyanions in a campaign: what is run again, what it costs, what is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rotation_results
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import write

from ionloop.analysis.rotation.settings import RotationSettings
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.store.records import TrajectoryRecord
from ionloop.tasks.base import JobFailed
from ionloop.tasks.rotation import held as held_tasks
from ionloop.tasks.values.rotation import HELD_POLYANIONS
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.kind import CONDUCTIVITY
from ionloop.workflows.analyses.rotation.kind import ROTATION
from ionloop.workflows.analyses.sections import TableBlock, TextBlock
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.jobs import Job
from ionloop.workflows.graph.plan import Plan

RUNS = {"temperatures_K": [600.0, 700.0], "length_ps": 4.0, "equilibration_ps": 0.0, "write_every": 5, "replicas": 2}
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)


def campaign(rotation: dict[str, Any], **analyses: Any) -> Campaign:
    chosen = {"conductivity": RUNS, "rotation": rotation, **analyses}
    return Campaign.model_validate(
        {"name": "small", "structure": "gamma-li3ps4", "analyses": {key: one for key, one in chosen.items() if one}}
    )


def jobs_of(chosen: Campaign) -> dict[str, Job]:
    plan = Plan.of_one(chosen, build_crystal("gamma-li3ps4"))
    models = {str(kind): f"model-{kind}" for kind in chosen.models}
    found = ROTATION.jobs(AnalysisPlan(plan, 2, models, {kind: f"fit/{kind}" for kind in models}))
    return {job.key: job for job in found}


@pytest.mark.parametrize("by", ["walls", "masses"])
def test_every_trajectory_is_run_again_with_the_anions_held(by: str) -> None:
    chosen = campaign({"models": ["gap"], "held": {"by": by}})
    plain, held = jobs_of(campaign({"models": ["gap"]})), jobs_of(chosen)
    # What is said of free anions stays what it was.
    assert {key: held[key].parameters for key in plain} == {key: one.parameters for key, one in plain.items()}
    runs = {key for key in held if held[key].task is held_tasks.HeldRunTask}
    assert len(runs) == 4
    assert all(held[key].parents == ("fit/gap",) for key in runs)
    compare = held["analysis/rotation/gap/600K/held"]
    assert {one for one in compare.parents if "held" in one} == {one for one in runs if "600K" in one}
    assert len(compare.parameters.trajectories) == len(set(compare.parameters.trajectories)) == 4
    assert set(compare.parameters.held_trajectories) < set(compare.parameters.trajectories)
    for job in held.values():
        assert job.task in ROTATION.tasks()
        assert job.task.parameters_type.model_validate(job.parameters.model_dump(mode="json")) == job.parameters
    # Conductivity's trajectories are no exploration, and neither are these.
    assert all(held[key].parameters.name.startswith("conductivity/") for key in runs)
    atoms = build_crystal("gamma-li3ps4")
    cost, free = ROTATION.cost(chosen, atoms), CONDUCTIVITY.cost(chosen, atoms)
    assert cost.model_evaluations == free.model_evaluations / len(chosen.models)
    assert cost.model_atoms == free.model_atoms
    assert list(ROTATION.problems(chosen, atoms)) == []
    assert "held by" in ROTATION.methods(ROTATION.settings(chosen))


def test_settings_without_held_anions_are_written_as_before() -> None:
    assert "held" not in RotationSettings().model_dump(mode="json")
    held = RotationSettings.model_validate({"held": {"by": "masses"}})
    assert RotationSettings.model_validate(held.model_dump(mode="json")) == held


@pytest.mark.parametrize(
    ("rotation", "runs", "said"),
    [
        ({"held": {}}, None, "add it, and let analyses.rotation.of name it"),
        ({"held": {}, "of": "sampling"}, RUNS, "add it, and let analyses.rotation.of name it"),
        ({"held": {}, "anion": {"ligands": 6}}, RUNS, "holds no PS6 that could be held"),
    ],
)
def test_what_cannot_be_held_is_told(rotation: dict[str, Any], runs: Any, said: str) -> None:
    chosen = campaign(rotation, conductivity=runs)
    found = [one for one in ROTATION.problems(chosen, build_crystal("gamma-li3ps4")) if one.key[-1] == "held"]
    assert len(found) == 1
    assert said in found[0].message


def test_of_several_systems_each_has_its_cost_and_problems() -> None:
    systems = {name: {"structure": name} for name in ("gamma-li3ps4", "li7p3s11")}
    analyses = {"conductivity": RUNS, "rotation": {"models": ["gap"], "held": {}}}
    chosen = Campaign.model_validate({"name": "small", "systems": systems, "analyses": analyses})
    for name in systems:
        atoms = build_crystal(name)
        assert ROTATION.cost(chosen, atoms).model_atoms == CONDUCTIVITY.cost(chosen, atoms).model_atoms > 0
        assert list(ROTATION.problems(chosen, atoms, name)) == []


def anion_and_ion() -> Atoms:
    positions = np.concatenate([np.zeros((1, 3)), 2.05 * TETRAHEDRON, [[0.0, 0.0, 5.0]]])
    return Atoms("PS4Cu", positions, cell=[12.0] * 3, pbc=True)


@pytest.mark.parametrize("by", ["walls", "masses"])
def test_a_trajectory_is_run_with_anions_held(small: Any, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    small.submit()
    job = jobs_of(campaign({"models": ["gap"], "held": {"by": by}}))["analysis/rotation/gap/600K/held/0"]
    monkeypatch.setattr(held_tasks, "starting_structure", lambda *of: anion_and_ion())
    monkeypatch.setattr(held_tasks, "open_potential", lambda *of: LennardJones(sigma=1.0, epsilon=0.01, rc=3.0))
    short = job.parameters.dynamics.model_copy(update={"steps": 20})
    job = replace(job, parameters=job.parameters.model_copy(update={"dynamics": short}))
    outputs = small.run(job).outputs
    assert outputs == {"trajectory": job.parameters.trajectory, "frames": 5}
    assert small.run(job).outputs == outputs
    monkeypatch.setattr(held_tasks, "starting_structure", lambda *of: Atoms("Cu4", cell=[9] * 3, pbc=True))
    with pytest.raises(JobFailed, match="holds no PS4 that could be held"):
        small.run(job)


def frames_of(seed: int, *, turns: bool, step_A: float) -> list[Atoms]:
    random, frames = np.random.default_rng(seed), []
    ions = np.array([0.0, 0.0, 5.0]) + np.cumsum(step_A * random.normal(size=(400, 4, 3)), axis=0)
    for frame in range(400):
        # A third of a turn about the first bond puts the others in each other's places.
        order = np.array([0, 1, 2, 3]) if not turns or frame // 100 % 2 == 0 else np.array([0, 2, 3, 1])
        ligands = 2.05 * TETRAHEDRON[order] + 0.03 * random.normal(size=(4, 3))
        positions = np.concatenate([np.zeros((1, 3)), ligands, ions[frame]])
        frames.append(Atoms("PS4Li4", positions, cell=[12.0] * 3, pbc=True, info={"time_fs": 100.0 * frame}))
    return frames


def test_both_sides_become_a_table(small: Any) -> None:
    small.submit()
    rotation = {"models": ["gap"], "held": {}, "resamples": 20, "coupling": {"surrogates": 20}}
    job = jobs_of(campaign(rotation))["analysis/rotation/gap/600K/held"]
    names = job.parameters.trajectories
    with pytest.raises(JobFailed, match="no trajectory at 600 K is there"):
        small.run(job)
    for seed, name in enumerate(names):
        held = name in job.parameters.held_trajectories
        path = small.store.artefacts.folder(Path("trajectories")) / f"{name}.traj"
        write(path, frames_of(seed, turns=not held, step_A=0.1 if held else 0.3))
        small.store.trajectories.add(
            TrajectoryRecord(
                id=name, campaign="small", generation=2, driver="gap", replica=0, start="start", seed=1,
                state="completed", reason="", steps=400, frames=400, mean_temperature_K=600.0,
                artefact=small.store.artefacts.register(path), wall_time_s=1.0,
            )
        )  # fmt: skip
        if seed == 1:
            with pytest.raises(JobFailed, match="no trajectory with held polyanions is there"):
                small.run(job)
    record = small.store.results[small.run(job).outputs["result"]]
    values = HELD_POLYANIONS.read(record)
    assert (values.free.trajectories, values.held.trajectories, values.missing_trajectories) == (2, 2, 0)
    assert (values.free.rotations, values.held.rotations) == (6, 0)
    assert values.ratio == pytest.approx(1 / 9, rel=0.3)
    assert record.units["free"]["diffusivity_A2_per_ps"] == "Å²/ps"
    assert small.run(job).outputs["result"] == record.id


def test_the_report_shows_ratios_and_why_there_is_no_answer(builder: Any) -> None:
    builder.add_campaign()
    rotation_results.add_rotation(builder, "gap", 2, 2.0)
    rotation_results.add_held(builder, "gap", 2, "slower")
    rotation_results.add_held(builder, "gap", 2, "not known", temperature_K=700.0)
    section = ROTATION.section(builder.store, builder.name)
    assert section is not None
    (table,) = [one for one in section.blocks if isinstance(one, TableBlock) and "held by" in one.columns]
    assert [row[-2:] for row in table.rows] == [("0.4 (0.3 to 0.5)", "slower"), ("–", "not known")]
    assert table.rows[1][3] == "≤ 0.3"
    told = [one.text for one in section.blocks if isinstance(one, TextBlock)]
    assert any("whether Li needs rotations is not known; it is known too poorly." in one for one in told)
