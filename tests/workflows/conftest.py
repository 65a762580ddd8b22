"""A campaign that costs seconds: Cu ions among Au atoms, labelled by EMT that can be told to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk

from ionloop.core.states import State
from ionloop.store.connection import Store
from ionloop.store.records import Origin
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.context import TaskContext
from ionloop.tasks.label import add_configuration
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.jobs import Job
from ionloop.workflows.loop.task_registry import admit_registered_tasks
from ionloop.workflows.submission.submission import submit

TESTS = Path(__file__).parents[1]


def crystal() -> Atoms:
    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    del atoms[[0, 6]]
    return atoms


class SmallCampaign:
    """A submitted campaign in a store, and means to run single jobs of it in this process."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.campaign = Campaign.model_validate(self.settings())
        self.context = TaskContext(store)
        admit_registered_tasks()

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "name": "small",
            "structure": "structure.extxyz",
            "mobile": "Cu",
            "reference": {
                "engine": "command",
                "calculator": "counted_emt:CountedEMT",
                "arguments": {"folder": str(self.folder)},
                "environment": {"PYTHONPATH": str(TESTS)},
            },
            "initial": {
                "molecular_dynamics": {"count": 2, "every": 2},
                "lithium_monte_carlo": {"count": 2, "relaxation": {"steps": 1}},
            },
            "baseline": {"charges": {"Cu": 0.4, "Au": -0.3}},
            "gap": {
                "two_body": {"cutoff_A": 4.0, "sparse_points": 4},
                "soap": {"cutoff_A": 3.5, "n_max": 2, "l_max": 1, "sparse_points": 5},
            },
            "sampling": {"length_ps": 0.02, "replicas": 2, "write_every": 5},
            "selection": {"method": "farthest-point", "count": 2},
            "stop": {"max_generations": 2},
            **changes,
        }

    def submit(self) -> bool:
        return submit(self.store, self.campaign, crystal(), self.folder / "campaign.yaml").is_new

    def add_configurations(self, count: int, generation: int = 0) -> list[str]:
        place = TaskParameters(campaign="small", generation=generation)
        names = []
        for index in range(count):
            atoms = crystal()
            atoms.rattle(0.05, seed=100 * generation + index)
            record = add_configuration(self.store, place, atoms, Origin(sampler="test", index=index))
            names.append(record.id)
        return names

    def run(self, job: Job) -> Any:
        """Do a job's work in this process, as a worker would, and return its outcome."""
        return job.task(parameters={}).execute(job.parameters, self.context)

    def calls(self) -> int:
        """How often the engine was called."""
        path = self.folder / "calls"
        return len(path.read_text()) if path.exists() else 0

    def fail(self, wanted: bool) -> None:
        """Make the engine fail from now on, or work again."""
        if wanted:
            (self.folder / "fail").touch()
        else:
            (self.folder / "fail").unlink()

    def job_states(self) -> dict[str, str]:
        return {job["spec"]["key"]: job["state"] for job in self.store.database.fireworks.find()}

    def label_state(self, configuration: str) -> State:
        content = self.store.configurations[configuration].content_hash
        return next(iter(self.store.labels.find({"content_hash": content}))).state


@pytest.fixture
def small(store: Store, tmp_path: Path) -> SmallCampaign:
    return SmallCampaign(store, tmp_path)
