"""CP2K, run once per label: the input written, the output read, and nothing believed that did not converge.

CP2K ends with status 0 and prints energy and forces when the self-consistency fails; only a warning in the output
tells, which ASE's interface, talking to CP2K's shell, does not see. So the program runs in batch mode here and its
output decides. The energy is the electronic free energy, whose derivative the forces are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.units import kB

from ...core.arrays import FloatArray
from ...core.citations import Citation
from ..engine import EngineFailure, EngineProbe
from ..isolated import isolated_atom
from ..outcome import Evaluation
from .cp2k_output import FINISHED_MARK, read_output
from .cp2k_settings import Cp2kSettings
from .dft_engine import DftEngine
from .dft_settings import KGrid, is_spin_polarised, k_grid_shape, unpaired_electrons
from .executable import command_line, find_command, read_text, run_and_say, run_program

INPUT_FILE = "cp2k.inp"
OUTPUT_FILE = "cp2k.out"
_DEBIAN_DATA_FOLDER = Path("/usr/share/cp2k")
# r²SCAN comes from libxc, which CP2K calls by the names of its parts.
_FUNCTIONALS = {
    "pbe": ("&XC_FUNCTIONAL PBE", "&END XC_FUNCTIONAL"),
    "pbesol": ("&XC_FUNCTIONAL", "  &PBE", "    PARAMETRIZATION PBESOL", "  &END PBE", "&END XC_FUNCTIONAL"),
    "r2scan": (
        "&XC_FUNCTIONAL",
        "  &MGGA_X_R2SCAN",
        "  &END MGGA_X_R2SCAN",
        "  &MGGA_C_R2SCAN",
        "  &END MGGA_C_R2SCAN",
        "&END XC_FUNCTIONAL",
    ),
}
_VERSION = re.compile(r"CP2K version\s+(\S+)")
_REMEDY = "on Debian: apt install cp2k cp2k-data; on a cluster load its module and set IONLOOP_CP2K_COMMAND"


class Cp2kEngine(DftEngine[Cp2kSettings]):
    """CP2K's Quickstep with Gaussians and plane waves."""

    name = "cp2k"
    settings_type = Cp2kSettings
    rank = 30
    code = "CP2K"
    code_citations = (
        Citation("CP2K", "T. D. Kühne et al., J. Chem. Phys. 2020, 152, 194103", "10.1063/5.0007045"),
        Citation(
            "GTH pseudopotentials",
            "S. Goedecker, M. Teter, J. Hutter, Phys. Rev. B 1996, 54, 1703",
            "10.1103/PhysRevB.54.1703",
        ),
        Citation(
            "MOLOPT basis sets",
            "J. VandeVondele, J. Hutter, J. Chem. Phys. 2007, 127, 114105",
            "10.1063/1.2770708",
        ),
    )

    def objection(self, atoms: Atoms, settings: Cp2kSettings) -> str | None:
        """Refuse slabs, wires and molecules: the Poisson equation is solved for crystals here."""
        return None if atoms.pbc.all() else "CP2K computes cells here that are periodic in all three directions"

    def run_code(self, atoms: Atoms, settings: Cp2kSettings, folder: Path) -> Evaluation:
        """Run CP2K in ``folder`` and read its output."""
        words = find_command(settings)
        (folder / INPUT_FILE).write_text(input_text(atoms, settings), encoding="utf-8")
        failure = run_program([*words, "-i", INPUT_FILE], folder, OUTPUT_FILE)
        return read_output(read_text(folder / OUTPUT_FILE), len(atoms), settings, failure)

    def parse_code(self, atoms: Atoms, settings: Cp2kSettings, folder: Path) -> Evaluation | None:
        """Return what a run that came to its end left in ``folder``."""
        text = read_text(folder / OUTPUT_FILE)
        if FINISHED_MARK not in text or read_text(folder / INPUT_FILE) != input_text(atoms, settings):
            return None
        return read_output(text, len(atoms), settings)

    def recovery_ladder(self, settings: Cp2kSettings) -> tuple[Cp2kSettings, ...]:
        """More cycles with smaller steps, then Pulay's mixing with smaller ones still; the smearing stays."""
        smaller = {"max_iterations": 3 * settings.max_iterations, "mixing_fraction": settings.mixing_fraction / 2}
        other = {
            "max_iterations": 5 * settings.max_iterations,
            "mixing_fraction": settings.mixing_fraction / 4,
            "mixing_method": "PULAY_MIXING" if settings.mixing_method == "BROYDEN_MIXING" else "BROYDEN_MIXING",
        }
        return settings.model_copy(update=smaller), settings.model_copy(update=other)

    def isolated_atom(self, symbol: str, settings: Cp2kSettings) -> Atoms:
        """Return one atom in the middle of a periodic box."""
        return isolated_atom(symbol, settings.isolated_atom_box_A, periodic=True)

    def smoke_settings(self) -> Cp2kSettings:
        """Return a low cutoff at Γ."""
        return Cp2kSettings(cutoff_Ry=200, k_grid=KGrid(gamma=True), added_orbitals=4)

    def basis(self, settings: Cp2kSettings) -> str:
        """Return basis set, pseudopotential and cutoffs."""
        return (
            f"{settings.basis_set} basis sets, {settings.potential} pseudopotentials, a grid of "
            f"{settings.cutoff_Ry:g} Ry ({settings.relative_cutoff_Ry:g} Ry relative)"
        )

    def citations(self, settings: Cp2kSettings) -> tuple[Citation, ...]:
        """Return the works of the code, of the functional and, where they are used, of potentials and basis sets."""
        unused = [word for word in ("GTH", "MOLOPT") if word not in f"{settings.potential} {settings.basis_set}"]
        cited = super().citations(settings)
        return tuple(one for one in cited if not any(one.what.startswith(word) for word in unused))

    def version(self, settings: Cp2kSettings) -> str:
        """Return CP2K's version, asked once in each process."""
        said = _VERSION.search(run_and_say([*find_command(settings), "--version"]))
        return f"CP2K {said.group(1)}" if said else "CP2K (version unknown)"

    def probe_code(self, settings: Cp2kSettings | None = None) -> EngineProbe:
        """Look for the program and for its files of basis sets and pseudopotentials."""
        settings = settings or Cp2kSettings()
        try:
            version = self.version(settings)
        except EngineFailure:
            remedy = f"'{command_line(settings)}' not found; {_REMEDY}"
            return EngineProbe(self.name, found=False, version="unknown", remedy=remedy)
        folder = data_folder(settings)
        if folder is None:
            remedy = "where its data files are is CP2K's own knowledge; CP2K_DATA_DIR says it"
            return EngineProbe(self.name, found=True, version=version, remedy=remedy)
        missing = [name for name in (settings.basis_set_file, settings.potential_file) if not (folder / name).is_file()]
        if missing:
            remedy = f"{version} has no {' and no '.join(missing)} in {folder}; {_REMEDY}, or set CP2K_DATA_DIR"
            return EngineProbe(self.name, found=False, version=version, remedy=remedy)
        return EngineProbe(self.name, found=True, version=f"{version}, data in {folder}", remedy="")


CP2K = Cp2kEngine()


def data_folder(settings: Cp2kSettings) -> Path | None:
    """Return the folder of CP2K's data files, as far as it can be known without CP2K."""
    said = settings.data_folder or settings.environment.get("CP2K_DATA_DIR") or os.environ.get("CP2K_DATA_DIR")
    if said:
        return Path(said)
    return _DEBIAN_DATA_FOLDER if _DEBIAN_DATA_FOLDER.is_dir() else None


def input_text(atoms: Atoms, settings: Cp2kSettings) -> str:
    """Return the whole input: energy, forces, stress, Hirshfeld charges and, where it can be had, the dipole."""
    sections = [*_dft_section(atoms, settings), *_subsystem(atoms, settings)]
    return "\n".join(
        [
            "&GLOBAL",
            "  PROJECT label",
            "  RUN_TYPE ENERGY_FORCE",
            "  PRINT_LEVEL MEDIUM",
            "&END GLOBAL",
            "&FORCE_EVAL",
            "  METHOD QUICKSTEP",
            "  STRESS_TENSOR ANALYTICAL",
            "  &PRINT",
            "    &FORCES ON",
            "      NDIGITS 12",
            "    &END FORCES",
            "    &STRESS_TENSOR ON",
            "    &END STRESS_TENSOR",
            "  &END PRINT",
            *(f"  {line}" for line in sections),
            "&END FORCE_EVAL",
            "",
        ]
    )


def _dft_section(atoms: Atoms, settings: Cp2kSettings) -> Iterator[str]:
    folder = "" if settings.data_folder is None else f"{settings.data_folder.rstrip('/')}/"
    yield from (
        "&DFT",
        f"  BASIS_SET_FILE_NAME {folder}{settings.basis_set_file}",
        f"  POTENTIAL_FILE_NAME {folder}{settings.potential_file}",
        "  CHARGE 0",
    )
    if is_spin_polarised(atoms):
        yield from ("  UKS T", f"  MULTIPLICITY {unpaired_electrons(atoms) + 1}")
    yield from (
        "  &MGRID",
        f"    CUTOFF {settings.cutoff_Ry:.10g}",
        f"    REL_CUTOFF {settings.relative_cutoff_Ry:.10g}",
        "  &END MGRID",
        "  &QS",
        "    EPS_DEFAULT 1.0E-10",
        "  &END QS",
        "  &XC",
        *(f"    {line}" for line in _FUNCTIONALS[settings.functional]),
        "  &END XC",
        *_k_points(atoms, settings),
        *_self_consistency(atoms, settings),
        "  &PRINT",
        "    &HIRSHFELD ON",
        "      SHAPE_FUNCTION DENSITY",
        "    &END HIRSHFELD",
        *_dipole(atoms, settings),
        "  &END PRINT",
        "&END DFT",
    )


def _dipole(atoms: Atoms, settings: Cp2kSettings) -> Iterator[str]:
    # The Berry phase is there at Γ only; with partly filled orbitals CP2K warns and prints a number all the same.
    if settings.smearing_eV == 0.0 and k_grid_shape(atoms, settings.k_grid) == (1, 1, 1):
        yield from ("    &MOMENTS ON", "      PERIODIC T", "    &END MOMENTS")


def _k_points(atoms: Atoms, settings: Cp2kSettings) -> Iterator[str]:
    shape = k_grid_shape(atoms, settings.k_grid)
    if shape == (1, 1, 1):
        return
    # MacDonald's shift moves the points of an even Monkhorst-Pack grid by half a step, onto Γ.
    shifts = (0.0 if n % 2 else 0.5 / n for n in shape)
    numbers = " ".join([*(str(n) for n in shape), *(f"{shift:.12g}" for shift in shifts)])
    yield from ("  &KPOINTS", f"    SCHEME MACDONALD {numbers}", "  &END KPOINTS")


def _self_consistency(atoms: Atoms, settings: Cp2kSettings) -> Iterator[str]:
    smeared = settings.smearing_eV > 0
    spins = 2 if is_spin_polarised(atoms) else 1
    yield from (
        "  &SCF",
        f"    EPS_SCF {settings.energy_convergence_Ha:.10g}",
        f"    MAX_SCF {settings.max_iterations}",
        "    SCF_GUESS ATOMIC",
    )
    if smeared:
        yield f"    ADDED_MOS {' '.join([str(settings.added_orbitals)] * spins)}"
        yield from ("    &SMEAR ON", "      METHOD FERMI_DIRAC")
        yield f"      ELECTRONIC_TEMPERATURE [K] {settings.smearing_eV / kB:.10g}"
        if spins == 2:
            yield f"      FIXED_MAGNETIC_MOMENT {unpaired_electrons(atoms)}"
        yield "    &END SMEAR"
    yield from ("    &DIAGONALIZATION ON", "    &END DIAGONALIZATION", "    &MIXING ON")
    history = {"BROYDEN_MIXING": "NBROYDEN", "PULAY_MIXING": "NPULAY"}.get(settings.mixing_method)
    yield from (f"      METHOD {settings.mixing_method}", f"      ALPHA {settings.mixing_fraction:.10g}")
    if history is not None:
        yield from ("      BETA 1.5", f"      {history} {settings.mixing_history}")
    yield from (
        "    &END MIXING",
        "    &PRINT",
        "      &RESTART OFF",
        "      &END RESTART",
        "    &END PRINT",
        "  &END SCF",
    )


def _subsystem(atoms: Atoms, settings: Cp2kSettings) -> Iterator[str]:
    yield from ("&SUBSYS", "  &CELL")
    for name, vector in zip("ABC", atoms.cell.array, strict=True):
        yield f"    {name} {_vector(vector)}"
    yield from ("    PERIODIC XYZ", "  &END CELL", "  &COORD")
    for symbol, position in zip(atoms.symbols, atoms.positions, strict=True):
        yield f"    {symbol} {_vector(position)}"
    yield "  &END COORD"
    moments = atoms.get_initial_magnetic_moments()
    for symbol in sorted(set(atoms.symbols)):
        yield from (f"  &KIND {symbol}", f"    BASIS_SET {settings.basis_set}", f"    POTENTIAL {settings.potential}")
        moment = float(moments[atoms.symbols == symbol].mean())
        if moment:
            yield f"    MAGNETIZATION {moment:.10g}"
        yield "  &END KIND"
    yield "&END SUBSYS"


def _vector(vector: FloatArray) -> str:
    return " ".join(f"{component:.14f}" for component in vector)
