"""A result of structure functions for stores that tests fill: one peak whose height is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionloop.analysis.structure_functions.results import Diffraction, Shell, StructureResult
from ionloop.store.identifiers import identifier
from ionloop.store.records import ResultRecord
from ionloop.tasks.results import save_arrays


def structure_values(temperature_K: float) -> dict[str, object]:
    """Return the values of a result."""
    shell = Shell(centre="Li", neighbour="Li", peak_A=3.0, cutoff_A=4.0, coordination=12.0, half_width=0.1)
    seen = Diffraction(radiation="neutrons", lengths={"Li": -1.9}, first_peak_per_A=1.2, first_peak=1.5)
    result = StructureResult(
        species=("Li",), atoms=3, frames=10, density_per_A3=0.05, density_g_per_cm3=0.6, r_max_A=8.0, shells=(shell,),
        diffraction=(seen,),
    )  # fmt: skip
    runs = {"temperature_K": temperature_K, "trajectories": 1, "missing_trajectories": 0, "duration_ps": 10.0}
    return {**runs, "structure": result.model_dump(mode="json")}


def structure_arrays(height: float) -> dict[str, NDArray[np.float64]]:
    """Return its curves."""
    x = np.linspace(0.1, 8.0, 40)
    peak = 1.0 + height * np.exp(-((x - 3.0) ** 2))
    partial = peak[None, None]
    found = {"r_A": x, "g": partial, "g_half": 0.1 * partial, "running_coordination": partial, "q_per_A": x}
    return found | {"s": partial, "neutrons_s": peak, "neutrons_s_half": 0.1 * peak, "neutrons_t": x * peak}


def add_structure(builder: Any, kind: str, generation: int, height: float) -> ResultRecord:
    """Add a result to the store that a builder fills."""
    name = identifier("result", "structure-functions", builder.name, kind, generation)
    curves = save_arrays(builder.store, "structure-functions", name, structure_arrays(height))
    return builder.add_result(
        "structure-functions", kind, generation, values=structure_values(600.0), artefacts={"curves": curves}
    )
