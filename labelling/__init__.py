"""Labelling with reference engines behind one interface: a structure in, a label with its state out."""

from typing import TYPE_CHECKING

from ..core.lazy_imports import lazy_exports

if TYPE_CHECKING:
    from .engine import EngineProbe
    from .engines.dft_settings import Cp2kSettings, EspressoSettings, GpawSettings, KGrid
    from .engines.licensed_settings import AimsSettings, VaspSettings
    from .outcome import Attempt, LabelOutcome
    from .process.engine_process import EngineProcessError, stop_engine_process
    from .registry import ENGINES, engine_of, make_calculator, probe_engines, reset_history
    from .runner import isolated_atom_energy, label
    from .scratch import ScratchError
    from .settings import CommandSettings, EngineSettings, Gfn1XtbSettings, ImportedSettings, settings_hash

__all__ = [
    "ENGINES",
    "AimsSettings",
    "Attempt",
    "CommandSettings",
    "Cp2kSettings",
    "EngineProbe",
    "EngineProcessError",
    "EngineSettings",
    "EspressoSettings",
    "Gfn1XtbSettings",
    "GpawSettings",
    "ImportedSettings",
    "KGrid",
    "LabelOutcome",
    "ScratchError",
    "VaspSettings",
    "engine_of",
    "isolated_atom_energy",
    "label",
    "make_calculator",
    "probe_engines",
    "reset_history",
    "settings_hash",
    "stop_engine_process",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "engines.dft_settings": (
            "Cp2kSettings",
            "EspressoSettings",
            "GpawSettings",
            "KGrid",
        ),
        "engine": ("EngineProbe",),
        "process.engine_process": (
            "EngineProcessError",
            "stop_engine_process",
        ),
        "engines.licensed_settings": (
            "AimsSettings",
            "VaspSettings",
        ),
        "outcome": (
            "Attempt",
            "LabelOutcome",
        ),
        "registry": (
            "ENGINES",
            "engine_of",
            "make_calculator",
            "probe_engines",
            "reset_history",
        ),
        "runner": (
            "isolated_atom_energy",
            "label",
        ),
        "scratch": ("ScratchError",),
        "settings": (
            "CommandSettings",
            "EngineSettings",
            "Gfn1XtbSettings",
            "ImportedSettings",
            "settings_hash",
        ),
    },
)
