"""The campaign of `ionloop init --template lps`, reduced to a minute: crystals and glasses, GFN1-xTB, to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_campaign import finish

from ionloop.core.names import ERRORS, NEW
from ionloop.core.states import State
from ionloop.store.connection import open_store
from ionloop.tasks.values.glasses import GLASSES
from ionloop.tasks.values.loop import MODEL_ERRORS
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.campaign.starter import short_text, yaml_value
from ionloop.workflows.campaign.yaml_lines import parse_yaml

SYSTEMS = ("gamma", "li4p2s6", "glass75")
COARSE = {"cutoff_A": 4.0, "n_max": 3, "l_max": 2}


def reduced(given: dict[str, Any]) -> dict[str, Any]:
    """Return the template's campaign with unit cells, short trajectories and few labels."""
    systems = {name: {"structure": given["systems"][name]["structure"]} for name in SYSTEMS}
    systems["glass75"]["structure"] = {**systems["glass75"]["structure"], "atoms": 16}
    nvt, quench = given["explore"]
    rattled, packing = given["initial"]
    return {
        **given,
        "systems": systems,
        "initial": [{**rattled, "count": 2}, {**packing, "count": 1, "relaxation": {"steps": 2}}],
        "explore": [
            {**nvt, "temperature_K": 600, "length_ps": 0.02, "write_every": 2, "candidates": 4},
            {**quench, "melt_ps": 0.01, "hold_ps": 0.01, "quench_K_per_ps": 50_000, "replicas": 1, "write_every": 2,
             "candidates": 4},
        ],
        "gap": {"two_body": {"sparse_points": 5}, "soap": {**COARSE, "sparse_points": 12}},
        "evaluate": {"cross_check": 0},
        "selection": {**given["selection"], "count": 4, "descriptor": COARSE, "points": 30},
        "stop": {"max_generations": 1, "min_label_fraction": 0.3},
        "analyses": {
            "glasses": {"quench_K_per_ps": [50_000], "glasses": 2, "melt_ps": 0.02, "hold_ps": 0.02, "glass_ps": 0.05,
                        "write_every": 5},
        },
    }  # fmt: skip


@pytest.mark.slow
def test_crystals_and_glasses_teach_one_potential_that_makes_glasses(tmp_path: Path) -> None:
    text = short_text("lps")
    assert Campaign.model_validate(parse_yaml(text).data).name == "lps"
    file = tmp_path / "campaign.yaml"
    small = reduced(parse_yaml(text).data)
    file.write_text("".join(f"{key}: {yaml_value(value)}\n" for key, value in small.items()))
    finish(file)
    store = open_store(str(tmp_path / "ionloop.db"), must_exist=True)
    try:
        assert store.campaigns["lps"].state is State.FINISHED
        (errors,) = store.results.find({"kind": ERRORS, "values.subset": NEW})
        assert set(MODEL_ERRORS.read(errors).by_system) <= set(SYSTEMS)
        (made,) = store.results.find({"kind": GLASSES.name})
        assert "of 2 glasses" in GLASSES.read(made).told
    finally:
        store.close()
