"""Distributions of bond angles: a triplet is a centre and two of its neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arrays import FloatArray
from ...fitting.compiler import numba
from .bonds import bonds_in
from .frames import StructureFrames


@dataclass(frozen=True)
class AngleDistribution:
    """Angles of one kind.

    Attributes
    ----------
    name
        Such as ``S-P-S``, the centre between.
    angles_degrees
        Middles of the bins, shape [bins].
    per_degree
        Probability density, whose integral over degrees is 1, shape [bins]; 0 everywhere without any angle.
    angles
        How many were seen.
    mean_degrees, spread_degrees
        Their mean and standard deviation; None without any.
    """

    name: str
    angles_degrees: FloatArray
    per_degree: FloatArray
    angles: int
    mean_degrees: float | None
    spread_degrees: float | None

    @property
    def peak_degrees(self) -> float | None:
        """Where the distribution is largest; None without any angle."""
        return float(self.angles_degrees[np.argmax(self.per_degree)]) if self.angles else None


def angle_distributions(
    runs: Sequence[StructureFrames],
    triplets: Sequence[str],
    cutoffs_A: Mapping[str, float],
    step_degrees: float,
) -> tuple[AngleDistribution, ...]:
    """Return the distribution of each triplet, over all frames.

    Parameters
    ----------
    triplets
        Such as ``S-P-S``, the centre between.
    cutoffs_A
        Distances up to which two atoms are neighbours, by pair; pairs that are not there are none.
    """
    bins = round(180.0 / step_degrees)
    counts = {triplet: np.zeros(bins) for triplet in triplets}
    moments = {triplet: np.zeros(2) for triplet in triplets}
    for run, frame in [(each, frame) for each in runs for frame in range(each.n_frames)] if triplets else ():
        species = list(run.species)
        found = bonds_in(run, frame, cutoffs_A)
        for triplet in triplets:
            first, centre, last = (species.index(symbol) for symbol in triplet.split("-"))
            _count(
                found.starts,
                found.second,
                found.vectors,
                found.distances,
                run.species_of_atoms,
                first,
                centre,
                last,
                counts[triplet],
                moments[triplet],
            )
    return tuple(_distribution(triplet, counts[triplet], moments[triplet]) for triplet in triplets)


def _distribution(name: str, counts: FloatArray, moments: FloatArray) -> AngleDistribution:
    step = 180.0 / len(counts)
    middles: FloatArray = (np.arange(float(len(counts))) + 0.5) * step
    number = int(counts.sum())
    if not number:
        return AngleDistribution(name, middles, counts, 0, None, None)
    mean = float(moments[0] / number)
    spread = float(np.sqrt(max(0.0, moments[1] / number - mean**2)))
    return AngleDistribution(name, middles, counts / (number * step), number, mean, spread)


@numba.njit(cache=True, nogil=True)
def _count(
    starts: Any,
    second: Any,
    vectors: Any,
    distances: Any,
    species: Any,
    first: int,
    centre: int,
    last: int,
    counts: Any,
    moments: Any,
) -> None:
    bins = len(counts)
    for atom in range(len(species)):
        if species[atom] != centre:
            continue
        for one in range(starts[atom], starts[atom + 1]):
            if species[second[one]] != first:
                continue
            for other in range(starts[atom], starts[atom + 1]):
                if species[second[other]] != last or other == one or (first == last and other < one):
                    continue
                dot = 0.0
                for axis in range(3):
                    dot += vectors[one, axis] * vectors[other, axis]
                cosine = min(1.0, max(-1.0, dot / (distances[one] * distances[other])))
                degrees = math.degrees(math.acos(cosine))
                counts[min(bins - 1, int(degrees / 180.0 * bins))] += 1.0
                moments[0] += degrees
                moments[1] += degrees * degrees
