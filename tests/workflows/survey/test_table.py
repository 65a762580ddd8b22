"""The table of a survey: intervals, bounds, ranks that follow from both, in forms that others read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
import pytest

from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.errors.model_errors import ErrorStatistics, ForceBin
from ionloop.analysis.screening.host_motion import HostMotion
from ionloop.analysis.screening.runs import Verdict
from ionloop.analysis.screening.settings import ScreeningSettings
from ionloop.analysis.screening.temperatures import Outcome, summarise
from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.store.connection import Store
from ionloop.store.records import SurveyCandidate, SurveyRecord
from ionloop.tasks.values.loop import ErrorValues
from ionloop.tasks.values.screening import ScreeningRunValues, ScreeningValues
from ionloop.workflows.survey.facts import CampaignFacts, facts_of
from ionloop.workflows.survey.figure import survey_figure
from ionloop.workflows.survey.page import print_rows, survey_section, write_figure, write_table
from ionloop.workflows.survey.rows import SurveyRow, determination, funnel, rank_intervals, survey_rows
from ionloop.workflows.survey.table import CSV_COLUMNS, cells_of, csv_table, markdown, run_text

HOST = HostMotion(
    judged=("P",), lindemann_ratio=0.05, slope_A2_per_ps=0.0, host_lindemann_ratio=0.1, host_slope_A2_per_ps=0.0
)
SETTINGS = ScreeningSettings()
RELATIVE = 0.1
VOLUME_A3 = 20.0


def run(number: int, temperature_K: float, diffusivity: float | None, verdict=Verdict.DIFFUSES) -> ScreeningRunValues:
    """Return a run: a diffusivity (Å²/ps) with its error, or the bound of one that is too slow."""
    measured = verdict is Verdict.DIFFUSES
    estimate = None
    if diffusivity is not None:
        low = diffusivity * np.exp(-1.96 * RELATIVE) if measured else 0.0
        high = diffusivity * np.exp(1.96 * RELATIVE) if measured else diffusivity
        estimate = Estimate(value=diffusivity, low=low, high=high, standard_error=RELATIVE * diffusivity)
    return ScreeningRunValues(
        temperature_K=temperature_K,
        verdict=verdict,
        told=f"{verdict} in words",
        length_ps=100.0,
        sound_ps=95.0,
        ions=24,
        atoms=64,
        charge_e=1.0,
        hops_per_ion=10.0,
        diffusivity_A2_per_ps=estimate,
        measured=measured,
        relative_error=RELATIVE if measured else None,
        volume_A3_per_atom=VOLUME_A3 * 1.05 if verdict.sound else None,
        host=HOST,
        run=number,
        why="the first",
    )


def errors(rmse: float, reference: float, subset: str = "audit") -> ErrorValues:
    one = ErrorStatistics(rmse=rmse, mae=rmse, maximum=rmse, count=30)
    force = ForceBin(
        lower_eV_per_A=0.0, upper_eV_per_A=None, reference_rms_eV_per_A=reference, errors=one, by_element={}
    )
    return ErrorValues(
        energy_eV_per_atom=one,
        force_eV_per_A=one,
        force_by_element_eV_per_A={},
        force_by_magnitude_eV_per_A=(force,),
        subset=subset,
    )


def ended(runs: Sequence[ScreeningRunValues], **fields) -> CampaignFacts:
    summary = summarise(runs, SETTINGS, VOLUME_A3)
    values = ScreeningValues(**summary.model_dump(), ended_because="enough", model_interval_reason="one model")
    return CampaignFacts(
        state=State.FINISHED, begun=True, screened=True, runs=tuple(runs), summary=values, labels=40, **fields
    )


def arrhenius(at_1000_K: float, energy_eV: float, temperatures=(1000.0, 800.0, 640.0)) -> list[ScreeningRunValues]:
    inverse = 1 / (8.617333e-5 * np.array(temperatures)) - 1 / (8.617333e-5 * 1000.0)
    return [
        run(place, kelvin, float(at_1000_K * np.exp(-energy_eV * one)))
        for place, (kelvin, one) in enumerate(zip(temperatures, inverse, strict=True), start=1)
    ]


# Of crystals that differ clearly, that conduct alike, that melt, that are too slow.
FACTS = {
    "fast": ended(arrhenius(0.6, 0.20), errors=errors(0.1, 0.5)),
    "like fast": ended(arrhenius(0.55, 0.20), errors=errors(0.2, 0.5, "new")),
    "slow": ended(arrhenius(0.3, 0.45)),
    "molten": ended([run(1, 1000.0, None, Verdict.MELTED), run(2, 800.0, None, Verdict.DECOMPOSED)]),
    "still": ended([run(1, 1000.0, 5e-4, Verdict.TOO_SLOW)]),
    "learning": CampaignFacts(State.RUNNING, begun=True, labels=8),
    "lost": CampaignFacts(State.FAILED, "nothing is left to run; failed: generation-1/fit", begun=True),
}


def record(rank_by: str = "conductivity_300K") -> SurveyRecord:
    kept = [SurveyCandidate(name=f"{one}-1", formula=one, source=f"{one}.cif", campaign=one) for one in FACTS]
    refused = SurveyCandidate(
        name="odd-1", formula="=odd|<b>", source="@x.cif", refused=["it holds no Li", "it is too large"]
    )
    settings = {"name": "s", "rank_by": rank_by, "analyses": {"screening": {"conductivity_mS_per_cm": 1.0}}}
    return SurveyRecord(id="s", campaign="s", settings=settings, candidates=[*kept, refused], file="/s.yaml")


@pytest.fixture(scope="module")
def rows() -> list[SurveyRow]:
    return survey_rows(record(), FACTS)


def named(rows: Sequence[SurveyRow]) -> dict[str, SurveyRow]:
    return {one.candidate.formula: one for one in rows}


def test_ranks_are_as_wide_as_the_intervals_allow(rows) -> None:
    assert [one.candidate.formula for one in rows[:3]] == ["fast", "like fast", "slow"]
    found = named(rows)
    assert found["fast"].rank_interval == (1, 2)
    assert found["like fast"].rank_interval == (1, 2)
    assert found["slow"].rank_interval == (3, 3)
    assert found["fast"].probability > 0.9
    assert found["slow"].probability < 0.1
    assert cells_of(found["fast"])[0] == "1 (1 to 2)"
    assert cells_of(found["slow"])[0] == "3"


def test_crystals_without_a_conductivity_have_no_rank_and_say_why(rows) -> None:
    found = named(rows)
    assert found["molten"].outcome is Outcome.UNSTABLE
    assert found["molten"].told == "unstable: at 800 K decomposed in words"
    assert cells_of(found["molten"])[2] == "1000 K: melted; 800 K: decomposed"
    assert found["still"].outcome is Outcome.SLOW
    assert cells_of(found["still"])[2] == "1000 K: < 0.0005"
    assert found["lost"].told.endswith("generation-1/fit")
    assert all(found[name].rank is None for name in ("molten", "still", "learning", "lost"))


def test_what_it_is_ranked_by_can_be_chosen() -> None:
    by_energy = survey_rows(record("activation_energy"), FACTS)
    assert [one.candidate.formula for one in by_energy[:3]] in (
        ["fast", "like fast", "slow"],
        ["like fast", "fast", "slow"],
    )
    by_probability = survey_rows(record("probability"), FACTS)
    assert by_probability[2].candidate.formula == "slow"
    of_later_version = survey_rows(record("what nobody knows yet"), FACTS)
    assert [one.candidate.formula for one in of_later_version[:3]] == ["fast", "like fast", "slow"]


def test_each_number_of_the_funnel_is_part_of_the_one_before(rows) -> None:
    counts = dict(funnel(rows))
    assert counts == {"candidates": 8, "kept": 7, "begun": 7, "learnt": 5, "lasting": 4, "conducting": 3}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_the_determination_is_one_minus_squares_of_errors_over_squares_of_forces() -> None:
    assert determination(errors(0.1, 0.5)) == pytest.approx(1 - 0.04)
    assert cells_of(named(survey_rows(record(), FACTS))["fast"])[7:9] == ["0.960", "100"]
    assert cells_of(named(survey_rows(record(), FACTS))["like fast"])[8] == "200 (new)"


def test_ranks_of_values_that_are_sure_are_single_numbers() -> None:
    sure = [Estimate(value=one, low=one, high=one, standard_error=0.0) for one in (3.0, 2.0, 1.0)]
    assert rank_intervals(sure) == [(1, 1), (2, 2), (3, 3)]
    wide = [Estimate(value=1.0, low=0.01, high=100.0, standard_error=1.0) for _ in range(4)]
    assert rank_intervals(wide) == [(1, 4)] * 4
    assert rank_intervals([]) == []


def test_markdown_holds_nothing_that_others_would_take_for_their_own(rows) -> None:
    text = markdown("s", rows, 1.0)
    lines = [line for line in text.splitlines() if "odd" in line]
    assert lines == ["| =odd\\|&lt;b> | @x.cif | it holds no Li; it is too large |"]
    head = next(line for line in text.splitlines() if line.startswith("| rank"))
    kept = [line for line in text.splitlines() if "1000 K" in line]
    assert {line.replace("\\|", "").count("|") for line in (head, *kept)} == {12}


def test_the_table_for_programs_has_a_line_for_every_temperature(rows) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_table(rows))))
    assert tuple(lines[0]) == CSV_COLUMNS
    fast = [line for line in lines if line["crystal"] == "fast"]
    assert [float(line["temperature_K"]) for line in fast] == [1000.0, 800.0, 640.0]
    assert float(fast[0]["diffusivity_A2_per_ps"]) == pytest.approx(0.6)
    assert {line["rank"] for line in fast} == {"1"}
    odd = next(line for line in lines if "odd" in line["crystal"])
    assert odd["crystal"].startswith("'=")
    assert odd["stage"] == "refused"


def test_the_figure_has_a_bar_with_an_interval_for_every_conductivity(rows) -> None:
    figure = survey_figure(rows, 1.0)
    (bars,) = figure.data
    assert list(bars.y) == ["fast", "like fast", "slow"]
    found = named(rows)["fast"].conductivity_mS_per_cm
    assert bars.x[0] == found.value
    assert bars.error_x.array[0] == pytest.approx(found.high - found.value)
    assert figure.layout.xaxis.type == "log"
    assert survey_figure([one for one in rows if one.rank is None], 1.0) is None


def test_a_run_in_a_few_words() -> None:
    assert run_text(run(1, 1000.0, 0.6)) == "1000 K: 0.6 (0.49 to 0.73)"
    assert run_text(run(1, 640.0, 1e-3, Verdict.TOO_SLOW)) == "640 K: < 0.001"


def test_a_survey_is_told_from_the_store_alone(finished_store: Store, tmp_path) -> None:
    survey = finished_store.surveys["survey"]
    facts = facts_of(finished_store, survey)
    assert facts["small"].labels > 0
    assert facts["small"].errors is not None
    section = survey_section(survey, survey_rows(survey, facts))
    assert section.summary.startswith("2 candidates, 1 kept")
    assert any("its band gap is 0.10 eV" in line for line in print_rows(finished_store, survey))
    for ending in (".md", ".csv", ".html"):
        text = write_table(finished_store, survey, tmp_path / f"table{ending}").read_text()
        assert "Li3PS4" in text
        assert "LiCl" in text
    with pytest.raises(InputError, match=r"\.md or \.csv"):
        write_table(finished_store, survey, tmp_path / "table.pdf")
    with pytest.raises(InputError, match="no crystal"):
        write_figure(finished_store, survey, tmp_path / "figure.html")
