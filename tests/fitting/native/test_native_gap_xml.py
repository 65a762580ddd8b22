"""GAP files: read, written, chosen by label, and refused with a message however they are damaged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import all_changes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.descriptor_strings import parse_descriptor, split_key_values
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel, read_gap_xml, write_gap_xml
from ionloop.fitting.quip import quip_potential

SOAP = "soap n_max=2 l_max=1 atom_sigma=0.5 cutoff=3.0 n_species=2 Z=3 species_Z={3 16}"
PAIR = "distance_2b cutoff=3.0 Z1=3 Z2=16"
ATOMS = Atoms("LiS2Li", positions=[[0, 0, 0], [2.1, 0, 0.2], [0, 1.9, 0], [0.1, 0.2, 2.3]], cell=[9, 9, 9], pbc=True)
FORCE_TOLERANCE_EV_A = 1e-10


def make_model(seed: int = 0, label: str = "trial", scale: float = 1.0) -> GapModel:
    random = np.random.default_rng(seed)
    soap = parse_descriptor(SOAP, GAP_VERSION)
    points = random.random((3, soap.n_dimensions))
    points[:, -1] = 0.0
    points /= np.linalg.norm(points, axis=1)[:, None]
    return GapModel(
        {3: -1.0, 16: -2.0},
        (
            Coordinate(
                parse_descriptor(PAIR, GAP_VERSION), "ard_se", 1.0, np.array([[1.5], [2.5]]), random.normal(0, 1, 2),
                np.array([1.0, 0.4]), theta=np.array([0.8]), signal_mean=0.1,
            ),
            Coordinate(soap, "dot_product", 0.3, points, random.normal(0, 1, 3), np.ones(3), zeta=4.0),
        ),
        label=label,
        energy_scale=scale,
        command_line="gap={soap ...} ]]> and so on",
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gap_xml(make_model(), tmp_path_factory.mktemp("gap"))


def forces_of(path: Path, label: str | None = None) -> np.ndarray:
    return np.asarray(NativeGapCalculator(read_gap_xml(path, label)).get_property("forces", ATOMS))


def quip_forces(path: Path, arguments: str = "") -> np.ndarray:
    potential = quip_potential()(arguments, param_filename=str(path))
    potential.calculate(ATOMS.copy(), ["energy", "forces"], list(all_changes))
    return np.array(potential.results["forces"])


def inlined(path: Path, sliced: bool) -> str:
    """The XML with the sparse points inside, as gap_fit writes them without separate files."""
    text = path.read_text()
    model = read_gap_xml(path)
    text = re.sub(r' sparseX_filename="[^"]*" sparseX_md5sum="[^"]*"', "", text)
    points = [point for coordinate in model.coordinates for point in coordinate.sparse_points]

    def with_values(match: re.Match[str]) -> str:
        point = points.pop(0)
        if not sliced:
            return f"<sparseX{match[1]}>{' '.join(f'{value:.17e}' for value in point)}</sparseX>"
        parts = [(start, point[start : start + 50]) for start in range(0, len(point), 50)]
        slices = "".join(
            f'<sparseX_slice start="{start + 1}" end="{start + len(part)}">{" ".join(map(repr, part.tolist()))}'
            "</sparseX_slice>"
            for start, part in parts
        )
        return f'<sparseX{match[1]} sliced="T">{slices}</sparseX>'

    return re.sub(r"<sparseX( [^>]*)/>", with_values, text)


def test_what_is_written_is_read_back(written: Path) -> None:
    model, read = make_model(), read_gap_xml(written)
    assert read.isolated_atom_energies[3] == -1.0
    assert (read.label, read.energy_scale, read.gap_version) == ("trial", 1.0, GAP_VERSION)
    assert read.known_atomic_numbers == {3, 16}
    for ours, theirs in zip(model.coordinates, read.coordinates, strict=True):
        assert ours.descriptor == theirs.descriptor
        assert (ours.delta, ours.zeta, ours.signal_mean) == (theirs.delta, theirs.zeta, theirs.signal_mean)
        for name in ("alphas", "sparse_points", "sparse_cutoffs", "theta"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_quip_computes_the_same(written: Path) -> None:
    assert forces_of(written) == pytest.approx(quip_forces(written), abs=FORCE_TOLERANCE_EV_A)


@pytest.mark.parametrize("sliced", [False, True])
def test_sparse_points_inside_the_file(written: Path, tmp_path: Path, sliced: bool) -> None:
    path = tmp_path / "inline.xml"
    path.write_text(inlined(written, sliced))
    assert np.array_equal(forces_of(path), forces_of(written))
    assert forces_of(path) == pytest.approx(quip_forces(path), abs=FORCE_TOLERANCE_EV_A)


def test_several_potentials_in_one_file(tmp_path: Path) -> None:
    first = write_gap_xml(make_model(1, "one"), tmp_path, "one.xml")
    second = write_gap_xml(make_model(2, "two", scale=1.5), tmp_path, "two.xml")
    both = tmp_path / "both.xml"
    both.write_text(f"<all>{first.read_text()}{second.read_text()}</all>")
    assert np.array_equal(forces_of(both), forces_of(first))
    assert np.array_equal(forces_of(both, "two"), forces_of(second))
    assert forces_of(second) == pytest.approx(quip_forces(second), abs=FORCE_TOLERANCE_EV_A)
    with pytest.raises(InputError, match="no potential labelled 'three'; it has 'one', 'two'"):
        read_gap_xml(both, "three")
    unnamed = tmp_path / "unnamed.xml"
    unnamed.write_text(re.sub(r"<Potential[^>]*>", "", both.read_text()))
    with pytest.raises(InputError, match="several potentials"):
        read_gap_xml(unnamed)


def test_exponent_of_old_files(written: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.xml"
    text = re.sub(r' zeta="[^"]*"', "", inlined(written, sliced=False))
    before, after = text.split(f"<descriptor>{SOAP}")
    old.write_text(f"{before}<theta>.4E+001</theta><descriptor>{SOAP}{after}")
    assert np.array_equal(forces_of(old), forces_of(written))


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ('do_core="F"', 'do_core="T"', "core potential"),
        ('covariance_type="1"', 'covariance_type="4"', r"covariance type 4 \(pp\)"),
        ('covariance_type="2"', 'covariance_type="3"', "bond_real_space"),
        ('covariance_type="2"', 'covariance_type="9"', "unknown"),
        ('n_permutations="1"', 'n_permutations="2"', "announces 2 permutations"),
        ('sparsified="T"', 'sparsified="F"', "not sparsified"),
        ("<descriptor>soap ", "<descriptor>soap average=T ", "average=T"),
        ("<descriptor>soap ", "<descriptor>soap cutoff_dexp=2 ", "cutoff_dexp"),
        ("<descriptor>soap ", "<descriptor>soap radial_basis=BESSEL ", "radial_basis='BESSEL'"),
        ("<descriptor>soap ", "<descriptor>soap nu_R=1 diagonal_radial=T ", "combines"),
        ("<descriptor>soap ", "<descriptor>soap_turbo ", "'soap_turbo' is not supported"),
        ("<descriptor>distance_2b ", "<descriptor>behler ", "'behler' is not supported"),
        ("<descriptor>distance_2b ", "<descriptor>distance_2b only_intra=T ", "only_intra"),
        ("IP GAP label", "IP Glue label", "only 'IP GAP' and a Sum"),
        ("IP GAP label", "IP GAP r_scale=1.1 label", "r_scale"),
        ("GAP_params", "Glue_params", "no GAP_params"),
        ('alpha="', 'alpha="x', "alpha of sparseX"),
        ('value="-1', 'value="nan', "not a finite number"),
        ("n_max=2", "n_max=3", "dimensions"),
        ("n_max=2", "n_max=1000000", "n_max"),
        ("atom_sigma=0.5", "atom_sigma=1e-9", "too small"),
        ("cutoff=3.0", "cutoff=-3.0", "must be positive"),
        ("species_Z={3 16}", "species_Z={3 16", "missing"),
        ('sparseX_md5sum="', 'sparseX_md5sum="0', "checksum differs"),
        ('sparseX_filename="', 'sparseX_filename="absent', "cannot be read"),
        ('n_sparseX="3"', 'n_sparseX="4"', "announces 4 sparse points"),
        ('i="2"', 'i="3"', "not numbered"),
        ("</gpSparse>", "", "not readable XML"),
    ],
)
def test_what_is_not_supported_is_named(
    pattern: str, replacement: str, message: str, written: Path, tmp_path: Path
) -> None:
    text = written.read_text()
    assert pattern in text
    damaged = written.parent / f"{tmp_path.name}.xml"
    damaged.write_text(text.replace(pattern, replacement))
    with pytest.raises(IonloopError, match=message):
        NativeGapCalculator(damaged)


@pytest.mark.parametrize("content", ["1.0 2.0 x", "1.0", "nan " * 30, ""])
def test_damaged_sparse_points(content: str, written: Path, tmp_path: Path) -> None:
    path = write_gap_xml(make_model(), tmp_path)
    path.write_text(re.sub(r' sparseX_md5sum="[^"]*"', "", path.read_text()))
    path.with_name("gap.xml.sparseX.trial2").write_text(content)
    with pytest.raises(IonloopError, match=r"gap\.xml"):
        read_gap_xml(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no potential file"):
        read_gap_xml(tmp_path / "nowhere.xml")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_gives_a_traceback(data: st.DataObject, written: Path) -> None:
    """Cut, replaced and inserted stretches: the file is read, or refused by an error with a message."""
    text = inlined(written, sliced=False)
    # Isolated-atom energies make most of the file and all the same: keep a few.
    text = re.sub(r'    <e0 Z="(?!3"|16")[^\n]*\n', "", text)
    tokens = ['"', "<", ">", "=", "{", "}", "T", "F", "-1", "0", "1e400", "nan", " ", "&", "é", "1" * 30, "</gpSparse>"]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.sampled_from(["", *tokens])) + text[start + length :]
    damaged = written.parent / "damaged.xml"
    damaged.write_text(text)
    try:
        NativeGapCalculator(damaged).get_property("energy", ATOMS)
    except IonloopError as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(line=st.text(alphabet="soap distance_2b nmxlZ=0123456789.-{}'\"TF,:", max_size=60))
def test_no_descriptor_line_gives_a_traceback(line: str) -> None:
    for prefix in ("", f"{SOAP} ", f"{PAIR} "):
        try:
            parse_descriptor(prefix + line, GAP_VERSION)
        except IonloopError as error:
            assert str(error)


def test_key_values() -> None:
    words, keys = split_key_values("soap a=1 b={2 3} c='x y' d=\"{4}\" e={{5 6}} f")
    assert words == ["soap", "f"]
    assert keys == {"a": "1", "b": "2 3", "c": "x y", "d": "4", "e": "5 6"}
