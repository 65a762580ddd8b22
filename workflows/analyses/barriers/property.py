"""Barriers as a property that a loop can end with, and the images that tell of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from ....analysis.barriers.settings import LOWEST_BARRIER_EV
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.barriers import BARRIERS, BarrierValues
from ....tasks.values.properties import PropertyNumber
from ..base import AnalysisPlan
from ..proposals import Configuration, Proposed, Target
from ..results import model_part, of_plan


def barrier_numbers(store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
    """Return the barriers of the model's own paths; the numerical error is that of the fit along the path."""
    return [barrier_number(values, kind) for kind, _, values in _paths(store, plan)]


def _paths(store: Store, plan: AnalysisPlan) -> Iterator[tuple[str, ResultRecord, BarrierValues]]:
    """Yield every path of the plan's model, the last that was recorded."""
    (kind, _), *_ = plan.models.items()
    by_slot = {BARRIERS.read(record).slot: record for record in of_plan(store, plan, BARRIERS)}
    for _, record in sorted(by_slot.items()):
        yield kind, record, BARRIERS.read(record)


def barrier_number(values: BarrierValues, kind: str) -> PropertyNumber:
    """Return the barrier of one path with a model's energies."""
    own = values.potentials.get(kind)
    if own is None or not values.converged:
        return PropertyNumber(label=values.slot, unit="eV", reason=values.reason or "the path did not converge")
    if min(own.forward_eV, own.reverse_eV) < LOWEST_BARRIER_EV:
        # The energy of an end against itself is zero, and known: it is no barrier.
        return PropertyNumber(label=values.slot, unit="eV", reason="the path only goes down: no barrier is seen")
    return PropertyNumber(
        label=values.slot,
        unit="eV",
        value=own.forward_eV,
        statistical=own.fit_error_eV,
        **model_part(own.forward_model_half_width_eV, own.model_interval_reason),
    )


def barrier_proposals(store: Store, plan: AnalysisPlan) -> list[Proposed]:
    """Return the images of the model's paths; a barrier is the energy of the highest less that of the first."""

    from ....tasks.results import known_result, load_arrays

    found = []
    for _, record, _ in _paths(store, plan):
        whole = known_result(store, record.id)
        if whole is None or "band" not in whole.artefacts:
            continue
        band = load_arrays(store, whole.artefacts["band"])
        images = [
            Configuration(
                Atoms(numbers=band["numbers"], positions=positions, cell=band["cell"], pbc=True), record.id, place
            )
            for place, positions in enumerate(band["positions"])
        ]
        top = int(np.argmax(band["energies"]))
        # A path that only goes down has its barrier on the way back.
        other = 0 if top else len(images) - 1
        found.append(Proposed(images, [Target({top: 1.0, other: -1.0})]))
    return found
