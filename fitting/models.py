"""Fitted potentials as folders: fit, write, verify, load.

A model folder holds everything that its potential needs and came from: the files of its kind (of a GAP ``gap.xml``
with its sparse points, what gap_fit was given, its log), the training set, and ``model.json`` with hyperparameters,
baseline, hashes and checksums. Paths inside are relative: the folder can be moved.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ase.calculators.calculator import Calculator
from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from ..core.errors import InputError, IonloopError
from ..core.files import flush, flush_folder, sha256_of, write_whole
from ..core.kinds import OWN_PACKAGE, UnknownKind
from ..core.processes import has_ended, process_name
from ..core.settings import FrozenSettings
from .data_sets import DataSet, write_extxyz
from .electrostatics.base import BaselineKind
from .electrostatics.registry import AnyBaselineSettings, kind_of_baseline
from .kinds.base import NATIVE, FitReport, FitRequest, ModelKind
from .kinds.gap import GAP
from .kinds.registry import MODELS, settings_of_kind
from .native.sparse_fit.fit_errors import ErrorSummary
from .posterior.calibration import Calibration
from .settings import CommonBaselineSettings

if TYPE_CHECKING:
    from .gap_fit import FitLimits
    from .posterior.base import ModelPosterior
    from .tuning.gap import TuningRequest
    from .tuning.search import Tuning

MANIFEST_FILE: Final = "model.json"
TRAINING_SET_FILE: Final = "training_set.xyz"
SCHEMA_VERSION: Final = 1
_TEMPORARY_SUFFIXES = (".partial", ".damaged")
_PACKAGES = ("ionloop", "quippy-ase", "ase", "numpy")


class ModelError(IonloopError):
    """A model folder cannot be written, or is none that can be used."""


class UnusableModel(ModelError, InputError):
    """A model folder is missing, damaged or not understood."""


class ModelManifest(FrozenSettings):
    """What a model folder says about itself (``model.json``)."""

    schema_version: int = Field(SCHEMA_VERSION, description="Version of this file's layout (count)")
    kind: str = Field(description="Kind of potential (name)")
    settings: SerializeAsAny[FrozenSettings] = Field(description="Hyperparameters (units in their names)")
    baseline: AnyBaselineSettings | None = Field(description="Electrostatic baseline; null without one (e, 1/Å)")
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
    backend: str = Field("gap_fit", description="What fitted the model (name)")
    command: tuple[str, ...] = Field(description="Command line of the program that fitted (words); none for our own")
    earlier_model: str | None = Field(
        None, description="Inputs' hash of the model whose sparse points were kept (SHA-256); null if none were"
    )
    experts: tuple[str, ...] = Field(
        (), description="Inputs' hashes of the models that it is made of (SHA-256); none for one of its own data alone"
    )
    training_errors: ErrorSummary | None = Field(
        None, description="Errors of the GAP on its training data, if the backend gives them (eV/atom, eV/Å)"
    )
    leave_out_errors: ErrorSummary | None = Field(
        None, description="The same, each configuration left out of the fit in its turn (eV/atom, eV/Å)"
    )
    calibration: Calibration | None = Field(
        None,
        description="Left-out errors over the deviations that the model's posterior believes in; null where it has none"
        " (no unit)",
    )
    versions: dict[str, str] = Field(description="Versions of the packages that took part (names)")
    files: dict[str, str] = Field(description="Checksum of every file in the folder (SHA-256)")

    @field_validator("settings", mode="before")
    @classmethod
    def _of_their_kind(cls, value: Any, info: ValidationInfo) -> Any:
        return settings_of_kind(info.data.get("kind"), value)


def compute_inputs_hash(
    kind: str,
    data_set: DataSet,
    settings: FrozenSettings,
    baseline: CommonBaselineSettings | None,
    seed: int,
    backend: str = NATIVE,
    earlier_model: str | None = None,
    experts: Sequence[str] = (),
) -> str:
    """Return a hash (SHA-256) of all that determines a model; dictionaries count without their order.

    ``earlier_model`` is the hash of the model whose sparse points are kept, ``experts`` are those of the models that it
    is made of.
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
    if experts:
        inputs["experts"] = list(experts)
    labels = None if baseline is None else kind_of_baseline(baseline).charge_labels_hash(baseline, data_set)
    if labels is not None:
        # Left out where there are none, as before they were fitted: models of then keep their names.
        inputs["charge_labels"] = labels
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def tune_model(
    kind: str,
    data_set: DataSet,
    settings: FrozenSettings,
    baseline: CommonBaselineSettings | None,
    tuning: TuningRequest,
    *,
    seed: int = 0,
    limits: FitLimits | None = None,
    backend: str | None = None,
) -> Tuning:
    """Return hyperparameters with lower left-out errors, for a fit that `fit_model` would do; nothing is written.

    Raises
    ------
    InputError
        If the inputs cannot be used, or models of the kind are not tuned.
    """

    from .gap_fit import FitLimits

    model = MODELS.get(kind)
    _check_baseline_elements(data_set, baseline)
    chosen = backend or model.fit_backends[0]
    request = FitRequest(data_set, settings, baseline, seed, chosen, limits or FitLimits(), Path())
    model.check(request)
    return model.tuned(request, tuning, compute_inputs_hash(kind, data_set, settings, baseline, seed, chosen))


def fit_model(
    kind: str,
    data_set: DataSet,
    settings: FrozenSettings,
    baseline: CommonBaselineSettings | None,
    folder: Path,
    *,
    seed: int = 0,
    limits: FitLimits | None = None,
    backend: str | None = None,
    earlier_model: Path | None = None,
    experts: Sequence[Path] = (),
) -> ModelManifest:
    """Fit a potential and write it to ``folder``; a whole folder of the same inputs is returned at once.

    The folder is written beside its place under a temporary name, flushed to the disk and renamed: it is
    there whole or not at all. A damaged model is fitted again. ``baseline`` is used by kinds that need one only.
    ``backend`` is one of the kind's, None its first. ``earlier_model``, for kinds that grow, is the folder of a model
    whose sparse points are kept: rows that were computed for it are found in ``limits.cache_folder`` again.
    ``experts``, for kinds that are made of other models, are the folders of these; their data join the data set.

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

    from .gap_fit import FitLimits

    folder = Path(folder).absolute()
    limits, paths = limits or FitLimits(), tuple(Path(expert).absolute() for expert in experts)
    asked = FitRequest(data_set, settings, baseline, seed, backend or "", limits, folder, earlier_model, paths)
    model, request = _checked_request(kind, asked)
    inputs_hash = compute_inputs_hash(
        kind,
        data_set,
        settings,
        request.baseline,
        seed,
        request.backend,
        _inputs_hash_of(earlier_model),
        [read_manifest(expert).inputs_hash for expert in request.experts],
    )
    existing = _existing_model(folder, inputs_hash, model.potential_file)
    if existing is not None:
        return existing
    if request.experts:
        request = model.with_experts(request)
    _check_baseline_elements(request.data_set, request.baseline)
    model.check(request)
    temporary = _temporary_folder(folder)
    try:
        manifest = _write_model(model, replace(request, folder=temporary), inputs_hash)
        return _publish(temporary, folder, manifest)
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _checked_request(kind: str, request: FitRequest) -> tuple[ModelKind, FitRequest]:
    """Return the kind, and the request with the kind's own fitter where none is named, and no needless baseline.

    Raises
    ------
    InputError
        If the kind is unknown, or cannot be fitted so.
    """
    model = MODELS.get(kind)
    backend = request.backend or model.fit_backends[0]
    if backend not in model.fit_backends:
        raise InputError(f"unknown backend {backend!r} for {kind}; allowed are {', '.join(model.fit_backends)}")
    if not isinstance(request.settings, model.settings_type):
        raise InputError(f"{kind} needs {model.settings_type.__name__}, not {type(request.settings).__name__}")
    if request.earlier_model is not None and not model.grows(backend):
        growing = [one for one in model.fit_backends if model.grows(one)]
        if growing:
            raise InputError(f"only the {growing[0]} backend keeps an earlier model's sparse points, not {backend}")
        raise InputError(f"{kind} does not grow from an earlier model: it has no sparse points to keep")
    if model.needs_baseline and request.baseline is None:
        raise InputError(f"{kind} needs a baseline: give the charges of its elements")
    baseline = request.baseline if model.needs_baseline else None
    if baseline is not None and (under := kind_of_baseline(baseline)).is_fitted:
        if not model.fits_baselines:
            raise InputError(f"{kind} cannot fit {under.name} charges together with its own parameters")
        if backend not in (able := model.fit_backends_on(under)):
            raise InputError(f"{backend} cannot fit {under.name} charges; allowed are {', '.join(able)}")
    return model, replace(request, backend=backend, baseline=baseline)


def _inputs_hash_of(folder: Path | None) -> str | None:
    return None if folder is None else read_manifest(folder).inputs_hash


def _write_model(kind: ModelKind, request: FitRequest, inputs_hash: str) -> ModelManifest:
    """Fit a model and write all of its files."""
    data_set, folder = request.data_set, request.folder
    write_extxyz(folder / TRAINING_SET_FILE, data_set)
    start = time.monotonic()
    report = kind.fit(request)
    wall_time_s = time.monotonic() - start
    if not (folder / kind.potential_file).is_file():
        raise ModelError(f"the fit of {kind.name} wrote no {kind.potential_file}")
    energies = data_set.isolated_atom_energies
    manifest = ModelManifest(
        kind=kind.name,
        settings=request.settings,
        baseline=request.baseline,
        elements=data_set.elements,
        isolated_atom_energies_eV={element: energies[element] for element in data_set.elements},
        training_set_hash=data_set.content_hash,
        inputs_hash=inputs_hash,
        seed=request.seed,
        configurations=len(data_set),
        wall_time_s=wall_time_s,
        backend=request.backend,
        earlier_model=_inputs_hash_of(request.earlier_model),
        experts=tuple(read_manifest(expert, verify=False).inputs_hash for expert in request.experts),
        files=_checksums(folder),
        versions=_versions(kind),
        **_said_by_the_fit(report, data_set),
    )
    write_whole(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _said_by_the_fit(report: FitReport, data_set: DataSet) -> dict[str, Any]:
    from .gap_fit import expected_counts

    counts = report.counts or expected_counts(data_set)
    return {
        "target_energies": counts.energies,
        "target_forces": counts.forces,
        "target_virials": counts.virials,
        "command": report.command,
        "training_errors": report.training_errors,
        "leave_out_errors": report.leave_out_errors,
        "calibration": report.calibration,
    }


def read_manifest(folder: Path, *, verify: bool = True) -> ModelManifest:
    """Return the manifest of a model folder, after comparing all checksums unless ``verify`` is false.

    Raises
    ------
    UnusableModel
        If the folder, its manifest or a file is missing, damaged or of another version.
    UnknownKind
        If it is of a kind that is not installed here.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UnusableModel(f"{folder} is not a model folder: it has no {MANIFEST_FILE}") from None
    except (OSError, ValueError) as error:
        raise UnusableModel(f"{path} cannot be read: {error}; fit the model again") from error
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found != SCHEMA_VERSION:
        raise UnusableModel(f"{path} has the schema version {found!r}; this version of ionloop reads {SCHEMA_VERSION}")
    kind = _kind_in(path, content)
    try:
        manifest = ModelManifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise UnusableModel(f"{path} is damaged: {error}") from error
    if kind.needs_baseline and manifest.baseline is None:
        raise UnusableModel(f"{path} is damaged: {kind.name} without baseline")
    if verify:
        _verify_files(Path(folder), manifest.files)
    return manifest


def _kind_in(path: Path, content: dict[str, Any]) -> ModelKind:
    name = content.get("kind")
    try:
        return MODELS.get(str(name))
    except UnknownKind as error:
        raise UnknownKind(f"{path}: {error}") from None


def load_model(path: Path, *, verify: bool = True, backend: str | None = None) -> Calculator:
    """Return a potential as an ASE calculator (energy, forces, stress).

    Parameters
    ----------
    path
        A model folder, or the XML file of any GAP, whoever fitted it.
    verify
        Compare the checksums of a folder first.
    backend
        What evaluates the model, one of the kind's evaluators ("native" or "quippy"); None takes the first.

    Raises
    ------
    InputError
        If there is no such file, no such backend, or QUIP is asked for and not there.
    UnknownKind
        If a folder is of a kind that is not installed here.
    UnusableModel
        If a folder is not a whole model.
    IonloopError
        If a file is damaged, or the native backend does not have a feature of it; the message names it.
    """

    from .backends import foreign_calculator

    path = Path(path)
    if path.is_file() and path.name != MANIFEST_FILE:
        _check_evaluator(GAP, backend)
        return foreign_calculator(path, backend or GAP.evaluators[0])
    folder = path.parent if path.name == MANIFEST_FILE else path
    manifest = read_manifest(folder, verify=verify)
    kind = MODELS.get(manifest.kind)
    _check_evaluator(kind, backend, None if manifest.baseline is None else kind_of_baseline(manifest.baseline))
    if not (folder / kind.potential_file).is_file():
        raise UnusableModel(f"{folder / kind.potential_file} is missing; fit the model again")
    return kind.load(folder, manifest, backend or kind.evaluators[0])


def load_posterior(path: Path, *, verify: bool = True) -> ModelPosterior:
    """Return what the model in a folder knows of its own errors.

    Raises
    ------
    NoPosterior
        If it knows nothing, with the reason.
    InputError
        If there is no model.
    UnknownKind, ModelError, IonloopError
        As `load_model`.
    """

    from .posterior.base import NoPosterior

    path = Path(path)
    if path.is_file() and path.name != MANIFEST_FILE:
        raise NoPosterior(f"{path} is a potential alone, without the folder of its fit: it has no posterior")
    folder = path.parent if path.name == MANIFEST_FILE else path
    manifest = read_manifest(folder, verify=verify)
    return MODELS.get(manifest.kind).posterior(folder, manifest)


def load_baseline(path: Path, *, verify: bool = True) -> Calculator:
    """Return the electrostatic baseline of a model's folder alone, as an ASE calculator.

    Raises
    ------
    InputError
        If the model has none.
    UnknownKind, ModelError, IonloopError
        As `load_model`.
    """
    path = Path(path)
    folder = path.parent if path.name == MANIFEST_FILE else path
    manifest = read_manifest(folder, verify=verify)
    if manifest.baseline is None:
        raise InputError(f"{folder} is a {manifest.kind} without an electrostatic baseline")
    return kind_of_baseline(manifest.baseline).alone(folder, manifest.baseline)


def _check_evaluator(kind: ModelKind, backend: str | None, baseline: BaselineKind | None = None) -> None:
    if backend is None:
        return
    if backend not in kind.evaluators:
        raise InputError(f"unknown backend {backend!r} for {kind.name}; allowed are {', '.join(kind.evaluators)}")
    if baseline is not None and backend not in kind.evaluators_on(baseline):
        raise InputError(
            f"{backend} does not evaluate {kind.name} with {baseline.name} charges, which were fitted with it; allowed "
            f"are {', '.join(kind.evaluators_on(baseline))}"
        )


def _check_baseline_elements(data_set: DataSet, baseline: CommonBaselineSettings | None) -> None:
    if baseline is None:
        return
    without_charge = [element for element in data_set.elements if element not in baseline.charges]
    if without_charge:
        raise InputError(
            f"the baseline has no charge for {', '.join(without_charge)}, which the data contain; "
            f"it has charges for {', '.join(baseline.charges)}"
        )


def _existing_model(folder: Path, inputs_hash: str, potential_file: str) -> ModelManifest | None:
    """Return the whole model of these inputs that is there, None if there is none or a damaged one."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not folder.is_dir() or not any((folder / name).exists() for name in (MANIFEST_FILE, potential_file)):
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
        finished_meanwhile = _existing_model(folder, manifest.inputs_hash, MODELS.get(manifest.kind).potential_file)
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
        raise UnusableModel(f"the model in {folder} is damaged: {'; '.join(problems)}; fit it again")


def _versions(kind: ModelKind) -> dict[str, str]:
    package, package_version = MODELS.package_of(kind.name)
    versions = {} if package == OWN_PACKAGE else {package: package_version}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions
