"""The bulk modulus as a property that a loop can end with, and the strained cells that tell of it."""

from __future__ import annotations

import numpy as np
from ase import units

from ....fitting.posterior.base import interval_factor
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.energy_volume import VOLUME_CURVES, VOLUME_POINTS
from ....tasks.values.properties import PropertyNumber
from ..base import AnalysisPlan
from ..proposals import Configuration, Proposed, Target
from ..results import model_part, of_plan


def bulk_modulus_numbers(store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
    """Return the bulk modulus of the model's curve."""
    numbers = []
    for record in of_plan(store, plan, VOLUME_CURVES)[-1:]:
        values = VOLUME_CURVES.read(record)
        if values.fit is None or not values.fit.bracketed:
            numbers.append(PropertyNumber(label="bulk modulus", unit="GPa", reason=values.reason))
            continue
        # The equation of state has four parameters.
        freedom = max(1, len(values.volumes_A3_per_atom) - 4)
        numbers.append(
            PropertyNumber(
                label="bulk modulus",
                unit="GPa",
                value=values.fit.bulk_modulus_GPa,
                statistical=interval_factor(freedom) * values.fit.bulk_modulus_standard_error_GPa,
                **model_part(values.bulk_modulus_model_half_width_GPa, values.model_interval_reason),
            )
        )
    return numbers


def strained_cells(store: Store, plan: AnalysisPlan) -> list[Proposed]:
    """Return the cells of the curve; the bulk modulus is V d²E/dV² of the parabola through their energies."""

    from ....tasks.energy_volume import cell_of_point
    from ....tasks.results import known_result

    found = []
    for record in of_plan(store, plan, VOLUME_CURVES)[-1:]:
        fit = VOLUME_CURVES.read(record).fit
        points = [one for name in record.inputs if (one := known_result(store, name)) is not None]
        if fit is None or len(points) < 4:
            continue
        cells = [
            Configuration(cell_of_point(store, one, plan.atoms), one.id, place) for place, one in enumerate(points)
        ]
        volumes = np.array([_volume_A3(one) for one in points])
        atoms = len(cells[0].atoms)
        # The second derivative of a parabola is a weighted sum of the energies.
        powers = (volumes - volumes.mean())[:, None] ** np.arange(3)
        second = 2.0 * np.linalg.pinv(powers)[2]
        percent_per_eV = 100.0 * fit.volume_A3_per_atom * atoms / (fit.bulk_modulus_GPa * units.GPa)
        weights = {place: float(percent_per_eV * weight) for place, weight in enumerate(second)}
        found.append(Proposed(cells, [Target(weights)]))
    return found


def _volume_A3(record: ResultRecord) -> float:
    return VOLUME_POINTS.read(record).volume_A3
