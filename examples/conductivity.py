"""From trajectories to a conductivity and an activation energy, where the answer is known.

Fourteen Li hop on a lattice with rates that follow Arrhenius' law, three replicas at each of four temperatures. The
same functions take trajectories from files: ``read_trajectory(Path("run.traj"))``.
"""

from __future__ import annotations

import numpy as np
from ase.units import kB

from ionloop.analysis.conductivity.arrhenius import ChargeCarriers, fit_arrhenius
from ionloop.analysis.conductivity.transport import Carrier, analyse_conductivity
from ionloop.analysis.trajectories.reading import Trajectory

IONS, FRAMES, REPLICAS = 14, 3000, 3
VOLUME_A3, HOP_A, FRAME_INTERVAL_FS = 829.35, 3.0, 100.0
TRUE_ENERGY_EV, ATTEMPTS_PER_PS = 0.21, 5.0


def hopping_ions(temperature_K: float, seed: int) -> Trajectory:
    """Return ions that hop by 3 Å along one of six directions, attempts times exp(-E_a/kT) per ps, and vibrate."""
    random = np.random.default_rng(seed)
    chance = ATTEMPTS_PER_PS * np.exp(-TRUE_ENERGY_EV / (kB * temperature_K)) * FRAME_INTERVAL_FS / 1000.0
    hops = random.random((FRAMES, IONS, 1)) < chance
    axis = random.integers(0, 3, (FRAMES, IONS, 1))
    steps = np.zeros((FRAMES, IONS, 3))
    np.put_along_axis(steps, axis, hops * random.choice([-HOP_A, HOP_A], axis.shape), axis=2)
    positions = np.cumsum(steps, axis=0) + random.normal(0.0, 0.15, steps.shape)
    return Trajectory(("Li",) * IONS, positions, VOLUME_A3 ** (1 / 3) * np.eye(3), FRAME_INTERVAL_FS)


def main() -> None:
    temperatures_K = (600.0, 700.0, 800.0, 1000.0)
    results = []
    for temperature_K in temperatures_K:
        replicas = [hopping_ions(temperature_K, seed) for seed in range(REPLICAS)]
        result = analyse_conductivity(replicas, Carrier("Li", temperature_K)).result
        results.append(result)
        sigma = result.tracer_conductivity_mS_per_cm
        print(f"{temperature_K:.0f} K: {sigma.value:.0f} mS/cm ({sigma.low:.0f} to {sigma.high:.0f})")
        for warning in result.warnings:
            print(f"  {warning}")
    fit = fit_arrhenius(
        temperatures_K,
        [result.diffusivity_A2_per_ps.value for result in results],
        [result.diffusivity_A2_per_ps.standard_error for result in results],
        ChargeCarriers(IONS, 1.0, VOLUME_A3),
    )
    energy, at_room = fit.activation_energy_eV, fit.extrapolated_conductivity_mS_per_cm
    print(f"activation energy: {energy.value:.3f} eV ({energy.low:.3f} to {energy.high:.3f}), true: {TRUE_ENERGY_EV}")
    if at_room is not None:
        print(f"at 300 K: {at_room.value:.1f} mS/cm ({at_room.low:.1f} to {at_room.high:.1f})")


if __name__ == "__main__":
    main()
