"""Searches for hyperparameters as jobs of a campaign: when they are due, what follows from them, what a kill leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from ionloop.fitting.tuning import gap as gap_tuning
from ionloop.store.connection import open_store
from ionloop.store.records import DataSetRecord
from ionloop.tasks.assess import AssessTask
from ionloop.tasks.base import JobFailed
from ionloop.tasks.values.tuning import TUNINGS, TuningValues
from ionloop.workflows.analyses.locality.report import model_cutoffs_A
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.plan import Plan, load_plan
from ionloop.workflows.loop.generation_loop import initial_graph, label_job, model_identifiers, next_graph
from ionloop.workflows.watching.status import campaign_status
from tests.small_campaign import CAMPAIGN, finish, prepare

BUDGET_FITS = 12.0
"""Trials of milliseconds."""


class TunedCampaign:
    """A small campaign that tunes its GAP and not its ES-GAP, with a first data set of six labels."""

    def __init__(self, small: Any) -> None:
        self.small = small
        models = {"gap": {"tune": {"budget_fits": BUDGET_FITS}}, "es-gap": {}}
        small.campaign = Campaign.model_validate(small.settings(models=models))
        small.submit()
        graph = initial_graph(load_plan(small.store, "small"))
        for job in graph.jobs:
            if "isolated-atom" in job.key:
                small.run(job)
        for name in small.add_configurations(6):
            small.run(label_job(small.campaign, 0, name))
        self.data_set = small.run(next(job for job in graph.jobs if job.task is AssessTask)).pass_on["data_set"]

    def plan(self, data_set: str = "") -> Plan:
        return load_plan(self.small.store, "small", data_set or self.data_set)

    def next(self, generation: int = 0, data_set: str = "") -> dict[str, Any]:
        jobs = next_graph(self.small.store, "small", generation, data_set or self.data_set).jobs
        return {job.key: job for job in jobs}

    def run_all(self, jobs: dict[str, Any]) -> list[Any]:
        return [self.small.run(job) for job in jobs.values()]

    def results(self) -> list[TuningValues]:
        return [TUNINGS.read(one) for one in self.small.store.results.find({"kind": "tuning"})]

    def add_data_set(self, labels: int, generation: int = 1) -> str:
        """A later data set with so many labels; which ones does not matter here."""
        first = self.small.store.data_sets[self.data_set]
        names = [first.labels[index % len(first.labels)] for index in range(labels)]
        record = first.model_copy(update={"id": f"data-{labels}", "generation": generation, "labels": names})
        self.small.store.data_sets.add(DataSetRecord.model_validate(record.model_dump()))
        return record.id


@pytest.fixture
def tuned(small: Any) -> TunedCampaign:
    return TunedCampaign(small)


def test_models_are_tuned_before_they_are_fitted_with_what_was_found(tuned: TunedCampaign) -> None:
    before = model_identifiers(tuned.plan(), tuned.data_set)
    jobs = tuned.next()
    assert list(jobs) == ["generation-1/tune/gap", "generation-1/tuned"]
    assert jobs["generation-1/tuned"].parents == ("generation-1/tune/gap",)
    with pytest.raises(JobFailed, match="missing"):
        tuned.small.run(jobs["generation-1/tuned"])
    outcomes = tuned.run_all(jobs)
    (values,) = tuned.results()
    assert values.trials[0].changed == "as given"
    assert values.spent_fits <= BUDGET_FITS + 1
    assert len(values.trials) > 1
    assert values.after.force_eV_per_A is not None
    assert values.before.force_eV_per_A is not None
    assert values.after.force_eV_per_A <= values.before.force_eV_per_A
    assert set(values.after.force_by_element_eV_per_A) == {"Cu", "Au"}
    assert [one.config_type for one in values.by_type] == ["test"]
    assert values.reason in outcomes[-1].reason
    fits = tuned.next()
    chosen = fits["generation-1/fit/gap"].parameters
    assert chosen.settings.model_dump(mode="json") == values.chosen
    assert fits["generation-1/fit/es-gap"].parameters.settings == tuned.small.campaign.settings_of("es-gap")
    after = model_identifiers(tuned.plan(), tuned.data_set)
    assert after["es-gap"] == before["es-gap"]
    assert (after["gap"] == before["gap"]) == (values.chosen == values.given)
    assert values.chosen != values.given, "a budget of a few trials finds something better than the toy settings"
    cutoffs_A = model_cutoffs_A(tuned.small.store, tuned.small.campaign)
    assert cutoffs_A["gap"] == max(values.chosen[part]["cutoff_A"] for part in ("two_body", "soap"))
    # Again: nothing is computed.
    assert tuned.run_all(jobs) == outcomes


def test_it_is_done_again_when_the_data_have_doubled_from_the_settings_that_hold_then(tuned: TunedCampaign) -> None:
    tuned.run_all(tuned.next())
    (first,) = tuned.results()
    assert tuned.plan(tuned.add_data_set(11)).to_be_tuned == ()
    twice = tuned.add_data_set(12)
    plan = tuned.plan(twice)
    assert plan.to_be_tuned == ("gap",)
    jobs = tuned.next(0, twice)
    assert jobs["generation-1/tune/gap"].parameters.settings.model_dump(mode="json") == first.chosen
    assert jobs["generation-1/tune/gap"].parameters.given == tuned.small.campaign.settings_of("gap")
    # Fits to data of before have the settings of before.
    assert tuned.plan().settings_of("gap").model_dump(mode="json") == first.chosen


def test_a_model_grows_from_the_one_before_until_its_settings_change(tuned: TunedCampaign) -> None:
    tuned.run_all(tuned.next())
    fit = tuned.next()["generation-1/fit/gap"]
    tuned.small.run(fit)
    later = tuned.add_data_set(8)
    assert tuned.plan(later).earlier_models == {"gap": fit.parameters.model}
    record = tuned.small.store.models[fit.parameters.model]
    other = {**record.hyperparameters, "sparse_jitter": 1e-7}
    tuned.small.store.models.replace(record.model_copy(update={"hyperparameters": other}))
    assert tuned.plan(later).earlier_models == {}


def test_a_killed_search_repeats_no_trial(tuned: TunedCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    job, asked = tuned.next()["generation-1/tune/gap"], []
    run_fit = gap_tuning.run_fit

    def killed_in_the_third(inputs: Any, resources: Any) -> Any:
        asked.append((len(inputs.data_set), inputs.settings))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return run_fit(inputs, resources)

    monkeypatch.setattr(gap_tuning, "run_fit", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        tuned.small.run(job)
    assert tuned.results() == []
    journal = next(tuned.small.store.root.glob("scratch/*/trials.json"))
    assert len(json.loads(journal.read_text())["trials"]) == 2
    tuned.small.run(job)
    done = asked[:2]
    assert not any(one in done for one in asked[3:])
    assert asked[3] == asked[2]
    assert not journal.exists()
    (values,) = tuned.results()
    monkeypatch.setattr(gap_tuning, "run_fit", run_fit)
    tuned.small.store.database.results.delete_many({"kind": "tuning"})
    tuned.small.run(job)
    assert tuned.results() == [values]


@pytest.mark.slow
def test_a_campaign_that_tunes_goes_from_its_file_to_its_report(tmp_path: Path) -> None:
    file = prepare(tmp_path / "small")
    file.write_text(CAMPAIGN.replace("gap:\n", "gap:\n  tune: {budget_fits: 4, again_at_growth: 1.4}\n"))
    finish(file)
    with closing(open_store(str(file.parent / "ionloop.db"), use_environment=False)) as store:
        results = list(store.results.find({"kind": "tuning"}))
        models = list(store.models.find())
        status = campaign_status(store)
    # 8 configurations, 12 (the first growth), 16 (less than 1.4 times 12).
    assert sorted((one.generation, one.model_kind) for one in results) == [
        (1, "es-gap"), (1, "gap"), (2, "es-gap"), (2, "gap"),
    ]  # fmt: skip
    for one in results:
        values = TUNINGS.read(one)
        fitted = [model for model in models if model.kind == one.model_kind and model.generation == one.generation]
        assert any(model.hyperparameters == values.chosen for model in fitted)
        assert {entry.config_type for entry in values.by_type} >= {"initial-molecular-dynamics", "lithium-monte-carlo"}
    assert set(status.tunings) == {"gap", "es-gap"}
    report = unescape((file.parent / "small-report.html").read_text())
    for said in ("Hyperparameters", "what its last search tried", "lowest left-out errors", "as given"):
        assert said in report
    command = [sys.executable, "-m", "ionloop.cli", "status", "--store", str(file.parent / "ionloop.db")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "tuned: gap before the fits of generation 2" in shown
