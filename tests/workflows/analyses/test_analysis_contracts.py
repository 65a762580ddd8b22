"""ionloop's own analyses keep the contract that others inherit."""

from __future__ import annotations

from typing import Any

import pytest

from ionloop.workflows.analyses.base import Analysis
from ionloop.workflows.analyses.contract import AnalysisContract
from ionloop.workflows.analyses.registry import ANALYSES
from ionloop.workflows.loop.task_registry import job_tasks


@pytest.mark.parametrize("name", ANALYSES.names)
class TestOwnAnalyses(AnalysisContract):
    @pytest.fixture(autouse=True)
    def _chosen(self, name: str) -> None:
        self.name = name

    def analysis(self) -> Analysis[Any]:
        return ANALYSES.get(self.name)


def test_a_worker_admits_the_tasks_of_every_analysis() -> None:
    admitted = job_tasks()
    assert all(admitted[task._fw_name] is task for analysis in ANALYSES.kinds for task in analysis.tasks())


def test_a_halfway_analysis_is_named_by_python() -> None:
    class Halfway(Analysis[Any]):
        name = "halfway"

    with pytest.raises(TypeError, match=r"abstract methods? '?cost'?, '?jobs'?, '?section'?, '?tasks'?"):
        Halfway()  # type: ignore[abstract]
