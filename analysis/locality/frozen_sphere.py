"""Locality protocol (ii), σ_f: a sphere around a centre is frozen, everything else moves at a temperature.

σ_f = sqrt(mean |f - f̄|²) of the centre's force over the frames. With a sphere of 2 R_cut no atom that a model of
cutoff R_cut feels at the centre moves, so that its force there is constant, and σ_f is its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from ...core.arrays import FloatArray
from ...core.errors import InputError, IonloopError
from .curves import distances_A
from .settings import FrozenSphereSettings

_MOST_FORCE_EV_PER_A = 1e4


@dataclass(frozen=True)
class Sphere:
    """The atoms within a radius (Å) of a centre, which is one of them."""

    centre: int
    radius_A: float


@dataclass(frozen=True)
class FrozenSphereFrames:
    """Frames of a run; from here it goes on to the same further ones as if it had not been stopped.

    Attributes
    ----------
    positions
        Of all atoms in every frame, shape [n_frames, n_atoms, 3] (Å).
    forces
        On the centre in every frame, shape [n_frames, 3] (eV/Å).
    momenta
        Of all atoms in the last frame, shape [n_atoms, 3] (ASE's units).
    """

    positions: FloatArray
    forces: FloatArray
    momenta: FloatArray


def run_frozen_sphere(
    atoms: Atoms,
    calculator: Calculator,
    sphere: Sphere,
    settings: FrozenSphereSettings,
    *,
    seed: int,
    known: FrozenSphereFrames | None = None,
    on_frame: Callable[[FrozenSphereFrames], None] | None = None,
) -> FrozenSphereFrames:
    """Return the frames of Langevin dynamics at fixed cell in which the sphere rests.

    The noise between two frames comes from a stream of its own, derived from ``seed``, centre and the frame's
    number.

    Parameters
    ----------
    known
        What an interrupted run passed to ``on_frame`` last.
    on_frame
        Called after every frame.

    Raises
    ------
    InputError
        If the sphere holds all atoms.
    IonloopError
        If the trajectory explodes.
    """

    from ase.constraints import FixAtoms

    moving = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    centre = sphere.centre
    frozen = np.flatnonzero(distances_A(moving, centre) <= sphere.radius_A)
    if len(frozen) == len(moving):
        raise InputError(f"a sphere of {sphere.radius_A:g} Å holds all {len(moving)} atoms: nothing is left to move")
    moving.set_constraint(FixAtoms(frozen))
    frames = known or FrozenSphereFrames(
        np.empty((0, len(moving), 3)), np.empty((0, 3)), _thermal_momenta(moving, settings, seed, centre)
    )
    moving.set_momenta(frames.momenta)
    if len(frames.positions):
        moving.positions[:] = frames.positions[-1]
    moving.calc = calculator
    while len(frames.forces) < settings.frames:
        number = len(frames.forces)
        steps = settings.steps_per_frame + (settings.equilibration_steps if number == 0 else 0)
        _run(moving, settings, steps, np.random.default_rng([seed, centre, number + 1]))
        forces = moving.get_forces(apply_constraint=False)
        if not np.all(np.abs(forces) < _MOST_FORCE_EV_PER_A):
            raise IonloopError(
                f"the dynamics around atom {centre} exploded after {number} frames: take a shorter timestep_fs, or a "
                "potential that knows such structures"
            )
        frames = FrozenSphereFrames(
            np.concatenate([frames.positions, moving.positions[np.newaxis]]),
            np.concatenate([frames.forces, forces[centre][np.newaxis]]),
            moving.get_momenta(),
        )
        if on_frame is not None:
            on_frame(frames)
    return frames


def _thermal_momenta(atoms: Atoms, settings: FrozenSphereSettings, seed: int, centre: int) -> FloatArray:
    widths = np.sqrt(atoms.get_masses() * units.kB * settings.temperature_K)[:, np.newaxis]
    momenta: FloatArray = widths * np.random.default_rng([seed, centre, 0]).normal(size=(len(atoms), 3))
    return momenta


def _run(moving: Atoms, settings: FrozenSphereSettings, steps: int, noise: np.random.Generator) -> None:
    from ase.md.langevin import Langevin

    dynamics = Langevin(
        moving,
        timestep=settings.timestep_fs * units.fs,
        temperature_K=settings.temperature_K,
        friction=settings.friction_per_ps / (1000 * units.fs),
        # The frozen atoms hold the cell in place.
        fixcm=False,
        rng=noise,
    )
    dynamics.run(steps)


def deviations(forces: FloatArray) -> FloatArray:
    """Return f - f̄, for `locality_curves` with the protocol ``frozen-sphere``.

    ``forces``: on one centre, shape [n_radii, n_frames, ..., 3] (eV/Å); so is the result.
    """
    return forces - forces.mean(axis=1, keepdims=True)
