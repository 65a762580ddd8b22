"""What a reference engine must offer, and the words in which it reports that it failed."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from ase import Atoms

from ..core.citations import Citation
from ..core.states import State
from .common_settings import CommonSettings
from .isolated import isolated_atom
from .outcome import Evaluation


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
    """A reference engine: a kind of the group "ionloop.engines".

    Inherit from it: what is not abstract has a default that suits an engine without files, citations or ladder.
    ``evaluate`` and ``parse_finished`` run in a process of their own that may be killed at any moment; the
    rest runs in the caller's process and must not start anything heavy. The module of an engine loads its code
    inside functions.

    Attributes
    ----------
    rank
        Place in lists among the engines of its package.
    counting_version
        Finds in ``version`` the code and the part of its number that change the labels' numbers with the same
        settings, as two groups; None where the settings decide all of them (see `labelling.versions`).
    """

    rank: ClassVar[int] = 0
    counting_version: ClassVar[re.Pattern[str] | None] = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the engine, the value of ``engine`` in its settings."""

    @property
    @abstractmethod
    def settings_type(self) -> type[SettingsT]:
        """Type of the engine's settings."""

    @abstractmethod
    def evaluate(self, atoms: Atoms, settings: SettingsT, folder: Path) -> Evaluation:
        """Compute ``atoms`` in the fresh ``folder``, which is the working directory too.

        Raises
        ------
        NotConverged
            If the self-consistency did not converge, also where the code itself keeps silent about it.
        EngineFailure
            If there is no result for another reason.
        """

    @abstractmethod
    def version(self, settings: SettingsT) -> str:
        """Return what identifies the engine's code; 'unknown' where it does not say."""

    @abstractmethod
    def probe(self, settings: SettingsT | None = None) -> EngineProbe:
        """Look whether the engine is there, without running it; where it needs settings to know, say so."""

    def objection(self, atoms: Atoms, settings: SettingsT) -> str | None:
        """Say in one line why the engine cannot compute ``atoms``, or return None."""
        return None

    def parse_finished(self, atoms: Atoms, settings: SettingsT, folder: Path) -> Evaluation | None:
        """Return the result if an interrupted run left finished output of these atoms in ``folder``.

        None if there is none, or any doubt. Raises as ``evaluate`` does.
        """
        return None

    def recovery_ladder(self, settings: SettingsT) -> tuple[SettingsT, ...]:
        """Return the settings to try after unconverged attempts, in order.

        They change the way to the answer (mixing, cycles, first guess), never the answer.
        """
        return ()

    def isolated_atom(self, symbol: str, settings: SettingsT) -> Atoms:
        """Return one atom as the engine wants it, with its unpaired electrons as initial magnetic moment."""
        return isolated_atom(symbol)

    def smoke_settings(self) -> SettingsT | None:
        """Return cheap settings with which it computes two atoms of silicon in seconds (`labelling.smoke`).

        None if it cannot run without settings of the user's.
        """
        return None

    def packages(self, settings: SettingsT) -> tuple[str, ...]:
        """Return the distributions that it computes with, whose versions a campaign's record keeps."""
        return ()

    def labelled_by(self, settings: SettingsT) -> str:
        """Return the name that labels are recorded under: that of the code which computed them."""
        return self.name

    def methods(self, settings: SettingsT) -> str:
        """Return a sentence for a paper's methods section: code, method and what its numbers depend on."""
        return ""

    def citations(self, settings: SettingsT) -> tuple[Citation, ...]:
        """Return the works to cite for labels with these settings: the code, the method, the functional."""
        return ()
