"""A crystal of springs whose model calls new what is far from its sites: walkers that cost nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from ionloop.sampling.on_the_fly.leg import LegRequest
from ionloop.sampling.on_the_fly.settings import OnTheFlySettings

SPRING_EV_PER_A2 = 2.0
NOVELTY_PER_A = 1.0


def crystal() -> Atoms:
    """Return eight atoms."""
    return bulk("LiCl", "rocksalt", a=5.1, cubic=True)


class Sites(Calculator):
    """Every atom bound to its site; novelty is its distance from there, up to 1."""

    implemented_properties = ("energy", "forces", "novelty")

    def __init__(self, sites: np.ndarray, scale: float = NOVELTY_PER_A, kill_at: int = 0) -> None:
        super().__init__()
        self.sites = sites
        self.scale = scale
        self.calls = 0
        self.kill_at = kill_at

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls == self.kill_at:
            raise KeyboardInterrupt
        moves = self.atoms.positions - self.sites
        self.results = {
            "energy": 0.5 * SPRING_EV_PER_A2 * float((moves**2).sum()),
            "forces": -SPRING_EV_PER_A2 * moves,
        }
        if "novelty" in properties:
            self.results["novelty"] = np.minimum(self.scale * np.linalg.norm(moves, axis=1), 1.0)


def leg(path: Path, threshold: float = 10.0, **changes: Any) -> LegRequest:
    """Return a request for a leg of 60 steps at 600 K."""
    values: dict[str, Any] = {
        "atoms": crystal(),
        "settings": OnTheFlySettings(temperatures_K=600, leg_ps=0.06, length_ps=0.6, timestep_fs=1.0),
        "walker": 0,
        "seed": 5,
        "calculator": lambda: Sites(crystal().positions),
        "thresholds": {"Li": threshold, "Cl": threshold},
        "path": path,
    }
    return LegRequest(**(values | changes))
