"""Glasses and species of a network for stores that tests fill, with numbers that are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from ionloop.analysis.glasses.groups import MadeGlass, grouped
from ionloop.analysis.speciation.results import Share, SpeciationResult
from ionloop.store.identifiers import identifier
from ionloop.store.records import ResultRecord
from ionloop.tasks.results import save_arrays

GLASSES_OF_A_GROUP = 3


def made_glasses(density_g_per_cm3: float) -> list[MadeGlass]:
    """Return glasses that differ by a hundredth of the density, from the first to the last."""
    return [
        MadeGlass(
            name=f"500 atoms, 10 K/ps, {number}", size="500 atoms", atoms=500, quench_K_per_ps=10.0, number=number,
            seed=number, cooling_ps=70.0, density_g_per_cm3=density_g_per_cm3 * (0.99 + 0.01 * number),
            energy_eV_per_atom=-4.0, converged=True,
            centres_percent={"PS4 3-": 60.0 + number, "P2S7 4-": 40.0 - number},
        )
        for number in range(1, GLASSES_OF_A_GROUP + 1)
    ]  # fmt: skip


def add_glasses(builder: Any, kind: str, generation: int, density_g_per_cm3: float) -> ResultRecord:
    """Add glasses and what they have in common to the store that a builder fills."""
    made = made_glasses(density_g_per_cm3)
    records = [builder.add_result("glass", kind, generation, values=one.model_dump(mode="json")) for one in made]
    groups = [one.model_dump(mode="json") for one in grouped(made, GLASSES_OF_A_GROUP)]
    return builder.add_result(
        "glasses",
        kind,
        generation,
        values={"temperature_K": 300.0, "groups": groups},
        inputs=[one.id for one in records],
    )


def speciation_values(percent: float) -> dict[str, object]:
    """Return the values of a result with that part of the centres in PS4."""
    shares = (
        Share(name="PS4", percent=percent, half_width=2.0, charge_e=-3),
        Share(name="P2S7", percent=100.0 - percent, half_width=2.0, charge_e=-4),
    )
    result = SpeciationResult(
        network="P with S", frames=100, centres=6.0, species=shares, families=shares,
        bridges=(Share(name="0", percent=percent), Share(name="1", percent=100.0 - percent)), free_ligands=(),
        imbalance_e=0.0, balanced_percent=100.0, largest_imbalance_e=0, length_ps=10.0, made=3, broken=3,
        changes_per_centre_per_ns=100.0, changes_low_per_ns=40.0, changes_high_per_ns=220.0,
    )  # fmt: skip
    runs = {"temperature_K": 600.0, "trajectories": 1, "missing_trajectories": 0, "duration_ps": 10.0}
    return {**runs, **result.model_dump(mode="json")}


def add_speciation(builder: Any, kind: str, generation: int, factor: float) -> ResultRecord:
    """Add a result to the store that a builder fills."""
    name = identifier("result", "speciation", builder.name, kind, generation)
    percent = 30.0 * factor
    arrays = {
        "times_ps": np.array([0.0, 5.0, 10.0]),
        "family_percent": np.array([[percent] * 3, [100.0 - percent] * 3]),
    }
    return builder.add_result(
        "speciation",
        kind,
        generation,
        values=speciation_values(percent),
        artefacts={"curves": save_arrays(builder.store, "speciation", name, arrays)},
    )
