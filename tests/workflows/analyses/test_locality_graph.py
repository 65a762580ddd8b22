"""The locality test and the fit of the charges in a small campaign: every job by hand, killed, twice, with failures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from ionloop.analysis.locality.curves import OVERALL
from ionloop.analysis.locality.settings import LocalitySettings
from ionloop.core.names import CHARGES
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.electrostatics.charge_settings import ChargeFitSettings
from ionloop.fitting.electrostatics.registry import kind_of_baseline
from ionloop.labelling.engines.command import CommandSettings
from ionloop.tasks import locality as locality_tasks
from ionloop.tasks.base import JobFailed
from ionloop.tasks.locality import LOCALITY_KIND
from ionloop.tasks.values.locality import LOCALITIES
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.locality.graph import (
    CHARGE_FIT,
    charge_fit_cost,
    charge_fit_jobs,
    charge_fit_problems,
    locality_cost,
    locality_jobs,
    locality_problems,
)
from ionloop.workflows.analyses.locality.kind import LOCALITY
from ionloop.workflows.analyses.locality.report import locality_bounds, locality_section, model_cutoffs_A
from ionloop.workflows.campaign.baseline_charges import slater_exponent
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.graph.plan import Plan, planned_systems

SETTINGS = LocalitySettings(radii_A=(2.5, 3.1), samples=3, centres=2)
FROZEN = LocalitySettings(
    protocol="frozen-sphere",
    radii_A=(2.9, 3.1),
    centres=1,
    frozen_sphere={"temperature_K": 5, "equilibration_steps": 2, "frames": 4, "steps_per_frame": 2},
)
# Six Cu and eight Au: neutral.
TRUE_CHARGES = {"Au": -0.3, "Cu": 0.4}
CHARGE_TOLERANCE_E = 1e-4
NUMERICAL_ZERO_EV_PER_A = 1e-6


class Reference(Calculator):
    """The electrostatics of known charges, held in place by springs; counts, and fails on demand."""

    implemented_properties = ("energy", "forces")

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.fails_at: set[int] = set()
        self.ewald = SlaterEwald(TRUE_CHARGES, {symbol: slater_exponent(symbol) for symbol in TRUE_CHARGES})
        self.sites: np.ndarray | None = None

    def calculate(self, atoms: Atoms | None = None, properties: Any = (), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls in self.fails_at:
            raise CalculationFailed("told to fail")
        assert self.atoms is not None
        if self.sites is None:
            self.sites = self.atoms.positions.copy()
        away = self.atoms.positions - self.sites
        forces = self.ewald.get_property("forces", self.atoms) - 5.0 * away
        self.results = {"energy": self.ewald.get_property("energy", self.atoms), "forces": forces}


@pytest.fixture
def reference(monkeypatch) -> Reference:
    calculator = Reference()
    monkeypatch.setattr(locality_tasks, "open_potential", lambda *_: calculator)
    return calculator


def plan_of(small, **changes: Any) -> Plan:
    """The plan with other settings than those that were submitted, so that no initial graph is asked for charges."""
    if small.store.campaigns.get("small") is None:
        small.submit()
    small.campaign = Campaign.model_validate(small.settings(**changes))
    return Plan.of_one(small.campaign, small.store.campaigns["small"].structure.to_atoms())


def graph(small, settings: LocalitySettings = SETTINGS) -> dict:
    plan = AnalysisPlan(plan_of(small), 1, {"es-gap": "model-1"}, {"es-gap": "final/fit/es-gap"})
    return {job.key: job for job in locality_jobs(plan, settings)}


def charge_graph(small, **changes: Any) -> dict:
    fit = {"radius_A": 3.1, "samples": 3, "centres": 2, **changes}
    return {job.key: job for job in charge_fit_jobs(plan_of(small, baseline={"charges": "fit", "charge_fit": fit}))}


def run(small, jobs: dict) -> None:
    for job in jobs.values():
        small.run(job)


def test_every_centre_is_a_job_and_one_gathers_them(small):
    jobs = graph(small)
    assert len(jobs) == 2 * 2 + 1
    assert set(jobs["analysis/locality"].parents) == set(jobs) - {"analysis/locality"}
    assert jobs["analysis/locality"].runs_after_failures
    assert len(Graph(tuple(jobs.values())).to_workflow("small").fws) == len(jobs)


def test_a_test_of_a_model_waits_for_its_fit(small):
    jobs = graph(small, SETTINGS.model_copy(update={"potential": "es-gap"}))
    assert {job.parents for key, job in jobs.items() if key != "analysis/locality"} == {("final/fit/es-gap",)}


def test_the_true_charges_leave_nothing_of_the_induced_forces(small, reference):
    run(small, graph(small))
    (record,) = small.store.results.find({"kind": LOCALITY_KIND})
    result = LOCALITIES.read(record)
    assert result.radii_A == SETTINGS.radii_A
    assert set(result.before) == {"Au", "Cu", OVERALL}
    assert min(result.before["Cu"].value_eV_per_A) > 1e-3
    assert result.after is not None
    # The campaign's own charges are the true ones.
    assert max(max(curve.value_eV_per_A) for curve in result.after.values()) < NUMERICAL_ZERO_EV_PER_A
    assert reference.calls == SETTINGS.evaluations(4)


def test_what_is_whole_is_not_computed_again_and_what_is_damaged_is(small, reference):
    jobs = graph(small)
    run(small, jobs)
    calls = reference.calls
    before = [one.essence() for one in small.store.results.find({"kind": LOCALITY_KIND})]
    run(small, jobs)
    assert reference.calls == calls
    assert [one.essence() for one in small.store.results.find({"kind": LOCALITY_KIND})] == before
    piece = min((small.store.artefacts.root / LOCALITY_KIND).glob("locality-*.npz"))
    piece.write_bytes(piece.read_bytes()[:100])
    run(small, jobs)
    assert reference.calls == calls + SETTINGS.samples


def test_a_killed_centre_repeats_nothing(small, reference, monkeypatch):
    monkeypatch.setattr(locality_tasks, "_SAVE_EVERY_S", 0.0)

    class Killed(BaseException):
        pass

    job = next(iter(graph(small).values()))
    ask = Reference.calculate

    def kill(self: Reference, *arguments: Any, **options: Any) -> None:
        if self.calls == 6:
            raise Killed
        ask(self, *arguments, **options)

    monkeypatch.setattr(Reference, "calculate", kill)
    with pytest.raises(Killed):
        small.run(job)
    monkeypatch.setattr(Reference, "calculate", ask)
    small.run(job)
    assert reference.calls == SETTINGS.evaluations(1)


def test_a_displacement_that_fails_is_left_out_and_told(small, reference):
    jobs = graph(small)
    reference.fails_at = {3}
    key, job = next(iter(jobs.items()))
    assert "1 of 6 displacements failed" in small.run(job).reason
    run(small, {other: job for other, job in jobs.items() if other != key})
    (record,) = small.store.results.find({"kind": LOCALITY_KIND})
    assert LOCALITIES.read(record).before["Cu"].centres == 2


def test_missing_centres_are_named_and_without_any_there_is_no_result(small, reference):
    jobs = graph(small)
    gather = jobs.pop("analysis/locality")
    with pytest.raises(JobFailed, match="no centre"):
        small.run(gather)
    jobs.popitem()
    run(small, jobs)
    assert "which failed" in small.run(gather).reason
    (record,) = small.store.results.find({"kind": LOCALITY_KIND})
    assert len(record.values["missing"]) == 1
    section = locality_section(small.store, "small")
    assert section is not None
    assert "left out" in section.blocks[-1].text


def test_a_frozen_sphere_gives_curves_too_and_carries_on(small, reference, monkeypatch):
    monkeypatch.setattr(locality_tasks, "_SAVE_EVERY_S", 0.0)
    jobs = graph(small, FROZEN)
    run(small, jobs)
    (record,) = small.store.results.find({"kind": LOCALITY_KIND})
    result = LOCALITIES.read(record)
    assert result.after is not None
    for symbol in ("Au", "Cu"):
        assert min(result.before[symbol].value_eV_per_A) > 1e-4
        assert max(result.after[symbol].value_eV_per_A) < NUMERICAL_ZERO_EV_PER_A
    section = locality_section(small.store, "small")
    assert section is not None
    assert "scatter" in section.summary


@pytest.mark.parametrize("settings", [SETTINGS, FROZEN], ids=["displacement", "frozen-sphere"])
def test_charges_of_another_kind_are_taken_away_by_their_own_forces(small, reference, settings):
    """Charges at rest: no sum over charges of species gives their forces."""
    at_rest = {"kind": "qeq", "electronegativities_eV": {"Cu": 0.0, "Au": 12.0}}
    plan = plan_of(small, baseline=at_rest)
    reference.ewald = kind_of_baseline(plan.baseline).calculator(plan.baseline)
    small.store.campaigns.replace(
        small.store.campaigns["small"].model_copy(update={"settings": small.campaign.model_dump(mode="json")})
    )
    jobs = {job.key: job for job in locality_jobs(AnalysisPlan(plan, 1, {}, {}), settings)}
    centre, own = (jobs[key] for key in sorted(jobs)[1:3])
    assert own.key == f"{centre.key}/baseline"
    assert own.parents == (centre.key,)
    with pytest.raises(JobFailed, match="no centre"):
        small.run(jobs["analysis/locality"])
    gather = jobs.pop("analysis/locality")
    run(small, {key: job for key, job in jobs.items() if not key.endswith("/baseline")})
    assert "baseline's forces of some centres are missing" in small.run(gather).reason
    (record,) = small.store.results.find({"kind": LOCALITY_KIND})
    assert LOCALITIES.read(record).after is None
    run(small, jobs)
    assert small.run(gather).reason == ""
    (record,) = small.store.results.find({"kind": LOCALITY_KIND})
    result = LOCALITIES.read(record)
    assert result.after is not None
    for symbol in ("Au", "Cu"):
        assert min(result.before[symbol].value_eV_per_A) > 1e-4
        assert max(result.after[symbol].value_eV_per_A) < NUMERICAL_ZERO_EV_PER_A
    section = locality_section(small.store, "small")
    assert section is not None
    assert "without the baseline's part" in section.summary
    assert any("Baseline: qeq charges." in getattr(block, "caption", "") for block in section.blocks)


def test_charges_that_are_fitted_are_those_of_the_model_on_them(small):
    plan = plan_of(small, baseline={"kind": "pair", "charges": TRUE_CHARGES})
    models, fits = {"gap": "model-0", "es-gap": "model-1"}, {"gap": "final/fit/gap", "es-gap": "final/fit/es-gap"}
    jobs = {job.key: job for job in locality_jobs(AnalysisPlan(plan, 1, models, fits), SETTINGS)}
    own = [job for key, job in jobs.items() if key.endswith("/baseline")]
    assert {job.parameters.baseline.model for job in own} == {"model-1"}
    assert {job.parents for job in own} == {(job.key.removesuffix("/baseline"), "final/fit/es-gap") for job in own}
    gather = jobs["analysis/locality"].parameters
    assert (gather.baseline.name, gather.charges) == ("pair charges of ES-GAP", None)
    assert type(gather).model_validate(gather.model_dump(mode="json")) == gather


def test_the_charges_are_fitted_and_recorded_with_their_curve(small, reference):
    jobs = charge_graph(small)
    assert list(jobs)[-1] == CHARGE_FIT
    run(small, jobs)
    (record,) = small.store.results.find({"kind": CHARGES})
    values = record.values
    assert values["charges"] == pytest.approx(TRUE_CHARGES, abs=CHARGE_TOLERANCE_E)
    assert values["criterion"] == "locality"
    assert max(values["uncertainties"].values()) < CHARGE_TOLERANCE_E
    assert values["curve"]["scales"][0] == 0
    calls = reference.calls
    run(small, jobs)
    assert reference.calls == calls
    section = locality_section(small.store, "small")
    assert section is not None
    assert "Cu +0.400" in section.summary


def test_charges_can_be_one_part_of_the_formal_ones(small, reference):
    plan = plan_of(small, baseline={"charges": "fit", "charge_fit": {"radius_A": 3.1, "samples": 2, "centres": 1}})
    *centres, fit = charge_fit_jobs(plan)
    for job in centres:
        small.run(job)
    formal = {"Au": -3.0, "Cu": 4.0}
    scaled = fit.parameters.model_copy(update={"transferable": True, "formal_charges": formal})
    fit.task(parameters={}).execute(scaled, small.context)
    (record,) = small.store.results.find({"kind": CHARGES})
    assert record.values["charges"] == pytest.approx(TRUE_CHARGES, abs=CHARGE_TOLERANCE_E)
    without = scaled.model_copy(update={"formal_charges": None})
    with pytest.raises(JobFailed, match="transferable: false"):
        fit.task(parameters={}).execute(without, small.context)


def test_a_test_at_the_radius_of_the_fit_asks_for_no_force_twice(small, reference):
    run(small, charge_graph(small))
    calls = reference.calls
    run(small, graph(small))
    # The other radius.
    assert reference.calls == calls + 4 * SETTINGS.samples


def test_a_campaign_with_given_charges_fits_none(small):
    assert charge_fit_jobs(plan_of(small)) == []
    assert charge_fit_cost(small.campaign, Atoms()) is None
    assert list(charge_fit_problems(small.campaign, planned_systems(small.campaign, {None: Atoms()}))) == []


def test_the_bounds_of_the_learning_curve_are_read_at_the_cutoff(small, reference):
    assert locality_bounds(small.store, "small") == {}
    small.campaign = Campaign.model_validate(
        small.settings(gap={"two_body": None, "soap": {"cutoff_A": 3.0, "transition_width_A": 0.5}})
    )
    small.submit()
    plan = Plan.of_one(small.campaign, small.store.campaigns["small"].structure.to_atoms())
    jobs = locality_jobs(AnalysisPlan(plan, 1, {}, {}), SETTINGS)
    for job in jobs:
        small.run(job)
    bounds = locality_bounds(small.store, "small")
    assert set(bounds) == {"gap", "es-gap"}
    assert bounds["gap"].cutoff_A == 3.0
    assert bounds["gap"].force_eV_per_A > 1e-3
    assert bounds["es-gap"].force_eV_per_A < NUMERICAL_ZERO_EV_PER_A
    section = locality_section(small.store, "small")
    assert section is not None
    assert "cutoff of 3 Å" in section.summary
    assert len(section.figures["locality-radius"].data) == 2 * 2 * 2


def test_a_model_sees_as_far_as_its_widest_descriptor(small):
    for gap, cutoff_A in ({"two_body": {"cutoff_A": 6.5}}, 6.5), ({"two_body": None, "soap": {"cutoff_A": 4.5}}, 4.5):
        campaign = Campaign.model_validate({"name": "a", "structure": "li7p3s11", "models": ["gap"], "gap": gap})
        assert model_cutoffs_A(small.store, campaign) == {"gap": cutoff_A}


def test_costs_are_evaluations_and_the_atoms_of_the_larger_cell(small):
    atoms = plan_of(small, baseline={"charges": "fit", "charge_fit": {"radius_A": 4.0}}).atoms
    cost = locality_cost(SETTINGS, atoms)
    assert (cost.reference_evaluations, cost.reference_atoms) == (SETTINGS.evaluations(4), 14)
    with_model = locality_cost(SETTINGS.model_copy(update={"potential": "gap"}), atoms)
    assert (with_model.reference_evaluations, with_model.model_evaluations) == (0, cost.reference_evaluations)
    fit = charge_fit_cost(small.campaign, atoms)
    assert fit is not None
    defaults = ChargeFitSettings()
    assert fit.reference_evaluations == 2 * defaults.centres * defaults.samples + 1
    assert fit.reference_atoms == 8 * 14


def test_what_does_not_fit_the_structure_is_a_problem(small):
    atoms = plan_of(small).atoms
    wrong = {"radii_A": [3.0, 6.0], "supercell": [1, 1, 1]}
    campaign = Campaign.model_validate(small.settings(analyses={"locality": wrong}))
    (problem,) = locality_problems(campaign, LOCALITY.settings(campaign), atoms)
    assert problem.key == ("analyses", "locality", "supercell")
    assert "take [2, 2, 2]" in problem.message
    baseline = {"charges": "fit", "charge_fit": {"radius_A": 5.0, "supercell": [1, 1, 1], "transferable": True}}
    campaign = Campaign.model_validate(small.settings(baseline=baseline))
    assert [problem.key[-1] for problem in charge_fit_problems(campaign, planned_systems(campaign, {None: atoms}))] == [
        "supercell",
        "transferable",
    ]


def test_an_engine_keeps_its_limits_out_of_the_way(small):
    plan = plan_of(small)
    assert isinstance(plan.campaign.reference, CommandSettings)
    job, *_ = locality_jobs(AnalysisPlan(plan, 1, {}, {}), SETTINGS)
    assert job.parameters.test.potential.engine == plan.campaign.reference


def test_a_campaign_without_results_has_no_section(small):
    small.submit()
    assert locality_section(small.store, "small") is None
