"""GFN1-xTB through tblite: quantum mechanics in seconds without any set-up.

Method: Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 2017, 13, 1989 (10.1021/acs.jctc.7b00118), at the
Γ point in periodic cells. Forces against PBE are mediocre: for demos, tests and bootstrapping.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field, PositiveFloat, PositiveInt

from ...core.citations import Citation
from ..ase_evaluation import evaluate_with_calculator
from ..common_settings import NOT_PHYSICS, CommonSettings
from ..engine import Engine, EngineFailure, EngineProbe
from ..outcome import Evaluation

HEAVIEST_ATOMIC_NUMBER = 86
_REMEDY = "install it with `pip install tblite`"
# Before it the stress is not the strain derivative of the energy: 0.003 eV/Å³ off for four atoms.
_FIRST_WITH_RIGHT_STRESS = (0, 7)


class Gfn1XtbSettings(CommonSettings):
    """GFN1-xTB at the Γ point, by tblite: Grimme et al., J. Chem. Theory Comput. 2017, 13, 1989."""

    engine: Literal["gfn1-xtb"] = Field("gfn1-xtb", description="Name of the engine (name)")
    accuracy: PositiveFloat = Field(
        1.0, le=1000.0, description="tblite's accuracy: scales all thresholds, smaller is tighter (no unit)"
    )
    electronic_temperature_K: PositiveFloat = Field(
        300.0, description="Temperature of the Fermi occupation of the orbitals (K)"
    )
    max_iterations: PositiveInt = Field(
        250,
        description="Self-consistency cycles after which an attempt is unconverged (count)",
        json_schema_extra=NOT_PHYSICS,
    )
    mixer_damping: PositiveFloat = Field(
        0.4,
        le=1.0,
        description="Damping of the Broyden mixing of the charges (no unit)",
        json_schema_extra=NOT_PHYSICS,
    )
    initial_guess: Literal["sad", "eeq"] = Field(
        "sad",
        description="Charges that the self-consistency starts from: neutral atoms, or electronegativity "
        "equilibration (name)",
        json_schema_extra=NOT_PHYSICS,
    )


class Gfn1XtbEngine(Engine[Gfn1XtbSettings]):
    """tblite, in this process or in the labelling process."""

    name = "gfn1-xtb"
    settings_type = Gfn1XtbSettings
    rank = 10
    # Major and minor: patch releases do not change the method.
    counting_version = re.compile(r"\b(tblite) (\d+\.\d+)")

    def objection(self, atoms: Atoms, settings: Gfn1XtbSettings) -> str | None:
        """Refuse elements without parameters, and slabs and wires: tblite takes them for crystals."""
        unknown = sorted(set(atoms.symbols[(atoms.numbers > HEAVIEST_ATOMIC_NUMBER) | (atoms.numbers < 1)]))
        if unknown:
            return f"GFN1-xTB has no parameters for {', '.join(unknown)}; it knows hydrogen to radon"
        if atoms.pbc.any() and not atoms.pbc.all():
            return "GFN1-xTB computes cells that are periodic in all three directions or in none"
        return None

    def evaluate(self, atoms: Atoms, settings: Gfn1XtbSettings, folder: Path) -> Evaluation:
        """Compute ``atoms``; nothing is written."""
        return evaluate_with_calculator(atoms, _new_calculator(settings))

    def parse_finished(self, atoms: Atoms, settings: Gfn1XtbSettings, folder: Path) -> Evaluation | None:
        """Return None: tblite leaves no output."""
        return None

    def recovery_ladder(self, settings: Gfn1XtbSettings) -> tuple[Gfn1XtbSettings, ...]:
        """More cycles with stronger damping, then another first guess too; never a higher temperature."""
        damped = {"max_iterations": 4 * settings.max_iterations, "mixer_damping": settings.mixer_damping / 2}
        restarted = {
            "max_iterations": 10 * settings.max_iterations,
            "mixer_damping": settings.mixer_damping / 4,
            "initial_guess": "eeq" if settings.initial_guess == "sad" else "sad",
        }
        return settings.model_copy(update=damped), settings.model_copy(update=restarted)

    def smoke_settings(self) -> Gfn1XtbSettings:
        """Return the defaults."""
        return Gfn1XtbSettings()

    def packages(self, settings: Gfn1XtbSettings) -> tuple[str, ...]:
        """Return tblite's."""
        return ("tblite",)

    def methods(self, settings: Gfn1XtbSettings) -> str:
        """Return method, code and electronic temperature."""
        return (
            "The reference is GFN1-xTB by tblite at the Γ point, with a Fermi-Dirac occupation of "
            f"{settings.electronic_temperature_K:g} K and tblite's accuracy {settings.accuracy:g}."
        )

    def citations(self, settings: Gfn1XtbSettings) -> tuple[Citation, ...]:
        """Return the method's work."""
        return (
            Citation(
                "GFN1-xTB",
                "S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 2017, 13, 1989",
                "10.1021/acs.jctc.7b00118",
            ),
        )

    def version(self, settings: Gfn1XtbSettings) -> str:
        """Return tblite's version, without loading it."""
        return f"tblite {_installed_version()}"

    def probe(self, settings: Gfn1XtbSettings | None = None) -> EngineProbe:
        """Look for the package tblite and for the system's libraries that it needs."""
        version = _installed_version()
        try:
            importlib.import_module("tblite.interface")
        except ModuleNotFoundError:
            return EngineProbe(self.name, found=False, version="unknown", remedy=_REMEDY)
        except ImportError as error:
            remedy = f"tblite is installed but cannot be loaded ({error}); on Debian: apt install libgomp1"
            return EngineProbe(self.name, found=False, version=version, remedy=remedy)
        objection = _version_objection(version)
        if objection is not None:
            return EngineProbe(self.name, found=False, version=version, remedy=objection)
        return EngineProbe(self.name, found=True, version=version, remedy="")


GFN1_XTB = Gfn1XtbEngine()


def _installed_version() -> str:
    try:
        return importlib.metadata.version("tblite")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _version_objection(version: str) -> str | None:
    """Say why tblite of this version gives no labels, or return None; what does not look like a version passes."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) >= _FIRST_WITH_RIGHT_STRESS:
        return None
    return f"tblite {version} has wrong stresses; install a newer one: pip install 'tblite>=0.7'"


def _new_calculator(settings: Gfn1XtbSettings) -> Calculator:
    objection = _version_objection(_installed_version())
    if objection is not None:
        raise EngineFailure(objection)
    _load_fast_linear_algebra()
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise EngineFailure(f"the package tblite cannot be loaded ({error}); {_REMEDY}") from error
    return TBLite(
        method="GFN1-xTB",
        # Explicit, or tblite would take the sum of the atoms' initial charges for the charge of the cell.
        charge=0,
        accuracy=settings.accuracy,
        electronic_temperature=settings.electronic_temperature_K,
        max_iterations=settings.max_iterations,
        mixer_damping=settings.mixer_damping,
        guess=settings.initial_guess,
        verbosity=0,
    )


@functools.cache
def _load_fast_linear_algebra() -> None:
    """Load quippy's OpenBLAS so that tblite finds its routines instead of the slow reference ones in its wheel.

    Measured on one core: 1.5 s instead of 2.1 s for a label of 42 atoms, 4.8 s instead of 12.5 s for 84. Which
    library is found decides the last bits, so this belongs into a process that imports nothing else.
    """
    package = importlib.util.find_spec("quippy")
    if package is None or package.origin is None:
        return
    libraries = Path(package.origin).parent.parent / "quippy_ase.libs"
    # In the order in which they need each other.
    for name in ("libquadmath", "libgfortran", "libopenblas"):
        for library in sorted(libraries.glob(f"{name}-*.so*")):
            try:
                ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                return
