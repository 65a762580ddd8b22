"""Labelling with reference engines behind one interface: a structure in, a label with its state out."""

from typing import TYPE_CHECKING

from ..core.lazy_imports import lazy_exports

if TYPE_CHECKING:
    from .calculator import make_calculator, reset_history
    from .engine import Engine, EngineProbe
    from .engines.aims import AimsSettings
    from .engines.command import CommandSettings
    from .engines.cp2k_settings import Cp2kSettings
    from .engines.dft_settings import KGrid
    from .engines.espresso import EspressoSettings
    from .engines.gfn1_xtb import Gfn1XtbSettings
    from .engines.gpaw_engine import GpawSettings
    from .engines.imported import ImportedSettings
    from .engines.vasp import VaspSettings
    from .outcome import Attempt, LabelOutcome
    from .process.engine_process import EngineProcessError, stop_engine_process
    from .registry import ENGINES, EngineSettings, engine_of, probe_engines
    from .runner import isolated_atom_energy, label
    from .scratch import ScratchError
    from .settings import settings_hash

__all__ = [
    "ENGINES",
    "AimsSettings",
    "Attempt",
    "CommandSettings",
    "Cp2kSettings",
    "Engine",
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
        "calculator": (
            "make_calculator",
            "reset_history",
        ),
        "engine": (
            "Engine",
            "EngineProbe",
        ),
        "engines.aims": ("AimsSettings",),
        "engines.command": ("CommandSettings",),
        "engines.cp2k_settings": ("Cp2kSettings",),
        "engines.dft_settings": ("KGrid",),
        "engines.espresso": ("EspressoSettings",),
        "engines.gfn1_xtb": ("Gfn1XtbSettings",),
        "engines.gpaw_engine": ("GpawSettings",),
        "engines.imported": ("ImportedSettings",),
        "engines.vasp": ("VaspSettings",),
        "outcome": (
            "Attempt",
            "LabelOutcome",
        ),
        "process.engine_process": (
            "EngineProcessError",
            "stop_engine_process",
        ),
        "registry": (
            "ENGINES",
            "EngineSettings",
            "engine_of",
            "probe_engines",
        ),
        "runner": (
            "isolated_atom_energy",
            "label",
        ),
        "scratch": ("ScratchError",),
        "settings": ("settings_hash",),
    },
)
