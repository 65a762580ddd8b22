"""Documents of jobs: of a campaign in the short form they stay what they were, or running stores would go on otherwise.

`job-documents.json` holds what the release without samplers and systems wrote, as hashes by key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ionloop.sampling.structures.crystals import build_crystal
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.jobs import Job
from ionloop.workflows.graph.plan import Plan
from ionloop.workflows.loop.generation_loop import generation_graph, initial_graph

KNOWN = json.loads((Path(__file__).parent / "job-documents.json").read_text())
DIGITS = 16
CAMPAIGNS = {
    "lps": {"baseline": {"charges": "formal"}},
    # By fitted charges, which the later generations know.
    "fit": {"supercell": [1, 1, 1]},
}
FITTED = {"Li": 0.3, "P": 1.5, "S": -0.6}


def digest(job: Job) -> str:
    document = job.to_firework(-1).to_dict()
    for name in ("created_on", "updated_on"):
        document.pop(name, None)
    document["parents"] = sorted(job.parents)
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()[:DIGITS]


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_jobs_of_the_short_form_are_written_as_before_there_were_samplers_and_systems(name: str) -> None:
    # Bounds from the training set came later: without them documents are the same.
    settings = {"sampling": {"guard": {"seen_fraction": 0.0}}, **CAMPAIGNS[name]}
    campaign = Campaign.model_validate({"name": name, "structure": "li7p3s11", **settings})
    plan = Plan.of_one(campaign, build_crystal("li7p3s11"))
    jobs = list(initial_graph(plan).jobs)
    later = plan if name == "lps" else replace(plan, fitted_charges=FITTED)
    jobs += generation_graph(later, 2, "data-x").jobs
    found = {job.key: digest(job) for job in jobs}
    assert {key for key in found if found[key] != KNOWN[name].get(key)} == set()
    assert found.keys() == KNOWN[name].keys()
