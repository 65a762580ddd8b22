"""One reference per fit, and what gives away a second one."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from ionloop.core.errors import InputError
from ionloop.fitting.consistency import (
    MixedReferencesError,
    check_one_reference,
    find_energy_gap,
    reference_name,
    references_of,
)
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, read_extxyz, write_extxyz

VASP = reference_name("vasp", "3f2a91bc04de" + "0" * 52)
AIMS = reference_name("aims", "77aa00bc04de" + "0" * 52)


def labelled(energy_per_atom: float, labelled_by: str | None = None, n: int = 1) -> LabelledConfiguration:
    atoms = bulk("CuAu", "cesiumchloride", a=3.1).repeat((1, 1, n))
    forces = np.zeros((len(atoms), 3))
    return LabelledConfiguration(
        atoms, energy_per_atom * len(atoms), forces, None, f"e{energy_per_atom}", labelled_by=labelled_by
    )


def test_one_reference_passes_and_is_counted():
    frames = [labelled(-3.0, VASP), labelled(-3.1, VASP)]
    check_one_reference(frames)
    assert references_of(frames) == {VASP: 2}


def test_two_references_are_refused_with_their_names_and_how_to_mix_them():
    frames = [labelled(-3.0, VASP), labelled(-3.0, VASP), labelled(-3.0, AIMS)]
    with pytest.raises(MixedReferencesError) as raised:
        check_one_reference(frames)
    assert "vasp:3f2a91bc04de (2 configurations)" in str(raised.value)
    assert "aims:77aa00bc04de (1 configurations)" in str(raised.value)
    check_one_reference(frames, (VASP, AIMS))


def test_naming_only_one_of_two_references_is_not_enough():
    with pytest.raises(MixedReferencesError):
        check_one_reference([labelled(-3.0, VASP), labelled(-3.0, AIMS)], (VASP,))


def test_unnamed_labels_do_not_slip_in_among_named_ones():
    with pytest.raises(MixedReferencesError, match=r"unnamed \(1 configurations\)"):
        check_one_reference([labelled(-3.0, VASP), labelled(-3.0)])


def test_an_energy_offset_between_unnamed_labels_is_found_whatever_the_cell_size():
    frames = [labelled(-3.0), labelled(-3.1, n=2), labelled(-4500.0), labelled(-4500.2, n=2)]
    gap = find_energy_gap(frames)
    assert gap is not None
    assert (gap.formula, gap.below, gap.above) == ("AuCu", 2, 2)
    with pytest.raises(MixedReferencesError, match="two groups"):
        check_one_reference(frames)
    check_one_reference(frames, ("unnamed",))


def test_hot_structures_and_a_single_outlier_are_no_offset():
    assert find_energy_gap([labelled(-3.0 + 0.1 * step) for step in range(12)]) is None
    assert find_energy_gap([labelled(-3.0), labelled(-3.1), labelled(-1.0)]) is None


def test_the_reference_survives_a_file_and_leaves_the_content_hash_alone(tmp_path):
    with_name, without = DataSet((labelled(-3.0, VASP),)), DataSet((labelled(-3.0),))
    assert with_name.content_hash == without.content_hash
    write_extxyz(tmp_path / "a.xyz", with_name)
    write_extxyz(tmp_path / "b.xyz", without)
    assert read_extxyz(tmp_path / "a.xyz").configurations[0].labelled_by == VASP
    assert read_extxyz(tmp_path / "b.xyz").configurations[0].labelled_by is None


def test_isolated_atoms_of_another_reference_are_refused(tmp_path):
    write_extxyz(tmp_path / "a.xyz", DataSet((labelled(-3.0, VASP),), {"Cu": -0.2, "Au": -0.3}))
    path = tmp_path / "a.xyz"
    path.write_text(
        path.read_text().replace("config_type=isolated_atom", f"config_type=isolated_atom labelled_by={AIMS}")
    )
    with pytest.raises(InputError, match=f"isolated atoms .* {AIMS}"):
        read_extxyz(path)
