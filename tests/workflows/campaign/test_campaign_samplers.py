"""Lists of samplers in the campaign file: what they mean, what is refused, and that the short forms are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ionloop.sampling.guard import TrajectoryGuard
from ionloop.sampling.samplers.potentials import AnotherEngine
from ionloop.sampling.samplers.registry import sampler_of
from ionloop.workflows.campaign.changes import Stage, changes
from ionloop.workflows.campaign.problems import dotted
from ionloop.workflows.campaign.samplers import (
    equilibrium_temperature_K,
    exploring_samplers,
    frames_of,
    initial_samplers,
    stored_samplers,
)
from ionloop.workflows.campaign.settings import Campaign, stored_campaign
from ionloop.workflows.campaign.validation import validate_campaign
from ionloop.workflows.report.methods import methods_paragraph
from ionloop.workflows.submission.submission import refusal

BASE = {"name": "demo", "structure": "li7p3s11"}
EXPLORE = [
    {"kind": "npt", "pressure_GPa": 0.5, "candidates": 50},
    {"kind": "nvt", "temperature_K": [600, 800], "length_ps": 1, "potential": "gap"},
    {"kind": "rattled", "count": 5},
]
LEARNING = {"kind": "on-the-fly"}
INITIAL = [
    {"kind": "molecular-dynamics", "count": 12},
    {"kind": "nvt", "candidates": 8, "potential": {"engine": "gfn1-xtb", "accuracy": 0.5}},
    {"kind": "rattled", "count": 4},
]


def campaign(**sections: Any) -> Campaign:
    found, problems = validate_campaign({**BASE, **sections})
    assert problems == []
    return found


def test_lists_are_read_counted_and_come_back() -> None:
    read = campaign(explore=EXPLORE, initial=INITIAL)
    assert [one.sampler for one in read.explore or ()] == ["npt", "nvt", "rattled"]
    assert frames_of(initial_samplers(read.initial)) == 12 + 8 + 4
    # Two temperatures, two replicas of each, a hundred frames in each of them.
    assert frames_of(exploring_samplers(read.explore, read.sampling)) == 50 + 400 + 5
    (_, nvt, _) = initial_samplers(read.initial)
    assert isinstance(nvt.chosen_potential, AnotherEngine)
    document = read.model_dump(mode="json")
    assert "sampling" not in document
    assert Campaign.model_validate(document) == read
    assert stored_campaign(document) == read


def test_without_lists_documents_are_what_they_were() -> None:
    document = campaign().model_dump(mode="json")
    assert "explore" not in document
    assert set(document["initial"]) == {"molecular_dynamics", "lithium_monte_carlo"}


def test_the_short_forms_are_samplers_of_the_same_numbers() -> None:
    read = campaign(
        sampling={"length_ps": 2, "temperature_K": 700, "replicas": 3, "guard": {"maximum_force_eV_per_A": 50}},
        initial={"molecular_dynamics": {"count": 6, "every": 5}, "lithium_monte_carlo": {"count": 4}},
    )
    (nvt,) = exploring_samplers(read.explore, read.sampling)
    kind = sampler_of(nvt)
    assert (kind.runs(nvt), kind.frames(nvt), kind.evaluations(nvt)) == (3, 600, 6000)
    assert nvt.guard.bounded({}) == read.sampling.dynamics.guard == TrajectoryGuard(maximum_force_eV_per_A=50)
    dynamics, monte_carlo = initial_samplers(read.initial)
    assert sampler_of(dynamics).dynamics(dynamics, 0).steps == read.initial.molecular_dynamics.dynamics.steps == 30
    assert monte_carlo.monte_carlo == read.initial.lithium_monte_carlo.monte_carlo
    assert equilibrium_temperature_K(read) == 700
    assert stored_samplers(read.model_dump(mode="json")) == ("molecular-dynamics", "lithium-monte-carlo", "nvt")


def test_the_driver_is_whom_every_exploring_sampler_names() -> None:
    assert campaign().driver == "es-gap"
    assert campaign(explore=EXPLORE).driver == "es-gap", "the first leaves it open"
    assert campaign(explore=EXPLORE[1:]).driver == "gap", "what is rattled needs none"


@pytest.mark.parametrize(
    ("sections", "key", "said"),
    [
        ({"explore": [{"kind": "nvtt"}]}, ("explore", 0, "kind"), "choices"),
        ({"explore": [{"kind": "npt", "presure_GPa": 0}]}, ("explore", 0, "presure_GPa"), "unknown key"),
        ({"explore": []}, ("explore",), "1 to 100 entries"),
        ({"explore": EXPLORE, "sampling": {"length_ps": 3}}, ("sampling",), "drop one"),
        ({"explore": [{"kind": "nvt", "potential": "gapp"}]}, ("explore", 0, "potential"), "not among the models"),
        ({"initial": [{"kind": "rattled"}, {"kind": "nvt"}]}, ("initial", 1, "candidates"), "is needed"),
        (
            {"initial": [{"kind": "molecular-dynamics", "potential": "driver"}]},
            ("initial", 0, "potential"),
            "not there yet",
        ),
        (
            {"explore": [{"kind": "nvt", "potential": {"engine": "gfn1"}}]},
            ("explore", 0, "potential", "engine"),
            "no engine",
        ),
        (
            {"explore": [{"kind": "nvt", "potential": {"engine": "gfn1-xtb", "accuracy": -1}}]},
            ("explore", 0, "potential", "accuracy"),
            "greater than 0",
        ),
        ({"explore": [{"kind": "rattled", "count": 3}]}, ("selection", "count"), "more than the 3 frames"),
        ({"explore": [{"kind": "nvt", "length_ps": 9e4}]}, ("explore", 0), "at most 10,000,000"),
        (
            {"explore": [{"kind": "nvt", "temperature_K": [300, -3]}]},
            ("explore", 0, "temperature_K", 1),
            "greater than 0",
        ),
        ({"explore": [{"kind": "annealing", "end_temperature_K": 2000}]}, ("explore", 0), "must be below"),
        ({"explore": [{"kind": "melt-quench", "temperature_K": 3000}]}, ("explore", 0), "must be above"),
        ({"initial": [{"kind": "on-the-fly"}]}, ("initial", 0, "kind"), "cannot bring"),
        ({"explore": [LEARNING | {"friction_per_ps": 0}]}, ("explore", 0, "friction_per_ps"), "greater than 0"),
        ({"explore": [LEARNING | {"leg_ps": 20}]}, ("explore", 0), "must not be longer"),
        (
            {"explore": [LEARNING], "fit": {"backend": "gap_fit"}},
            ("explore", 0, "kind"),
            "needs a driver that learns in place, and es-gap does not: gap_fit fits anew",
        ),
        (
            {"explore": [LEARNING], "baseline": {"kind": "local"}},
            ("explore", 0, "kind"),
            "charges are fitted with the potential",
        ),
        ({"explore": [LEARNING], "stop": {"audit": {"count": 5}}}, ("stop", "audit"), "what learns measures by audits"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(sections: dict[str, Any], key: tuple[Any, ...], said: str) -> None:
    _, problems = validate_campaign({**BASE, **sections})
    assert [problem.key for problem in problems] == [key]
    assert said in problems[0].message


@pytest.mark.parametrize(("given", "read"), [([500, 800], (500.0, 800.0)), (600, (600.0,))])
def test_walkers_have_one_temperature_or_several(given: Any, read: tuple[float, ...]) -> None:
    (entry,) = campaign(explore=[LEARNING | {"temperatures_K": given}]).explore or ()
    assert getattr(entry, "temperatures_K", ()) == read


def test_a_budget_of_labels_may_grow_and_makes_the_loop_go_on() -> None:
    before, after = (campaign(explore=[LEARNING | {"max_labels": n}]).model_dump(mode="json") for n in (100, 200))
    (found,) = changes(before, after, Stage.GENERATIONS)
    assert (dotted(found.key), found.is_allowed, found.explores) == ("explore[0].max_labels", True, True)


def test_the_methods_of_what_learns_say_what_ended_it_and_that_models_were_frozen() -> None:
    text = methods_paragraph(campaign(explore=[LEARNING]), "Li28P12S44", {})
    assert "learning on the fly by 4 walkers" in text
    assert "frames were chosen" not in text
    assert "errors on audits fell by less than" in text
    assert "audits measured was below 0.1 eV/Å" in text
    assert "analyses are of the final models, which were frozen" in text
    both = methods_paragraph(campaign(explore=[LEARNING, {"kind": "nvt"}]), "Li28P12S44", {})
    assert "frames were chosen" in both


NPT, NVT, RATTLED = EXPLORE
MELT_QUENCH = {"kind": "melt-quench"}


@pytest.mark.parametrize(
    ("explore", "allowed"),
    [
        ([*EXPLORE, MELT_QUENCH], {"explore[3]": True}),
        (
            [NPT, {**NVT, "length_ps": 2, "replicas": 3}, RATTLED],
            {"explore[1].length_ps": True, "explore[1].replicas": True},
        ),
        ([NPT, {**NVT, "length_ps": 0.5}, RATTLED], {"explore[1].length_ps": False}),
        ([NPT, {**NVT, "temperature_K": [600, 800, 900]}, RATTLED], {"explore[1].temperature_K": False}),
        ([NPT, {**NVT, "potential": "es-gap"}, RATTLED], {"explore[1].potential": False}),
        ([NPT, {**NVT, "candidates": 30}, RATTLED], {"explore[1].candidates": False}),
        ([{**NPT, "pressure_GPa": 1.0}, NVT, RATTLED], {"explore[0].pressure_GPa": False}),
        ([NPT, NVT], {"explore[2]": False}),
        # Runs and their seeds go by the place of their entry.
        (
            [MELT_QUENCH, *EXPLORE],
            {"explore[0].kind": False, "explore[1].kind": False, "explore[2].kind": False, "explore[3]": True},
        ),
        (None, {"explore": False, "sampling": False}),
    ],
)
def test_what_explores_may_grow_and_get_further_entries(explore: Any, allowed: dict[str, bool]) -> None:
    before = campaign(explore=EXPLORE).model_dump(mode="json")
    after = campaign(**({} if explore is None else {"explore": explore})).model_dump(mode="json")
    found = changes(before, after, Stage.GENERATIONS)
    assert {dotted(one.key): one.is_allowed for one in found} == allowed
    assert all(one.explores for one in found if one.is_allowed)
    systems = [
        {"systems": {"a": {"structure": "li7p3s11", **one}}} for one in ({"explore": EXPLORE}, {"explore": explore})
    ]
    of_system = changes(*systems, Stage.GENERATIONS)
    below = {f"systems.a.{key}": may for key, may in allowed.items() if key != "sampling"}
    assert {dotted(one.key): one.is_allowed for one in of_system} == below


def test_the_refusal_of_a_changed_entry_says_what_may_be_added() -> None:
    before = campaign(explore=EXPLORE).model_dump(mode="json")
    after = campaign(explore=[{**NPT, "pressure_GPa": 1.0}, *EXPLORE[1:]]).model_dump(mode="json")
    (refused,) = [one.text for one in changes(before, after, Stage.GENERATIONS)]
    said = refusal(Path("campaign.yaml"), "demo", [refused])
    assert "explore[0].pressure_GPa: 0.5 in the store, 1.0 in the file" in said
    assert "Entries may be added at the end of explore" in said


def test_initial_samplers_stay_and_are_told_by_entry() -> None:
    before = campaign(initial=INITIAL).model_dump(mode="json")
    after = campaign(initial=[*INITIAL, RATTLED]).model_dump(mode="json")
    (added,) = changes(before, after, Stage.START)
    assert (dotted(added.key), added.is_allowed) == ("initial[3]", False)


def test_a_store_that_names_unknown_samplers_can_be_shown() -> None:
    document = campaign(explore=EXPLORE, initial=INITIAL).model_dump(mode="json")
    document["explore"].insert(0, {"kind": "by-magic", "wand": 3})
    document["initial"] = [{"kind": "by-magic"}]
    document["selection"] = {"method": "by-magic", "count": 7}
    shown = stored_campaign(document)
    assert [one.sampler for one in shown.explore or ()] == ["npt", "nvt", "rattled"]
    assert shown.initial == ()
    assert "rattled" in stored_samplers(document)
    assert "7 frames were chosen by by-magic" in methods_paragraph(shown, "Li7P3S11", {})


def test_the_methods_name_every_sampler_with_what_drives_it() -> None:
    text = methods_paragraph(campaign(explore=EXPLORE, initial=INITIAL), "Li7P3S11", {})
    for said in (
        "12 configurations of Langevin dynamics at 800 K (time step 1 fs, every 10 steps) with the reference",
        "8 configurations of 2 trajectories of 5 ps at 800 K",
        "with gfn1-xtb",
        "4 configurations with random strains up to 3 %",
        "2 trajectories of 5 ps at 800 K and 0.5 GPa",
        "2 trajectories of 1 ps each at 600 and 800 K",
        "with gap",
    ):
        assert said in text
