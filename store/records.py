"""The records of a campaign: what was computed, from what, by which code.

Every record is a frozen pydantic model with an identifier, a schema version, its campaign and generation,
the time it was made and the version of the code. Large arrays are files (`Artefact`), never documents.
Units are ASE's: eV, Å, eV/Å, eV/Å³ (stress in ASE's sign and Voigt order).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from .. import __version__
from ..core.errors import InputError
from ..core.names import MOLECULAR_DYNAMICS
from ..core.settings import FrozenModel
from ..core.states import State

if TYPE_CHECKING:
    from ase import Atoms

SCHEMA_VERSION = 1
UNITS = {
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "charges": "e",
    "dipole": "e Å",
    "positions": "Å",
    "wall_time_s": "s",
}


def now() -> datetime:
    """Return the present time (UTC, whole milliseconds, as databases keep it)."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def as_utc(moment: datetime | str) -> datetime:
    """Return the moment with its time zone: databases keep UTC and forget to say so; FireWorks keeps text."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Timestamp = Annotated[datetime, AfterValidator(as_utc)]


class Structure(FrozenModel):
    """A structure as a document: enough to rebuild the `Atoms` bit for bit."""

    numbers: list[int]
    positions: list[list[float]]
    cell: list[list[float]]
    pbc: list[bool]

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Self:
        """Return the document of ``atoms`` (velocities, tags and results are not part of a structure)."""
        return cls(
            numbers=atoms.numbers.tolist(),
            positions=atoms.positions.tolist(),
            cell=atoms.cell.array.tolist(),
            pbc=atoms.pbc.tolist(),
        )

    def to_atoms(self) -> Atoms:
        """Return the structure as a new `Atoms`."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)


class Artefact(FrozenModel):
    """A file of the store: path relative to the store's root, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: str


class RecordUnreadable(InputError):
    """A document is no record that this version can read."""


class Record(FrozenModel):
    """What every record has."""

    # Who looks at some records need not wait for the validators of all.
    model_config = ConfigDict(populate_by_name=True, defer_build=True)
    collection: ClassVar[str]
    # Fields that two runs of the same campaign may differ in: times, and what a machine's speed decides.
    volatile: ClassVar[frozenset[str]] = frozenset({"created", "code_version"})

    id: str = Field(alias="_id")
    schema_version: int = SCHEMA_VERSION
    campaign: str
    generation: int = 0
    created: Timestamp = Field(default_factory=now)
    code_version: str = __version__

    def to_document(self) -> dict[str, Any]:
        """Return the record as a document for the database."""
        return self.model_dump(by_alias=True, mode="python")

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the record that ``document`` holds.

        Raises
        ------
        RecordUnreadable
            If a newer version of ionloop wrote it, or it is none.
        """
        written = document.get("schema_version")
        if isinstance(written, int) and written > SCHEMA_VERSION:
            raise RecordUnreadable(
                f"{cls.collection} record {document.get('_id')!r} was written by a newer version of ionloop "
                f"({document.get('code_version', 'unknown')}, record format {written}; this version, {__version__}, "
                f"knows up to {SCHEMA_VERSION}): update ionloop"
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:3])
            raise RecordUnreadable(
                f"{cls.collection} record {document.get('_id')!r} is no {cls.__name__} of this version "
                f"(wrong: {places}): see `ionloop store verify`"
            ) from error

    def essence(self) -> dict[str, Any]:
        """Return what a rerun of the same campaign must reproduce: all but the volatile fields."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(self.volatile))


class RecordOfSystem(Record):
    """A record that may belong to one system of its campaign, by name; None where the campaign has one, unnamed."""

    only_if_given: ClassVar[tuple[str, ...]] = ("system",)
    """Fields that documents lack where they are None: those of earlier releases stay what they were."""

    system: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out no system: documents of campaigns with one structure stay what they were."""
        document: dict[str, Any] = serialise(self)
        return {name: value for name, value in document.items() if value is not None or name not in self.only_if_given}


class CampaignRecord(Record):
    """A campaign: its settings as validated, its starting structures, and where it stands.

    ``structure`` is that of the first system, or the only one. ``systems`` holds those of systems with names;
    ``joined`` names the ones that came after the campaign was first submitted. ``survey`` names the survey that made
    it; ``file`` is then the survey's.
    """

    collection: ClassVar[str] = "campaigns"
    volatile: ClassVar[frozenset[str]] = Record.volatile | {"file", "ended"}

    settings: dict[str, Any]
    structure: Structure
    systems: dict[str, Structure] = Field(default_factory=dict)
    joined: tuple[str, ...] = ()
    file: str
    survey: str = ""
    state: State = State.READY
    reason: str = ""
    ended: Timestamp | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def structures(self) -> Mapping[str | None, Structure]:
        """The starting structures by system; the only one without a name by None."""
        if not self.systems:
            return {None: self.structure}
        return dict(self.systems.items())

    def structure_of(self, system: str | None) -> Structure:
        """Return the starting structure of the system of that name, None: of the first or only one."""
        return self.structure if system is None else self.systems[system]

    @model_serializer(mode="wrap")
    def _without_no_systems(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = serialise(self)
        return {name: value for name, value in document.items() if value or name not in ("systems", "joined", "survey")}


class SurveyCandidate(FrozenModel):
    """A crystal that a survey found.

    ``name`` is made of its formula and its structure; ``refused`` says why it has no campaign, ``flags`` what nobody
    could tell of it.
    """

    name: str
    formula: str
    atoms: int = 0
    source: str
    provenance: dict[str, Any] = Field(default_factory=dict)
    refused: list[str] = Field(default_factory=list)
    flags: list[str] = Field(default_factory=list)
    campaign: str | None = None


class SurveyRecord(Record):
    """A survey: its settings, and the crystals that it found, each with its campaign or why it has none.

    Those that its sources no longer give stay; ``gone`` names them. ``model`` is the one whose screening the table
    shows, ``told`` what sources said that could not be asked.
    """

    collection: ClassVar[str] = "surveys"
    volatile: ClassVar[frozenset[str]] = Record.volatile | {"file"}

    settings: dict[str, Any]
    candidates: list[SurveyCandidate]
    model: str = ""
    gone: list[str] = Field(default_factory=list)
    told: list[str] = Field(default_factory=list)
    file: str

    @property
    def campaigns(self) -> tuple[str, ...]:
        """Names of the campaigns of those that were kept."""
        return tuple(one.campaign for one in self.candidates if one.campaign is not None)


class Origin(FrozenModel):
    """Where a configuration came from."""

    sampler: str
    parent: str | None = None
    step: int | None = None
    seed: int | None = None
    index: int = 0


class ConfigurationRecord(RecordOfSystem):
    """A structure to be labelled, with its origin and content hash.

    ``purpose`` is ``audit`` where it is for models to be measured on and never trained on.
    """

    collection: ClassVar[str] = "configurations"

    only_if_given: ClassVar[tuple[str, ...]] = ("system", "purpose")

    structure: Structure
    formula: str
    origin: Origin
    content_hash: str
    purpose: Literal["audit"] | None = None

    @property
    def atoms(self) -> Atoms:
        """The structure as a new `Atoms`."""
        return self.structure.to_atoms()


class LabelRecord(Record):
    """The answer of a reference engine for one configuration; only a finished one carries data.

    Weights and regularisation are those that the file of an imported label gave it: standard deviations in eV and Å.

    Unique per (content of the configuration, settings of the engine).
    """

    collection: ClassVar[str] = "labels"
    volatile: ClassVar[frozenset[str]] = Record.volatile | {"wall_time_s", "attempts", "host"}

    content_hash: str
    configuration: str
    engine: str
    engine_version: str = ""
    settings_hash: str
    state: State
    reason: str = ""
    energy: float | None = None
    forces: list[list[float]] | None = None
    stress: list[float] | None = None
    charges: list[float] | None = None
    dipole: list[float] | None = None
    weights: dict[str, Any] | None = None
    regularisation: dict[str, Any] | None = None
    wall_time_s: float = 0.0
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    retries: int = 0
    host: str = ""


class DataSetRecord(Record):
    """The labels that a generation's models are fitted to, frozen so that both see the same."""

    collection: ClassVar[str] = "data_sets"

    labels: list[str]
    configurations: list[str]
    isolated_atom_energies: dict[str, float]


class ModelRecord(Record):
    """A fitted potential: what it was fitted to, how, and its files with checksums.

    ``kind`` is what its campaign calls it: the name of its kind, unless the campaign gave it one of its own;
    ``registered_kind`` is then its kind.
    """

    collection: ClassVar[str] = "models"
    volatile: ClassVar[frozenset[str]] = Record.volatile | {"wall_time_s", "files"}

    kind: str
    registered_kind: str | None = None
    data_set: str
    training_set_hash: str
    hyperparameters: dict[str, Any]
    baseline: dict[str, Any] | None = None
    seed: int
    path: str
    files: list[Artefact]
    wall_time_s: float = 0.0

    @property
    def kind_of_model(self) -> str:
        """The name of its kind."""
        return self.registered_kind or self.kind


class TrajectoryRecord(RecordOfSystem):
    """A run of a sampler: its frames are a file.

    ``sampler`` is the kind of an entry of the campaign's lists; None: dynamics of the short forms. ``driver`` is the
    model, the engine, or reference.
    """

    collection: ClassVar[str] = "trajectories"
    volatile: ClassVar[frozenset[str]] = Record.volatile | {"wall_time_s", "artefact"}
    only_if_given: ClassVar[tuple[str, ...]] = ("system", "sampler")

    sampler: str | None = None

    driver: str
    replica: int
    start: str
    seed: int
    state: Literal["completed", "stopped"]
    reason: str = ""
    steps: int
    frames: int
    mean_temperature_K: float | None
    artefact: Artefact
    wall_time_s: float = 0.0

    @property
    def kind_of_sampler(self) -> str:
        """The name of the kind of sampler that made it."""
        return self.sampler or MOLECULAR_DYNAMICS


class ResultRecord(RecordOfSystem):
    """A result: values with units, uncertainties where there are any, and what they were computed from.

    ``units`` is shaped like ``values``: a unit beside a value is that of everything below it. ``artefacts`` are its
    arrays and trajectories, by name.
    """

    collection: ClassVar[str] = "results"

    kind: str
    model: str | None = None
    model_kind: str | None = None
    inputs: list[str] = Field(default_factory=list)
    values: dict[str, Any]
    units: dict[str, str | dict[str, str]] = Field(default_factory=dict)
    artefacts: dict[str, Artefact] = Field(default_factory=dict)

    @field_validator("units", mode="before")
    @classmethod
    def _below_their_values(cls, units: Any) -> Any:
        """Take ``{"curve.charges": "e"}`` for ``{"curve": {"charges": "e"}}``: keys of documents hold no dots."""
        if not isinstance(units, Mapping):
            return units
        nested: dict[str, Any] = {}
        for name, unit in units.items():
            above, dot, below = str(name).partition(".")
            if dot:
                nested.setdefault(above, {})[below] = unit
            else:
                nested[above] = unit
        return nested

    def unit(self, *path: str) -> str:
        """Return the unit of the value at ``path``, the keys that lead to it, or "".

        Below the first, keys that no unit is told by (a place in a list, a potential, an element) do not count.
        """
        found: Any = self.units.get(path[0], "")
        for key in path[1:]:
            if isinstance(found, str):
                break
            found = found.get(key, found)
        return found if isinstance(found, str) else ""


RECORD_TYPES: tuple[type[Record], ...] = (
    CampaignRecord,
    ConfigurationRecord,
    LabelRecord,
    DataSetRecord,
    ModelRecord,
    TrajectoryRecord,
    ResultRecord,
    SurveyRecord,
)
