"""What every kind of sampler must satisfy, as a test class to inherit.

A test of a sampler is a subclass in a pytest file that defines ``settings`` and, where copper and gold with two
vacancies do not suit the kind, ``atoms``, ``calculator``, ``mobile`` and ``charges``::

    class TestMySampler(SamplerContract):
        def settings(self, frames):
            return MySettings(count=frames)
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from pydantic import TypeAdapter

from ...core.errors import InputError
from ..molecular_dynamics import TrajectoryEnd
from .base import CommonSamplerSettings, SamplerOutcome, SamplerRequest
from .registry import SAMPLERS, SamplerSettings, sampler_of
from .sampling import offered, prepare, sample, samples

SEED = 11
_KILLED_AT = (1, 3, 6)
"""The evaluations and reports of progress at which a run is killed."""


class Killed(BaseException):
    """What stands for a kill: nothing but the test catches it."""


class SamplerContract:
    """Counts, reproducibility, restarts, atoms, refusals, and settings that survive a document."""

    mobile = "Cu"
    charges: dict[str, float] = {"Cu": 0.4, "Au": -0.3}  # noqa: RUF012

    def settings(self, frames: int) -> CommonSamplerSettings:
        """Return settings of the kind under test that offer so many frames, with as little work as can be."""
        raise TypeError(f"{type(self).__name__} must define settings(frames)")

    def atoms(self) -> Atoms:
        """Return the system's structure."""
        atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
        del atoms[[0, 6]]
        return atoms

    def calculator(self) -> Calculator:
        """Return a new calculator for it."""
        return EMT()

    def starts(self) -> list[Atoms]:
        """Return configurations of a training set."""
        found = []
        for seed in range(3):
            atoms = self.atoms()
            atoms.rattle(0.05, seed=seed)
            found.append(atoms)
        return found

    def request(
        self, path: Path, settings: CommonSamplerSettings, index: int = 0, **changes: Any
    ) -> SamplerRequest[Any]:
        """Return a request for one run, with what all runs share."""
        values: dict[str, Any] = {
            "atoms": self.atoms(),
            "settings": settings,
            "index": index,
            "seed": SEED,
            "path": path,
            "starts": self.starts(),
            "calculator": self.calculator,
            "mobile": self.mobile,
            "charges": self.charges,
        }
        request: SamplerRequest[Any] = SamplerRequest(**values)
        values["shared"] = prepare(request) if sampler_of(settings).prepares else ()
        return SamplerRequest(**(values | changes))

    def run(self, path: Path, settings: CommonSamplerSettings, index: int = 0, **changes: Any) -> SamplerOutcome:
        """Make one run."""
        return sample(self.request(path, settings, index, **changes))

    def test_is_registered_under_the_name_in_its_settings(self) -> None:
        settings = self.settings(3)
        kind = SAMPLERS.get(settings.sampler)
        assert isinstance(settings, kind.settings_type)
        assert settings.model_dump()["kind"] == kind.name

    def test_settings_survive_a_document(self) -> None:
        adapter: TypeAdapter[CommonSamplerSettings] = TypeAdapter(SamplerSettings)
        settings = self.settings(4)
        back = adapter.validate_python(adapter.dump_python(settings, mode="json"))
        assert back == settings
        assert type(back) is type(settings)

    def test_offers_as_many_frames_as_said_of_the_system_s_atoms(self, tmp_path: Path) -> None:
        for frames in (1, 4):
            settings = self.settings(frames)
            kind = sampler_of(settings)
            runs = range(kind.runs(settings))
            assert kind.frames(settings) == frames == sum(offered(settings, index) for index in runs)
            for index in runs:
                path = tmp_path / f"{frames}-{index}.traj"
                outcome = self.run(path, settings, index)
                found = samples(settings, index, path)
                if outcome.end is TrajectoryEnd.COMPLETED:
                    assert len(found) == offered(settings, index)
                else:
                    assert outcome.reason
                    assert len(found) <= offered(settings, index)
                assert outcome.frames >= len(kind.read(path))
                assert all(np.array_equal(frame.numbers, self.atoms().numbers) for frame in found)
                assert all(np.isfinite(frame.positions).all() for frame in found)

    def test_the_same_seed_gives_the_same_bits(self, tmp_path: Path) -> None:
        settings = self.settings(4)
        index = sampler_of(settings).runs(settings) - 1
        outcomes = [self.run(tmp_path / name, settings, index) for name in ("a.traj", "b.traj")]
        assert outcomes[0] == outcomes[1]
        _assert_same_frames(settings, tmp_path / "a.traj", tmp_path / "b.traj")

    def test_what_is_shared_is_the_same_from_the_same_seed(self, tmp_path: Path) -> None:
        settings = self.settings(4)
        first, second = (prepare(self.request(tmp_path / "a.traj", settings)) for _ in range(2))
        assert _arrays(first) == _arrays(second)
        assert bool(first) == sampler_of(settings).prepares

    @pytest.mark.parametrize("moment", _KILLED_AT)
    def test_killed_and_started_again_it_ends_with_the_same_bits(self, tmp_path: Path, moment: int) -> None:
        settings = self.settings(4)
        undisturbed = self.run(tmp_path / "whole.traj", settings)
        path = tmp_path / "killed.traj"
        kill = _Killer(moment)
        for changes in (
            {"calculator": lambda: kill.watching(self.calculator())},
            {"progress": lambda done, of: kill.count()},
        ):
            try:
                self.run(path, settings, **changes)
            except Killed:
                kill.rest()
        assert self.run(path, settings) == undisturbed
        _assert_same_frames(settings, tmp_path / "whole.traj", path)

    def test_what_is_done_is_not_done_again(self, tmp_path: Path) -> None:
        settings = self.settings(4)
        outcome = self.run(tmp_path / "a.traj", settings)
        before = (tmp_path / "a.traj").read_bytes()
        never = _Killer(1)
        assert self.run(tmp_path / "a.traj", settings, calculator=lambda: never.watching(self.calculator())) == outcome
        assert (tmp_path / "a.traj").read_bytes() == before

    def test_what_it_is_given_is_not_changed(self, tmp_path: Path) -> None:
        request = self.request(tmp_path / "a.traj", self.settings(2))
        before = _arrays([request.atoms, *request.starts, *request.shared])
        sample(request)
        assert _arrays([request.atoms, *request.starts, *request.shared]) == before

    def test_what_cannot_be_is_refused(self, tmp_path: Path) -> None:
        settings = self.settings(2)
        kind = sampler_of(settings)
        wrong: list[dict[str, Any]] = [{"seed": -1}, {"atoms": Atoms(pbc=True, cell=[5, 5, 5])}]
        wrong += [{"index": kind.runs(settings)}, {"index": -1}]
        if kind.needs_potential(settings):
            wrong.append({"calculator": None})
        if kind.needs_charges:
            wrong += [{"mobile": "U"}, {"charges": {}}]
        for changes in wrong:
            with pytest.raises(InputError):
                self.run(tmp_path / "a.traj", settings, **changes)

    def test_says_what_it_costs_and_how_for_the_text_of_a_paper(self) -> None:
        settings = self.settings(2)
        kind = sampler_of(settings)
        assert (kind.evaluations(settings) > 0) == kind.needs_potential(settings)
        assert kind.methods(settings).strip()
        assert kind.description
        assert all(one.what and one.reference for one in kind.citations)
        assert kind.is_initial or kind.explores


class _Killer:
    """Raises `Killed` once something has been counted so many times."""

    def __init__(self, moment: int) -> None:
        self._left = moment
        self._moment = moment

    def rest(self) -> None:
        self._left = self._moment

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed

    def watching(self, calculator: Calculator) -> Calculator:
        """Return the calculator, whose evaluations are counted."""
        calculate: Callable[..., None] = calculator.calculate

        def counted(*arguments: Any, **options: Any) -> None:
            self.count()
            calculate(*arguments, **options)

        calculator.calculate = counted
        return calculator


def _arrays(frames: list[Atoms]) -> list[bytes]:
    return [frame.numbers.tobytes() + frame.positions.tobytes() + frame.cell.array.tobytes() for frame in frames]


def _assert_same_frames(settings: CommonSamplerSettings, first: Path, second: Path) -> None:
    kind = sampler_of(settings)
    assert _arrays(kind.read(first)) == _arrays(kind.read(second))
