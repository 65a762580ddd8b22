from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from ionloop.analysis.trajectories.frames import RawFrame, TrajectoryReadError
from ionloop.analysis.trajectories.framework import drift, frame_of_reference
from ionloop.analysis.trajectories.reading import Trajectory, from_frames, read_trajectory
from ionloop.analysis.trajectories.replicas import check_replicas
from ionloop.analysis.trajectories.unwrapping import unwrap
from ionloop.core.errors import InputError
from ionloop.sampling.molecular_dynamics import run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings

TOLERANCE_A = 1e-9
TEXT_TOLERANCE_A = 1e-5
CELL = np.array([[6.0, 0.0, 0.0], [-1.5, 7.0, 0.0], [0.8, -1.1, 8.0]])
SYMBOLS = ("Li", "Li", "S")
FRAMES = 120


@pytest.fixture
def truth() -> np.ndarray:
    """Walks that leave the cell, shape [n_frames, 3, 3]."""
    steps = np.random.default_rng(1).uniform(-1.2, 1.2, (FRAMES, 3, 3))
    return np.cumsum(steps, axis=0) + 3.0


def wrapped(positions: np.ndarray, cell: np.ndarray = CELL) -> np.ndarray:
    return ((positions @ np.linalg.inv(cell)) % 1.0) @ cell


def as_atoms(positions: np.ndarray) -> list[Atoms]:
    return [Atoms(SYMBOLS, positions=frame, cell=CELL, pbc=True) for frame in positions]


def from_start(positions: np.ndarray) -> np.ndarray:
    return positions - positions[0]


def dump(path: Path, columns: str, rows, cell: np.ndarray = CELL, origin=(0.5, -1.0, 2.0), every: int = 10) -> Path:
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
    low = np.array(origin)
    bounds = [
        (low[0] + min(0, xy, xz, xy + xz), low[0] + lx + max(0, xy, xz, xy + xz), xy),
        (low[1] + min(0, yz), low[1] + ly + max(0, yz), xz),
        (low[2], low[2] + lz, yz),
    ]
    with path.open("w") as stream:
        for index, frame in enumerate(rows):
            stream.write(f"ITEM: TIMESTEP\n{every * index}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n")
            stream.write("ITEM: BOX BOUNDS xy xz yz pp pp pp\n")
            stream.writelines(" ".join(f"{value:.10f}" for value in line) + "\n" for line in bounds)
            stream.write(f"ITEM: ATOMS {columns}\n")
            stream.writelines(" ".join(str(word) for word in row) + "\n" for row in frame)
    return path


def dump_rows(positions: np.ndarray, order=(2, 0, 1)):
    """Rows with id and element, atoms in another order than that of their identifiers."""
    for frame in positions:
        yield [(atom + 1, SYMBOLS[atom], *(f"{x:.8f}" for x in frame[atom])) for atom in order]


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_wrapped_files_are_unwrapped(tmp_path, truth, suffix):
    path = tmp_path / f"run.{suffix}"
    write(path, as_atoms(wrapped(truth)))
    found = read_trajectory(path, 50.0)
    assert found.symbols == SYMBOLS
    assert found.length_ps == pytest.approx((FRAMES - 1) * 0.05)
    np.testing.assert_allclose(from_start(found.positions_A), from_start(truth), atol=1e-6)


def test_files_that_are_unwrapped_already_stay_as_they_are(tmp_path, truth):
    path = tmp_path / "run.traj"
    write(path, as_atoms(truth))
    np.testing.assert_array_equal(read_trajectory(path, 50.0).positions_A, truth)


def test_unwrapped_columns_of_lammps(tmp_path, truth):
    # Frames so far apart that no minimum image could help.
    far = truth[::20]
    path = dump(tmp_path / "run.lammpstrj", "id element xu yu zu", dump_rows(far))
    found = read_trajectory(path, 1000.0)
    assert found.symbols == SYMBOLS
    np.testing.assert_allclose(found.cell_A, CELL, atol=1e-9)
    np.testing.assert_allclose(from_start(found.positions_A), from_start(far), atol=TEXT_TOLERANCE_A)


def test_image_flags_of_lammps(tmp_path, truth):
    far, low = truth[::20], np.array([0.5, -1.0, 2.0])
    scaled = (far - low) @ np.linalg.inv(CELL)
    images = np.floor(scaled).astype(int)
    inside = (scaled - images) @ CELL + low
    rows = [
        [(a + 1, 1 + (SYMBOLS[a] == "S"), *(f"{x:.8f}" for x in inside[t, a]), *images[t, a]) for a in (1, 2, 0)]
        for t in range(len(far))
    ]
    path = dump(tmp_path / "run.dump", "id type x y z ix iy iz", rows)
    found = read_trajectory(path, 1000.0, lammps_types=("Li", "S"))
    assert found.symbols == SYMBOLS
    np.testing.assert_allclose(from_start(found.positions_A), from_start(far), atol=TEXT_TOLERANCE_A)


@pytest.mark.parametrize("columns", ["id element x y z", "id element xs ys zs"])
def test_wrapped_columns_of_lammps(tmp_path, truth, columns):
    positions = wrapped(truth)
    if "xs" in columns:
        positions = positions @ np.linalg.inv(CELL)
    path = dump(tmp_path / "run.dump", columns, dump_rows(positions))
    np.testing.assert_allclose(
        from_start(read_trajectory(path, 10.0).positions_A), from_start(truth), atol=TEXT_TOLERANCE_A
    )


def test_a_dump_that_was_cut_off_keeps_its_whole_frames(tmp_path, truth):
    path = dump(tmp_path / "run.dump", "id element xu yu zu", dump_rows(truth[:10]))
    path.write_text(path.read_text()[:-30])
    assert read_trajectory(path, 1.0).n_frames == 9


def test_dumps_that_say_too_little_are_refused(tmp_path, truth):
    rows = [[(atom + 1, 1, *frame[atom]) for atom in range(3)] for frame in truth[:3]]
    with pytest.raises(InputError, match="which element"):
        read_trajectory(dump(tmp_path / "a", "id type xu yu zu", rows), 1.0)
    with pytest.raises(InputError, match="no column id"):
        read_trajectory(dump(tmp_path / "b", "mol type xu yu zu", rows), 1.0, lammps_types=("Li",))
    with pytest.raises(InputError, match="no positions"):
        read_trajectory(dump(tmp_path / "c", "id type vx vy vz", rows), 1.0, lammps_types=("Li",))


def test_our_own_trajectories_know_their_time_and_are_unwrapped(tmp_path):
    path = tmp_path / "run.traj"
    settings = MolecularDynamicsSettings(temperature_K=300, timestep_fs=2.0, steps=10, write_every=5)
    run_langevin(bulk("Cu", cubic=True), EMT(), settings, path, seed=1)
    found = read_trajectory(path)
    assert found.frame_interval_fs == pytest.approx(10.0)
    assert read_trajectory(path, 10.0, every=2).n_frames == 2
    with pytest.raises(TrajectoryReadError, match="10 fs apart, not 2 fs"):
        read_trajectory(path, 2.0)


def test_a_breathing_cell_moves_no_atom(truth):
    scaled = truth @ np.linalg.inv(CELL)
    scales = 1.0 + 0.02 * np.sin(np.arange(FRAMES))
    cells = scales[:, None, None] * CELL
    frames = [RawFrame(SYMBOLS, (s % 1.0) @ cell, cell, None, False) for s, cell in zip(scaled, cells, strict=True)]
    found = from_frames(frames, 10.0)
    np.testing.assert_allclose(found.cell_A, cells.mean(axis=0))
    np.testing.assert_allclose(from_start(found.positions_A), from_start(scaled @ cells.mean(axis=0)), atol=TOLERANCE_A)


def test_steps_near_half_the_cell_are_refused_and_large_ones_noted():
    cells = np.broadcast_to(np.eye(3) * 10.0, (3, 3, 3))
    guess = np.array([0.0, 5.3, 0.6])[:, None, None] * np.array([1.0, 0.0, 0.0])
    with pytest.raises(TrajectoryReadError, match="more often"):
        unwrap(guess, cells)
    jump = np.array([1.0, 7.0, 1.0])[:, None, None] * np.array([1.0, 0.0, 0.0])
    frames = [RawFrame(("Li",), position, np.eye(3) * 10.0, None, False) for position in jump]
    assert "minimum image" in from_frames(frames, 1.0).notes[-1]
    assert "no gap would be seen" in " ".join(from_frames(frames, 1.0, "unwrapped").notes)


def test_other_atoms_times_and_cells_are_refused(tmp_path, truth):
    frames = [RawFrame(SYMBOLS, position, CELL, None, False) for position in truth[:4]]
    with pytest.raises(TrajectoryReadError, match="give it"):
        from_frames(frames)
    with pytest.raises(TrajectoryReadError, match="other atoms"):
        from_frames([*frames, frames[0]._replace(symbols=("S", "Li", "Li"))], 1.0)
    with pytest.raises(TrajectoryReadError, match="no cell"):
        from_frames([frame._replace(cell_A=np.zeros((3, 3))) for frame in frames], 1.0)
    uneven = [frame._replace(time_fs=float(t)) for frame, t in zip(frames, (0, 1, 2, 5), strict=True)]
    with pytest.raises(TrajectoryReadError, match="equally spaced"):
        from_frames(uneven)
    with pytest.raises(TrajectoryReadError, match="1 frame;"):
        from_frames(frames[:1], 1.0)
    garbage = tmp_path / "garbage.xyz"
    garbage.write_text("this is not a trajectory\n")
    with pytest.raises(TrajectoryReadError, match="cannot be read"):
        read_trajectory(garbage, 1.0)
    with pytest.raises(TrajectoryReadError, match="there is no file"):
        read_trajectory(tmp_path / "none.traj", 1.0)


def test_drift_is_that_of_the_framework_or_of_all(truth):
    frames = [RawFrame(SYMBOLS, position, CELL, None, True) for position in truth]
    trajectory = from_frames(frames, 1.0)
    np.testing.assert_allclose(drift(trajectory, ["Li"]), from_start(truth[:, 2]), atol=TOLERANCE_A)
    masses = Atoms(SYMBOLS).get_masses()
    centre = np.einsum("n,tnc->tc", masses, truth) / masses.sum()
    np.testing.assert_allclose(drift(trajectory, ["Li"], "all"), from_start(centre), atol=TOLERANCE_A)
    assert not drift(trajectory, ["Li"], "none").any()
    assert not drift(trajectory, ["Li", "S"]).any()


def test_framework_that_diffuses_holds_no_frame_of_reference():
    random = np.random.default_rng(5)
    lattice = random.uniform(0, 10, (8, 3)) + random.normal(0, 0.1, (400, 8, 3))
    fast = np.cumsum(random.normal(0, 0.4, (400, 6, 3)), axis=0)
    slide = np.linspace(0, 3, 400)[:, None, None]

    def reference(symbols, positions, mobile, **named):
        trajectory = Trajectory(symbols, positions + slide, 10 * np.eye(3), 100.0)
        return frame_of_reference([trajectory], mobile, **named)

    solid = ("Li",) * 6 + ("S",) * 8
    found = reference(solid, np.concatenate([fast, lattice], axis=1), ["Li"])
    assert found.species == ("S",)
    assert not found.notes
    np.testing.assert_allclose(found.drift_A[0][-1], 3.0, atol=0.3)
    # Asked for S, Li must not hold the frame.
    turned = reference(solid, np.concatenate([fast, lattice], axis=1), ["S"])
    assert turned.species == ("S",)
    assert "cannot be the frame of reference" in turned.notes[0]
    melt = reference(("Li",) * 3 + ("S",) * 3, fast, ["Li"])
    assert melt.species == ()
    assert "no framework" in melt.notes[0]
    assert "all atoms are mobile" in reference(("Li",) * 6, fast, ["Li"]).notes[0]
    three = ("Li",) * 3 + ("Na",) * 3 + ("S",) * 8
    beside = reference(three, np.concatenate([fast, lattice], axis=1), ["Li"])
    assert beside.species == ("S",)
    assert "Na" in beside.notes[0]
    named = reference(three, np.concatenate([fast, lattice], axis=1), ["Li"], framework=["Na"])
    assert "diffuses itself" in named.notes[0]
    for framework, message in ((["P"], "has no P"), (["s"], "did you mean S"), (["Li"], "mobile and framework")):
        with pytest.raises(InputError, match=message):
            reference(three, np.concatenate([fast, lattice], axis=1), ["Li"], framework=framework)


def test_a_framework_that_rests_in_part_says_what_it_adds():
    random = np.random.default_rng(7)
    ions = np.cumsum(random.normal(0, 0.4, (400, 14, 3)), axis=0)
    lattice = random.uniform(0, 10, (16, 3)) + random.normal(0, 0.1, (400, 16, 3))
    symbols = ("Li",) * 14 + ("S",) * 16

    def notes():
        positions = np.concatenate([ions, lattice], axis=1)
        one = Trajectory(symbols, positions, 10 * np.eye(3), 100.0)
        # The second replica has its atoms in another order.
        other = Trajectory(symbols[::-1], positions[:, ::-1], 10 * np.eye(3), 100.0)
        return frame_of_reference([one, other], ["Li"]).notes

    assert not notes()
    lattice[:, :4] += np.cumsum(random.normal(0, 0.4, (400, 4, 3)), axis=0)
    (note,) = notes()
    assert "25% of the framework's atoms (S) diffuse" in note


def test_replicas_are_of_one_system_and_not_the_same_run():
    random = np.random.default_rng(6)
    walks = [np.cumsum(random.normal(0, 0.3, (60, 5, 3)), axis=0) for _ in range(2)]

    def one(positions, name, first=0, scale=1.0):
        steps = first + 50.0 * np.arange(len(positions))
        return Trajectory(("Li",) * 5, scale * positions, 9 * scale * np.eye(3), 10.0, (), name, steps)

    whole, other = one(walks[0], "whole"), one(walks[1], "other", scale=1.003)
    assert "volumes" in check_replicas([whole, other], 20)[0]
    refused = [
        (one(walks[0], "copy"), "the same 60 frames"),
        (one(walks[0][:, [3, 0, 4, 1, 2]], "reordered"), "the same 60 frames, of atoms in another order"),
        (one(np.round(walks[0], 2), "rounded"), "the same 60 frames"),
        (one(walks[0] + 2.0, "shifted"), "the same 60 frames, shifted by"),
        (one(walks[0][20:], "tail", 1000), "overlaps with whole from its frame 21 on"),
        (one(walks[0][20:50, [3, 0, 4, 1, 2]], "part"), "from its frame 21 on, of atoms in another order"),
        (one(walks[0][59] + walks[1] - walks[1][0], "next", 50 * 59), "goes on where whole ends"),
        (one(walks[1], "larger", scale=1.1), "volumes reach"),
        (one(walks[1][:10], "short"), "10 frames"),
    ]
    for trajectory, message in refused:
        with pytest.raises(InputError, match=message):
            check_replicas([whole, trajectory], 20)
    again = one(walks[0][59] + walks[1] - walks[1][1], "again")
    assert "begins within a step of where whole ends" in check_replicas([whole, again], 20)[0]


def test_wrapped_positions_that_are_called_unwrapped_are_said():
    random = np.random.default_rng(8)
    cells = 10.0 * np.eye(3)[None]
    path = random.uniform(0, 10, (100, 3)) + np.cumsum(random.normal(0, 0.05, (30, 100, 3)), axis=0)
    assert unwrap(path.copy(), cells, "unwrapped") == (0.0, [])
    notes = unwrap(path % 10.0, cells, "unwrapped")[1]
    assert "seem to be wrapped" in notes[0]
    path[10:, 3, 0] += 7.0  # a long way, but no crossing
    assert unwrap(path.copy(), cells, "unwrapped") == (0.0, [])
