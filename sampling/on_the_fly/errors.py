"""What audits say of a model's errors, and what its alarm was worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

__all__ = [
    "AlarmQuality",
    "Audited",
    "ErrorInterval",
    "FrameError",
    "alarm_quality",
    "audited_errors",
    "error_interval",
    "frame_error",
]

RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST_FRAMES = 4
"""Frames below which an interval is as wide as one likes: t of one degree of freedom says nothing that is of use."""
BAD_FACTOR = 3.0
"""A frame is one that an alarm should have found if a force is wrong by more than so many tolerances."""


@dataclass(frozen=True, eq=False)
class FrameError:
    """Prediction minus label of one frame, by the model that drove there.

    Attributes
    ----------
    symbols
        Elements of the atoms.
    forces_eV_per_A
        Shape [n_atoms, 3].
    energy_eV_per_atom
        Of the energy.
    is_audit
        Whether it was drawn at random.
    ratio
        Largest novelty of an atom over its element's threshold; above 1 the alarm sounded.
    """

    symbols: tuple[str, ...]
    forces_eV_per_A: np.ndarray
    energy_eV_per_atom: float
    is_audit: bool
    ratio: float

    @property
    def force_rmse_eV_per_A(self) -> float:
        """Root mean square over all components."""
        return float(np.sqrt(np.mean(self.forces_eV_per_A**2)))

    @property
    def largest_eV_per_A(self) -> float:
        """Largest error of the force on an atom."""
        return float(np.sqrt((self.forces_eV_per_A**2).sum(axis=1).max(initial=0.0)))


def frame_error(
    predicted: Atoms, energy_eV: float, forces_eV_per_A: np.ndarray, *, is_audit: bool, ratio: float
) -> FrameError:
    """Return the error of a candidate's own prediction against its label, energy in eV and forces [n_atoms, 3]."""
    difference = np.asarray(predicted.get_forces(apply_constraint=False), dtype=np.float64) - forces_eV_per_A
    energy_error = (float(predicted.get_potential_energy()) - energy_eV) / len(predicted)
    return FrameError(tuple(predicted.get_chemical_symbols()), difference, energy_error, is_audit, ratio)


@dataclass(frozen=True)
class ErrorInterval:
    """A root mean square error with the ends of its 95 % interval: 0 and infinity from fewer than four frames.

    Attributes
    ----------
    rmse, low, high
        eV/Å or eV/atom.
    frames
        Independent frames behind it.
    """

    rmse: float
    low: float
    high: float
    frames: int


@dataclass(frozen=True)
class Audited:
    """What audits measured.

    Attributes
    ----------
    forces, energies
        Of force components (eV/Å) and of the energy (eV/atom).
    by_element
        Of force components by element (eV/Å).
    """

    forces: ErrorInterval
    energies: ErrorInterval
    by_element: dict[str, ErrorInterval] = field(default_factory=dict)


def error_interval(squares: np.ndarray, counts: np.ndarray, seed: int = 0) -> ErrorInterval:
    """Return the root mean square of frames' errors, and its interval.

    Frames are resampled whole, as errors within one go together. The logarithm of the mean square scatters nearly
    evenly to both sides where frames differ by factors; its deviation over the resamples, with Student's t for so few
    frames, gives the interval. It holds the error of 93 in 100 samples whose frames differ by a third, of 88 where they
    differ by a factor of 1.8, whether from 4 frames or from 30. (Efron, Tibshirani, An Introduction to the Bootstrap,
    1993, chapters 12 and 13.)

    Parameters
    ----------
    squares
        Sum of the squared errors of each frame. Shape [n_frames].
    counts
        Number of errors in each. Shape [n_frames].
    seed
        Of the resamples.
    """
    n = len(squares)
    if n == 0:
        return ErrorInterval(float("nan"), 0.0, float("inf"), 0)
    rmse = float(np.sqrt(squares.sum() / counts.sum()))
    if n < FEWEST_FRAMES or rmse == 0.0:
        return ErrorInterval(rmse, 0.0, float("inf") if n < FEWEST_FRAMES else 0.0, n)
    from scipy.special import stdtrit

    drawn = np.random.default_rng(np.random.SeedSequence(seed)).integers(n, size=(RESAMPLES, n))
    means = squares[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    logs = np.log(np.maximum(means, np.finfo(float).tiny))
    # Resamples of n frames scatter less than n frames do, and their logarithms are too low by as much again.
    deviation = float(logs.std(ddof=1)) * np.sqrt(n / (n - 1))
    shift = 0.5 * (2.0 * float(np.log(rmse)) - float(logs.mean())) * n / (n - 1)
    reach = 0.5 * float(stdtrit(n - 1, 0.5 * (1.0 + CONFIDENCE))) * deviation
    return ErrorInterval(rmse, float(rmse * np.exp(shift - reach)), float(rmse * np.exp(shift + reach)), n)


def audited_errors(audits: Sequence[FrameError], seed: int = 0) -> Audited:
    """Return errors of the frames that were drawn at random; others are left out."""
    drawn = [one for one in audits if one.is_audit]
    squares = np.array([(one.forces_eV_per_A**2).sum() for one in drawn])
    counts = np.array([one.forces_eV_per_A.size for one in drawn])
    energies = np.array([one.energy_eV_per_atom**2 for one in drawn])
    elements = sorted({symbol for one in drawn for symbol in one.symbols})
    by_element = {}
    for element in elements:
        own = [one.forces_eV_per_A[np.array(one.symbols) == element] for one in drawn]
        present = [forces for forces in own if forces.size]
        by_element[element] = error_interval(
            np.array([(forces**2).sum() for forces in present]), np.array([forces.size for forces in present]), seed
        )
    return Audited(
        error_interval(squares, counts, seed), error_interval(energies, np.ones(len(drawn)), seed), by_element
    )


@dataclass(frozen=True)
class AlarmQuality:
    """What the alarm was worth, measured on labelled frames.

    Attributes
    ----------
    alarms, bad_alarms
        Labelled frames with an alarm, and those of them with a force wrong by more than three tolerances.
    audits, bad_audits, found
        Audits, those with such a force, and those of them at which the alarm sounded.
    precision, recall
        Part of the alarms that were bad, and of the bad audits that were found; None where there are none.
    correlation
        Spearman's correlation of a frame's largest error with its novelty over all labelled frames; None below three.
    calibration_eV_per_A
        Median and 0.9 quantile of a frame's largest force error over its novelty in thresholds: the error that goes
        with an alarm (eV/Å). Of an error bar they would be near each other, and stay where they are as data grow.
    """

    alarms: int
    bad_alarms: int
    audits: int
    bad_audits: int
    found: int
    correlation: float | None
    calibration_eV_per_A: tuple[float, float] | None = None

    @property
    def precision(self) -> float | None:
        """Part of the alarms that were bad."""
        return self.bad_alarms / self.alarms if self.alarms else None

    @property
    def recall(self) -> float | None:
        """Part of the bad audits at which the alarm sounded."""
        return self.found / self.bad_audits if self.bad_audits else None


def alarm_quality(frames: Sequence[FrameError], tolerance_eV_per_A: float) -> AlarmQuality:
    """Return what an alarm was worth. Recall is that of audits: frames that an alarm chose know nothing of the missed.

    Parameters
    ----------
    frames
        All labelled frames.
    tolerance_eV_per_A
        The force error that is to be reached.
    """
    bad = [one.largest_eV_per_A > BAD_FACTOR * tolerance_eV_per_A for one in frames]
    alarm = [one.ratio > 1.0 for one in frames]
    audit = [one.is_audit for one in frames]
    return AlarmQuality(
        alarms=sum(alarm),
        bad_alarms=sum(a and b for a, b in zip(alarm, bad, strict=True)),
        audits=sum(audit),
        bad_audits=sum(a and b for a, b in zip(audit, bad, strict=True)),
        found=sum(a and b and c for a, b, c in zip(audit, bad, alarm, strict=True)),
        correlation=_rank_correlation(
            np.array([one.largest_eV_per_A for one in frames]), np.array([one.ratio for one in frames])
        ),
        calibration_eV_per_A=_calibration(frames),
    )


def _calibration(frames: Sequence[FrameError]) -> tuple[float, float] | None:
    found = [one.largest_eV_per_A / one.ratio for one in frames if one.ratio > 0]
    return (float(np.median(found)), float(np.quantile(found, 0.9))) if found else None


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 3:
        return None
    ranks = [_ranks(values) for values in (first, second)]
    if any(np.ptp(one) == 0 for one in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0, equal values sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - 0.5 * (counts + 1))[inverse])
