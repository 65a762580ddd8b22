"""Choosing which sampled frames are worth a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms

from ...core.errors import InputError
from ...core.structures import structure_hash
from .base import Choice, CommonSelectionSettings, SelectionRequest
from .registry import SELECTIONS


@dataclass(frozen=True)
class SelectionOutcome:
    """Which candidates were chosen.

    Attributes
    ----------
    indices
        Positions in the sequence of candidates, the most wanted first.
    scores
        One per index, as the kind of selection says.
    reason
        Why there are fewer than ``count``; empty if there are not.
    """

    indices: tuple[int, ...]
    scores: tuple[float, ...]
    reason: str = ""


def select(
    candidates: Sequence[Atoms],
    existing: Sequence[Atoms],
    settings: CommonSelectionSettings,
    seed: int,
    uncertainties: Sequence[float] | None = None,
) -> SelectionOutcome:
    """Choose at most ``settings.count`` candidates; never two alike, nor one that is already in ``existing``.

    Deterministic for a given input; only kinds that say so draw from ``seed``. The built-in methods on fingerprints
    do not depend on the order of the candidates, except where two scores are equal: the earlier wins.

    Parameters
    ----------
    uncertainties
        One number per candidate, the larger the less the model knows; kinds that need a variance need them.

    Raises
    ------
    InputError
        If the seed is negative, a structure has no atoms, uncertainties are needed and not there, or the kind of
        selection is not installed or breaks its contract.
    """
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, not {seed}")
    if any(len(atoms) == 0 for atoms in (*candidates, *existing)):
        raise InputError("a structure without atoms cannot be selected or compared")
    kind = SELECTIONS.get(settings.kind)
    if kind.needs_variance and (uncertainties is None or len(uncertainties) != len(candidates)):
        raise InputError(f"selection by {kind.name} needs one uncertainty per candidate")
    distinct = _distinct(candidates, existing)
    frames = [candidates[index] for index in distinct]
    unsure = [uncertainties[index] for index in distinct] if kind.needs_variance and uncertainties is not None else None
    choice = Choice([], [])
    if frames:
        choice = kind.choose(SelectionRequest(frames, existing, settings, seed, unsure))
        _check(choice, len(frames), settings)
    reason = ""
    if len(choice.indices) < settings.count:
        reason = (
            f"{len(choice.indices)} of the {settings.count} frames asked for: {len(candidates)} candidates,"
            f" {len(distinct)} of them new and distinct"
        ) + (f"; {choice.reason}" if choice.reason else "")
    indices = tuple(distinct[k] for k in choice.indices)
    return SelectionOutcome(indices, tuple(float(score) for score in choice.scores), reason)


def _check(choice: Choice, total: int, settings: CommonSelectionSettings) -> None:
    """Refuse what no selection may return: what is labelled costs hours."""
    indices = list(choice.indices)
    if len(choice.scores) != len(indices):
        fault = f"{len(indices)} frames and {len(choice.scores)} scores"
    elif len(indices) > settings.count:
        fault = f"{len(indices)} frames where {settings.count} were asked for"
    elif len(set(indices)) < len(indices):
        fault = "a frame twice"
    elif any(not 0 <= index < total for index in indices):
        fault = f"a frame that is not among the {total}"
    else:
        return
    raise InputError(f"the selection {settings.kind!r} chose {fault}")


def _distinct(candidates: Sequence[Atoms], existing: Sequence[Atoms]) -> list[int]:
    """Return the indices of the candidates that are neither in ``existing`` nor repetitions."""
    seen = {structure_hash(atoms) for atoms in existing}
    distinct = []
    for index, atoms in enumerate(candidates):
        key = structure_hash(atoms)
        if key not in seen:
            seen.add(key)
            distinct.append(index)
    return distinct
