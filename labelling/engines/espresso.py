"""Quantum ESPRESSO's pw.x, run once per label.

pw.x exits with status 2 or 0 when the self-consistency fails, depending on its version; the words and the numbers in
its output decide. With Fermi-Dirac occupation its total energy includes the smearing's -TS, so the forces are its
derivative.
Debian's package has no pseudopotential of phosphorus or sulfur: they come from you, by `pseudopotential_folder`.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from ase import Atoms
from ase.units import Rydberg
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from ...core.citations import Citation
from ..ase_evaluation import one_line, stress_of
from ..common_settings import NOT_PHYSICS
from ..convergence import LastChange, check_numbers, printed_number
from ..engine import EngineFailure, EngineProbe, NotConverged
from ..isolated import isolated_atom
from ..outcome import Evaluation
from .dft_engine import DftEngine
from .dft_settings import ChemicalSymbol, ExecutableSettings, KGrid, is_spin_polarised, k_grid_shape, unpaired_electrons
from .executable import command_line, find_command, last_line, read_text, run_and_say, run_program

INPUT_FILE = "espresso.pwi"
OUTPUT_FILE = "espresso.pwo"
_DEBIAN_FOLDER = Path("/usr/share/espresso/pseudo")
_FINISHED_MARK = "JOB DONE."
_UNCONVERGED = re.compile(r"convergence NOT achieved", re.IGNORECASE)
_CONVERGED = re.compile(r"convergence has been achieved in\s+(\d+)\s+iterations")
_ACCURACY = re.compile(r"estimated scf accuracy\s*<\s*(\S+)\s+Ry")
_FATAL = re.compile(r"Error in routine\s+(.+?)\n\s+(.+?)\n")
_FUNCTIONAL = re.compile(r"Exchange-correlation\s*=\s*([^\n(]+)")
# Short name and parts, without blanks, as versions print them.
_FUNCTIONALS = {
    "pbe": ("PBE", "SLAPWPBEPBE", "SLAPWPBXPBC"),
    "pbesol": ("PBESOL", "SLAPWPSXPSC"),
    "r2scan": ("R2SCAN",),
}
_VERSION = re.compile(r"Program PWSCF\s+v\.(\S+)")
_REMEDY = "on Debian: apt install quantum-espresso; on a cluster load its module and set IONLOOP_ESPRESSO_COMMAND"


class EspressoSettings(ExecutableSettings):
    """Quantum ESPRESSO's pw.x: Giannozzi et al., J. Chem. Phys. 2020, 152, 154105 (10.1063/5.0005082)."""

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_ESPRESSO_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "pw.x"

    engine: Literal["espresso"] = Field("espresso", description="Name of the engine (name)")
    pseudopotentials: dict[ChemicalSymbol, str] = Field(
        min_length=1,
        description="File of each element's pseudopotential, for example {Si: Si.pbe-rrkj.UPF} (name)",
    )
    pseudopotential_folder: str | None = Field(
        None,
        description="Folder of the pseudopotentials; if missing, ESPRESSO_PSEUDO or /usr/share/espresso/pseudo (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    cutoff_Ry: PositiveFloat = Field(50.0, description="Kinetic-energy cutoff of the wave functions (Ry)")
    density_cutoff_Ry: PositiveFloat = Field(
        400.0, description="Cutoff of the density: 4 times cutoff_Ry for norm-conserving, 8 to 12 times for others (Ry)"
    )
    energy_convergence_Ry: PositiveFloat = Field(
        1e-8, description="Estimated error of the energy of the cell at the end (Ry)"
    )
    mixing_fraction: PositiveFloat = Field(
        0.4, le=1.0, description="Part of the new density in each step (no unit)", json_schema_extra=NOT_PHYSICS
    )
    mixing_mode: Literal["plain", "TF", "local-TF"] = Field(
        "plain", description="How densities are mixed (name)", json_schema_extra=NOT_PHYSICS
    )
    mixing_history: PositiveInt = Field(
        8, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )
    diagonalization: Literal["david", "cg"] = Field(
        "david", description="How the orbitals are improved in each cycle (name)", json_schema_extra=NOT_PHYSICS
    )

    @model_validator(mode="after")
    def _density_needs_more_waves(self) -> Self:
        if self.density_cutoff_Ry < 4 * self.cutoff_Ry:
            raise ValueError(
                f"density_cutoff_Ry {self.density_cutoff_Ry:g} is below 4 times cutoff_Ry {self.cutoff_Ry:g}; the "
                "density is made of products of two waves and needs at least four times their cutoff"
            )
        return self


class EspressoEngine(DftEngine[EspressoSettings]):
    """Quantum ESPRESSO's pw.x."""

    name = "espresso"
    settings_type = EspressoSettings
    rank = 40
    code = "Quantum ESPRESSO"
    code_citations = (
        Citation("Quantum ESPRESSO", "P. Giannozzi et al., J. Chem. Phys. 2020, 152, 154105", "10.1063/5.0005082"),
    )

    def objection(self, atoms: Atoms, settings: EspressoSettings) -> str | None:
        """Refuse cells that are not periodic, and elements without a pseudopotential in the settings."""
        if not atoms.pbc.all():
            return "Quantum ESPRESSO computes cells here that are periodic in all three directions"
        missing = sorted(set(atoms.symbols) - set(settings.pseudopotentials))
        if missing:
            return f"no pseudopotential for {', '.join(missing)}: name its file in `pseudopotentials`"
        return None

    def run_code(self, atoms: Atoms, settings: EspressoSettings, folder: Path) -> Evaluation:
        """Run pw.x in ``folder`` and read its output."""
        words = find_command(settings)
        missing = missing_files(settings, set(atoms.symbols))
        if missing:
            raise EngineFailure(f"no pseudopotential {' and '.join(missing)} in {pseudopotential_folder(settings)}")
        (folder / INPUT_FILE).write_text(input_text(atoms, settings), encoding="utf-8")
        failure = run_program([*words, "-in", INPUT_FILE], folder, OUTPUT_FILE)
        return read_output(read_text(folder / OUTPUT_FILE), atoms, settings, failure)

    def parse_code(self, atoms: Atoms, settings: EspressoSettings, folder: Path) -> Evaluation | None:
        """Return what a run that came to its end left in ``folder``."""
        text = read_text(folder / OUTPUT_FILE)
        if _FINISHED_MARK not in text or read_text(folder / INPUT_FILE) != input_text(atoms, settings):
            return None
        return read_output(text, atoms, settings)

    def recovery_ladder(self, settings: EspressoSettings) -> tuple[EspressoSettings, ...]:
        """More cycles with smaller steps, then the local Thomas-Fermi mixing and another diagonalisation."""
        smaller = {"max_iterations": 3 * settings.max_iterations, "mixing_fraction": settings.mixing_fraction / 2}
        other = {
            "max_iterations": 5 * settings.max_iterations,
            "mixing_fraction": settings.mixing_fraction / 4,
            "mixing_mode": "local-TF" if settings.mixing_mode == "plain" else "plain",
            "diagonalization": "cg" if settings.diagonalization == "david" else "david",
        }
        return settings.model_copy(update=smaller), settings.model_copy(update=other)

    def isolated_atom(self, symbol: str, settings: EspressoSettings) -> Atoms:
        """Return one atom in the middle of a periodic box."""
        return isolated_atom(symbol, settings.isolated_atom_box_A, periodic=True)

    def smoke_settings(self) -> EspressoSettings:
        """Return low cutoffs at Γ, with a pseudopotential of silicon that is there."""
        cutoffs = {"cutoff_Ry": 16, "density_cutoff_Ry": 64}
        return EspressoSettings(pseudopotentials={"Si": _silicon_file()}, k_grid=KGrid(gamma=True), **cutoffs)

    def basis(self, settings: EspressoSettings) -> str:
        """Return cutoffs and files of the pseudopotentials."""
        files = ", ".join(settings.pseudopotentials.values())
        return (
            f"the pseudopotentials {files}, plane waves up to {settings.cutoff_Ry:g} Ry "
            f"({settings.density_cutoff_Ry:g} Ry for the density)"
        )

    def version(self, settings: EspressoSettings) -> str:
        """Return pw.x's version, asked once in each process by an empty input."""
        said = _VERSION.search(run_and_say([*find_command(settings), "-in", os.devnull]))
        return f"Quantum ESPRESSO {said.group(1)}" if said else "Quantum ESPRESSO (version unknown)"

    def probe_code(self, settings: EspressoSettings | None = None) -> EngineProbe:
        """Look for the program and, with settings, for the pseudopotentials that they name."""
        asked = settings or EspressoSettings(pseudopotentials={"Si": "unknown"})
        try:
            version = self.version(asked)
        except EngineFailure:
            remedy = f"'{command_line(asked)}' not found; {_REMEDY}"
            return EngineProbe(self.name, found=False, version="unknown", remedy=remedy)
        folder = pseudopotential_folder(asked)
        if settings is None:
            where = f"{version}, pseudopotentials in {folder}" if folder.is_dir() else version
            remedy = "" if folder.is_dir() else f"no folder {folder}: name yours in pseudopotential_folder"
            return EngineProbe(self.name, found=True, version=where, remedy=remedy)
        missing = missing_files(settings, set(settings.pseudopotentials))
        remedy = f"no pseudopotential {' and '.join(missing)} in {folder}" if missing else ""
        return EngineProbe(self.name, found=not missing, version=version, remedy=remedy)


ESPRESSO = EspressoEngine()


def _silicon_file() -> str:
    folder = pseudopotential_folder(EspressoSettings(pseudopotentials={"Si": "unknown"}))
    names = sorted(path.name for path in folder.glob("Si*.UPF")) if folder.is_dir() else []
    # The engine says what is missing and where.
    return next((name for name in names if "pbe" in name.lower()), names[0] if names else "Si.pbe-rrkj.UPF")


def pseudopotential_folder(settings: EspressoSettings) -> Path:
    """Return the folder of the pseudopotentials."""
    said = settings.pseudopotential_folder or settings.environment.get("ESPRESSO_PSEUDO")
    return Path(said or os.environ.get("ESPRESSO_PSEUDO") or _DEBIAN_FOLDER)


def missing_files(settings: EspressoSettings, symbols: set[str]) -> list[str]:
    """Return the files of pseudopotentials of ``symbols`` that are not in their folder."""
    folder = pseudopotential_folder(settings)
    names = (settings.pseudopotentials[symbol] for symbol in sorted(symbols))
    return [name for name in names if not (folder / name).is_file()]


def input_data(atoms: Atoms, settings: EspressoSettings) -> dict[str, dict[str, Any]]:
    """Return pw.x's namelists for ``atoms``."""
    smeared = settings.smearing_eV > 0
    system: dict[str, Any] = {
        "ecutwfc": settings.cutoff_Ry,
        "ecutrho": settings.density_cutoff_Ry,
        "occupations": "smearing" if smeared else "fixed",
        "nosym": True,
    }
    if settings.functional != "pbe":
        system["input_dft"] = settings.functional
    if smeared:
        system |= {"smearing": "fermi-dirac", "degauss": settings.smearing_eV / Rydberg}
    if is_spin_polarised(atoms):
        system |= {"nspin": 2, "tot_magnetization": unpaired_electrons(atoms)}
    return {
        "control": {
            "calculation": "scf",
            "pseudo_dir": str(pseudopotential_folder(settings)),
            "outdir": "./scratch",
            "tprnfor": True,
            "tstress": True,
            "disk_io": "none",
        },
        "system": system,
        "electrons": {
            "conv_thr": settings.energy_convergence_Ry,
            "electron_maxstep": settings.max_iterations,
            "mixing_beta": settings.mixing_fraction,
            "mixing_mode": settings.mixing_mode,
            "mixing_ndim": settings.mixing_history,
            "diagonalization": settings.diagonalization,
        },
    }


def input_text(atoms: Atoms, settings: EspressoSettings) -> str:
    """Return the whole input: energy, forces and stress of ``atoms``."""
    import ase.io

    shape = k_grid_shape(atoms, settings.k_grid)
    buffer = io.StringIO()
    ase.io.write(
        buffer,
        atoms,
        format="espresso-in",
        input_data=input_data(atoms, settings),
        pseudopotentials=settings.pseudopotentials,
        # Without points pw.x takes its faster algorithms for Γ.
        kpts=None if shape == (1, 1, 1) else shape,
        koffset=(0, 0, 0),
    )
    return buffer.getvalue()


def read_output(
    text: str, atoms: Atoms, settings: EspressoSettings, failure: EngineFailure | None = None
) -> Evaluation:
    """Return energy, forces and stress out of pw.x's output.

    Parameters
    ----------
    text
        The output.
    atoms
        The structure that it must be about.
    settings
        How many iterations it might take, and to which accuracy.
    failure
        How the program ended, if not well.

    Raises
    ------
    NotConverged
        If the output says that convergence was not achieved, does not say that it was, or has numbers that deny it.
    EngineFailure
        If the program failed, the output ends early or lacks the energy, the forces or the stress.
    """
    if _UNCONVERGED.search(text):
        raise NotConverged("pw.x's output says: convergence NOT achieved")
    if failure is not None:
        fatal = _FATAL.search(text)
        said = f"; its output says: {one_line(' '.join(fatal.groups()))}" if fatal else ""
        raise EngineFailure(f"{failure}{said}", failure.state)
    if _FINISHED_MARK not in text:
        raise EngineFailure(f"pw.x's output ends early, with: {last_line(text)}")
    _check_functional(text, settings)
    _check_convergence(text, settings)
    import ase.io

    try:
        answer = ase.io.read(io.StringIO(text), format="espresso-out")
    # Output that is damaged in the middle may break ASE's reader in any way.
    except Exception as error:
        raise EngineFailure(f"pw.x's output cannot be read: {type(error).__name__}: {one_line(error)}") from error
    if list(answer.numbers) != list(atoms.numbers):
        raise EngineFailure(
            f"pw.x's output is about {answer.get_chemical_formula()}, not {atoms.get_chemical_formula()}"
        )
    results = {} if answer.calc is None else answer.calc.results
    energy, forces = results.get("free_energy", results.get("energy")), results.get("forces")
    if energy is None or forces is None:
        raise EngineFailure(f"pw.x's output has no {'energy' if energy is None else 'forces'}")
    stress = stress_of(results.get("stress"), "pw.x's output")
    return Evaluation(float(energy), np.asarray(forces, dtype=float), stress)


def _check_functional(text: str, settings: EspressoSettings) -> None:
    """Refuse an output of another functional: pw.x takes that of the pseudopotentials unless it is told.

    Versions that do not know a name may take a part of it for another one's.
    """
    said = _FUNCTIONAL.search(text)
    words = "" if said is None else "".join(said.group(1).upper().split())
    if words and words not in _FUNCTIONALS[settings.functional]:
        raise EngineFailure(
            f"pw.x computed with the functional {' '.join(str(said and said.group(1)).split())}, not "
            f"{settings.functional}: look at the pseudopotentials, and at whether this pw.x knows {settings.functional}"
        )


def _check_convergence(text: str, settings: EspressoSettings) -> None:
    """Refuse an output that does not say that it converged, or whose estimated accuracy denies it.

    With ``scf_must_converge = .false.`` pw.x says so when ``electron_maxstep`` is used up.
    """
    ends = list(_CONVERGED.finditer(text))
    if not ends:
        raise NotConverged("pw.x's output does not say that convergence has been achieved")
    # With exact exchange there are several loops of which the last is the strictest.
    accuracies = _ACCURACY.findall(text[: ends[-1].start()])
    accuracy_Ry = printed_number(accuracies[-1]) if accuracies else None
    last = LastChange("estimated energy", "Ry", accuracy_Ry, settings.energy_convergence_Ry)
    check_numbers("pw.x", int(ends[-1].group(1)), settings.max_iterations, last)
