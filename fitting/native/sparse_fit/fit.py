"""Fits of GAPs: the model of gap_fit from the same data and settings, in a small fraction of its time and memory.

Rows of the linear system are computed configuration by configuration on all threads, merged into a triangle
as they come (`solve`), and read once more for the errors: on the training data, and those that every
configuration would have if the potential had been fitted without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ....core.arrays import FloatArray
from ....core.errors import InputError, IonloopError
from ....core.files import write_whole
from ...cores import core_of, without_core
from ...correlation import correlated_groups
from ...data_sets import DataSet, LabelledConfiguration
from ...gap_fit import POTENTIAL_FILE, label_sigmas
from ...posterior.calibration import Calibration, calibrate
from ...preflight import check_data
from ...settings import GapSettings
from ..gap_xml import GapModel, write_gap_xml
from .candidates import choose_sparse_points, selection_bytes
from .design import Descriptors, RowBuilder, sparse_points_of
from .fit_errors import ConfigurationErrors, FitErrors
from .fit_inputs import FitInputs, FitProgress, FitResources, ProgressCallback
from .gap_posterior import write_posterior
from .linear_system import Residuals, ScaledTargets, Workshop, factorise, required_bytes, residuals_of
from .row_cache import RowCache
from .row_source import RowSource
from .row_store import RowStore
from .rows import N_VIRIAL_ROWS
from .sparse_points import CoordinateKey, SparseLayer, SparsePoints

SPARSE_POINTS_FILE = "sparse_points.json"
_MEGABYTE = 1_000_000
_VIRIAL_COMPONENTS = np.triu_indices(3)


@dataclass(frozen=True, eq=False)
class NativeFit:
    """A fitted potential and what the fit says about it.

    Attributes
    ----------
    model
        The potential.
    sparse_points
        Its sparse points with their layers, to be kept in a later fit.
    training_errors
        Prediction minus label of every configuration.
    leave_out_errors
        The same, had the configuration not been fitted (its sparse points stay); None if
        not wanted.
    objective
        The minimum of |Σ⁻¹(K α - y)|² + αᵀ K_MM α.
    timings
        Wall time by stage (s).
    rows_reused, rows_computed
        Rows times columns taken from the cache, and computed.
    triangle
        R of the weights' posterior, in the order of the sparse points; shape [n_columns, n_columns].
    calibration
        What left-out errors say of the posterior's deviations; None without leave-out errors, or of too few.
    """

    model: GapModel
    sparse_points: SparsePoints
    training_errors: FitErrors
    leave_out_errors: FitErrors | None
    objective: float
    timings: Mapping[str, float]
    rows_reused: int
    rows_computed: int
    triangle: FloatArray
    calibration: Calibration | None = None

    def write(self, folder: Path, file_name: str = POTENTIAL_FILE) -> Path:
        """Write the potential as files that QUIP reads, the layers of its sparse points and, where it is calibrated,
        the posterior; return the XML file.
        """
        path = write_gap_xml(self.model, folder, file_name)
        layers = [
            [[list(key), len(points)] for key, points in layer.points.items()] for layer in self.sparse_points.layers
        ]
        write_whole(Path(folder) / SPARSE_POINTS_FILE, json.dumps({"layers": layers}) + "\n")
        if self.calibration is not None:
            write_posterior(Path(folder), self.triangle)
        return path


def fit_native(
    data_set: DataSet,
    settings: GapSettings,
    *,
    seed: int,
    threads: int = 1,
    memory_limit_MB: float = 1000.0,
    progress: ProgressCallback | None = None,
    cache_folder: Path | None = None,
) -> NativeFit:
    """Fit a GAP to energies, forces and virials; `run_fit` has all options.

    Parameters
    ----------
    data_set
        Labelled configurations and energies of the isolated atoms.
    settings
        Hyperparameters.
    seed
        For the selection of sparse points.
    threads
        Of rows, factorisation and errors.
    memory_limit_MB
        Of the fit's arrays, MB.
    progress
        Called after every configuration of a stage, from this thread.
    cache_folder
        Where rows are kept for later fits.

    Raises
    ------
    PreflightError
        If the data cannot be used; every reason is given.
    InputError
        If the memory limit is too low.
    SingularFitError
        If the linear system has no unique solution.
    """
    task = FitInputs(data_set, settings, seed)
    return run_fit(task, FitResources(threads, memory_limit_MB, cache_folder), progress)


def run_fit(task: FitInputs, resources: FitResources, progress: ProgressCallback | None = None) -> NativeFit:
    """Fit a GAP; errors as `fit_native`, and InputError for sparse points that do not fit."""
    check_data(task.data_set, task.settings)
    with open_workshop(resources, progress) as workshop:
        return _fit(task, resources, workshop)


@contextmanager
def open_workshop(resources: FitResources, progress: ProgressCallback | None = None) -> Iterator[Workshop]:
    """Make threads for a fit.

    Raises
    ------
    InputError
        If there is to be none.
    """
    if resources.threads < 1:
        raise InputError(f"a fit needs at least one thread, not {resources.threads}")
    # BLAS has its own threads, which fight with ours when both are used.
    with ThreadPoolExecutor(resources.threads) as pool, threadpool_limits(1):
        yield Workshop(pool, resources.threads, progress or _ignore)


def _ignore(_: FitProgress) -> None:
    pass


def _fit(task: FitInputs, resources: FitResources, workshop: Workshop) -> NativeFit:
    core = core_of(task.settings)
    task = replace(task, data_set=without_core(task.data_set, core))
    source, kept_bytes = row_source(task, resources, workshop)
    targets = [scaled_targets(item, task.settings, task.data_set) for item in task.data_set.fitted_configurations]
    with RowStore(kept_bytes) as store:
        system, counts = factorise(source, targets, task.settings.sparse_jitter, store, workshop)
        with workshop.timed("factorisation"):
            alphas = system.solve()[:, 0]
        with workshop.timed("errors"):
            together = task.left_out_together
            found = residuals_of(system, targets, store, workshop, leave_out=task.leave_out, together=together)
    source.close()
    # Isolated atoms, whose residuals are the last ones, would blur the errors of everything else.
    pairs = list(zip(task.data_set, found[: len(task.data_set)], strict=True))
    training = FitErrors(tuple(errors_of(item, one.fitted[:, 0]) for item, one in pairs))
    left_out = tuple(errors_of(item, one.left_out[:, 0]) for item, one in pairs if one.left_out is not None)
    isolated = {symbol: task.data_set.isolated_atom_energies[symbol] for symbol in task.data_set.elements}
    return NativeFit(
        model=replace(source.builder.model(alphas, isolated), core=core),
        sparse_points=source.builder.sparse_points,
        training_errors=training,
        leave_out_errors=FitErrors(left_out) if task.leave_out else None,
        objective=float(system.objectives[0]),
        timings=dict(workshop.timings),
        rows_reused=counts.read,
        rows_computed=counts.computed,
        triangle=system.triangle,
        calibration=calibration_of(task, left_out, found) if task.leave_out else None,
    )


def calibration_of(
    task: FitInputs, left_out: Sequence[ConfigurationErrors], found: Sequence[Residuals]
) -> Calibration | None:
    """Return what left-out errors say of the deviations that the fit believes in."""
    believed = [
        errors_of(item, one.deviations)
        for item, one in zip(task.data_set, found[: len(task.data_set)], strict=True)
        if one.deviations is not None
    ]
    frames = [item.atoms for item in task.data_set]
    together = task.left_out_together or correlated_groups(frames)
    return calibrate(left_out, believed, len(frames) - sum(len(group) - 1 for group in together))


def row_source(
    task: FitInputs, resources: FitResources, workshop: Workshop, n_sets: int = 1
) -> tuple[RowSource, float]:
    """Return the rows of a fit, for sparse points that are chosen now if none are given, and the memory left (bytes).

    Raises
    ------
    InputError
        If the memory limit is too low.
    """
    descriptors = Descriptors.of(task.data_set.elements, task.settings)
    with workshop.timed("selection"):
        if task.sparse_points is None:
            _check_memory(resources, selection_bytes(task.data_set, descriptors), "the choice of sparse points")
        points = task.sparse_points or choose_sparse_points(task, descriptors, workshop.in_order("selection"))
        builder = RowBuilder(descriptors, points)
    configurations = task.data_set.fitted_configurations
    needed_bytes = required_bytes(builder, configurations, resources.threads, n_sets)
    kept_bytes = _check_memory(resources, needed_bytes, f"{builder.n_columns} sparse points")
    cache = None if resources.cache_folder is None else RowCache(resources.cache_folder, resources.cache_limit_MB)
    return RowSource(builder, configurations, cache), kept_bytes


def _check_memory(resources: FitResources, needed_bytes: int, purpose: str) -> float:
    """Return how much memory is left (bytes)."""
    left_bytes = resources.memory_limit_MB * _MEGABYTE - needed_bytes
    if left_bytes < 0:
        raise InputError(
            f"the fit needs at least {needed_bytes / _MEGABYTE:.0f} MB for {purpose}; memory_limit_MB is "
            f"{resources.memory_limit_MB:g}: raise it, or use fewer sparse points, a smaller n_max or l_max, "
            "or fewer threads"
        )
    return left_bytes


def scaled_targets(configuration: LabelledConfiguration, settings: GapSettings, data_set: DataSet) -> ScaledTargets:
    """Return the values that a configuration's rows are fitted to, as one set, and their standard deviations.

    The energy counts from the isolated atoms; forces and virial have their signs changed (they are minus the
    derivatives of the energy). Rows without a label are left out, and those of forces that are not fitted.
    """
    sigma = label_sigmas(configuration, settings)
    isolated = sum(data_set.isolated_atom_energies[symbol] for symbol in configuration.atoms.symbols)
    n_forces, forces, virial = 3 * configuration.n_atoms, configuration.forces, configuration.virial
    values, sigmas = np.zeros(1 + n_forces + N_VIRIAL_ROWS), np.empty(1 + n_forces + N_VIRIAL_ROWS)
    values[0], sigmas[0] = configuration.energy - isolated, sigma.energy_eV
    values[1 : 1 + n_forces] = 0.0 if forces is None else -forces.ravel()
    sigmas[1 : 1 + n_forces] = sigma.forces_eV_per_A.ravel()
    values[1 + n_forces :] = 0.0 if virial is None else -virial[_VIRIAL_COMPONENTS]
    sigmas[1 + n_forces :] = sigma.virial_eV[_VIRIAL_COMPONENTS]
    labelled = np.repeat([True, *configuration.fitted_forces, virial is not None], [1, *[3] * (n_forces // 3), 6])
    rows = np.flatnonzero(labelled)
    # A slice is a view: rows of forces and virials are not copied.
    return ScaledTargets(values[rows, None], sigmas[rows], slice(len(rows)) if rows[-1] == len(rows) - 1 else rows)


def errors_of(configuration: LabelledConfiguration, residuals: FloatArray) -> ConfigurationErrors:
    """Return residuals of rows as errors (prediction minus label) of energy, forces and virial."""
    fitted = configuration.fitted_forces
    n_forces = 3 * int(fitted.sum())
    virial = residuals[1 + n_forces :]
    symbols = np.array(configuration.atoms.get_chemical_symbols())
    return ConfigurationErrors(
        identifier=configuration.identifier,
        config_type=configuration.config_type,
        n_atoms=configuration.n_atoms,
        symbols=tuple(symbols[fitted].tolist()),
        energy_eV=float(residuals[0]),
        forces_eV_per_A=-residuals[1 : 1 + n_forces].reshape(-1, 3),
        virial_eV=-virial if len(virial) else None,
    )


def read_sparse_points(folder: Path, model: GapModel) -> SparsePoints:
    """Return the sparse points of a potential that `NativeFit.write` wrote, with their layers.

    Parameters
    ----------
    folder
        Where it was written.
    model
        The potential, as read from there.

    Raises
    ------
    IonloopError
        If the file of the layers is missing or belongs to another potential.
    """
    path = Path(folder) / SPARSE_POINTS_FILE
    whole = sparse_points_of(model).layers[0].points
    try:
        layers = json.loads(path.read_text(encoding="utf-8"))["layers"]
        taken: dict[CoordinateKey, int] = dict.fromkeys(whole, 0)
        found = []
        for layer in layers:
            points: dict[CoordinateKey, FloatArray] = {}
            for numbers, count in layer:
                key = tuple(int(number) for number in numbers)
                points[key] = whole[key][taken[key] : taken[key] + count]
                taken[key] += count
            found.append(SparseLayer(points))
        if any(taken[key] != len(points) for key, points in whole.items()):
            raise ValueError("numbers of sparse points differ")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IonloopError(
            f"{path} does not say how the sparse points of the potential were added ({error}); fit it again, or keep "
            "none of its sparse points"
        ) from error
    return SparsePoints(tuple(found))
