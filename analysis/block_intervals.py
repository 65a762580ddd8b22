"""95 % intervals of curves, from blocks of consecutive frames, where these are independent enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..core.arrays import FloatArray
from .distributions import student_quantile

FEWEST_BLOCKS = 5
"""Below this an interval of blocks says little."""
MOST_CORRELATION = 0.3
"""Correlation of a block with the next, above what independent ones show, up to which an interval allows for it."""
_ROUNDING = 1e-12

Block = TypeVar("Block")


@dataclass(frozen=True)
class Interval:
    """Half of a 95 % interval at every place of a curve, or why there is none.

    Attributes
    ----------
    half_width
        Of the curve's shape; None without an interval.
    blocks
        How many it comes from.
    reason
        Why there is none; empty if there is one.
    """

    half_width: FloatArray | None
    blocks: int = 0
    reason: str = ""


def neighbour_correlation(values: FloatArray, runs: Sequence[int]) -> float:
    """Return the correlation of blocks with the next of the same run, corrected for the mean that they share.

    Places of the curve count by their variance. That of independent blocks is 0 on average.

    Parameters
    ----------
    values
        Shape [n_blocks, ...].
    runs
        Trajectory that each block is of.
    """
    flat = values.reshape(len(values), -1)
    deviations = flat - flat.mean(axis=0)
    variance = float((deviations**2).mean())
    following = [place for place in range(1, len(runs)) if runs[place] == runs[place - 1]]
    if variance <= (_ROUNDING * float(np.abs(flat).max())) ** 2 or not following:
        return 0.0
    together = float(np.mean([(deviations[place] * deviations[place - 1]).mean() for place in following]))
    return together / variance + 1.0 / len(values)


def interval(
    blocks: Sequence[Block],
    runs: Sequence[int],
    merge: Callable[[Block, Block], Block],
    curve: Callable[[Block], FloatArray],
) -> Interval:
    """Return the 95 % interval of a curve: blocks are merged in pairs until neighbours are independent enough.

    What correlation ρ is left makes it √((1 + ρ)/(1 - ρ)) times as wide.

    Parameters
    ----------
    blocks, runs
        Blocks of about equal length, and the trajectory that each is of.
    merge
        Returns two blocks as one.
    curve
        Returns the curve of a block.
    """
    if len(blocks) < FEWEST_BLOCKS:
        frames = "is one frame" if len(blocks) == 1 else f"are {len(blocks)} blocks of frames"
        return Interval(None, len(blocks), f"there {frames}, and {FEWEST_BLOCKS} or more are needed")
    kept, of_run = list(blocks), list(runs)
    while len(kept) >= FEWEST_BLOCKS:
        values = np.array([curve(block) for block in kept])
        correlation = neighbour_correlation(values, of_run)
        if correlation <= MOST_CORRELATION:
            # What is left makes the mean scatter more: blocks of a process with one decay time.
            factor = np.sqrt((1.0 + max(0.0, correlation)) / (1.0 - max(0.0, correlation)))
            spread = factor * values.std(axis=0, ddof=1) / np.sqrt(len(kept))
            return Interval(student_quantile(0.975, len(kept) - 1) * spread, len(kept))
        kept, of_run = _in_pairs(kept, of_run, merge)
    return Interval(None, 0, "frames are not independent: blocks of them go on from each other; longer runs are needed")


def _in_pairs(
    blocks: Sequence[Block], runs: Sequence[int], merge: Callable[[Block, Block], Block]
) -> tuple[list[Block], list[int]]:
    """Return blocks of double length; one that is left over at the end of a run goes to the last of it."""
    merged: list[Block] = []
    of_run: list[int] = []
    place = 0
    while place < len(blocks):
        alone = place + 1 == len(blocks) or runs[place + 1] != runs[place]
        if alone and of_run and of_run[-1] == runs[place]:
            merged[-1] = merge(merged[-1], blocks[place])
        else:
            merged.append(blocks[place] if alone else merge(blocks[place], blocks[place + 1]))
            of_run.append(runs[place])
        place += 1 if alone else 2
    return merged, of_run
