"""GPAW with plane waves, from PyPI: density-functional theory without any program besides Python.

Method: projector-augmented waves, Mortensen et al., J. Chem. Phys. 2024, 160, 092503 (10.1063/5.0182685). It runs in
the labelling process and raises an error when it does not converge. Its text output rounds, so the result itself is
what an interrupted run leaves behind.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path
from typing import Any, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field, PositiveFloat, PositiveInt

from ...core.citations import Citation
from ...core.files import write_whole
from ..ase_evaluation import evaluate_with_calculator, one_line
from ..common_settings import NOT_PHYSICS
from ..engine import EngineFailure, EngineProbe
from ..isolated import isolated_atom
from ..outcome import Evaluation
from .dft_engine import DftEngine
from .dft_settings import DftSettings, KGrid, is_spin_polarised, k_grid_shape

OUTPUT_FILE = "gpaw.txt"
RESULT_FILE = "evaluation.json"
_FUNCTIONALS = {"pbe": "PBE", "r2scan": "MGGA_X_R2SCAN+MGGA_C_R2SCAN"}
_INSTALL = (
    "install it with `pip install gpaw gpaw-data`; this needs g++ and Python's headers, and without MPI a file with "
    "the lines `mpi = False` and `compiler = 'g++'` that the variable GPAW_CONFIG names"
)


class GpawSettings(DftSettings):
    """GPAW with plane waves: Mortensen et al., J. Chem. Phys. 2024, 160, 092503 (10.1063/5.0182685)."""

    engine: Literal["gpaw"] = Field("gpaw", description="Name of the engine (name)")
    # Its data sets are of PBE, which it takes for meta-GGAs too; of PBEsol there are none.
    functional: Literal["pbe", "r2scan"] = Field(
        "pbe", description="Exchange-correlation functional; r2scan needs a GPAW that was built with libxc (name)"
    )
    cutoff_eV: PositiveFloat = Field(400.0, description="Kinetic-energy cutoff of the plane waves (eV)")
    mixer_weight: PositiveFloat = Field(
        0.05,
        le=1.0,
        description="Part of the new density in each step of the mixing (no unit)",
        json_schema_extra=NOT_PHYSICS,
    )
    mixer_history: PositiveInt = Field(
        5, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )
    eigensolver: Literal["davidson", "rmm-diis"] = Field(
        "davidson", description="How the orbitals are improved in each cycle (name)", json_schema_extra=NOT_PHYSICS
    )
    eigensolver_steps: PositiveInt = Field(
        2, description="Improvements of the orbitals in each cycle (count)", json_schema_extra=NOT_PHYSICS
    )
    density_convergence_e: PositiveFloat = Field(
        1e-5, description="Change of the density per valence electron at which the cycles end (e)"
    )


class GpawEngine(DftEngine[GpawSettings]):
    """GPAW in the labelling process, on one core."""

    name = "gpaw"
    settings_type = GpawSettings
    rank = 20
    code_packages = ("gpaw", "gpaw-data")
    code = "GPAW"
    code_citations = (
        Citation("GPAW", "J. J. Mortensen et al., J. Chem. Phys. 2024, 160, 092503", "10.1063/5.0182685"),
        Citation("PAW", "P. E. Blöchl, Phys. Rev. B 1994, 50, 17953", "10.1103/PhysRevB.50.17953"),
    )

    def objection(self, atoms: Atoms, settings: GpawSettings) -> str | None:
        """Refuse what plane waves cannot: cells that are not periodic, and elements without a PAW data set."""
        if not atoms.pbc.all():
            return "GPAW's plane waves need a cell that is periodic in all three directions"
        folders = setup_folders()
        missing = [symbol for symbol in sorted(set(atoms.symbols)) if not _has_setup(symbol, folders)]
        if folders and missing:
            return f"GPAW has no PBE data set for {', '.join(missing)} in {', '.join(str(f) for f in folders)}"
        return None

    def run_code(self, atoms: Atoms, settings: GpawSettings, folder: Path) -> Evaluation:
        """Compute ``atoms`` and leave the result in ``folder``."""
        evaluation = evaluate_with_calculator(atoms, new_calculator(atoms, settings, folder / OUTPUT_FILE))
        write_whole(folder / RESULT_FILE, json.dumps(evaluation.to_document()))
        return evaluation

    def parse_code(self, atoms: Atoms, settings: GpawSettings, folder: Path) -> Evaluation | None:
        """Return the result that an interrupted run left in ``folder``."""
        try:
            return Evaluation.from_document(json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return None

    def recovery_ladder(self, settings: GpawSettings) -> tuple[GpawSettings, ...]:
        """More cycles with smaller steps, then another eigensolver and a longer memory; the smearing stays."""
        smaller = {
            "max_iterations": 3 * settings.max_iterations,
            "mixer_weight": settings.mixer_weight / 2,
            "eigensolver_steps": settings.eigensolver_steps + 1,
        }
        other = {
            "max_iterations": 6 * settings.max_iterations,
            "mixer_weight": settings.mixer_weight / 5,
            "mixer_history": settings.mixer_history + 3,
            "eigensolver": "rmm-diis" if settings.eigensolver == "davidson" else "davidson",
        }
        return settings.model_copy(update=smaller), settings.model_copy(update=other)

    def isolated_atom(self, symbol: str, settings: GpawSettings) -> Atoms:
        """Return one atom in the middle of a periodic box."""
        return isolated_atom(symbol, settings.isolated_atom_box_A, periodic=True)

    def smoke_settings(self) -> GpawSettings:
        """Return a low cutoff at Γ."""
        return GpawSettings(cutoff_eV=250, k_grid=KGrid(gamma=True))

    def basis(self, settings: GpawSettings) -> str:
        """Return the cutoff."""
        return f"projector-augmented waves, plane waves up to {settings.cutoff_eV:g} eV"

    def version(self, settings: GpawSettings) -> str:
        """Return GPAW's version and that of its data sets, without loading it."""
        data = _version_of("gpaw-data")
        return f"GPAW {_version_of('gpaw') or 'not installed'}{f', data sets {data}' if data else ''}"

    def probe_code(self, settings: GpawSettings | None = None) -> EngineProbe:
        """Look for the package, its compiled part and its PAW data sets."""
        version = self.version(settings or GpawSettings())
        if importlib.util.find_spec("gpaw") is None:
            return EngineProbe(self.name, found=False, version="unknown", remedy=_INSTALL)
        if importlib.util.find_spec("_gpaw") is None:
            return EngineProbe(
                self.name, found=False, version=version, remedy=f"its compiled part is missing; {_INSTALL}"
            )
        folders = setup_folders()
        if not folders:
            remedy = "no PAW data sets: `pip install gpaw-data`, or name their folder in GPAW_SETUP_PATH"
            return EngineProbe(self.name, found=False, version=version, remedy=remedy)
        where = ", ".join(str(folder) for folder in folders)
        return EngineProbe(self.name, found=True, version=f"{version}, in {where}", remedy="")


GPAW = GpawEngine()


def setup_folders() -> tuple[Path, ...]:
    """Return the folders with PAW data sets: those of GPAW_SETUP_PATH and that of the package gpaw-data."""
    named = [Path(name) for name in os.environ.get("GPAW_SETUP_PATH", "").split(os.pathsep) if name]
    package = importlib.util.find_spec("gpaw_data")
    if package is not None and package.origin is not None:
        named.append(Path(package.origin).parent / "setups")
    return tuple(folder for folder in named if folder.is_dir())


@functools.cache
def _has_setup(symbol: str, folders: tuple[Path, ...]) -> bool:
    return any(next(folder.glob(f"{symbol}.PBE*"), None) is not None for folder in folders)


def calculator_parameters(atoms: Atoms, settings: GpawSettings) -> dict[str, Any]:
    """Return GPAW's keywords for ``atoms``, without its file of text.

    Point-group symmetry is off: a symmetry that a displaced atom breaks must not change the sampling. Time reversal
    stays, it holds always.
    """
    spin_polarised = is_spin_polarised(atoms)
    return {
        "mode": {"name": "pw", "ecut": settings.cutoff_eV},
        "xc": _FUNCTIONALS[settings.functional],
        "kpts": {"size": k_grid_shape(atoms, settings.k_grid), "gamma": True},
        "symmetry": {"point_group": False},
        "spinpol": spin_polarised,
        "occupations": {"name": "fermi-dirac", "width": settings.smearing_eV, "fixmagmom": spin_polarised},
        "mixer": {
            "backend": "pulay",
            "method": "difference" if spin_polarised else "separate",
            "beta": settings.mixer_weight,
            "nmaxold": settings.mixer_history,
            "weight": 50.0,
        },
        "eigensolver": {"name": settings.eigensolver, "niter": settings.eigensolver_steps},
        "convergence": {"density": settings.density_convergence_e},
        "maxiter": settings.max_iterations,
    }


def new_calculator(atoms: Atoms, settings: GpawSettings, text_file: Path) -> Calculator:
    """Return a GPAW calculator that starts from atomic densities.

    Raises
    ------
    EngineFailure
        If GPAW cannot be loaded.
    """
    try:
        package = importlib.import_module("gpaw")
    except ImportError as error:
        raise EngineFailure(f"the package gpaw cannot be loaded ({one_line(error)}); {_INSTALL}") from error
    if settings.functional != "pbe" and not package.libraries.get("libxc"):
        raise EngineFailure(
            f"functional {settings.functional} needs a GPAW that was built with libxc; this one was not"
        )
    return package.GPAW(**calculator_parameters(atoms, settings), txt=str(text_file))


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
