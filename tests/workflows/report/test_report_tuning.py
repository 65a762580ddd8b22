"""The section on searches for hyperparameters, and the sentence about them, from one search that was made up."""

from __future__ import annotations

import pytest

from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.store.records import ResultRecord
from ionloop.tasks.values.tuning import TUNINGS, LeftOutErrors, TrialValues, TuningValues, TypeErrors
from ionloop.workflows.analyses.sections import TableBlock
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.report.methods import methods_paragraph
from ionloop.workflows.report.tuning import tuning_section


def errors(force: float | None) -> LeftOutErrors:
    by_element = {} if force is None else {"Li": 0.5 * force, "S": 1.5 * force}
    return LeftOutErrors(
        energy_eV_per_atom=0.002, force_eV_per_A=force, virial_eV_per_atom=None, force_by_element_eV_per_A=by_element
    )


def search(before: float | None, after: float | None, generation: int = 1, **changes: object) -> ResultRecord:
    settings = GapSettings().model_dump(mode="json")
    chosen = GapSettings(soap=SoapSettings(zeta=2)).model_dump(mode="json")
    values = {
        "reason": "found",
        "configurations": 20,
        "given": settings,
        "start": settings,
        "chosen": chosen,
        "changed": ("soap.zeta = 2",),
        "before": errors(before),
        "after": errors(after),
        "by_type": tuple(
            TypeErrors(config_type=name, before=errors(before), after=errors(after)) for name in ("nvt", "rattled")
        ),
        "trials": (
            TrialValues(changed="as given", force_eV_per_A=before, energy_eV_per_atom=0.002, cost_fits=1.0, error=""),
            TrialValues(
                changed="soap.zeta = 1", force_eV_per_A=None, energy_eV_per_atom=None, cost_fits=1.0, error="singular"
            ),
        ),
        "spent_fits": 2.0,
        "budget_fits": 20.0,
        "has_converged": False,
        "gain_of_points": None,
        "gain_of_data": 0.21,
        **changes,
    }
    return ResultRecord(
        id=f"result-{generation}", campaign="one", generation=generation, kind=TUNINGS.name, model_kind="gap",
        inputs=["data-1"], values=TUNINGS.document(TuningValues(**values)),
    )  # fmt: skip


def test_the_last_search_is_told_with_what_it_won_and_what_would_bring_more() -> None:
    section = tuning_section([search(0.2, 0.15, generation=3), search(0.3, 0.25)])
    assert section is not None
    assert "from 200 to 150 meV/Å" in section.summary
    assert "twice the data by some 21%" in section.summary
    assert "sparse points" not in section.summary
    assert "The budget ended the search" in section.summary
    searches, by_element, trials = (block for block in section.blocks if isinstance(block, TableBlock))
    assert [row[1] for row in searches.rows] == ["1", "3"]
    assert ("forces on S", "300", "225", "–", "–") in by_element.rows
    assert ("configurations of nvt", "200", "150", "2.00", "2.00") in by_element.rows
    assert trials.rows[1] == ("soap.zeta = 1: singular", "–", "–", "1.00")
    assert all(len(row) == len(table.columns) for table in (searches, by_element, trials) for row in table.rows)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (search(0.2, 0.2, changed=()), "none of 2 fits to 20 configurations had lower"),
        (search(None, None), "by left-out errors of energies"),
    ],
)
def test_no_gain_and_no_forces_are_told_as_such(record: ResultRecord, told: str) -> None:
    section = tuning_section([record])
    assert section is not None
    assert told in section.summary


def test_a_campaign_that_tunes_nothing_has_no_section() -> None:
    assert tuning_section([]) is None


def test_methods_name_the_settings_that_hold_and_how_they_were_found() -> None:
    campaign = Campaign.model_validate({"name": "one", "structure": "li7p3s11", "gap": "tune", "models": ["gap"]})
    chosen = TUNINGS.read(search(0.2, 0.1)).chosen
    text = methods_paragraph(campaign, "Li7P3S11", {}, {"gap": chosen})
    assert "ζ 2" in text
    assert "These hyperparameters of GAP are those of the lowest left-out errors" in text
    assert "within 20 fits" in text
    before = methods_paragraph(campaign, "Li7P3S11", {})
    assert "ζ 4" in before
    assert "lowest left-out errors" in before
