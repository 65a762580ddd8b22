"""Choosing which sampled frames are worth a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from scipy.linalg import eigh

from ..core.errors import InputError
from .soap import DescriptorSettings, SoapDescriptor, fingerprint_of, kernel, species_of

__all__ = [
    "SELECTION_METHODS",
    "CurSelection",
    "FarthestPointSelection",
    "RandomSelection",
    "SelectionMethod",
    "SelectionOutcome",
    "SelectionSettings",
    "SimilaritySelection",
    "StrideSelection",
    "VarianceSelection",
    "select",
]

SelectionMethod = Literal["farthest-point", "variance", "similarity", "cur", "stride", "random"]
SELECTION_METHODS: tuple[SelectionMethod, ...] = get_args(SelectionMethod)
DEFAULT_METHOD: SelectionMethod = "farthest-point"

# Two fingerprints this close belong to the same structure: displacing the atoms of a 42-atom cell by 1e-5 Å
# already changes more, while translating, rotating or permuting them changes less than 1e-12.
SAME_STRUCTURE = 1e-6
# Similarities above this differ from that of a structure to itself by rounding only.
MOST_SIMILAR = 1.0 - 1e-9
# Directions weaker than this (relative to the strongest) are rounding errors of the fingerprints.
RELATIVE_RANK = 1e-8


class _Selection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(default=40, ge=1, description="Largest number of frames to select; no unit.")


class StrideSelection(_Selection):
    """Every n-th frame, in the order of the candidates."""

    method: Literal["stride"] = Field(default="stride", description="Every n-th frame.")
    stride: int | None = Field(
        default=None,
        ge=1,
        description="Take every n-th frame; left out, count frames are spread evenly over all; no unit.",
    )


class RandomSelection(_Selection):
    """A uniform random choice: the baseline that every other method must beat."""

    method: Literal["random"] = Field(default="random", description="A uniform random choice.")


class _DescriptorSelection(_Selection):
    descriptor: DescriptorSettings = Field(
        default_factory=DescriptorSettings, description="SOAP descriptor by which frames are compared."
    )


class FarthestPointSelection(_DescriptorSelection):
    """Greedily the frame farthest from everything known so far."""

    method: Literal["farthest-point"] = Field(
        default="farthest-point", description="Farthest-point sampling on SOAP fingerprints."
    )


class SimilaritySelection(_DescriptorSelection):
    """Frames with an environment that resembles none in the training set."""

    method: Literal["similarity"] = Field(
        default="similarity", description="Frames holding an atom whose SOAP similarity is below threshold."
    )
    threshold: float = Field(
        default=0.95,
        gt=0,
        le=MOST_SIMILAR,
        description="A frame is new if the best similarity k = (p·p')^zeta of one of its atoms to all known"
        " atoms of that species is below this; no unit.",
    )


class VarianceSelection(_DescriptorSelection):
    """The frames that the driving model is least sure of, spread out among themselves."""

    method: Literal["variance"] = Field(
        default="variance", description="Frames with the largest predicted variance of an atom's energy."
    )
    pool: int = Field(
        default=3,
        ge=1,
        description="The most uncertain frames, pool times count of them, are thinned to count by"
        " farthest-point sampling, because neighbouring frames are alike; 1 takes the most uncertain ones; no unit.",
    )


class CurSelection(_DescriptorSelection):
    """Frames of the highest leverage in the space of fingerprints."""

    method: Literal["cur"] = Field(default="cur", description="CUR leverage scores on SOAP fingerprints.")


def _method_of(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("method", DEFAULT_METHOD))
    return str(getattr(value, "method", DEFAULT_METHOD))


SelectionSettings = Annotated[
    Annotated[FarthestPointSelection, Tag("farthest-point")]
    | Annotated[VarianceSelection, Tag("variance")]
    | Annotated[SimilaritySelection, Tag("similarity")]
    | Annotated[CurSelection, Tag("cur")]
    | Annotated[StrideSelection, Tag("stride")]
    | Annotated[RandomSelection, Tag("random")],
    Discriminator(_method_of),
]
"""What the campaign file's ``selection`` holds; ``method`` chooses the model (farthest-point if left out)."""


@dataclass(frozen=True)
class SelectionOutcome:
    """Which candidates were chosen.

    Attributes
    ----------
    indices
        Positions in the sequence of candidates, the most wanted first.
    scores
        One per index. farthest-point: distance to the nearest known fingerprint when it was chosen, or
        sqrt(2), the largest there can be, where none was known. similarity: min_i max_t k(i, t) then.
        cur: leverage then. stride and random: 1.
    reason
        Why there are fewer than ``count``; empty if there are not.
    """

    indices: tuple[int, ...]
    scores: tuple[float, ...]
    reason: str = ""


# Positions among the new and distinct candidates with their scores, and why there are no more.
_Choice = tuple[list[int], list[float], str]


def select(
    candidates: Sequence[Atoms],
    existing: Sequence[Atoms],
    settings: SelectionSettings,
    seed: int,
    uncertainties: Sequence[float] | None = None,
) -> SelectionOutcome:
    """Choose at most ``settings.count`` candidates; never two alike, nor one that is already in ``existing``.

    Deterministic for a given input; only the random method draws from ``seed``. The methods on fingerprints
    do not depend on the order of the candidates, except where two scores are equal: the earlier wins.

    Parameters
    ----------
    uncertainties
        One number per candidate, the larger the less the model knows; the method ``variance`` needs them.

    Raises
    ------
    InputError
        If the seed is negative, a structure has no atoms, or uncertainties are needed and not there.
    """
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, not {seed}")
    if any(len(atoms) == 0 for atoms in (*candidates, *existing)):
        raise InputError("a structure without atoms cannot be selected or compared")
    distinct = _distinct(candidates, existing)
    frames = [candidates[index] for index in distinct]
    if isinstance(settings, VarianceSelection):
        if uncertainties is None or len(uncertainties) != len(candidates):
            raise InputError("selection by variance needs one uncertainty per candidate")
        chosen, scores, why = _variance(frames, [uncertainties[index] for index in distinct], settings)
    else:
        chosen, scores, why = _choose(frames, existing, settings, seed)
    reason = ""
    if len(chosen) < settings.count:
        reason = (
            f"{len(chosen)} of the {settings.count} frames asked for: {len(candidates)} candidates,"
            f" {len(distinct)} of them new and distinct"
        ) + (f"; {why}" if why else "")
    return SelectionOutcome(tuple(distinct[k] for k in chosen), tuple(scores), reason)


def _choose(frames: list[Atoms], existing: Sequence[Atoms], settings: SelectionSettings, seed: int) -> _Choice:
    if not frames:
        return [], [], ""
    match settings:
        case StrideSelection():
            return _stride(len(frames), settings)
        case RandomSelection():
            return _random(len(frames), settings, seed)
        case SimilaritySelection():
            return _similarity(frames, existing, settings)
    descriptor = SoapDescriptor(species_of([*frames, *existing]), settings.descriptor)
    new = _fingerprints(frames, descriptor)
    known = _fingerprints(existing, descriptor)
    if isinstance(settings, CurSelection):
        return _cur(new, known, settings.count)
    return _farthest_point(new, known, settings.count)


def _distinct(candidates: Sequence[Atoms], existing: Sequence[Atoms]) -> list[int]:
    """Return the indices of the candidates that are neither in ``existing`` nor repetitions."""
    seen = {_exact_key(atoms) for atoms in existing}
    distinct = []
    for index, atoms in enumerate(candidates):
        key = _exact_key(atoms)
        if key not in seen:
            seen.add(key)
            distinct.append(index)
    return distinct


def _exact_key(atoms: Atoms) -> bytes:
    """Return species, cell and wrapped positions to 1e-8 Å as bytes."""
    positions = atoms.get_positions(wrap=bool(atoms.pbc.any()), eps=1e-9)
    lengths = np.concatenate([atoms.cell[:].ravel(), positions.ravel()])
    # Adding zero turns -0.0 into 0.0: they are the same place.
    rounded = np.round(lengths, 8) + 0.0
    return atoms.numbers.astype(np.int64).tobytes() + atoms.pbc.tobytes() + rounded.tobytes()


def _stride(total: int, settings: StrideSelection) -> _Choice:
    if settings.stride is None:
        count = min(settings.count, total)
        chosen = [k * total // count for k in range(count)]
        return chosen, [1.0] * count, ""
    chosen = list(range(0, total, settings.stride))[: settings.count]
    return chosen, [1.0] * len(chosen), f"every {settings.stride}th was taken" if settings.stride > 1 else ""


def _random(total: int, settings: RandomSelection, seed: int) -> _Choice:
    random = np.random.default_rng(np.random.SeedSequence(seed))
    chosen = [int(k) for k in random.permutation(total)[: settings.count]]
    return chosen, [1.0] * len(chosen), ""


def _fingerprints(structures: Sequence[Atoms], descriptor: SoapDescriptor) -> np.ndarray:
    """Return [n_structures, n_species * length]; no rows where there is no structure."""
    rows = [descriptor.fingerprint(atoms) for atoms in structures]
    return np.array(rows).reshape(len(rows), len(descriptor.species) * descriptor.length)


def _distances(new: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of two sets of fingerprints, [n, d] and [m, d], as [n, m]."""
    squares = (new**2).sum(axis=1)[:, np.newaxis] + (known**2).sum(axis=1) - 2.0 * new @ known.T
    return np.sqrt(np.clip(squares, 0.0, None))


def _most_central(fingerprints: np.ndarray) -> int:
    return int(np.argmin(_distances(fingerprints, fingerprints.mean(axis=0, keepdims=True))))


def _farthest_point(new: np.ndarray, known: np.ndarray, count: int) -> _Choice:
    """Greedily add the fingerprint whose nearest known neighbour is farthest.

    At most twice as far from the best covering of the candidates (Gonzalez, Theor. Comput. Sci. 1985, 38,
    293, 10.1016/0304-3975(85)90224-5). With nothing known it begins at the most central candidate.
    """
    chosen: list[int] = []
    scores: list[float] = []
    if len(known):
        nearest = _distances(new, known).min(axis=1)
    else:
        first = _most_central(new)
        nearest = _distances(new, new[first : first + 1])[:, 0]
        chosen, scores = [first], [float(np.sqrt(2.0))]
    while len(chosen) < min(count, len(new)):
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < SAME_STRUCTURE:
            return chosen, scores, "the others are known structures, moved or with atoms renumbered"
        chosen.append(farthest)
        scores.append(float(nearest[farthest]))
        nearest = np.minimum(nearest, _distances(new, new[farthest : farthest + 1])[:, 0])
    return chosen, scores, ""


def _variance(frames: list[Atoms], uncertainties: list[float], settings: VarianceSelection) -> _Choice:
    """Take the most uncertain frames and thin them out, the most uncertain one first."""
    order = sorted(range(len(frames)), key=lambda index: (-uncertainties[index], index))
    pool = order[: settings.pool * settings.count]
    if len(pool) > settings.count:
        descriptor = SoapDescriptor(species_of(frames), settings.descriptor)
        fingerprints = _fingerprints([frames[index] for index in pool], descriptor)
        thinned, _, _ = _farthest_point(fingerprints[1:], fingerprints[:1], settings.count - 1)
        pool = [pool[0], *(pool[1 + index] for index in thinned)]
    return pool, [float(uncertainties[index]) for index in pool], ""


def _cur(new: np.ndarray, known: np.ndarray, count: int) -> _Choice:
    """Greedily add the fingerprint of the highest leverage, then take its direction out of all others.

    Leverage scores after Mahoney and Drineas (PNAS 2009, 106, 697, 10.1073/pnas.0803205106), one singular
    vector at a time with orthogonalisation after Imbalzano et al. (J. Chem. Phys. 2018, 148, 241730,
    10.1063/1.5024611). What the known fingerprints span is taken out first: only new directions count.
    """
    residual = new
    if len(known):
        _, strengths, directions = np.linalg.svd(known, full_matrices=False)
        basis = directions[strengths > RELATIVE_RANK * strengths[0]]
        residual = new - (new @ basis.T) @ basis
    gram = residual @ residual.T
    chosen: list[int] = []
    scores: list[float] = []
    while len(chosen) < min(count, len(new)):
        alive = np.sqrt(np.clip(np.diag(gram), 0.0, None)) > SAME_STRUCTURE
        if not alive.any():
            return chosen, scores, "the others add no direction to those that are known"
        last = len(gram) - 1
        _, vectors = eigh(gram, subset_by_index=[last, last])
        leverage = np.where(alive, vectors[:, 0] ** 2, -1.0)
        best = int(np.argmax(leverage))
        chosen.append(best)
        scores.append(float(leverage[best]))
        gram = gram - np.outer(gram[:, best], gram[best]) / gram[best, best]
        gram[best, :] = gram[:, best] = 0.0
    return chosen, scores, ""


def _similarity(frames: list[Atoms], existing: Sequence[Atoms], settings: SimilaritySelection) -> _Choice:
    """Greedily add the frame with the least familiar atom, while that atom is below the threshold.

    The score of a frame is min_i max_t k(i, t): i over its atoms, t over all known atoms of the species of i
    (Timmermann et al., J. Chem. Phys. 2021, 155, 244107, 10.1063/5.0071249). Each chosen frame becomes known
    before the next is looked for, so that at the end no candidate below the threshold is left out, unless
    ``count`` is reached.
    """
    descriptor = SoapDescriptor(species_of([*frames, *existing]), settings.descriptor)
    vectors = [descriptor.vectors(atoms) for atoms in frames]
    pool = _Familiarity(vectors, descriptor.species, settings.descriptor.zeta)
    for atoms in existing:
        pool.learn(descriptor.vectors(atoms))
    chosen: list[int] = []
    scores: list[float] = []
    while len(chosen) < min(settings.count, len(frames)):
        familiarity = pool.scores()
        familiarity[chosen] = np.inf
        least = int(np.argmin(familiarity))
        if not existing and not chosen:
            # Everything is equally new: begin where farthest-point sampling does.
            least = _most_central(np.array([fingerprint_of(vector) for vector in vectors]))
        if familiarity[least] >= settings.threshold:
            why = f"the others are more similar to known frames than the threshold, {settings.threshold:g}"
            return chosen, scores, why
        chosen.append(least)
        scores.append(float(familiarity[least]))
        pool.learn(vectors[least])
    return chosen, scores, ""


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
