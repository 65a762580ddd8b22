"""Energy-volume jobs: one cell of one potential's curve each, and the equation of state through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms
from pydantic import Field

from ..analysis.energy_volume.curves import (
    BirchMurnaghanFit,
    EnergyVolumePoint,
    EquationOfStateError,
    energy_volume_point,
    fit_birch_murnaghan,
    single_point,
)
from ..analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ..core.errors import InputError
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import ResultRecord
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .initial import starting_structure
from .model_uncertainty.intervals import Posteriors, curve_interval_values
from .results import Potential, ResultTask, known_result, load_arrays, new_result, open_potential, save_arrays
from .values.energy_volume import VOLUME_CURVES, VOLUME_POINTS, CurveValues, PointValues

CURVE_KIND = VOLUME_CURVES.name
POINT_KIND = VOLUME_POINTS.name


class EnergyVolumePointParameters(TaskParameters):
    """A potential, a strained cell, and where its ions come from."""

    potential: Potential
    strain: float
    relaxation: FixedCellRelaxation | None = Field(description="how ions are relaxed; None leaves them scaled")
    scaled_from: str | None = Field(default=None, description="identifier of the relaxed crystal that is strained")
    ions_of: str | None = Field(default=None, description="identifier of the point whose relaxed ions are taken")

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        relaxation = None if self.relaxation is None else self.relaxation.model_dump(mode="json")
        return identifier(
            "result",
            POINT_KIND,
            self.campaign,
            *self.of_system,
            self.potential.identity,
            self.strain,
            relaxation,
            self.scaled_from,
            self.ions_of,
        )


class EnergyVolumePointTask(ResultTask):
    """Compute the energy of one strained cell, ions relaxed where the parameters say so."""

    _fw_name = "ionloop.energy-volume-point"
    parameters_type = EnergyVolumePointParameters
    measured_as = CURVE_KIND

    def compute(self, parameters: EnergyVolumePointParameters, context: TaskContext) -> ResultRecord:
        """Compute the point."""
        return _point_record(context.store, parameters, self._point(parameters, context))

    @staticmethod
    def _point(parameters: EnergyVolumePointParameters, context: TaskContext) -> EnergyVolumePoint:
        crystal = starting_structure(context, parameters.campaign, parameters.system)
        calculator = open_potential(context.store, parameters.potential)
        if parameters.scaled_from is not None:
            crystal = cell_of_point(context.store, _relaxed_or_fail(context.store, parameters.scaled_from), crystal)
        if parameters.ions_of is None:
            return energy_volume_point(crystal, calculator, parameters.strain, parameters.relaxation)
        relaxed = _relaxed_or_fail(context.store, parameters.ions_of)
        point = single_point(cell_of_point(context.store, relaxed, crystal), calculator, parameters.strain)
        # A cell that is not relaxed is no point of the curve, whoever computes its energy.
        origin = VOLUME_POINTS.read(relaxed)
        return replace(point, converged=origin.converged, reason=origin.reason)


def _relaxed_or_fail(store: Store, name: str) -> ResultRecord:
    relaxed = known_result(store, name)
    if relaxed is None:
        raise JobFailed("the cell that this one starts from was not relaxed")
    return relaxed


def _point_record(store: Store, parameters: EnergyVolumePointParameters, point: EnergyVolumePoint) -> ResultRecord:
    name = parameters.identifier
    arrays = {"positions": point.atoms.positions, "cell": point.atoms.cell.array}
    return new_result(
        parameters,
        name,
        VOLUME_POINTS,
        parameters.potential,
        inputs=[name for name in (parameters.scaled_from, parameters.ions_of) if name is not None],
        values=PointValues(
            strain=point.strain,
            volume_A3=point.volume_A3,
            energy_eV=point.energy_eV,
            atoms=len(point.atoms),
            converged=point.converged,
            reason=point.reason,
        ),
        artefacts={"cell": save_arrays(store, CURVE_KIND, name, arrays)},
    )


def cell_of_point(store: Store, record: ResultRecord, crystal: Atoms) -> Atoms:
    """Return the cell of a point's record; ``crystal`` has the elements."""
    arrays = load_arrays(store, record.artefacts["cell"])
    return Atoms(numbers=crystal.numbers, positions=arrays["positions"], cell=arrays["cell"], pbc=True)


class EnergyVolumeParameters(TaskParameters):
    """One potential's points, and whose relaxation their ions come from (None: they are scaled with the cell)."""

    potential: Potential
    points: list[str]
    ions_relaxed_with: str | None


class EnergyVolumeTask(IonloopTask):
    """Fit the equation of state to the points that there are."""

    _fw_name = "ionloop.energy-volume"
    parameters_type = EnergyVolumeParameters

    def execute(self, parameters: EnergyVolumeParameters, context: TaskContext) -> Outcome:
        """Record the curve; points that failed or did not converge are left out of it and counted."""
        store = context.store
        found = [record for name in parameters.points if (record := store.results.get(name)) is not None]
        points = {record.id: VOLUME_POINTS.read(record) for record in found}
        used = [name for name, point in points.items() if point.converged]
        name = identifier("result", CURVE_KIND, parameters.campaign, parameters.potential.identity, parameters.points)
        fit, reason, volumes, energies = _curve([points[one] for one in used])
        known = Posteriors(store).of(parameters.potential.model)
        cells: list[Atoms] = []
        if not isinstance(known, str):
            crystal = starting_structure(context, parameters.campaign, parameters.system)
            cells = [cell_of_point(store, store.results[one], crystal) for one in used]
        values = CurveValues(
            volumes_A3_per_atom=volumes,
            energies_eV_per_atom=energies,
            fit=fit,
            reason=reason,
            ions_relaxed_with=parameters.ions_relaxed_with,
            unconverged=len(found) - len(used),
            missing=len(parameters.points) - len(found),
            **curve_interval_values(known, cells, energies, fit),
        )
        record = new_result(
            parameters,
            name,
            VOLUME_CURVES,
            parameters.potential,
            inputs=used,
            values=values,
        )
        store.results.replace(record)
        return Outcome(reason=values.reason, outputs={"result": name})


def _curve(
    points: Sequence[PointValues],
) -> tuple[BirchMurnaghanFit | None, str, tuple[float, ...], tuple[float, ...]]:
    """Return the fit, why there is none or it is doubtful, and volumes and energies per atom."""
    sizes = np.array([point.atoms for point in points], dtype=np.float64)
    volumes = np.array([point.volume_A3 for point in points]) / sizes
    energies = np.array([point.energy_eV for point in points]) / sizes
    fit, reason = None, ""
    try:
        fit = fit_birch_murnaghan(volumes, energies)
    except (InputError, EquationOfStateError) as error:
        reason = str(error)
    else:
        if not fit.bracketed:
            reason = "the minimum lies outside the volumes: raise analyses.energy_volume.strain"
    return fit, reason, tuple(volumes.tolist()), tuple(energies.tolist())
