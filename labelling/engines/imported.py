"""Labels from elsewhere: the engine that they are recorded under, which computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ase import Atoms
from pydantic import Field

from ..common_settings import CommonSettings
from ..engine import Engine, EngineFailure, EngineProbe
from ..outcome import Evaluation


class ImportedSettings(CommonSettings):
    """Labels that were computed elsewhere and came by `ionloop import`; nothing more is known of their settings."""

    engine: Literal["imported"] = Field("imported", description="Name of the engine (name)")
    source: str = Field(
        "unknown",
        min_length=1,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$",
        description="Code that computed the labels, in one word, for example vasp (name)",
    )
    method: str = Field(
        "",
        description="What tells these labels from others of that code: functional, basis, k-points (text)",
    )


class ImportedEngine(Engine[ImportedSettings]):
    """Stands for another code's labels, so that they have settings, a hash and a place like any others."""

    name = "imported"
    settings_type = ImportedSettings
    rank = 100

    def objection(self, atoms: Atoms, settings: ImportedSettings) -> str | None:
        """Refuse every structure: new labels need an engine that runs here."""
        return _objection(settings)

    def evaluate(self, atoms: Atoms, settings: ImportedSettings, folder: Path) -> Evaluation:
        """Raise EngineFailure: there is nothing to run."""
        raise EngineFailure(_objection(settings))

    def labelled_by(self, settings: ImportedSettings) -> str:
        """Return the code that computed the labels."""
        return settings.source

    def methods(self, settings: ImportedSettings) -> str:
        """Name the code and what is known of its method."""
        return (
            f"Labels were imported; they are of {settings.source}{f' ({settings.method})' if settings.method else ''}."
        )

    def version(self, settings: ImportedSettings) -> str:
        """Return the name of the code that computed the labels."""
        return settings.source

    def probe(self, settings: ImportedSettings | None = None) -> EngineProbe:
        """Say that there is nothing to find; with settings, which a campaign that labels has, that this will not do."""
        if settings is not None:
            return EngineProbe(self.name, found=False, version=settings.source, remedy=_objection(settings))
        return EngineProbe(self.name, found=True, version="labels from files", remedy="bring them by `ionloop import`")


IMPORTED = ImportedEngine()


def _objection(settings: ImportedSettings) -> str:
    return (
        f"labels of {settings.source} were imported, no engine here computes more of them; campaigns that label need "
        "`reference:` with an engine"
    )
