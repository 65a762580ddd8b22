"""A small campaign that learns on the fly: Cu ions among Au atoms, EMT labels, real fits and dynamics."""

from __future__ import annotations

from typing import Any

ON_THE_FLY = {
    "kind": "on-the-fly",
    "walkers": 2,
    "temperatures_K": [600, 900],
    "length_ps": 0.08,
    "leg_ps": 0.02,
    "timestep_fs": 2.0,
    "write_every": 5,
    "check_every_fs": 4.0,
    "audit_every_ps": 0.04,
    "max_labels": 12,
    "batch": 2,
    "force_tolerance_eV_per_A": 0.001,
}


def learning_settings(small: Any, *, stop: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the settings of the small campaign of `SmallCampaign` with an entry that learns instead of sampling."""
    settings = small.settings(explore=[{**ON_THE_FLY, **changes}], models=["gap"])
    del settings["sampling"]
    settings["stop"] = {"max_generations": 2, "energy_tolerance": 0, "force_tolerance": 0, **(stop or {})}
    return settings
