"""What a quench shows: density, energy and temperature on the way down, and their means in the glass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from ase import Atoms
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.settings import FrozenModel
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ...sampling.structures.packing import density_of_g_per_cm3

_PS = 1000.0


class QuenchCurves(NamedTuple):
    """A quench, frame by frame: [n_frames].

    ``thermostat_K`` is the temperature that was asked for, ``temperature_K`` the kinetic one.
    """

    time_ps: FloatArray
    thermostat_K: FloatArray
    temperature_K: FloatArray
    density_g_per_cm3: FloatArray
    energy_eV_per_atom: FloatArray


class GlassAtTemperature(FrozenModel):
    """Means over the time for which a glass was held."""

    frames: int = Field(description="Frames that means are taken from (number)")
    temperature_K: float = Field(description="Mean kinetic temperature (K)")
    density_g_per_cm3: float = Field(description="Mean density (g/cm³)")
    energy_eV_per_atom: float = Field(description="Mean potential energy (eV/atom)")
    drift_g_per_cm3: float = Field(
        description="Mean density of the second half less that of the first: what has not come to rest (g/cm³)"
    )


def quench_curves(frames: Iterable[Atoms], dynamics: MolecularDynamicsSettings) -> QuenchCurves:
    """Return the curves of a quench from its frames, which carry their step and potential energy.

    Temperatures count 3N - 3 degrees of freedom: the centre of mass rests.
    """
    rows = []
    for atoms in frames:
        step = int(atoms.info["step"])
        freedom = len(atoms) / (len(atoms) - 1)
        rows.append(
            (
                step * dynamics.timestep_fs / _PS,
                dynamics.temperature_at(step),
                atoms.get_temperature() * freedom,
                density_of_g_per_cm3(atoms),
                atoms.get_potential_energy() / len(atoms),
            )
        )
    return QuenchCurves(*np.array(rows, dtype=float).reshape(-1, 5).T)


def joined(first: QuenchCurves, then: QuenchCurves) -> QuenchCurves:
    """Return curves one after the other; the first frame of the second is the last of the first."""
    later = then._replace(time_ps=then.time_ps + first.time_ps[-1])
    return QuenchCurves(*(np.concatenate([a, b[1:]]) for a, b in zip(first, later, strict=True)))


def glass_means(curves: QuenchCurves, first_frame: int) -> GlassAtTemperature:
    """Return the means over all frames from that one on.

    Raises
    ------
    ValueError
        If there is none.
    """
    density = curves.density_g_per_cm3[first_frame:]
    if not len(density):
        raise ValueError(f"the quench has {len(curves.time_ps)} frames, none from {first_frame} on")
    half = len(density) // 2
    return GlassAtTemperature(
        frames=len(density),
        temperature_K=float(curves.temperature_K[first_frame:].mean()),
        density_g_per_cm3=float(density.mean()),
        energy_eV_per_atom=float(curves.energy_eV_per_atom[first_frame:].mean()),
        drift_g_per_cm3=float(density[half:].mean() - density[:half].mean()) if half else 0.0,
    )
