"""Labelling with reference engines behind one interface: a structure in, a label with its state out."""

from .engine import EngineProbe
from .engine_process import EngineProcessError, stop_engine_process
from .licensed_settings import AimsSettings, VaspSettings
from .outcome import Attempt, LabelOutcome
from .registry import ENGINES, engine_of, make_calculator, probe_engines, reset_history
from .runner import isolated_atom_energy, label
from .scratch import ScratchError
from .settings import CommandSettings, EngineSettings, Gfn1XtbSettings, ImportedSettings, settings_hash

__all__ = [
    "ENGINES",
    "AimsSettings",
    "Attempt",
    "CommandSettings",
    "EngineProbe",
    "EngineProcessError",
    "EngineSettings",
    "Gfn1XtbSettings",
    "ImportedSettings",
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
