"""Models by either fitter, evaluated by either evaluator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.backends import FitTimeError
from ionloop.fitting.calculators import EsGapCalculator, GapCalculator
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.gap_fit import POTENTIAL_FILE, FitLimits
from ionloop.fitting.models import compute_inputs_hash, fit_model, load_model, read_manifest
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.preflight import PreflightError
from ionloop.fitting.settings import BaselineSettings, EvaluateBackend, FitBackend, GapSettings

EVALUATION_TOLERANCE_eV_per_A = 1e-7
SAME_MODEL_TOLERANCE_eV_per_A = 1e-10
FIT_BACKENDS: tuple[FitBackend, ...] = ("native", "gap_fit")
EVALUATE_BACKENDS: tuple[EvaluateBackend, ...] = ("native", "quippy")


@pytest.mark.parametrize("kind", ["gap", "es-gap"])
@pytest.mark.parametrize("backend", FIT_BACKENDS)
def test_both_evaluators_agree_on_models_of_both_fitters(
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    baseline: BaselineSettings,
    tmp_path: Path,
    kind: str,
    backend: FitBackend,
) -> None:
    fit_model(kind, lithium_sulfide, small_settings, baseline, tmp_path / "model", backend=backend)
    assert read_manifest(tmp_path / "model").backend == backend
    atoms = lithium_sulfide.configurations[0].atoms
    for path in (tmp_path / "model", tmp_path / "model" / POTENTIAL_FILE):
        native, quippy = (load_model(path, backend=evaluator) for evaluator in EVALUATE_BACKENDS)
        assert type(native) is type(quippy) or isinstance(native, NativeGapCalculator)
        np.testing.assert_allclose(
            native.get_property("forces", atoms),
            quippy.get_property("forces", atoms),
            atol=EVALUATION_TOLERANCE_eV_per_A,
        )


def test_a_native_model_folder_is_whole(
    lithium_sulfide: DataSet, small_settings: GapSettings, baseline: BaselineSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    manifest = fit_model("es-gap", lithium_sulfide, small_settings, baseline, folder, backend="native")
    assert read_manifest(folder) == manifest
    assert (manifest.target_energies, manifest.target_forces, manifest.target_virials) == (5, 180, 30)
    assert manifest.training_errors is not None
    assert manifest.leave_out_errors is not None
    assert manifest.training_errors.force_eV_per_A < manifest.leave_out_errors.force_eV_per_A
    calculator = load_model(folder, backend="native")
    assert isinstance(calculator, EsGapCalculator)
    residuals = [calculator.get_property("forces", item.atoms) - item.forces for item in lithium_sulfide]
    force_error = float(np.sqrt(np.mean(np.square(residuals))))
    assert force_error == pytest.approx(manifest.training_errors.force_eV_per_A, rel=1e-6)
    again = fit_model("es-gap", lithium_sulfide, small_settings, baseline, folder, backend="native")
    assert again == manifest


def test_backends_make_different_models(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    hashes = {compute_inputs_hash("gap", lithium_sulfide, small_settings, None, 0, name) for name in FIT_BACKENDS}
    assert len(hashes) == 2
    fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "model", backend="native")
    with pytest.raises(InputError, match="holds another model"):
        fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "model", backend="gap_fit")


def test_sparse_points_of_an_earlier_model_are_kept(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    first = DataSet(lithium_sulfide.configurations[:4], lithium_sulfide.isolated_atom_energies)
    limits = FitLimits(cache_folder=tmp_path / "rows")
    earlier = fit_model("gap", first, small_settings, None, tmp_path / "0", limits=limits, backend="native")
    files = len(list(limits.cache_folder.rglob("*.rows"))) if limits.cache_folder else 0
    later = fit_model(
        "gap",
        lithium_sulfide,
        small_settings,
        None,
        tmp_path / "1",
        limits=limits,
        backend="native",
        earlier_model=tmp_path / "0",
    )
    assert later.earlier_model == earlier.inputs_hash
    assert files == 4
    # The kept points' rows of the new configuration, and the new points' rows of all five.
    assert len(list((tmp_path / "rows").rglob("*.rows"))) == 10
    for name in ("gap1", "gap4", "gap5"):
        (kept,), (sparse,) = (list((tmp_path / str(number)).glob(f"*sparseX*{name}")) for number in (0, 1))
        assert sparse.read_bytes().startswith(kept.read_bytes())
    with pytest.raises(InputError, match="only the native backend keeps"):
        fit_model(
            "gap",
            lithium_sulfide,
            small_settings,
            None,
            tmp_path / "2",
            earlier_model=tmp_path / "0",
            backend="gap_fit",
        )


def test_any_gap_file_is_a_model(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "model", backend="gap_fit")
    atoms = lithium_sulfide.configurations[0].atoms
    expected = load_model(tmp_path / "model", backend="quippy").get_property("forces", atoms)
    foreign = load_model(tmp_path / "model" / POTENTIAL_FILE, backend="quippy")
    assert isinstance(foreign, GapCalculator)
    assert foreign.elements == {"Li", "S"}
    np.testing.assert_allclose(foreign.get_property("forces", atoms), expected, atol=SAME_MODEL_TOLERANCE_eV_per_A)


def test_unknown_backends_are_named(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    (tmp_path / "gap.xml").touch()
    with pytest.raises(InputError, match="unknown backend 'lammps' for gap; allowed are native, quippy"):
        load_model(tmp_path / "gap.xml", backend="lammps")
    with pytest.raises(InputError, match="unknown backend 'cpu' for gap; allowed are native, gap_fit"):
        fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "m", backend="cpu")


def test_native_fits_stop_at_their_limits(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    for limits, message in (
        (FitLimits(wall_time_s=1e-9), "stopped at its wall-time limit"),
        (FitLimits(memory_bytes=1000), "raise it, or use fewer sparse points"),
    ):
        with pytest.raises((FitTimeError, InputError), match=message):
            fit_model("gap", lithium_sulfide, small_settings, None, tmp_path / "m", limits=limits, backend="native")
        assert list(tmp_path.iterdir()) == []


def test_bad_data_are_refused_before_a_native_fit(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    broken = replace(lithium_sulfide.configurations[0], energy=float("nan"))
    data_set = DataSet((broken,), lithium_sulfide.isolated_atom_energies)
    with pytest.raises(PreflightError, match="not finite numbers in li2s-0"):
        fit_model("gap", data_set, small_settings, None, tmp_path / "m", backend="native")


def test_gap_fit_refuses_a_method_that_only_we_have(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    assert small_settings.two_body is not None
    soap = small_settings.soap.model_copy(update={"sparse_method": "farthest_points"})
    pairs = small_settings.two_body.model_copy(update={"sparse_method": "evenly_spaced"})
    settings = small_settings.model_copy(update={"soap": soap, "two_body": pairs})
    with pytest.raises(PreflightError, match=r"(?s)sparse_method evenly_spaced;.*sparse_method farthest_points;"):
        fit_model("gap", lithium_sulfide, settings, None, tmp_path / "m", backend="gap_fit")
    fit_model("gap", lithium_sulfide, settings, None, tmp_path / "m", backend="native")
    assert (tmp_path / "m" / POTENTIAL_FILE).is_file()
