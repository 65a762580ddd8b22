"""What every kind of selection must satisfy, as a test class to inherit.

A test of a selection is a subclass in a pytest file that defines ``settings`` and, where the default frames do not
suit it, ``frames``::

    class TestMySelection(SelectionContract):
        def settings(self, count):
            return MySettings(count=count)
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

import copy

import numpy as np
import pytest
from ase import Atoms
from pydantic import TypeAdapter

from ...core.errors import InputError
from .base import CommonSelectionSettings
from .registry import SELECTIONS, SelectionSettings
from .selecting import SelectionOutcome, select

SEED = 7


class SelectionContract:
    """Counts, determinism, independence of what the frames carry, and settings that survive a document."""

    def settings(self, count: int) -> CommonSelectionSettings:
        """Return settings of the kind under test that select at most ``count`` frames."""
        raise TypeError(f"{type(self).__name__} must define settings(count)")

    def frames(self) -> list[Atoms]:
        """Return frames to choose from: random displacements of one small cell."""
        cell = Atoms("Li2PS", cell=[5.0, 5.5, 6.0], pbc=True)
        cell.set_scaled_positions([[0.1, 0.1, 0.1], [0.5, 0.6, 0.4], [0.5, 0.1, 0.7], [0.9, 0.5, 0.9]])
        random = np.random.default_rng(3)
        found = []
        for _ in range(9):
            frame = cell.copy()
            frame.positions += random.normal(0, 0.15, (len(cell), 3))
            found.append(frame)
        return found

    def _select(self, frames: list[Atoms], count: int, existing: tuple[Atoms, ...] = ()) -> SelectionOutcome:
        unsure = [float((5 * index) % 7) for index in range(len(frames))]
        return select(frames, existing, self.settings(count), SEED, uncertainties=unsure)

    def test_is_registered_under_the_name_in_its_settings(self) -> None:
        settings = self.settings(3)
        kind = SELECTIONS.get(settings.kind)
        assert isinstance(settings, kind.settings_type)
        assert settings.model_dump()["method"] == kind.name
        assert settings.count == 3

    def test_settings_survive_a_document(self) -> None:
        adapter: TypeAdapter[CommonSelectionSettings] = TypeAdapter(SelectionSettings)
        settings = self.settings(5)
        back = adapter.validate_python(adapter.dump_python(settings, mode="json"))
        assert back == settings
        assert type(back) is type(settings)

    def test_chooses_at_most_so_many_each_once_and_says_why_there_are_fewer(self) -> None:
        frames = self.frames()
        for count in (1, 4, 2 * len(frames)):
            outcome = self._select(frames, count)
            assert 0 < len(outcome.indices) <= min(count, len(frames))
            assert len(set(outcome.indices)) == len(outcome.indices) == len(outcome.scores)
            assert np.isfinite(outcome.scores).all()
            assert bool(outcome.reason) == (len(outcome.indices) < count)

    def test_never_chooses_what_is_known_or_twice_the_same(self) -> None:
        frames = self.frames()
        outcome = self._select([*frames, frames[2].copy()], len(frames) + 1, existing=(frames[0].copy(),))
        assert 0 not in outcome.indices
        assert len(frames) not in outcome.indices

    def test_nothing_to_choose_from(self) -> None:
        assert self._select([], 3).indices == ()

    def test_the_same_request_gives_the_same_choice(self) -> None:
        frames = self.frames()
        assert self._select(frames, 4) == self._select(copy.deepcopy(frames), 4)

    def test_frames_are_not_changed(self) -> None:
        frames = self.frames()
        before = copy.deepcopy(frames)
        self._select(frames, 4, existing=(frames[1].copy(),))
        assert frames == before

    def test_what_it_needs_is_asked_for(self) -> None:
        settings = self.settings(2)
        if SELECTIONS.get(settings.kind).needs_variance:
            with pytest.raises(InputError, match="uncertainty"):
                select(self.frames(), [], settings, SEED)
        else:
            assert select(self.frames(), [], settings, SEED).indices

    def test_says_how_for_the_text_of_a_paper(self) -> None:
        settings = self.settings(2)
        kind = SELECTIONS.get(settings.kind)
        assert kind.methods(settings).strip()
        assert all(one.what and one.reference for one in kind.citations)
