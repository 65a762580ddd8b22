"""A reference engine as an ASE calculator, evaluated in the labelling process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from ..core.states import State
from .common_settings import CommonSettings
from .engine import Engine
from .process.engine_process import ask_engine
from .process.messages import Request
from .process.temporary import temporary_folder
from .registry import engine_of
from .scratch import scratch_error


class EngineCalculator(Calculator):
    """What the engine gives of any structure: energy (eV), forces (eV/Å), stress (eV/Å³), charges (e), dipole (e Å).

    Every evaluation starts from nothing, in a temporary folder of its own: equal atoms give equal bits. The
    limits of the settings hold for each evaluation.

    Parameters
    ----------
    settings
        Settings of the engine.
    engine
        The engine.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "charges", "dipole"]

    def __init__(self, settings: CommonSettings, engine: Engine[Any]) -> None:
        super().__init__()
        self._settings = settings
        self._engine = engine

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute everything that the engine gives.

        Raises
        ------
        CalculationFailed
            If the engine gave no result; the message says in which state it ended and why.
        ScratchError
            If the temporary folder cannot be written.
        EngineProcessError
            If the process for the engine cannot be started.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        objection = self._engine.objection(self.atoms, self._settings)
        if objection is not None:
            raise CalculationFailed(f"{self._engine.name}: {objection}")
        with temporary_folder() as folder:
            answer = ask_engine(Request(self.atoms, self._settings, folder))
        if answer.disk_error is not None:
            raise scratch_error(folder, answer.disk_error)
        if answer.state is not State.FINISHED or answer.evaluation is None:
            raise CalculationFailed(f"{self._engine.name}: {answer.state.value}: {answer.reason}")
        values = {**vars(answer.evaluation), "free_energy": answer.evaluation.energy}
        self.results = {key: value for key, value in values.items() if value is not None}


def make_calculator(settings: CommonSettings) -> Calculator:
    """Return a new ASE calculator of the reference engine, for dynamics and relaxation.

    It asks the same process as ``label`` and gives the same bits, whatever it computed before and whatever else
    this process has imported: a run continued from a file follows the uninterrupted one.
    """
    return EngineCalculator(settings, engine_of(settings))


def reset_history(calculator: Calculator) -> None:
    """Make ``calculator`` forget what it computed, so that its next result depends on the atoms alone.

    Those of `make_calculator` only have their last result to forget. Other self-consistent calculators
    start from their last wave function, which a run that is continued from a file does not have.
    """
    for name in ("reset", "forget"):
        if hasattr(calculator, name):
            getattr(calculator, name)()
    if type(calculator).__module__ == "tblite.ase":
        # Its reset() keeps both the wave function and the interface object.
        calculator._res = None
        calculator._xtb = None
