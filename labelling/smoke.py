"""Two atoms through an engine: whether it works here, not whether its answer is any good."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.build import bulk

from ..core.errors import InputError
from .engines.dft_settings import Cp2kSettings, DftSettings, EspressoSettings, GpawSettings, KGrid
from .engines.espresso import pseudopotential_folder
from .outcome import LabelOutcome
from .registry import ENGINES
from .runner import label
from .settings import CommandSettings, CommonSettings, ImportedSettings

WALL_TIME_LIMIT_S = 300.0
_LATTICE_CONSTANT_A = 5.47
_GAMMA = KGrid(gamma=True)


def smoke_atoms() -> Atoms:
    """Return two atoms of silicon, which every code has data for, one of them displaced."""
    atoms = bulk("Si", "diamond", a=_LATTICE_CONSTANT_A)
    atoms.positions[0] += [0.05, 0.02, 0.0]
    return atoms


def smoke_settings(name: str) -> CommonSettings:
    """Return cheap settings of the engine called ``name``, with which it computes silicon in seconds.

    Raises
    ------
    InputError
        If there is no such engine, or none that can run without settings of the user's.
    """
    runnable = [
        key for key, engine in ENGINES.items() if engine.settings_type not in (CommandSettings, ImportedSettings)
    ]
    if name not in runnable:
        raise InputError(f"engine {name!r} has no smoke run; allowed: {', '.join(runnable)}")
    kind = ENGINES[name].settings_type
    limit = {"wall_time_limit_s": WALL_TIME_LIMIT_S}
    if kind is GpawSettings:
        return GpawSettings(cutoff_eV=250, k_grid=_GAMMA, **limit)
    if kind is Cp2kSettings:
        return Cp2kSettings(cutoff_Ry=200, k_grid=_GAMMA, added_orbitals=4, **limit)
    if kind is EspressoSettings:
        return EspressoSettings(
            pseudopotentials={"Si": _silicon_file()}, cutoff_Ry=16, density_cutoff_Ry=64, k_grid=_GAMMA, **limit
        )
    if issubclass(kind, DftSettings):
        return kind(k_grid=_GAMMA, **limit)
    return kind(**limit)


def smoke_run(name: str, scratch: Path) -> LabelOutcome:
    """Label two atoms of silicon with the engine called ``name`` in the folder ``scratch``.

    Raises
    ------
    InputError
        As :func:`smoke_settings` does.
    """
    return label(smoke_atoms(), smoke_settings(name), scratch)


def _silicon_file() -> str:
    folder = pseudopotential_folder(EspressoSettings(pseudopotentials={"Si": "unknown"}))
    names = sorted(path.name for path in folder.glob("Si*.UPF")) if folder.is_dir() else []
    # The engine says what is missing and where.
    return next((name for name in names if "pbe" in name.lower()), names[0] if names else "Si.pbe-rrkj.UPF")
