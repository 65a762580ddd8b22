"""Trajectories as other codes, kills and restarts leave them: read right, or refused with the place in the file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.units import fs
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.analysis.trajectories.frames import StreamsInFile
from ionloop.analysis.trajectories.given_cells import cell_of, given_cells
from ionloop.analysis.trajectories.reading import Trajectory, read_trajectory
from ionloop.core.errors import InputError

LENGTH_A = 10.0
SYMBOLS = ("Li", "Li", "S", "S")
FRAMES = 8
INTERVAL_FS = 100.0
TEXT_TOLERANCE_A = 1e-5
POSITIONS = np.cumsum(np.random.default_rng(3).normal(0, 0.2, (FRAMES, 4, 3)), axis=0) + 5.0
BOHR = 0.529177210903


def lammps(positions=POSITIONS, *, steps=None, cells=None, columns="id type element xu yu zu", header="", times=None):
    cells = np.broadcast_to(np.diag([LENGTH_A] * 3) if cells is None else cells, (len(positions), 3, 3))
    frames = []
    for index, (frame, cell) in enumerate(zip(positions, cells, strict=True)):
        scaled = frame @ np.linalg.inv(cell)
        images = np.floor(scaled)
        inside = (scaled - images) @ cell
        xy = cell[1, 0]
        step = 50 * index if steps is None else steps[index]
        time = "" if times is None else f"ITEM: TIME\n{times[index]:g}\n"
        text = f"{header}{time}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n"
        text += f"ITEM: BOX BOUNDS xy xz yz pp pp pp\n{min(0, xy)} {cell[0, 0] + max(0, xy)} {xy}\n"
        text += f"0 {cell[1, 1]} 0\n0 {cell[2, 2]} 0\nITEM: ATOMS {columns}\n"
        for atom in range(len(frame)):
            values = {"id": atom + 1, "type": 1 + (SYMBOLS[atom] == "S"), "element": SYMBOLS[atom]}
            for axis, name in enumerate("xyz"):
                values |= {f"{name}u": f"{frame[atom, axis]:.7f}", name: f"{inside[atom, axis]:.7f}"}
                values[f"i{name}"] = int(images[atom, axis])
            text += " ".join(str(values[name]) for name in columns.split()) + "\n"
        frames.append(text)
    return frames


def gpumd(positions=POSITIONS, indices=None):
    box = f"{LENGTH_A} 0 0 0 {LENGTH_A} 0 0 0 {LENGTH_A}"
    head = f'pbc="T T T" Lattice="{box}" Properties=species:S:1:pos:R:3:unwrapped_position:R:3'
    frames = []
    for index in range(len(positions)) if indices is None else indices:
        rows = np.hstack([positions[index] % LENGTH_A, positions[index]])
        atoms = "".join(
            f"{s} " + " ".join(f"{x:.7f}" for x in row) + "\n" for s, row in zip(SYMBOLS, rows, strict=True)
        )
        frames.append(f"{len(rows)}\nTime={index * INTERVAL_FS:.8f} {head}\n{atoms}")
    return frames


def plain_xyz(comment, positions=POSITIONS, symbols=SYMBOLS):
    return [
        f"{len(frame)}\n{comment.format(step=50 * index, time=INTERVAL_FS * index)}\n"
        + "".join(f"{s} {x:.7f} {y:.7f} {z:.7f}\n" for s, (x, y, z) in zip(symbols, frame, strict=True))
        for index, frame in enumerate(positions)
    ]


def cp2k(positions=POSITIONS):
    return plain_xyz(" i = {step:8d}, time = {time:12.3f}, E = -123.45", positions)


def xdatcar(positions=POSITIONS, *, every_header=False, first=1):
    head = f"Li2 S2\n 1.0\n {LENGTH_A} 0 0\n 0 {LENGTH_A} 0\n 0 0 {LENGTH_A}\n Li S\n 2 2\n"
    return [
        (head if every_header or index == 0 else "")
        + f"Direct configuration={index + first:6d}\n"
        + "".join(f"  {x:11.8f} {y:11.8f} {z:11.8f}\n" for x, y, z in frame / LENGTH_A % 1.0)
        for index, frame in enumerate(positions)
    ]


def read(path: Path, text: str, **given) -> Trajectory:
    path.write_bytes(text.encode())
    options = {"cell_A": cell_of("10 10 10")} if "cp2k" in path.name else {}
    interval = given.pop("interval_fs", None if path.name[:5] in {"gpumd", "cp2k."} else INTERVAL_FS)
    return read_trajectory(path, interval, **options | given)


def assert_same(found: Trajectory, positions=POSITIONS) -> None:
    moved, truth = found.positions_A - found.positions_A[0], positions - positions[0]
    assert found.n_frames == len(truth)
    np.testing.assert_allclose(moved, truth, atol=TEXT_TOLERANCE_A)


KINDS = {
    "run.dump": lammps(),
    "gpumd.xyz": gpumd(),
    "cp2k.xyz": cp2k(),
    "XDATCAR": xdatcar(),
    "XDATCAR-npt": xdatcar(every_header=True),
}


@pytest.mark.parametrize("name", KINDS)
def test_whole_files(tmp_path, name):
    found = read(tmp_path / name, "".join(KINDS[name]))
    assert found.frame_interval_fs == INTERVAL_FS
    assert found.symbols == SYMBOLS
    assert not found.notes
    assert_same(found)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_file_that_was_cut_anywhere_keeps_its_whole_frames(tmp_path_factory, name, data):
    text = "".join(KINDS[name])
    cut = data.draw(st.integers(0, len(text)))
    whole = int(np.searchsorted(np.cumsum([len(frame) for frame in KINDS[name]]), cut, side="right"))
    path = tmp_path_factory.mktemp("cut") / name
    if whole < 2:
        with pytest.raises(InputError) as caught:
            read(path, text[:cut])
        assert "invalid literal" not in str(caught.value)
    else:
        assert_same(read(path, text[:cut]), POSITIONS[:whole])


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_a_restart_writes_again_replaces_what_was_there(tmp_path_factory, name, data):
    frames = KINDS[name]
    cut = data.draw(st.integers(len("".join(frames[:3])), len("".join(frames))))
    whole = int(np.searchsorted(np.cumsum([len(frame) for frame in frames]), cut, side="right"))
    back = data.draw(st.integers(1, min(whole, FRAMES - 1)))
    head = frames[0][: frames[0].index("Direct")] if name == "XDATCAR" else ""
    text = "".join(frames)[:cut] + head + "".join(frames[back:])
    assert_same(read(tmp_path_factory.mktemp("restart") / name, text))


def test_a_counter_that_begins_again_is_followed_where_atoms_go_on(tmp_path):
    joined = "".join(xdatcar(POSITIONS[:4])) + "".join(xdatcar(POSITIONS[4:]))
    found = read(tmp_path / "XDATCAR", joined)
    assert_same(found)
    assert "begins again" in found.notes[0]
    other = POSITIONS + np.random.default_rng(1).uniform(-4, 4, POSITIONS.shape[1:])
    with pytest.raises(InputError, match="another run begins there"):
        read(tmp_path / "XDATCAR", "".join(xdatcar()) + "".join(xdatcar(other)))


def test_gaps_are_refused_and_odd_first_frames_dropped(tmp_path):
    gap = [*range(3), *range(5, FRAMES)]
    for name, text in (
        ("gpumd.xyz", "".join(gpumd(indices=gap))),
        ("run.dump", "".join(np.array(lammps())[gap])),
        ("cp2k.xyz", "".join(np.array(cp2k())[gap])),
        ("XDATCAR", "".join(np.array(xdatcar())[gap])),
    ):
        with pytest.raises(InputError, match=r"not equally spaced.*frame 3 \(line"):
            read(tmp_path / name, text)
    changed = [0, 50, 100, 150, 250, 350, 450, 550]
    with pytest.raises(InputError, match=r"50 steps apart up to step 150 \(frame 4.*100 steps from there on"):
        read(tmp_path / "run.dump", "".join(lammps(steps=changed)))
    found = read(tmp_path / "run.dump", "".join(lammps(steps=[0, *range(100000, 100350, 50)])))
    assert_same(found, POSITIONS[1:])
    assert "first 1 frames are dropped" in found.notes[0]


@pytest.mark.parametrize("columns", ["id element xu yu zu", "id element x y z ix iy iz", "id element x y z"])
def test_a_box_that_flips_its_tilt_is_followed(tmp_path, columns):
    cells = np.array([[[10.0, 0, 0], [-5.0 if t < 4 else 5.0, 9, 0], [0, 0, 11]] for t in range(FRAMES)])
    found = read(tmp_path / "run.dump", "".join(lammps(cells=cells, columns=columns)))
    assert_same(found)
    assert "flip" in found.notes[0]
    np.testing.assert_allclose(found.cell_A, cells[0])


def test_a_cell_that_cannot_be_followed_is_refused(tmp_path):
    cells = np.array([np.diag([10.0 if t < 4 else 20.0, 10, 10]) for t in range(FRAMES)])
    with pytest.raises(InputError, match=r"between frame 4 .* the cell changes too much"):
        read(tmp_path / "run.dump", "".join(lammps(cells=cells)))


def test_image_flags_that_a_restart_lost_are_restored(tmp_path):
    positions = POSITIONS.copy()
    positions[4:] += LENGTH_A * np.array([[1, 0, 0], [0, -1, 0], [2, 0, 0], [0, 0, 1]])
    found = read(tmp_path / "run.dump", "".join(lammps(positions)))
    assert_same(found)
    assert "image flags" in found.notes[0]


def test_units_and_times_of_dumps_are_obeyed(tmp_path):
    times = INTERVAL_FS * np.arange(FRAMES)
    electron = lammps(
        POSITIONS / BOHR, cells=np.eye(3) * LENGTH_A / BOHR, header="ITEM: UNITS\nelectron\n", times=times
    )
    found = read(tmp_path / "run.dump", "".join(electron), interval_fs=None)
    assert found.frame_interval_fs == pytest.approx(INTERVAL_FS)
    assert found.volume_A3 == pytest.approx(LENGTH_A**3)
    assert_same(found)
    # LAMMPS writes the units once, before the first frame.
    metal = "ITEM: UNITS\nmetal\n" + "".join(lammps(times=times / 1000))
    assert read(tmp_path / "run.dump", metal, interval_fs=None).frame_interval_fs == pytest.approx(INTERVAL_FS)
    with pytest.raises(InputError, match="100 fs apart, not 2 fs"):
        read(tmp_path / "run.dump", metal, interval_fs=2.0)
    with pytest.raises(InputError, match="reduced units"):
        read(tmp_path / "run.dump", "ITEM: UNITS\nlj\n" + "".join(lammps()))
    unknown = "".join(lammps(times=times / 1000))
    with pytest.raises(InputError, match="timestep-fs 100 if it is ps"):
        read(tmp_path / "run.dump", unknown, interval_fs=None)
    assert read(tmp_path / "run.dump", unknown).frame_interval_fs == INTERVAL_FS


def zstd(text: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(text)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_compressed_files_are_read_as_others(tmp_path, pack):
    text = "".join(lammps(columns="id type x y z ix iy iz")).encode()
    path = tmp_path / "run.dump.packed"
    path.write_bytes(pack(text))
    assert_same(read_trajectory(path, INTERVAL_FS, lammps_types=("Li", "S")))
    path.write_bytes(pack(text)[:-20])
    try:
        said = read_trajectory(path, INTERVAL_FS, lammps_types=("Li", "S")).notes[-1]
    except InputError as error:
        said = str(error)
    assert "data end early" in said
    write(tmp_path / "a.traj", [Atoms(SYMBOLS, positions=one, cell=[LENGTH_A] * 3, pbc=True) for one in POSITIONS])
    (tmp_path / "b.traj.packed").write_bytes(pack((tmp_path / "a.traj").read_bytes()))
    assert_same(read_trajectory(tmp_path / "b.traj.packed", INTERVAL_FS))


def test_streams_behind_each_other_are_one_file(tmp_path):
    """What zstd's files go through, with another compressor of Python's own, as zstandard need not be there."""
    path, content = tmp_path / "packed", bytes(range(256)) * 2000
    path.write_bytes(2 * bz2.compress(content))
    with StreamsInFile(path, bz2.BZ2Decompressor, OSError) as whole:
        assert whole.read() == 2 * content
    path.write_bytes(bz2.compress(content)[:-1])
    with StreamsInFile(path, bz2.BZ2Decompressor, OSError) as cut, pytest.raises(EOFError, match="early"):
        cut.read()
    path.write_bytes(b"BZh9" + bytes(100))
    with StreamsInFile(path, bz2.BZ2Decompressor, OSError) as damaged, pytest.raises(EOFError, match="damaged"):
        damaged.read()


def test_zstd_without_a_library_is_refused_with_what_to_do(tmp_path, monkeypatch):
    for name in ("compression", "compression.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "run.dump.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    with pytest.raises(InputError, match="unzstd it, or install the package zstandard"):
        read_trajectory(path, INTERVAL_FS)


def test_symbols_come_from_the_types_that_are_given(tmp_path):
    carbon = re.sub(r"(?m)^(\d \d) \w+", r"\1 C", "".join(lammps()))
    with pytest.raises(InputError, match="says C for all 2 types"):
        read(tmp_path / "run.dump", carbon)
    found = read(tmp_path / "run.dump", carbon, lammps_types=("Li", "S"))
    assert found.symbols == SYMBOLS
    assert "the file says C" in found.notes[0]
    numeric = "".join(plain_xyz("Atoms. Timestep: {step}", symbols=(1, 1, 2, 2)))
    with pytest.raises(InputError, match="in place of symbols"):
        read(tmp_path / "run.xyz", numeric, cell_A=cell_of("10 10 10"))
    with pytest.raises(InputError, match="no cell"):
        read(tmp_path / "run.xyz", numeric, lammps_types=("Li", "S"))
    of_gpumd = "".join(plain_xyz("{step}", symbols=(0, 0, 1, 1)))
    for text in (numeric, of_gpumd):
        found = read(tmp_path / "run.xyz", text, lammps_types=("Li", "S"), cell_A=cell_of("10 10 10 90 90 90"))
        assert found.symbols == SYMBOLS
        assert_same(found)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2 1 Li", "9 1 Li", "misses the atoms 2 and has the new atoms 9"),
        ("2 1 Li", "3 1 Li", "atom 3 more than once"),
        ("2 1 Li", "2 2 Li", "atom 2 has type '2', in the first frame '1'"),
        ("2 1 Li", "2 1 S", "atom 2 has element 'S'"),
        ("2 1 Li ", "2 1 Li nan ", r"no finite number|instead of"),
        ("2 1 Li ", "2 1 Li **** ", "instead of"),
    ],
)
def test_frames_that_contradict_the_first_are_refused_by_their_place(tmp_path, old, new, message):
    frames = lammps()
    frames[4] = frames[4].replace(old, new)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / "run.dump", "".join(frames))
    assert re.search(r"run\.dump: .*frame 5 \(line \d+\)", str(caught.value))


def test_cells_and_formats_that_are_given(tmp_path):
    np.testing.assert_allclose(cell_of("1, 2, 3"), np.diag([1, 2, 3]))
    np.testing.assert_allclose(cell_of("1 0 0 0 2 0 0.5 0 3"), [[1, 0, 0], [0, 2, 0], [0.5, 0, 3]])
    for text in ("1 2", "a b c", "1 2 -3", "1 0 0 2 0 0 0 0 1", "5 5 5 10 10 170"):
        with pytest.raises(InputError, match="is no cell"):
            cell_of(text)
    with pytest.raises(InputError, match="not that of --cell"):
        read(tmp_path / "run.dump", "".join(lammps()), cell_A=cell_of("9 10 10"))
    with pytest.raises(InputError, match="did you mean lammps-dump"):
        read(tmp_path / "run.dump", "".join(lammps()), file_format="lamps-dump")
    assert_same(read(tmp_path / "odd.name", "".join(cp2k()), file_format="xyz", cell_A=cell_of("10 10 10")))


TIMES = {
    "time_fs": 1.0,
    "time_ps": 1e-3,
    "time": 1.0,
    "time ": fs,  # ASE's own unit
}


@pytest.mark.parametrize("kind", ["md.traj", "md.xyz"])
@pytest.mark.parametrize("key", TIMES)
def test_times_and_steps_beside_structures_of_ase_are_obeyed(tmp_path, kind, key):
    frames = [Atoms(SYMBOLS, positions=one, cell=[LENGTH_A] * 3, pbc=True) for one in POSITIONS]
    for index, atoms in enumerate(frames):
        atoms.info = {key.strip(): TIMES[key] * INTERVAL_FS * index, "step": 50 * index}
    path = tmp_path / kind
    write(path, frames)
    assert_same(read_trajectory(path, INTERVAL_FS))
    with pytest.raises(InputError, match="not 2 fs"):
        read_trajectory(path, 2.0)
    if key in {"time_fs", "time_ps"}:
        assert read_trajectory(path).frame_interval_fs == pytest.approx(INTERVAL_FS)
    write(path, frames[:3] + frames[5:])
    with pytest.raises(InputError, match="between step 100 and step 250"):
        read_trajectory(path, INTERVAL_FS)


def test_the_step_of_the_integrator_is_not_the_time_between_frames(tmp_path):
    with pytest.raises(InputError, match=r"every 50 steps: 2 fs between frames make a time step of 0\.04 fs"):
        read(tmp_path / "run.dump", "".join(lammps()), interval_fs=2.0)
    lattice = f'Lattice="{LENGTH_A} 0 0 0 {LENGTH_A} 0 0 0 {LENGTH_A}" Properties=species:S:1:pos:R:3'
    with pytest.raises(InputError, match="every 50 steps"):
        read(tmp_path / "lammps.xyz", "".join(plain_xyz(f"Timestep={{step}} {lattice}")), interval_fs=2.0)
    united = "".join(plain_xyz(f"time={{time}}fs {lattice}"))
    assert read(tmp_path / "united.xyz", united, interval_fs=None).frame_interval_fs == INTERVAL_FS


def test_the_units_of_ipi_are_obeyed_and_must_be_said(tmp_path):
    def written(unit, length, what="positions"):
        cell = " ".join(f"{LENGTH_A / length:.8f}" for _ in range(3))
        said = f" {what}{{{{{unit}}}}}  cell{{{{{unit}}}}}" if unit else ""
        comment = f"# CELL(abcABC): {cell} 90 90 90  Step: {{step}}  Bead: 0{said}"
        return "".join(plain_xyz(comment, POSITIONS / length))

    for unit, length in (("angstrom", 1.0), ("atomic_unit", BOHR)):
        found = read(tmp_path / "ipi.xyz", written(unit, length))
        assert_same(found)
        assert found.volume_A3 == pytest.approx(LENGTH_A**3)
    for text, message in (
        (written("", 1.0), "does not say the units"),
        (written("nanometer", 1.0), "in nanometer"),
        (written("angstrom", 1.0, "velocities"), "velocities here"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path / "ipi.xyz", text)


@pytest.mark.parametrize(
    ("cell", "length_A"),
    [
        ('Lattice="{0} {0} {0}"', 1.0),
        ("Lattice=[[{0}, 0, 0], [0, {0}, 0], [0, 0, {0}]]", 1.0),
        ('cell="{0} 0 0 0 {0} 0 0 0 {0}"', 1.0),
        ('Lattice="{0} 0 0 0 {0} 0 0 0 {0}" units=Bohr', BOHR),
        ('Lattice="{0} 0 0 0 {0} 0 0 0 {0}" length_unit=nm', 10.0),
    ],
)
def test_cells_and_units_of_extended_comments_are_obeyed(tmp_path, cell, length_A):
    comment = cell.format(LENGTH_A / length_A) + " Properties=species:S:1:pos:R:3 step={step}"
    found = read(tmp_path / "run.xyz", "".join(plain_xyz(comment, POSITIONS / length_A)))
    assert_same(found)
    assert found.volume_A3 == pytest.approx(LENGTH_A**3)
    assert [f"one is {length_A:g}" in note for note in found.notes] == [True] * (length_A != 1.0)
    with pytest.raises(InputError, match="length_unit=furlong is not understood"):
        read(tmp_path / "run.xyz", "".join(plain_xyz(f"{comment} length_unit=furlong")))


def test_a_hop_where_a_run_was_continued_is_no_other_run(tmp_path):
    random = np.random.default_rng(4)
    positions = 5.0 + np.cumsum(random.normal(0, 0.05, (60, 4, 3)), axis=0)
    for frame, atom in ((10, 0), (30, 1)):  # the second one right where the counter begins again
        positions[frame:, atom, 0] += 3.0
    steps = [*range(0, 1500, 50), *range(0, 1500, 50)]
    found = read(tmp_path / "run.dump", "".join(lammps(positions, steps=steps)))
    assert_same(found, positions)
    assert "begins again" in found.notes[0]


def test_symbols_that_contradict_the_masses_are_refused(tmp_path):
    text = re.sub(r"(?m)^(\d+) 1 ", r"\1 1 6.94 ", "".join(lammps(columns="id type xu yu zu")))
    text = re.sub(r"(?m)^(\d+) 2 ", r"\1 2 32.06 ", text).replace("type xu", "type mass xu")
    assert read(tmp_path / "run.dump", text, lammps_types=["Li", "S"]).symbols == SYMBOLS
    with pytest.raises(InputError, match="has the mass of Li"):
        read(tmp_path / "run.dump", text, lammps_types=["S", "Li"])


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"---\ncreator: LAMMPS\ntimestep: 0\n", "dump yaml"),
        (b"\x54\x00\x00\x00CORD" + bytes(80), "DCD.*convert it to extended XYZ"),
        (b"CDF\x02" + bytes(80), "netCDF.*MDAnalysis"),
        (b"\x89HDF\r\n\x1a\n" + bytes(80), "HDF5"),
        (b"LAMMPS (2 Aug 2023)\nStep Temp\n", "a log of LAMMPS.*dump that the run wrote"),
        (b"PK\x03\x04" + bytes(80), "unpack it"),
        (b"", "is empty"),
    ],
)
def test_files_that_no_reader_knows_are_named(tmp_path, start, message):
    path = tmp_path / "run"
    path.write_bytes(start)
    with pytest.raises(InputError, match=message):
        read_trajectory(path, INTERVAL_FS)


def test_joined_trajectories_of_ase_are_not_read_as_the_first(tmp_path):
    path = tmp_path / "a.traj"
    write(path, [Atoms(SYMBOLS, positions=one, cell=[LENGTH_A] * 3, pbc=True) for one in POSITIONS])
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(InputError, match="ase convert"):
        read_trajectory(path, INTERVAL_FS)


def test_labels_are_elements(tmp_path):
    text = "".join(lammps()).replace("type element", "type typelabel")
    assert read(tmp_path / "run.dump", text).symbols == SYMBOLS
    found = read(tmp_path / "cp2k.xyz", "".join(cp2k()).replace("\nLi ", "\nLi1 ").replace("\nS ", "\nS_a "))
    assert found.symbols == SYMBOLS
    assert "Li1 as Li, S_a as S" in found.notes[0]
    with pytest.raises(InputError, match="'Xx1'"):
        read(tmp_path / "cp2k.xyz", "".join(cp2k()).replace("\nLi ", "\nXx1 "))


def test_times_that_tell_no_interval_are_refused(tmp_path):
    metal = "ITEM: UNITS\nmetal\n"
    rough = metal + "".join(lammps(times=123456.0 + np.round(0.1 * np.arange(FRAMES), 0)))
    with pytest.raises(InputError, match=r"so few digits|does not grow in step"):
        read(tmp_path / "run.dump", rough, interval_fs=None)
    with pytest.raises(InputError, match=r"frame 4 .* has a time that is no finite number"):
        times = [float("nan") if frame == 3 else frame * 0.1 for frame in range(FRAMES)]
        read(tmp_path / "run.dump", metal + "".join(lammps(times=times)), interval_fs=None)


def test_times_of_few_digits_tell_their_mean_interval(tmp_path):
    lattice = f'Lattice="{LENGTH_A} 0 0 0 {LENGTH_A} 0 0 0 {LENGTH_A}" Properties=species:S:1:pos:R:3'
    positions = np.repeat(POSITIONS, 100, axis=0) + np.arange(100 * FRAMES)[:, None, None] * 1e-4
    frames = [
        f"4\n{lattice} Time={100.3 * index:.0f}\n" + one.split("\n", 2)[2]
        for index, one in enumerate(plain_xyz("", positions))
    ]
    found = read(tmp_path / "run.xyz", "".join(frames), interval_fs=None)
    assert found.frame_interval_fs == pytest.approx(100.3, rel=1e-4)
    with pytest.raises(InputError, match=r"not equally spaced.*frame 301 \(line"):
        read(tmp_path / "run.xyz", "".join(frames[:301] + frames[302:]), interval_fs=None)


def test_a_file_without_counter_says_that_no_gap_would_be_seen(tmp_path):
    lattice = f'Lattice="{LENGTH_A} 0 0 0 {LENGTH_A} 0 0 0 {LENGTH_A}" Properties=species:S:1:pos:R:3'
    for comment in (lattice, f"{lattice} step=7"):
        found = read(tmp_path / "bare.xyz", "".join(plain_xyz(comment)))
        assert_same(found)
        assert "no gap would be seen" in found.notes[0]


def test_files_whose_lines_are_not_sorted_are_refused(tmp_path):
    random = np.random.default_rng(2)
    positions = random.uniform(0, LENGTH_A, (12, 3)) + random.normal(0, 0.05, (FRAMES, 12, 3))
    symbols = ("Li",) * 4 + ("S",) * 8

    def written(orders):
        frames = plain_xyz("Atoms. Timestep: {step}", positions, symbols)
        lines = [frame.splitlines(keepends=True) for frame in frames]
        return "".join("".join(one[:2] + [one[2 + k] for k in order]) for one, order in zip(lines, orders, strict=True))

    def within_species():
        return [*random.permutation(4), *(4 + random.permutation(8))]

    given = {"cell_A": cell_of("10 10 10")}
    assert not read(tmp_path / "run.xyz", written([range(12)] * FRAMES), **given).notes
    with pytest.raises(InputError, match=r"exchange their lines.*dump_modify sort id"):
        read(tmp_path / "run.xyz", written([within_species() for _ in range(FRAMES)]), **given)
    swapped = [1, 0, *range(2, 12)]
    found = read(tmp_path / "run.xyz", written([range(12)] * 4 + [swapped] * 4), **given)
    assert "2 Li exchange their places" in found.notes[0]


def test_a_restart_that_counts_from_one_replaces_the_frames_it_writes_again(tmp_path):
    text = "".join(xdatcar(POSITIONS[:6])) + "".join(xdatcar(POSITIONS[4:]))
    found = read(tmp_path / "XDATCAR", text)
    assert_same(found)
    assert "before which frame 7" in found.notes[0]


def test_numbers_of_configurations_that_overflow_are_counted_on(tmp_path):
    frames = xdatcar(first=999_996)
    text = re.sub(r"configuration=\d{7}", "configuration=******", "".join(frames))
    assert "******" in text
    found = read(tmp_path / "XDATCAR", text)
    assert_same(found)
    assert "counted on" in found.notes[0]


def test_cartesian_configurations_are_scaled(tmp_path):
    half = LENGTH_A / 2
    head = f"Li2 S2\n 2.0\n {half} 0 0\n 0 {half} 0\n 0 0 {half}\n Li S\n 2 2\n"
    text = head + "".join(
        f"Cartesian configuration= {index + 1}\n" + "".join(f"{x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in frame / 2)
        for index, frame in enumerate(POSITIONS)
    )
    found = read(tmp_path / "XDATCAR", text)
    assert found.volume_A3 == pytest.approx(LENGTH_A**3)
    assert_same(found)


def test_scaled_positions_that_are_called_angstrom_are_refused(tmp_path):
    inside = POSITIONS / LENGTH_A % 1.0
    for name, text in (("run.dump", lammps(inside, columns="id element x y z")), ("gpumd.xyz", gpumd(inside))):
        with pytest.raises(InputError, match=r"between 0 and 1 Å of a cell of 10\.0 Å"):
            read(tmp_path / name, "".join(text))


@pytest.mark.parametrize("between", ["\n", "Konfig=\n", "Direct configuration=\n"])
def test_configurations_without_numbers_of_early_vasp_5(tmp_path, between):
    text = re.sub(r"Direct configuration= +\d+\n", between, "".join(xdatcar()))
    found = read(tmp_path / "XDATCAR", text)
    assert found.symbols == SYMBOLS
    assert_same(found)
    torn = read(tmp_path / "torn", text[:-40])
    assert torn.n_frames == FRAMES - 1
    assert "not whole" in torn.notes[0]
    with pytest.raises(InputError, match="no symbols: write them in a line above"):
        read(tmp_path / "XDATCAR", text.replace(" Li S\n", ""))


@pytest.mark.parametrize("between", ["\n", "Konfig=      1\n"])
def test_what_vasp_4_leaves_out_is_said(tmp_path, between):
    frames = "".join(re.sub(r"Direct configuration= +\d+\n", between, one) for one in xdatcar()[1:])
    head = "   4   4  10\n  0.2500E+03 0.1E-08 0.1E-08 0.1E-08 0.2E-14\n  0.7000E+03\n CAR \n Li2 S2\n"
    with pytest.raises(InputError, match="VASP 4 wrote neither cell vectors nor elements: put seven lines"):
        read(tmp_path / "XDATCAR", head + frames)
    mended = xdatcar()[0].split("Direct")[0] + frames
    assert_same(read(tmp_path / "XDATCAR", mended), POSITIONS[1:])


def test_files_of_vasp_beside_an_xdatcar_say_its_time(tmp_path):
    (tmp_path / "INCAR").write_text("IBRION = 0 # MD\nPOTIM = 2.0; NBLOCK = 10\n")
    text = "".join(xdatcar())
    with pytest.raises(InputError, match=r"POTIM = 2 and NBLOCK = 10, so --timestep-fs 20"):
        read(tmp_path / "XDATCAR", text, interval_fs=None)
    assert not read(tmp_path / "XDATCAR", text, interval_fs=20.0).notes
    assert "--timestep-fs is 2, but" in read(tmp_path / "XDATCAR", text, interval_fs=2.0).notes[0]


def test_cells_in_a_file_of_their_own(tmp_path):
    cells = LENGTH_A * (1 + 0.01 * np.sin(np.arange(FRAMES)))[:, None, None] * np.eye(3)
    scaled = POSITIONS / LENGTH_A
    text = "".join(cp2k(scaled @ cells))
    head = "#   Step   Time [fs]  Ax [Angstrom] ...  Volume [Angstrom^3]\n"
    rows = [f"{50 * k} {INTERVAL_FS * k} {' '.join(map(str, cells[k].ravel()))} 1000\n" for k in range(FRAMES)]
    beside = tmp_path / "x-1.cell"
    # A restart wrote the last two again.
    beside.write_text(head + "".join(rows) + head + "".join(rows[-2:]))
    with pytest.raises(InputError, match=r"has no cell.*beside it lies .*x-1\.cell"):
        read_trajectory(_written(tmp_path / "x-pos-1.xyz", text))
    found = read_trajectory(tmp_path / "x-pos-1.xyz", cell_A=given_cells(str(beside)))
    assert_same(found, scaled @ cells.mean(axis=0))
    beside.write_text(head + "".join(rows[:-2]))
    with pytest.raises(InputError, match="no cell for step 300"):
        read_trajectory(tmp_path / "x-pos-1.xyz", cell_A=given_cells(str(beside)))
    beside.write_text(head + rows[0] + "50 garbage\n" + rows[1])
    with pytest.raises(InputError, match=r"x-1\.cell: line 3 is not step"):
        given_cells(str(beside))
    write(tmp_path / "POSCAR", Atoms("Li", cell=[LENGTH_A] * 3, pbc=True))
    assert_same(
        read(tmp_path / "plain.xyz", "".join(cp2k()), interval_fs=None, cell_A=given_cells(str(tmp_path / "POSCAR")))
    )


def test_another_run_behind_a_counter_that_goes_on_is_said(tmp_path):
    random = np.random.default_rng(7)
    positions = 5.0 + np.cumsum(random.normal(0, 0.05, (40, 4, 3)), axis=0)
    assert not read(tmp_path / "run.dump", "".join(lammps(positions))).notes
    positions[20:] += random.uniform(-3, 3, (4, 3))
    assert "before frame 21" in read(tmp_path / "run.dump", "".join(lammps(positions))).notes[0]


def _written(path, text):
    path.write_text(text)
    return path
