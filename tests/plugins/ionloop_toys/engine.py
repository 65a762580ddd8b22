"""A reference engine: Lennard-Jones pairs, whose forces are shifted so that they end at the cutoff."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from pydantic import Field

from ionloop.core.citations import Citation
from ionloop.labelling.common_settings import CommonSettings
from ionloop.labelling.engine import Engine, EngineProbe
from ionloop.labelling.outcome import Evaluation


class LennardJonesSettings(CommonSettings):
    """Lennard-Jones pairs, alike for all elements."""

    engine: Literal["lennard-jones"] = Field("lennard-jones", description="Name of the engine (name)")
    depth_eV: float = Field(0.2, gt=0, description="Depth of the well (eV)")
    sigma_A: float = Field(2.2, gt=0, description="Distance at which two atoms neither attract nor repel (Å)")
    cutoff_A: float = Field(5.0, gt=0, description="Distance from which on they feel nothing (Å)")


class LennardJones(Engine[LennardJonesSettings]):
    """The pairs' sum, in this process."""

    name = "lennard-jones"
    settings_type = LennardJonesSettings

    def evaluate(self, atoms: Atoms, settings: LennardJonesSettings, folder: Path) -> Evaluation:
        first, distance_A, vector_A = neighbor_list("idD", atoms, settings.cutoff_A)
        value, slope = pair(distance_A, settings)
        # Every pair is listed twice.
        pulls = 0.5 * (slope / distance_A)[:, None] * vector_A
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, 2 * pulls)
        stress = None
        if atoms.pbc.all():
            stress = full_3x3_to_voigt_6_stress(pulls.T @ vector_A / atoms.get_volume())
        return Evaluation(0.5 * float(value.sum()), forces, stress)

    def smoke_settings(self) -> LennardJonesSettings:
        return LennardJonesSettings()

    def methods(self, settings: LennardJonesSettings) -> str:
        return f"The reference is a Lennard-Jones fluid of {settings.depth_eV:g} eV and {settings.sigma_A:g} Å."

    def citations(self, settings: LennardJonesSettings) -> tuple[Citation, ...]:
        return (Citation("Lennard-Jones", "J. E. Jones, Proc. R. Soc. A 1924, 106, 463", "10.1098/rspa.1924.0082"),)

    def version(self, settings: LennardJonesSettings) -> str:
        return "toys 1.2"

    def probe(self, settings: LennardJonesSettings | None = None) -> EngineProbe:
        return EngineProbe(self.name, found=True, version="toys 1.2", remedy="")


def pair(distance_A: np.ndarray, settings: LennardJonesSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return energy (eV) and slope (eV/Å) of pairs; both end at the cutoff."""

    def plain(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        power = (settings.sigma_A / r) ** 6
        return 4 * settings.depth_eV * (power**2 - power), 24 * settings.depth_eV * (power - 2 * power**2) / r

    (value, slope), (end, end_slope) = plain(distance_A), plain(np.array(settings.cutoff_A))
    return value - end - (distance_A - settings.cutoff_A) * end_slope, slope - end_slope


LENNARD_JONES = LennardJones()
