"""An analysis without a campaign: its graph, job by job in this process, on a store that is thrown away afterwards.

The graph is that of a campaign, and so are the tasks; what a campaign has and a file has not (labels, a loop, other
workers) is not there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import BaseModel

from ...core.errors import InputError
from ...core.files import explain_os_error
from ...core.names import REFERENCE
from ...fitting.electrostatics.registry import baseline_in, kind_of_baseline
from ...fitting.kinds.registry import MODELS
from ...fitting.models import MANIFEST_FILE, ModelManifest, read_manifest
from ...store.connection import Store, open_store
from ...store.records import CampaignRecord, ModelRecord, ResultRecord, Structure
from ...tasks.base import JobFailed
from ...tasks.context import TaskContext, task_context
from ...tasks.results import structure_files
from ..campaign.models import KIND
from ..campaign.settings import Campaign
from ..graph.jobs import Job
from ..graph.plan import load_plan
from .base import Analysis, AnalysisPlan
from .sections import ReportSection

NAME: Final = "analyse"
"""Name of the campaign in the store that is thrown away."""
_GENERATION: Final = 1
_XML: Final = ".xml"
_KIND_OF_XML: Final = "gap"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class OwnCalculator:
    """A calculator that is asked in place of a model.

    Attributes
    ----------
    charges
        Charges by element that a field acts on (e); None: no field acts on it.
    name
        What results call it.
    """

    calculator: Calculator
    charges: Mapping[str, float] | None = None
    name: str = "calculator"


@dataclass(frozen=True)
class Question:
    """What an analysis is asked.

    Attributes
    ----------
    atoms
        The crystal, not repeated.
    models
        Folders of models, or XML files of GAPs, one of each kind; or calculators of one's own.
    settings
        Of the analysis.
    reference
        Settings of the reference engine as a campaign file has them; None: nothing may ask a reference.
    campaign
        What else a campaign file would say: ``mobile``, ``seed``, ``supercell``, ``baseline``; where that is left out,
        a model's own counts whose forces do not follow from charges of species alone.
    """

    atoms: Atoms
    models: Sequence[Path | OwnCalculator]
    settings: BaseModel
    reference: Mapping[str, Any] | None = None
    campaign: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came out.

    Attributes
    ----------
    results
        Every result that was recorded, in its order.
    failed
        Why jobs failed, by their keys.
    section
        What a report would show, None where there is nothing to be shown.
    """

    results: tuple[ResultRecord, ...]
    failed: Mapping[str, str]
    section: ReportSection | None

    def of_kind(self, kind: str) -> list[ResultRecord]:
        """Return the results of a kind."""
        return [record for record in self.results if record.kind == kind]

    def only(self, kind: str) -> ResultRecord:
        """Return the one result of a kind.

        Raises
        ------
        InputError
            If there is none, with the reasons of what failed.
        """
        found = self.of_kind(kind)
        if not found:
            raise InputError("; ".join(dict.fromkeys(self.failed.values())) or f"no result of the kind {kind} came out")
        return found[0]


def ask(
    analysis: Analysis[Any], question: Question, progress: Progress | None = None, *, keep: Path | None = None
) -> Answer:
    """Return what an analysis says of models and a crystal.

    Parameters
    ----------
    progress
        Called with the numbers of jobs done and in all, and the key of the last one.
    keep
        Folder that structures are copied to which results hold, such as glasses; None: they go with the store.

    Raises
    ------
    InputError
        If a model cannot be read, the folder cannot be written, the settings do not fit the crystal, or the analysis
        asks for a reference that there is none of.
    """
    with _throw_away_store() as store:
        models: dict[str, ModelRecord] = {}
        calculators: dict[str, Calculator] = {}
        for source in question.models:
            record = _add_model(store, source)
            if record.kind in models:
                raise InputError("give one model of each kind: results are told apart by it")
            models[record.kind] = record
            if isinstance(source, OwnCalculator):
                calculators[record.id] = source.calculator
        campaign = _campaign(analysis, question, models)
        crystal = question.atoms.repeat(campaign.supercell)
        problems = list(analysis.problems(campaign, crystal))
        if problems:
            raise InputError("; ".join(f"{problem.key[-1]} {problem.message}" for problem in problems))
        store.campaigns.add(
            CampaignRecord(
                id=NAME,
                campaign=NAME,
                settings=campaign.model_dump(mode="json"),
                structure=Structure.from_atoms(crystal),
                file="",
            )
        )
        plan = AnalysisPlan(load_plan(store, NAME), _GENERATION, {kind: one.id for kind, one in models.items()}, {})
        jobs = analysis.jobs(plan)
        if question.reference is None and any(_asks_reference(job) for job in jobs):
            raise InputError(f"{analysis.name} asks the reference here: name an engine, or choose settings without it")
        failed = run_jobs(TaskContext(store, calculators=calculators), jobs, progress)
        if keep is not None:
            _keep_structures(store, keep)
        results = sorted(store.results.find({"campaign": NAME}), key=lambda record: record.created)
        return Answer(tuple(results), failed, analysis.section(store, NAME))


def _keep_structures(store: Store, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in structure_files(store, NAME):
            shutil.copy2(path, folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def run_jobs(context: TaskContext, jobs: Sequence[Job], progress: Progress | None = None) -> dict[str, str]:
    """Run the jobs of a graph one after the other in this process, and return why jobs failed, by their keys.

    As in a campaign, a job whose parents failed is not run unless it says so.
    """
    by_key = {job.key: job for job in jobs}
    order = TopologicalSorter({job.key: job.parents for job in jobs}).static_order()
    ended: dict[str, bool] = {}
    failed: dict[str, str] = {}
    with task_context(context):
        for done, key in enumerate(order, start=1):
            job = by_key[key]
            if not all(ended[parent] for parent in job.parents) and not job.runs_after_failures:
                ended[key] = False
                continue
            try:
                job.task(parameters=job.parameters.model_dump(mode="json")).run_task({"key": key})
            except JobFailed as error:
                failed[key] = error.reason
            ended[key] = key not in failed
            if progress is not None:
                progress(done, len(jobs), key)
    return failed


@contextmanager
def _throw_away_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="ionloop-analyse-") as folder:
        store = open_store(str(Path(folder) / "analyse.db"), use_environment=False)
        try:
            yield store
        finally:
            store.close()


def _campaign(analysis: Analysis[Any], question: Question, models: Mapping[str, ModelRecord]) -> Campaign:
    """Return the campaign that would ask this of its final models."""
    document: dict[str, Any] = {
        "name": NAME,
        "structure": NAME,
        "analyses": {analysis.name: question.settings},
        **question.campaign,
    }
    given = next((record.baseline for record in models.values() if record.baseline is not None), None)
    if given is not None and "baseline" not in document and not kind_of_baseline(given).sums_slater_charges:
        document["baseline"] = _section_of(given)
    if models:
        document["models"] = {name: {KIND: record.kind_of_model} for name, record in models.items()}
    if question.reference is not None:
        document["reference"] = dict(question.reference)
    return Campaign.model_validate(document)


def _section_of(baseline: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a campaign file would say of a model's baseline."""
    under, settings = kind_of_baseline(baseline), baseline_in(baseline).model_dump(mode="json")
    return {name: settings[name] for name in under.section_type.model_fields if name in settings}


def baseline_section(source: Path) -> dict[str, Any]:
    """Return what a campaign file would say of the baseline of a model's folder.

    Raises
    ------
    InputError
        If there is no such model, or it has no baseline.
    """
    manifest = manifest_of(source)
    if manifest is None or manifest.baseline is None:
        raise InputError(f"{source} is a model without an electrostatic baseline")
    return _section_of(manifest.baseline.model_dump(mode="json"))


def name_of(source: Path | OwnCalculator) -> str:
    """Return what results call a model: its kind, or the name of one's own calculator."""
    if isinstance(source, OwnCalculator):
        return source.name
    manifest = manifest_of(source)
    return _KIND_OF_XML if manifest is None else manifest.kind


def manifest_of(source: Path) -> ModelManifest | None:
    """Return what a model's folder says of it, None of the XML file of a GAP.

    Raises
    ------
    InputError
        If there is no such model.
    """
    if source.is_file() and source.suffix == _XML:
        return None
    return read_manifest(_folder_of(source))


def _folder_of(source: Path) -> Path:
    return source.parent if source.is_file() and source.name == MANIFEST_FILE else source


def _add_model(store: Store, source: Path | OwnCalculator) -> ModelRecord:
    """Copy a model into the store, and return its record."""
    record = _calculator_record(source) if isinstance(source, OwnCalculator) else _copied(store, Path(source))
    store.models.replace(record)
    return record


def _calculator_record(own: OwnCalculator) -> ModelRecord:
    """Return a record of a model that can what the calculator can."""
    kind = next(one for one in MODELS.kinds if one.has_charges == (own.charges is not None))
    baseline = None if own.charges is None else {"charges": dict(own.charges)}
    return _model_record(own.name, "", own.name, registered_kind=kind.name, baseline=baseline)


def _copied(store: Store, source: Path) -> ModelRecord:
    target = store.artefacts.folder("models")
    if source.is_file() and source.suffix == _XML:
        # The XML file of a GAP lies beside its sparse points and tells nothing of a baseline.
        for file in (source, *source.parent.glob(f"{source.name}.sparseX*")):
            shutil.copy2(file, target / file.name)
        return _model_record(_KIND_OF_XML, f"models/{source.name}", source.stem)
    folder = _folder_of(source)
    manifest = read_manifest(folder)
    shutil.copytree(folder, target / manifest.inputs_hash, dirs_exist_ok=True)
    return _model_record(
        manifest.kind,
        f"models/{manifest.inputs_hash}",
        manifest.inputs_hash,
        hyperparameters=manifest.settings.model_dump(mode="json"),
        baseline=None if manifest.baseline is None else manifest.baseline.model_dump(mode="json"),
        training_set_hash=manifest.training_set_hash,
        seed=manifest.seed,
    )


def _model_record(kind: str, path: str, name: str, **known: Any) -> ModelRecord:
    unknown: dict[str, Any] = {"hyperparameters": {}, "training_set_hash": "", "seed": 0}
    place = {"id": f"model-{kind}-{name}", "campaign": NAME, "generation": _GENERATION, "data_set": ""}
    return ModelRecord(kind=kind, path=path, files=[], **place, **{**unknown, **known})


def _asks_reference(job: Job) -> bool:
    potential = getattr(job.parameters, "potential", None)
    return potential is not None and potential.kind == REFERENCE
