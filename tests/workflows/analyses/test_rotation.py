"""Rotation in a campaign: jobs, results, the report's section, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rotation_results
from ase import Atoms
from ase.io import write
from scipy.spatial.transform import Rotation

from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.analysis.rotation.settings import PolyanionSettings, RotationSettings
from ionloop.store.connection import Store
from ionloop.store.records import TrajectoryRecord
from ionloop.tasks.base import JobFailed
from ionloop.tasks.results import load_arrays
from ionloop.tasks.values.rotation import ROTATIONS
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.kind import CONDUCTIVITY
from ionloop.workflows.analyses.rotation.kind import ROTATION
from ionloop.workflows.analyses.rotation.report import show_decay
from ionloop.workflows.analyses.sections import FigureBlock, TableBlock
from ionloop.workflows.graph.plan import load_plan

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
RUNS = ConductivitySettings(
    temperatures_K=(300.0,), length_ps=60.0, equilibration_ps=0.0, write_every=50, replicas=2, charge_e=1.0
)
SETTINGS = RotationSettings.model_validate(
    {"models": ["gap"], "anion": {"centre": "P", "ligand": "S"}, "resamples": 20, "coupling": {"surrogates": 20}}
)


@pytest.fixture
def plan(small: Any, monkeypatch: pytest.MonkeyPatch) -> AnalysisPlan:
    monkeypatch.setattr(type(CONDUCTIVITY), "chosen_settings", lambda self, campaign: RUNS)
    monkeypatch.setattr(type(ROTATION), "chosen_settings", lambda self, campaign: SETTINGS)
    small.submit()
    return AnalysisPlan(load_plan(small.store, "small"), 1, {"gap": "model-2"}, {"gap": "fit"})


def turning(n_frames: int, seed: int) -> list[Atoms]:
    """Return frames of an anion that turns once, by 120° about a bond, and an ion that hops then."""
    random = np.random.default_rng(seed)
    frames = []
    for frame in range(n_frames):
        late = frame > n_frames // 2
        turn = Rotation.from_rotvec(np.radians(120.0) * late * TETRAHEDRON[0])
        ligands = 2.05 * turn.apply(TETRAHEDRON) + 0.05 * random.normal(size=(4, 3))
        ion = np.array([[0.0, 0.0, 5.0 if late else 2.0]]) + 0.05 * random.normal(size=(1, 3))
        positions = np.concatenate([np.zeros((1, 3)), ligands, ion])
        frames.append(Atoms("PS4Cu", positions, cell=[12.0] * 3, pbc=True, info={"time_fs": 100.0 * frame}))
    return frames


def add_trajectory(store: Store, name: str, frames: list[Atoms]) -> None:
    path = store.artefacts.folder(Path("trajectories")) / f"{name}.traj"
    write(path, frames)
    store.trajectories.add(
        TrajectoryRecord(
            id=name, campaign="small", generation=1, driver="gap", replica=0, start="start", seed=1, state="completed",
            reason="", steps=len(frames), frames=len(frames), mean_temperature_K=300.0,
            artefact=store.artefacts.register(path), wall_time_s=1.0,
        )
    )  # fmt: skip


def test_trajectories_become_rates_and_a_section(small: Any, plan: AnalysisPlan) -> None:
    (job,) = ROTATION.jobs(plan)
    assert len(job.parents) == 2
    with pytest.raises(JobFailed, match="no trajectory at 300 K is there"):
        small.run(job)
    for seed, name in enumerate(job.parameters.trajectories):
        add_trajectory(small.store, name, turning(300, seed))
    record = small.store.results[small.run(job).outputs["result"]]
    values, arrays = ROTATIONS.read(record), load_arrays(small.store, record.artefacts["curves"])
    assert (values.trajectories, values.anions, values.rotations, values.permuting, values.hops) == (2, 2, 2, 2, 2)
    assert values.duration_ps == pytest.approx(2 * 29.9)
    assert arrays["event_time_ps"] == pytest.approx([15.0, 15.0], abs=0.5)
    assert record.units["rotations_per_anion_per_ns"] == "1/ns"
    assert small.run(job).outputs["result"] == record.id
    section = ROTATION.section(small.store, "small")
    assert section is not None
    assert section.title == "Rotation of PS4"
    assert [one.key for one in section.blocks if isinstance(one, FigureBlock)] == ["correlations", "coupling"]
    (comparison,) = ROTATION.comparisons().values()
    assert all(one.figure.data for one in comparison.draw([comparison.read(small.store, record, None)] * 2))


def test_rates_stand_against_temperature_with_bounds_where_nothing_turned(builder: Any) -> None:
    builder.add_campaign()
    for temperature_K, rate in ((600.0, 2.0), (450.0, 0.5), (300.0, 0.0)):
        rotation_results.add_rotation(builder, "gap", 2, rate, temperature_K)
    section = ROTATION.section(builder.store, builder.name)
    assert section is not None
    figures = {one.key: one.figure for one in section.blocks if isinstance(one, FigureBlock)}
    measured, bounds = figures["rates"].data
    assert measured.y == (0.5, 2.0)
    assert bounds.marker.symbol == "arrow-down-open"
    tables = [one for one in section.blocks if isinstance(one, TableBlock)]
    assert [row[5] for row in tables[0].rows] == ["≤ 2", "0.5 (0.35 to 0.7)", "2 (1.4 to 2.8)"]
    assert tables[1].rows[0][2:] == ("20 (15 to 30)", "20 (15 to 30)", "> 50")
    assert "Li hops with it (p = 0.01)" in section.summary
    assert show_decay(None) == "–"


@pytest.mark.parametrize(
    ("anion", "key", "said"),
    [({}, "centre", "is P, which"), ({"centre": "Au", "ligand": "Cu"}, "ligand", "the mobile species")],
)
def test_what_does_not_fit_is_told(
    plan: AnalysisPlan, monkeypatch: pytest.MonkeyPatch, anion: dict[str, str], key: str, said: str
) -> None:
    chosen = RotationSettings(anion=PolyanionSettings.model_validate(anion))
    monkeypatch.setattr(type(ROTATION), "chosen_settings", lambda self, campaign: chosen)
    first, *_ = ROTATION.problems(plan.campaign, plan.atoms)
    assert first.key == ("analyses", "rotation", "anion", key)
    assert said in first.message


def test_methods_say_what_a_rotation_is() -> None:
    told = ROTATION.methods(RotationSettings())
    assert "Rotations of PS4" in told
    assert "60°" in told
