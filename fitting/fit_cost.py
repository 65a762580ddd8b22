"""What a fit of a GAP will take before there are data: from one cell, and how many like it there will be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from ase import Atoms

from .data_sets import DataSet, LabelledConfiguration
from .kinds.base import FitEstimate
from .native.sparse_fit.growth import growth_limit
from .preflight import (
    SECONDS_PER_COVARIANCE_TERM,
    SECONDS_PER_DESCRIPTOR_DERIVATIVE,
    SECONDS_PER_FACTORISATION_TERM,
    DescriptorCount,
    estimate_cost,
)
from .settings import GapSettings

BYTES_PER_REAL = 8
TEXT_BYTES_PER_REAL = 25
"""A number in the files of sparse points."""
NATIVE_TIMES_FASTER = 40
"""The native fitter against gap_fit: 47 to 59 times was measured (benchmarks/native_fit.py)."""
LARGEST_GROWTH = growth_limit(100) / 100
"""Sparse points of a campaign's last fit, as a multiple of its first one's."""
NATIVE_BASE_S = 3.0
NATIVE_BASE_BYTES = 350e6
NATIVE_TRIANGLES = 4
NATIVE_BLOCK_ROWS = 4096
"""Memory of the native fitter: some triangles of the linear system's width and a block of rows."""


def fit_estimate(atoms: Atoms, settings: GapSettings, configurations: int) -> FitEstimate:
    """Return what a fit to ``configurations`` cells like ``atoms`` takes.

    One cell's neighbours are counted and multiplied, which is what makes this quick; memory and time follow from
    the counts as in `.preflight.estimate_cost`.
    """
    cell = LabelledConfiguration(
        atoms=atoms, energy=0.0, forces=np.zeros((len(atoms), 3)), stress=np.zeros(6), identifier="cell"
    )
    energies = dict.fromkeys(sorted(set(atoms.get_chemical_symbols())), 0.0)
    one = estimate_cost(DataSet((cell,), energies), settings)
    descriptors = [_scaled(item, configurations, settings) for item in one.descriptors]
    columns = sum(item.sparse_points for item in descriptors)
    rows = configurations * one.targets.total
    held = sum(item.components * (item.instances + item.derivatives) for item in descriptors)
    building = held + columns * rows
    solving = 2 * columns * rows + columns**2 + 2 * columns * (rows + columns)
    derivatives = sum(item.components * item.derivatives for item in descriptors)
    covariances = sum(item.components * item.derivatives * item.sparse_points for item in descriptors)
    return FitEstimate(
        configurations=configurations,
        memory_bytes=float(BYTES_PER_REAL * max(building, solving)),
        time_s=derivatives * SECONDS_PER_DESCRIPTOR_DERIVATIVE
        + covariances * SECONDS_PER_COVARIANCE_TERM
        + (rows + columns) * columns**2 * SECONDS_PER_FACTORISATION_TERM,
        model_bytes=float(TEXT_BYTES_PER_REAL * sum(item.components * item.sparse_points for item in descriptors)),
        columns=columns,
    )


def native_estimate(by_gap_fit: FitEstimate, atoms: int, *, grown: bool = False) -> FitEstimate:
    """Return what the native fitter takes for what gap_fit would take so much: rows stream, the triangle stays.

    ``atoms``: of a cell. ``grown``: whether the sparse points are as many as a campaign's last fit may have.
    """

    from .native.sparse_fit.fit_inputs import FitResources
    from .native.sparse_fit.posterior_size import posterior_bytes

    growth = LARGEST_GROWTH if grown else 1.0
    columns = math.ceil(growth * by_gap_fit.columns)
    rows = by_gap_fit.configurations * (3 * atoms + 7)
    reals = NATIVE_TRIANGLES * columns**2 + NATIVE_BLOCK_ROWS * columns
    return replace(
        by_gap_fit,
        columns=columns,
        model_bytes=growth * by_gap_fit.model_bytes + posterior_bytes(columns),
        memory_bytes=NATIVE_BASE_BYTES + float(BYTES_PER_REAL * reals),
        time_s=NATIVE_BASE_S + by_gap_fit.time_s / NATIVE_TIMES_FASTER,
        cache_bytes=min(float(BYTES_PER_REAL * rows * columns), 1e6 * FitResources().cache_limit_MB),
    )


def _scaled(item: DescriptorCount, factor: int, settings: GapSettings) -> DescriptorCount:
    instances = factor * item.instances
    parts = {"pair": settings.two_body, "triplet": settings.three_body}
    wanted = (parts.get(item.name.partition(" ")[0]) or settings.soap).sparse_points
    derivatives = factor * item.derivatives
    return replace(item, instances=instances, derivatives=derivatives, sparse_points=min(wanted, instances))
