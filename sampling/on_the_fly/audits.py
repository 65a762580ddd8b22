"""When frames are labelled without an alarm: at random times, which nothing but the seed decides.

A frame that was chosen by its novelty, or by an error that somebody expects, says nothing of the errors of others.
Times of a Poisson process do: what is measured at them has the distribution of the trajectory.
"""

from __future__ import annotations

import math

import numpy as np

from .settings import OnTheFlySettings

__all__ = ["audit_steps", "audit_times_ps"]


def audit_times_ps(seed: int, from_ps: float, to_ps: float, every_ps: float, first_length_ps: float) -> list[float]:
    """Return the times of audits in a window, of a Poisson process on the simulated time of all walkers together.

    Its rate is 1 / ``every_ps`` within ``first_length_ps`` and falls as 1 / t from there: by half with every doubling.
    Windows that share a bound share no time, and together have those of the whole.

    Parameters
    ----------
    seed
        ≥ 0; of the whole process.
    from_ps, to_ps
        The window, its end not included (ps).
    every_ps, first_length_ps
        Mean distance at first, and how long that holds (ps).
    """
    random = np.random.default_rng(np.random.SeedSequence(seed))
    first = first_length_ps / every_ps
    end = _events_until(to_ps, every_ps, first_length_ps)
    found: list[float] = []
    events = float(random.exponential())
    while events < end:
        grows = events > first
        time_ps = first_length_ps * math.exp((events - first) / first) if grows else events * every_ps
        if from_ps <= time_ps < to_ps:
            found.append(time_ps)
        events += float(random.exponential())
    return found


def _events_until(time_ps: float, every_ps: float, first_length_ps: float) -> float:
    """Return how many are expected until a time."""
    if time_ps <= first_length_ps:
        return time_ps / every_ps
    return first_length_ps / every_ps * (1.0 + math.log(time_ps / first_length_ps))


def audit_steps(settings: OnTheFlySettings, seed: int, leg: int, walker: int) -> tuple[int, ...]:
    """Return the steps within a walker's leg after which its frame is an audit: ends of blocks of ``write_every``.

    Parameters
    ----------
    settings
        Of the sampler.
    seed
        Of all audits of all walkers.
    leg
        Which leg of the walker, from 0, counted over all generations.
    walker
        Which one, from 0. Legs of one number follow each other in the time that all walkers share.
    """
    length_ps = settings.leg_length_ps
    begin_ps = (leg * settings.walkers + walker) * length_ps
    first_ps = settings.walkers * settings.length_ps
    times_ps = audit_times_ps(seed, begin_ps, begin_ps + length_ps, settings.audit_every_ps, first_ps)
    block_ps = settings.write_every * settings.timestep_fs / 1000.0
    blocks = {
        min(math.floor((time_ps - begin_ps) / block_ps) + 1, settings.leg_steps // settings.write_every)
        for time_ps in times_ps
    }
    return tuple(sorted(block * settings.write_every for block in blocks))
