"""Two atoms through an engine: whether it works here, not whether its answer is any good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.build import bulk

from ..core.errors import InputError, IonloopError
from .common_settings import CommonSettings
from .engine import Engine
from .outcome import LabelOutcome
from .registry import ENGINES
from .runner import label

WALL_TIME_LIMIT_S = 300.0
_LATTICE_CONSTANT_A = 5.47


class SmokeRunFailed(IonloopError):
    """An engine, of somebody else, that cannot be asked for its smoke run or breaks off in it."""


def smoke_atoms() -> Atoms:
    """Return two atoms of silicon, which every code has data for, one of them displaced."""
    atoms = bulk("Si", "diamond", a=_LATTICE_CONSTANT_A)
    atoms.positions[0] += [0.05, 0.02, 0.0]
    return atoms


def smoke_settings(name: str) -> CommonSettings:
    """Return cheap settings of the engine called ``name``, with which it computes silicon in seconds.

    Raises
    ------
    InputError
        If there is no such engine, or it cannot run without settings of the user's.
    SmokeRunFailed
        If the engine fails when it is asked.
    """
    settings = _settings_of(ENGINES.get(name))
    if settings is None:
        runnable, broken = [], []
        for engine in ENGINES.kinds:
            try:
                runnable += [engine.name] * (_settings_of(engine) is not None)
            except SmokeRunFailed as error:
                broken.append(str(error))
        raise InputError("; ".join([f"engine {name!r} has no smoke run", f"allowed: {', '.join(runnable)}", *broken]))
    return settings.model_copy(update={"wall_time_limit_s": WALL_TIME_LIMIT_S})


def smoke_run(name: str, scratch: Path) -> LabelOutcome:
    """Label two atoms of silicon with the engine called ``name`` in the folder ``scratch``.

    Raises
    ------
    InputError
        As `smoke_settings` does.
    SmokeRunFailed
        If the engine cannot be asked or breaks off, instead of saying that it failed.
    """
    settings = smoke_settings(name)
    with _blaming(ENGINES.get(name)):
        return label(smoke_atoms(), settings, scratch)


def _settings_of(engine: Engine[Any]) -> CommonSettings | None:
    with _blaming(engine):
        settings = engine.smoke_settings()
        if settings is None or isinstance(settings, engine.settings_type):
            return settings
        raise TypeError(f"smoke_settings returned a {type(settings).__name__}, no {engine.settings_type.__name__}")


@contextmanager
def _blaming(engine: Engine[Any]) -> Iterator[None]:
    try:
        yield
    # An engine of somebody else may fail in any way, also by ending the process.
    except (Exception, SystemExit) as error:
        package, version = ENGINES.package_of(engine.name)
        reason = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
        raise SmokeRunFailed(f"engine {engine.name!r} of {package} {version} cannot be used: {reason}") from error
