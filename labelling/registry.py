"""The engines that there are, by name: a new one is a settings type in the union and a line here."""

from __future__ import annotations

from typing import Any

from ase.calculators.calculator import Calculator

from .calculator import EngineCalculator
from .engine import Engine, EngineProbe
from .engines.aims import AimsEngine
from .engines.command import CommandEngine
from .engines.cp2k import Cp2kEngine
from .engines.espresso import EspressoEngine
from .engines.gfn1_xtb import Gfn1XtbEngine
from .engines.gpaw_engine import GpawEngine
from .engines.imported import ImportedEngine
from .engines.vasp import VaspEngine
from .settings import CommonSettings

ENGINES: dict[str, Engine[Any]] = {
    engine.name: engine
    for engine in (
        Gfn1XtbEngine(),
        GpawEngine(),
        Cp2kEngine(),
        EspressoEngine(),
        AimsEngine(),
        VaspEngine(),
        CommandEngine(),
        ImportedEngine(),
    )
}


def engine_of(settings: CommonSettings) -> Engine[Any]:
    """Return the engine that the settings are for."""
    return next(engine for engine in ENGINES.values() if isinstance(settings, engine.settings_type))


def probe_engines() -> tuple[EngineProbe, ...]:
    """Return for every engine whether it is there, without running one."""
    return tuple(engine.probe() for engine in ENGINES.values())


def make_calculator(settings: CommonSettings) -> Calculator:
    """Return a new ASE calculator of the reference engine, for dynamics and relaxation.

    It asks the same process as ``label`` and gives the same bits, whatever it computed before and whatever else
    this process has imported: a run continued from a file follows the uninterrupted one.
    """
    return EngineCalculator(settings, engine_of(settings))


def reset_history(calculator: Calculator) -> None:
    """Make ``calculator`` forget what it computed, so that its next result depends on the atoms alone.

    Those of :func:`make_calculator` only have their last result to forget. Other self-consistent calculators
    start from their last wave function, which a run that is continued from a file does not have.
    """
    if hasattr(calculator, "reset"):
        calculator.reset()
    if type(calculator).__module__ == "tblite.ase":
        # Its reset() keeps both the wave function and the interface object.
        calculator._res = None
        calculator._xtb = None
