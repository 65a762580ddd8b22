"""The hops and barriers of a small campaign in a potential whose barriers are known: every job by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from linear_posterior import pair_posterior

from ionloop.analysis.barriers.settings import BandSettings, BarrierSettings
from ionloop.analysis.conductivity.settings import ConductivitySettings
from ionloop.sampling.trajectory import Frame, TrajectoryFile
from ionloop.store.records import ModelRecord, TrajectoryRecord
from ionloop.tasks import barriers as barrier_tasks
from ionloop.tasks import hops as hop_tasks
from ionloop.tasks.barriers import BAND_KIND, BARRIER_KIND, POINTS_KIND
from ionloop.tasks.base import JobFailed
from ionloop.tasks.hops import ENDS_KIND, HOPS_KIND
from ionloop.tasks.model_uncertainty.intervals import NOT_A_MODEL, Posteriors
from ionloop.tasks.sample import trajectory_identifier
from ionloop.workflows.analyses.barriers import graph as barrier_graph
from ionloop.workflows.analyses.barriers.graph import barrier_cost, barrier_jobs, slots
from ionloop.workflows.analyses.barriers.report import barrier_section
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.sections import TextBlock
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.graph.plan import load_plan

SPACING_A = 3.2
HEIGHTS_EV = {"gap": 0.2, "es-gap": 0.3, "reference": 0.25}
HEIGHT_TOLERANCE_EV = 0.005
FRAME_FS, COPPER_CHARGE_E = 50.0, 0.4
SETTINGS = BarrierSettings(hops=1, images=5, band=BandSettings(climbing_force_eV_per_A=0.01, max_step_A=0.1))


class Corrugated(Calculator):
    """Ions of copper on a cubic lattice of wells that are ``height`` deep, and a framework held by springs."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, height: float, crystal: Atoms) -> None:
        super().__init__()
        self.height, self.crystal = height, crystal

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        ions = self.atoms.symbols == "Cu"
        wave = 2 * np.pi / SPACING_A
        phase = wave * self.atoms.positions
        stretched = self.atoms.positions - np.tile(self.crystal.positions, (len(self.atoms) // len(self.crystal), 1))
        # Repeated cells stand edges away from the first.
        edges = self.crystal.cell.lengths()
        stretched -= edges * np.round(stretched / edges)
        forces = -2.0 * stretched
        forces[ions] = -0.5 * self.height * wave * np.sin(phase[ions])
        energy = np.sum(stretched[~ions] ** 2) + 0.5 * self.height * np.sum(1 - np.cos(phase[ions]))
        self.results = {"energy": float(energy), "forces": forces}


@pytest.fixture
def opened(monkeypatch, small) -> list[str]:
    """Every potential is corrugated, each to its own height; the kinds that were opened, in order."""
    kinds: list[str] = []

    def open_corrugated(store, potential):
        kinds.append(potential.kind)
        return Corrugated(HEIGHTS_EV[potential.kind], store.campaigns["small"].structure.to_atoms())

    monkeypatch.setattr(barrier_tasks, "open_potential", open_corrugated)
    monkeypatch.setattr(hop_tasks, "open_potential", open_corrugated)
    return kinds


def graph(small, settings: BarrierSettings = SETTINGS) -> dict:
    small.submit()
    models = {"gap": "model-1", "es-gap": "model-2"}
    fits = {kind: f"final/fit/{kind}" for kind in models}
    plan = AnalysisPlan(load_plan(small.store, "small"), 1, models, fits)
    return {job.key: job for job in barrier_jobs(plan, settings)}


def run(small, jobs: dict) -> None:
    for job in jobs.values():
        small.run(job)


def write_trajectory(small, replica: int, hops: bool, repeats: tuple[int, int, int] = (1, 1, 1)) -> None:
    """An ion that hops into the vacancy beside it and on into the next image of where it came from."""
    crystal = small.store.campaigns["small"].structure.to_atoms().repeat(repeats)
    ions = np.flatnonzero(crystal.symbols == "Cu")
    free = np.array([0.0, 0.0, 0.0])
    mover = next(i for i in ions if np.allclose(np.abs(crystal.positions[i] - free), [0, 0, SPACING_A]))
    step = free - crystal.positions[mover]
    random = np.random.default_rng(replica)
    name = trajectory_identifier("small", 1, f"replica-{replica}")
    path = small.store.artefacts.folder("trajectories") / f"{name}.traj"
    with TrajectoryFile(path) as file:
        for frame in range(240):
            atoms = crystal.copy()
            atoms.positions += random.normal(0, 0.1, (len(atoms), 3))
            if hops:
                atoms.positions[mover] += (frame // 80) * step
            atoms.set_momenta(np.zeros((len(atoms), 3)))
            file.append(Frame(atoms, 0.0, np.zeros((len(atoms), 3)), 50 * frame, FRAME_FS * frame, 0.0))
    record = TrajectoryRecord(
        id=name,
        campaign="small",
        generation=1,
        driver="es-gap",
        replica=replica,
        start=f"replica-{replica}",
        seed=1,
        state="completed",
        steps=240,
        frames=240,
        mean_temperature_K=800.0,
        artefact=small.store.artefacts.register(path),
    )
    small.store.trajectories.replace(record)


def results(small, kind: str) -> list:
    return list(small.store.results.find({"kind": kind}))


def test_the_graph_has_a_slot_for_every_path(small):
    jobs = graph(small)
    assert slots(SETTINGS) == ("crossing-1", "crossing-2", "hop-1")
    # Hops, ends and barriers; per path and model a band, the other model, and an image each for the reference.
    assert len(jobs) == 3 + 3 * 2 * (1 + 1 + SETTINGS.images)
    names = {*jobs, "final/fit/gap", "final/fit/es-gap"}
    assert all(parent in names for job in jobs.values() for parent in job.parents)
    assert not jobs["analysis/barriers/hops"].parents
    assert "final/fit/es-gap" in jobs["analysis/barriers/ends"].parents
    assert jobs["analysis/barriers/hop-1/gap/es-gap"].parents == ("analysis/barriers/hop-1/gap", "final/fit/es-gap")
    workflow = Graph(tuple(jobs.values())).without({"final/fit/gap", "final/fit/es-gap"}).to_workflow("small")
    assert len(workflow.fws) == len(jobs)


def test_hops_are_looked_for_in_the_drivers_conductivity_run_nearest_to_the_sampling(small, monkeypatch):
    settings = ConductivitySettings(temperatures_K=(600.0, 900.0), replicas=2, supercell=(2, 1, 1))
    monkeypatch.setattr(barrier_graph, "_conductivity", lambda *_: settings)
    job = graph(small)["analysis/barriers/hops"]
    assert job.parents == ("analysis/conductivity/es-gap/900K/0", "analysis/conductivity/es-gap/900K/1")
    assert len(job.parameters.trajectories) == 2
    assert job.parameters.supercell == job.parameters.periods == (2, 1, 1)
    assert job.parameters.equilibration_frames == settings.equilibration_frames


def test_a_larger_cell_of_the_trajectory_is_the_cell_of_its_sites(small, opened):
    """The same hops as in the campaign's cell, seen in two of them."""
    jobs = graph(small, SETTINGS.model_copy(update={"traverse": False, "reference": "none"}))
    write_trajectory(small, 0, hops=True, repeats=(2, 1, 1))
    hops = jobs["analysis/barriers/hops"]
    parameters = hops.parameters.model_copy(update={"supercell": (2, 1, 1), "periods": (2, 1, 1)})
    small.run(replace(hops, parameters=parameters))
    run(small, {key: job for key, job in jobs.items() if key != hops.key})
    (found,) = results(small, HOPS_KIND)
    assert found.values["hops"] == 2
    barriers = results(small, BARRIER_KIND)
    assert barriers
    assert all(record.values["origin"] == "trajectory" for record in barriers)


def test_without_the_reference_there_are_no_jobs_of_it(small):
    jobs = graph(small, SETTINGS.model_copy(update={"reference": "none"}))
    assert all("reference" not in key for key in jobs)


def test_hops_of_the_trajectory_give_paths_with_the_barriers_of_every_potential(small, opened):
    jobs = graph(small)
    small.store.models.add(
        ModelRecord(
            id="model-2",
            campaign="small",
            generation=1,
            kind="es-gap",
            data_set="data",
            training_set_hash="0",
            hyperparameters={},
            baseline={"charges": {"Cu": COPPER_CHARGE_E, "Au": -0.3}},
            seed=1,
            path="models/es-gap",
            files=[],
        )
    )
    write_trajectory(small, 0, hops=True)
    write_trajectory(small, 1, hops=False)
    run(small, jobs)
    (hops,) = results(small, HOPS_KIND)
    assert hops.values["hops"] == 2
    assert hops.values["summary"]["diffusion_axis"] == 2
    assert hops.values["summary"]["mean_jump_A"] == pytest.approx(SPACING_A, abs=0.1)
    assert hops.values["crossings"] == 1
    (ends,) = results(small, ENDS_KIND)
    assert set(ends.values["slots"]) == {"crossing-1", "crossing-2", "hop-1"}
    barriers = results(small, BARRIER_KIND)
    assert len(barriers) == 6
    for record in barriers:
        assert record.values["converged"], record.values["reason"]
        assert record.values["origin"] == "trajectory"
        assert set(record.values["potentials"]) == set(HEIGHTS_EV)
        for kind, numbers in record.values["potentials"].items():
            assert numbers["forward_eV"] == pytest.approx(HEIGHTS_EV[kind], abs=HEIGHT_TOLERANCE_EV)
            assert numbers["reverse_eV"] == pytest.approx(HEIGHTS_EV[kind], abs=HEIGHT_TOLERANCE_EV)
        # Half way between its wells an ion has carried its charge so far; a GAP has none.
        dipole = record.values["saddle_dipole_eA"]
        if record.model_kind == "es-gap":
            assert np.linalg.norm(dipole) == pytest.approx(0.5 * SPACING_A * COPPER_CHARGE_E, abs=0.05)
        else:
            assert dipole is None
    calls = len(opened)
    run(small, jobs)
    assert len(opened) == calls, "what is whole is not computed again"


def test_the_report_shows_both_hops_of_a_crossing_as_one_line(small, opened, monkeypatch):
    sure, reason = pair_posterior(deviation_eV=0.003), "fitted by gap_fit"
    known = {"model-1": reason, "model-2": sure}
    monkeypatch.setattr(Posteriors, "_read", lambda self, model: known[model])
    run_with = graph(small)
    write_trajectory(small, 0, hops=True)
    run(small, run_with)
    section = barrier_section(small.store, "small")
    assert section is not None
    crossing = section.figures["hops-and-barriers-crossing-es-gap"]
    own = [trace for trace in crossing.data if trace.name == "ES-GAP, its path"]
    assert len(own[0].x) == 2 * SETTINGS.images - 1
    assert len(crossing.data) == 6
    assert {key.split("barriers-")[1] for key in section.figures} == {
        "crossing-gap",
        "crossing-es-gap",
        "hop-1-gap",
        "hop-1-es-gap",
        "sites",
        "jumps",
        "residence",
    }
    assert "2 hops in 12 ps" in section.summary
    told = {(one.values["slot"], one.model_kind): one.values["potentials"] for one in results(small, BARRIER_KIND)}
    assert len(told) == 6
    for potentials in told.values():
        assert potentials["gap"]["model_interval_reason"] == reason
        assert potentials["reference"]["model_interval_reason"] == NOT_A_MODEL
        assert "forward_model_half_width_eV" not in potentials["gap"]
        width = potentials["es-gap"]["forward_model_half_width_eV"]
        energies = potentials["es-gap"]["energies_model_half_width_eV"]
        assert 0 < width < 0.2
        # The middle of five images is the maximum of a path between two equal wells.
        assert width == pytest.approx(energies[2], rel=0.05)
        assert energies[0] == 0
    lowest = min(
        (one["es-gap"] for (_, kind), one in told.items() if kind == "es-gap"), key=lambda one: one["forward_eV"]
    )
    assert f"ES-GAP 0.30 ± {lowest['forward_model_half_width_eV']:.2f} (model) eV" in section.summary
    assert "GAP 0.20 eV" in section.summary
    texts = [block.text for block in section.blocks if isinstance(block, TextBlock)]
    assert f"GAP: no model interval: {reason}." in texts
    assert any("the reference lies inside the 95 % model interval of" in one for one in texts)


def test_without_hops_an_ion_is_moved_to_the_nearest_free_site_and_this_is_said(small, opened):
    jobs = graph(small)
    write_trajectory(small, 0, hops=False)
    run(small, jobs)
    (hops,) = results(small, HOPS_KIND)
    assert hops.values["hops"] == 0
    assert "nearest free site" in hops.values["reason"]
    barriers = results(small, BARRIER_KIND)
    assert len(barriers) == 2
    assert all(record.values["origin"] == "nearest free site" for record in barriers)
    own = {record.model_kind: record.values["potentials"][record.model_kind]["forward_eV"] for record in barriers}
    assert own == pytest.approx({kind: HEIGHTS_EV[kind] for kind in own}, abs=HEIGHT_TOLERANCE_EV)
    section = barrier_section(small.store, "small")
    assert section is not None
    assert "No hops were seen" in section.summary


def test_without_any_trajectory_there_is_still_a_path(small, opened):
    run(small, graph(small))
    (hops,) = results(small, HOPS_KIND)
    assert "is not there" in hops.values["reason"]
    assert len(results(small, BARRIER_KIND)) == 2


def test_hops_whose_ends_relax_together_are_rejected_with_the_reason(small, opened):
    jobs = graph(small, SETTINGS.model_copy(update={"distinct_A": 4.0}))
    write_trajectory(small, 0, hops=True)
    run(small, jobs)
    (ends,) = results(small, ENDS_KIND)
    assert not ends.values["slots"]
    assert "relax together" in ends.values["reason"]
    assert not results(small, BARRIER_KIND)
    section = barrier_section(small.store, "small")
    assert section is not None
    assert "no path has converged" in section.summary


def test_paths_in_a_supercell_have_the_same_barrier(small, opened):
    jobs = graph(small, SETTINGS.model_copy(update={"supercell": (1, 1, 2), "traverse": False, "reference": "none"}))
    write_trajectory(small, 0, hops=True)
    run(small, jobs)
    for record in results(small, BARRIER_KIND):
        own = record.values["potentials"][record.model_kind]
        assert own["forward_eV"] == pytest.approx(HEIGHTS_EV[record.model_kind], abs=HEIGHT_TOLERANCE_EV)


def test_missing_single_points_are_named_and_the_rest_is_kept(small, opened):
    jobs = graph(small, SETTINGS.model_copy(update={"traverse": False}))
    write_trajectory(small, 0, hops=True)
    run(small, {key: job for key, job in jobs.items() if not key.endswith("gap/reference/2")})
    for record in results(small, BARRIER_KIND):
        assert record.values["missing"] == ["reference"]
        assert set(record.values["potentials"]) == {"gap", "es-gap"}
    section = barrier_section(small.store, "small")
    assert section is not None
    assert any("single points of reference are missing" in getattr(block, "text", "") for block in section.blocks)


def test_a_damaged_file_is_computed_again(small, opened):
    jobs = graph(small, SETTINGS.model_copy(update={"traverse": False, "reference": "none"}))
    run(small, jobs)
    record = results(small, POINTS_KIND)[0]
    path = small.store.artefacts.path(record.artefacts["points"].path)
    before = path.read_bytes()
    path.write_bytes(b"damaged")
    run(small, jobs)
    assert path.read_bytes() == before


class _Killed(BaseException):
    pass


def test_a_killed_band_goes_on_from_its_relaxed_ends_and_its_checkpoint(small, opened, monkeypatch):
    jobs = graph(small, SETTINGS.model_copy(update={"traverse": False, "reference": "none"}))
    band = jobs["analysis/barriers/hop-1/gap"]
    for key in ("hops", "ends"):
        small.run(jobs[f"analysis/barriers/{key}"])
    calls, kill_at = 0, -1

    def mortal(store, potential):
        class Mortal(Corrugated):
            def calculate(self, *arguments, **keywords):
                nonlocal calls
                calls += 1
                if calls == kill_at:
                    raise _Killed
                super().calculate(*arguments, **keywords)

        return Mortal(HEIGHTS_EV[potential.kind], store.campaigns["small"].structure.to_atoms())

    monkeypatch.setattr(barrier_tasks, "open_potential", mortal)
    small.run(band)
    (whole,), calls_of_all = results(small, BAND_KIND), calls
    small.store.artefacts.path(whole.artefacts["band"].path).unlink()
    for file in small.context.scratch(band.parameters.identifier).iterdir():
        file.unlink()
    calls, kill_at = 0, calls_of_all - 1
    with pytest.raises(_Killed):
        small.run(band)
    calls, kill_at = 0, -1
    small.run(band)
    (resumed,) = results(small, BAND_KIND)
    assert resumed.artefacts == whole.artefacts, "the same path to the last bit"
    assert calls < calls_of_all


def test_jobs_whose_input_is_missing_say_so(small, opened):
    jobs = graph(small)
    for key in ("ends", "hop-1/gap", "hop-1/gap/es-gap"):
        with pytest.raises(JobFailed, match="see the job"):
            small.run(jobs[f"analysis/barriers/{key}"])
    with pytest.raises(JobFailed, match="see the job"):
        small.run(jobs["analysis/barriers"])


def test_costs_count_every_slot(small):
    cost = barrier_cost(SETTINGS, 2, 42)
    assert cost.reference_evaluations == 3 * 2 * SETTINGS.images
    assert cost.model_atoms == 42
    larger = barrier_cost(SETTINGS.model_copy(update={"supercell": (1, 2, 1), "reference": "none"}), 2, 42)
    assert (larger.reference_evaluations, larger.reference_atoms, larger.model_atoms) == (0, 0, 84)


def test_a_campaign_without_results_has_no_section(small):
    small.submit()
    assert barrier_section(small.store, "small") is None
