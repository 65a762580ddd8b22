from __future__ import annotations

import pytest
from pydantic import ValidationError

from ionloop.core.settings import FrozenSettings
from ionloop.fitting.settings import (
    BaselineSettings,
    GapSettings,
    Regularisation,
    SoapSettings,
    ThreeBodySettings,
    TwoBodySettings,
)

ALL_SETTINGS = [TwoBodySettings, ThreeBodySettings, SoapSettings, Regularisation, GapSettings, BaselineSettings]


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_every_field_has_a_description_with_its_unit(settings: type[FrozenSettings]) -> None:
    for name, field in settings.model_fields.items():
        assert field.description, name
        assert "(" in field.description or name in {"two_body", "three_body", "core", "soap"}, f"{name} has no unit"


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_unknown_keys_are_refused(settings: type[FrozenSettings]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        settings.model_validate({"cutof_A": 5.0, "charges": {"Li": 1.0}})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SoapSettings().cutoff_A = 6.0  # type: ignore[misc]


@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["energy_eV_per_atom", "force_eV_per_A", "virial_eV_per_atom"])
def test_errors_of_the_data_must_be_positive_and_finite(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Regularisation.model_validate({name: value})


def test_an_element_force_error_must_be_positive_and_its_element_known() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Regularisation(force_by_element_eV_per_A={"Li": 0.0})
    with pytest.raises(ValidationError, match="'Lx' is not a chemical symbol"):
        Regularisation(force_by_element_eV_per_A={"Lx": 0.1})


def test_transition_must_fit_into_the_cutoff() -> None:
    with pytest.raises(ValidationError, match="more than the cutoff of 3 Å"):
        SoapSettings(cutoff_A=3.0, transition_width_A=3.5)


def test_exponents_without_charges_are_refused() -> None:
    with pytest.raises(ValidationError, match="exponents are given for P, which have no charge"):
        BaselineSettings(charges={"Li": 1.0}, exponents={"P": 1.0})


def test_element_and_type_choose_the_regularisation() -> None:
    hot = Regularisation(force_eV_per_A=0.2, force_by_element_eV_per_A={"P": 0.4})
    settings = GapSettings(regularisation_by_config_type={"hot": hot})
    assert settings.regularisation_for("hot") == hot
    assert settings.regularisation_for("cold") == settings.regularisation
    assert hot.force_sigma_eV_per_A("P") == 0.4
    assert hot.force_sigma_eV_per_A("Li") == 0.2


def test_settings_survive_json() -> None:
    settings = GapSettings(two_body=None, soap=SoapSettings(cutoff_A=5.5))
    assert GapSettings.model_validate_json(settings.model_dump_json()) == settings
