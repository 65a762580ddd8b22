"""The plug-in against our own evaluator, in a process of its own: what is compiled wrongly ends that process alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses, chemical_symbols
from ase.io import read, write

from ...core.arrays import FloatArray
from ...core.errors import InputError, IonloopError
from ..calculators import EsGapCalculator
from ..electrostatics.baseline import SlaterEwald
from ..electrostatics.joint.charged_calculator import ChargedGapCalculator
from ..native.calculator import NativeGapCalculator
from ..native.descriptor_strings import parse_descriptor
from ..native.gap_xml import GAP_VERSION, Coordinate, GapModel
from .library import open_lammps, running
from .model_file import write_potential

ENERGY_TOLERANCE_EV: Final = 1e-9
FORCE_TOLERANCE_EV_A: Final = 1e-8
STRESS_TOLERANCE: Final = 1e-6
"""Of the largest component: LAMMPS's constants for bar have eight digits."""
EV_A3_IN_BAR: Final = 1.6021765e6
"""As LAMMPS has it."""
_TIME_LIMIT_S = 300.0
_LINES = (
    "distance_2b cutoff=4.5 cutoff_transition_width=1.0",
    "soap cutoff=4.0 cutoff_transition_width=0.7 n_max=4 l_max=3 atom_sigma=0.5 n_species=2 species_Z={3 16} Z=3",
    "soap cutoff=4.0 cutoff_transition_width=0.7 n_max=4 l_max=3 atom_sigma=0.5 n_species=2 species_Z={3 16} Z=16",
)


@dataclass(frozen=True)
class SinglePoint:
    """What LAMMPS says of a structure.

    Attributes
    ----------
    energy_eV
        Of all atoms.
    energies
        Of each (eV). Shape [n_atoms].
    forces
        eV/Å. Shape [n_atoms, 3].
    stress
        ASE's sign (eV/Å³). Shape [3, 3].
    """

    energy_eV: float
    energies: FloatArray
    forces: FloatArray
    stress: FloatArray


def single_point(plugin: Path, potential: Path, atoms: Atoms) -> SinglePoint:
    """Evaluate a crystal in LAMMPS, in this process.

    Raises
    ------
    InputError
        If LAMMPS is missing or refuses.
    """
    triangle, turn = upright(atoms.cell.array)
    symbols = sorted(set(atoms.symbols))
    lammps = open_lammps(["-log", "none", "-screen", "none"])
    try:
        a, b, c = triangle
        commands = [
            f"plugin load {plugin}",
            "units metal",
            "atom_style charge",
            "atom_modify map array",
            "boundary " + " ".join("p" if periodic else "f" for periodic in atoms.pbc),
            "box tilt large",
            f"region box prism 0 {a[0]:.17g} 0 {b[1]:.17g} 0 {c[2]:.17g} {b[0]:.17g} {c[0]:.17g} {c[1]:.17g} units box",
            f"create_box {len(symbols)} box",
        ]
        for command in commands:
            running(lammps.command, command)
        types = [symbols.index(symbol) + 1 for symbol in atoms.symbols]
        inside = Atoms(numbers=atoms.numbers, positions=atoms.positions @ turn, cell=triangle, pbc=atoms.pbc)
        inside.wrap(eps=1e-12)
        running(
            lammps.create_atoms, len(atoms), list(range(1, len(atoms) + 1)), types, inside.positions.ravel().tolist()
        )
        masses = [atomic_masses[chemical_symbols.index(symbol)] for symbol in symbols]
        commands = [
            *(f"mass {kind} {mass}" for kind, mass in enumerate(masses, start=1)),
            "neighbor 0.1 bin",
            "neigh_modify one 50000 page 500000",
            "pair_style ionloop",
            f"pair_coeff * * {potential} {' '.join(symbols)}",
            "compute energies all pe/atom",
            # Atoms' energies are made in steps that ask for them.
            "compute total all reduce sum c_energies",
            "thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_total",
            "run 0",
        ]
        for command in commands:
            running(lammps.command, command)
        return _gathered(lammps, len(atoms), turn)
    finally:
        lammps.close()


def _gathered(lammps: Any, n_atoms: int, turn: FloatArray) -> SinglePoint:
    forces = np.array(lammps.gather_atoms("f", 1, 3)).reshape(n_atoms, 3) @ turn.T
    energies = np.array(lammps.gather("c_energies", 1, 1))
    pressures = {name: lammps.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")}
    xx, yy, zz, xy, xz, yz = (pressures[name] for name in ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz"))
    stress = -np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) / EV_A3_IN_BAR
    return SinglePoint(lammps.get_thermo("pe"), energies, forces, turn @ stress @ turn.T)


def upright(cell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a cell as LAMMPS has it, a lower triangle, and the rotation [3, 3] to its right that leads there."""
    turn, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    return (upper.T * signs), turn * signs


def evaluate(plugin: Path, potential: Path, atoms: Atoms) -> SinglePoint:
    """Evaluate a crystal in LAMMPS, in a process of its own.

    Raises
    ------
    IonloopError
        If that fails, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="ionloop-lammps-") as folder:
        structure, answer = Path(folder) / "structure.traj", Path(folder) / "answer.npz"
        write(structure, atoms)
        command = [sys.executable, "-m", __name__, str(plugin), str(potential), str(structure), str(answer)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise IonloopError(f"LAMMPS with the plug-in {plugin} did not end within {_TIME_LIMIT_S:g} s") from None
        if done.returncode or not answer.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise IonloopError(f"LAMMPS with the plug-in {plugin} failed (status {done.returncode}): {said}")
        found = np.load(answer)
        return SinglePoint(float(found["energy"]), found["energies"], found["forces"], found["stress"])


def compare(plugin: Path, potential: Path, calculator: Calculator, atoms: Atoms) -> str:
    """Return how LAMMPS and a calculator agree on a crystal, in one line.

    Raises
    ------
    IonloopError
        If they do not, or LAMMPS fails.
    """
    theirs = evaluate(plugin, potential, atoms)
    has_stress = atoms.pbc.all()
    calculator.calculate(atoms, ["energy", "forces"] + (["stress"] if has_stress else []), ["positions"])
    ours = calculator.results
    energy = abs(theirs.energy_eV - ours["energy"])
    shares = abs(theirs.energies.sum() - ours["energy"])
    force = float(np.abs(theirs.forces - ours["forces"]).max())
    told = f"energies differ by {energy:.1e} eV, forces by {force:.1e} eV/Å"
    # What truncated sums of charges may leave on either side (eV/Å, and eV per atom).
    slack = 2 * truncation(calculator)
    wrong = energy > ENERGY_TOLERANCE_EV + slack * len(atoms) or force > FORCE_TOLERANCE_EV_A + slack
    wrong = wrong or shares > ENERGY_TOLERANCE_EV + slack * len(atoms)
    if has_stress:
        voigt = theirs.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        stress = float(np.abs(voigt - ours["stress"]).max())
        wrong = (
            wrong or stress > STRESS_TOLERANCE * np.abs(ours["stress"]).max() + slack * len(atoms) / atoms.get_volume()
        )
        told += f", stresses by {stress:.1e} eV/Å³"
    if wrong or not np.isfinite(force):
        raise IonloopError(
            f"LAMMPS with the plug-in {plugin} does not agree with ionloop's evaluator: {told}. Do not use it; build "
            "it again with another compiler (--compiler) and report this"
        )
    return told


def truncation(calculator: Calculator) -> float:
    """Return what a model's Ewald sum may err by: forces in eV/Å, energies in eV per atom; 0 without charges."""
    if isinstance(calculator, ChargedGapCalculator):
        return calculator.parts.accuracy
    if isinstance(calculator, EsGapCalculator) and isinstance(calculator.baseline, SlaterEwald):
        return calculator.baseline.accuracy
    return 0.0


def check_plugin(plugin: Path) -> list[str]:
    """Compare a plug-in with our evaluator on small random potentials; return a line for each.

    Raises
    ------
    IonloopError
        If they do not agree.
    """
    atoms = trial_structure()
    gap = NativeGapCalculator(trial_model())
    charged = EsGapCalculator(gap, SlaterEwald({"Li": 0.7, "S": -1.4}, {"Li": 0.8, "S": 1.6}, accuracy=1e-11))
    lines = []
    with tempfile.TemporaryDirectory(prefix="ionloop-lammps-") as folder:
        for name, calculator in (("GAP", gap), ("ES-GAP", charged)):
            potential = Path(folder) / f"{name}.ion"
            write_potential(calculator, potential, atoms)
            lines.append(f"{name}: {compare(plugin, potential, calculator, atoms)}")
    return lines


def trial_structure() -> Atoms:
    """Return twelve atoms in a triclinic cell smaller than two cutoffs."""
    random = np.random.default_rng(3)
    cell = np.array([[5.3, 0.3, -0.2], [1.1, 5.6, 0.4], [-0.9, 0.7, 5.9]])
    anions = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cations = np.array([(x, y, z) for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)])
    atoms = Atoms("S4Li8", scaled_positions=np.vstack([anions, cations]), cell=cell, pbc=True)
    atoms.positions += random.normal(0, 0.1, atoms.positions.shape)
    return atoms


def trial_model() -> GapModel:
    """Return a potential of pairs and SOAP with random weights."""
    random = np.random.default_rng(4)
    coordinates = []
    for line in _LINES:
        descriptor = parse_descriptor(line, GAP_VERSION)
        n_points, n_dimensions = 6, descriptor.n_dimensions
        if descriptor.kind == "soap":
            points = np.abs(random.normal(0, 1, (n_points, n_dimensions)))
            points[:, -1] = 0.0
            points /= np.linalg.norm(points, axis=1)[:, None]
            weights = random.normal(0, 1, n_points)
            coordinates.append(Coordinate(descriptor, "dot_product", 0.5, points, weights, np.ones(n_points), zeta=4.0))
            continue
        points = np.linspace(1.5, 4.4, n_points)[:, None]
        weights = random.normal(0, 1, n_points)
        coordinates.append(
            Coordinate(descriptor, "ard_se", 1.0, points, weights, np.ones(n_points), theta=np.array([1.0]))
        )
    return GapModel({3: -1.5, 16: -2.0}, tuple(coordinates))


def _main() -> None:
    plugin, potential, structure, answer = (Path(word) for word in sys.argv[1:])
    try:
        atoms = read(structure)
        assert isinstance(atoms, Atoms)
        found = single_point(plugin, potential, atoms)
    except InputError as error:
        sys.exit(str(error))
    np.savez(answer, energy=found.energy_eV, energies=found.energies, forces=found.forces, stress=found.stress)


if __name__ == "__main__":
    _main()
