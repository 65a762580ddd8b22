"""The native fit gives the potential that gap_fit gives, and that a dense solution of the same equations gives."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.linalg import cholesky

from ionloop.core.errors import InputError
from ionloop.fitting.calculators import GapCalculator
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.gap_fit import POTENTIAL_FILE, FitLimits, fit_gap
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.sparse_fit import linear_system
from ionloop.fitting.native.sparse_fit.design import Descriptors, RowBuilder, sparse_points_of
from ionloop.fitting.native.sparse_fit.fit import NativeFit, fit_native, read_sparse_points, run_fit, scaled_targets
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitProgress, FitResources
from ionloop.fitting.native.sparse_fit.rows import FEW_POINTS
from ionloop.fitting.native.sparse_fit.solve import SingularFitError
from ionloop.fitting.native.sparse_fit.sparse_points import SparseLayer, SparsePoints
from ionloop.fitting.preflight import PreflightError
from ionloop.fitting.settings import GapSettings, Regularisation

PAIRS = [("Li", "Li"), ("Li", "S"), ("S", "S")]
SAME_POINTS_TOLERANCE_eV_per_A = 1e-5  # gap_fit's rounding of K, amplified by near-singular covariances
SAME_POINTS_TOLERANCE_eV = 1e-5
FILE_TOLERANCE_eV_per_A = 1e-8
DERIVATIVE_STEP_A = 1e-5
DERIVATIVE_TOLERANCE = 1e-7  # relative to the largest derivative
DENSE_TOLERANCE_eV_per_A = 1e-6
ROW_TOLERANCE = 1e-12  # of sums in another order (eV, eV/Å)
LABELS_MB = 1.0  # targets and errors of 300 configurations

LITTLE_LEFT_TOLERANCE = 1e-5
"""Relative; a fit to two of six cells is conditioned worse than one to all."""


@pytest.fixture(scope="module")
def fitted(lithium_sulfide: DataSet, small_settings: GapSettings) -> NativeFit:
    return fit_native(lithium_sulfide, small_settings, seed=3)


def largest_force_difference(first: NativeFit, second: NativeFit) -> float:
    pairs = zip(first.training_errors.configurations, second.training_errors.configurations, strict=True)
    return max(float(np.abs(a.forces_eV_per_A - b.forces_eV_per_A).max()) for a, b in pairs)


def shifted(atoms: Atoms, number: int) -> Atoms:
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-3 * number
    return moved


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("by_element", [{}, {"Li": 0.01, "S": 0.2}])
def test_same_sparse_points_give_the_potential_of_gap_fit(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path, by_element: dict[str, float]
) -> None:
    regularisation = Regularisation(force_by_element_eV_per_A=by_element)
    settings = small_settings.model_copy(update={"regularisation": regularisation})
    first, *rest = lithium_sulfide.configurations
    # One configuration without virial, one with errors of its own.
    data_set = DataSet(
        (
            replace(first, stress=None),
            replace(rest[0], regularisation=Regularisation(energy_eV_per_atom=0.1)),
            *rest[1:],
        ),
        lithium_sulfide.isolated_atom_energies,
    )
    fit_gap(tmp_path, data_set, PAIRS, settings, seed=1, limits=FitLimits())
    theirs = GapCalculator(tmp_path / POTENTIAL_FILE, data_set.elements)
    points = sparse_points_of(read_gap_xml(tmp_path / POTENTIAL_FILE))
    ours = run_fit(FitInputs(data_set, settings, seed=1, sparse_points=points), FitResources())
    for item, errors in zip(data_set, ours.training_errors.configurations, strict=True):
        forces = theirs.get_property("forces", item.atoms) - item.forces
        np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=SAME_POINTS_TOLERANCE_eV_per_A)
        energy = theirs.get_property("energy", item.atoms) - item.energy
        assert errors.energy_eV == pytest.approx(energy, abs=SAME_POINTS_TOLERANCE_eV)


def test_the_written_files_give_the_fitted_predictions(
    fitted: NativeFit, lithium_sulfide: DataSet, tmp_path: Path
) -> None:
    path = fitted.write(tmp_path)
    for calculator in (GapCalculator(path, lithium_sulfide.elements), NativeGapCalculator(path)):
        for item, errors in zip(lithium_sulfide, fitted.training_errors.configurations, strict=True):
            forces = calculator.get_property("forces", item.atoms) - item.forces
            np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=FILE_TOLERANCE_eV_per_A)
            assert errors.energy_eV == pytest.approx(
                calculator.get_property("energy", item.atoms) - item.energy, abs=FILE_TOLERANCE_eV_per_A
            )
            assert errors.virial_eV is not None
            stress = calculator.get_property("stress", item.atoms) - item.stress
            virial = -stress[[0, 5, 4, 1, 3, 2]] * item.atoms.get_volume()
            np.testing.assert_allclose(errors.virial_eV, virial, atol=100 * FILE_TOLERANCE_eV_per_A)


def test_rows_are_the_derivatives_of_the_energy_row(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    builder = RowBuilder(Descriptors.of(lithium_sulfide.elements, small_settings), fitted.sparse_points)
    atoms = lithium_sulfide.configurations[0].atoms
    rows = builder.rows(atoms, [0])[0]
    scale = np.abs(rows).max()

    def energy_row(displacement: np.ndarray, strain: np.ndarray) -> np.ndarray:
        moved = atoms.copy()
        moved.positions += displacement
        moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return builder.rows(moved, [0])[0][0]

    for atom, axis in ((0, 0), (5, 1), (11, 2)):
        step = np.zeros((len(atoms), 3))
        step[atom, axis] = DERIVATIVE_STEP_A
        slope = (energy_row(step, np.zeros((3, 3))) - energy_row(-step, np.zeros((3, 3)))) / (2 * DERIVATIVE_STEP_A)
        np.testing.assert_allclose(rows[1 + 3 * atom + axis], slope, atol=DERIVATIVE_TOLERANCE * scale)
    for component, (first, second) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
        strain = np.zeros((3, 3))
        strain[first, second] += DERIVATIVE_STEP_A / 2
        strain[second, first] += DERIVATIVE_STEP_A / 2
        still = np.zeros((len(atoms), 3))
        slope = (energy_row(still, strain) - energy_row(still, -strain)) / (2 * DERIVATIVE_STEP_A)
        np.testing.assert_allclose(rows[-6 + component], slope, atol=DERIVATIVE_TOLERANCE * scale)


@pytest.mark.parametrize("few", [1, FEW_POINTS])
def test_rows_of_a_few_points_are_those_of_many(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings, few: int
) -> None:
    descriptors = Descriptors.of(lithium_sulfide.elements, small_settings)
    (layer,) = fitted.sparse_points.layers
    atoms = lithium_sulfide.configurations[-1].atoms
    (many,) = RowBuilder(descriptors, fitted.sparse_points).rows(atoms, [0])
    start, compared = 0, 0
    for key, points in layer.points.items():
        if len(points) > FEW_POINTS and len(key) == 1:
            compared += 1
            alone = SparsePoints((SparseLayer({key: points[:few]}),))
            (rows,) = RowBuilder(descriptors, alone).rows(atoms, [0])
            np.testing.assert_allclose(rows, many[:, start : start + few], rtol=0, atol=ROW_TOLERANCE)
        start += len(points)
    assert compared


def dense_residuals(fit: NativeFit, data_set: DataSet, settings: GapSettings) -> list[np.ndarray]:
    """Residuals from the whole matrix at once."""
    builder = RowBuilder(Descriptors.of(data_set.elements, settings), fit.sparse_points)
    targets = [scaled_targets(item, settings, data_set) for item in data_set]
    layers = range(len(fit.sparse_points.layers))
    blocks = [
        np.hstack(builder.rows(item.atoms, layers))[: len(t.values)] for item, t in zip(data_set, targets, strict=True)
    ]
    prior = np.zeros((builder.n_columns, builder.n_columns))
    for block in builder.prior_blocks():
        prior[np.ix_(block.columns, block.columns)] = block.covariance
    factor = cholesky(prior + settings.sparse_jitter * np.eye(len(prior)))
    sigmas = np.concatenate([t.sigmas for t in targets])
    matrix = np.vstack([np.vstack(blocks) / sigmas[:, None], factor])
    right = np.concatenate([np.concatenate([t.values[:, 0] for t in targets]) / sigmas, np.zeros(len(prior))])
    alphas = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return [block @ alphas - t.values[:, 0] for block, t in zip(blocks, targets, strict=True)]


@pytest.mark.parametrize("block_rows", [50, 100, 1000])
def test_blocks_of_any_size_give_the_dense_solution(
    lithium_sulfide: DataSet, small_settings: GapSettings, monkeypatch: pytest.MonkeyPatch, block_rows: int
) -> None:
    """One, two, or all configurations of 43 rows each at a time."""
    monkeypatch.setattr(linear_system, "_LARGEST_BLOCK_ROWS", block_rows)
    fit = fit_native(lithium_sulfide, small_settings, seed=0)
    dense = dense_residuals(fit, lithium_sulfide, small_settings)
    for errors, residuals in zip(fit.training_errors.configurations, dense, strict=True):
        forces = -residuals[1:-6].reshape(-1, 3)
        np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=DENSE_TOLERANCE_eV_per_A)


def test_leave_out_errors_are_those_of_a_fit_without_the_configuration(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    kept = DataSet(lithium_sulfide.configurations[1:], lithium_sulfide.isolated_atom_energies)
    without = run_fit(FitInputs(kept, small_settings, 3, sparse_points=fitted.sparse_points), FitResources())
    assert fitted.leave_out_errors is not None
    predicted = fitted.leave_out_errors.configurations[0]
    item = lithium_sulfide.configurations[0]
    calculator = NativeGapCalculator(without.model)
    forces = calculator.get_property("forces", item.atoms) - item.forces
    np.testing.assert_allclose(predicted.forces_eV_per_A, forces, atol=DENSE_TOLERANCE_eV_per_A)
    energy = calculator.get_property("energy", item.atoms) - item.energy
    assert predicted.energy_eV == pytest.approx(energy, abs=DENSE_TOLERANCE_eV_per_A)
    summary, training = fitted.leave_out_errors.summary(), fitted.training_errors.summary()
    assert summary.force_eV_per_A > training.force_eV_per_A


@pytest.mark.parametrize("group", [(0, 2), (0, 1, 3, 4)])
def test_configurations_that_are_left_out_together_do_not_predict_each_other(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings, group: tuple[int, ...]
) -> None:
    items = [item for place, item in enumerate(lithium_sulfide) if place not in group]
    kept = DataSet(tuple(items), lithium_sulfide.isolated_atom_energies)
    without = run_fit(FitInputs(kept, small_settings, 3, sparse_points=fitted.sparse_points), FitResources())
    inputs = FitInputs(lithium_sulfide, small_settings, 3, left_out_together=(group,))
    together = run_fit(inputs, FitResources())
    calculator = NativeGapCalculator(without.model)
    assert together.leave_out_errors is not None
    assert fitted.leave_out_errors is not None
    for place, errors in enumerate(together.leave_out_errors.configurations):
        item, alone = lithium_sulfide.configurations[place], fitted.leave_out_errors.configurations[place]
        expected = (
            calculator.get_property("forces", item.atoms) - item.forces if place in group else alone.forces_eV_per_A
        )
        difference = np.linalg.norm(errors.forces_eV_per_A - expected)
        assert difference <= LITTLE_LEFT_TOLERANCE * np.linalg.norm(expected) + DENSE_TOLERANCE_eV_per_A


def test_equal_seeds_give_equal_bytes_and_others_do_not(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    fitted.write(tmp_path / "first")
    fit_native(lithium_sulfide, small_settings, seed=3).write(tmp_path / "again")
    fit_native(lithium_sulfide, small_settings, seed=4).write(tmp_path / "other")
    assert digests(tmp_path / "first") == digests(tmp_path / "again")
    assert digests(tmp_path / "first") != digests(tmp_path / "other")


def test_threads_do_not_change_the_potential(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    parallel = fit_native(lithium_sulfide, small_settings, seed=3, threads=3)
    assert largest_force_difference(fitted, parallel) < FILE_TOLERANCE_eV_per_A


def test_smaller_errors_of_an_element_make_its_forces_better(
    lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    def force_errors(by_element: dict[str, float]) -> dict[str, float]:
        regularisation = Regularisation(force_by_element_eV_per_A=by_element)
        settings = small_settings.model_copy(update={"regularisation": regularisation})
        return fit_native(lithium_sulfide, settings, seed=0).training_errors.summary().force_by_element_eV_per_A

    lithium, sulfur = force_errors({"Li": 0.001, "S": 1.0}), force_errors({"Li": 1.0, "S": 0.001})
    assert lithium["Li"] < sulfur["Li"]
    assert sulfur["S"] < lithium["S"]


def test_rows_beyond_the_memory_limit_wait_on_the_disk(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    inputs = FitInputs(lithium_sulfide, small_settings, 3, sparse_points=fitted.sparse_points)
    with pytest.raises(InputError, match=r"at least (\d+) MB") as refused:
        run_fit(inputs, FitResources(memory_limit_MB=0.5))
    needed = float(str(refused.value).split("at least ")[1].split()[0])
    tight = run_fit(inputs, FitResources(memory_limit_MB=needed + 1))
    assert largest_force_difference(fitted, tight) == 0.0


@pytest.mark.slow
def test_arrays_stay_below_the_memory_limit(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    """300 configurations, whose rows alone take more than the fit may hold."""
    many = DataSet(
        tuple(
            replace(item, identifier=f"{item.identifier}-{number}", atoms=shifted(item.atoms, number))
            for number in range(60)
            for item in lithium_sulfide
        ),
        lithium_sulfide.isolated_atom_energies,
    )
    points = fit_native(lithium_sulfide, small_settings, seed=3).sparse_points
    inputs = FitInputs(many, small_settings, 3, sparse_points=points, leave_out=False)
    with pytest.raises(InputError) as refused:
        run_fit(inputs, FitResources(memory_limit_MB=0.1))
    limit_MB = float(str(refused.value).split("at least ")[1].split()[0]) + 1
    tracemalloc.start()
    try:
        run_fit(inputs, FitResources(memory_limit_MB=limit_MB))
        peak_MB = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    rows_MB = 8e-6 * len(many) * 43 * points.n_points
    assert rows_MB > limit_MB + LABELS_MB
    assert peak_MB < limit_MB + LABELS_MB


def test_progress_tells_every_stage(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    seen: list[FitProgress] = []
    fit = fit_native(lithium_sulfide, small_settings, seed=0, progress=seen.append)
    assert [item.done for item in seen if item.stage == "rows"] == [1, 2, 3, 4, 5]
    assert {item.stage for item in seen} == {"selection", "rows", "errors"}
    assert set(fit.timings) == {"selection", "rows", "factorisation", "errors"}


def test_an_empty_set_and_missing_energies_are_explained(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    with pytest.raises(PreflightError, match="the data set is empty"):
        fit_native(DataSet(()), small_settings, seed=0)
    with pytest.raises(PreflightError, match="isolated-atom energies are missing for Li, S"):
        fit_native(DataSet(lithium_sulfide.configurations), small_settings, seed=0)


def test_a_singular_covariance_names_its_coordinate(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    points = dict(fitted.sparse_points.layers[0].points)
    points[16,] = np.concatenate([points[16,]] * 3)
    layer = type(fitted.sparse_points.layers[0])(points)
    doubled = type(fitted.sparse_points)((layer,))
    settings = small_settings.model_copy(update={"sparse_jitter": 1e-300})
    with pytest.raises(SingularFitError, match=r"soap S is not positive definite: raise sparse_jitter"):
        run_fit(FitInputs(lithium_sulfide, settings, 0, sparse_points=doubled), FitResources())


def test_sparse_points_of_another_descriptor_are_refused(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    settings = small_settings.model_copy(update={"soap": small_settings.soap.model_copy(update={"n_max": 4})})
    with pytest.raises(InputError, match="soap Li with 64 components do not fit"):
        run_fit(FitInputs(lithium_sulfide, settings, 0, sparse_points=fitted.sparse_points), FitResources())


def test_layers_of_sparse_points_survive_the_files(
    fitted: NativeFit, lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    grown = run_fit(FitInputs(lithium_sulfide, small_settings, 0, earlier=fitted.sparse_points), FitResources())
    kept, new = grown.sparse_points.layers
    assert kept.digest == fitted.sparse_points.layers[0].digest
    assert 0 < len(new.points[(3,)]) <= 4
    path = grown.write(tmp_path)
    read = read_sparse_points(tmp_path, read_gap_xml(path))
    assert [layer.digest for layer in read.layers] == [layer.digest for layer in grown.sparse_points.layers]
    calculator = GapCalculator(path, lithium_sulfide.elements)
    item, errors = lithium_sulfide.configurations[0], grown.training_errors.configurations[0]
    forces = calculator.get_property("forces", item.atoms) - item.forces
    np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=FILE_TOLERANCE_eV_per_A)


def test_clusters_lone_atoms_and_fits_without_pair_part(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    """Structures without cell, without neighbours, and of one element beside periodic ones."""
    first, *rest = lithium_sulfide.configurations

    def cut(atoms: Atoms, name: str) -> LabelledConfiguration:
        forces = np.random.default_rng(0).normal(size=(len(atoms), 3))
        return LabelledConfiguration(atoms=atoms, energy=-3.0, forces=forces, stress=None, identifier=name)

    cluster = Atoms(first.atoms.symbols, positions=first.atoms.positions)
    data_set = DataSet(
        (cut(cluster, "cluster"), cut(cluster[:3], "sulfur"), cut(Atoms("Li"), "lone"), *rest),
        lithium_sulfide.isolated_atom_energies,
    )
    for settings in (small_settings, small_settings.model_copy(update={"two_body": None})):
        fit = fit_native(data_set, settings, seed=0)
        path = fit.write(tmp_path)
        calculator = GapCalculator(path, data_set.elements)
        for item, errors in zip(data_set, fit.training_errors.configurations, strict=True):
            forces = calculator.get_property("forces", item.atoms) - item.forces
            np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=FILE_TOLERANCE_eV_per_A)
            assert (errors.virial_eV is None) == (item.stress is None)
