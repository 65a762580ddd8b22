"""Kinds: everything of which there is more than one, found by name in registries over entry points.

Built-in kinds and those of other packages register alike, in their project file::

    [project.entry-points."ionloop.engines"]
    my-code = "my_package.my_code:MY_CODE"

Installed code is trusted, documents are not: a document can only name a kind that this installation has. A package
that cannot be imported breaks nothing but its own kinds: it is told by the doctor, and where it is asked for.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from .errors import InputError, IonloopError

OWN_PACKAGE = "ionloop"
SIMILARITY = 0.6
"""Of two words, so that one may have been meant by the other."""


class Kind(Protocol):
    """What every kind has."""

    @property
    def name(self) -> str:
        """Its name in campaign files, commands and documents: that of its entry point."""


class KindWithSettings(Kind, Protocol):
    """A kind that a section of the campaign file can be about."""

    @property
    def settings_type(self) -> type[BaseModel]:
        """Type of its settings, in which a constant field holds its name."""


KindT = TypeVar("KindT", bound=Kind)


class UnknownKind(InputError):
    """A name that no installed kind has."""


@dataclass(frozen=True)
class BrokenPlugIn:
    """A kind that is registered and cannot be used, and why (one line)."""

    group: str
    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        return f"{self.group}: {self.name!r} of {self.package} cannot be used: {self.reason}"


class Registry(Generic[KindT]):
    """The installed kinds of one group.

    Parameters
    ----------
    group
        Name of the group of entry points, "ionloop.engines".
    noun
        What one of them is called in messages: "engine".
    protocol
        What a kind must have: every public name of it.
    what_is_wrong
        Returns why a kind that has all that cannot be used, empty if it can; it may raise.
    """

    def __init__(
        self, group: str, noun: str, protocol: type[Any], what_is_wrong: Callable[[Any], str] = lambda kind: ""
    ) -> None:
        self.group = group
        self.noun = noun
        self._protocol = protocol
        self._what_is_wrong = what_is_wrong

    @property
    def kinds(self) -> tuple[KindT, ...]:
        """Those that can be used: ionloop's own first, each package's by rank (``rank`` of a kind, if it has one)."""
        return self._found[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of those that can be used."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def broken(self) -> tuple[BrokenPlugIn, ...]:
        """Those that are registered and cannot be used."""
        return self._found[1]

    def get(self, name: str) -> KindT:
        """Return the kind of that name.

        Raises
        ------
        UnknownKind
            If none has it, with those that there are; if its package is broken, with the reason.
        """
        if "_found" not in self.__dict__ and (own := self._own(name)) is not None:
            return own
        for kind in self.kinds:
            if kind.name == name:
                return kind
        for one in self.broken:
            if one.name == name:
                raise UnknownKind(f"the {self.noun} {name!r} of {one.package} cannot be used: {one.reason}")
        close = difflib.get_close_matches(name.lower(), self.names, n=1, cutoff=SIMILARITY)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise UnknownKind(f"unknown {self.noun} {name!r}; installed are {', '.join(self.names)}{meant}")

    def _own(self, name: str) -> KindT | None:
        """Return the kind of that name if it is ionloop's own: who needs one does not wait for the import of all."""
        points = (point for point in _entry_points(self.group) if point.name == name)
        own = next((point for point in points if _package(point) == OWN_PACKAGE), None)
        return None if own is None else self._load(own)[0]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def package_of(self, name: str) -> tuple[str, str]:
        """Return name and version of the package that brought a kind.

        Raises
        ------
        UnknownKind
            If there is none of that name.
        """
        self.get(name)
        return self._found[2][name]

    def clear(self) -> None:
        """Look anew at what is installed when next asked: for tests."""
        _entry_points.cache_clear()
        self.__dict__.pop("_found", None)

    @functools.cached_property
    def _found(self) -> tuple[tuple[KindT, ...], tuple[BrokenPlugIn, ...], Mapping[str, tuple[str, str]]]:
        points = sorted(_entry_points(self.group), key=lambda point: (_package(point) != OWN_PACKAGE, _package(point)))
        if not points or _package(points[0]) != OWN_PACKAGE:
            raise IonloopError(
                f"ionloop's own kinds ({self.group}) are not registered here: the installation is older than its "
                "code; install it again (pip install --editable .)"
            )
        kinds: list[KindT] = []
        broken: list[BrokenPlugIn] = []
        packages: dict[str, tuple[str, str]] = {}
        for point in points:
            taken = packages.get(point.name)
            loaded, reason = (None, f"{taken[0]} has one of that name") if taken else self._load(point)
            if loaded is None:
                broken.append(BrokenPlugIn(self.group, point.name, _package(point), reason))
            else:
                kinds.append(loaded)
                packages[point.name] = (_package(point), point.dist.version if point.dist else "")
        kinds.sort(key=lambda kind: (packages[kind.name][0] != OWN_PACKAGE, getattr(kind, "rank", 0)))
        return tuple(kinds), tuple(broken), packages

    def _load(self, point: EntryPoint) -> tuple[KindT | None, str]:
        """Return the kind, or None and why it cannot be used."""
        try:
            loaded = point.load()
            reason = self._reason_against(loaded, point)
        # A package of somebody else may fail in any way, also by ending the process.
        except (Exception, SystemExit) as error:
            if _package(point) == OWN_PACKAGE:
                raise
            return None, f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
        return (None, reason) if reason else (loaded, "")

    def _reason_against(self, loaded: Any, point: EntryPoint) -> str:
        lacking = _lacking(loaded, self._protocol)
        if lacking:
            return f"{point.value} is no {self.noun}: it lacks {', '.join(lacking)}"
        if loaded.name != point.name:
            return f"{point.value} calls itself {loaded.name!r}"
        return self._what_is_wrong(loaded)


class SettingsOf:
    """Pydantic's union of the settings of all kinds of a registry, told apart by the constant field that names them.

    ``Annotated[CommonSettings, SettingsOf(lambda: ENGINES, "engine")]`` validates a document with the settings of the
    kind that it names; what type checkers see is the first argument.

    Parameters
    ----------
    registry
        Returns the registry; asked when the schema is built.
    key
        Field of the settings that holds the kind's name.
    default
        The kind of a document that names none; empty where it must name one.
    settings_type
        Returns the type of a kind's settings, where it is not ``settings_type`` itself.
    """

    def __init__(
        self,
        registry: Callable[[], Registry[Any]],
        key: str,
        default: str = "",
        settings_type: Callable[[Any], type[BaseModel]] = lambda kind: kind.settings_type,
    ) -> None:
        self._registry = registry
        self._key = key
        self._default = default
        self._settings_type = settings_type

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        registry = self._registry()
        choices = {kind.name: handler.generate_schema(self._settings_type(kind)) for kind in registry.kinds}
        discriminator = self._kind_of if self._default else self._key
        return core_schema.tagged_union_schema(choices, discriminator=discriminator)

    def _kind_of(self, value: Any) -> Any:
        """Return the name of the kind that a document, or a value that is valid already, is of."""
        if isinstance(value, Mapping):
            return value.get(self._key, self._default)
        return getattr(value, self._key, self._default)


class NameOf:
    """Pydantic's choice of the names of all kinds of a registry: ``Annotated[str, NameOf(lambda: MODELS)]``.

    Parameters
    ----------
    registry
        Returns the registry; asked when the schema is built.
    """

    def __init__(self, registry: Callable[[], Registry[Any]]) -> None:
        self._registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self._registry().names))


def broken_plug_ins(registries: Iterable[Registry[Any]]) -> tuple[BrokenPlugIn, ...]:
    """Return everything that is registered in any of the registries and cannot be used."""
    return tuple(one for registry in registries for one in registry.broken)


@functools.cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; looked up once, for it reads the metadata of every package."""
    return tuple(entry_points(group=group))


def _package(point: EntryPoint) -> str:
    return _name_of(point.dist) if point.dist else "unknown"


@functools.cache
def _name_of(package: Distribution) -> str:
    """Return the name of a package: each time that it is asked for, it is read from the metadata anew."""
    return package.name


def _lacking(loaded: Any, protocol: type[Any]) -> list[str]:
    """Return what a kind must have and has not, by name."""
    wanted = {name for base in protocol.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", ()))}
    return sorted(name for name in wanted if not name.startswith("_") and not hasattr(loaded, name))
