"""`ionloop analyse conductivity` on files whose diffusivity is known, and on what it cannot use."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from ase import Atoms
from ase.io import read, write
from typer.testing import CliRunner

from ionloop.cli.analyse import conductivity as module
from ionloop.core.errors import InputError

STEP_A = 1.5
TRUE_DIFFUSIVITY = STEP_A**2 / 6.0 / 0.05  # one step every 50 fs
OPTIONS = ("--temperature-K", "800", "--timestep-fs", "50")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two replicas of Li walking through a resting, vibrating S lattice, wrapped into the cell."""
    path = tmp_path_factory.mktemp("walks")
    for seed in range(2):
        # Of the seeds 0 and 1 the replicas differ at the 1 % level, as one pair in fifty does.
        random = np.random.default_rng(2 + seed)
        steps = np.zeros((300, 6, 3))
        axis = random.integers(0, 3, (300, 6, 1))
        np.put_along_axis(steps, axis, random.choice([-STEP_A, STEP_A], axis.shape), axis=2)
        lattice = random.uniform(0, 10, (1, 4, 3)) + random.normal(0, 0.05, (300, 4, 3))
        positions = np.concatenate([np.cumsum(steps, axis=0), lattice], axis=1)
        frames = [Atoms("Li6S4", positions=frame, cell=[10, 10, 10], pbc=True) for frame in positions]
        for frame in frames:
            frame.wrap()
        write(path / f"walk-{seed}.extxyz", frames)
    return path


def run(*arguments: str):
    app = typer.Typer()
    app.command("conductivity")(module.conductivity)

    @app.callback()
    def _group() -> None: ...

    return CliRunner().invoke(app, ["conductivity", *map(str, arguments)])


def test_the_answer_as_json(folder):
    done = run(folder / "walk-0.extxyz", folder / "walk-1.extxyz", *OPTIONS, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["replicas"] == 2
    diffusivity = found["diffusivity_A2_per_ps"]
    assert diffusivity["low"] < TRUE_DIFFUSIVITY < diffusivity["high"]
    assert found["units"]["diffusivity_A2_per_ps"] == "Å²/ps"
    for name in ("tracer_conductivity_mS_per_cm", "collective_conductivity_mS_per_cm", "haven_ratio"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_the_answer_as_a_table(folder):
    done = run(folder / "walk-0.extxyz", *OPTIONS)
    assert done.exit_code == 0, done.output
    for word in ("6 Li at 800 K", "diffusivity", "collective conductivity", "Haven ratio", "mS/cm", "Fitted from"):
        assert word in done.output


def test_little_motion_is_warned_of(folder):
    done = run(folder / "walk-0.extxyz", *OPTIONS, "--species", "S", "--drift", "none")
    assert done.exit_code == 0
    assert "Warning" in done.output


def test_equilibration_is_left_out(folder):
    done = run(folder / "walk-0.extxyz", *OPTIONS, "--equilibration-ps", "5", "--json")
    assert json.loads(done.stdout)["length_ps"] == pytest.approx(299 * 0.05 - 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--temperature-K", "800"), "time between its frames"),
        ((*OPTIONS, "--species", "Na"), "has no Na"),
        ((*OPTIONS, "--equilibration-ps", "50"), "leaves nothing"),
        (("--temperature-K", "-5", "--timestep-fs", "50"), "above 0 K"),
    ],
)
def test_what_is_missing_is_said(folder, arguments, message):
    done = run(folder / "walk-0.extxyz", *arguments)
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)


def test_several_mobile_species_carry_current_together(tmp_path):
    random = np.random.default_rng(4)
    walks = [np.cumsum(random.normal(0, size, (300, 6, 3)), axis=0) for size in (0.4, 0.2)]
    lattice = random.uniform(0, 10, (1, 4, 3)) + random.normal(0, 0.05, (300, 4, 3))
    positions = np.concatenate([*walks, lattice], axis=1)
    write(tmp_path / "two.extxyz", [Atoms("Li6Mg6S4", positions=one, cell=[10] * 3, pbc=True) for one in positions])
    both, each = (
        json.loads(run(tmp_path / "two.extxyz", *OPTIONS, "--framework", "S", "--json", "--species", *names).stdout)
        for names in (["Li,Mg", "--charge", "1", "--charge", "2"], ["Li"])
    )
    of = {name: one["value"] for name, one in both["diffusivity_by_species_A2_per_ps"].items()}
    assert of["Li"] == pytest.approx(each["diffusivity_A2_per_ps"]["value"], rel=0.1)
    # Σ N q² D: a weight of 1 for Li and of 4 for Mg.
    expected = each["tracer_conductivity_mS_per_cm"]["value"] * (1 + 4 * of["Mg"] / of["Li"])
    assert both["tracer_conductivity_mS_per_cm"]["value"] == pytest.approx(expected, rel=0.1)
    assert both["species"] == "Li, Mg"
    assert both["ions"] == 12


def test_what_the_options_of_files_say_is_checked(folder):
    file = folder / "walk-0.extxyz"
    for arguments, message in (
        ((file, file, *OPTIONS), "is the same file as"),
        ((file, *OPTIONS, "--cell", "9 9 9"), "leave --cell out"),
        ((file, *OPTIONS, "--cell", "9 9"), "is no cell"),
        ((file, *OPTIONS, "--format", "extxy"), "did you mean extxyz"),
        ((file, *OPTIONS, "--framework", "P"), "has no P"),
        ((file, *OPTIONS, "--species", "Li,S", "--charge", "1"), "for 2 mobile species"),
    ):
        done = run(*arguments)
        assert isinstance(done.exception, InputError)
        assert message in str(done.exception)


def test_one_time_between_frames_is_not_that_of_files_written_at_other_intervals(folder, tmp_path):
    for name, seed, every in (("all", 0, 1), ("half", 1, 2)):
        frames = read(folder / f"walk-{seed}.extxyz", index=f"::{every}")
        for index, atoms in enumerate(frames):
            atoms.info["step"] = 50 * every * index
        write(tmp_path / f"{name}.extxyz", frames)
    done = run(tmp_path / "all.extxyz", tmp_path / "half.extxyz", *OPTIONS)
    assert isinstance(done.exception, InputError)
    assert "counts 50 from frame to frame" in str(done.exception)
