"""Two atoms through an engine: whether it works here, not whether its answer is any good."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.build import bulk

from ..core.errors import InputError
from .common_settings import CommonSettings
from .outcome import LabelOutcome
from .registry import ENGINES
from .runner import label

WALL_TIME_LIMIT_S = 300.0
_LATTICE_CONSTANT_A = 5.47


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
    """
    settings = ENGINES.get(name).smoke_settings()
    if settings is None:
        runnable = [engine.name for engine in ENGINES.kinds if engine.smoke_settings() is not None]
        raise InputError(f"engine {name!r} has no smoke run; allowed: {', '.join(runnable)}")
    return settings.model_copy(update={"wall_time_limit_s": WALL_TIME_LIMIT_S})


def smoke_run(name: str, scratch: Path) -> LabelOutcome:
    """Label two atoms of silicon with the engine called ``name`` in the folder ``scratch``.

    Raises
    ------
    InputError
        As `smoke_settings` does.
    """
    return label(smoke_atoms(), smoke_settings(name), scratch)
