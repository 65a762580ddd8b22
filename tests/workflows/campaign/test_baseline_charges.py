"""Formal charges, baseline charges and exponents from a composition."""

from __future__ import annotations

import pytest
from ase.build import bulk

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.electrostatics.fixed import FixedSection
from ionloop.fitting.electrostatics.species import SLATER_EXPONENTS
from ionloop.sampling.structures.crystals import CRYSTALS, build_crystal
from ionloop.workflows.campaign.baseline_charges import (
    UnknownChargesError,
    baseline_of_data,
    baseline_settings,
    cell_charge,
    formal_charges,
    slater_exponent,
)
from ionloop.workflows.campaign.settings import Campaign


@pytest.mark.parametrize("name", CRYSTALS)
def test_built_in_crystals_are_neutral(name: str) -> None:
    symbols = build_crystal(name).get_chemical_symbols()
    assert cell_charge(formal_charges(symbols), symbols) == 0.0


def test_composition_decides_between_oxidation_states() -> None:
    assert formal_charges(["Li"] * 7 + ["P"] * 3 + ["S"] * 11)["P"] == 5.0
    assert formal_charges(["Li"] * 4 + ["P"] * 2 + ["S"] * 6)["P"] == 4.0


@pytest.mark.parametrize(("symbols", "message"), [(["Li", "Xe"], "Xe"), (["Li", "S"], "neutral")])
def test_what_has_no_formal_charges_is_refused(symbols: list[str], message: str) -> None:
    with pytest.raises(UnknownChargesError, match=message):
        formal_charges(symbols)


def test_the_formal_baseline_of_lps() -> None:
    settings = baseline_settings(FixedSection(charges="formal"), [["Li"] * 7 + ["P"] * 3 + ["S"] * 11])
    assert settings.charges == pytest.approx({"Li": 0.3, "P": 1.5, "S": -0.6}, abs=1e-12)
    assert settings.exponents == SLATER_EXPONENTS


def test_fitted_charges_are_used_once_they_are_there() -> None:
    fitted = {"Li": 0.25, "S": -0.5}
    for charges in ("fit", {"fit": "error"}):
        baseline = FixedSection.model_validate({"charges": charges})
        assert baseline_settings(baseline, [["Li", "Li", "S"]], fitted).charges == fitted
        with pytest.raises(UnknownChargesError, match="no charges have been fitted"):
            baseline_settings(baseline, [["Li", "Li", "S"]])


def test_given_charges_and_exponents_win() -> None:
    baseline = FixedSection(charges={"Li": 0.5, "S": -1.0}, exponents={"S": 2.0})
    settings = baseline_settings(baseline, [["Li", "Li", "S"]])
    assert settings.charges == {"Li": 0.5, "S": -1.0}
    assert settings.exponents == {"Li": SLATER_EXPONENTS["Li"], "S": 2.0}


@pytest.mark.parametrize("symbol", ["Na", "O", "Cl", "La"])
def test_other_elements_have_exponents_of_the_same_size(symbol: str) -> None:
    assert 0.5 < slater_exponent(symbol) < 4.0


def test_the_formula_gives_back_the_published_exponents() -> None:
    # Same formula, the paper's radius (bohr) instead of the covalent one.
    formula = 0.4913 * 7 / (2 * 2.082) / 0.529177
    assert slater_exponent("P") == pytest.approx(formula, rel=1e-3)


def labelled_cells(fraction: float, count: int = 8) -> DataSet:
    """Return rattled cells labelled with charges that are that part of the formal ones."""
    charges = {"Li": fraction, "S": -2.0 * fraction}
    calculator = SlaterEwald(charges=charges, exponents={symbol: slater_exponent(symbol) for symbol in charges})
    cells = []
    for seed in range(count):
        # Fluorite with the metal's places taken by sulphur: Li2S.
        atoms = bulk("SLi2", "fluorite", a=5.7, cubic=True)
        atoms.rattle(0.15, seed=seed)
        labels = {name: calculator.get_property(name, atoms) for name in ("energy", "forces", "stress")}
        cells.append(LabelledConfiguration(atoms=atoms, identifier=str(seed), **labels))
    return DataSet(tuple(cells), {"Li": 0.0, "S": 0.0})


def small_campaign(**baseline: object) -> Campaign:
    soap = {"cutoff_A": 3.5, "n_max": 3, "l_max": 2, "sparse_points": 10}
    return Campaign.model_validate(
        {"name": "fit", "structure": "none", "gap": {"soap": soap}, **({"baseline": baseline} if baseline else {})}
    )


def test_a_file_of_labels_gets_formal_charges_or_those_of_the_lowest_error() -> None:
    data_set = labelled_cells(0.4)
    settings, fitted = baseline_of_data(small_campaign(), data_set, 1)
    assert fitted is None
    assert settings.charges == pytest.approx({"Li": 0.3, "S": -0.6})
    settings, fitted = baseline_of_data(small_campaign(charges={"fit": "error"}), data_set, 1)
    assert fitted == settings.charges == pytest.approx({"Li": 0.4, "S": -0.8}, abs=0.01)


def test_locality_is_not_to_be_had_from_a_file() -> None:
    with pytest.raises(InputError, match="does not hold"):
        baseline_of_data(small_campaign(charges="fit"), labelled_cells(0.4, 2), 1)
