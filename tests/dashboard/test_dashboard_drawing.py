"""Sparklines, job graphs and timelines: what they show and where."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from markupsafe import Markup

from ionloop.deploy.dashboard.drawing import GraphJob, Run, depths, elapsed, job_graph, nice_step, sparkline, timeline

HOSTILE = "<script>&\"'"


def parsed(drawing: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(drawing))


def texts(drawing: Markup) -> list[str]:
    return [element.text or "" for element in parsed(drawing).iter() if element.tag in ("text", "title")]


def test_a_job_lies_behind_all_it_waits_for() -> None:
    links = {1: [2, 3], 2: [4], 3: [4], 1_000: [1], 4: []}
    assert depths([1, 2, 3, 4], links) == {1: 0, 2: 1, 3: 1, 4: 2}


def test_the_longest_way_counts_and_circles_end() -> None:
    assert depths([1, 2, 3], {1: [3, 2], 2: [3]}) == {1: 0, 2: 1, 3: 2}
    assert set(depths([1, 2], {1: [2], 2: [1]})) == {1, 2}


def test_every_job_is_a_link_of_its_state() -> None:
    jobs = [
        GraphJob(n, "label" if n > 1 else HOSTILE, "failed", f"/job?number={n}", f"{n} {HOSTILE}") for n in (1, 2, 3)
    ]
    drawing = parsed(job_graph(jobs, {1: [2, 3]}, HOSTILE))
    links = drawing.findall("a")
    assert [link.get("href") for link in links] == ["/job?number=1", "/job?number=2", "/job?number=3"]
    assert {link.find("rect").get("class") for link in links} == {"job state-failed"}  # type: ignore[union-attr]
    assert len(drawing.findall("path")) == 1, "edges between blocks are drawn once"
    assert [text.text for text in drawing.findall("text")] == [HOSTILE, "label × 2"]


def test_blocks_do_not_overlap() -> None:
    jobs = [GraphJob(n, f"kind {n % 5}", "ready", "/", "") for n in range(1, 60)]
    links = {n: [n + 7, n + 11] for n in range(1, 60)}
    drawing = parsed(job_graph(jobs, links, ""))
    boxes = [[float(rect.get(name) or 0) for name in ("x", "y", "width", "height")] for rect in drawing.findall("rect")]
    assert len(boxes) > 5
    for i, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[i + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or y + height <= other_y or other_y + other_height <= y
    total = [float(one) for one in (drawing.get("viewBox") or "").split()]
    assert max(x + width for x, _, width, _ in boxes) <= total[2]
    assert max(y + height for _, y, _, height in boxes) <= total[3]


def test_a_sparkline_falls_where_errors_fall() -> None:
    drawing = parsed(sparkline({"gap": [1.0, 0.1, 0.01], HOSTILE: [0.5, float("nan"), -1.0]}, HOSTILE))
    lines = drawing.findall("g/polyline")
    heights = [float(point.split(",")[1]) for point in (lines[0].get("points") or "").split()]
    assert heights == sorted(heights)
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1]), "logarithmic"
    assert len((lines[1].get("points") or "").split()) == 1, "what has no logarithm is left out"
    assert drawing.get("aria-label") == HOSTILE
    assert sparkline({}, "") == sparkline({"gap": [0.0]}, "") == ""


def test_bars_lie_where_jobs_ran() -> None:
    runs = [Run("w", "fit", "finished", 100.0, 200.0, HOSTILE), Run("w", "label", "failed", 200.0, 300.0, "second")]
    drawing = parsed(timeline(runs, ""))
    first, second = drawing.findall("rect")
    assert float(first.get("x") or 0) + float(first.get("width") or 0) == pytest.approx(float(second.get("x") or 0))
    assert second.get("class") == "run kind-label state-failed"
    assert HOSTILE in texts(timeline(runs, ""))
    assert timeline([], "") == ""


def test_many_workers_and_jobs_are_cut() -> None:
    runs = [Run(f"worker {n}", "fit", "finished", n, n + 1.0, "") for n in range(2000)]
    drawing = parsed(timeline(runs, ""))
    assert len(drawing.findall("rect")) <= 24
    assert "worker 1999" in texts(timeline(runs, ""))


@pytest.mark.parametrize(
    ("seconds", "text"), [(30, "30 s"), (300, "5 min"), (7200, "2 h"), (86400, "1 d"), (90, "1.5 min")]
)
def test_ticks_are_round(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text
    assert nice_step(seconds) >= seconds
