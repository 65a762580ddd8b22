"""Which of the frames that raised an alarm are labelled: each brings what those before it do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

if TYPE_CHECKING:
    from ...fitting.online.novelty import NoveltyKernel


__all__ = ["thinned_frames"]


def thinned_frames(
    kernel: NoveltyKernel,
    thresholds: Mapping[str, float],
    frames: Sequence[Atoms],
    most: int,
    asked: Sequence[Atoms] = (),
) -> list[int]:
    """Return the indices of frames to label, in the order of their choice.

    By pivoted Cholesky on the novelty: the frame with the largest novelty of an atom over its element's threshold is
    taken, all its environments become known, and so on, until no alarm is left.

    Parameters
    ----------
    kernel
        Of the model's sparse points.
    thresholds
        By element (symbol).
    frames
        Candidates.
    most
        How many at most.
    asked
        Frames whose labels were asked for before and are not in the model yet: they are known already.
    """

    from ...fitting.online.novelty import Remaining, environments_of, take_structure

    if not frames or most < 1:
        return []
    all_frames = [*asked, *frames]
    found = environments_of(kernel.descriptors, all_frames)
    left = {number: Remaining(kernel, number, own) for number, own in found.descriptors.items()}
    limits = {number: thresholds[chemical_symbols[number]] for number in found.descriptors}

    for frame in range(len(asked)):
        take_structure(left, limits, found, frame)
    chosen: list[int] = []
    while len(chosen) < most:
        ratios = np.zeros(len(all_frames))
        for number, remaining in left.items():
            np.maximum.at(ratios, found.structures[number], remaining.novelty / limits[number])
        ratios[: len(asked)] = 0.0
        best = int(np.argmax(ratios))
        if ratios[best] <= 1.0:
            break
        take_structure(left, limits, found, best)
        chosen.append(best - len(asked))
    return chosen
