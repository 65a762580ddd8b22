"""A hundred hostile or malformed documents in the database: none executed, all reported, no worker dies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ase.build import bulk
from fireworks import Firework, Workflow

sys.path.insert(0, str(Path(__file__).parent))

from hostile_documents import Canary, hostile_documents

from ionloop.store.connection import Store
from ionloop.store.jobs.registered_tasks import restricted_tasks
from ionloop.store.queries.refused_jobs import refused_jobs
from ionloop.store.records import CampaignRecord, Structure
from ionloop.tasks.label import IsolatedAtomTask
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.loop.task_registry import registered_tasks
from ionloop.workflows.running.worker import Worker
from ionloop.workflows.watching.ledger import failures, retry
from ionloop.workflows.watching.status import campaign_status

FEWEST = 100


def add_campaign(store: Store, engine: dict) -> None:
    """A campaign with one job, which a worker must get to."""
    settings = Campaign.model_validate({"name": "small", "structure": "x", "mobile": "Cu", "reference": engine})
    store.campaigns.add(
        CampaignRecord(
            id="small",
            campaign="small",
            settings=settings.model_dump(mode="json"),
            structure=Structure.from_atoms(bulk("Cu")),
            file="x",
        )
    )
    task = IsolatedAtomTask(parameters={"campaign": "small", "generation": 0, "species": "Cu", "engine": engine})
    spec = {"campaign": "small", "key": "honest", "kind": "isolated-atom", "generation": 0, "_priority": -1000}
    store.launchpad.add_wf(Workflow([Firework([task], spec=spec, name="honest")]))


def inject(store: Store, hostile: list) -> None:
    for one in hostile:
        store.database.fireworks.insert_one(one.firework)
        if one.workflow is not None:
            store.database.workflows.insert_one(one.workflow)
        if one.launches:
            store.database.launches.insert_many(one.launches)


def check_outcome(store: Store, hostile: list, canary: Canary) -> None:
    documents = {one["_id"]: one for one in store.database.fireworks.find()}
    not_stopped = [one.name for one in hostile if documents[one.firework["_id"]]["state"] != "FIZZLED"]
    assert not_stopped == []
    assert canary.has_sung == []
    assert "canary_module" not in sys.modules
    assert (canary.folder / "bait").read_text() == "secret"
    honest = store.database.fireworks.find_one({"spec.key": "honest"})
    assert honest["state"] == "COMPLETED"
    ledger = failures(store, "small")
    reported = {failure.id for failure in ledger} | {refusal.id for refusal in refused_jobs(store)}
    silent = [one.name for one in hostile if not {str(one.firework["_id"]), str(one.firework["fw_id"])} & reported]
    assert silent == []
    assert all(failure.reason for failure in ledger)
    assert len(ledger) >= len(hostile)
    # Nothing that was stored can write over a terminal.
    assert all(failure.reason.isprintable() for failure in ledger)
    assert campaign_status(store, "small").jobs["finished"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_none_is_executed_all_are_reported_and_no_worker_dies(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = Canary(tmp_path / "canary")
    monkeypatch.syspath_prepend(canary.folder)
    monkeypatch.chdir(tmp_path)
    hostile = hostile_documents("small", canary)
    assert len(hostile) >= FEWEST
    with restricted_tasks(registered_tasks()):
        add_campaign(store, {"engine": "command", "calculator": "ase.calculators.emt:EMT"})
        inject(store, hostile)
        # Before any worker came by, whoever looks sees a campaign.
        campaign_status(store, "small")
        failures(store, "small")
        Worker(store).run()
        check_outcome(store, hostile, canary)
        # Trying them all again ends alike.
        retry(store, "small")
        Worker(store).run()
        check_outcome(store, hostile, canary)
