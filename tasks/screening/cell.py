"""The first job of a screening: the crystal relaxed, and repeated until it is large enough."""

from __future__ import annotations

from ase import Atoms
from ase.units import GPa

from ...analysis.screening.cells import relax_cell, repetitions
from ...analysis.screening.settings import ScreeningSettings
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import ResultRecord
from ..base import JobFailed, TaskParameters
from ..context import TaskContext
from ..initial import starting_structure
from ..results import Potential, ResultTask, known_result, load_arrays, new_result, open_potential, save_arrays
from ..values.screening import SCREENING_CELLS, ScreeningCellValues

FOLDER = "screening"


class ScreeningParameters(TaskParameters):
    """Whose crystal is screened, and how.

    Settings that say which potentials there are, and how many runs, are no part of what one run is: more of them leave
    those that are there as they are.
    """

    potential: Potential
    mobile: str
    settings: ScreeningSettings
    seed: int

    @property
    def identity(self) -> tuple[object, ...]:
        """What identifiers of all results of this screening derive from."""
        settings = self.settings.model_dump(mode="json", exclude={"models", "temperatures", "most_runs"})
        return (
            self.campaign,
            self.generation,
            *self.of_system,
            self.potential.identity,
            self.mobile,
            settings,
            self.seed,
        )


class ScreeningCellParameters(ScreeningParameters):
    """Those of the relaxation."""

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        return identifier("result", SCREENING_CELLS.name, *self.identity)


class ScreeningCellTask(ResultTask):
    """Relax the crystal and its cell with the potential, and repeat it."""

    _fw_name = "ionloop.screening-cell"
    parameters_type = ScreeningCellParameters
    measured_as = "screening"

    def compute(self, parameters: ScreeningCellParameters, context: TaskContext) -> ResultRecord:
        """Relax the crystal as the campaign has it."""

        from ...analysis.fixed_cell_relaxation import RelaxationFailed

        settings = parameters.settings
        crystal = starting_structure(context, parameters.campaign, parameters.system)
        try:
            relaxed = relax_cell(
                crystal,
                open_potential(context.store, parameters.potential),
                pressure_eV_per_A3=settings.pressure_GPa * GPa,
                force_eV_per_A=settings.relaxation_force_eV_per_A,
                steps=settings.relaxation_steps,
            )
        except RelaxationFailed as error:
            raise JobFailed(f"the crystal could not be relaxed: {error}") from error
        times = repetitions(relaxed.atoms, parameters.mobile, settings.smallest_cell_A, settings.mobile_ions)
        name = parameters.identifier
        arrays = {"positions": relaxed.atoms.positions, "cell": relaxed.atoms.cell.array}
        return new_result(
            parameters,
            name,
            SCREENING_CELLS,
            parameters.potential,
            values=ScreeningCellValues(
                repetitions=times,
                atoms=len(crystal) * times[0] * times[1] * times[2],
                volume_A3_per_atom=float(relaxed.atoms.get_volume()) / len(crystal),
                given_volume_A3_per_atom=float(crystal.get_volume()) / len(crystal),
                steps=relaxed.steps,
                converged=relaxed.converged,
            ),
            artefacts={"cell": save_arrays(context.store, FOLDER, name, arrays)},
        )

    def told(self, record: ResultRecord) -> str:
        """Return by how much the cell changed."""
        values = SCREENING_CELLS.read(record)
        change = 100 * (values.volume_A3_per_atom / values.given_volume_A3_per_atom - 1)
        ended = "" if values.converged else f"; not converged in {values.steps} steps"
        return f"the volume changed by {change:+.1f} %{ended}"


def relaxed_cell(store: Store, name: str, crystal: Atoms) -> tuple[Atoms, ScreeningCellValues]:
    """Return the relaxed crystal, repeated, and what is known of it; ``crystal`` has the elements.

    Raises
    ------
    JobFailed
        If it is not there.
    """
    record = known_result(store, name)
    if record is None:
        raise JobFailed("the crystal was not relaxed")
    values, arrays = SCREENING_CELLS.read(record), load_arrays(store, record.artefacts["cell"])
    atoms = Atoms(numbers=crystal.numbers, positions=arrays["positions"], cell=arrays["cell"], pbc=True)
    return atoms.repeat(values.repetitions), values
