"""Locality with a frozen sphere: dynamics outside of it, and the scatter of the centre's force."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lj import LennardJones

from ionloop.analysis.locality.curves import distances_A, locality_curves
from ionloop.analysis.locality.frozen_sphere import FrozenSphereFrames, Sphere, deviations, run_frozen_sphere
from ionloop.analysis.locality.settings import FrozenSphereSettings
from ionloop.core.errors import InputError, IonloopError

SETTINGS = FrozenSphereSettings(
    temperature_K=60, timestep_fs=4, equilibration_steps=20, frames=6, steps_per_frame=10, friction_per_ps=10
)
NUMERICAL_ZERO_EV_PER_A = 1e-12
# ASE's pair potential adds up neighbours in the order of a list that it keeps.
RESTART_TOLERANCE = 1e-10


def argon() -> tuple[Atoms, LennardJones]:
    return bulk("Ar", "fcc", a=5.3, cubic=True).repeat((2, 2, 2)), LennardJones(sigma=3.4, epsilon=0.01, rc=4.5)


def run(radius: float = 3.0, settings: FrozenSphereSettings = SETTINGS, **options) -> FrozenSphereFrames:
    atoms, calculator = argon()
    return run_frozen_sphere(atoms, calculator, Sphere(3, radius), settings, seed=1, **options)


def test_the_force_scatters_only_where_the_sphere_is_smaller_than_the_cutoff():
    forces = np.stack([run(3.0).forces, run(4.6).forces])
    curve = locality_curves([("Ar", deviations(forces))], {"Ar": 32}, protocol="frozen-sphere")["Ar"]
    expected = np.sqrt(np.mean(np.sum((forces[0] - forces[0].mean(axis=0)) ** 2, axis=1)))
    assert expected > 1e-4
    assert curve.value_eV_per_A[0] == pytest.approx(expected)
    assert curve.component_rms_eV_per_A[0] == pytest.approx(expected / np.sqrt(3))
    assert curve.value_eV_per_A[1] < NUMERICAL_ZERO_EV_PER_A


def test_atoms_in_the_sphere_rest_and_the_others_are_as_warm_as_asked():
    momenta: list[np.ndarray] = []
    long = SETTINGS.model_copy(update={"frames": 60})
    positions = run(settings=long, on_frame=lambda frames: momenta.append(frames.momenta)).positions
    atoms, _ = argon()
    inside = distances_A(atoms, 3) <= 3.0
    assert np.all(positions[:, inside] == atoms.positions[inside])
    masses = atoms.get_masses()[:, np.newaxis]
    kinetic = [0.5 * np.sum(one**2 / masses) for one in momenta]
    temperature = np.mean(kinetic) / (1.5 * np.sum(~inside) * units.kB)
    # Sixty correlated frames of 31 atoms.
    assert temperature == pytest.approx(SETTINGS.temperature_K, rel=0.15)


def test_an_interrupted_run_ends_alike():
    frames: list[FrozenSphereFrames] = []
    whole = run(on_frame=frames.append)
    for known in (frames[0], frames[2], frames[-1]):
        again = run(known=known)
        assert np.allclose(again.forces, whole.forces, rtol=0, atol=RESTART_TOLERANCE)
        assert np.allclose(again.positions, whole.positions, rtol=0, atol=RESTART_TOLERANCE)


def test_another_seed_gives_other_frames():
    atoms, calculator = argon()
    other = run_frozen_sphere(atoms, calculator, Sphere(3, 3.0), SETTINGS, seed=2)
    assert not np.any(other.forces == run().forces)


def test_a_sphere_that_holds_everything_is_refused():
    with pytest.raises(InputError, match="nothing is left to move"):
        run(radius=30.0)


def test_an_explosion_is_told():
    with pytest.raises(IonloopError, match="exploded"):
        run(settings=SETTINGS.model_copy(update={"temperature_K": 2e7, "timestep_fs": 5.0}))
