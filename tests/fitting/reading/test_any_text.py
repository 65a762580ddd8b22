"""Files of any kind: every frame and every weight is used, or the reader says which is not; never a traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.fitting.reading import LabelRequest, read_labels

_REAL = st.floats(-5, 5, allow_nan=False).map(repr)
_CASE = st.sampled_from([str.lower, str.upper, str.title, str])
_ENTRIES = st.sampled_from(
    [
        "energy_sigma=0.01",
        "Force_Sigma=0.1",
        "virial_sigma=1",
        "config_weight=1.0",
        "config_weight=0.5",
        "weight=2",
        "energy-unit=hartree",
        "energy_unit=eV",
        "force_unit=eV/Ang",
        "stress_unit=GPa",
        "config_type=bulk",
        "config_type=isolated_atom",
        'stress="1 2 3"',
        'stress="0.01 0 0 0 0.01 0 0 0 0.01"',
        'virial="1 0 0 0 1 0 0 0 1"',
        "energy=nan",
        "free_energy=-7",
        'note="two words"',
        'note="not closed',
        "flag",
        "=",
        "sigma_force=0.2",
        "Ünicode=é",
    ]
)
_COLUMNS = st.sampled_from(
    ["forces", "Force", "REF_forces", "force_component_sigma", "positions", "velo", "stress", "pos"]
)
_BETWEEN = st.sampled_from(["", "", "", "\n", "  \n\n", "# text\n", "3\n"])


@st.composite
def frames(draw: st.DrawFn) -> str:
    """Return one frame, right or not."""
    n_atoms = draw(st.integers(1, 3))
    names = draw(st.lists(_COLUMNS, max_size=2))
    case = draw(_CASE)
    width = 3 + 3 * len(names) + draw(st.sampled_from([0] * 8 + [1, -1]))
    entries = draw(st.lists(_ENTRIES, max_size=3))
    energy = f"{case('energy')}={draw(_REAL)}" if draw(st.integers(0, 9)) else ""
    lattice = f'{case("lattice")}="9 0 0 0 9 0 0 0 9"' if draw(st.booleans()) else ""
    declared = f"{case('properties')}=species:S:1:pos:R:3{''.join(f':{name}:R:3' for name in names)}"
    rows = [
        " ".join([draw(st.sampled_from(["Li", "S"])), *(draw(_REAL) for _ in range(width))]) for _ in range(n_atoms)
    ]
    stated = n_atoms + draw(st.sampled_from([0] * 12 + [1, -1]))
    return "\n".join([str(stated), " ".join([lattice, declared, energy, *entries]), *rows]) + "\n"


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, int]:
    """Return a file of frames with what may stand between them, perhaps torn, and the number of frames."""
    found = draw(st.lists(frames(), max_size=4))
    text = "".join(draw(_BETWEEN) + frame for frame in found)
    if draw(st.integers(0, 5)) == 0:
        return text[: draw(st.integers(0, len(text)))], -1
    return text, len(found)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts())
def test_every_frame_and_weight_is_used_or_told(path: Path, written: tuple[str, int]) -> None:
    text, count = written
    path.write_text(text, encoding="utf-8")
    try:
        file = read_labels(path, LabelRequest(check_units=False))
    except InputError as error:
        assert str(path) in str(error)
        return
    assert count in (file.n_frames, -1)
    # Each frame is a configuration, repeats one, or is an isolated atom.
    assert sorted((*file.frames, *file.repeated, *file.isolated)) == list(range(file.n_frames))
    if "sigma" in text.lower() and not file.repeated and len(file.isolated) == len(file.data_set.isolated_atoms):
        assert any("weights of the file" in line for line in file.summary)
    assert len(file.summary) <= 10
    assert all(np.isfinite(one.energy) for one in file.data_set)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text("019 .-=\"'{}[]\n\tLatticeProperties:R3Ås", max_size=60))
def test_what_is_no_file_of_labels_is_refused(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_labels(path)
