"""VASP, run once per label: ASE writes the inputs and reads ``vasprun.xml``; ``OUTCAR`` says whether it converged.

VASP ends with status 0 and prints energy and forces when the self-consistency fails: only the line that ends the
loop tells, and before VASP 6 not even that, so that the last change of energy decides. The energy is the free energy
(``e_fr_energy``, TOTEN), whose derivative the forces are.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.config import ASEEnvDeprecationWarning
from pydantic import Field, PositiveFloat, PositiveInt

from ...core.citations import Citation
from ..ase_evaluation import one_line, stress_of
from ..common_settings import NOT_PHYSICS
from ..convergence import LastChange, check_numbers, printed_number
from ..engine import EngineFailure, EngineProbe, NotConverged
from ..isolated import isolated_atom
from ..outcome import Evaluation
from .dft_engine import DftEngine
from .dft_settings import KGrid, ParallelSettings, is_spin_polarised, k_grid_shape
from .executable import command_line, find_command, last_line, read_text, run_program
from .program_output import out_of_memory, printed_elsewhere

OUTPUT_FILE = "vasp.out"
POTENTIALS_VARIABLE = "VASP_PP_PATH"
_FINISHED_MARK = "General timing and accounting informations for this job"
_CONVERGED = "aborting loop because EDIFF is reached"
_UNCONVERGED = re.compile(r"EDIFF was not reached \(unconverged\)|aborting loop because hard stop was set")
_ITERATION = re.compile(r"Iteration\s+(\d+)\(\s*(\d+)\)")
# What VASP itself compares with EDIFF; the words after the loop have other blanks ("free  energy").
_ENERGY_CHANGE = re.compile(r"total energy-change \(2\. order\)\s*:\s*([^\s(]+)")
_STEP_ENERGY = re.compile(r"free energy +TOTEN\s*=\s*(\S+)")
_FILE_STEPS = re.compile(r"<scstep>.*?</scstep>", re.DOTALL)
_FILE_ENERGY = re.compile(r'name="e_fr_energy">\s*([^<\s]+)')
_LIMIT = re.compile(r"\bNELM\s*=\s*(\d+)")
_CRITERION = re.compile(r"\bEDIFF\s*=\s*(\S+)\s+stopping-criterion for ELM")
_SORT_FILE = "ase-sort.dat"
_POSITION_TOLERANCE_A = 1e-4
_BOX_STEP_A = 0.5
_REMEDY = (
    "it needs a licence (vasp.at); load its module or set IONLOOP_VASP_COMMAND, and point VASP_PP_PATH at the folder "
    "that holds potpaw_PBE"
)


class VaspSettings(ParallelSettings):
    """VASP: Kresse, Furthmüller, Phys. Rev. B 1996, 54, 11169 (10.1103/PhysRevB.54.11169)."""

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_VASP_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "vasp_std"

    engine: Literal["vasp"] = Field("vasp", description="Name of the engine (name)")
    cutoff_eV: PositiveFloat = Field(520.0, description="ENCUT: kinetic-energy cutoff of the plane waves (eV)")
    setups: Literal["minimal", "recommended", "materialsproject"] = Field(
        "recommended", description="Choice of PAW potentials, as ASE names it: 'recommended' has Li_sv, P and S (name)"
    )
    potential_version: str = Field(
        "", description="Release of the PAW potentials, for example '54' for potpaw_PBE.54; empty for potpaw_PBE (name)"
    )
    potential_folder: str | None = Field(
        None,
        description="Folder that holds potpaw_PBE; if missing, VASP_PP_PATH (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    energy_convergence_eV: PositiveFloat = Field(1e-6, description="EDIFF: change of the energy at the end (eV)")
    precision: Literal["Normal", "Accurate"] = Field("Accurate", description="PREC: grids (name)")
    real_space_projectors: bool = Field(
        False, description="LREAL: fast approximate projectors for large cells (yes or no)"
    )
    algorithm: Literal["Normal", "Fast", "VeryFast", "All", "Damped"] = Field(
        "Normal", description="ALGO: how the orbitals are improved (name)", json_schema_extra=NOT_PHYSICS
    )
    mixing_fraction: PositiveFloat = Field(
        0.4, le=1.0, description="AMIX: part of the new density in each step (no unit)", json_schema_extra=NOT_PHYSICS
    )
    cores_per_band: PositiveInt | None = Field(
        None, description="NCORE: cores that share one orbital (count)", json_schema_extra=NOT_PHYSICS
    )
    k_point_groups: PositiveInt | None = Field(
        None, description="KPAR: groups of cores that share the k-points (count)", json_schema_extra=NOT_PHYSICS
    )
    isolated_atom_box_A: PositiveFloat = Field(
        15.0, description="Shortest edge of the periodic cell around an isolated atom (Å)"
    )


class VaspEngine(DftEngine[VaspSettings]):
    """VASP with projector-augmented waves."""

    name = "vasp"
    settings_type = VaspSettings
    rank = 60
    code = "VASP"
    code_citations = (
        Citation("VASP", "G. Kresse, J. Furthmüller, Phys. Rev. B 1996, 54, 11169", "10.1103/PhysRevB.54.11169"),
        Citation("PAW in VASP", "G. Kresse, D. Joubert, Phys. Rev. B 1999, 59, 1758", "10.1103/PhysRevB.59.1758"),
    )

    def objection(self, atoms: Atoms, settings: VaspSettings) -> str | None:
        """Refuse whatever is not a crystal: VASP would take it for one."""
        return None if atoms.pbc.all() else "VASP computes cells that are periodic in all three directions"

    def run_code(self, atoms: Atoms, settings: VaspSettings, folder: Path) -> Evaluation:
        """Run VASP in ``folder`` and read its output."""
        words = find_command(settings)
        write_inputs(atoms, settings, folder)
        failure = run_program(words, folder, OUTPUT_FILE)
        return read_output(atoms, settings, folder, failure)

    def parse_code(self, atoms: Atoms, settings: VaspSettings, folder: Path) -> Evaluation | None:
        """Return what a run that came to its end left in ``folder``."""
        if _FINISHED_MARK not in read_text(folder / "OUTCAR") or not (folder / _SORT_FILE).exists():
            return None
        if not _describes(folder / "POSCAR", atoms, folder):
            return None
        return read_output(atoms, settings, folder)

    def recovery_ladder(self, settings: VaspSettings) -> tuple[VaspSettings, ...]:
        """More cycles with smaller steps, then all orbitals at once; the occupation stays."""
        smaller = {
            "max_iterations": 3 * settings.max_iterations,
            "mixing_fraction": settings.mixing_fraction / 4,
            "algorithm": "Normal",
        }
        together = {"max_iterations": 5 * settings.max_iterations, "algorithm": "All"}
        return settings.model_copy(update=smaller), settings.model_copy(update=together)

    def isolated_atom(self, symbol: str, settings: VaspSettings) -> Atoms:
        """Return one atom in a periodic box whose edges differ: a cube would keep a wrong symmetry."""
        atoms = isolated_atom(symbol, settings.isolated_atom_box_A, periodic=True)
        atoms.set_cell([settings.isolated_atom_box_A + step * _BOX_STEP_A for step in range(3)])
        atoms.center()
        return atoms

    def smoke_settings(self) -> VaspSettings:
        """Return the defaults at Γ."""
        return VaspSettings(k_grid=KGrid(gamma=True))

    def basis(self, settings: VaspSettings) -> str:
        """Return potentials and cutoff."""
        return f"PAW potentials, plane waves up to {settings.cutoff_eV:g} eV (PREC {settings.precision})"

    def version(self, settings: VaspSettings) -> str:
        """Return the command: VASP tells its version only where it computes."""
        return f"VASP ({command_line(settings)})"

    def probe_code(self, settings: VaspSettings | None = None) -> EngineProbe:
        """Look for the program and for its potentials."""
        settings = settings or VaspSettings()
        try:
            find_command(settings)
            folder = potential_folder(settings)
        except EngineFailure as error:
            return EngineProbe(self.name, found=False, version="unknown", remedy=f"{one_line(error)}; {_REMEDY}")
        return EngineProbe(
            self.name, found=True, version=f"{self.version(settings)}, potentials in {folder}", remedy=""
        )


VASP = VaspEngine()


def potential_folder(settings: VaspSettings) -> Path:
    """Return the folder that holds potpaw_PBE.

    Raises
    ------
    EngineFailure
        If there is none.
    """
    said = settings.potential_folder or settings.environment.get(POTENTIALS_VARIABLE)
    said = said or os.environ.get(POTENTIALS_VARIABLE)
    if not said:
        raise EngineFailure(f"VASP needs its PAW potentials: give potential_folder, or set {POTENTIALS_VARIABLE}")
    name = f"potpaw_PBE.{settings.potential_version}" if settings.potential_version else "potpaw_PBE"
    if not (Path(said) / name).is_dir():
        raise EngineFailure(f"'{said}' holds no {name}")
    return Path(said)


def incar_parameters(atoms: Atoms, settings: VaspSettings) -> dict[str, Any]:
    """Return the keywords of ASE's interface: INCAR, k-points and potentials."""
    parameters: dict[str, Any] = {
        "xc": settings.functional,
        "setups": settings.setups,
        "pp_version": settings.potential_version or None,
        "encut": settings.cutoff_eV,
        "prec": settings.precision,
        "lreal": "Auto" if settings.real_space_projectors else False,
        "lasph": True,
        "algo": settings.algorithm,
        "amix": settings.mixing_fraction,
        "ediff": settings.energy_convergence_eV,
        "nelm": settings.max_iterations,
        "ismear": -1,
        "sigma": settings.smearing_eV,
        "ispin": 2 if is_spin_polarised(atoms) else 1,
        # One fixed structure, nothing symmetrised: a cell of a trajectory has no symmetry to keep.
        "ibrion": -1,
        "nsw": 0,
        "isif": 2,
        "isym": 0,
        "lwave": False,
        "lcharg": False,
        "ncore": settings.cores_per_band,
        "kpar": settings.k_point_groups,
        "kpts": k_grid_shape(atoms, settings.k_grid),
        "gamma": True,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def write_inputs(atoms: Atoms, settings: VaspSettings, folder: Path) -> None:
    """Write INCAR, KPOINTS, POSCAR and POTCAR.

    Raises
    ------
    EngineFailure
        If a potential is missing.
    """
    # It brings all of matplotlib, for which no worker and no other engine should wait.
    from ase.calculators.vasp import Vasp

    with _potentials_in(potential_folder(settings)):
        calculator = Vasp(directory=str(folder), **incar_parameters(atoms, settings))
        try:
            calculator.write_input(atoms)
        except RuntimeError as error:
            raise EngineFailure(f"VASP's input cannot be written: {one_line(error)}") from error


@contextmanager
def _potentials_in(folder: Path) -> Iterator[None]:
    """Let ASE look for potentials in ``folder``: it only asks the environment."""
    before = os.environ.get(POTENTIALS_VARIABLE)
    os.environ[POTENTIALS_VARIABLE] = str(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ASEEnvDeprecationWarning)
            yield
    finally:
        if before is None:
            del os.environ[POTENTIALS_VARIABLE]
        else:
            os.environ[POTENTIALS_VARIABLE] = before


def read_output(atoms: Atoms, settings: VaspSettings, folder: Path, failure: EngineFailure | None = None) -> Evaluation:
    """Return energy, forces and stress out of VASP's files.

    Raises
    ------
    NotConverged
        If OUTCAR does not say that the self-consistency converged, or its numbers deny it.
    EngineFailure
        If memory ran out, the program failed, or a file is missing, ends early, lacks something or is about other
        atoms.
    """
    outcar = read_text(folder / "OUTCAR")
    screen = read_text(folder / OUTPUT_FILE)
    if _FINISHED_MARK not in outcar:
        memory = out_of_memory(screen, outcar, printed_elsewhere(folder))
        if memory is not None:
            raise memory
        if failure is not None:
            raise EngineFailure(f"{failure}; its output ends with: {last_line(screen or outcar)}", failure.state)
        raise EngineFailure(f"VASP's OUTCAR ends early, with: {last_line(outcar)}")
    check_convergence(outcar, read_text(folder / "vasprun.xml"), settings)
    if failure is not None:
        raise failure
    if not _describes(folder / "vasprun.xml", atoms, folder):
        raise EngineFailure("vasprun.xml is about other atoms or positions than those that were asked for")
    return _evaluation(_read(folder / "vasprun.xml"), _resort(folder))


@dataclass(frozen=True)
class ElectronicLoop:
    """One electronic loop: the iterations of one ionic step, or of one of its self-consistencies."""

    ionic_step: int
    iterations: int
    text: str


def check_convergence(outcar: str, vasprun: str, settings: VaspSettings) -> None:
    """Refuse a run whose last ionic step did not converge, whatever VASP says of it.

    Parameters
    ----------
    outcar, vasprun
        The texts of OUTCAR and vasprun.xml.
    settings
        What holds where the files do not say NELM and EDIFF.

    Raises
    ------
    NotConverged
        If OUTCAR does not say that EDIFF was reached, if the last change of energy is above EDIFF, or if NELM
        iterations were used and no file shows that change.
    """
    loops = electronic_loops(outcar)
    last_step = [loop for loop in loops if loop.ionic_step == loops[-1].ionic_step]
    # Ionic steps before the last leave nothing in the label.
    told = "".join(loop.text for loop in last_step) or outcar
    if _CONVERGED not in told or _UNCONVERGED.search(told):
        raise NotConverged("VASP's OUTCAR does not say that EDIFF was reached")
    said_limit, said_criterion = _LIMIT.search(outcar), _CRITERION.search(outcar)
    limit = settings.max_iterations if said_limit is None else int(said_limit.group(1))
    criterion = settings.energy_convergence_eV if said_criterion is None else printed_number(said_criterion.group(1))
    in_file = _energies_in_file(vasprun)
    ends = [(loop.iterations, loop.text) for loop in last_step] or [(len(in_file), "")]
    for iterations, text in ends:
        changes = _ENERGY_CHANGE.findall(text)
        change = printed_number(changes[-1]) if changes else None
        if change is None and iterations >= limit:
            energies = [printed_number(word) for word in _STEP_ENERGY.findall(text)]
            # The file's steps are of all loops of an ionic step together: its last two are the last loop's.
            change = _last_difference(energies) if len(energies) > 1 else _last_difference(in_file)
        check_numbers("VASP", iterations, limit, LastChange("energy", "eV", change, criterion))


def electronic_loops(outcar: str) -> list[ElectronicLoop]:
    """Return the electronic loops in order: a count of iterations that falls begins a new one."""
    marks = list(_ITERATION.finditer(outcar))
    loops: list[ElectronicLoop] = []
    for number, mark in enumerate(marks):
        ionic_step, iteration = int(mark.group(1)), int(mark.group(2))
        end = marks[number + 1].start() if number + 1 < len(marks) else len(outcar)
        text = outcar[mark.start() : end]
        if loops and loops[-1].ionic_step == ionic_step and loops[-1].iterations < iteration:
            loops[-1] = ElectronicLoop(ionic_step, iteration, loops[-1].text + text)
        else:
            loops.append(ElectronicLoop(ionic_step, iteration, text))
    return loops


def _energies_in_file(vasprun: str) -> list[float]:
    """Return the free energies (eV) of the electronic steps of the last ionic step in vasprun.xml."""
    last_calculation = vasprun[max(vasprun.rfind("<calculation>"), 0) :]
    found = (_FILE_ENERGY.search(step) for step in _FILE_STEPS.findall(last_calculation))
    return [printed_number(one.group(1)) for one in found if one is not None]


def _last_difference(energies: list[float]) -> float | None:
    return energies[-1] - energies[-2] if len(energies) > 1 else None


def _evaluation(computed: Atoms, resort: list[int]) -> Evaluation:
    results = {} if computed.calc is None else computed.calc.results
    energy, forces = results.get("free_energy"), results.get("forces")
    if energy is None or forces is None:
        raise EngineFailure("vasprun.xml has no energy or no forces")
    return Evaluation(
        energy=float(energy),
        forces=np.asarray(forces, dtype=float)[resort],
        stress=stress_of(results.get("stress"), "vasprun.xml"),
    )


def _read(path: Path) -> Atoms:
    """Return the last structure of a file of VASP's.

    Raises
    ------
    EngineFailure
        If it is missing or cannot be read.
    """
    import ase.io

    try:
        return ase.io.read(path, format="vasp-xml" if path.suffix == ".xml" else "vasp")
    # Half a file may break ASE's readers in any way.
    except Exception as error:
        raise EngineFailure(f"{path.name} cannot be read: {type(error).__name__}: {one_line(error)}") from error


def _resort(folder: Path) -> list[int]:
    """Return where each of our atoms stands in VASP's order, which groups them by element."""
    lines = read_text(folder / _SORT_FILE).splitlines()
    return [int(line.split()[1]) for line in lines if line.strip()]


def _describes(path: Path, atoms: Atoms, folder: Path) -> bool:
    """Say whether a file of VASP's is about ``atoms``."""
    computed = _read(path)
    resort = _resort(folder)
    if sorted(resort) != list(range(len(computed))) or len(computed) != len(atoms):
        return False
    computed = computed[resort]
    if list(computed.symbols) != list(atoms.symbols):
        return False
    if np.abs(computed.cell.array - atoms.cell.array).max() > _POSITION_TOLERANCE_A:
        return False
    fractions = atoms.cell.scaled_positions(computed.positions - atoms.positions)
    shifts = atoms.cell.cartesian_positions(fractions - np.round(fractions))
    return bool(np.abs(shifts).max() <= _POSITION_TOLERANCE_A)
