"""Rows on the disk are used when, and only when, they are those of this configuration and these sparse points."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ionloop.core.errors import IonloopError
from ionloop.fitting.cores import subtract_baseline
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.electrostatics.baseline import baseline_calculator
from ionloop.fitting.native.sparse_fit.fit import NativeFit, fit_native, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.native.sparse_fit.row_cache import RowCache, digest_of
from ionloop.fitting.settings import BaselineSettings, GapSettings, Regularisation

ROUNDING_eV_per_A = 1e-9


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.rows"))


def fit(data_set: DataSet, settings: GapSettings, folder: Path, first: NativeFit | None = None) -> NativeFit:
    points = None if first is None else first.sparse_points
    return run_fit(FitInputs(data_set, settings, 0, sparse_points=points), FitResources(cache_folder=folder))


def assert_same_forces(first: NativeFit, second: NativeFit) -> None:
    pairs = zip(first.training_errors.configurations, second.training_errors.configurations, strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.forces_eV_per_A, b.forces_eV_per_A, atol=ROUNDING_eV_per_A)


def test_a_second_fit_computes_nothing(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    first = fit(lithium_sulfide, small_settings, tmp_path)
    second = fit(lithium_sulfide, small_settings, tmp_path)
    assert (first.rows_reused, second.rows_computed) == (0, 0)
    assert second.rows_reused == first.rows_computed
    assert_same_forces(first, second)
    assert_same_forces(first, fit_native(lithium_sulfide, small_settings, seed=0))


def test_other_labels_and_errors_use_the_same_rows(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    first = fit(lithium_sulfide, small_settings, tmp_path)
    relabelled = DataSet(
        tuple(replace(item, energy=item.energy + 0.1) for item in lithium_sulfide),
        lithium_sulfide.isolated_atom_energies,
    )
    settings = small_settings.model_copy(update={"regularisation": Regularisation(energy_eV_per_atom=0.1)})
    assert fit(relabelled, settings, tmp_path, first).rows_computed == 0


def test_only_a_changed_configuration_is_computed_again(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    first = fit(lithium_sulfide, small_settings, tmp_path)
    changed, *rest = lithium_sulfide.configurations
    atoms = changed.atoms.copy()
    atoms.positions[0, 0] += 1e-7
    data_set = DataSet((replace(changed, atoms=atoms), *rest), lithium_sulfide.isolated_atom_energies)
    second = fit(data_set, small_settings, tmp_path, first)
    assert second.rows_computed == first.rows_computed // len(data_set)
    fresh = run_fit(FitInputs(data_set, small_settings, 0, sparse_points=first.sparse_points), FitResources())
    assert_same_forces(second, fresh)


@pytest.mark.parametrize("change", [{"delta_eV": 0.4}, {"cutoff_A": 4.1}, {"zeta": 2}])
def test_other_hyperparameters_use_no_old_rows(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path, change: dict[str, float]
) -> None:
    first = fit(lithium_sulfide, small_settings, tmp_path)
    settings = small_settings.model_copy(update={"soap": small_settings.soap.model_copy(update=change)})
    assert fit(lithium_sulfide, settings, tmp_path, first).rows_reused == 0


def test_a_new_generation_costs_its_new_data_and_new_points(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    old = DataSet(lithium_sulfide.configurations[:4], lithium_sulfide.isolated_atom_energies)
    first = fit(old, small_settings, tmp_path)
    second = run_fit(
        FitInputs(lithium_sulfide, small_settings, 0, earlier=first.sparse_points), FitResources(cache_folder=tmp_path)
    )
    assert second.rows_reused == first.rows_computed
    new_points = second.sparse_points.n_points - first.sparse_points.n_points
    n_rows = first.rows_computed // (len(old) * first.sparse_points.n_points)
    assert second.sparse_points.layers[0] is first.sparse_points.layers[0]
    assert new_points > 0
    assert second.rows_computed == n_rows * (len(old) * new_points + second.sparse_points.n_points)
    whole = run_fit(FitInputs(lithium_sulfide, small_settings, 0, sparse_points=second.sparse_points), FitResources())
    assert_same_forces(second, whole)


def test_two_kinds_of_model_share_rows_and_points(
    lithium_sulfide: DataSet, small_settings: GapSettings, baseline: BaselineSettings, tmp_path: Path
) -> None:
    gap = fit(lithium_sulfide, small_settings, tmp_path)
    rest = subtract_baseline(lithium_sulfide, baseline_calculator(baseline))
    es_gap = fit(rest, small_settings, tmp_path)
    assert es_gap.rows_computed == 0
    assert [layer.digest for layer in es_gap.sparse_points.layers] == [
        layer.digest for layer in gap.sparse_points.layers
    ]


def test_damaged_files_are_ignored_and_written_anew(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    first = fit(lithium_sulfide, small_settings, tmp_path)
    cut, flipped, emptied, *_ = files(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-8])
    content = bytearray(flipped.read_bytes())
    content[100] ^= 1
    flipped.write_bytes(content)
    emptied.write_bytes(b"")
    second = fit(lithium_sulfide, small_settings, tmp_path)
    assert second.rows_computed == 3 * first.rows_computed // len(lithium_sulfide)
    assert_same_forces(first, second)
    assert fit(lithium_sulfide, small_settings, tmp_path).rows_computed == 0


def test_a_cache_that_cannot_be_written_costs_only_time(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = fit(lithium_sulfide, small_settings, tmp_path / "whole")
    for number in range(256):
        # Files where the cache wants folders: nothing can be written, whoever runs this.
        (tmp_path / f"{number:02x}").write_text("")
    assert_same_forces(whole, fit(lithium_sulfide, small_settings, tmp_path))
    assert "rows are not kept" in caplog.text


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    rows = np.ones((10, 10))
    cache = RowCache(tmp_path)
    for number, key in enumerate(("aa", "bb", "cc")):
        cache.write(key, rows)
        os.utime(cache.path(key), (number, number))
    assert cache.read("aa", rows.shape) is not None
    RowCache(tmp_path, limit_MB=2 * 832e-6).prune()
    assert sorted(path.stem for path in files(tmp_path)) == ["aa", "cc"]


def test_the_last_space_of_a_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((10, 10))
    cache = RowCache(tmp_path)
    cache.write("aa", rows)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**8))
    cache.write("bb", rows)
    assert [path.stem for path in files(tmp_path)] == ["aa"]
    cache.prune()
    assert files(tmp_path) == []


def test_a_fit_larger_than_the_cache_keeps_what_has_room(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    resources = FitResources(cache_folder=tmp_path, cache_limit_MB=0.05)
    inputs = FitInputs(lithium_sulfide, small_settings, 0)
    first, second = run_fit(inputs, resources), run_fit(inputs, resources)
    assert 0 < second.rows_reused < first.rows_computed
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 0.05e6
    assert_same_forces(first, second)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IonloopError, match=r"cache folder .*rows cannot be made"):
        RowCache(tmp_path / "file" / "rows")


def test_no_temporary_files_stay(tmp_path: Path) -> None:
    cache = RowCache(tmp_path)
    cache.write("ab", np.ones((2, 3)))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ab.rows"]
    found = cache.read("ab", (2, 3))
    assert found is not None
    np.testing.assert_array_equal(found, np.ones((2, 3)))
    assert cache.read("ab", (3, 3)) is None
    assert cache.read("cd", (2, 3)) is None


def test_parts_of_a_digest_do_not_run_into_each_other() -> None:
    assert digest_of(["ab", "c"]) != digest_of(["a", "bc"])
