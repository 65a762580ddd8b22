"""Langevin dynamics: the ensemble it samples, exact restarts, and what it does when something goes wrong."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.io import read
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ionloop.core.errors import InputError, IonloopError
from ionloop.sampling.guard import ContactGuard, TrajectoryGuard
from ionloop.sampling.molecular_dynamics import TrajectoryEnd, record_path, run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from ionloop.sampling.trajectory import TrajectoryError, exclusive, read_frames

STANDARD_ERRORS_ALLOWED = 5.0
NVE_DRIFT_EV_PER_ATOM = 1e-4
ENERGY_ROUNDING_EV = 1e-9


class Springs(Calculator):
    """Every pair joined by a spring of its own strength: harmonic and translation-invariant."""

    implemented_properties = ("energy", "forces")

    def __init__(self, rest: np.ndarray, on_call: Callable[[int, dict[str, Any]], None] | None = None) -> None:
        super().__init__()
        n = len(rest)
        strengths = np.random.default_rng(0).uniform(0.5, 2.0, (n, n))
        strengths = np.triu(strengths, 1) + np.triu(strengths, 1).T
        self.hessian = np.diag(strengths.sum(axis=1)) - strengths
        self.rest = rest
        self.calls = 0
        self.on_call = on_call

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        displacements = self.atoms.positions - self.rest
        forces = -self.hessian @ displacements
        self.results = {"energy": float(-0.5 * (forces * displacements).sum()), "forces": forces}
        if self.on_call:
            self.on_call(self.calls, self.results)
        self.calls += 1


class Remembering(Springs):
    """Its forces carry a trace of the evaluation before, as those of an engine that restarts its SCF do."""

    memory: np.ndarray | float = 0.0

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = self.results["forces"] + 1e-6 * self.memory
        self.memory = self.results["forces"].copy()

    @staticmethod
    def forget(calculator: Any) -> None:
        calculator.reset()
        calculator.memory = 0.0


@pytest.fixture
def molecule() -> Atoms:
    positions = 3.0 * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
    return Atoms("Li4S3P", positions=positions)


def md(steps: int = 60, **changes: Any) -> MolecularDynamicsSettings:
    values: dict[str, Any] = {"temperature_K": 300, "timestep_fs": 1.0, "steps": steps, "write_every": 10}
    return MolecularDynamicsSettings(**(values | changes))


def assert_same_frames(first: list[Atoms], second: list[Atoms]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.get_momenta(), b.get_momenta())
        np.testing.assert_array_equal(a.get_forces(), b.get_forces())
        assert a.get_potential_energy() == b.get_potential_energy()
        assert a.info == b.info


# --- the ensemble ---


def test_potential_energy_of_springs_is_equipartition_even_at_a_long_step(molecule: Atoms, tmp_path: Path) -> None:
    # BAOAB samples the configurations of harmonic systems exactly at any stable step; kinetic energy is too
    # low by about (omega dt)^2 / 4 of itself, which a step of 3 fs makes visible but no more than 3 %.
    settings = md(steps=8_000, write_every=8, timestep_fs=3.0, friction_per_ps=20.0)
    outcome = run_langevin(molecule, Springs(molecule.positions), settings, tmp_path / "a.traj", seed=11)
    energies = np.array([frame.get_potential_energy() for frame in read_frames(outcome.trajectory, start=50)])
    modes = 3 * len(molecule) - 3
    expected = 0.5 * modes * units.kB * settings.temperature_K
    blocks = energies[: len(energies) // 20 * 20].reshape(20, -1).mean(axis=1)
    standard_error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert standard_error < 0.03 * expected
    assert abs(energies.mean() - expected) < STANDARD_ERRORS_ALLOWED * standard_error
    assert outcome.mean_temperature_K == pytest.approx(300, rel=0.05)


def test_without_friction_energy_is_conserved_to_second_order(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=1)
    spreads = []
    for timestep_fs in (4.0, 2.0):
        settings = md(steps=steps_for(0.24, timestep_fs, 4), write_every=4, friction_per_ps=0, timestep_fs=timestep_fs)
        outcome = run_langevin(atoms, EMT(), settings, tmp_path / f"{timestep_fs}.traj", seed=2)
        totals = np.array([frame.get_total_energy() for frame in read_frames(outcome.trajectory)])
        spreads.append(np.abs(totals - totals[0]).max() / len(atoms))
    assert spreads[1] < NVE_DRIFT_EV_PER_ATOM
    assert 2.5 < spreads[0] / spreads[1] < 6.0


class Morse(Springs):
    """Every pair bound by a Morse potential whose minimum is their distance at the start: smooth, anharmonic."""

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        Calculator.calculate(self, atoms, properties, system_changes)
        rows, columns = np.triu_indices(len(self.rest), 1)
        vectors = self.atoms.positions[columns] - self.atoms.positions[rows]
        distances = np.linalg.norm(vectors, axis=1)
        decay = np.exp(-1.5 * (distances - np.linalg.norm(self.rest[columns] - self.rest[rows], axis=1)))
        pulls = (2.0 * 1.5 * decay * (1.0 - decay) / distances)[:, np.newaxis] * vectors
        forces = np.zeros_like(self.rest)
        np.add.at(forces, rows, pulls)
        np.add.at(forces, columns, -pulls)
        self.results = {"energy": float(((1.0 - decay) ** 2).sum()), "forces": forces}


def test_without_friction_energy_does_not_drift_at_one_femtosecond(molecule: Atoms, tmp_path: Path) -> None:
    settings = md(steps=5000, timestep_fs=1.0, friction_per_ps=0, temperature_K=600)
    outcome = run_langevin(molecule, Morse(molecule.positions), settings, tmp_path / "a.traj", seed=2)
    frames = read_frames(outcome.trajectory)
    times_ps = [frame.info["time_fs"] / 1000 for frame in frames]
    energies = [frame.get_total_energy() / len(molecule) for frame in frames]
    assert np.std([frame.get_kinetic_energy() / len(molecule) for frame in frames]) > 50 * NVE_DRIFT_EV_PER_ATOM
    assert abs(np.polyfit(times_ps, energies, 1)[0]) < NVE_DRIFT_EV_PER_ATOM


def test_heat_accounts_for_the_change_of_energy(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    outcome = run_langevin(atoms, EMT(), md(steps=200, timestep_fs=0.5), tmp_path / "a.traj", seed=3)
    frames = read_frames(outcome.trajectory)
    conserved = np.array([frame.get_total_energy() - frame.info["heat_eV"] for frame in frames])
    assert np.ptp([frame.info["heat_eV"] for frame in frames]) > 100 * np.ptp(conserved)


def test_centre_of_mass_rests_and_positions_are_never_wrapped(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.positions += 7.3 * atoms.cell[0]
    outcome = run_langevin(atoms, EMT(), md(timestep_fs=2.0), tmp_path / "a.traj", seed=4)
    frames = read_frames(outcome.trajectory)
    for frame in frames:
        np.testing.assert_allclose(frame.get_momenta().sum(axis=0), 0.0, atol=1e-10)
        np.testing.assert_allclose(frame.get_center_of_mass(), atoms.get_center_of_mass(), atol=1e-9)
    assert np.abs(frames[-1].positions - atoms.positions).max() < 1.0


def test_initial_velocities_are_maxwell_boltzmann(molecule: Atoms, tmp_path: Path) -> None:
    kinetic = []
    for seed in range(80):
        outcome = run_langevin(molecule, Springs(molecule.positions), md(steps=0), tmp_path / f"{seed}.traj", seed=seed)
        kinetic.append(read_frames(outcome.trajectory)[0].get_kinetic_energy())
    freedom = 3 * len(molecule) - 3
    expected = 0.5 * freedom * units.kB * 300
    standard_error = expected * np.sqrt(2 / freedom / len(kinetic))
    assert abs(np.mean(kinetic) - expected) < STANDARD_ERRORS_ALLOWED * standard_error


# --- determinism and restarts ---


def test_same_seed_same_trajectory_other_seed_another(molecule: Atoms, tmp_path: Path) -> None:
    frames = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        outcome = run_langevin(molecule, Springs(molecule.positions), md(), tmp_path / f"{name}.traj", seed=seed)
        assert outcome.end is TrajectoryEnd.COMPLETED
        assert (outcome.frames, outcome.steps) == (7, 60)
        frames[name] = read_frames(outcome.trajectory)
    assert_same_frames(frames["a"], frames["b"])
    assert not np.array_equal(frames["a"][0].get_momenta(), frames["c"][0].get_momenta())


def test_finished_trajectory_returns_at_once(molecule: Atoms, tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    first = run_langevin(molecule, Springs(molecule.positions), md(), path, seed=1)
    content = path.read_bytes()
    calculator = Springs(molecule.positions)
    assert run_langevin(molecule, calculator, md(), path, seed=1) == first
    assert calculator.calls == 0
    assert path.read_bytes() == content


@pytest.mark.parametrize("extended", [False, True])
def test_restart_is_exact_even_with_a_calculator_that_remembers(
    molecule: Atoms, tmp_path: Path, extended: bool
) -> None:
    def run(name: str, steps: int, forget: Callable[[Any], None]) -> list[Atoms]:
        path = tmp_path / f"{name}.traj"
        calculator = Remembering(molecule.positions)
        run_langevin(molecule, calculator, md(steps=steps), path, seed=5, reset_history=forget)
        return read_frames(path)

    undisturbed = run("undisturbed", 100, Remembering.forget)
    if extended:
        run("restarted", 30, Remembering.forget)
        assert_same_frames(run("restarted", 100, Remembering.forget), undisturbed)
    else:
        # Without forgetting, the same restart is another trajectory: the test above can fail.
        run("restarted", 30, lambda calculator: calculator.reset())
        carried_on = run("restarted", 100, lambda calculator: calculator.reset())
        assert not np.array_equal(carried_on[-1].positions, undisturbed[-1].positions)


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys, time
from pathlib import Path
from ase.build import bulk
from ase.calculators.emt import EMT
from ionloop.sampling.molecular_dynamics import MolecularDynamicsSettings, record_path, run_langevin

folder = Path(sys.argv[1])
atoms = bulk("Cu", cubic=True)
settings = MolecularDynamicsSettings(temperature_K=500, timestep_fs=2, steps=300, write_every=5)
run_langevin(atoms, EMT(), settings, folder / "undisturbed.traj", seed=9)
random.seed(0)
kills = 0
while True:
    child = os.fork()
    if child == 0:
        run_langevin(atoms, EMT(), settings, folder / "killed.traj", seed=9)
        os._exit(0)
    if kills < 15:
        time.sleep(random.uniform(0.001, 0.04))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        kills += 1
    else:
        break
print(kills, os.waitstatus_to_exitcode(status))
"""


def test_killed_at_random_moments_it_ends_with_the_undisturbed_trajectory(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    kills, exit_code = map(int, finished.stdout.split())
    assert kills >= 8
    assert exit_code == 0
    assert_same_frames(read_frames(tmp_path / "killed.traj"), read_frames(tmp_path / "undisturbed.traj"))
    assert len(read(tmp_path / "killed.traj", index=":")) == 61


def test_torn_anywhere_the_file_is_repaired_and_completed(molecule: Atoms, tmp_path: Path) -> None:
    whole = tmp_path / "whole.traj"
    settings = md(steps=32, write_every=2)
    run_langevin(molecule, Springs(molecule.positions), settings, whole, seed=6)
    content, record, frames = whole.read_bytes(), record_path(whole).read_text(), read_frames(whole)
    assert len(frames) == 17
    random = np.random.default_rng(1)
    cuts = [0, 1, 8, 30, 47, 48, 55, 56, 57, *random.integers(58, len(content), 15)]
    for number, cut in enumerate(cuts):
        path = tmp_path / f"{number}.traj"
        path.write_bytes(content[:cut])
        record_path(path).write_text(record)
        torn = read_frames(path)
        assert_same_frames(torn, frames[: len(torn)])
        run_langevin(molecule, Springs(molecule.positions), settings, path, seed=6)
        assert_same_frames(read_frames(path), frames)


def test_damaged_frame_is_found_and_computed_again(molecule: Atoms, tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    run_langevin(molecule, Springs(molecule.positions), md(), path, seed=6)
    frames = read_frames(path)
    content = bytearray(path.read_bytes())
    place = content.index(frames[3].positions.tobytes()) + 40
    content[place] ^= 1
    path.write_bytes(content)
    assert len(read_frames(path)) == 3
    outcome = run_langevin(molecule, Springs(molecule.positions), md(), path, seed=6)
    assert outcome.frames == 7
    assert_same_frames(read_frames(path), frames)


# --- what stops a trajectory ---


def spoil(key: str, value: Any) -> Callable[[int, dict[str, Any]], None]:
    """Return a hook that overwrites a result from the 26th evaluation on: step 25, in the third block."""

    def hook(call: int, results: dict[str, Any]) -> None:
        if call >= 25:
            results[key] = np.full_like(results[key], value) if key == "forces" else value

    return hook


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("forces", np.nan, "not finite"),
        ("energy", np.inf, "not finite"),
        ("forces", 150.0, "a force is 259.8 eV/Å"),
        ("energy", 20.0, "potential energy jumped by"),
    ],
)
def test_explosion_stops_and_keeps_the_frames_before(
    molecule: Atoms, tmp_path: Path, key: str, value: float, reason: str
) -> None:
    path = tmp_path / "a.traj"
    calculator = Springs(molecule.positions, on_call=spoil(key, value))
    loose = TrajectoryGuard(maximum_temperature_factor=1e9)
    outcome = run_langevin(molecule, calculator, md(guard=loose), path, seed=7)
    assert outcome.end is TrajectoryEnd.STOPPED
    assert reason in outcome.reason
    assert outcome.reason.startswith("step 25: ")
    assert (outcome.frames, outcome.steps) == (3, 20)
    sound = run_langevin(molecule, Springs(molecule.positions), md(20), tmp_path / "b.traj", seed=7)
    assert_same_frames(read_frames(path), read_frames(sound.trajectory))
    # A stop is remembered: the calculator is not asked again.
    calls = calculator.calls
    assert run_langevin(molecule, calculator, md(guard=loose), path, seed=7) == outcome
    assert calculator.calls == calls
    assert json.loads(record_path(path).read_text())["end"] == "stopped"


def test_too_hot_stops(molecule: Atoms, tmp_path: Path) -> None:
    stretched = molecule.copy()
    stretched.positions *= 1.3
    outcome = run_langevin(stretched, Springs(molecule.positions), md(1000), tmp_path / "a.traj", seed=7)
    assert outcome.end is TrajectoryEnd.STOPPED
    assert "the temperature is" in outcome.reason


def test_atoms_too_close_stop_before_the_first_frame(molecule: Atoms, tmp_path: Path) -> None:
    squeezed = molecule.copy()
    squeezed.positions[1] = squeezed.positions[0] + [0.9, 0, 0]
    outcome = run_langevin(squeezed, Springs(squeezed.positions), md(), tmp_path / "a.traj", seed=7)
    assert outcome.end is TrajectoryEnd.STOPPED
    assert "Li0 and Li1 are 0.90 Å apart (at least 1.54)" in outcome.reason
    assert outcome.frames == 0
    assert np.isnan(outcome.mean_temperature_K)
    assert read_frames(outcome.trajectory) == []


def test_slow_drift_stops(molecule: Atoms, tmp_path: Path) -> None:
    def leak(call: int, results: dict[str, Any]) -> None:
        results["energy"] += 0.1 * call

    outcome = run_langevin(molecule, Springs(molecule.positions, on_call=leak), md(200), tmp_path / "a.traj", seed=7)
    assert "conserved energy has drifted by +0.5" in outcome.reason


def test_calculator_failure_stops_and_keeps_frames(molecule: Atoms, tmp_path: Path) -> None:
    def fail(call: int, results: dict[str, Any]) -> None:
        if call == 25:
            raise RuntimeError("SCF not converged in 250 cycles")

    outcome = run_langevin(molecule, Springs(molecule.positions, on_call=fail), md(), tmp_path / "a.traj", seed=7)
    assert outcome.reason == "step 25: the calculator failed (RuntimeError: SCF not converged in 250 cycles)"
    assert outcome.frames == 3


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_of_the_machine_is_no_stop(molecule: Atoms, tmp_path: Path, error: BaseException) -> None:
    def fail(call: int, results: dict[str, Any]) -> None:
        if call == 25:
            raise error

    path = tmp_path / "a.traj"
    with pytest.raises(type(error)):
        run_langevin(molecule, Springs(molecule.positions, on_call=fail), md(), path, seed=7)
    assert len(read_frames(path)) == 3
    outcome = run_langevin(molecule, Springs(molecule.positions), md(), path, seed=7)
    assert outcome.end is TrajectoryEnd.COMPLETED


def test_full_disk_says_so_and_carries_on_later(molecule: Atoms, tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(TrajectoryError, match=r"a\.traj cannot be written: File too large"):
            run_langevin(molecule, Springs(molecule.positions), md(), path, seed=7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = read_frames(path)
    assert 0 < len(kept) < 7
    run_langevin(molecule, Springs(molecule.positions), md(), path, seed=7)
    undisturbed = run_langevin(molecule, Springs(molecule.positions), md(), tmp_path / "b.traj", seed=7)
    assert_same_frames(read_frames(path), read_frames(undisturbed.trajectory))


# --- refusals ---


def test_unwritable_folder_is_a_clear_error(molecule: Atoms, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrajectoryError, match="cannot be written"):
        run_langevin(molecule, Springs(molecule.positions), md(), tmp_path / "file" / "a.traj", seed=1)


def test_a_trajectory_of_another_run_is_not_touched(molecule: Atoms, tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    run_langevin(molecule, Springs(molecule.positions), md(), path, seed=1)
    content = path.read_bytes()
    moved = molecule.copy()
    moved.positions[0, 0] += 1e-12
    others: list[tuple[Atoms, MolecularDynamicsSettings, int, str]] = [
        (molecule, md(), 2, "seed"),
        (moved, md(), 1, "start"),
        (molecule, md(temperature_K=301), 1, "settings"),
    ]
    for atoms, settings, seed, different in others:
        with pytest.raises(InputError, match=rf"different: {different}\)"):
            run_langevin(atoms, Springs(molecule.positions), settings, path, seed=seed)
    assert path.read_bytes() == content
    record_path(path).unlink()
    with pytest.raises(InputError, match="was not written by"):
        run_langevin(molecule, Springs(molecule.positions), md(), path, seed=1)
    record_path(path).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        run_langevin(molecule, Springs(molecule.positions), md(), path, seed=1)
    assert path.read_bytes() == content


def test_two_writers_are_refused(molecule: Atoms, tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    with exclusive(path), pytest.raises(TrajectoryError, match="another process is writing"):
        run_langevin(molecule, Springs(molecule.positions), md(), path, seed=1)


def test_constraints_single_atoms_and_negative_seeds_are_refused(molecule: Atoms, tmp_path: Path) -> None:
    from ase.constraints import FixAtoms

    held = molecule.copy()
    held.set_constraint(FixAtoms([0]))
    for atoms, seed in ((held, 1), (molecule[:1], 1), (molecule, -1)):
        with pytest.raises(InputError):
            run_langevin(atoms, Springs(molecule.positions), md(), tmp_path / "a.traj", seed=seed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 15}, "multiple of write_every"),
        ({"temperature": 300}, "Extra inputs"),
        ({"temperature_K": 0}, "greater than 0"),
        ({"guard": {"contacts": {"minimum_distances_A": {"Lithium-S": 1.0}}}}, "not a pair of elements"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        md(**changes)


# --- small pieces ---


def test_progress_counts_steps(molecule: Atoms, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run_langevin(
        molecule,
        Springs(molecule.positions),
        md(30),
        tmp_path / "a.traj",
        seed=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 30), (10, 30), (20, 30), (30, 30)]


def test_read_frames_starts_and_strides(molecule: Atoms, tmp_path: Path) -> None:
    outcome = run_langevin(molecule, Springs(molecule.positions), md(), tmp_path / "a.traj", seed=1)
    steps = [frame.info["step"] for frame in read_frames(outcome.trajectory, start=1, stride=2)]
    assert steps == [10, 30, 50]
    with pytest.raises(ValueError, match="stride"):
        read_frames(outcome.trajectory, stride=0)
    with pytest.raises(IonloopError, match="no trajectory"):
        read_frames(tmp_path / "missing.traj")


@given(
    length_ps=st.floats(0, 1e4),
    timestep_fs=st.floats(0.1, 5.0),
    write_every=st.integers(1, 1000),
)
def test_steps_for_covers_the_length_with_whole_blocks(length_ps: float, timestep_fs: float, write_every: int) -> None:
    steps = steps_for(length_ps, timestep_fs, write_every)
    rounding = 1e-8 * write_every * timestep_fs
    assert steps % write_every == 0
    assert steps * timestep_fs >= length_ps * 1000 - rounding
    assert (steps - write_every) * timestep_fs < length_ps * 1000 + rounding


def test_steps_for_decimal_lengths() -> None:
    assert steps_for(0.3, 0.1) == 3000
    assert steps_for(5, 1.0, 10) == 5000
    assert steps_for(0.1, 2.0, 30) == 60


def test_contact_guard_sees_periodic_images_and_named_pairs() -> None:
    pair = Atoms("LiS", positions=[[0.1, 0, 0], [9.6, 0, 0]], cell=[10, 10, 10], pbc=True)
    contact = ContactGuard().violation(pair)
    assert contact is not None
    assert contact.distance_A == pytest.approx(0.5)
    assert ContactGuard(minimum_distances_A={"S-Li": 0.4}).violation(pair) is None
    assert ContactGuard(covalent_fraction=0.0).violation(pair) is None
    pair.pbc = False
    assert ContactGuard().violation(pair) is None
