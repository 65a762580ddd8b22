"""The conductivity graph of a small campaign: every job by hand, twice, and with failures."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from pydantic import ValidationError

from ionloop.analysis.conductivity.model_spread import model_half_width
from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.analysis.conductivity.transport_settings import TransportSettings
from ionloop.fitting.posterior.base import NoPosterior
from ionloop.tasks import conductivity as conductivity_tasks
from ionloop.tasks.base import JobFailed
from ionloop.tasks.conductivity import ARRHENIUS_KIND, CONDUCTIVITY_KIND
from ionloop.tasks.values.conductivity import ARRHENIUS_LINES, CONDUCTIVITIES
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.conductivity.graph import conductivity_cost, conductivity_jobs, conductivity_problems
from ionloop.workflows.analyses.conductivity.report import conductivity_section
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.graph.plan import load_plan

SETTINGS = ConductivitySettings(
    temperatures_K=(300.0, 500.0, 700.0),
    length_ps=0.05,
    equilibration_ps=0.01,
    timestep_fs=2.0,
    write_every=1,
    replicas=2,
    charge_e=1.0,
    lengths=3,
)
GATHER = "analysis/conductivity/es-gap"
SAMPLE_FACTORS = {1: 0.5, 2: 0.8, 3: 1.3, 4: 2.0}


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Every potential is EMT; the kinds that were opened, in order."""
    kinds: list[str] = []

    def open_emt(store, potential):
        kinds.append(potential.kind)
        return EMT()

    monkeypatch.setattr(conductivity_tasks, "open_potential", open_emt)
    return kinds


def graph(small, settings: ConductivitySettings = SETTINGS, generation: int = 1) -> dict:
    small.submit()
    plan = AnalysisPlan(
        load_plan(small.store, "small"), generation, {"es-gap": "model-1"}, {"es-gap": "final/fit/es-gap"}
    )
    return {job.key: job for job in conductivity_jobs(plan, settings)}


def run(small, jobs: dict) -> None:
    for job in jobs.values():
        small.run(job)


def walking(
    monkeypatch, diffusivity_of=lambda temperature_K: temperature_K / 1000.0, factor_of=lambda sample: 1.0
) -> None:
    """Let every trajectory that is loaded be a walk of known diffusivity (Å²/ps), with samples times a factor."""
    real = conductivity_tasks.load_trajectory

    def load(store, name, equilibration_frames):
        loaded = real(store, name, equilibration_frames)
        temperature_K = float(store.trajectories[name].start.split("/")[2].removesuffix("K"))
        run = store.trajectories[name].start.split("/")[3]
        factor = factor_of(int(run.split("-")[1])) if run.startswith("sample-") else 1.0
        size = np.sqrt(2 * factor * diffusivity_of(temperature_K) * 1.0)
        random = np.random.default_rng(zlib.crc32(name.encode()))
        steps = random.normal(0, size, (400, len(loaded.symbols), 3))
        steps[:, np.array(loaded.symbols) == "Au"] *= 1e-3
        return type(loaded)(loaded.symbols, np.cumsum(steps, axis=0), loaded.cell_A, 1000.0)

    monkeypatch.setattr(conductivity_tasks, "load_trajectory", load)


def test_every_replica_is_a_job_and_every_potential_has_a_gathering_one(small):
    jobs = graph(small)
    assert len(jobs) == 3 * 2 + 1
    assert jobs["analysis/conductivity/es-gap/500K/1"].parents == ("final/fit/es-gap",)
    assert set(jobs[GATHER].parents) == set(jobs) - {GATHER}
    assert jobs[GATHER].runs_after_failures
    seeds = {job.parameters.seed for key, job in jobs.items() if key != GATHER}
    assert len(seeds) == 6
    assert len(Graph(tuple(jobs.values())).without(set()).jobs) == 7


def test_trajectories_have_names_of_their_own(small):
    names = [job.parameters.trajectory for key, job in graph(small).items() if key != GATHER]
    later = [job.parameters.trajectory for key, job in graph(small, generation=2).items() if key != GATHER]
    longer = [
        job.parameters.trajectory
        for key, job in graph(small, SETTINGS.model_copy(update={"length_ps": 0.2})).items()
        if key != GATHER
    ]
    assert len({*names, *later, *longer}) == 18


def test_a_campaign_of_a_crystal_that_does_not_conduct_says_so(small, opened):
    jobs = graph(small)
    run(small, jobs)
    assert opened == ["es-gap"] * 6
    records = list(small.store.results.find({"kind": CONDUCTIVITY_KIND}))
    assert sorted(record.values["temperature_K"] for record in records) == [300.0, 500.0, 700.0]
    assert all(not record.values["reliable"] for record in records)
    assert all(record.values["length_ps"] == pytest.approx(SETTINGS.length_ps) for record in records)
    assert not list(small.store.results.find({"kind": ARRHENIUS_KIND}))
    section = conductivity_section(small.store, "small")
    assert section is not None
    assert "≤" in section.summary
    run(small, jobs)
    assert len(opened) == 6, "trajectories that are whole are not run again"
    assert len(list(small.store.results.find({"kind": CONDUCTIVITY_KIND}))) == 3


def test_a_conductor_gets_conductivities_and_an_activation_energy(small, opened, monkeypatch):
    walking(monkeypatch)
    run(small, graph(small))
    for record in small.store.results.find({"kind": CONDUCTIVITY_KIND}):
        truth = record.values["temperature_K"] / 1000.0
        found = record.values["diffusivity_A2_per_ps"]
        assert found["value"] == pytest.approx(truth, rel=0.2)
        assert small.store.artefacts.is_whole(record.artefacts["curves"])
        assert record.units["tracer_conductivity_mS_per_cm"] == "mS/cm"
    (line,) = small.store.results.find({"kind": ARRHENIUS_KIND})
    assert line.values["activation_energy_eV"]["value"] > 0
    section = conductivity_section(small.store, "small")
    assert section is not None
    assert set(section.figures) == {"conductivity-displacement", "conductivity-length", "conductivity-arrhenius"}
    assert "ES-GAP" in section.summary


@pytest.mark.slow
def test_models_drawn_from_the_posterior_tell_the_models_part_of_the_error(small, opened, monkeypatch):
    seeds: list[int] = []

    def open_sample(store, potential, seed):
        seeds.append(seed)
        return EMT()

    monkeypatch.setattr(conductivity_tasks, "open_sample", open_sample)
    walking(monkeypatch, factor_of=lambda sample: SAMPLE_FACTORS[sample])
    settings = SETTINGS.model_copy(update={"model_samples": 4})
    jobs = graph(small, settings)
    assert len(jobs) == 3 * (2 + 4) + 1
    run(small, jobs)
    assert sorted(seeds) == sorted(3 * [1, 2, 3, 4])
    for record in small.store.results.find({"kind": CONDUCTIVITY_KIND}):
        values = CONDUCTIVITIES.read(record)
        assert [one.sample for one in values.sampled] == [1, 2, 3, 4]
        logarithms = [np.log(SAMPLE_FACTORS[sample]) for sample in range(1, 5)]
        known = model_half_width(logarithms, [0.0] * 4)
        assert values.logarithm_model_half_width == pytest.approx(known, rel=0.3)
        assert not values.model_interval_reason
    (line,) = small.store.results.find({"kind": ARRHENIUS_KIND})
    # The samples differ by factors that do not depend on the temperature.
    energy = ARRHENIUS_LINES.read(line)
    assert energy.activation_energy_model_half_width_eV is not None
    assert energy.activation_energy_model_half_width_eV < 0.1
    text = str(conductivity_section(small.store, "small"))
    assert "×/÷" in text


def test_a_potential_without_posterior_says_so(small, opened, monkeypatch):
    def no_posterior(store, potential, seed):
        raise NoPosterior("the model has no posterior: an earlier release fitted it")

    monkeypatch.setattr(conductivity_tasks, "open_sample", no_posterior)
    settings = SETTINGS.model_copy(update={"model_samples": 4, "temperatures_K": (500.0,)})
    jobs = graph(small, settings)
    for key, job in jobs.items():
        if "sample" in key:
            with pytest.raises(JobFailed, match="earlier release"):
                small.run(job)
        else:
            small.run(job)
    (record,) = small.store.results.find({"kind": CONDUCTIVITY_KIND})
    values = CONDUCTIVITIES.read(record)
    assert values.samples_left_out == 4
    assert "0 of 4 models" in values.model_interval_reason
    backend = small.campaign.model_copy(update={"fit": small.campaign.fit.model_copy(update={"backend": "gap_fit"})})
    (problem,) = conductivity_problems(backend, settings, Atoms("Li"))
    assert "drawn from the posterior" in problem.message


def test_a_trajectory_that_was_interrupted_carries_on(small, monkeypatch):
    calls = 0

    class Interrupted(EMT):
        limit = 15

        def calculate(self, *arguments, **words):
            nonlocal calls
            calls += 1
            if calls > self.limit:
                raise KeyboardInterrupt
            super().calculate(*arguments, **words)

    monkeypatch.setattr(conductivity_tasks, "open_potential", lambda store, potential: Interrupted())
    job = graph(small)["analysis/conductivity/es-gap/300K/0"]
    with pytest.raises(KeyboardInterrupt):
        small.run(job)
    assert small.store.trajectories.get(job.parameters.trajectory) is None
    calls, Interrupted.limit = 0, 10**6
    small.run(job)
    assert 0 < calls < SETTINGS.steps - 10
    assert small.store.trajectories[job.parameters.trajectory].steps == SETTINGS.steps


def test_replicas_that_failed_are_counted_and_left_out(small, opened):
    jobs = graph(small, SETTINGS.model_copy(update={"temperatures_K": (300.0,)}))
    small.run(jobs["analysis/conductivity/es-gap/300K/0"])
    small.run(jobs[GATHER])
    (record,) = small.store.results.find({"kind": CONDUCTIVITY_KIND})
    assert (record.values["replicas"], record.values["missing_replicas"]) == (1, 1)
    section = conductivity_section(small.store, "small")
    assert section is not None
    assert any("1 replicas failed" in getattr(block, "text", "") for block in section.blocks)
    # The other replica comes after a retry: the result is made anew with both.
    small.run(jobs["analysis/conductivity/es-gap/300K/1"])
    small.run(jobs[GATHER])
    assert {one.values["replicas"] for one in small.store.results.find({"kind": CONDUCTIVITY_KIND})} == {1, 2}


def test_without_any_trajectory_the_job_fails_with_the_reason(small):
    with pytest.raises(JobFailed, match="no trajectory at 300 K"):
        small.run(graph(small)[GATHER])


def test_a_campaign_without_results_has_no_section(small):
    small.submit()
    assert conductivity_section(small.store, "small") is None


def test_costs_and_problems(small):
    cost = conductivity_cost(SETTINGS.model_copy(update={"supercell": (2, 1, 1)}), ("gap", "es-gap"), 14)
    assert cost.model_evaluations == 2 * 3 * 2 * SETTINGS.steps
    assert (cost.model_atoms, cost.reference_evaluations) == (28, 0)
    with_reference = conductivity_cost(SETTINGS.model_copy(update={"models": ("reference",)}), ("gap",), 14)
    assert (with_reference.reference_evaluations, with_reference.model_evaluations) == (3 * 2 * SETTINGS.steps, 0)
    campaign = small.campaign.model_copy(update={"models": ("es-gap",)})
    wrong = SETTINGS.model_copy(update={"models": ("gap",), "charge_e": None})
    crystal = Atoms("Li3PS4")
    assert [problem.key[-1] for problem in conductivity_problems(campaign, wrong, crystal)] == ["models", "charge_e"]
    misnamed = SETTINGS.model_copy(update={"models": ("es-gap",), "framework": ("P", "Cl")})
    [problem] = conductivity_problems(campaign, misnamed, crystal)
    assert (problem.key[-1], problem.allowed) == ("framework", "Li | P | S")
    assert "names Cl" in problem.message


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="20 are needed"):
        ConductivitySettings(length_ps=0.1, write_every=50)
    with pytest.raises(ValidationError, match="names one twice"):
        ConductivitySettings(temperatures_K=(800.0, 800.0))
    assert TransportSettings() == ConductivitySettings().transport
