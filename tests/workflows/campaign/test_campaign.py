"""The campaign model: defaults, units, round trips, and what must fit together."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from ionloop.workflows.campaign.problems import dotted
from ionloop.workflows.campaign.schema import REQUIRED, FieldEntry, allowed_keys, field_entries, suggest_key
from ionloop.workflows.campaign.settings import Campaign

MINIMAL = {"name": "demo", "structure": "li7p3s11"}

UNIT_BY_SUFFIX = {
    "spacing_per_A": "1/Å",
    "_V_per_A": "V/Å",
    "_A": "Å",
    "_K": "K",
    "_fs": "fs",
    "_ps": "ps",
    "_s": "s",
    "_MB": "MB",
    "_eV": "eV",
    "_per_A": "eV/Å",
    "_max_per_A": "1/Å",
    "_step_per_A": "1/Å",
    "_per_atom": "eV/atom",
}


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({**MINIMAL, **sections})


def test_only_a_name_and_a_structure_have_no_default() -> None:
    required = [entry for entry in field_entries() if entry.default == REQUIRED]
    # A composition is packed at a density.
    packing = {("composition",), ("density_g_per_cm3",)}
    always = [entry.key for entry in required if entry.variant is None and entry.key[-1:] not in packing]
    assert always == [("name",), ("systems", "<name>", "structure")]
    # Nobody can guess which files a user has: these engines ask for them. A potential of a sampler is named, and so is
    # what a slab or an interface is cut from.
    of_variants = {entry.key[0] for entry in required if entry.variant is not None}
    assert of_variants <= {"reference", "explore", "structure", "systems"}


def test_initial_dynamics_ask_the_reference_at_gamma_unless_told_otherwise() -> None:
    dense = {"engine": "aims", "k_grid": {"spacing_per_A": [0.55, 0.28, 0.28]}}
    given = campaign(reference=dense)
    assert given.initial.molecular_dynamics.engine(given.reference).k_grid.gamma
    own = campaign(reference=dense, initial={"molecular_dynamics": {"k_points": "reference"}})
    assert own.initial.molecular_dynamics.engine(own.reference) == own.reference
    plain = campaign()
    assert plain.initial.molecular_dynamics.engine(plain.reference) == plain.reference


@pytest.mark.parametrize("entry", field_entries(), ids=lambda entry: f"{dotted(entry.key)}-{entry.variant}")
def test_every_key_says_what_it_is_and_in_which_unit(entry: FieldEntry) -> None:
    assert len(entry.description) > 5
    assert entry.allowed
    suffix = next((s for s in sorted(UNIT_BY_SUFFIX, key=len, reverse=True) if entry.key[-1].endswith(s)), None)
    if suffix:
        assert re.search(rf"(?<!\w){re.escape(UNIT_BY_SUFFIX[suffix])}(?![\w])", entry.description)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"reference": {"engine": "command", "calculator": "ase.calculators.emt:EMT", "arguments": {"a": [1, None]}}},
        {"selection": {"method": "stride", "count": 7}, "supercell": [2, 1, 3]},
        {"baseline": {"charges": {"Li": 0.3, "P": 1.5, "S": -0.6}}, "models": ["gap"], "gap": {"two_body": None}},
    ],
)
def test_a_campaign_survives_the_store(sections: dict[str, object]) -> None:
    original = campaign(**sections)
    assert Campaign.model_validate(json.loads(json.dumps(original.model_dump(mode="json")))) == original


def test_a_campaign_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        campaign().name = "other"


@pytest.mark.parametrize(("models", "driver"), [(["gap"], "gap"), (["gap", "es-gap"], "es-gap")])
def test_es_gap_drives_where_there_is_one(models: list[str], driver: str) -> None:
    assert campaign(models=models).driver == driver
    assert campaign(models=["gap", "es-gap"], sampling={"driver": "gap"}).driver == "gap"


def test_lengths_become_steps_and_frames() -> None:
    settings = {"length_ps": 1.0, "timestep_fs": 2.0, "write_every": 50}
    sampling = campaign(sampling=settings, selection={"count": 20}).sampling
    assert (sampling.steps, sampling.frames, sampling.dynamics.steps) == (500, 10, 500)
    initial = campaign(initial={"molecular_dynamics": {"count": 5, "every": 20}}).initial
    assert initial.molecular_dynamics.dynamics.steps == 100
    assert initial.lithium_monte_carlo.monte_carlo.count == initial.lithium_monte_carlo.count


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"models": ["gap"], "sampling": {"driver": "es-gap"}}, "sampling.driver"),
        ({"models": ["gap", "gap"]}, "models"),
        ({"initial": {"molecular_dynamics": {"count": 0}, "lithium_monte_carlo": {"count": 1}}}, "initial"),
        ({"initial": {"lithium_monte_carlo": {"end_temperature_K": 4000.0}}}, "end_temperature_K"),
        ({"sampling": {"length_ps": 0.1}}, "selection.count"),
        ({"sampling": {"length_ps": 50_000.0}}, "sampling.length_ps"),
        ({"models": ["gap"], "analyses": {"locality": {"potential": "es-gap"}}}, "analyses.locality.potential"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(sections: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(key)):
        campaign(**sections)


def test_keys_are_known_per_variant() -> None:
    stride = {"selection": {"method": "stride"}}
    assert "stride" in allowed_keys(("selection",), stride)
    assert "stride" not in allowed_keys(("selection",), {"selection": {"method": "cur"}})
    assert "descriptor" in allowed_keys(("selection",), {"selection": {}})


def test_a_misplaced_key_is_told_where_it_belongs() -> None:
    assert suggest_key(("sampling",), "temprature_K", MINIMAL) == "temperature_K"
    assert suggest_key(("stop",), "replicas", MINIMAL) == "sampling.replicas"
    assert suggest_key((), "xyzzy", MINIMAL) is None
