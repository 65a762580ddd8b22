"""Several systems in one loop: their jobs, their errors, when they have converged, and one that joins later."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_campaign import finish
from systems_campaign import GLASS, SILVER, prepare

from ionloop.core.errors import InputError
from ionloop.core.names import ERRORS, ISOLATED_ATOM, NEW
from ionloop.core.states import State
from ionloop.fitting.electrostatics.charges import ChargeProblem
from ionloop.store.connection import open_store
from ionloop.tasks.values.loop import MODEL_ERRORS
from ionloop.workflows.graph.exploring import trajectories_in_equilibrium
from ionloop.workflows.graph.plan import Plan, planned_systems
from ionloop.workflows.loop.generation_loop import analysis_jobs, generation_graph, initial_graph, joining_graph
from ionloop.workflows.loop.stop_rule import GenerationErrors, StopSettings, stop_verdict
from ionloop.workflows.submission.campaign_file import load_structures, read_campaign

REST = "models: [gap]\nstop: {max_generations: 1}\nanalyses: {energy_volume: {points: 5, reference: none}}\n"
CHARGES = "baseline: {charges: {Cu: 0.0, Au: 0.0}}\n"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    campaign = read_campaign(prepare(tmp_path, REST + CHARGES, GLASS))
    return Plan(campaign, planned_systems(campaign, load_structures(campaign, tmp_path)))


def test_every_system_has_jobs_and_seeds_of_its_own_and_isolated_atoms_are_shared(plan: Plan) -> None:
    jobs = {job.key: job for job in initial_graph(plan).jobs}
    names = [system.name for system in plan.systems]
    dynamics = [jobs[f"generation-0/{name}/initial-molecular-dynamics"] for name in names]
    assert len({job.parameters.seed for job in dynamics}) == len({job.parameters.system for job in dynamics}) == 3
    assert sum(f"/{ISOLATED_ATOM}/" in key for key in jobs) == 2
    assert [key for key in jobs if key.endswith("lithium-monte-carlo")] == ["generation-0/ordered/lithium-monte-carlo"]
    assess = jobs["generation-0/assess"]
    assert assess.parameters.planned == 5 + 3 + 3
    assert set(assess.parents) == jobs.keys() - {"generation-0/assess"}


def test_a_generation_selects_equal_parts_the_first_systems_get_the_rest(plan: Plan) -> None:
    jobs = {job.key: job for job in generation_graph(plan, 1, "data-1").jobs}
    counts = [jobs[f"generation-1/{system.name}/select"].parameters.settings.count for system in plan.systems]
    assert counts == [2, 2, 1]
    assert {f"generation-1/{name}/select" for name in ("ordered", "gold", "glass")} < set(
        jobs["generation-1/assess"].parents
    )


def test_hops_are_looked_for_in_the_trajectories_of_the_system_itself(tmp_path: Path) -> None:
    hot = "  hot: {structure: ordered.extxyz, explore: [{kind: nvt, temperature_K: [300, 900], length_ps: 0.1}]}"
    rest = (
        "models: [gap]\nanalyses: {barriers: {systems: [ordered, hot]}, "
        "conductivity: {systems: [hot], temperatures_K: [300, 400], charge_e: 1.0}}\n"
    )
    campaign = read_campaign(prepare(tmp_path, rest + CHARGES, hot))
    plan = Plan(campaign, planned_systems(campaign, load_structures(campaign, tmp_path)))
    both = {job.key: job for job in analysis_jobs(plan, 2, "data-1", {"gap": "final/fit/gap"})}
    ordered, own = (both[f"analysis/{name}/barriers/hops"] for name in ("ordered", "hot"))
    # Conductivity is computed of the other alone; that one is explored at 300 K first, the rest of the campaign at 400.
    assert ordered.parents == ()
    assert ordered.parameters.trajectories == list(trajectories_in_equilibrium(plan, plan.systems[0], 2))
    assert {key.rpartition("/")[0] for key in own.parents} == {"analysis/hot/conductivity/gap/300K"}
    assert {both[key].parameters.trajectory for key in own.parents} == set(own.parameters.trajectories)
    sampled = campaign.model_copy(update={"analyses": campaign.analyses.model_copy(update={"conductivity": None})})
    alone = {job.key: job for job in analysis_jobs(replace(plan, campaign=sampled), 2, "data-1", {"gap": "fit"})}
    found = [alone[f"analysis/{name}/barriers/hops"].parameters.trajectories for name in ("ordered", "hot")]
    assert [len(names) for names in found] == [1, 4]
    assert found[1] == list(trajectories_in_equilibrium(plan, plan.systems[2], 2))


def test_a_system_without_trajectories_in_equilibrium_has_no_barriers(tmp_path: Path) -> None:
    moved = "  moved: {structure: ordered.extxyz, explore: [{kind: rattled}]}"
    rest = "models: [gap]\nanalyses: {barriers: {systems: [ordered, moved]}}\n"
    with pytest.raises(InputError, match=r"trajectories in which hops can be found.*\(in moved\)"):
        read_campaign(prepare(tmp_path, rest + CHARGES, moved))


def test_analyses_are_made_of_every_crystal_and_their_results_are_told_apart(plan: Plan) -> None:
    jobs = analysis_jobs(plan, 1, "data-1", {"gap": "final/fit/gap"})
    assert {job.key.split("/")[1] for job in jobs} == {"ordered", "gold"}
    own = {job.key for job in jobs} | {"final/fit/gap"}
    assert all(parent in own for job in jobs for parent in job.parents)
    identifiers = [job.parameters.identifier for job in jobs if hasattr(job.parameters, "identifier")]
    assert len(set(identifiers)) == len(identifiers) > 4


def test_a_system_that_joins_begins_where_the_campaign_is(plan: Plan) -> None:
    *old, glass = plan.systems
    later = replace(plan, systems=(*old, replace(glass, has_joined=True)))
    assert not any("/glass/" in job.key for job in initial_graph(later).jobs)
    keys = [job.key for job in joining_graph(later, 3, [glass]).jobs]
    assert keys[-2:] == ["generation-3/glass/initial-molecular-dynamics", "generation-3/assess/glass"]


def errors(generation: int, **systems: float) -> GenerationErrors:
    by_system = {name: GenerationErrors(generation, {"gap": one}, {"gap": one}) for name, one in systems.items()}
    mean = float(np.mean(list(systems.values())))
    return GenerationErrors(generation, {"gap": mean}, {"gap": mean}, by_system)


def test_the_loop_ends_when_the_last_system_has_stopped_improving() -> None:
    rule = StopSettings(patience=1, energy_tolerance=0.05, force_tolerance=0.05, max_generations=9)
    history = [errors(1, crystal=0.1, glass=0.4), errors(2, crystal=0.1, glass=0.3)]
    going = stop_verdict(history, rule, ["crystal", "glass"])
    assert not going.stop
    assert "(glass)" in going.reason
    # One that improves hidden by one that becomes worse: all together would have stopped here.
    hidden = [errors(1, crystal=0.1, glass=0.4), errors(2, crystal=0.2, glass=0.3)]
    assert stop_verdict(hidden, rule).stop
    assert not stop_verdict(hidden, rule, ["crystal", "glass"]).stop
    ended = stop_verdict([*history, errors(3, crystal=0.1, glass=0.3)], rule, ["crystal", "glass"])
    assert ended.converged
    assert "glass was the last system" in ended.reason
    assert not stop_verdict([*history, errors(3, crystal=0.1, glass=0.3)], rule, ["crystal", "glass", "new"]).stop


def test_fitted_charges_are_neutral_in_every_cell_and_told_where_only_zero_is() -> None:
    species = ("Li", "P", "S")
    two = ChargeProblem(species, {"Li": 3, "P": 1, "S": 4}, "Li", others=[{"Li": 7, "P": 3, "S": 11}])
    # What is left is the direction of the formal charges: phosphorus +5.
    assert two.basis.shape == (3, 1)
    assert np.allclose(np.cross(two.basis[:, 0], [1, 5, -2]), 0)
    three = replace(two, others=[*two.others, {"Li": 4, "P": 2, "S": 6}])
    with pytest.raises(InputError, match="but zero are neutral in all of 3 cells"):
        _ = three.basis


def check_errors_of_each(file: Path) -> None:
    """Check that a campaign of two systems that has ended has the errors of each, and its analyses."""
    with closing(open_store(str(file.parent / "ionloop.db"))) as store:
        record = store.campaigns["small"]
        assert record.state is State.FINISHED
        assert list(record.systems) == ["ordered", "gold"]
        (found,) = store.results.find({"kind": ERRORS, "values.subset": NEW})
        values = MODEL_ERRORS.read(found)
        systems = values.by_system
        assert {name: sorted(one.force_by_element_eV_per_A) for name, one in systems.items()} == {
            "ordered": ["Au", "Cu"],
            "gold": ["Au"],
        }
        # Configurations are 14 and 8 atoms, 3 and 2 of them: squares add up over force components.
        components = {name: 3 * atoms * count for name, atoms, count in (("ordered", 14, 3), ("gold", 8, 2))}
        squares = sum(components[name] * one.forces.rmse**2 for name, one in systems.items())
        assert values.forces.rmse**2 * sum(components.values()) == pytest.approx(squares, rel=1e-9)
        assert {one.system for one in store.results.find({"kind": "energy-volume"})} == {"ordered", "gold"}
        assert {one.system for one in store.trajectories.find()} == {"ordered", "gold"}
        names = {one.system for one in store.configurations.find() if one.origin.sampler != ISOLATED_ATOM}
        assert names == {"ordered", "gold"}
    assert "Energy and volume: gold" in (file.parent / "small-report.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_campaign_of_two_systems_records_errors_of_each_and_a_third_joins_when_it_has_ended(tmp_path: Path) -> None:
    file = prepare(tmp_path / "run", REST + CHARGES)
    finish(file)
    check_errors_of_each(file)
    # With a charge for the species that it brings.
    longer = REST.replace("max_generations: 1", "max_generations: 2") + CHARGES.replace("}}", ", Ag: 0.0}}")
    prepare(tmp_path / "run", longer, SILVER)
    finish(file)
    with closing(open_store(str(file.parent / "ionloop.db"))) as store:
        record = store.campaigns["small"]
        assert record.joined == ("silver",)
        first, last = sorted(store.results.find({"kind": ERRORS, "values.subset": NEW}), key=lambda one: one.generation)
        assert set(MODEL_ERRORS.read(first).by_system) == {"ordered", "gold"}
        assert set(MODEL_ERRORS.read(last).by_system) == {"ordered", "gold", "silver"}
        assert {one.generation for one in store.configurations.find({"system": "silver"})} == {1, 2}
