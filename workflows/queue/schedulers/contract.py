"""What every scheduler must satisfy, as a test class to inherit.

A test of a scheduler is a subclass in a pytest file that defines ``scheduler`` and, before each test, puts a queue
behind its commands: the real one, or stand-ins on PATH that answer in the real one's words::

    class TestMyScheduler(SchedulerContract):
        scheduler = MY_SCHEDULER

        @pytest.fixture(autouse=True)
        def queue(self, tmp_path, monkeypatch):
            ...
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from .base import COUNTED, IN_QUEUE, Scheduler, SchedulerError
from .registry import SCHEDULERS

WANTED = {
    "job_name": "ionloop-campaign-labels-1a2b3c4d",
    "cores": "8",
    "wall_time_min": "90",
    "memory_MB": "16000",
    "gpus": "2",
    "partition": "short",
    "account": "group",
    "log": "/store/logs/labels-%j.log",
}


class SchedulerContract:
    """The life of a job in a queue: submitted, found by its name, asked about, cancelled, forgotten."""

    scheduler: ClassVar[Scheduler]
    unknown_job: ClassVar[str] = "987654"
    """A reference that no job of the queue has."""

    def script(self, folder: Path, name: str = WANTED["job_name"], *further: str) -> Path:
        """Return a job script of that name which waits, as a pilot does for work."""
        wanted = {key: WANTED[key] for key in ("cores", "wall_time_min")}
        asked = {**wanted, "job_name": name, "log": str(folder / "labels-%j.log")}
        lines = ["#!/bin/bash", *self.scheduler.directives(asked, further), "sleep 300", ""]
        path = folder / f"{name}.sh"
        path.write_text("\n".join(lines))
        return path

    def test_is_registered_under_its_name(self) -> None:
        assert SCHEDULERS.get(self.scheduler.name) is self.scheduler

    def test_a_script_asks_for_everything_that_is_wanted(self) -> None:
        lines = self.scheduler.directives(WANTED, ["--further=option"])
        assert all(line.startswith("#") and "\n" not in line for line in lines)
        text = "\n".join(lines)
        for word in ("8", "16000", "2", "short", "--further=option"):
            assert word in text
        assert "%j" not in text or "/store/logs/labels-%j.log" in text

    def test_what_is_not_wanted_is_not_asked_for(self) -> None:
        few = {key: WANTED[key] for key in ("job_name", "cores", "wall_time_min", "log")}
        assert len(self.scheduler.directives(few, ())) < len(self.scheduler.directives(WANTED, ()))
        assert "short" not in "\n".join(self.scheduler.directives(few, ()))

    def test_outside_of_a_job_nothing_is_known_of_one(self) -> None:
        assert self.scheduler.job_variable
        assert self.scheduler.cluster_here({}) == ""
        assert self.scheduler.ends_at({}) is None

    def test_a_job_is_found_by_its_name_and_lasts_until_it_is_cancelled(self, tmp_path: Path) -> None:
        other = self.scheduler.submit(self.script(tmp_path, "ionloop-campaign-labels-99999999"))
        job = self.scheduler.submit(self.script(tmp_path))
        try:
            assert job not in ("", other)
            assert self.scheduler.find(WANTED["job_name"]) == job
            found = self.scheduler.ask([job, other])
            assert {one.state for one in found.values()} <= IN_QUEUE
            assert set(found) == {job, other}
        finally:
            self.scheduler.cancel([job])
        after = self.scheduler.ask([job, other])
        assert job not in after or after[job].state not in COUNTED
        assert after[other].state in IN_QUEUE
        self.scheduler.cancel([job, other])

    def test_a_job_that_nobody_knows_is_left_out_and_no_error(self) -> None:
        assert self.scheduler.ask([self.unknown_job]) == {}
        assert self.scheduler.ask([]) == {}
        assert self.scheduler.find("ionloop-no-such-job-00000000") is None
        self.scheduler.cancel([])

    def test_what_is_refused_is_an_error_in_the_scheduler_s_words(self, tmp_path: Path) -> None:
        with pytest.raises(SchedulerError, match=r"\w"):
            self.scheduler.submit(tmp_path / "no-such-script.sh")
