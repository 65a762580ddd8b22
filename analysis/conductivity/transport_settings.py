"""How diffusivities are taken from trajectories."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenSettings

FEWEST_FRAMES = 20
LARGEST_CHARGE = 8
"""Largest formal charge of an ion (e)."""


class TransportSettings(FrozenSettings):
    """How diffusivities are taken from trajectories."""

    exponent_tolerance: float = Field(
        0.03,
        gt=0,
        le=0.5,
        description="Deviation from 1 of the exponent of the mean squared displacement over a decade or more of time,"
        " from which on it counts as not diffusive where it is sure (no unit)",
    )
    minimum_displacement_A: float = Field(
        3.0,
        ge=0,
        le=100,
        description="Root-mean-square displacement by diffusion, √(6 D t), that the mobile ions must reach in the"
        " trajectory, a hop or more; below it the result says nothing but an upper bound (Å)",
    )
    bootstrap_samples: int = Field(
        2000,
        ge=100,
        le=1_000_000,
        description="Deprecated and without effect: intervals need no bootstrap (number)",
    )
    seed: int = Field(
        1,
        ge=0,
        le=2**31 - 1,
        description="Deprecated and without effect: intervals need no bootstrap (no unit)",
    )
