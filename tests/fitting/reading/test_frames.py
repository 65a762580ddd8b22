"""Every line of a file belongs to a frame, or is told with its number."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
from ase.io import read as ase_read
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.fitting.reading.entries import numbers_of, split_entries
from ionloop.fitting.reading.findings import frame_numbers
from ionloop.fitting.reading.frames import read_frames

ROWS = "Li 0 0 0 0.1 0 0\nLi 1.5 1.5 1.5 -0.1 0 0\n"
COMMENT = 'Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:forces:R:3 energy=-3.8'
FRAME = f"2\n{COMMENT}\n{ROWS}"


def read(path, text: str):
    path.write_bytes(text.encode())
    return read_frames(path).frames


def test_frames_are_those_of_ase(path):
    found = read(path, FRAME + FRAME.replace("Lattice", 'pbc="T F F" Lattice'))
    for ours, theirs in zip(found, ase_read(path, ":"), strict=True):
        assert ours.atoms.get_chemical_symbols() == theirs.get_chemical_symbols()
        np.testing.assert_array_equal(ours.atoms.positions, theirs.positions)
        np.testing.assert_array_equal(ours.atoms.cell.array, theirs.cell.array)
        np.testing.assert_array_equal(ours.atoms.pbc, theirs.pbc)
        np.testing.assert_array_equal(ours.columns["forces"], theirs.get_forces())
    assert [(one.number, one.line) for one in found] == [(0, 1), (1, 5)]


@pytest.mark.parametrize(
    "text",
    [
        f"\n\n{FRAME}\n   \n{FRAME}\n\n",
        "\ufeff" + FRAME + FRAME,
        (FRAME + FRAME).replace("\n", "\r\n"),
        (FRAME + FRAME).replace("Lattice", "lattice").replace("Properties", "PROPERTIES"),
        (FRAME + FRAME).replace("0.1 0 0", "1.0D-1 0 0"),
    ],
    ids=["blank lines", "mark of byte order", "carriage returns", "other case", "Fortran"],
)
def test_what_changes_nothing(path, text):
    found = read(path, text)
    assert len(found) == 2
    for one in found:
        assert one.atoms.pbc.all()
        assert one.columns["forces"][0, 0] == 0.1


def test_compressed_files_are_read_and_torn_ones_refused(path):
    packed = gzip.compress((FRAME * 200).encode())
    compressed = path.with_suffix(".xyz.gz")
    compressed.write_bytes(packed)
    assert len(read_frames(compressed).frames) == 200
    compressed.write_bytes(packed[:-20])
    with pytest.raises(InputError, match="compressed data end"):
        read_frames(compressed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FRAME + "# second run\n" + FRAME, "line 5 .* number of atoms of frame 1, but has '# second run'"),
        (FRAME + FRAME[: -len("Li 1.5 1.5 1.5 -0.1 0 0\n")], r"frame 1 \(line 5\) has 1 of its 2 atoms"),
        (FRAME + FRAME[:-8], r"line 8, atom 2 of 2 in frame 1 \(line 5\), has 5 columns where 7"),
        (FRAME + "2\n", "frame 1 ends after its first line"),
        (FRAME.replace("2", "1", 1) + FRAME, "line 4 .* number of atoms right"),
        (FRAME.replace("2", "3", 1) + FRAME, "line 5, atom 3 of 3 .* has 1 columns where 7 are declared"),
        (FRAME.replace(":forces:R:3", ""), "line 3, .* has 7 columns where 4 are declared"),
        (FRAME.replace("Properties=species:S:1:pos:R:3:forces:R:3", ""), "7 columns, but only 4 are declared"),
        (FRAME.replace("pos:R:3", "loc:R:3"), "no column of positions"),
        (FRAME.replace("species", "label"), "no column of elements"),
        (FRAME.replace("0.1 0 0\n", "0.1 ***** 0\n", 1), r"line 3 has '\*\*\*\*\*' in column forces"),
        (FRAME.replace("Li 0 0", "Xx 0 0"), "'Xx' is not a chemical symbol"),
        (FRAME.replace("Lattice=", "Latice="), "the cell is named Latice"),
        (FRAME.replace("Lattice=", "cell="), "the cell is named cell"),
        (FRAME.replace('Lattice="3 0 0 0 3 0 0 0 3"', 'pbc="T T T"'), "periodic, but it has no Lattice"),
        (FRAME.replace("3 0 0 0 3 0 0 0 3", "3 3 3"), "Lattice has 3 numbers"),
        (FRAME.replace("3 0 0 0 3 0 0 0 3", "3 0 0 3 0 0 0 0 3"), "Lattice has no volume"),
        (FRAME.replace("3 0 0 0 3 0 0 0 3", "0 0 0 0 0 0 0 0 0"), "Lattice has no volume"),
        (FRAME.replace("energy=-3.8", "energy=-3.8 energy=-3.9"), "two entries energy that contradict"),
        (FRAME.replace("energy=-3.8", 'note="energy=-3.8'), 'quote " is not closed'),
        (FRAME.replace("forces:R:3", "pos:R:3"), "two columns pos that contradict"),
        (FRAME.replace("forces:R:3", "positions:R:3"), "pos and positions hold different positions"),
        (FRAME.replace("forces:R:3", "forces:R:³"), "Properties has forces:R:³"),
        (FRAME.replace("species:S:1", "Z:I:1").replace("Li", "9" * 30), "must be a whole number"),
        ("\0\0\0", "null byte"),
    ],
)
def test_faults_are_told_with_their_place(path, text, message):
    with pytest.raises(InputError, match=message):
        read(path, text)


def test_a_column_of_atomic_numbers_must_agree_with_that_of_symbols(path):
    text = FRAME.replace("species:S:1", "species:S:1:Z:I:1").replace("Li ", "Li 3 ")
    assert read(path, text)[0].atoms.get_chemical_symbols() == ["Li", "Li"]
    with pytest.raises(InputError, match="species and Z name different elements"):
        read(path, text.replace("Li 3 1.5", "Li 11 1.5"))


def test_one_fault_in_many_frames_is_one_line(path):
    bad = FRAME.replace("pos:R:3", "loc:R:3")
    with pytest.raises(InputError) as caught:
        read(path, FRAME + bad * 3 + FRAME + bad)
    assert re.search(
        r"frames 1-3, 5 \(the first at line 5\): Properties names no column of positions", str(caught.value)
    )
    assert len(str(caught.value).splitlines()) == 2


def test_numbers_of_frames_are_put_together():
    assert frame_numbers([7]) == "frame 7"
    assert frame_numbers([3, 5, 4, 12]) == "frames 3-5, 12"
    assert frame_numbers(range(0, 40, 2)).endswith("and 12 more")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2 3", [1, 2, 3]),
        ("_JSON [[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[1, 2.5]", [1, 2.5]),
        ("-1.5D+1,", [-15]),
        ("Li7P3S11", None),
        ("1_000", None),
        ("", None),
    ],
)
def test_numbers_from_text(text, expected):
    found = numbers_of(text)
    assert found is None if expected is None else np.array_equal(found, np.array(expected, dtype=float))


_NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ_", min_size=1, max_size=8)
_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'\\{}[]="), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_NAMES, st.lists(_VALUES, min_size=1, max_size=3)), st.sampled_from(["=", " = ", "= "]))
def test_entries_are_read_as_they_were_written(entries, equals):
    comment = " ".join(f'{key}{equals}"{" ".join(words)}"' for key, words in entries.items())
    assert dict(split_entries(comment)) == {key: " ".join(words) for key, words in entries.items()}


def test_brackets_hold_values_together():
    comment = 'a={1 2} stress=[[1, 2, 3], [4, 5, 6]] flag b=\'it is\' c="say \\"so\\"" d=x=y'
    assert split_entries(comment) == [
        ("a", "1 2"),
        ("stress", "[[1, 2, 3], [4, 5, 6]]"),
        ("flag", "T"),
        ("b", "it is"),
        ("c", 'say "so"'),
        ("d", "x=y"),
    ]
