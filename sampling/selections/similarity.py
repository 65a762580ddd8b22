"""Frames with an environment that resembles none in the training set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ...core.citations import Citation
from ..soap import SoapDescriptor, fingerprint_of, kernel, species_of
from .base import Choice, DescriptorSelectionSettings, SelectionRequest
from .fingerprints import most_central

# Similarities above this differ from that of a structure to itself by rounding only.
MOST_SIMILAR = 1.0 - 1e-9


class SimilaritySelection(DescriptorSelectionSettings):
    """Frames with an environment that resembles none in the training set."""

    method: Literal["similarity"] = Field(
        default="similarity", description="Frames holding an atom whose SOAP similarity is below threshold."
    )
    threshold: float = Field(
        default=0.95,
        gt=0,
        le=MOST_SIMILAR,
        description="A frame is new if the best similarity k = (p·p')^zeta of one of its atoms to all known"
        " atoms of that species is below this (number)",
    )


class Similarity:
    """Frames with the least familiar atom, while that atom is below the threshold.

    The score of a frame is min_i max_t k(i, t): i over its atoms, t over all known atoms of the species of i
    (Timmermann et al., J. Chem. Phys. 2021, 155, 244107, 10.1063/5.0071249). Each chosen frame becomes known
    before the next is looked for, so that at the end no candidate below the threshold is left out, unless
    ``count`` is reached.
    """

    name = "similarity"
    rank = 30.0
    settings_type = SimilaritySelection
    needs_variance = False
    citations = (
        Citation(
            "Selection by similarity",
            "J. Timmermann et al., J. Chem. Phys. 2021, 155, 244107",
            "10.1063/5.0071249",
        ),
    )

    def methods(self, settings: SimilaritySelection) -> str:
        """Return how frames were chosen."""
        return f"where an atom's SOAP similarity to all known ones was below {settings.threshold:g}"

    def choose(self, request: SelectionRequest[SimilaritySelection]) -> Choice:
        """Choose, one after the other, the frame with the least familiar atom."""
        frames, settings = request.frames, request.settings
        descriptor = SoapDescriptor(species_of([*frames, *request.existing]), settings.descriptor)
        vectors = [descriptor.vectors(atoms) for atoms in frames]
        pool = _Familiarity(vectors, descriptor.species, settings.descriptor.zeta)
        for atoms in request.existing:
            pool.learn(descriptor.vectors(atoms))
        chosen: list[int] = []
        scores: list[float] = []
        while len(chosen) < min(settings.count, len(frames)):
            familiarity = pool.scores()
            familiarity[chosen] = np.inf
            least = int(np.argmin(familiarity))
            if not request.existing and not chosen:
                # Everything is equally new: begin where farthest-point sampling does.
                least = most_central(np.array([fingerprint_of(vector) for vector in vectors]))
            if familiarity[least] >= settings.threshold:
                why = f"the others are more similar to known frames than the threshold, {settings.threshold:g}"
                return Choice(chosen, scores, why)
            chosen.append(least)
            scores.append(float(familiarity[least]))
            pool.learn(vectors[least])
        return Choice(chosen, scores)


class _Familiarity:
    """For each atom of each candidate, the similarity of the known atom that resembles it most."""

    def __init__(self, vectors: list[dict[str, np.ndarray]], species: Sequence[str], zeta: int) -> None:
        self.n_frames = len(vectors)
        self.zeta = zeta
        self.rows = {symbol: np.concatenate([frame[symbol] for frame in vectors]) for symbol in species}
        self.frame_of = {
            symbol: np.repeat(np.arange(len(vectors)), [len(frame[symbol]) for frame in vectors]) for symbol in species
        }
        self.best = {symbol: np.zeros(len(rows)) for symbol, rows in self.rows.items()}

    def learn(self, known: dict[str, np.ndarray]) -> None:
        """Take the atoms of one structure into what is known."""
        for symbol, rows in known.items():
            if len(rows) and len(self.rows[symbol]):
                similarity = kernel(self.rows[symbol], rows, self.zeta).max(axis=1)
                self.best[symbol] = np.maximum(self.best[symbol], similarity)

    def scores(self) -> np.ndarray:
        """Return min_i max_t k(i, t) of each candidate, [n_frames]."""
        scores = np.full(self.n_frames, np.inf)
        for symbol, best in self.best.items():
            np.minimum.at(scores, self.frame_of[symbol], best)
        return scores


SIMILARITY = Similarity()
