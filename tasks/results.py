"""What the analyses share: a calculator by name, arrays as artefacts, results that are whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray
from pydantic import Field

from ..core.files import atomic_file
from ..core.settings import FrozenModel
from ..fitting.kinds.base import NATIVE
from ..fitting.models import load_model, load_posterior
from ..fitting.posterior.base import NoPosterior
from ..labelling.calculator import make_calculator
from ..labelling.common_settings import CommonSettings
from ..labelling.registry import EngineSettings
from ..store.connection import Store
from ..store.records import Artefact, ModelRecord, ResultRecord
from ..store.result_kinds import ResultKind, ValuesT
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext, current_context, engine_of_today
from .values.charges import FITTED_CHARGES

STRUCTURE: Final = "structure"
"""What the artefact of a result is called that holds a structure as extended XYZ, under a name that people can read."""


class Potential(FrozenModel):
    """A potential by name: a fitted model of the store, or a reference engine."""

    kind: str = Field(description="name of a model in its campaign, or reference")
    model: str | None = Field(default=None, description="identifier of the model; nothing for the reference")
    engine: EngineSettings | None = Field(default=None, description="the reference engine; nothing for a model")
    backend: str = NATIVE

    @property
    def identity(self) -> Any:
        """What identifiers of results with this potential derive from."""
        return self.model if self.engine is None else self.engine.model_dump(mode="json")


def open_potential(store: Store, potential: Potential) -> Calculator:
    """Return the calculator of ``potential``."""
    if potential.engine is not None:
        return make_calculator(_with_limits_of_today(store, potential.engine))
    if potential.model is None:
        raise ValueError(f"the potential {potential.kind!r} names neither a model nor an engine")
    other = stands_in(potential.model)
    if other is not None:
        return other
    return load_model(store.artefacts.path(store.models[potential.model].path), backend=potential.backend)


def open_sample(store: Store, potential: Potential, seed: int) -> Calculator:
    """Return the calculator of a model drawn from the posterior of ``potential``.

    Raises
    ------
    NoPosterior
        If it has none, with the reason.
    """
    if potential.model is None:
        raise NoPosterior(f"{potential.kind} is no model that was fitted: it has no posterior")
    return load_posterior(store.artefacts.path(store.models[potential.model].path)).sampled_calculator(seed)


def stands_in(model: str) -> Calculator | None:
    """Return what stands in for a model in a process that asks one alone, None in all others."""
    try:
        return current_context().calculators.get(model)
    except LookupError:
        return None


def _with_limits_of_today(store: Store, engine: EngineSettings) -> CommonSettings:
    try:
        context = current_context()
    except LookupError:
        return engine
    return engine_of_today(store, context.campaign, engine)


def save_arrays(store: Store, folder: str, name: str, arrays: Mapping[str, NDArray[Any]]) -> Artefact:
    """Write arrays to ``folder/name.npz`` in the store, whole or not at all; equal arrays give equal files."""
    path = store.artefacts.folder(Path(folder)) / f"{name}.npz"
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy types its keyword allow_pickle, which is none of the names
    return store.artefacts.register(path)


def load_arrays(store: Store, artefact: Artefact) -> dict[str, NDArray[Any]]:
    """Return the arrays that `save_arrays` wrote."""
    with np.load(store.artefacts.path(artefact.path), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def known_result(store: Store, name: str) -> ResultRecord | None:
    """Return the result of that identifier, None where there is none or one of its files is not whole."""
    record = store.results.get(name)
    if record is None or not all(store.artefacts.is_whole(one) for one in record.artefacts.values()):
        return None
    return record


def structure_files(store: Store, campaign: str) -> list[Path]:
    """Return the structures that a campaign's results hold, those that are whole, in the order of their names."""
    found = [
        record.artefacts[STRUCTURE]
        for record in store.results.find({"campaign": campaign})
        if STRUCTURE in record.artefacts
    ]
    return sorted(store.artefacts.path(one.path) for one in found if store.artefacts.is_whole(one))


def new_result(
    place: TaskParameters,
    name: str,
    kind: ResultKind[ValuesT],
    source: Potential | ModelRecord | None = None,
    *,
    values: ValuesT,
    **fields: Any,
) -> ResultRecord:
    """Return the result ``name`` of a job at ``place``, not yet in the store.

    Parameters
    ----------
    source
        The potential that the values come from; None where they come from none.
    values
        Of the kind's type, which knows their units.
    fields
        Further fields of the record; ``units`` are added to those of the values.
    """
    return ResultRecord(
        id=name,
        campaign=place.campaign,
        generation=place.generation,
        system=place.system,
        kind=kind.name,
        values=kind.document(values),
        model=source.id if isinstance(source, ModelRecord) else None if source is None else source.model,
        model_kind=None if source is None else source.kind,
        units={**kind.units, **fields.pop("units", {})},
        **fields,
    )


def charges_text(record: ResultRecord) -> str:
    """Return what a job says of the charges that it fitted."""
    charges = FITTED_CHARGES.read(record).charges
    return "charges: " + ", ".join(f"{symbol} {charge:+.3f}" for symbol, charge in charges.items())


class ResultTask(IonloopTask):
    """A Firetask that makes one result, whose identifier its parameters know before (``identifier``)."""

    measured_as: ClassVar[str]
    """Kind of the time that it takes."""

    def execute(self, parameters: Any, context: TaskContext) -> Outcome:
        """Compute the result unless the store has it whole."""
        known = known_result(context.store, parameters.identifier)
        if known is not None and known.system != parameters.system:
            raise JobFailed(f"the identifier of {known.kind} does not tell systems apart: use parameters.of_system")
        if known is None:
            with context.measure(self.measured_as):
                known = self.compute(parameters, context)
            context.store.results.replace(known)
        return Outcome(reason=self.told(known), outputs={"result": known.id})

    @abstractmethod
    def compute(self, parameters: Any, context: TaskContext) -> ResultRecord:
        """Return the result."""

    def told(self, record: ResultRecord) -> str:
        """Return what the job says of its result."""
        return str(record.values.get("reason", ""))
