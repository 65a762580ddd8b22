"""A model as a folder that LAMMPS with our plug-in runs as it is: potential, structure and input file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.io.lammpsdata import write_lammps_data

from ...core.errors import InputError
from ...core.files import write_whole
from ..models import TRAINING_SET_FILE
from .model_file import write_potential

POTENTIAL: Final = "potential.ion"
STRUCTURE: Final = "structure.data"
DECK: Final = "in.lammps"
_TEXT: Final = """\
# LAMMPS with ionloop's plug-in: lmp -in in.lammps, or mpirun -n 4 lmp -in in.lammps
{plugin}
units         metal
atom_style    charge
boundary      p p p
box           tilt large
read_data     structure.data        # types: {types}

pair_style    ionloop
pair_coeff    * * potential.ion {elements}

neighbor      1.0 bin
variable      temperature equal 300
velocity      all create ${{temperature}} 1 mom yes rot no dist gaussian
fix           integrate all nvt temp ${{temperature}} ${{temperature}} 0.1
timestep      0.001
thermo        100
thermo_style  custom step time temp pe ke etotal press
{alarm}dump          trajectory all custom 100 trajectory.lammpstrj id element xu yu zu fx fy fz
dump_modify   trajectory element {elements} sort id
run           1000
"""
_ALARM: Final = """\
# The predicted variance of each atom's energy (eV^2); the run ends where the largest exceeds a limit.
fix           novelty all pair 10 ionloop variance 1
compute       worst all reduce max f_novelty
variable      worst equal c_worst
# fix         alarm all halt 10 v_worst > 0.01 error soft
"""


def export_model(
    calculator: Calculator, folder: Path, structure: Atoms, *, plugin: Path | None = None, variances: bool = False
) -> Path:
    """Write the folder and return the potential's file.

    Parameters
    ----------
    calculator
        Of the model.
    folder
        A new or empty one.
    structure
        The crystal that LAMMPS begins with.
    plugin
        Our plug-in for this LAMMPS, for the input file; None leaves a place for its path.
    variances
        Whether LAMMPS can ask for predicted variances.

    Raises
    ------
    InputError
        If the folder holds something, the structure is not periodic, or the plug-in does not evaluate the model.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; choose another folder")
    if not structure.pbc.all():
        raise InputError("the structure for LAMMPS needs a cell that is periodic in three directions; give --structure")
    folder.mkdir(parents=True, exist_ok=True)
    write_potential(calculator, folder / POTENTIAL, structure, variances=variances)
    elements = sorted(set(structure.symbols))
    with (folder / STRUCTURE).open("w", encoding="utf-8") as file:
        write_lammps_data(
            file, structure, specorder=elements, masses=True, units="metal", atom_style="charge", force_skew=True
        )
    load = f"plugin load   {plugin}" if plugin else "# plugin load PATH, which `ionloop lammps build` tells"
    text = _TEXT.format(
        plugin=load,
        types=", ".join(f"{kind} {symbol}" for kind, symbol in enumerate(elements, start=1)),
        elements=" ".join(elements),
        alarm=_ALARM if variances else "",
    )
    write_whole(folder / DECK, text)
    return folder / POTENTIAL


def structure_of(model: Path, given: Path | None) -> Atoms:
    """Return the structure of a file, or the first crystal that a model was trained on.

    Raises
    ------
    InputError
        If there is none.
    """
    if given is not None:
        try:
            atoms = read(given)
        except Exception as error:  # ASE's readers raise whatever they meet
            raise InputError(f"the structure {given} cannot be read: {error}") from None
        assert isinstance(atoms, Atoms)
        return atoms
    training_set = (model if model.is_dir() else model.parent) / TRAINING_SET_FILE
    if training_set.is_file():
        for atoms in read(training_set, ":"):
            if atoms.pbc.all() and len(atoms) > 1:
                return atoms
    raise InputError(f"{model} has no crystal in a training set of its own; give one with --structure")
