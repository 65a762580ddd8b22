"""ASE calculators of fitted potentials: GAP, and ES-GAP as the sum of a GAP and its electrostatic baseline.

Both are pure functions of the atoms: equal positions give equal bits, whatever was evaluated before, so that
a molecular-dynamics run continued from a checkpoint follows the uninterrupted one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ..core.arrays import FloatArray
from ..core.errors import InputError, IonloopError
from .electrostatics.coulomb.slabs import has_stress
from .electrostatics.in_field import AnswersFields, InField, in_field_on_charges, ion_charges
from .quip import quip_potential

_WITH_GRADIENTS = ("energy", "energies", "forces", "stress")


class GapCalculator(Calculator):
    """A GAP evaluated by QUIP: energy (eV), forces (eV/Å), stress (eV/Å³) and the atoms' energies (eV).

    Parameters
    ----------
    potential_file
        The GAP's XML file; its sparse-point files lie beside it.
    elements
        Elements that the GAP was fitted for; QUIP takes atoms of others for absent and says nothing.

    Raises
    ------
    QuipMissing
        If QUIP is not there or cannot be loaded.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, potential_file: Path, elements: Sequence[str]) -> None:
        super().__init__()
        quip_potential()
        self.elements = frozenset(elements)
        self._potential_file = Path(potential_file).resolve()
        self._potential: Any = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate everything at once; forces and stress cost little beside the energy.

        Raises
        ------
        InputError
            If an element is none of those that the model was fitted for.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        unknown = sorted(self.atoms.symbols.species() - self.elements)
        if unknown:
            raise InputError(
                f"the model was fitted for {', '.join(sorted(self.elements))} and knows nothing about "
                f"{', '.join(unknown)}; fit a model to data that contain it"
            )
        if self._potential is None:
            self._potential = _read_potential(self._potential_file)
        bare = Atoms(
            numbers=self.atoms.numbers,
            positions=self.atoms.positions,
            cell=self.atoms.cell,
            pbc=self.atoms.pbc,
        )
        needed = _WITH_GRADIENTS if self.atoms.cell.rank == 3 else _WITH_GRADIENTS[:-1]
        self._potential.calculate(bare, list(needed), list(all_changes))
        results = self._potential.results
        self.results = {
            "energy": float(results["energy"]),
            "free_energy": float(results["energy"]),
            **{name: np.array(results[name], dtype=np.float64) for name in needed[1:]},
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave QUIP's handle, a number valid in this process only, out of copies and pickles."""
        return {**self.__dict__, "_potential": None}


def _check_potential_file(path: Path) -> None:
    """Refuse what QUIP would end the whole process on."""
    try:
        parameters = ElementTree.parse(path).getroot().find(".//GAP_params")
    except (OSError, ElementTree.ParseError) as error:
        raise IonloopError(f"the potential {path} cannot be read: {error}; fit the model again") from error
    if parameters is None:
        raise IonloopError(f"the potential {path} is not a GAP: it has no GAP_params; fit the model again")
    names = [element.get("sparseX_filename") for element in parameters.iter("gpCoordinates")]
    missing = [name for name in names if name and not (path.parent / name).is_file()]
    if missing:
        raise IonloopError(f"the potential {path} lacks its files {', '.join(missing)}; fit the model again")


def _read_potential(path: Path) -> Any:
    _check_potential_file(path)
    potential = quip_potential()
    # While QUIP reads a file the working directory is that file's, and stays so if the reading fails.
    working_directory = Path.cwd()
    try:
        return potential(param_filename=str(path))
    except (RuntimeError, OSError) as error:
        message = " ".join(str(error).split())
        raise IonloopError(f"QUIP cannot read the potential {path}: {message}; fit the model again") from error
    finally:
        os.chdir(working_directory)


class EsGapCalculator(Calculator):
    """GAP plus electrostatic baseline, each an ASE calculator (eV, Å).

    The predicted variance, where the GAP knows it, is the GAP's: the baseline has fixed parameters. The charges (e)
    [n_atoms], where they are asked for, are the baseline's.

    Parameters
    ----------
    gap, baseline
        The parts.
    charges
        Charge of every species (e) where all its atoms have it: a field acts on them.
    why_no_field
        Why none can, going on from "has charges "; nothing where one can.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "local_variance"]

    def __init__(
        self,
        gap: Calculator,
        baseline: Calculator,
        charges: Mapping[str, float] | None = None,
        why_no_field: str = "",
    ) -> None:
        super().__init__()
        self.gap = gap
        self.baseline = baseline
        self._charges = charges
        self._why_no_field = why_no_field
        if "charges" in baseline.implemented_properties:
            # Of this calculator alone: another baseline may have none.
            self.implemented_properties = [*self.implemented_properties, "charges"]  # type: ignore[misc]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate both parts and add them; raises what they raise."""
        super().calculate(atoms, list(properties), list(system_changes))
        # In open space the baseline has no stress, whatever cell is written around the atoms.
        names = ["energy", "forces"] + (["stress"] if has_stress(self.atoms) else [])
        charges = ["charges"] if "charges" in properties else []
        variance = ["local_variance"] if "local_variance" in properties else []
        # Not by get_property, which compares the atoms with those of the last call for every single property.
        self.gap.calculate(self.atoms, names + variance, list(all_changes))
        self.baseline.calculate(self.atoms, names + charges, list(all_changes))
        short_range, long_range = self.gap.results, self.baseline.results
        # A baseline of others may have no stress of a slab.
        self.results = {name: short_range[name] + long_range[name] for name in names if name in long_range}
        self.results |= {name: short_range[name] for name in variance}
        self.results |= {name: long_range[name] for name in charges}
        self.results["free_energy"] = self.results["energy"]

    def in_field(self, atoms: Atoms, field_V_per_A: FloatArray) -> InField:
        """Return a structure in a field of shape [3] (V/Å).

        Raises
        ------
        InputError
            If no field can act on the baseline, with the reason, or the cell is charged.
        """
        if self._why_no_field:
            raise InputError(f"no field can act on a model that has charges {self._why_no_field}")
        if self._charges is not None:
            return in_field_on_charges(self, atoms, ion_charges(atoms, self._charges), field_V_per_A)
        if not isinstance(self.baseline, AnswersFields):
            raise InputError(f"{type(self.baseline).__name__} does not say what a field does to it")
        found = self.baseline.in_field(atoms, field_V_per_A)
        energy_eV = found.energy_eV + float(self.gap.get_property("energy", atoms))
        return replace(found, energy_eV=energy_eV, forces=found.forces + self.gap.get_property("forces", atoms))
