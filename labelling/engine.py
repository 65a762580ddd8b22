"""What a reference engine must offer, and the words in which it reports that it failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ase import Atoms

from ..core.states import State
from .outcome import Evaluation
from .settings import CommonSettings


class EngineFailure(Exception):
    """The engine gave no result; ``state`` and the one-line message say how and why.

    Raised inside the engine's own process and turned into the state of the label there: it never reaches the
    caller of ``label``.
    """

    def __init__(self, reason: str, state: State = State.FAILED) -> None:
        super().__init__(reason)
        self.state = state


class NotConverged(EngineFailure):
    """The self-consistency ended without an answer: the next rung of the recovery ladder may find it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, State.UNCONVERGED)


@dataclass(frozen=True)
class EngineProbe:
    """What the doctor says of an engine: whether it is there, which one, and how to get it if not."""

    engine: str
    found: bool
    version: str
    remedy: str


SettingsT = TypeVar("SettingsT", bound=CommonSettings)


class Engine(Protocol[SettingsT]):
    """A reference engine.

    ``evaluate`` and ``parse_finished`` run in a process of their own that may be killed at any moment; the
    rest runs in the caller's process and must not start anything heavy.
    """

    @property
    def name(self) -> str:
        """Name of the engine, the value of ``engine`` in its settings."""

    @property
    def settings_type(self) -> type[SettingsT]:
        """Type of the engine's settings."""

    def objection(self, atoms: Atoms, settings: SettingsT) -> str | None:
        """Say in one line why the engine cannot compute ``atoms``, or return None."""

    def evaluate(self, atoms: Atoms, settings: SettingsT, folder: Path) -> Evaluation:
        """Compute ``atoms`` in the fresh ``folder``, which is the working directory too.

        Raises
        ------
        NotConverged
            If the self-consistency did not converge, also where the code itself keeps silent about it.
        EngineFailure
            If there is no result for another reason.
        """

    def parse_finished(self, atoms: Atoms, settings: SettingsT, folder: Path) -> Evaluation | None:
        """Return the result if an interrupted run left finished output of these atoms in ``folder``.

        None if there is none, or any doubt. Raises as ``evaluate`` does.
        """

    def recovery_ladder(self, settings: SettingsT) -> tuple[SettingsT, ...]:
        """Return the settings to try after unconverged attempts, in order.

        They change the way to the answer (mixing, cycles, first guess), never the answer.
        """

    def isolated_atom(self, symbol: str, settings: SettingsT) -> Atoms:
        """Return one atom as the engine wants it, with its unpaired electrons as initial magnetic moment."""

    def version(self, settings: SettingsT) -> str:
        """Return what identifies the engine's code; 'unknown' where it does not say."""

    def probe(self, settings: SettingsT | None = None) -> EngineProbe:
        """Look whether the engine is there, without running it; where it needs settings to know, say so."""
