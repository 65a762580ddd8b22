"""Fits of GAPs: the model of gap_fit from the same data and settings, in a small fraction of its time and memory.

Rows of the linear system are computed configuration by configuration on all threads, merged into a triangle
as they come (:mod:`.solve`), and read once more for the errors: on the training data, and those that every
configuration would have if the potential had been fitted without it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemv
from threadpoolctl import threadpool_limits

from ...errors import InputError, IonloopError
from ..data_sets import DataSet, LabelledConfiguration, write_text_durably
from ..gap_fit import POTENTIAL_FILE, effective_regularisation
from ..preflight import check_data
from ..settings import GapSettings
from .candidates import choose_sparse_points, selection_bytes
from .design import Descriptors, RowBuilder, sparse_points_of
from .fit_errors import ConfigurationErrors, FitErrors
from .fit_inputs import FitInputs, FitProgress, FitResources, ParallelMap, ProgressCallback, Stage
from .gap_xml import GapModel, write_gap_xml
from .row_cache import RowCache
from .row_store import RowStore
from .rows import N_VIRIAL_ROWS
from .solve import StreamingLeastSquares, leave_out_residuals, prior_factor
from .sparse_points import CoordinateKey, SparseLayer, SparsePoints

FloatArray = NDArray[np.float64]

SPARSE_POINTS_FILE = "sparse_points.json"
_BYTES = 8
_MEGABYTE = 1_000_000
_LARGEST_BLOCK_ROWS = 2048
_VIRIAL_COMPONENTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@dataclass(frozen=True, eq=False)
class NativeFit:
    """A fitted potential and what the fit says about it.

    Attributes:
        model: the potential.
        sparse_points: its sparse points with their layers, to be kept in a later fit.
        training_errors: prediction minus label of every configuration.
        leave_out_errors: the same, had the configuration not been fitted (its sparse points stay); None if
            not wanted.
        objective: the minimum of |Σ⁻¹(K α - y)|² + αᵀ K_MM α.
        timings: wall time by stage (s).
        rows_reused, rows_computed: rows times columns taken from the cache, and computed.
    """

    model: GapModel
    sparse_points: SparsePoints
    training_errors: FitErrors
    leave_out_errors: FitErrors | None
    objective: float
    timings: Mapping[str, float]
    rows_reused: int
    rows_computed: int

    def write(self, folder: Path, file_name: str = POTENTIAL_FILE) -> Path:
        """Write the potential as files that QUIP reads, and the layers of its sparse points; return the XML file."""
        path = write_gap_xml(self.model, folder, file_name)
        layers = [
            [[list(key), len(points)] for key, points in layer.points.items()] for layer in self.sparse_points.layers
        ]
        write_text_durably(Path(folder) / SPARSE_POINTS_FILE, json.dumps({"layers": layers}) + "\n")
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
    """Fit a GAP to energies, forces and virials; :func:`run_fit` has all options.

    Args:
        data_set: labelled configurations and energies of the isolated atoms.
        settings: hyperparameters.
        seed: for the selection of sparse points.
        threads: of rows, factorisation and errors.
        memory_limit_MB: of the fit's arrays, MB.
        progress: called after every configuration of a stage, from this thread.
        cache_folder: where rows are kept for later fits.

    Raises:
        PreflightError: if the data cannot be used; every reason is given.
        InputError: if the memory limit is too low.
        SingularFitError: if the linear system has no unique solution.
    """
    task = FitInputs(data_set, settings, seed)
    return run_fit(task, FitResources(threads, memory_limit_MB, cache_folder), progress)


def run_fit(task: FitInputs, resources: FitResources, progress: ProgressCallback | None = None) -> NativeFit:
    """Fit a GAP; errors as :func:`fit_native`, and InputError for sparse points that do not fit."""
    check_data(task.data_set, task.settings)
    if resources.threads < 1:
        raise InputError(f"a fit needs at least one thread, not {resources.threads}")
    # BLAS has its own threads, which fight with ours when both are used.
    with ThreadPoolExecutor(resources.threads) as pool, threadpool_limits(1):
        return _Fit(task, resources, pool, progress or _ignore).run()


def _ignore(_: FitProgress) -> None:
    pass


class _Fit:
    """One run: its stages share the row builder, the pool and the clock."""

    def __init__(
        self, task: FitInputs, resources: FitResources, pool: ThreadPoolExecutor, progress: ProgressCallback
    ) -> None:
        self._task = task
        self._resources = resources
        self._pool = pool
        self._progress = progress
        self._timings: dict[str, float] = {}
        self._configurations = task.data_set.configurations
        self._cache = RowCache(resources.cache_folder) if resources.cache_folder is not None else None
        self._reused = self._computed = 0

    def run(self) -> NativeFit:
        task = self._task
        descriptors = Descriptors.of(task.data_set.elements, task.settings)
        with self._timed("selection"):
            if task.sparse_points is None:
                self._check_memory(selection_bytes(task.data_set, descriptors), "the choice of sparse points")
            points = task.sparse_points or choose_sparse_points(task, descriptors, self._in_order("selection"))
            builder = RowBuilder(descriptors, points)
        needed_bytes = required_bytes(builder, self._configurations, self._resources.threads)
        kept_bytes = self._check_memory(needed_bytes, f"{builder.n_columns} sparse points")
        targets = [scaled_targets(item, task.settings, task.data_set) for item in self._configurations]
        with RowStore(kept_bytes) as store:
            system = self._factorise(builder, targets, store)
            with self._timed("factorisation"):
                alphas = system.solve()
            with self._timed("errors"):
                training, leave_out = self._errors(system.triangle, alphas, targets, store)
        return NativeFit(
            model=builder.model(
                alphas, {symbol: task.data_set.isolated_atom_energies[symbol] for symbol in task.data_set.elements}
            ),
            sparse_points=points,
            training_errors=training,
            leave_out_errors=leave_out,
            objective=system.objective,
            timings=dict(self._timings),
            rows_reused=self._reused,
            rows_computed=self._computed,
        )

    def _check_memory(self, needed_bytes: int, purpose: str) -> float:
        """Return how much memory is left (bytes)."""
        left_bytes = self._resources.memory_limit_MB * _MEGABYTE - needed_bytes
        if left_bytes < 0:
            raise InputError(
                f"the fit needs at least {needed_bytes / _MEGABYTE:.0f} MB for {purpose}; memory_limit_MB is "
                f"{self._resources.memory_limit_MB:g}: raise it, or use fewer sparse points, a smaller n_max or l_max, "
                "or fewer threads"
            )
        return left_bytes

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._timings[stage] = self._timings.get(stage, 0.0) + time.perf_counter() - start

    def _in_order(self, stage: Stage) -> ParallelMap:
        """Return a parallel map over configurations that reports progress and keeps their order."""

        def mapped(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
            for done, result in enumerate(self._pool.map(function, items), start=1):
                yield result
                self._progress(FitProgress(stage, done, len(items)))

        return mapped

    def _factorise(
        self, builder: RowBuilder, targets: Sequence[tuple[FloatArray, FloatArray]], store: RowStore
    ) -> StreamingLeastSquares:
        with self._timed("factorisation"):
            prior = prior_factor(builder.prior_blocks(), builder.n_columns, self._task.settings.sparse_jitter)
            system = StreamingLeastSquares(prior)
            del prior
        n_done = 0
        for block in blocks_of(targets, builder.n_columns):
            with self._timed("rows"):
                found = self._pool.map(lambda index: self._rows(builder, index), block)
                matrix = np.empty((sum(len(targets[index][0]) for index in block), builder.n_columns + 1), order="F")
                start = 0
                for index, (parts, reused, computed) in zip(block, found, strict=True):
                    values, sigmas = targets[index]
                    rows = _side_by_side(parts)[: len(values)]
                    store.keep(index, rows)
                    stop = start + len(values)
                    np.divide(rows, sigmas[:, None], out=matrix[start:stop, :-1])
                    matrix[start:stop, -1] = values / sigmas
                    start = stop
                    self._reused += reused
                    self._computed += computed
                    n_done += 1
                    self._progress(FitProgress("rows", n_done, len(targets)))
            with self._timed("factorisation"), threadpool_limits(self._resources.threads):
                system.add(matrix)
            del matrix
        return system

    def _rows(self, builder: RowBuilder, index: int) -> tuple[list[FloatArray], int, int]:
        """Return the rows of a configuration layer by layer, and how many numbers were reused and computed."""
        atoms = self._configurations[index].atoms
        layers = range(len(builder.sparse_points.layers))
        if self._cache is None:
            parts = builder.rows(atoms, layers)
            return parts, 0, sum(part.size for part in parts)
        keys = [builder.key(atoms, layer) for layer in layers]
        found = {layer: self._cache.read(keys[layer], builder.shape(atoms, layer)) for layer in layers}
        missing = [layer for layer in layers if found[layer] is None]
        for layer, part in zip(missing, builder.rows(atoms, missing) if missing else [], strict=True):
            self._cache.write(keys[layer], part)
            found[layer] = part
        parts = [part for part in found.values() if part is not None]
        computed = sum(parts[layer].size for layer in missing)
        return parts, sum(part.size for part in parts) - computed, computed

    def _errors(
        self,
        triangle: FloatArray,
        alphas: FloatArray,
        targets: Sequence[tuple[FloatArray, FloatArray]],
        store: RowStore,
    ) -> tuple[FitErrors, FitErrors | None]:
        def residuals(index: int) -> tuple[FloatArray, FloatArray | None]:
            values, sigmas = targets[index]
            rows = store.read(index)
            fitted = dgemv(1.0, rows.T, alphas, trans=1) - values
            if not self._task.leave_out:
                return fitted, None
            scaled = leave_out_residuals(rows / sigmas[:, None], fitted / sigmas, triangle)
            return fitted, scaled * sigmas

        found = list(self._in_order("errors")(residuals, range(len(targets))))
        training = FitErrors(
            tuple(errors_of(item, part) for item, (part, _) in zip(self._configurations, found, strict=True))
        )
        left_out = [
            errors_of(item, part)
            for item, (_, part) in zip(self._configurations, found, strict=True)
            if part is not None
        ]
        return training, FitErrors(tuple(left_out)) if self._task.leave_out else None


def _side_by_side(parts: Sequence[FloatArray]) -> FloatArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def blocks_of(targets: Sequence[tuple[FloatArray, FloatArray]], n_columns: int) -> Iterator[list[int]]:
    """Yield consecutive configurations whose rows together do not exceed the columns, one of them at least."""
    limit = min(max(n_columns, 256), _LARGEST_BLOCK_ROWS)
    block: list[int] = []
    n_rows = 0
    for index, (values, _) in enumerate(targets):
        if block and n_rows + len(values) > limit:
            yield block
            block, n_rows = [], 0
        block.append(index)
        n_rows += len(values)
    if block:
        yield block


def required_bytes(builder: RowBuilder, configurations: Sequence[LabelledConfiguration], threads: int) -> int:
    """Return what a fit holds at once (bytes) when it keeps no rows in memory.

    That are the triangle, the prior's factor, a block of rows and its copy, sparse points as matrices, and
    each thread's work space.
    """
    columns = builder.n_columns
    largest_atoms = max(configuration.n_atoms for configuration in configurations)
    largest_rows = 1 + 3 * largest_atoms + N_VIRIAL_ROWS
    block_rows = max(min(max(columns, 256), _LARGEST_BLOCK_ROWS), largest_rows)
    return _BYTES * (
        2 * (columns + 1) ** 2
        + 2 * block_rows * (columns + 1)
        + builder.expanded_numbers
        + threads * (2 * largest_rows * columns + builder.workspace_numbers)
    )


def scaled_targets(
    configuration: LabelledConfiguration, settings: GapSettings, data_set: DataSet
) -> tuple[FloatArray, FloatArray]:
    """Return the values that rows are fitted to and their standard deviations, each [n_rows].

    The energy counts from the isolated atoms; forces and virial have their signs changed (they are minus the
    derivatives of the energy); without a stress the virial's rows are left out. Standard deviations of
    energy and virial grow with the square root of the number of atoms.
    """
    atoms = configuration.atoms
    sigma = effective_regularisation(configuration, settings)
    scale = np.sqrt(configuration.n_atoms)
    symbols = atoms.get_chemical_symbols()
    isolated = sum(data_set.isolated_atom_energies[symbol] for symbol in symbols)
    force_sigmas = np.array([sigma.force_sigma_eV_per_A(symbol) for symbol in symbols])
    values = [np.array([configuration.energy - isolated]), -configuration.forces.ravel()]
    sigmas = [np.array([sigma.energy_eV_per_atom * scale]), np.repeat(force_sigmas, 3)]
    virial = configuration.virial
    if virial is not None:
        values.append(-np.array([virial[component] for component in _VIRIAL_COMPONENTS]))
        sigmas.append(np.full(N_VIRIAL_ROWS, sigma.virial_eV_per_atom * scale))
    return np.concatenate(values), np.concatenate(sigmas)


def errors_of(configuration: LabelledConfiguration, residuals: FloatArray) -> ConfigurationErrors:
    """Return residuals of rows as errors (prediction minus label) of energy, forces and virial."""
    n_forces = 3 * configuration.n_atoms
    virial = residuals[1 + n_forces :]
    return ConfigurationErrors(
        identifier=configuration.identifier,
        config_type=configuration.config_type,
        symbols=tuple(configuration.atoms.get_chemical_symbols()),
        energy_eV=float(residuals[0]),
        forces_eV_per_A=-residuals[1 : 1 + n_forces].reshape(-1, 3),
        virial_eV=-virial if len(virial) else None,
    )


def read_sparse_points(folder: Path, model: GapModel) -> SparsePoints:
    """Return the sparse points of a potential that :meth:`NativeFit.write` wrote, with their layers.

    Args:
        folder: where it was written.
        model: the potential, as read from there.

    Raises:
        IonloopError: if the file of the layers is missing or belongs to another potential.
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
