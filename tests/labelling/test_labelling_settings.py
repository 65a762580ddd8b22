"""Settings of engines: what is refused, what is hashed."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from ionloop.core.states import State
from ionloop.labelling import CommandSettings, EngineSettings, Gfn1XtbSettings, LabelOutcome, settings_hash
from ionloop.labelling.outcome import Evaluation

ADAPTER = TypeAdapter(EngineSettings)
EMT = "ase.calculators.emt:EMT"


def test_engine_tells_the_settings_apart():
    assert isinstance(ADAPTER.validate_python({"engine": "gfn1-xtb"}), Gfn1XtbSettings)
    assert isinstance(ADAPTER.validate_python({"engine": "command", "calculator": EMT}), CommandSettings)


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": "gfn2-xtb"},
        {"engine": "gfn1-xtb", "acuracy": 1.0},
        {"engine": "gfn1-xtb", "wall_time_limit_s": 0.0},
        {"engine": "gfn1-xtb", "accuracy": float("nan")},
        {"engine": "command"},
        {"engine": "command", "calculator": EMT, "executable": "x"},
        {"engine": "command", "calculator": "ase.calculators.emt.EMT"},
        {"engine": "command", "executable": "  "},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(settings)


@pytest.mark.parametrize("settings_type", [Gfn1XtbSettings, CommandSettings])
def test_every_field_has_a_description_that_ends_with_its_unit(settings_type):
    for name, field in settings_type.model_fields.items():
        assert field.description is not None, name
        assert "(" in field.description, name


@pytest.mark.parametrize(
    "change", [{"accuracy": 0.1}, {"electronic_temperature_K": 1000.0}, {"engine": "command", "calculator": EMT}]
)
def test_physics_changes_the_hash(change):
    assert settings_hash(ADAPTER.validate_python({"engine": "gfn1-xtb", **change})) != settings_hash(Gfn1XtbSettings())


@pytest.mark.parametrize(
    "change",
    [
        {"wall_time_limit_s": 1.0},
        {"memory_limit_MB": 1.0},
        {"max_attempts": 1},
        {"minimum_distance_A": 1.0},
        {"maximum_force_eV_per_A": 1.0},
        {"max_iterations": 7},
        {"mixer_damping": 0.1},
        {"initial_guess": "eeq"},
    ],
)
def test_the_way_to_the_answer_does_not_change_the_hash(change):
    assert settings_hash(Gfn1XtbSettings(**change)) == settings_hash(Gfn1XtbSettings())


def test_arguments_change_the_hash_and_their_order_does_not():
    def with_arguments(**arguments):
        return settings_hash(CommandSettings(calculator=EMT, arguments=arguments))

    assert with_arguments(a=1, b=2) == with_arguments(b=2, a=1)
    assert with_arguments(a=1) != with_arguments(a=2)


@pytest.mark.parametrize(
    "values",
    [
        {"state": State.UNCONVERGED, "evaluation": Evaluation(1.0, np.zeros((1, 3)))},
        {"state": State.FINISHED},
        {"state": State.RUNNING},
    ],
)
def test_outcome_that_contradicts_itself_cannot_be_made(values):
    with pytest.raises(ValueError, match="label"):
        LabelOutcome(**{"reason": "", **values})
