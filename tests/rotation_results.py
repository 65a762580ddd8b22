"""A result on rotations for stores that tests fill: a rate that is given, hops that go with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.rotation.coupling import Coupling, CouplingAtWindow
from ionloop.analysis.rotation.decay import DecayTime
from ionloop.analysis.rotation.held import HeldResult, OneSide
from ionloop.analysis.rotation.rotation import Rate, RotationResult
from ionloop.store.identifiers import identifier
from ionloop.store.records import ResultRecord
from ionloop.tasks.results import save_arrays


def rotation_values(temperature_K: float, rate: float) -> dict[str, object]:
    """Return the values of a result; a rate of 0 is one that nobody saw."""
    decayed = DecayTime(
        decayed=True, time_ps=20.0, low_ps=15.0, high_ps=30.0, exponent=0.9, mean_time_ps=21.0, amplitude=0.9,
        last_value=0.1, longest_ps=50.0,
    )  # fmt: skip
    still = DecayTime(
        decayed=False, time_ps=None, low_ps=50.0, high_ps=None, exponent=None, mean_time_ps=None, amplitude=None,
        last_value=0.95, longest_ps=50.0,
    )  # fmt: skip
    window = CouplingAtWindow(
        window_ps=1.0, given_rotation=0.5, by_chance=0.1, ratio=5.0, chance_low=0.05, chance_high=0.2, p_value=0.01
    )
    pair = Coupling(rotations=12, hops_nearby=30, windows=(window,), p_value=0.01, surrogates=100)
    result = RotationResult(
        formula="PS4", length_ps=100.0, anions=4, centres=4, whole_fraction=0.99, breaks=0,
        breaks_per_anion_per_ns=Rate(value=0.0, low=0.0, high=0.1), rotations=12 if rate else 0,
        rotations_per_anion_per_ns=Rate(value=rate, low=0.7 * rate, high=1.4 * rate or 2.0),
        permuting=9 if rate else 0, unsettled=0, mean_angle_degree=118.0 if rate else None, c1=decayed, c2=decayed,
        ct=still, mobile="Li", hops=90, coupling=pair if rate else None, warnings=(),
    )  # fmt: skip
    runs = {"temperature_K": temperature_K, "trajectories": 1, "missing_trajectories": 0, "duration_ps": 100.0}
    return {**runs, **result.model_dump(mode="json")}


def add_rotation(builder: Any, kind: str, generation: int, rate: float, temperature_K: float = 600.0) -> ResultRecord:
    """Add a result to the store that a builder fills."""
    name = identifier("result", "rotation", builder.name, kind, generation, temperature_K)
    lags = np.array([0.0, 1.0, 10.0, 50.0])
    curves = np.array([np.exp(-lags / 20.0), np.exp(-lags / 15.0), np.ones(4)])
    arrays = {"lags_ps": lags, "correlations": curves}
    return builder.add_result(
        "rotation",
        kind,
        generation,
        values=rotation_values(temperature_K, rate),
        artefacts={"curves": save_arrays(builder.store, "rotation", name, arrays)},
    )


def add_held(builder: Any, kind: str, generation: int, answer: str, temperature_K: float = 600.0) -> ResultRecord:
    """Add a result with held polyanions to the store that a builder fills."""
    known = answer != "not known"
    sides = [
        OneSide(
            trajectories=2, diffusivity_A2_per_ps=Estimate(value=value, low=0.8 * value, high=1.2 * value,
            standard_error=0.1 * value), reliable=known, rotations=count,
            rotations_per_anion_per_ns=Rate(value=count / 4, low=count / 8, high=count / 2 or 1.0), whole_fraction=1.0,
        )
        for value, count in ((0.25, 12), (0.1, 0))
    ]  # fmt: skip
    result = HeldResult(
        formula="PS4", mobile="Li", by="walls", free=sides[0], held=sides[1], ratio=0.4 if known else None,
        ratio_low=0.3 if known else None, ratio_high=0.5 if known else None, answer=answer,
        why_not_known=() if known else ("it is known too poorly",),
    )  # fmt: skip
    runs = {"temperature_K": temperature_K, "trajectories": 4, "missing_trajectories": 0, "duration_ps": 400.0}
    return builder.add_result("rotation-held", kind, generation, values={**runs, **result.model_dump(mode="json")})
