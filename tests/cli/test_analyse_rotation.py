"""`ionloop analyse rotation` on files, and on what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from ase import Atoms
from ase.io import write
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from ionloop.cli.analyse import rotation
from ionloop.core.errors import InputError

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
BOND_A = 1.22


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("rotation")(rotation.rotation)
    return app


@pytest.fixture
def trajectory(tmp_path: Path) -> Path:
    """BH4, wrapped, that turns by 180° once while the lithium beside it hops."""
    random = np.random.default_rng(4)
    frames = []
    for frame in range(200):
        late = frame >= 100
        turn = Rotation.from_rotvec([0, 0, np.pi * late])
        ligands = BOND_A * turn.apply(TETRAHEDRON) + 0.03 * random.normal(size=(4, 3))
        ion = np.array([[0.0, 0.0, 4.5 if late else 2.0]]) + 0.05 * random.normal(size=(1, 3))
        atoms = Atoms("BH4Li", np.concatenate([np.zeros((1, 3)), ligands, ion]), cell=[9.0] * 3, pbc=True)
        atoms.wrap()
        frames.append(atoms)
    write(tmp_path / "frames.xyz", frames, format="extxyz")
    return tmp_path / "frames.xyz"


OPTIONS = ("--centre", "B", "--ligand", "H", "--timestep-fs", "100")


def test_a_rotation_is_found_in_a_file(app: typer.Typer, trajectory: Path) -> None:
    result = CliRunner().invoke(app, [str(trajectory), *OPTIONS])
    assert result.exit_code == 0, result.output
    assert "1 BH4, up to 19.9 ps" in result.output
    assert "exchange ligands only, %" in result.output
    assert "not decayed in" in result.output
    assert "p of all windows together" in result.output


def test_json_has_events_and_units(app: typer.Typer, trajectory: Path) -> None:
    result = CliRunner().invoke(app, [str(trajectory), *OPTIONS, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (event,) = found["events"]
    assert event["time_ps"] == pytest.approx(10.0, abs=0.3)
    assert event["angle_degree"] == pytest.approx(180.0, abs=5.0)
    assert abs(event["axis"][2]) == pytest.approx(1.0, abs=0.05)
    assert event["exchange_only"] is True
    assert (found["hops"], found["whole_fraction"]) == (1, 1.0)
    assert found["units"]["rotations_per_anion_per_ns"] == "1/ns"


def test_without_an_event_a_bound_is_told(app: typer.Typer, trajectory: Path) -> None:
    result = CliRunner().invoke(app, [str(trajectory), *OPTIONS, "--equilibration-ps", "12"])
    assert result.exit_code == 0, result.output
    assert "below" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--timestep-fs", "100"), "has no P; it has B, H, Li"),
        (("--centre", "Q", "--timestep-fs", "100"), "--centre: 'Q' is no chemical symbol"),
        ((*OPTIONS, "--made", "1.9"), "broken_A .* must not be smaller"),
        ((*OPTIONS, "--turned", "20"), "settled_degree .* must not be larger"),
        ((*OPTIONS, "--ligands", "3"), "there is no BH3"),
        ((*OPTIONS, "--equilibration-ps", "30"), "leaves nothing of"),
    ],
)
def test_what_cannot_be_used_is_told(app: typer.Typer, trajectory: Path, options: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, [str(trajectory), *options])
    assert isinstance(result.exception, InputError)
    assert result.exit_code
    with pytest.raises(InputError, match=said):
        raise result.exception
