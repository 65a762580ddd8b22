"""Glasses of one potential for stores that tests fill: three glasses around a density that is given."""

from __future__ import annotations

from typing import Any

from ionloop.analysis.glasses.groups import MadeGlass, grouped
from ionloop.store.records import ResultRecord

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
