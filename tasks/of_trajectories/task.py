"""The base of jobs that look at trajectories which other jobs ran: one potential, one temperature."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, overload

from numpy.typing import NDArray
from pydantic import Field

from ...analysis.trajectories.reading import Trajectory, read_trajectory
from ...analysis.trajectories.settings import ReadRunsSettings
from ...core.errors import InputError
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import Artefact, ResultRecord, TrajectoryRecord
from ...store.result_kinds import ResultKind
from ..base import IonloopTask, JobFailed, Outcome, TaskParameters
from ..context import TaskContext
from ..results import Potential, known_result, new_result, save_arrays

FEWEST_FRAMES = 2
"""Frames after equilibration without which a trajectory is none."""


class TrajectoriesParameters(TaskParameters):
    """Which trajectories of which potential at which temperature; a derived type says what ``settings`` are."""

    potential: Potential
    temperature_K: float
    trajectories: tuple[str, ...] = Field(min_length=1)
    skipped_frames: int = Field(default=0, description="frames at the beginning of each that are left out")
    mobile: str
    settings: ReadRunsSettings
    not_looked_at: ClassVar[frozenset[str]] = frozenset({"trajectories"})
    """Parameters that a result does not derive from: it does from the trajectories that there were."""


@dataclass(frozen=True)
class Analysed:
    """What was found.

    Attributes
    ----------
    values
        Fields of the kind's values, without those of `ionloop.tasks.values.runs.RunsValues`.
    arrays, units
        Arrays for figures, kept as a file where there are some, and the units of their columns.
    artefacts
        Further files, by name.
    """

    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)


class ReadTrajectories(Sequence[Trajectory]):
    """Trajectories of a store, each read whenever it is asked for: together they may not fit into memory."""

    def __init__(self, store: Store, records: Sequence[TrajectoryRecord], skipped_frames: int) -> None:
        self._store = store
        self._records = tuple(records)
        self._skipped_frames = skipped_frames
        self._lengths_ps: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Trajectory]: ...
    def __getitem__(self, index: int | slice) -> Trajectory | Sequence[Trajectory]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        read = read_trajectory(self._store.artefacts.path(self._records[place].artefact.path))
        if self._skipped_frames:
            read = read.part(start=self._skipped_frames)
        self._lengths_ps[place] = read.length_ps
        return read

    @property
    def duration_ps(self) -> float:
        """Length of all of them together (ps); those that nobody asked for are read."""
        return sum(
            self._lengths_ps[place] if place in self._lengths_ps else self[place].length_ps
            for place in range(len(self))
        )


class TrajectoriesTask(IonloopTask):
    """A Firetask that makes one result of the trajectories that there are; a derived one says how."""

    parameters_type: ClassVar[type[TrajectoriesParameters]] = TrajectoriesParameters
    result_kind: ClassVar[ResultKind[Any]]
    """What it makes, with values of a type derived from `ionloop.tasks.values.runs.RunsValues`."""
    fewest_frames: ClassVar[int] = FEWEST_FRAMES
    """Frames after equilibration below which a trajectory is left out and counted."""

    @abstractmethod
    def analyse(self, trajectories: Sequence[Trajectory], parameters: Any, context: TaskContext) -> Analysed:
        """Return what the trajectories show: at least one, each of which is read anew whenever it is asked for.

        Raises
        ------
        InputError
            If they cannot be analysed: the job fails with its words.
        """

    def execute(self, parameters: Any, context: TaskContext) -> Outcome:
        """Analyse what is there unless the store has the result of just these trajectories."""
        store = context.store
        records = self._usable(store, parameters)
        if not records:
            raise JobFailed(f"no trajectory at {parameters.temperature_K:g} K is there and long enough")
        used = [record.id for record in records]
        asked = parameters.model_dump(mode="json", exclude=parameters.not_looked_at)
        name = identifier("result", self.result_kind.name, used, asked)
        known = known_result(store, name)
        if known is None:
            with context.measure("analyse"):
                known = self._result(name, records, parameters, context)
            store.results.replace(known)
        missing = len(parameters.trajectories) - len(used)
        reason = f"{missing} of {len(parameters.trajectories)} trajectories are missing or too short" if missing else ""
        return Outcome(reason=reason, outputs={"result": known.id})

    def _usable(self, store: Store, parameters: TrajectoriesParameters) -> list[TrajectoryRecord]:
        fewest = parameters.skipped_frames + self.fewest_frames
        found = [record for name in parameters.trajectories if (record := store.trajectories.get(name)) is not None]
        return [one for one in found if one.frames >= fewest and store.artefacts.is_whole(one.artefact)]

    def _result(
        self, name: str, records: Sequence[TrajectoryRecord], parameters: TrajectoriesParameters, context: TaskContext
    ) -> ResultRecord:
        store = context.store
        trajectories = ReadTrajectories(store, records, parameters.skipped_frames)
        try:
            found = self.analyse(trajectories, parameters, context)
        except InputError as error:
            raise JobFailed(str(error)) from error
        values = self.result_kind.values_type(
            **found.values,
            temperature_K=parameters.temperature_K,
            trajectories=len(records),
            missing_trajectories=len(parameters.trajectories) - len(records),
            duration_ps=trajectories.duration_ps,
        )
        artefacts = dict(found.artefacts)
        if found.arrays:
            artefacts["curves"] = save_arrays(store, self.result_kind.name, name, found.arrays)
        return new_result(
            parameters,
            name,
            self.result_kind,
            parameters.potential,
            inputs=[record.id for record in records],
            values=values,
            units=dict(found.units),
            artefacts=artefacts,
        )
