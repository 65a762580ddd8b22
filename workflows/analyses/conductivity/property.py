"""The conductivity as a property that a loop can end with, and frames of its trajectories."""

from __future__ import annotations

import math

from ase import units

from ....sampling.trajectory import read_frames
from ....store.connection import Store
from ....tasks.values.conductivity import CONDUCTIVITIES, ConductivityValues
from ....tasks.values.properties import PropertyNumber
from ..base import AnalysisPlan
from ..proposals import Configuration, Proposed, Target
from ..results import model_part, of_plan

FRAMES = 12
"""Frames of the trajectories at one temperature that are proposed."""


def conductivity_numbers(store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
    """Return the conductivity of the charge at every temperature; where it is not reliable, it is not known."""
    found = [CONDUCTIVITIES.read(record) for record in of_plan(store, plan, CONDUCTIVITIES)]
    return [_number(values) for values in sorted(found, key=lambda one: one.temperature_K)]


def _number(values: ConductivityValues) -> PropertyNumber:
    label, estimate = f"{values.temperature_K:g} K", values.collective_conductivity_mS_per_cm
    if not values.reliable:
        reason = "; ".join(values.warnings) or "the trajectories are too short to tell more than a bound"
        return PropertyNumber(label=label, unit="mS/cm", reason=reason)
    width = values.logarithm_model_half_width
    return PropertyNumber(
        label=label,
        unit="mS/cm",
        value=estimate.value,
        statistical=max(estimate.high - estimate.value, estimate.value - estimate.low),
        # The interval of the logarithm reaches farther upwards.
        **model_part(
            None if width is None else estimate.value * math.expm1(width),
            values.model_interval_reason,
        ),
    )


def conductivity_proposals(store: Store, plan: AnalysisPlan) -> list[Proposed]:
    """Return frames of the trajectories at every temperature.

    A conductivity is no sum of energies. But rates change with differences of energies between the configurations that
    ions pass through by these over k T: the energies of frames, less their mean, over k T, in per cent.
    """
    found = []
    for record in of_plan(store, plan, CONDUCTIVITIES):
        values = CONDUCTIVITIES.read(record)
        frames = [
            Configuration(atoms, name, int(atoms.info.get("step", 0)))
            for name in record.inputs
            if (trajectory := store.trajectories.get(name)) is not None
            and store.artefacts.is_there(trajectory.artefact)
            for atoms in read_frames(store.artefacts.path(trajectory.artefact.path), start=1)
        ]
        count = min(FRAMES, len(frames))
        chosen = [frames[(2 * number + 1) * len(frames) // (2 * count)] for number in range(count)]
        percent_per_eV = 100.0 / (units.kB * values.temperature_K)
        targets = [
            Target({place: percent_per_eV * ((place == number) - 1.0 / count) for place in range(count)})
            for number in range(count)
        ]
        found.append(Proposed(chosen, targets))
    return found
