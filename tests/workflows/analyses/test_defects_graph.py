"""The graphs of Frenkel pairs and vacancies on a small campaign, its ions in an egg crate whose energies are known."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from linear_posterior import energy_features, pair_posterior

from ionloop.analysis.defects.settings import FrenkelSettings, VacancySettings
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.fitting.electrostatics.in_field import InField
from ionloop.fitting.electrostatics.local import LocalSettings
from ionloop.fitting.electrostatics.pair import PairSettings
from ionloop.store.records import DataSetRecord, ModelRecord
from ionloop.tasks.base import JobFailed
from ionloop.tasks.defects import relaxations as defect_tasks
from ionloop.tasks.defects import results as defect_results
from ionloop.tasks.defects.relaxations import (
    FIELD_POINT_KIND,
    RELAXATION_KIND,
    SINGLE_POINT_KIND,
    branch_identifiers,
    relaxed_atoms,
    surviving_pairs,
)
from ionloop.tasks.defects.results import FRENKEL_FIELD_KIND, FRENKEL_KIND, VACANCY_KIND
from ionloop.tasks.model_uncertainty.intervals import Posteriors
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.defects.graph import (
    frenkel_cost,
    frenkel_jobs,
    frenkel_problems,
    vacancy_cost,
    vacancy_jobs,
)
from ionloop.workflows.analyses.defects.report import frenkel_section, vacancy_section
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.graph.plan import load_plan

LATTICE_A, BARRIER_EV, SPRING_EV_PER_A2, COPPER_CHARGE_E = 3.2, 0.2, 4.0, 0.4
HOLE_EV, REFERENCE_HOLE_EV, COPPER_EV, ISOLATED_EV = 0.3, 0.45, -2.0, -0.7
ENERGY_EV = 1e-4
PASSED_E = 0.2
RELAXATION = FixedCellRelaxation(force_tolerance_eV_per_A=1e-3, max_step_A=0.1)
FRENKEL_SETTINGS = FrenkelSettings(
    pairs=1, attempts=2, axes=("x", "z"), fields_V_per_A=(-0.1, 0.1, 0.2), relaxation=RELAXATION
)
VACANCY_SETTINGS = VacancySettings(sites=2, relaxation=RELAXATION)


class EggCrate(Calculator):
    """Copper in wells a lattice constant apart, those of no crystal ion higher by ``hole_eV``; gold on springs."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, crystal: Atoms, hole_eV: float) -> None:
        super().__init__()
        self.crystal = crystal
        self.hole_eV = hole_eV

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, list(properties), list(system_changes))
        copper = np.asarray(self.atoms.symbols == "Cu")
        forces = np.zeros((len(self.atoms), 3))
        phase = 2 * np.pi * self.atoms.positions[copper] / LATTICE_A
        energy = COPPER_EV * copper.sum() + 0.5 * BARRIER_EV * np.sum(1 - np.cos(phase))
        forces[copper] = -np.pi * BARRIER_EV / LATTICE_A * np.sin(phase)
        gold = self.atoms.positions[~copper] - self.crystal.positions[self.crystal.symbols == "Au"]
        forces[~copper] = -SPRING_EV_PER_A2 * gold
        sites = self.crystal.positions[self.crystal.symbols == "Cu"]
        nearest = np.linalg.norm(self.atoms.positions[copper][:, None] - sites[None], axis=2).min(axis=1)
        energy += 0.5 * SPRING_EV_PER_A2 * np.sum(gold**2) + self.hole_eV * np.sum(nearest > LATTICE_A / 2)
        self.results = {"energy": float(energy), "forces": forces}


class PolarisableCrate(EggCrate):
    """Copper passes charge to gold as it leaves its wells: in them its Born charge is larger than what it carries."""

    def in_field(self, atoms: Atoms, field_V_per_A: np.ndarray) -> InField:
        copper = np.asarray(atoms.symbols == "Cu")
        share = np.where(copper, PASSED_E, -PASSED_E * copper.sum() / (~copper).sum())[:, None]
        phase = 2 * np.pi * atoms.positions / LATTICE_A
        dipole = (share * np.sin(phase)).sum(axis=0) * LATTICE_A / (2 * np.pi)
        carried = np.where(copper, COPPER_CHARGE_E, -COPPER_CHARGE_E * copper.sum() / (~copper).sum())
        forces = self.get_property("forces", atoms) + (carried[:, None] + share * np.cos(phase)) * field_V_per_A
        energy = float(self.get_property("energy", atoms)) - float(dipole @ field_V_per_A)
        return InField(energy, forces, carried, dipole)


@pytest.fixture
def opened(small, monkeypatch) -> list[str]:
    """Models and engine are egg crates; the kinds that were opened, in order."""
    small.submit()
    kinds: list[str] = []
    crystal = small.store.campaigns["small"].structure.to_atoms()

    def open_crate(store, potential):
        kinds.append(potential.kind)
        return EggCrate(crystal, REFERENCE_HOLE_EV if potential.kind == "reference" else HOLE_EV)

    monkeypatch.setattr(defect_tasks, "open_potential", open_crate)
    place: dict[str, Any] = {"campaign": "small", "generation": 1}
    energies = {"Cu": ISOLATED_EV, "Au": -1.0}
    small.store.data_sets.add(
        DataSetRecord(id="data", **place, labels=[], configurations=[], isolated_atom_energies=energies)
    )
    for kind, baseline in (("gap", None), ("es-gap", {"charges": {"Cu": COPPER_CHARGE_E, "Au": -0.3}})):
        small.store.models.add(
            ModelRecord(
                id=f"model-{kind}",
                **place,
                kind=kind,
                data_set="data",
                training_set_hash="0",
                hyperparameters={},
                baseline=baseline,
                seed=1,
                path=f"models/{kind}",
                files=[],
            )
        )
    return kinds


def plan_of(small) -> AnalysisPlan:
    kinds = ("gap", "es-gap")
    models, fits = {kind: f"model-{kind}" for kind in kinds}, {kind: f"final/fit/{kind}" for kind in kinds}
    return AnalysisPlan(load_plan(small.store, "small"), 1, models, fits)


def frenkel_graph(small, settings: FrenkelSettings = FRENKEL_SETTINGS) -> dict:
    return {job.key: job for job in frenkel_jobs(plan_of(small), settings)}


def run(small, jobs: dict) -> None:
    for job in jobs.values():
        small.run(job)


def test_the_graph_has_a_job_for_every_branch_and_all_parents(small, opened):
    jobs = frenkel_graph(small)
    names = {*jobs, "final/fit/gap", "final/fit/es-gap"}
    assert all(parent in names for job in jobs.values() for parent in job.parents)
    branches = [key for key in jobs if "/field/" in key]
    # Two axes, two directions, each for the bulk and one pair.
    assert len(branches) == 8
    assert all("es-gap" in key for key in branches)
    assert len(Graph(tuple(jobs.values())).without({"final/fit/gap"}).to_workflow("small").fws) == len(jobs)
    assert all("reference" not in key for key in frenkel_graph(small, _without_reference()))


def _without_reference() -> FrenkelSettings:
    return FRENKEL_SETTINGS.model_copy(update={"reference": False})


def test_formation_energies_without_a_field_are_those_of_the_holes(small, opened):
    run(small, frenkel_graph(small))
    records = {record.model_kind: record for record in small.store.results.find({"kind": FRENKEL_KIND})}
    assert set(records) == {"gap", "es-gap"}
    for record in records.values():
        assert record.values["intact"] == 2
        assert record.values["formation_energy_eV"]["mean"] == pytest.approx(HOLE_EV, abs=ENERGY_EV)
        reference = record.values["reference_formation_energy_eV"]
        assert reference["mean"] == pytest.approx(REFERENCE_HOLE_EV, abs=ENERGY_EV)
    assert "no" in records["gap"].values["field"]
    assert records["es-gap"].values["field"] == ""


def test_the_slope_in_the_field_is_the_charge_times_the_distance(small, opened, monkeypatch):
    posterior = pair_posterior(deviation_eV=0.01)
    monkeypatch.setattr(Posteriors, "_read", lambda self, model: posterior if model == "model-es-gap" else "no GAP")
    jobs = frenkel_graph(small)
    run(small, jobs)
    (record,) = small.store.results.find({"kind": FRENKEL_FIELD_KIND})
    assert record.model_kind == "es-gap"
    (pair,) = record.values["pairs"]
    assert pair["events"] == []
    for axis, component in (("x", 0), ("z", 2)):
        curve = pair["axes"][axis]
        assert [point["field_V_per_A"] for point in curve] == [-0.1, 0.0, 0.1, 0.2]
        for point in curve:
            expected = HOLE_EV - pair["dipole_eA"][component] * point["field_V_per_A"]
            assert point["formation_energy_eV"] == pytest.approx(expected, abs=ENERGY_EV)
    length = np.linalg.norm(pair["dipole_eA"])
    assert length == pytest.approx(COPPER_CHARGE_E * pair["separation_A"], abs=1e-2)
    # What models drawn from the posterior make of the same structures.
    told = {way: jobs[f"analysis/frenkel/es-gap/field/pair-0/x-{way}"].parameters for way in ("plus", "minus")}
    (start,) = surviving_pairs(small.store, told["plus"].candidates, told["plus"].rules.recombination_radius_A)[:1]
    crystal = plan_of(small).atoms.repeat(told["plus"].supercell)

    def formation_eV(weights: np.ndarray, parameters) -> float:
        names = (branch_identifiers(parameters, one)[0] for one in (start, parameters.bulk))
        pair, bulk = (relaxed_atoms(small.store, small.store.results[name], crystal) for name in names)
        return (energy_features(pair) - energy_features(bulk)) @ weights

    draws = [posterior.sampled_calculator(seed).weights for seed in range(400)]
    drawn = {way: np.array([formation_eV(one, told[way]) for one in draws]) for way in told}
    widths = {point["field_V_per_A"]: point["formation_energy_model_half_width_eV"] for point in pair["axes"]["x"]}
    assert widths[0.1] == pytest.approx(posterior.half_width(drawn["plus"].std()), rel=0.12)
    slope = (drawn["plus"] - drawn["minus"]) / 0.2
    assert pair["dipole_model_half_width_eA"]["x"] == pytest.approx(posterior.half_width(slope.std()), rel=0.12)
    section = frenkel_section(small.store, "small")
    assert section is not None
    assert "(statistical) ±" in section.summary
    assert any(getattr(block, "text", "") == "GAP: no model interval: no GAP." for block in section.blocks)
    assert any("the reference lies inside" in getattr(block, "text", "") for block in section.blocks)


def test_charges_that_pass_over_bonds_are_followed_by_their_polarisation(small, opened, monkeypatch):
    crystal = small.store.campaigns["small"].structure.to_atoms()
    for module in (defect_tasks, defect_results):
        monkeypatch.setattr(module, "open_potential", lambda *_: PolarisableCrate(crystal, HOLE_EV))
    model = small.store.models["model-es-gap"]
    pair_charges = PairSettings(charges={"Cu": COPPER_CHARGE_E, "Au": -0.3}).model_dump(mode="json")
    small.store.models.replace(model.model_copy(update={"baseline": pair_charges}))
    run(small, frenkel_graph(small, _without_reference()))
    (record,) = small.store.results.find({"kind": FRENKEL_FIELD_KIND})
    assert record.values["charges_e"]["Cu"] == pytest.approx(COPPER_CHARGE_E + PASSED_E, abs=1e-3)
    assert record.values["charges_from"].startswith("Born charges")
    (pair,) = record.values["pairs"]
    # In all wells as much has passed: the pair's dipole is that of the charge which the ion carries.
    for axis, component in (("x", 0), ("z", 2)):
        for point in pair["axes"][axis]:
            expected = HOLE_EV - pair["dipole_eA"][component] * point["field_V_per_A"]
            assert point["formation_energy_eV"] == pytest.approx(expected, abs=ENERGY_EV)
            assert point["state"] == "intact"
    assert np.linalg.norm(pair["dipole_eA"]) == pytest.approx(COPPER_CHARGE_E * pair["separation_A"], abs=1e-2)
    section = frenkel_section(small.store, "small")
    assert section is not None
    assert any("Born charges" in getattr(block, "caption", "") for block in section.blocks)


def test_a_baseline_that_cannot_answer_a_field_says_why(small, opened):
    model, local = small.store.models["model-es-gap"], LocalSettings(charges={"Cu": COPPER_CHARGE_E, "Au": -0.3})
    small.store.models.replace(model.model_copy(update={"baseline": local.model_dump(mode="json")}))
    jobs = frenkel_graph(small, _without_reference())
    for key in ("bulk", "defect-0", "defect-1", ""):
        small.run(jobs[f"analysis/frenkel/es-gap/{key}".rstrip("/")])
    (record,) = small.store.results.find({"kind": FRENKEL_KIND})
    assert "ES-GAP takes part at zero field only" in record.values["field"]
    assert "mean of all atoms" in record.values["field"]
    with pytest.raises(JobFailed, match="mean of all atoms"):
        small.run(jobs["analysis/frenkel/es-gap/field/bulk/x-plus"])
    atoms = plan_of(small).atoms
    for baseline, told in (
        ({"kind": "pair"}, ""),
        ({"kind": "equilibrated"}, ""),
        ({"kind": "local"}, "mean of all atoms"),
        ({"kind": "equilibrated", "bond_hardness_eV": None}, "pass freely"),
        ({"kind": "equilibrated", "total_charge_e": 1.0}, "only neutral cells"),
    ):
        campaign = Campaign.model_validate(small.settings(baseline={**baseline, "charges": {"Cu": 0.4, "Au": -0.3}}))
        messages = [problem.message for problem in frenkel_problems(campaign, atoms, FRENKEL_SETTINGS)]
        assert [told in message for message in messages] == ([True] if told else [])


def test_a_branch_that_was_interrupted_repeats_one_relaxation(small, opened):
    jobs = frenkel_graph(small)
    run(small, jobs)
    calls = len(opened)
    run(small, jobs)
    assert len(opened) == calls, "what is whole is not computed again"
    points = small.store.results.find({"kind": FIELD_POINT_KIND, "values.field_V_per_A": 0.2, "values.axis": "x"})
    (of_pair, *_) = [point for point in points if point.inputs[0] not in _bulk_identifiers(small, jobs)]
    path = small.store.artefacts.path(of_pair.artefacts["structure"].path)
    path.unlink()
    small.run(jobs["analysis/frenkel/es-gap/field/pair-0/x-plus"])
    assert len(opened) == calls + 1
    assert path.exists()
    assert small.store.results[of_pair.id].values["energy_eV"] == pytest.approx(of_pair.values["energy_eV"])


def _bulk_identifiers(small, jobs: dict) -> set[str]:
    branch = jobs["analysis/frenkel/es-gap/field/bulk/x-plus"].parameters
    return {branch.bulk, *defect_tasks.branch_identifiers(branch, branch.bulk)}


def test_a_pair_that_recombines_has_no_energy_from_there_on_and_the_report_says_where(small, opened):
    jobs = frenkel_graph(small)
    run(small, jobs)
    branch = jobs["analysis/frenkel/es-gap/field/pair-0/x-plus"].parameters
    (start, *_) = defect_tasks.surviving_pairs(small.store, branch.candidates, branch.rules.recombination_radius_A)
    first = small.store.results[defect_tasks.branch_identifiers(branch, start)[0]]
    small.store.results.replace(first.model_copy(update={"values": {**first.values, "state": "recombined"}}))
    small.run(jobs["analysis/frenkel/es-gap/field"])
    (record,) = small.store.results.find({"kind": FRENKEL_FIELD_KIND})
    (pair,) = record.values["pairs"]
    assert [point["formation_energy_eV"] is None for point in pair["axes"]["x"]] == [False, False, True, True]
    assert pair["events"] == [{"axis": "x", "field_V_per_A": 0.1, "event": "recombined"}]
    section = frenkel_section(small.store, "small")
    assert section is not None
    assert "+0.1 V/Å along x" in section.summary
    crosses = [trace for trace in section.figures["frenkel-field-0"].data if trace.marker.symbol == "x"]
    assert [tuple(trace.x) for trace in crosses] == [(0.1,)]


def test_pairs_that_recombine_without_a_field_are_left_out_and_cost_no_reference(small, opened):
    jobs = frenkel_graph(small)
    for key in ("bulk", "defect-0", "defect-1"):
        small.run(jobs[f"analysis/frenkel/es-gap/{key}"])
    for record in list(small.store.results.find({"kind": RELAXATION_KIND})):
        if record.values["defect"] is not None:
            back = {**record.values, "farthest_from_sites_A": 0.1}
            small.store.results.replace(record.model_copy(update={"values": back}))
    small.run(jobs["analysis/frenkel/es-gap"])
    (record,) = small.store.results.find({"kind": FRENKEL_KIND})
    assert record.values["recombined"] == 2
    assert record.values["formation_energy_eV"] is None
    outcome = small.run(jobs["analysis/frenkel/es-gap/field/pair-0/x-plus"])
    assert "only 0 pairs survived" in outcome.reason
    assert "no relaxed pair" in small.run(jobs["analysis/frenkel/es-gap/field"]).reason
    assert list(small.store.results.find({"kind": FRENKEL_FIELD_KIND})) == []
    before = len(opened)
    small.run(jobs["analysis/frenkel/es-gap/defect-0/reference"])
    assert len(opened) == before
    section = frenkel_section(small.store, "small")
    assert section is not None
    assert "No Frenkel pair survived" in section.summary


def test_vacancies_count_from_the_isolated_atom_or_the_metal(small, opened):
    for state, atom_eV in (("isolated-atom", ISOLATED_EV), ("metal", None)):
        settings = VACANCY_SETTINGS.model_copy(update={"element_reference": state, "metal_repeat": 1})
        jobs = {job.key: job for job in vacancy_jobs(plan_of(small), settings)}
        if atom_eV is not None:
            run(small, jobs)
            expected = -COPPER_EV + atom_eV
            for record in small.store.results.find({"kind": VACANCY_KIND}):
                assert record.values["formation_energy_eV"]["mean"] == pytest.approx(expected, abs=ENERGY_EV)
                assert record.values["reference_formation_energy_eV"]["mean"] == pytest.approx(expected, abs=ENERGY_EV)
                assert record.values["cell_charge_e"] == (-COPPER_CHARGE_E if record.model_kind == "es-gap" else 0.0)
            section = vacancy_section(small.store, "small")
            assert section is not None
            assert "isolated atom" in section.summary
        else:
            assert "analysis/vacancy/metal" in jobs["analysis/vacancy/es-gap"].parents
            with pytest.raises(JobFailed, match="metal was not computed"):
                small.run(jobs["analysis/vacancy/es-gap"])


def test_single_points_are_computed_once(small, opened):
    jobs = {job.key: job for job in vacancy_jobs(plan_of(small), VACANCY_SETTINGS)}
    run(small, jobs)
    count = len(list(small.store.results.find({"kind": SINGLE_POINT_KIND})))
    calls = len(opened)
    run(small, jobs)
    assert len(opened) == calls
    assert len(list(small.store.results.find({"kind": SINGLE_POINT_KIND}))) == count == 6


def test_parameters_survive_the_database(small, opened):
    jobs = [*frenkel_jobs(plan_of(small), FRENKEL_SETTINGS), *vacancy_jobs(plan_of(small), VACANCY_SETTINGS)]
    for job in jobs:
        again = job.task.parameters_type.model_validate(job.parameters.model_dump(mode="json"))
        assert again == job.parameters
        assert getattr(again, "identifier", None) == getattr(job.parameters, "identifier", None)


def test_costs_and_problems_are_told_before_a_campaign_runs(small, opened):
    without = frenkel_cost(FRENKEL_SETTINGS.model_copy(update={"fields_V_per_A": ()}), 2, 1, 14)
    with_field = frenkel_cost(FRENKEL_SETTINGS, 2, 1, 14)
    assert with_field.model_evaluations > without.model_evaluations
    assert frenkel_cost(_without_reference(), 2, 1, 14).reference_evaluations == 0
    assert vacancy_cost(VACANCY_SETTINGS, 2, 14).reference_evaluations == 6
    campaign, atoms = small.campaign, plan_of(small).atoms
    assert list(frenkel_problems(campaign, atoms, FRENKEL_SETTINGS)) == []
    far = FRENKEL_SETTINGS.model_copy(update={"minimum_separation_A": 50.0})
    (problem,) = frenkel_problems(campaign, atoms, far)
    assert "larger supercell" in problem.message
    gap_only = campaign.model_copy(update={"models": ("gap",)})
    (problem,) = frenkel_problems(gap_only, atoms, FRENKEL_SETTINGS)
    assert "es-gap" in problem.message
    charged = atoms.copy()
    del charged[0]
    (problem,) = frenkel_problems(campaign, charged, FRENKEL_SETTINGS)
    assert "neutral" in problem.message


def test_a_campaign_without_results_has_no_sections(small):
    small.submit()
    assert frenkel_section(small.store, "small") is None
    assert vacancy_section(small.store, "small") is None
