"""The job of the toy analysis, and its result."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from ionloop.analysis.fixed_cell_relaxation import relax_ions
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.store.identifiers import identifier
from ionloop.store.records import ResultRecord
from ionloop.store.result_kinds import ResultKind, ResultValues
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.context import TaskContext
from ionloop.tasks.initial import starting_structure
from ionloop.tasks.results import Potential, ResultTask, new_result, open_potential


class NeighbourValues(ResultValues):
    """Distances to the nearest neighbour in the relaxed crystal."""

    atoms: int = Field(description="Atoms in the cell (number)")
    distances_A: tuple[float, ...] = Field(description="Distance of every atom to its nearest neighbour (Å)")
    mean_distance_A: float = Field(description="Their mean (Å)")
    converged: bool = Field(description="Whether the relaxation converged (yes or no)")
    reason: str = Field(description="Why it did not (text)")


NEIGHBOURS = ResultKind("toy-neighbours", NeighbourValues)


class NeighbourParameters(TaskParameters):
    """A model and how it relaxes the crystal."""

    potential: Potential
    force_tolerance_eV_per_A: float

    @property
    def identifier(self) -> str:
        """Known before the result is there."""
        own = (self.campaign, *self.of_system, self.potential.identity, self.force_tolerance_eV_per_A)
        return identifier("result", NEIGHBOURS.name, *own)


class NeighbourTask(ResultTask):
    """Relax the crystal and measure its distances."""

    _fw_name = "ionloop-toys.neighbours"
    parameters_type = NeighbourParameters
    measured_as = "toy-neighbours"

    def compute(self, parameters: Any, context: TaskContext) -> ResultRecord:
        crystal = starting_structure(context, parameters.campaign, parameters.system)
        relaxation = FixedCellRelaxation(force_tolerance_eV_per_A=parameters.force_tolerance_eV_per_A)
        relaxed = relax_ions(crystal, open_potential(context.store, parameters.potential), relaxation)
        distances = relaxed.atoms.get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        nearest = distances.min(axis=1)
        values = NeighbourValues(
            atoms=len(crystal),
            distances_A=tuple(nearest.tolist()),
            mean_distance_A=float(nearest.mean()),
            converged=relaxed.converged,
            reason=relaxed.reason,
        )
        return new_result(parameters, parameters.identifier, NEIGHBOURS, parameters.potential, values=values)
