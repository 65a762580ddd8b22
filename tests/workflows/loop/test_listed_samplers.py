"""Samplers that a campaign lists: their jobs, potentials and configurations, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.core.kinds import UnknownKind
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom
from ionloop.fitting.models import fit_model
from ionloop.fitting.settings import GapSettings
from ionloop.sampling.trajectory import read_frames
from ionloop.store.records import DataSetRecord
from ionloop.tasks.base import JobFailed
from ionloop.tasks.context import task_context
from ionloop.tasks.samplers import PrepareSamplerTask, RunParameters, RunSamplerTask
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.exploring import trajectories_in_equilibrium
from ionloop.workflows.graph.plan import Plan, load_plan
from ionloop.workflows.loop.generation_loop import GrowLabels, generation_graph, initial_graph

SHORT = {"length_ps": 0.02, "write_every": 5, "timestep_fs": 2.0}
INITIAL = [
    {"kind": "molecular-dynamics", "count": 2, "write_every": 2},
    {"kind": "lithium-monte-carlo", "count": 2, "relaxation": {"steps": 1}},
    {"kind": "rattled", "count": 3},
    {"kind": "random-packing", "count": 1, "density_spread": 0.1, "relaxation": {"steps": 1}},
]
EXPLORE = [
    {"kind": "nvt", "temperature_K": [300, 600], "replicas": 2, **SHORT},
    {"kind": "npt", "potential": "gap", "candidates": 2, **SHORT},
    {"kind": "ramp", "potential": {"engine": "command", "calculator": "ase.calculators.emt:EMT"}, **SHORT},
    {"kind": "rattled", "count": 1},
]


@pytest.fixture
def listed(small):
    settings = small.settings(initial=INITIAL, explore=EXPLORE)
    del settings["sampling"]
    small.campaign = Campaign.model_validate(settings)
    return small


def jobs_of(graph) -> dict:
    return {job.key: job for job in graph.jobs}


def test_initial_jobs_are_those_of_the_list_and_bring_their_labels(listed):
    listed.submit()
    jobs = jobs_of(initial_graph(load_plan(listed.store, "small")))
    assert {key.removeprefix("generation-0/") for key in jobs if "/initial/" in key} == {
        "initial/0-molecular-dynamics/0",
        "initial/1-lithium-monte-carlo/shared",
        "initial/1-lithium-monte-carlo/0",
        "initial/1-lithium-monte-carlo/1",
        "initial/2-rattled/0",
        "initial/3-random-packing/0",
    }
    assert jobs["generation-0/initial/1-lithium-monte-carlo/0"].parents == (
        "generation-0/initial/1-lithium-monte-carlo/shared",
    )
    assert jobs["generation-0/assess"].parameters.planned == 8
    rattled = jobs["generation-0/initial/2-rattled/0"]
    for _ in range(2):
        assert listed.run(rattled).outputs["configurations"] == 3
    with pytest.raises(JobFailed, match="was not made"):
        listed.run(jobs["generation-0/initial/1-lithium-monte-carlo/1"])
    listed.run(jobs["generation-0/initial/1-lithium-monte-carlo/shared"])
    listed.run(jobs["generation-0/initial/1-lithium-monte-carlo/1"])
    listed.run(jobs["generation-0/initial/3-random-packing/0"])
    found = list(listed.store.configurations.find({"campaign": "small"}))
    brought = ["lithium-monte-carlo", "random-packing", *["rattled"] * 3]
    assert sorted(record.origin.sampler for record in found) == brought
    assert isinstance(rattled.grow, GrowLabels)
    with task_context(listed.context):
        growth = rattled.grow.run_task({})
    (detour,) = growth.detours
    assert len(detour.fws) == 3


def test_what_explores_waits_for_the_model_that_drives_it_and_no_other(listed):
    plan = Plan.of_one(listed.campaign, Atoms("Cu6Au8"))
    jobs = jobs_of(generation_graph(plan, 1, "data-1"))
    parents = {key: job.parents for key, job in jobs.items() if "/explore/" in key}
    assert len(parents) == 4 + 2 + 2 + 1
    assert parents["generation-1/explore/0-nvt/3"] == ("generation-1/fit/es-gap",)
    assert parents["generation-1/explore/1-npt/0"] == ("generation-1/fit/gap",)
    assert parents["generation-1/explore/2-ramp/0"] == parents["generation-1/explore/3-rattled/0"] == ()
    seeds = {job.parameters.seed for key, job in jobs.items() if key in parents}
    assert len(seeds) == len(parents)
    select = jobs["generation-1/select"].parameters
    assert select.trajectories == [run.trajectory for run in select.runs]
    assert {jobs[key].parameters.trajectory for key in parents} == set(select.trajectories)
    in_equilibrium = trajectories_in_equilibrium(plan, plan.systems[0], 1)
    assert list(in_equilibrium.values()) == [300, 300, 600, 600]
    assert set(in_equilibrium) == set(select.trajectories[:4])


def test_runs_begin_with_the_training_set_and_keep_its_distances(listed, tmp_path):
    listed.submit()
    names = listed.add_configurations(4)
    listed.store.data_sets.add(
        DataSetRecord(id="data-1", campaign="small", labels=[], configurations=names, isolated_atom_energies={})
    )
    plan = load_plan(listed.store, "small")
    jobs = jobs_of(generation_graph(plan, 1, "data-1"))
    first, second = (jobs[f"generation-1/explore/2-ramp/{index}"] for index in (0, 1))
    for job in (first, second):
        listed.run(job)
    store = listed.store
    starts = {
        job.key: read_frames(store.artefacts.path(store.trajectories[job.parameters.trajectory].artefact.path))[0]
        for job in (first, second)
    }
    np.testing.assert_array_equal(starts[first.key].positions, plan.systems[0].atoms.positions)
    assert any(
        np.array_equal(starts[second.key].positions, store.configurations[name].atoms.positions) for name in names
    )
    record = store.trajectories[first.parameters.trajectory]
    assert (record.sampler, record.driver, record.state) == ("ramp", "command", "completed")


def test_a_model_in_a_folder_can_drive(listed, tmp_path):
    labelled = []
    for index in range(3):
        atoms = bulk("CuAu", "cesiumchloride", a=3.2)
        atoms.rattle(0.05, seed=index)
        values = (EMT().get_property(name, atoms) for name in ("energy", "forces", "stress"))
        labelled.append(LabelledConfiguration(atoms, *values, f"one-{index}"))
    alone = tuple(isolated_atom(symbol, energy) for symbol, energy in (("Cu", 3.5), ("Au", 3.7)))
    soap = {"cutoff_A": 3.5, "n_max": 2, "l_max": 1, "sparse_points": 5}
    settings = GapSettings.model_validate({"two_body": {"cutoff_A": 4.0, "sparse_points": 4}, "soap": soap})
    fit_model("gap", DataSet(tuple(labelled), isolated_atoms=alone), settings, None, tmp_path / "mine")
    given = listed.settings(explore=[{"kind": "nvt", "potential": {"folder": "mine"}, **SHORT}])
    del given["sampling"]
    listed.campaign = Campaign.model_validate(given)
    listed.submit()
    jobs = jobs_of(generation_graph(load_plan(listed.store, "small"), 1, "data-1"))
    run = jobs["generation-1/explore/0-nvt/0"]
    assert run.parents == ()
    parameters = run.parameters.model_copy(update={"data_set": None})
    outcome = RunSamplerTask(parameters={}).execute(parameters, listed.context)
    assert outcome.outputs["frames"] == 3, outcome.reason


def test_a_document_that_names_an_unknown_sampler_is_refused_by_who_acts(listed):
    listed.submit()
    job = jobs_of(initial_graph(load_plan(listed.store, "small")))["generation-0/initial/2-rattled/0"]
    document = job.parameters.model_dump(mode="json")
    assert RunParameters.model_validate(document) == job.parameters
    document["settings"] = {"kind": "by-magic"}
    for task in (RunSamplerTask, PrepareSamplerTask):
        with task_context(listed.context), pytest.raises(JobFailed, match="unknown kind 'by-magic'; installed are"):
            task(parameters=document).run_task({})
    listed.store.database.campaigns.update_one({"_id": "small"}, {"$set": {"settings.explore": [{"kind": "by-magic"}]}})
    with pytest.raises(UnknownKind, match="by-magic"):
        load_plan(listed.store, "small")
