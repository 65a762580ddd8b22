"""What may be changed in the file of a campaign that is in a store."""

from __future__ import annotations

from typing import Any

import pytest

from ionloop.labelling.registry import ENGINES
from ionloop.labelling.settings import is_physics
from ionloop.workflows.campaign.changes import RULES, Effect, Stage, changes, is_more, rule_of
from ionloop.workflows.campaign.schema import field_entries
from ionloop.workflows.campaign.settings import Campaign

VASP = {"engine": "vasp"}


def settings(**changed: Any) -> dict[str, Any]:
    base = {"name": "one", "structure": "li7p3s11"}
    if "reference" in changed:
        changed["reference"] = {"engine": "gfn1-xtb", **changed["reference"]}
    return Campaign.model_validate(base | changed).model_dump(mode="json")


def verdicts(old: dict[str, Any], new: dict[str, Any], begun: Stage = Stage.ANALYSES) -> dict[str, bool]:
    return {".".join(one.key): one.is_allowed for one in changes(settings(**old), settings(**new), begun)}


def test_every_key_of_the_file_has_a_rule_and_every_rule_a_key() -> None:
    keys = {entry.key for entry in field_entries()}
    assert {key[0] for key in keys} <= {name.split(".")[0] for name in RULES}
    assert {tuple(name.split(".")) for name in RULES} <= keys


@pytest.mark.parametrize("engine", [one.settings_type for one in ENGINES.kinds], ids=ENGINES.names)
def test_of_an_engine_exactly_that_may_change_which_no_label_depends_on(engine) -> None:
    name = engine.model_fields["engine"].default
    for field in engine.model_fields:
        may_change = rule_of(("reference", field), name).effect is Effect.FREE
        assert may_change is not is_physics(engine, field)


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ({}, {"max_core_hours": 100}, {"max_core_hours": True}),
        ({}, {"gap": "tune"}, {"gap.tune": False}),
        ({"gap": "tune"}, {}, {"gap.tune": False}),
        ({}, {"gap": {"tune": False}}, {}),
        (
            {"gap": "tune"},
            {"gap": {"tune": {"budget_fits": 30, "again_at_growth": 3}}},
            {"gap.tune.budget_fits": True, "gap.tune.again_at_growth": False},
        ),
        (
            {"max_core_hours": {"aims": 1}},
            {"max_core_hours": {"aims": 2, "fit": 1}},
            {"max_core_hours.aims": True, "max_core_hours.fit": True},
        ),
        ({}, {"reference": {"wall_time_limit_s": 9.0}}, {"reference.wall_time_limit_s": True}),
        ({}, {"reference": {"accuracy": 0.1}}, {"reference.accuracy": False}),
        ({}, {"stop": {"max_generations": 9, "patience": 3}}, {"stop.max_generations": True, "stop.patience": True}),
        ({}, {"stop": {"max_generations": 1}}, {"stop.max_generations": True}),
        ({}, {"sampling": {"length_ps": 10.0}}, {"sampling.length_ps": True}),
        ({}, {"sampling": {"length_ps": 1.0}}, {"sampling.length_ps": False}),
        ({}, {"sampling": {"temperature_K": 900.0}}, {"sampling.temperature_K": False}),
        ({"selection": {"count": 20}}, {"selection": {"count": 21}}, {"selection.count": True}),
        ({}, {"seed": 2}, {"seed": False}),
        ({}, {"gap": {"soap": {"n_max": 5}}}, {"gap.soap.n_max": False}),
        ({}, {"analyses": {"conductivity": {}}}, {"analyses.conductivity": True}),
        ({"analyses": {"conductivity": {}}}, {}, {"analyses.conductivity": True}),
        (
            {"analyses": {"conductivity": {}}},
            {"analyses": {"conductivity": {"temperatures_K": [700.0, 800.0], "length_ps": 2000.0, "timestep_fs": 1.0}}},
            {
                "analyses.conductivity.temperatures_K": True,
                "analyses.conductivity.length_ps": True,
                "analyses.conductivity.timestep_fs": False,
            },
        ),
        (
            {"analyses": {"conductivity": {"temperatures_K": [700.0, 800.0]}}},
            {"analyses": {"conductivity": {"temperatures_K": [800.0, 900.0]}}},
            {"analyses.conductivity.temperatures_K": False},
        ),
        (
            {"analyses": {"energy_volume": {"reference": "none"}}},
            {"analyses": {"energy_volume": {"reference": "single-points", "points": 11}}},
            {"analyses.energy_volume.reference": True, "analyses.energy_volume.points": False},
        ),
        (
            {"analyses": {"vacancy": {"reference": False}}},
            {"analyses": {"vacancy": {}}},
            {"analyses.vacancy.reference": True},
        ),
    ],
)
def test_what_has_been_done_decides(old, new, allowed) -> None:
    assert verdicts(old, new) == allowed


def test_what_no_job_has_used_yet_may_still_change() -> None:
    changed = {"gap": {"soap": {"n_max": 5}}, "seed": 2, "analyses": {"vacancy": {"metal_repeat": 2}}}
    old = {"analyses": {"vacancy": {}}}
    before = {"seed": False, "gap.soap.n_max": True, "analyses.vacancy.metal_repeat": True}
    assert verdicts(old, changed, Stage.START) == before
    assert verdicts(old, changed, Stage.GENERATIONS) == before | {"gap.soap.n_max": False}


def test_more_of_a_thing() -> None:
    assert is_more(1, 2)
    assert not is_more(2, 1)
    assert is_more(False, True)
    assert not is_more(True, False)
    assert is_more(["gap"], ["gap", "es-gap"])
    assert is_more(["gap"], [])
    assert not is_more(["gap"], ["es-gap"])
    assert not is_more([], ["gap"])
    assert is_more("none", "relax")
    assert not is_more("single-points", "relax")
