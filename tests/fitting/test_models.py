from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ionloop.core.errors import InputError
from ionloop.core.kinds import UnknownKind
from ionloop.core.processes import process_name
from ionloop.fitting import gap_fit, models
from ionloop.fitting.calculators import EsGapCalculator, GapCalculator
from ionloop.fitting.cores import subtract_baseline
from ionloop.fitting.data_sets import DataSet, read_extxyz
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.electrostatics.equilibrated.kind import EquilibratedSettings
from ionloop.fitting.electrostatics.local import LocalSettings
from ionloop.fitting.electrostatics.pair import PairSettings
from ionloop.fitting.gap_fit import LOG_FILE, POTENTIAL_FILE, GapFitError
from ionloop.fitting.models import MANIFEST_FILE, TRAINING_SET_FILE, ModelError, load_model, read_manifest
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.preflight import PreflightError
from ionloop.fitting.settings import BaselineSettings, GapSettings, Regularisation

FORCE_TOLERANCE_eV_per_A = 1e-10
STRESS_TOLERANCE_eV_per_A3 = 1e-12
FIT_TOLERANCE_eV_per_A = 1e-4  # rounding of the labels, amplified by near-singular covariances
DEAD_PROCESS = 2**22 + 1  # above the largest process id of Linux


# What gap_fit makes of a data set; the native fitter has tests of its own.
fit_model = functools.partial(models.fit_model, backend="gap_fit")


@pytest.fixture(scope="module")
def fitted(
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    baseline: BaselineSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """One model of each kind; tests copy them."""
    root = tmp_path_factory.mktemp("models")
    kinds = ("gap", "es-gap")
    for kind in kinds:
        fit_model(kind, lithium_sulfide, small_settings, baseline, root / kind, seed=1)
    return {kind: root / kind for kind in kinds}


@pytest.fixture
def gap_folder(fitted: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted["gap"], tmp_path / "gap"))


def forbid_fitting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("gap_fit was started")

    monkeypatch.setattr(gap_fit, "fit_gap", refuse)


def test_a_folder_holds_everything_and_checksums_of_it(
    fitted: dict[str, Path], lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    folder = fitted["es-gap"]
    manifest = read_manifest(folder)
    assert set(manifest.files) | {MANIFEST_FILE} == {path.name for path in folder.iterdir()}
    assert {POTENTIAL_FILE, TRAINING_SET_FILE, LOG_FILE} < set(manifest.files)
    assert manifest.settings == small_settings
    assert manifest.training_set_hash == lithium_sulfide.content_hash
    assert read_extxyz(folder / TRAINING_SET_FILE).content_hash == manifest.training_set_hash
    assert (manifest.configurations, manifest.target_energies, manifest.target_virials) == (5, 5, 30)
    assert manifest.seed == 1
    assert manifest.wall_time_s > 0
    assert manifest.isolated_atom_energies_eV == {"Li": -1.5, "S": -2.5}
    assert manifest.versions["ase"] != "unknown"


def test_nothing_else_is_left_beside_a_model(fitted: dict[str, Path]) -> None:
    assert {path.name for path in fitted["gap"].parent.iterdir()} == {"gap", "es-gap"}


def test_gap_ignores_the_baseline(fitted: dict[str, Path]) -> None:
    assert read_manifest(fitted["gap"]).baseline is None
    assert isinstance(load_model(fitted["gap"], backend="quippy"), GapCalculator)
    assert isinstance(load_model(fitted["gap"]), NativeGapCalculator)
    assert isinstance(load_model(fitted["es-gap"]), EsGapCalculator)


def test_baseline_is_subtracted_from_energy_forces_and_stress(
    lithium_sulfide: DataSet, baseline: BaselineSettings
) -> None:
    calculator = SlaterEwald(charges=baseline.charges, exponents=baseline.exponents)
    difference = subtract_baseline(lithium_sulfide, calculator)
    assert dict(difference.isolated_atom_energies) == dict(lithium_sulfide.isolated_atom_energies)
    for before, after in zip(lithium_sulfide, difference, strict=True):
        atoms = before.atoms.copy()
        atoms.calc = calculator
        assert after.energy + atoms.get_potential_energy() == pytest.approx(before.energy, rel=1e-14)
        forces = after.forces + atoms.get_forces()
        np.testing.assert_allclose(forces, before.forces, atol=FORCE_TOLERANCE_eV_per_A)
        assert after.stress is not None
        stress = after.stress + atoms.get_stress()
        np.testing.assert_allclose(stress, before.stress, atol=STRESS_TOLERANCE_eV_per_A3)


def test_es_gap_fits_what_the_baseline_leaves(
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    baseline: BaselineSettings,
    fitted: dict[str, Path],
    tmp_path: Path,
) -> None:
    """Labels = short-ranged part + baseline: the ES-GAP is the GAP of the short-ranged part + baseline."""
    ewald = SlaterEwald(charges=baseline.charges, exponents=baseline.exponents)
    ionic = DataSet(
        tuple(
            replace(
                item,
                energy=item.energy + ewald.get_property("energy", item.atoms),
                forces=item.forces + ewald.get_property("forces", item.atoms),
                stress=item.stress + ewald.get_property("stress", item.atoms),
            )
            for item in lithium_sulfide
        ),
        lithium_sulfide.isolated_atom_energies,
    )
    fit_model("es-gap", ionic, small_settings, baseline, tmp_path / "es-gap", seed=1)
    ionic_model, short_ranged_model = load_model(tmp_path / "es-gap"), load_model(fitted["gap"])
    for item in lithium_sulfide:
        expected = short_ranged_model.get_property("forces", item.atoms)
        expected = expected + ewald.get_property("forces", item.atoms)
        np.testing.assert_allclose(
            ionic_model.get_property("forces", item.atoms), expected, atol=FIT_TOLERANCE_eV_per_A
        )


def test_a_model_can_be_moved(gap_folder: Path, lithium_sulfide: DataSet, tmp_path: Path) -> None:
    atoms = lithium_sulfide.configurations[0].atoms
    energy = load_model(gap_folder).get_property("energy", atoms)
    (tmp_path / "another place").mkdir()
    moved = gap_folder.rename(tmp_path / "another place" / "new name")
    assert load_model(moved).get_property("energy", atoms) == energy
    assert str(tmp_path) not in (moved / POTENTIAL_FILE).read_text() + (moved / MANIFEST_FILE).read_text()


def test_a_whole_model_is_returned_at_once(
    gap_folder: Path, lithium_sulfide: DataSet, small_settings: GapSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_fitting(monkeypatch)
    manifest = fit_model("gap", lithium_sulfide, small_settings, None, gap_folder, seed=1)
    assert manifest == read_manifest(gap_folder)


def damage_file(folder: Path) -> None:
    with open(folder / POTENTIAL_FILE, "a") as stream:
        stream.write(" ")


def remove_file(folder: Path) -> None:
    next(folder.glob("*sparseX*")).unlink()


def cut_manifest(folder: Path) -> None:
    text = (folder / MANIFEST_FILE).read_text()
    (folder / MANIFEST_FILE).write_text(text[: len(text) // 2])


def remove_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()


@pytest.mark.parametrize("damage", [damage_file, remove_file, cut_manifest, remove_manifest])
def test_a_damaged_model_is_refused_and_fitted_again(
    gap_folder: Path,
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    damage: Callable[[Path], None],
) -> None:
    checksums = read_manifest(gap_folder).files
    damage(gap_folder)
    with pytest.raises(ModelError):
        load_model(gap_folder)
    fit_model("gap", lithium_sulfide, small_settings, None, gap_folder, seed=1)
    assert read_manifest(gap_folder).files[POTENTIAL_FILE] == checksums[POTENTIAL_FILE]
    assert {path.name for path in gap_folder.parent.iterdir()} == {"gap"}


def test_another_model_is_never_overwritten(
    gap_folder: Path, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    with pytest.raises(InputError, match="holds another model"):
        fit_model("gap", lithium_sulfide, small_settings, None, gap_folder, seed=2)
    load_model(gap_folder)


def test_a_folder_of_something_else_is_never_overwritten(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a model folder"):
        fit_model("gap", lithium_sulfide, small_settings, None, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_leftovers_of_dead_processes_are_removed(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    dead = tmp_path / f".gap.{process_name(os.getpid()).rsplit('-', 2)[0]}-{DEAD_PROCESS}-1.partial"
    elsewhere = tmp_path / f".gap.another-machine-0123456789-{DEAD_PROCESS}-1.partial"
    for folder in (dead, elsewhere):
        folder.mkdir()
    fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "gap")
    assert not dead.exists()
    assert elsewhere.exists()


def test_a_failed_fit_leaves_nothing(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise GapFitError("no luck")

    monkeypatch.setattr(gap_fit, "fit_gap", fail)
    with pytest.raises(GapFitError, match="no luck"):
        fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "gap")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_clear_error(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models, "write_extxyz", fail)
    with pytest.raises(ModelError, match=r"cannot be written to .*No space left on device"):
        fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "gap")


def test_a_parent_that_is_a_file_is_a_clear_error(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "file" / "gap")


def test_preflight_comes_before_everything(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_fitting(monkeypatch)
    with pytest.raises(PreflightError, match="missing for Li, S"):
        fit_model("gap", DataSet(lithium_sulfide.configurations), small_settings, None, tmp_path / "gap")
    assert list(tmp_path.iterdir()) == []


def test_es_gap_needs_a_charge_for_every_element(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="needs a baseline"):
        fit_model("es-gap", lithium_sulfide, small_settings, None, tmp_path / "m")
    only_lithium = BaselineSettings(charges={"Li": 1.0})
    with pytest.raises(InputError, match="no charge for S"):
        fit_model("es-gap", lithium_sulfide, small_settings, only_lithium, tmp_path / "m")


def test_an_unknown_kind_is_refused(
    gap_folder: Path, lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="unknown kind of model 'mace'; installed are gap, fusion, es-gap, es-fusion"):
        fit_model("mace", lithium_sulfide, small_settings, None, tmp_path / "m")
    content = json.loads((gap_folder / MANIFEST_FILE).read_text())
    (gap_folder / MANIFEST_FILE).write_text(json.dumps({**content, "kind": "mace"}))
    with pytest.raises(
        UnknownKind, match=r"model.json: unknown kind of model 'mace'; installed are gap, fusion, es-gap, es-fusion"
    ):
        load_model(gap_folder)


def test_a_newer_layout_is_refused(gap_folder: Path) -> None:
    content = json.loads((gap_folder / MANIFEST_FILE).read_text())
    (gap_folder / MANIFEST_FILE).write_text(json.dumps({**content, "schema_version": 2}))
    with pytest.raises(ModelError, match="schema version 2"):
        load_model(gap_folder)


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder") as caught:
        load_model(tmp_path / "missing")
    assert isinstance(caught.value, InputError)


def test_verification_can_be_left_out(gap_folder: Path) -> None:
    (gap_folder / LOG_FILE).write_text("edited")
    with pytest.raises(ModelError, match=f"{LOG_FILE} has the wrong checksum"):
        load_model(gap_folder)
    assert isinstance(load_model(gap_folder, verify=False), NativeGapCalculator)


def test_every_input_changes_the_hash(lithium_sulfide: DataSet, baseline: BaselineSettings) -> None:
    settings = GapSettings()
    other = GapSettings(regularisation=Regularisation(force_eV_per_A=0.06))
    stronger = baseline.model_copy(update={"charges": {"Li": 0.6, "S": -1.2}})
    smaller = DataSet(lithium_sulfide.configurations[1:], lithium_sulfide.isolated_atom_energies)
    hashes = {
        models.compute_inputs_hash("gap", lithium_sulfide, settings, None, 0),
        models.compute_inputs_hash("es-gap", lithium_sulfide, settings, baseline, 0),
        models.compute_inputs_hash("es-gap", lithium_sulfide, settings, stronger, 0),
        models.compute_inputs_hash("es-gap", smaller, settings, stronger, 0),
        models.compute_inputs_hash("es-gap", smaller, other, stronger, 0),
        models.compute_inputs_hash("es-gap", smaller, other, stronger, 1),
    }
    assert len(hashes) == 6
    reordered = BaselineSettings(charges={"S": -1.0, "Li": 0.5}, exponents=baseline.exponents)
    assert models.compute_inputs_hash("es-gap", lithium_sulfide, settings, reordered, 0) in hashes


@pytest.mark.parametrize("settings_type", [LocalSettings, PairSettings, EquilibratedSettings])
def test_charges_and_dipoles_change_the_hash_where_they_are_fitted(lithium_sulfide: DataSet, settings_type) -> None:
    """And nothing does where they are not, which most fits are: those keep the hashes that they had."""
    first, *rest = lithium_sulfide
    molecule = replace(first, atoms=Atoms(first.atoms.symbols, positions=first.atoms.positions), stress=None)
    dipole, charges = np.array([0.1, 0.2, 0.3]), np.linspace(-0.5, 0.5, first.n_atoms)
    bare, told, turned, recharged = (
        DataSet((one, *rest), lithium_sulfide.isolated_atom_energies)
        for one in (
            molecule,
            replace(molecule, charges=charges, dipole=dipole),
            replace(molecule, charges=charges, dipole=-dipole),
            replace(molecule, charges=-charges, dipole=dipole),
        )
    )
    of_crystal = DataSet((replace(first, dipole=dipole), *rest), lithium_sulfide.isolated_atom_energies)

    def hashes(of: tuple[DataSet, ...], **sigmas: float) -> list[str]:
        settings = settings_type(charges={"Li": 0.5, "S": -1.0}, **sigmas)
        return [models.compute_inputs_hash("es-gap", one, GapSettings(), settings, 0) for one in of]

    assert len(set(hashes((bare, told, turned, recharged)))) == 1
    bare_hash, told_hash, turned_hash, recharged_hash = hashes((bare, told, turned, recharged), charge_sigma_e=0.05)
    assert len({bare_hash, told_hash, recharged_hash}) == 3
    assert told_hash == turned_hash
    bare_hash, told_hash, turned_hash, recharged_hash = hashes((bare, told, turned, recharged), dipole_sigma_eA=0.05)
    assert len({bare_hash, told_hash, turned_hash}) == 3
    assert told_hash == recharged_hash
    assert len(set(hashes((lithium_sulfide, of_crystal), dipole_sigma_eA=0.05))) == 1
