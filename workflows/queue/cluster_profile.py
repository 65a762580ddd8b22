"""A cluster profile: how jobs reach the queue of a cluster, and what each kind of task asks of it.

A profile is a YAML file, read as strictly as a campaign file: every problem is told at once, with file, line, key
and what was probably meant. Values that end up in a job script are either checked against a narrow pattern or quoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ...core.kinds import UnknownKind
from ...core.settings import FrozenSettings
from ..campaign.problems import ABSENT, CampaignFileError, CampaignInconsistency, Key, Problem, closest
from ..campaign.validation import key_in_data, value_at
from ..campaign.yaml_lines import YamlDocument, parse_yaml
from ..loop.task_registry import job_tasks
from .schedulers.registry import SCHEDULERS, scheduler_of

OTHER = "other"
"""In ``kinds``: every kind that no other class names."""

MAX_BYTES = 100_000

_WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.,:+@/-]{0,127}$"
_CLASS = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_SECRET_WORDS = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL")

Word = Annotated[str, Field(pattern=_WORD)]


def task_kinds() -> tuple[str, ...]:
    """Return the kinds of job that a campaign can have, as its jobs' specifications name them."""
    return tuple(sorted(task.kind() for task in job_tasks().values()))


def _single_line(text: str) -> str:
    if any(not character.isprintable() for character in text):
        raise ValueError("must be one line of printable text")
    return text


Line = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_single_line)]


def _registered(name: str) -> str:
    try:
        return scheduler_of(name).name
    except UnknownKind as error:
        raise PydanticCustomError("unknown_scheduler", "{reason}", {"reason": str(error)}) from None


SchedulerName = Annotated[str, AfterValidator(_registered)]


class Resources(FrozenSettings):
    """What one queue job asks for, and which kinds of task it runs.

    A queue job is a pilot: its workers run jobs of these kinds one after the other until none is ready, so that
    many short jobs share one allocation.
    """

    kinds: tuple[str, ...] = Field(
        min_length=1, description="Kinds of task that these jobs run; other: all that no other class names"
    )
    cores: int = Field(1, ge=1, le=100_000, description="Cores of one queue job (number)")
    workers: int = Field(1, ge=1, le=1024, description="Workers that share them, each with an equal part (number)")
    memory_GB: float | None = Field(None, gt=0, le=1e6, description="Memory of one queue job (GB)")
    gpus: int = Field(0, ge=0, le=64, description="GPUs of one queue job (number)")
    wall_time_h: float = Field(24.0, gt=0, le=8760, description="Wall time of one queue job (h)")
    longest_min: float = Field(
        30.0,
        gt=0,
        le=525_600,
        description="How long one job may take; none is begun where less is left, unless it can carry on later (min)",
    )
    max_jobs: int = Field(10, ge=1, le=100_000, description="Most queue jobs of this class at any time (number)")
    partition: Word | None = Field(None, description="Partition or queue; nothing: the profile's")
    directives: tuple[Line, ...] = Field((), description="Further scheduler options, without the leading #SBATCH")

    @property
    def wall_time_s(self) -> float:
        """Wall time of one queue job (s)."""
        return 3600.0 * self.wall_time_h

    @property
    def longest_s(self) -> float:
        """Longest time that one job is expected to take (s)."""
        return 60.0 * self.longest_min

    @property
    def cores_per_worker(self) -> int:
        """Cores of one worker (number)."""
        return self.cores // self.workers

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        if self.workers > self.cores:
            message = f"is more than the {self.cores} cores that they share"
            problems.append(Problem(("workers",), message, value=self.workers, related=(("cores",),)))
        if self.longest_s > self.wall_time_s:
            message = f"is longer than the whole queue job ({60 * self.wall_time_h:g} min): no job would ever fit"
            problems.append(Problem(("longest_min",), message, value=self.longest_min, related=(("wall_time_h",),)))
        if problems:
            raise CampaignInconsistency(problems)
        return self


class ClusterProfile(FrozenSettings):
    """How jobs reach a cluster's queue."""

    scheduler: SchedulerName = Field(description="Kind of scheduler")
    partition: Word | None = Field(None, description="Partition or queue; nothing: the cluster's default")
    account: Word | None = Field(None, description="Account or project that is charged")
    python: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Python on the nodes that has ionloop; nothing: the one that launches",
    )
    setup: tuple[Line, ...] = Field(
        (), description="Shell lines that prepare a node, such as module load; run as they are"
    )
    environment: dict[Annotated[str, Field(pattern=_VARIABLE)], Line] = Field(
        default_factory=dict, description="Environment variables of the workers; never credentials"
    )
    max_jobs: int = Field(20, ge=1, le=100_000, description="Most queue jobs at any time, all classes (number)")
    margin_min: float = Field(
        3.0, ge=0, le=600, description="Time before the end of the wall time at which a worker stops (min)"
    )
    idle_min: float = Field(
        2.0, ge=0, le=600, description="Time after which a worker without a job gives its allocation back (min)"
    )
    poll_s: float = Field(30.0, ge=0.2, le=3600, description="Time between two looks at the queue (s)")
    resources: dict[Annotated[str, Field(pattern=_CLASS)], Resources] = Field(
        min_length=1, description="What each class of tasks asks for, by a name of your own"
    )

    def kinds_of(self, name: str) -> tuple[str, ...]:
        """Return the kinds of task that the class of that name runs, ``other`` written out."""
        chosen = self.resources[name].kinds
        named = {kind for resources in self.resources.values() for kind in resources.kinds}
        rest = [kind for kind in task_kinds() if kind not in named] if OTHER in chosen else []
        return tuple(sorted({kind for kind in chosen if kind != OTHER} | set(rest)))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*_kind_problems(self.resources), *_resource_problems(self), *_secret_problems(self.environment)]
        if problems:
            raise CampaignInconsistency(problems)
        return self


def _kind_problems(resources: Mapping[str, Resources]) -> Iterator[Problem]:
    known = (*task_kinds(), OTHER)
    seen: dict[str, str] = {}
    for name, one in resources.items():
        for index, kind in enumerate(one.kinds):
            key = ("resources", name, "kinds", index)
            if kind not in known:
                yield Problem(
                    key, "is no kind of task", value=kind, allowed=", ".join(known), suggestion=closest(kind, known)
                )
            elif kind in seen:
                yield Problem(key, f"is in class {seen[kind]!r} already", value=kind)
            seen.setdefault(kind, name)
    missing = [kind for kind in task_kinds() if kind not in seen]
    if missing and OTHER not in seen:
        message = f"no class runs {', '.join(missing)}; add them, or `{OTHER}` to one class"
        yield Problem(("resources",), message)


def _resource_problems(profile: ClusterProfile) -> Iterator[Problem]:
    for name, one in profile.resources.items():
        if 60 * profile.margin_min >= one.wall_time_s:
            message = f"leaves nothing of the wall time of class {name!r} ({60 * one.wall_time_h:g} min)"
            yield Problem(("margin_min",), message, value=profile.margin_min)
        scheduler = scheduler_of(profile.scheduler)
        for index, directive in enumerate(one.directives):
            if option := scheduler.unfit(directive):
                message = f"{option} is not for pilots: each submission is one job, which starts by itself"
                yield Problem(("resources", name, "directives", index), message, value=directive)


def _secret_problems(environment: Mapping[str, str]) -> Iterator[Problem]:
    for name, value in environment.items():
        if any(word in name.upper() for word in _SECRET_WORDS) and not value.startswith("/"):
            message = "looks like a credential, which must not stand in a job script: name a file of mode 0600"
            yield Problem(("environment", name), message)
        elif "://" in value and "@" in value:
            yield Problem(("environment", name), "holds an address with credentials: leave them out of job scripts")


class ProfileError(CampaignFileError):
    """The profile cannot be used; ``problems`` lists every reason."""


def read_profile(path: str | Path) -> ClusterProfile:
    """Read and check a cluster profile.

    Raises
    ------
    ProfileError
        With every problem that could be found.
    """
    path = Path(path)
    document = parse_yaml(_read_text(path))
    if not isinstance(document.data, Mapping):
        message = "holds no keys; a profile begins with `scheduler: slurm` (examples are in deploy/cluster)"
        raise ProfileError(path, document.problems or [Problem((), message)])
    problems = list(document.problems)
    profile = None
    try:
        # Strict, and by way of JSON: a number in quotes or a yes for a number is an error, as in a campaign file.
        profile = ClusterProfile.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        found = [one for details in error.errors() for one in _problems_of(details, document.data)]
        problems += [one for index, one in enumerate(found) if one not in found[:index]]
    if problems or profile is None:
        located = [_with_line(problem, document) for problem in problems]
        raise ProfileError(path, sorted(located, key=lambda problem: problem.line or 0))
    return profile


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            neighbours = [entry.name for entry in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
            problem = Problem((), "does not exist or is no file", suggestion=closest(path.name, neighbours))
            raise ProfileError(path, [problem])
        if path.stat().st_size > MAX_BYTES:
            raise ProfileError(path, [Problem((), f"is larger than a profile can be ({MAX_BYTES:,} bytes)")])
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ProfileError(path, [Problem((), f"cannot be read: {reason}")]) from None


def _problems_of(details: ErrorDetails, data: Mapping[str, Any]) -> list[Problem]:
    """Translate one of pydantic's errors."""
    key = key_in_data(details["loc"], data)
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, CampaignInconsistency):
        return [replace(p, key=key + p.key, related=tuple(key + other for other in p.related)) for p in cause.problems]
    value = value_at(key, data)
    if details["type"] == "missing":
        return [Problem((*key, details["loc"][-1]), "is required")]
    if details["type"] == "extra_forbidden":
        names = list(_model_at(key).model_fields)
        suggestion = closest(str(key[-1]), names)
        return [Problem(key, "unknown key", suggestion=suggestion, allowed=", ".join(names))]
    if details["type"] == "unknown_scheduler":
        broken = any(one.name == value for one in SCHEDULERS.broken)
        message = details["msg"] if broken else "is not one of the choices"
        suggestion = None if broken else closest(str(value), SCHEDULERS.names)
        return [Problem(key, message, value=value, allowed=" | ".join(SCHEDULERS.names), suggestion=suggestion)]
    if details["type"] == "string_pattern_mismatch":
        return [
            Problem(key, "does not have the right form", value=value, allowed="letters, digits and _ . , : + @ / -")
        ]
    message = str(cause) if cause is not None else details["msg"].replace("Input should be", "must be")
    return [Problem(key, message, value=ABSENT if isinstance(value, dict) else value)]


def _model_at(key: Key) -> type[BaseModel]:
    return Resources if len(key) > 1 and key[0] == "resources" else ClusterProfile


def _with_line(problem: Problem, document: YamlDocument) -> Problem:
    if problem.line is not None:
        return problem
    for key in (problem.key, *problem.related):
        for length in range(len(key), 0, -1):
            if key[:length] in document.lines:
                return replace(problem, line=document.lines[key[:length]])
    return problem
