"""Labels from elsewhere: the engine that they are recorded under, which computes nothing."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from ..engine import EngineFailure, EngineProbe
from ..isolated import isolated_atom
from ..outcome import Evaluation
from ..settings import ImportedSettings


class ImportedEngine:
    """Stands for another code's labels, so that they have settings, a hash and a place like any others."""

    name = "imported"
    settings_type = ImportedSettings

    def objection(self, atoms: Atoms, settings: ImportedSettings) -> str | None:
        """Refuse every structure: new labels need an engine that runs here."""
        return _objection(settings)

    def evaluate(self, atoms: Atoms, settings: ImportedSettings, folder: Path) -> Evaluation:
        """Raise EngineFailure: there is nothing to run."""
        raise EngineFailure(_objection(settings))

    def parse_finished(self, atoms: Atoms, settings: ImportedSettings, folder: Path) -> Evaluation | None:
        """Return None: there is no output."""
        return None

    def recovery_ladder(self, settings: ImportedSettings) -> tuple[ImportedSettings, ...]:
        """Return nothing."""
        return ()

    def isolated_atom(self, symbol: str, settings: ImportedSettings) -> Atoms:
        """Return one atom in open space."""
        return isolated_atom(symbol)

    def version(self, settings: ImportedSettings) -> str:
        """Return the name of the code that computed the labels."""
        return settings.source

    def probe(self, settings: ImportedSettings | None = None) -> EngineProbe:
        """Say that there is nothing to find; with settings, which a campaign that labels has, that this will not do."""
        if settings is not None:
            return EngineProbe(self.name, found=False, version=settings.source, remedy=_objection(settings))
        return EngineProbe(self.name, found=True, version="labels from files", remedy="bring them by `ionloop import`")


def _objection(settings: ImportedSettings) -> str:
    return (
        f"labels of {settings.source} were imported, no engine here computes more of them; campaigns that label need "
        "`reference:` with an engine"
    )
