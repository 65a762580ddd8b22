"""The engines that there are, by name: a new one is a settings type in the union and a line here."""

from __future__ import annotations

from typing import Any

from ase.calculators.calculator import Calculator

from .command import CommandEngine
from .engine import Engine, EngineProbe
from .gfn1_xtb import Gfn1XtbEngine
from .settings import CommonSettings

ENGINES: dict[str, Engine[Any]] = {engine.name: engine for engine in (Gfn1XtbEngine(), CommandEngine())}


def engine_of(settings: CommonSettings) -> Engine[Any]:
    """Return the engine that the settings are for."""
    return next(engine for engine in ENGINES.values() if isinstance(settings, engine.settings_type))


def probe_engines() -> tuple[EngineProbe, ...]:
    """Return for every engine whether it is there, without running one."""
    return tuple(engine.probe() for engine in ENGINES.values())


def make_calculator(settings: CommonSettings) -> Calculator:
    """Return a new ASE calculator of the reference engine in this process, for dynamics and relaxation.

    It has no limits of time and memory and may take the process down: labels go through ``label``.

    Raises
    ------
    InputError
        If it cannot be made; the message says what is missing.
    """
    return engine_of(settings).make_calculator(settings)


def reset_history(calculator: Calculator) -> None:
    """Make ``calculator`` forget what it computed, so that its next result depends on the atoms alone.

    Self-consistent calculators start from their last wave function; a run that is continued from a file has
    none. Forgetting at the same steps in both makes them bit-identical.
    """
    if hasattr(calculator, "reset"):
        calculator.reset()
    if type(calculator).__module__ == "tblite.ase":
        # Its reset() keeps both the wave function and the interface object.
        calculator._res = None
        calculator._xtb = None
