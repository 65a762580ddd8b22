"""Errors of a potential by composition, and there by the anion that an atom belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, ValidationError

from ...core.errors import InputError
from ...core.formulas import composition_of
from ...core.settings import FrozenModel
from ...sampling.networks.settings import NetworkSettings
from ...sampling.networks.species import anions_of
from .model_errors import ErrorStatistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .statistics import Labelled, ParityData


class AnionErrors(FrozenModel):
    """Errors of the forces on the atoms of one kind of anion."""

    force_eV_per_A: ErrorStatistics = Field(description="Error of the force components (eV/Å)")
    reference_rms_eV_per_A: float = Field(description="Root mean square of the reference components here (eV/Å)")
    configurations: int = Field(description="Configurations that hold such atoms with forces (number)")


class CompositionErrors(FrozenModel):
    """Errors on the configurations of one composition."""

    configurations: int = Field(description="Configurations (number)")
    energy_eV_per_atom: ErrorStatistics = Field(description="Error of the energy per atom (eV/atom)")
    force_by_anion_eV_per_A: dict[str, AnionErrors] = Field(
        description="By the anion of an atom, centres and ligands; by its element where it belongs to none (eV/Å)"
    )


def network_of(pair: str) -> NetworkSettings:
    """Return the network of a pair of elements, ``P-S``: what is surrounded, and by what.

    Raises
    ------
    InputError
        If it is no pair of two elements.
    """
    parts = pair.split("-")
    if len(parts) != 2 or not all(parts):
        raise InputError(f"--by-anion: {pair!r} is no pair of a centre and its ligand, such as P-S")
    try:
        return NetworkSettings(centres=(parts[0],), ligands=(parts[1],))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"--by-anion: {pair!r}: {reason}") from error


def errors_by_anion(
    data: ParityData, configurations: Sequence[Labelled], network: NetworkSettings
) -> dict[str, CompositionErrors]:
    """Return the errors of every composition, and of each anion in it.

    Anions are those of the labelled structures, by their bonds. Rare ones have an error of their own here: in that of
    all forces they weigh nothing.

    Parameters
    ----------
    data
        Labels and predictions.
    configurations
        What they are of, in their order.

    Raises
    ------
    InputError
        If no configuration holds a centre of the network.
    """
    if not any(set(one.atoms.get_chemical_symbols()) & set(network.centres) for one in configurations):
        raise InputError(f"no configuration holds {' or '.join(network.centres)}, which anions are told by")
    compared = [np.asarray(one.fitted_forces) for one in configurations]
    anions = np.concatenate(
        [anions_of(one.atoms, network)[here] for one, here in zip(configurations, compared, strict=True)]
    )
    number = np.repeat(np.arange(len(configurations)), [int(here.sum()) for here in compared])
    compositions = np.array([composition_of(one.atoms) for one in configurations])
    energies = data.predicted_energies - data.reference_energies
    found = {}
    for name in np.unique(compositions).tolist():
        own = compositions[number] == name
        found[name] = CompositionErrors(
            configurations=int((compositions == name).sum()),
            energy_eV_per_atom=ErrorStatistics.from_errors(energies[compositions == name]),
            force_by_anion_eV_per_A={
                anion: _of_atoms(data, number, own & (anions == anion)) for anion in np.unique(anions[own]).tolist()
            },
        )
    return found


def _of_atoms(data: ParityData, number: NDArray[np.intp], here: NDArray[np.bool_]) -> AnionErrors:
    reference = data.reference_forces[here]
    return AnionErrors(
        force_eV_per_A=ErrorStatistics.from_errors(data.predicted_forces[here] - reference),
        reference_rms_eV_per_A=float(np.sqrt(np.mean(reference**2))),
        configurations=len(np.unique(number[here])),
    )
