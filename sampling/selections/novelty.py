"""Frames with environments that are new by a threshold of the data's own, with caps by composition and anion."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from pydantic import Field

from ...core.citations import Citation
from ...core.formulas import composition_of
from ..descriptor_settings import DescriptorSettings
from ..networks.settings import NetworkSettings
from ..soap import species_of
from .base import Choice, DescriptorSelectionSettings, SelectionRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...fitting.online.novelty import Environments, NoveltyKernel, Remaining
    from ...fitting.settings import GapSettings

NOT_NEW: Final = 1e-3
"""Novelty below which an environment of the training set makes no further point."""


class NoveltySelection(DescriptorSelectionSettings):
    """Frames that hold an environment which the training set does not know."""

    method: Literal["novelty"] = Field(
        "novelty",
        description="Frames with an environment that is newer, by its element, than those of the training set are to "
        "each other; with caps by composition and anion, and some frames at random.",
    )
    points: int = Field(
        300, ge=2, le=20_000, description="Environments of the training set that are compared with, by element (number)"
    )
    most_of_a_kind: int | None = Field(
        None,
        ge=1,
        description="Frames of one composition whose newest environment is in one kind of anion, at most; nothing: as "
        "many as there are (number)",
    )
    random_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Part of the frames that is drawn at random, whatever they hold: what the model errs there is what "
        "it errs (no unit)",
    )
    network: NetworkSettings = Field(
        default_factory=NetworkSettings, description="Anions that kinds are told by: centres and ligands"
    )


class Novelty:
    """By novelty over a threshold that the training set sets itself, element by element.

    The novelty of an environment is what a Gaussian process of the training set's environments leaves of the prior; the
    threshold is the 0.999 quantile of the novelty of each training structure to all the others, times 1.2
    (`ionloop.fitting.online.novelty`). A score is the largest novelty over its threshold when the frame was chosen.
    """

    name = "novelty"
    rank = 15.0
    settings_type = NoveltySelection
    needs_variance = False
    citations = (
        Citation(
            "Selection by thresholds of similarity",
            "J. Timmermann, Y. Lee, C. G. Staacke, J. T. Margraf, C. Scheurer, K. Reuter, J. Chem. Phys. 2021, 155, "
            "244107",
            "10.1063/5.0071249",
        ),
    )

    def methods(self, settings: NoveltySelection) -> str:
        """Return how frames were chosen."""
        cap = (
            ""
            if settings.most_of_a_kind is None
            else f", at most {settings.most_of_a_kind} of one composition and anion"
        )
        return (
            "by the novelty of their environments, above the 0.999 quantile of what training structures are to each "
            f"other{cap}, and {100 * settings.random_share:g} % of them at random"
        )

    def choose(self, request: SelectionRequest[NoveltySelection]) -> Choice:
        """Choose frames that are new, and some at random."""
        from ...fitting.online.novelty import environments_of, thresholds_of

        settings, frames = request.settings, request.frames
        n_random = min(math.ceil(settings.random_share * settings.count), settings.count)
        kernel = known_environments(request.existing, species_of([*frames, *request.existing]), settings)
        thresholds = thresholds_of(kernel, request.existing) if request.existing else {}
        chosen, scores, why = _novel(kernel, thresholds, environments_of(kernel.descriptors, frames), request, n_random)
        random = np.random.default_rng(np.random.SeedSequence(request.seed))
        rest = [index for index in random.permutation(len(frames)).tolist() if index not in chosen][:n_random]
        return Choice([*chosen, *rest], [*scores, *([0.0] * len(rest))], why)


def known_environments(existing: Sequence[Atoms], elements: Sequence[str], settings: NoveltySelection) -> NoveltyKernel:
    """Return the kernel of the environments that stand for a training set, chosen by pivoted Cholesky."""
    from ...fitting.native.sparse_fit.design import Descriptors
    from ...fitting.native.sparse_fit.sparse_points import SparseLayer, SparsePoints
    from ...fitting.online.novelty import NoveltyKernel, environments_of, novel_points

    descriptors = Descriptors.of(elements, _as_of_a_fit(settings.descriptor))
    nothing = NoveltyKernel(descriptors, SparsePoints(()))
    if not existing:
        return nothing
    found = environments_of(descriptors, existing)
    limits = dict.fromkeys(elements, NOT_NEW)
    points, _, _ = novel_points(nothing, found, limits, dict.fromkeys(found.descriptors, settings.points))
    return NoveltyKernel(descriptors, SparsePoints((SparseLayer(points),)))


def _as_of_a_fit(descriptor: DescriptorSettings) -> GapSettings:
    from ...fitting.settings import GapSettings, SoapSettings

    return GapSettings(soap=SoapSettings(**descriptor.model_dump()))


def _novel(
    kernel: NoveltyKernel,
    thresholds: Mapping[str, float],
    found: Environments,
    request: SelectionRequest[NoveltySelection],
    n_random: int,
) -> tuple[list[int], list[float], str]:
    """Return frames by what is newest in them, each in the knowledge of those before, their scores, and why no more."""
    from ...fitting.online.novelty import FIRST_THRESHOLD, Remaining, take_structure
    from ..networks.species import anions_of

    settings, frames = request.settings, request.frames
    left = {number: Remaining(kernel, number, own) for number, own in found.descriptors.items()}
    limits = {number: thresholds.get(chemical_symbols[number], FIRST_THRESHOLD) for number in left}
    wanted = settings.count - n_random
    chosen: list[int] = []
    scores: list[float] = []
    kinds: Counter[tuple[str, str]] = Counter()
    anions: dict[int, NDArray[np.str_]] = {}
    capped: set[int] = set()
    while len(chosen) < min(wanted, len(frames)):
        ratio, frame, atom = _newest(left, limits, found, {*chosen, *capped})
        if ratio <= 1.0:
            break
        if settings.most_of_a_kind is not None:
            if frame not in anions:
                anions[frame] = anions_of(frames[frame], settings.network)
            kind = composition_of(frames[frame]), str(anions[frame][atom])
            if kinds[kind] >= settings.most_of_a_kind:
                capped.add(frame)
                continue
            kinds[kind] += 1
        chosen.append(frame)
        scores.append(ratio)
        take_structure(left, limits, found, frame)
    why = "" if len(chosen) == wanted else "no other frame has an environment that is new"
    if capped and why:
        why = f"{len(capped)} frames are new, but of compositions and anions that have most_of_a_kind; {why}"
    return chosen, scores, why


def _newest(
    left: Mapping[int, Remaining], limits: Mapping[int, float], found: Environments, without: set[int]
) -> tuple[float, int, int]:
    """Return the largest novelty over its limit, its frame and its atom there; 0 where no frame is left."""
    best = (0.0, -1, -1)
    for number, remaining in left.items():
        ratios = remaining.novelty / limits[number]
        ratios[np.isin(found.structures[number], list(without))] = 0.0
        place = int(np.argmax(ratios))
        if ratios[place] > best[0]:
            best = (float(ratios[place]), int(found.structures[number][place]), int(found.atoms[number][place]))
    return best


NOVELTY = Novelty()
