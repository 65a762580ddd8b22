"""FHI-aims, run once per label: ASE writes ``control.in`` and ``geometry.in`` and reads the output.

The output decides: a self-consistency that did not converge is named there in words, one that did too, and a run that
came to its end says "Have a nice day". The energy is the electronic free energy, whose derivative the forces are.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ...core.citations import Citation
from ..ase_evaluation import one_line, stress_of
from ..common_settings import NOT_PHYSICS
from ..convergence import LastChange, check_numbers, printed_number
from ..engine import EngineFailure, EngineProbe, NotConverged
from ..outcome import Evaluation, optional_array
from .dft_engine import DftEngine
from .dft_settings import KGrid, ParallelSettings, is_spin_polarised, k_grid_shape
from .executable import command_line, find_command, last_line, read_text, run_program
from .program_output import out_of_memory, printed_elsewhere

CONTROL_FILE = "control.in"
GEOMETRY_FILE = "geometry.in"
OUTPUT_FILE = "aims.out"
SPECIES_VARIABLE = "AIMS_SPECIES_DIR"
_FINISHED_MARK = "Have a nice day."
_UNCONVERGED = re.compile(r"SELF-CONSISTENCY CYCLE DID NOT CONVERGE|scf_solver: SCF cycle not converged", re.IGNORECASE)
_CONVERGED = "Self-consistency cycle converged"
_CYCLE = re.compile(r"Begin self-consistency iteration #\s*(\d+)")
# Of the density and, with spin, of the spin density after it.
_DENSITY_CHANGE = re.compile(r"\| Change of charge(?:/spin)? density\s*:\s*(\S+)")
_REMEDY = (
    "build it from its source, which needs a licence (fhi-aims.org), load its module or set IONLOOP_AIMS_COMMAND, and "
    f"point {SPECIES_VARIABLE} at its species files"
)
# r²SCAN comes from libxc, of which FHI-aims warns unless it is told that one knows.
_FUNCTIONALS: dict[str, dict[str, Any]] = {
    "pbe": {"xc": "pbe"},
    "pbesol": {"xc": "pbesol"},
    "r2scan": {"override_warning_libxc": True, "xc": "libxc MGGA_X_R2SCAN+MGGA_C_R2SCAN"},
}
# The output has eight decimals of the positions.
_POSITION_TOLERANCE_A = 1e-4


class AimsSettings(ParallelSettings):
    """FHI-aims: Blum et al., Comput. Phys. Commun. 2009, 180, 2175 (10.1016/j.cpc.2009.06.022).

    PBE, "light" settings and the first tier of basis functions, as the reference of Staacke et al., ACS Appl. Energy
    Mater. 2021, 4, 12562 (10.1021/acsaem.1c02363). That work used 2x2x2 k-points for 42 atoms of Li7P3S11, a cell
    with one short edge: ``k_grid: {spacing_per_A: [0.55, 0.28, 0.28]}``, which its supercells share.
    """

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_AIMS_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "aims.x"

    engine: Literal["aims"] = Field("aims", description="Name of the engine (name)")
    basis: Literal["light", "intermediate", "tight", "really_tight"] = Field(
        "light", description="Numerical settings and basis set of every element (name)"
    )
    tier: NonNegativeInt | None = Field(
        1,
        le=4,
        description="Tiers of basis functions that are switched on; null leaves the species files as they are (count)",
    )
    species_folder: str | None = Field(
        None,
        description="Folder that holds light, tight and so on; if missing, AIMS_SPECIES_DIR (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    species_defaults: str = Field(
        "defaults_2020", min_length=1, description="Which release of species files the folder holds (name)"
    )
    relativistic: Literal["none", "atomic_zora scalar"] = Field(
        "atomic_zora scalar", description="Scalar relativistic treatment (name)"
    )
    smearing_eV: PositiveFloat = Field(0.05, description="Width of the Fermi-Dirac occupation (eV)")
    density_convergence_e_per_a03: PositiveFloat = Field(
        1e-5, description="Change of the density at which the cycles end (e/a0³)"
    )
    force_convergence_eV_per_A: PositiveFloat = Field(
        1e-4, description="Change of the forces at which the cycles end (eV/Å)"
    )
    mixing_fraction: PositiveFloat = Field(
        0.2, le=1.0, description="Part of the new density in each step (no unit)", json_schema_extra=NOT_PHYSICS
    )
    mixing_history: PositiveInt = Field(
        8, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )


class AimsEngine(DftEngine[AimsSettings]):
    """FHI-aims with numeric atom-centred orbitals."""

    name = "aims"
    settings_type = AimsSettings
    rank = 50
    code = "FHI-aims"
    code_citations = (
        Citation(
            "FHI-aims",
            "V. Blum, R. Gehrke, F. Hanke, P. Havu, V. Havu, X. Ren, K. Reuter, M. Scheffler, "
            "Comput. Phys. Commun. 2009, 180, 2175",
            "10.1016/j.cpc.2009.06.022",
        ),
    )

    def objection(self, atoms: Atoms, settings: AimsSettings) -> str | None:
        """Refuse slabs and wires: FHI-aims knows crystals and molecules."""
        if atoms.pbc.any() and not atoms.pbc.all():
            return "FHI-aims computes cells that are periodic in all three directions or in none"
        return None

    def run_code(self, atoms: Atoms, settings: AimsSettings, folder: Path) -> Evaluation:
        """Run FHI-aims in ``folder`` and read its output."""
        words = find_command(settings)
        for name, text in input_files(atoms, settings).items():
            (folder / name).write_text(text, encoding="utf-8")
        failure = run_program(words, folder, OUTPUT_FILE)
        return read_output(read_text(folder / OUTPUT_FILE), atoms, settings, failure, printed_elsewhere(folder))

    def parse_code(self, atoms: Atoms, settings: AimsSettings, folder: Path) -> Evaluation | None:
        """Return what a run of these very inputs that came to its end left in ``folder``."""
        text = read_text(folder / OUTPUT_FILE)
        if not (_FINISHED_MARK in text or _UNCONVERGED.search(text)):
            return None
        for name, wanted in input_files(atoms, settings).items():
            if _without_comments(read_text(folder / name)) != _without_comments(wanted):
                return None
        return read_output(text, atoms, settings)

    def recovery_ladder(self, settings: AimsSettings) -> tuple[AimsSettings, ...]:
        """More cycles with smaller steps, then smaller ones still with a longer memory; the occupation stays."""
        smaller = {"max_iterations": 3 * settings.max_iterations, "mixing_fraction": settings.mixing_fraction / 4}
        longer = {
            "max_iterations": 6 * settings.max_iterations,
            "mixing_fraction": settings.mixing_fraction / 10,
            "mixing_history": 2 * settings.mixing_history,
        }
        return settings.model_copy(update=smaller), settings.model_copy(update=longer)

    def smoke_settings(self) -> AimsSettings:
        """Return the defaults at Γ."""
        return AimsSettings(k_grid=KGrid(gamma=True))

    def basis(self, settings: AimsSettings) -> str:
        """Return basis and relativistic treatment."""
        tiers = "" if settings.tier is None else f" and {settings.tier} tier(s) of basis functions"
        relativity = "no relativistic terms" if settings.relativistic == "none" else settings.relativistic
        return f'"{settings.basis}" settings ({settings.species_defaults}){tiers}, {relativity}'

    def version(self, settings: AimsSettings) -> str:
        """Return the command: FHI-aims tells its version only where it computes."""
        return f"FHI-aims ({command_line(settings)})"

    def probe_code(self, settings: AimsSettings | None = None) -> EngineProbe:
        """Look for the program and for its species files."""
        settings = settings or AimsSettings()
        try:
            find_command(settings)
            folder = species_folder(settings)
        except EngineFailure as error:
            return EngineProbe(self.name, found=False, version="unknown", remedy=f"{one_line(error)}; {_REMEDY}")
        return EngineProbe(self.name, found=True, version=f"{self.version(settings)}, species in {folder}", remedy="")


AIMS = AimsEngine()


def species_folder(settings: AimsSettings) -> Path:
    """Return the folder of the species files of the settings' basis.

    Raises
    ------
    EngineFailure
        If there is none.
    """
    said = settings.species_folder or settings.environment.get(SPECIES_VARIABLE) or os.environ.get(SPECIES_VARIABLE)
    if not said:
        raise EngineFailure(f"FHI-aims needs its species files: give species_folder, or set {SPECIES_VARIABLE}")
    root = Path(said)
    folder = root if root.name == settings.basis else root / settings.basis
    if not folder.is_dir():
        raise EngineFailure(f"'{folder}' is no folder of species files: {root} must hold {settings.basis}")
    return folder


def control_parameters(atoms: Atoms, settings: AimsSettings) -> dict[str, Any]:
    """Return the keywords of ``control.in``."""
    parameters: dict[str, Any] = {
        **_FUNCTIONALS[settings.functional],
        "relativistic": settings.relativistic,
        "spin": "collinear" if is_spin_polarised(atoms) else "none",
        "charge": 0,
        "occupation_type": f"fermi {settings.smearing_eV:.10g}",
        "sc_accuracy_rho": settings.density_convergence_e_per_a03,
        "sc_accuracy_forces": settings.force_convergence_eV_per_A,
        "sc_iter_limit": settings.max_iterations,
        "mixer": "pulay",
        "n_max_pulay": settings.mixing_history,
        "charge_mix_param": settings.mixing_fraction,
        "compute_forces": True,
        "output": ["hirshfeld"],
    }
    if not atoms.pbc.any():
        parameters["output"].append("dipole")
    if atoms.pbc.all():
        parameters["k_grid"] = k_grid_shape(atoms, settings.k_grid)
        parameters["compute_analytical_stress"] = True
    return parameters


def input_files(atoms: Atoms, settings: AimsSettings) -> dict[str, str]:
    """Return the texts of the input files by their names.

    Raises
    ------
    EngineFailure
        If a species file is missing.
    """
    from ase.io.aims import write_aims, write_control

    folder = species_folder(settings)
    missing = [name for name in _species_files(atoms) if not (folder / name).is_file()]
    if missing:
        raise EngineFailure(f"'{folder}' has no {', '.join(missing)}")
    parameters = {**control_parameters(atoms, settings), "species_dir": str(folder), "tier": settings.tier}
    control, geometry = io.StringIO(), io.StringIO()
    with _announcements_ignored():
        write_control(control, atoms, parameters)
        write_aims(geometry, atoms)
    return {CONTROL_FILE: control.getvalue(), GEOMETRY_FILE: geometry.getvalue()}


def _species_files(atoms: Atoms) -> list[str]:
    return [f"{atomic_numbers[symbol]:02}_{symbol}_default" for symbol in dict.fromkeys(atoms.symbols)]


@contextmanager
def _announcements_ignored() -> Iterator[None]:
    """ASE announces that its interface to FHI-aims will move into a package of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FHI-aims IO is moving", category=FutureWarning)
        yield


def _without_comments(text: str) -> list[str]:
    """Return the lines that count: comments hold the time at which they were written."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def read_output(
    text: str, atoms: Atoms, settings: AimsSettings, failure: EngineFailure | None = None, printed: str = ""
) -> Evaluation:
    """Return energy, forces, stress, Hirshfeld charges and, of a molecule, the dipole out of FHI-aims' output.

    Parameters
    ----------
    text
        The output.
    atoms
        The structure that it must be about.
    settings
        How many cycles it might take, and to which change of the density.
    failure
        How the program ended, if not well.
    printed
        What it printed elsewhere.

    Raises
    ------
    NotConverged
        If the output says that the self-consistency did not converge, does not say that it did, or denies it.
    EngineFailure
        If memory ran out, the program failed, or the output ends early, lacks something or is about other atoms.
    """
    said = _UNCONVERGED.search(text)
    if said is not None:
        raise NotConverged(f"FHI-aims' output says: {said.group(0)}")
    if _FINISHED_MARK not in text:
        memory = out_of_memory(text, printed)
        if memory is not None:
            raise memory
        if failure is not None:
            raise EngineFailure(f"{failure}; its output ends with: {last_line(text)}", failure.state)
        raise EngineFailure(f"FHI-aims' output ends early, with: {last_line(text)}")
    if failure is not None:
        raise failure
    _check_convergence(text, settings)
    evaluation, computed = _parse(text, atoms)
    _check_structure(computed, atoms)
    return evaluation


def _check_convergence(text: str, settings: AimsSettings) -> None:
    """Refuse an output that does not say that it converged, or whose last allowed cycle denies it."""
    if _CONVERGED not in text:
        raise NotConverged("FHI-aims' output does not say that the self-consistency converged")
    cycles = _CYCLE.findall(text)
    # Before the last allowed cycle FHI-aims stops for nothing else than its criteria, which it may scale.
    if cycles and int(cycles[-1]) >= settings.max_iterations:
        changes = _DENSITY_CHANGE.findall(text)
        change = printed_number(changes[-1]) if changes else None
        last = LastChange("density", "e/a0³", change, settings.density_convergence_e_per_a03)
        check_numbers("FHI-aims", int(cycles[-1]), settings.max_iterations, last)


def _parse(text: str, atoms: Atoms) -> tuple[Evaluation, Atoms]:
    """Return what ASE reads out of the output, and the structure that it is about."""
    from ase.io import ParseError
    from ase.io.aims import AimsParseError, get_aims_out_chunks, get_header_chunk

    lines = iter(text.splitlines(keepends=True))
    try:
        header = get_header_chunk(lines)
        chunk = list(get_aims_out_chunks(lines, header))[-1]
        # Only what a label needs: orbital energies, which outputs print in many ways, must not spoil one.
        energy, forces, structure = chunk.free_energy, chunk.forces, chunk.initial_atoms
        stress, charges = (chunk.stress if atoms.pbc.all() else None), chunk.hirshfeld_charges
        dipole = None if atoms.pbc.any() else chunk.dipole
    except (AimsParseError, ParseError, ValueError, IndexError, AssertionError) as error:
        raise EngineFailure(f"FHI-aims' output cannot be read: {type(error).__name__}: {one_line(error)}") from error
    if energy is None or forces is None:
        raise EngineFailure(f"FHI-aims' output has no {'energy' if energy is None else 'forces'}")
    evaluation = Evaluation(
        energy=float(energy),
        forces=np.asarray(forces, dtype=float),
        stress=stress_of(stress, "FHI-aims' output") if atoms.pbc.all() else None,
        charges=optional_array(charges),
        dipole=optional_array(dipole),
    )
    return evaluation, structure


def _check_structure(computed: Atoms, atoms: Atoms) -> None:
    """Refuse an output about other atoms than those that were asked for."""
    if list(computed.symbols) != list(atoms.symbols):
        raise EngineFailure(
            f"the output is about {computed.get_chemical_formula()}, expected {atoms.get_chemical_formula()}"
        )
    shifts = computed.positions - atoms.positions
    if atoms.pbc.all():
        fractions = atoms.cell.scaled_positions(shifts)
        shifts = atoms.cell.cartesian_positions(fractions - np.round(fractions))
    shift_A = float(np.abs(shifts).max())
    if not shift_A <= _POSITION_TOLERANCE_A:
        raise EngineFailure(f"the output is about other positions: they differ by {shift_A:.2g} Å")
