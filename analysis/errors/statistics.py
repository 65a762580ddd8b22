"""Errors of a potential against reference labels: energies per atom, force components; overall, by element and size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike, NDArray

from ...core.arrays import FloatArray
from .model_errors import ErrorStatistics, ForceBin, ModelErrors

FORCE_BIN_EDGES_eV_per_A = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Where the ranges of force magnitudes begin (eV/Å); the last one has no end."""


class Labelled(Protocol):
    """A structure with its reference energy (eV) and, mostly, forces (eV/Å, shape [n_atoms, 3])."""

    @property
    def atoms(self) -> Atoms:
        """The structure."""

    @property
    def energy(self) -> float:
        """Total energy (eV)."""

    @property
    def forces(self) -> np.ndarray | None:
        """Forces (eV/Å), shape [n_atoms, 3], or None."""

    @property
    def fitted_forces(self) -> np.ndarray:
        """Whether the force on each atom is one to compare with, shape [n_atoms]: neither missing nor masked."""


def force_bins(
    reference_forces: ArrayLike,
    predicted_forces: ArrayLike,
    elements: ArrayLike,
    edges_eV_per_A: Sequence[float] = FORCE_BIN_EDGES_eV_per_A,
) -> tuple[ForceBin, ...]:
    """Return the errors of force components by the magnitude of the reference force on the atom.

    Parameters
    ----------
    reference_forces, predicted_forces
        eV/Å, shape [n_atoms, 3].
    elements
        Chemical symbols, shape [n_atoms].
    edges_eV_per_A
        Where ranges begin, ascending from 0 (eV/Å); the last one has no end.

    Raises
    ------
    ValueError
        If the edges do not ascend from 0.
    """
    if not len(edges_eV_per_A) or edges_eV_per_A[0] != 0 or np.any(np.diff(edges_eV_per_A) <= 0):
        raise ValueError(f"ranges of force magnitudes must begin at 0 and ascend, not {list(edges_eV_per_A)}")
    reference = np.asarray(reference_forces, dtype=np.float64)
    errors = np.asarray(predicted_forces, dtype=np.float64) - reference
    symbols = np.asarray(elements, dtype=str)
    places = np.searchsorted(edges_eV_per_A, np.linalg.norm(reference, axis=1), side="right") - 1
    uppers = [*map(float, edges_eV_per_A[1:]), None]
    return tuple(
        ForceBin(
            lower_eV_per_A=float(edges_eV_per_A[place]),
            upper_eV_per_A=uppers[place],
            reference_rms_eV_per_A=float(np.sqrt(np.mean(reference[here] ** 2))),
            errors=ErrorStatistics.from_errors(errors[here]),
            by_element={
                str(element): ErrorStatistics.from_errors(errors[here & (symbols == element)])
                for element in np.unique(symbols[here])
            },
        )
        for place in np.unique(places).tolist()
        for here in [places == place]
    )


@dataclass(frozen=True)
class ParityData:
    """Reference and predicted values side by side.

    Attributes
    ----------
    reference_energies, predicted_energies
        Energy per atom (eV/atom), shape [n_configurations].
    reference_forces, predicted_forces
        Force on every atom that has one to compare with (eV/Å), shape [n_atoms, 3],
        configuration by configuration.
    elements
        Chemical symbols of those atoms, shape [n_atoms].
    predicted_charges
        Charges of those atoms (e), shape [n_atoms], of potentials whose charges follow the environment and were asked
        for; None of all others.
    """

    reference_energies: FloatArray
    predicted_energies: FloatArray
    reference_forces: FloatArray
    predicted_forces: FloatArray
    elements: NDArray[np.str_]
    predicted_charges: FloatArray | None = None

    def errors(self) -> ModelErrors:
        """Return the statistics of predicted minus reference values."""
        force_errors = self.predicted_forces - self.reference_forces
        return ModelErrors(
            energy_eV_per_atom=ErrorStatistics.from_errors(self.predicted_energies - self.reference_energies),
            force_eV_per_A=ErrorStatistics.from_errors(force_errors) if len(force_errors) else None,
            force_by_element_eV_per_A={
                str(element): ErrorStatistics.from_errors(force_errors[self.elements == element])
                for element in np.unique(self.elements)
            },
            force_by_magnitude_eV_per_A=force_bins(self.reference_forces, self.predicted_forces, self.elements),
        )


def parity_of_groups(
    data: ParityData, configurations: Sequence[Labelled], groups: Sequence[str]
) -> dict[str, ParityData]:
    """Return the parity data of every group of configurations, by the name of the group.

    Parameters
    ----------
    configurations
        What the data are of, in their order.
    groups
        Name of the group of each, shape [n_configurations].
    """
    of_configuration = np.array(groups, dtype=np.str_)
    of_atom = np.repeat(of_configuration, [0 if one.forces is None else len(one.atoms) for one in configurations])
    return {
        str(name): ParityData(
            reference_energies=data.reference_energies[of_configuration == name],
            predicted_energies=data.predicted_energies[of_configuration == name],
            reference_forces=data.reference_forces[of_atom == name],
            predicted_forces=data.predicted_forces[of_atom == name],
            elements=data.elements[of_atom == name],
            predicted_charges=None if data.predicted_charges is None else data.predicted_charges[of_atom == name],
        )
        for name in np.unique(of_configuration)
    }


def collect_parity_data(
    configurations: Iterable[Labelled],
    predicted_energies: Sequence[float],
    predicted_forces: Sequence[ArrayLike],
    predicted_charges: Sequence[ArrayLike] | None = None,
) -> ParityData:
    """Return labels and predictions side by side.

    Parameters
    ----------
    configurations
        Structures with their labels.
    predicted_energies
        Total energy of each (eV), shape [n_configurations].
    predicted_forces
        Forces of each (eV/Å), shape [n_configurations][n_atoms, 3].
    predicted_charges
        Charges of each (e), shape [n_configurations][n_atoms], where they are wanted.

    Raises
    ------
    ValueError
        If there are no configurations, or the predictions do not belong to them.
    """
    configurations = list(configurations)
    if not configurations:
        raise ValueError("there are no configurations to compare on")
    if not len(configurations) == len(predicted_energies) == len(predicted_forces):
        raise ValueError(
            f"{len(configurations)} configurations, but {len(predicted_energies)} energies and "
            f"{len(predicted_forces)} arrays of forces"
        )
    predicted = [np.asarray(forces, dtype=np.float64) for forces in predicted_forces]
    for configuration, forces in zip(configurations, predicted, strict=True):
        if forces.shape != (len(configuration.atoms), 3):
            raise ValueError(
                f"forces of the shape {forces.shape} for a configuration of {len(configuration.atoms)} atoms"
            )
    compared = [configuration.fitted_forces for configuration in configurations]
    references = [
        configuration.forces[atoms]
        for configuration, atoms in zip(configurations, compared, strict=True)
        if configuration.forces is not None
    ]
    elements = [
        np.array(configuration.atoms.get_chemical_symbols(), dtype=str)[atoms]
        for configuration, atoms in zip(configurations, compared, strict=True)
    ]
    sizes = np.array([len(configuration.atoms) for configuration in configurations], dtype=np.float64)
    return ParityData(
        reference_energies=np.array([configuration.energy for configuration in configurations]) / sizes,
        predicted_energies=np.asarray(predicted_energies, dtype=np.float64) / sizes,
        reference_forces=np.concatenate([np.zeros((0, 3)), *references]),
        predicted_forces=np.concatenate([forces[atoms] for forces, atoms in zip(predicted, compared, strict=True)]),
        elements=np.concatenate(elements),
        predicted_charges=None
        if predicted_charges is None
        else np.concatenate(
            [
                np.asarray(charges, dtype=np.float64)[atoms]
                for charges, atoms in zip(predicted_charges, compared, strict=True)
            ]
        ),
    )


def parity_data(
    calculator: Calculator,
    configurations: Iterable[Labelled],
    *,
    with_charges: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ParityData:
    """Evaluate a potential on labelled configurations and return labels and predictions side by side.

    With its charges, too, if it is a potential that has some and ``with_charges`` asks for them. ``progress`` is told
    how many configurations of how many are done.

    Raises
    ------
    ValueError
        If there are no configurations.
    """
    configurations = list(configurations)
    energies, forces, charges = [], [], []
    for number, configuration in enumerate(configurations):
        if progress is not None:
            progress(number, len(configurations))
        atoms = configuration.atoms.copy()
        energies.append(float(calculator.get_property("energy", atoms)))
        forces.append(np.array(calculator.get_property("forces", atoms)))
        if with_charges:
            charges.append(np.array(calculator.get_property("charges", atoms)))
    return collect_parity_data(configurations, energies, forces, charges if with_charges else None)


def evaluate_errors(calculator: Calculator, configurations: Iterable[Labelled]) -> ModelErrors:
    """Return the errors of a potential on labelled configurations (eV/atom, eV/Å).

    Raises
    ------
    ValueError
        If there are no configurations.
    """
    return parity_data(calculator, configurations).errors()


def isolated_atom_errors(calculator: Calculator, isolated_atoms: Iterable[Labelled]) -> ErrorStatistics | None:
    """Return the errors of the energies of isolated atoms (eV), None without any."""
    errors = [float(calculator.get_property("energy", item.atoms)) - item.energy for item in isolated_atoms]
    return ErrorStatistics.from_errors(errors) if errors else None


class WithStress(Labelled, Protocol):
    """A labelled structure that may have a stress."""

    @property
    def stress(self) -> np.ndarray | None:
        """Stress in ASE's sign and Voigt order (eV/Å³), shape [6], or None."""


def virial_errors(calculator: Calculator, configurations: Iterable[WithStress]) -> ErrorStatistics | None:
    """Return the errors of the virial's six components per atom (eV/atom), None where no structure has a stress.

    The virial is the negative stress times the volume of the cell.
    """
    errors = [
        (np.asarray(calculator.get_property("stress", item.atoms)) - item.stress)
        * (-item.atoms.get_volume() / len(item.atoms))
        for item in configurations
        if item.stress is not None
    ]
    return ErrorStatistics.from_errors(np.array(errors)) if errors else None
