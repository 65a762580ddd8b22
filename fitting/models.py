"""Fitted potentials as folders: fit, write, verify, load.

A model folder holds everything that its potential needs and came from: ``gap.xml`` with its sparse points,
the training set, what gap_fit was given, its log, and ``model.json`` with hyperparameters, baseline, hashes
and checksums. Paths inside are relative: the folder can be moved.

ES-GAP (Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562, 10.1021/acsaem.1c02363) is a GAP fitted to
reference minus electrostatic baseline, plus that baseline. Energies of isolated atoms stay with the GAP.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, get_args

from ase.calculators.calculator import Calculator
from pydantic import Field, ValidationError

from ..core.errors import InputError, IonloopError
from ..core.files import flush, flush_folder, sha256_of, write_whole
from ..core.processes import has_ended, process_name
from .backends import fit_natively, foreign_calculator, gap_calculator
from .calculators import EsGapCalculator
from .cores import subtract_baseline
from .data_sets import DataSet, write_extxyz
from .electrostatics.baseline import SlaterEwald
from .gap_fit import POTENTIAL_FILE, FitLimits, GapFitRun, expected_counts, fit_gap
from .model_kinds import ModelKind
from .native.sparse_fit.fit_errors import ErrorSummary
from .preflight import check_data, check_fit
from .settings import BaselineSettings, EvaluateBackend, FitBackend, FrozenSettings, GapSettings

MANIFEST_FILE: Final = "model.json"
TRAINING_SET_FILE: Final = "training_set.xyz"
SCHEMA_VERSION: Final = 1
DEFAULT_FIT_BACKEND: Final[FitBackend] = "native"
DEFAULT_EVALUATE_BACKEND: Final[EvaluateBackend] = "native"
_TEMPORARY_SUFFIXES = (".partial", ".damaged")
_PACKAGES = ("ionloop", "quippy-ase", "ase", "numpy")


class ModelError(IonloopError):
    """A model folder is missing, damaged or not understood."""


class ModelManifest(FrozenSettings):
    """What a model folder says about itself (``model.json``)."""

    schema_version: int = Field(SCHEMA_VERSION, description="Version of this file's layout (count)")
    kind: ModelKind = Field(description="Kind of potential (name)")
    settings: GapSettings = Field(description="Hyperparameters (units in their names)")
    baseline: BaselineSettings | None = Field(description="Electrostatic baseline; null for GAP (e, 1/Å)")
    elements: tuple[str, ...] = Field(description="Elements that the model knows (symbols)")
    isolated_atom_energies_eV: dict[str, float] = Field(description="Energies of the isolated atoms (eV)")
    training_set_hash: str = Field(description="Content hash of the training set (SHA-256)")
    inputs_hash: str = Field(description="Hash of all that determines the model (SHA-256)")
    seed: int = Field(description="Random seed of the fit (integer)")
    configurations: int = Field(description="Configurations in the training set (count)")
    target_energies: int = Field(description="Energies that the fit used (count)")
    target_forces: int = Field(description="Force components that the fit used (count)")
    target_virials: int = Field(description="Virial components that the fit used (count)")
    wall_time_s: float = Field(description="Wall time of the fit (s)")
    backend: FitBackend = Field("gap_fit", description="What fitted the model (name)")
    command: tuple[str, ...] = Field(description="gap_fit's command line (words); none for the native backend")
    earlier_model: str | None = Field(
        None, description="Inputs' hash of the model whose sparse points were kept (SHA-256); null if none were"
    )
    training_errors: ErrorSummary | None = Field(
        None, description="Errors of the GAP on its training data, if the backend gives them (eV/atom, eV/Å)"
    )
    leave_out_errors: ErrorSummary | None = Field(
        None, description="The same, each configuration left out of the fit in its turn (eV/atom, eV/Å)"
    )
    versions: dict[str, str] = Field(description="Versions of the packages that took part (names)")
    files: dict[str, str] = Field(description="Checksum of every file in the folder (SHA-256)")


def baseline_calculator(baseline: BaselineSettings) -> Calculator:
    """Return the electrostatic baseline as an ASE calculator."""
    return SlaterEwald(
        charges=dict(baseline.charges), exponents=dict(baseline.exponents) or None, accuracy=baseline.accuracy
    )


def compute_inputs_hash(
    kind: ModelKind,
    data_set: DataSet,
    settings: GapSettings,
    baseline: BaselineSettings | None,
    seed: int,
    backend: FitBackend = DEFAULT_FIT_BACKEND,
    earlier_model: str | None = None,
) -> str:
    """Return a hash (SHA-256) of all that determines a model; dictionaries count without their order.

    ``earlier_model`` is the hash of the model whose sparse points are kept.
    """
    inputs = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "training_set": data_set.content_hash,
        "settings": settings.identifying_values(),
        "baseline": None if baseline is None else baseline.model_dump(mode="json"),
        "seed": seed,
        "backend": backend,
        "earlier_model": earlier_model,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def fit_model(
    kind: ModelKind,
    data_set: DataSet,
    settings: GapSettings,
    baseline: BaselineSettings | None,
    folder: Path,
    *,
    seed: int = 0,
    limits: FitLimits | None = None,
    backend: FitBackend = DEFAULT_FIT_BACKEND,
    earlier_model: Path | None = None,
) -> ModelManifest:
    """Fit a potential and write it to ``folder``; a whole folder of the same inputs is returned at once.

    The folder is written beside its place under a temporary name, flushed to the disk and renamed: it is
    there whole or not at all. A damaged model is fitted again. ``baseline`` is used for "es-gap" only.
    ``earlier_model``, for the native backend, is the folder of a model whose sparse points are kept: rows that
    were computed for it are found in ``limits.cache_folder`` again.

    Raises
    ------
    InputError
        If the inputs cannot be used, or the folder holds something else.
    GapFitError
        If gap_fit fails.
    SingularFitError
        If the native fit has no unique solution.
    ModelError
        If the folder cannot be written.
    """
    folder = Path(folder).absolute()
    inputs = _checked_inputs(kind, data_set, settings, baseline, seed, backend, earlier_model)
    existing = _existing_model(folder, inputs.inputs_hash)
    if existing is not None:
        return existing
    limits = limits or FitLimits()
    _check_baseline_elements(data_set, inputs.baseline)
    groups = _check_fit(data_set, settings, limits, backend)
    temporary = _temporary_folder(folder)
    try:
        return _publish(temporary, folder, _write_model(temporary, inputs, limits, groups))
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _ModelInputs:
    """All that determines a model, and where the earlier one is whose sparse points are kept."""

    kind: ModelKind
    data_set: DataSet
    settings: GapSettings
    baseline: BaselineSettings | None
    seed: int
    backend: FitBackend
    earlier_model: Path | None
    earlier_hash: str | None

    @property
    def inputs_hash(self) -> str:
        return compute_inputs_hash(
            self.kind, self.data_set, self.settings, self.baseline, self.seed, self.backend, self.earlier_hash
        )


def _checked_inputs(
    kind: ModelKind,
    data_set: DataSet,
    settings: GapSettings,
    baseline: BaselineSettings | None,
    seed: int,
    backend: FitBackend,
    earlier_model: Path | None,
) -> _ModelInputs:
    if kind not in get_args(ModelKind):
        raise InputError(f"unknown kind of model {kind!r}; allowed are {', '.join(get_args(ModelKind))}")
    _check_backend(backend, earlier_model)
    if kind == "es-gap" and baseline is None:
        raise InputError("an es-gap needs a baseline: give the charges of its elements")
    return _ModelInputs(
        kind,
        data_set,
        settings,
        baseline if kind == "es-gap" else None,
        seed,
        backend,
        earlier_model,
        None if earlier_model is None else read_manifest(earlier_model).inputs_hash,
    )


def _write_model(
    temporary: Path, inputs: _ModelInputs, limits: FitLimits, groups: tuple[tuple[str, ...], ...]
) -> ModelManifest:
    """Fit a model and write all of its files."""
    write_extxyz(temporary / TRAINING_SET_FILE, inputs.data_set)
    targets = inputs.data_set
    if inputs.baseline is not None:
        targets = subtract_baseline(targets, baseline_calculator(inputs.baseline))
    if inputs.backend == "native":
        entries = _native_entries(temporary, targets, inputs, limits)
    else:
        entries = _run_entries(fit_gap(temporary, targets, groups, inputs.settings, seed=inputs.seed, limits=limits))
    manifest = ModelManifest(
        kind=inputs.kind,
        settings=inputs.settings,
        baseline=inputs.baseline,
        inputs_hash=inputs.inputs_hash,
        seed=inputs.seed,
        backend=inputs.backend,
        earlier_model=inputs.earlier_hash,
        files=_checksums(temporary),
        versions=_versions(),
        **_data_entries(inputs.data_set),
        **entries,
    )
    write_whole(temporary / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(folder: Path, *, verify: bool = True) -> ModelManifest:
    """Return the manifest of a model folder, after comparing all checksums unless ``verify`` is false.

    Raises
    ------
    ModelError
        If the folder, its manifest or a file is missing, damaged or of another version.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a model folder: it has no {MANIFEST_FILE}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}; fit the model again") from error
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found != SCHEMA_VERSION:
        raise ModelError(f"{path} has the schema version {found!r}; this version of ionloop reads {SCHEMA_VERSION}")
    if content.get("kind") not in get_args(ModelKind):
        raise ModelError(
            f"{path} is of the unknown kind {content.get('kind')!r}; known are {', '.join(get_args(ModelKind))}"
        )
    try:
        manifest = ModelManifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    if manifest.kind == "es-gap" and manifest.baseline is None:
        raise ModelError(f"{path} is damaged: an es-gap without baseline")
    if verify:
        _verify_files(Path(folder), manifest.files)
    return manifest


def load_model(path: Path, *, verify: bool = True, backend: EvaluateBackend | None = None) -> Calculator:
    """Return a potential as an ASE calculator (energy, forces, stress).

    Parameters
    ----------
    path : a model folder, or the XML file of any GAP, whoever fitted it
    verify : compare the checksums of a folder first
    backend : what evaluates the GAP, "native" or "quippy"; None takes the default

    Raises
    ------
    InputError
        If there is no such file, no such backend, or QUIP is asked for and not there.
    ModelError
        If a folder is not a whole model.
    IonloopError
        If a file is damaged, or the native backend does not have a feature of it; the message names it.
    """
    path = Path(path)
    backend = DEFAULT_EVALUATE_BACKEND if backend is None else backend
    if backend not in get_args(EvaluateBackend):
        raise InputError(f"unknown backend {backend!r}; allowed are {', '.join(get_args(EvaluateBackend))}")
    if path.is_file() and path.name != MANIFEST_FILE:
        return foreign_calculator(path, backend)
    folder = path.parent if path.name == MANIFEST_FILE else path
    manifest = read_manifest(folder, verify=verify)
    if not (folder / POTENTIAL_FILE).is_file():
        raise ModelError(f"{folder / POTENTIAL_FILE} is missing; fit the model again")
    gap = gap_calculator(folder / POTENTIAL_FILE, manifest.elements, backend)
    if manifest.baseline is None:
        return gap
    return EsGapCalculator(gap, baseline_calculator(manifest.baseline))


def _data_entries(data_set: DataSet) -> dict[str, Any]:
    energies = data_set.isolated_atom_energies
    return {
        "elements": data_set.elements,
        "isolated_atom_energies_eV": {element: energies[element] for element in data_set.elements},
        "training_set_hash": data_set.content_hash,
        "configurations": len(data_set),
    }


def _run_entries(run: GapFitRun) -> dict[str, Any]:
    return {
        "target_energies": run.counts.energies,
        "target_forces": run.counts.forces,
        "target_virials": run.counts.virials,
        "wall_time_s": run.wall_time_s,
        "command": run.command,
    }


def _native_entries(folder: Path, targets: DataSet, inputs: _ModelInputs, limits: FitLimits) -> dict[str, Any]:
    """Fit, write the potential, and return what the manifest says about the fit."""
    start = time.monotonic()
    fit = fit_natively(
        folder, targets, inputs.settings, seed=inputs.seed, limits=limits, earlier_model=inputs.earlier_model
    )
    run = GapFitRun((), expected_counts(targets), time.monotonic() - start)
    return {
        **_run_entries(run),
        "training_errors": fit.training_errors.summary(),
        "leave_out_errors": None if fit.leave_out_errors is None else fit.leave_out_errors.summary(),
    }


def _check_fit(
    data_set: DataSet, settings: GapSettings, limits: FitLimits, backend: FitBackend
) -> tuple[tuple[str, ...], ...]:
    """Check that a fit can succeed; return the pairs and triplets of elements that gap_fit wants to know."""
    if backend == "gap_fit":
        cost = check_fit(data_set, settings, limits)
        return (*cost.pairs, *cost.triplets)
    check_data(data_set, settings)
    return ()


def _check_backend(backend: FitBackend, earlier_model: Path | None) -> None:
    if backend not in get_args(FitBackend):
        raise InputError(f"unknown backend {backend!r}; allowed are {', '.join(get_args(FitBackend))}")
    if earlier_model is not None and backend != "native":
        raise InputError(f"only the native backend keeps an earlier model's sparse points, not {backend}")


def _check_baseline_elements(data_set: DataSet, baseline: BaselineSettings | None) -> None:
    if baseline is None:
        return
    without_charge = [element for element in data_set.elements if element not in baseline.charges]
    if without_charge:
        raise InputError(
            f"the baseline has no charge for {', '.join(without_charge)}, which the data contain; "
            f"it has charges for {', '.join(baseline.charges)}"
        )


def _existing_model(folder: Path, inputs_hash: str) -> ModelManifest | None:
    """Return the whole model of these inputs that is there, None if there is none or a damaged one."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not folder.is_dir() or not any((folder / name).exists() for name in (MANIFEST_FILE, POTENTIAL_FILE)):
        raise InputError(f"{folder} exists and is not a model folder; choose another name")
    try:
        manifest = read_manifest(folder)
    except ModelError:
        return None
    if manifest.inputs_hash != inputs_hash:
        raise InputError(
            f"{folder} holds another model (kind {manifest.kind}, training set "
            f"{manifest.training_set_hash[:12]}, seed {manifest.seed}); choose another folder"
        )
    return manifest


def _temporary_folder(folder: Path) -> Path:
    """Return a new folder beside the target; those that processes left that are known to be dead go."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
            owner = leftover.stem.removeprefix(f".{folder.name}.")
            if leftover.suffix in _TEMPORARY_SUFFIXES and has_ended(owner):
                shutil.rmtree(leftover, ignore_errors=True)
        temporary = folder.with_name(f".{folder.name}.{process_name(os.getpid())}{_TEMPORARY_SUFFIXES[0]}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder.parent}: {error}") from error
    return temporary


def _publish(temporary: Path, folder: Path, manifest: ModelManifest) -> ModelManifest:
    """Flush a folder to the disk and give it its name; return the manifest of the model that is there then.

    A damaged model in its place makes way; one that another process finished meanwhile stays.
    """
    flush_folder(temporary)
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        finished_meanwhile = _existing_model(folder, manifest.inputs_hash)
        if finished_meanwhile is not None:
            return finished_meanwhile
        damaged = temporary.with_suffix(_TEMPORARY_SUFFIXES[1])
        shutil.rmtree(damaged, ignore_errors=True)
        folder.rename(damaged)
        temporary.rename(folder)
        shutil.rmtree(damaged, ignore_errors=True)
    flush(folder.parent)
    return manifest


def _checksums(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _verify_files(folder: Path, files: Mapping[str, str]) -> None:
    problems = []
    for name, checksum in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(path) != checksum:
            problems.append(f"{name} has the wrong checksum")
    if problems:
        raise ModelError(f"the model in {folder} is damaged: {'; '.join(problems)}; fit it again")


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions
