"""Small drawings as SVG, made here rather than in the browser: sparklines, job graphs, timelines of workers.

Every text is escaped; colours come from classes, so that light and dark pages share the drawing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

SPARK_WIDTH, SPARK_HEIGHT = 132, 34
_SPARK_EDGE = 4.0

DOT, GAP, PER_ROW = 13, 5, 8
_PADDING, _TITLE_HEIGHT = 10, 24
_COLUMN_GAP, _BLOCK_GAP = 34, 22
_NARROWEST = 84
_CHARACTER = 6.6
MOST_DOTS = 400

TIMELINE_WIDTH, LANE, BAR = 960, 26, 14
_LABEL_WIDTH = 190
_TICKS = 6
MOST_LANES, MOST_BARS = 24, 1500
_SHORTEST_BAR = 1.5
_LONGEST_NAME = 28


def sparkline(series: Mapping[str, Sequence[float]], described: str) -> Markup:
    """Return one line per kind of model on a common logarithmic scale, the last point marked.

    Parameters
    ----------
    described
        What a screen reader says.
    """
    positive = [value for values in series.values() for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return Markup("")
    low, high = math.log(min(positive)), math.log(max(positive))
    longest = max(len(values) for values in series.values())
    parts = [
        Markup('<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">').format(
            SPARK_WIDTH, SPARK_HEIGHT, SPARK_WIDTH, SPARK_HEIGHT, described
        )
    ]
    for kind, values in series.items():
        points = [
            (
                _SPARK_EDGE + (SPARK_WIDTH - 2 * _SPARK_EDGE) * (index / (longest - 1) if longest > 1 else 1.0),
                _SPARK_EDGE
                + (SPARK_HEIGHT - 2 * _SPARK_EDGE) * ((high - math.log(value)) / (high - low) if high > low else 0.5),
            )
            for index, value in enumerate(values)
            if value > 0 and math.isfinite(value)
        ]
        if not points:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            Markup('<g class="model-{}"><polyline points="{}"/><circle cx="{:.1f}" cy="{:.1f}" r="3"/></g>').format(
                class_name(kind), path, *points[-1]
            )
        )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def class_name(text: str) -> str:
    """Return what may stand in a class: lower-case letters, digits and hyphens."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in text.lower())


# -- the graph of a generation ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GraphJob:
    """A job as a dot: its state, where a click leads, what hovering tells."""

    number: int
    kind: str
    state: str
    address: str
    title: str


@dataclass(frozen=True)
class _Block:
    depth: int
    kind: str
    jobs: tuple[GraphJob, ...]

    @property
    def heading(self) -> str:
        return f"{self.kind} × {len(self.jobs)}" if len(self.jobs) > 1 else self.kind

    @property
    def width(self) -> float:
        dots = min(len(self.jobs), PER_ROW) * (DOT + GAP) - GAP
        return max(_NARROWEST, dots + 2 * _PADDING, len(self.heading) * _CHARACTER + 2 * _PADDING)

    @property
    def height(self) -> float:
        rows = math.ceil(min(len(self.jobs), MOST_DOTS) / PER_ROW)
        return _TITLE_HEIGHT + rows * (DOT + GAP) - GAP + _PADDING


def job_graph(jobs: Sequence[GraphJob], links: Mapping[int, Iterable[int]], described: str) -> Markup:
    """Return a graph from left to right: jobs of one kind and depth share a block, each is a dot that leads to it.

    Parameters
    ----------
    links
        Children by job; those outside of ``jobs`` are left out.
    """
    depth = depths([job.number for job in jobs], links)
    members: dict[tuple[int, str], list[GraphJob]] = defaultdict(list)
    for job in jobs:
        members[depth[job.number], job.kind].append(job)
    blocks = {
        place: _Block(*place, tuple(sorted(found, key=lambda job: job.number)))
        for place, found in sorted(members.items())
    }
    at, width, height = _place(list(blocks.values()))
    home = {job.number: place for place, block in blocks.items() for job in block.jobs}
    edges = {
        (home[job.number], home[child])
        for job in jobs
        for child in links.get(job.number, ())
        if child in home and home[child] != home[job.number]
    }
    parts = [
        Markup(
            '<svg class="graph" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="group" '
            'preserveAspectRatio="xMinYMid meet" '
            'aria-label="{2}" data-zoom="">'
        ).format(width, height, described)
    ]
    for start, end in sorted(edges):
        parts.append(_edge(at[start], blocks[start], at[end], blocks[end]))
    parts.extend(_drawn_block(block, *at[place]) for place, block in blocks.items())
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts)


def depths(numbers: Sequence[int], links: Mapping[int, Iterable[int]]) -> dict[int, int]:
    """Return the length of the longest path that leads to each job; jobs on a circle stay where they are."""
    known = set(numbers)
    parents = dict.fromkeys(numbers, 0)
    children = {number: [child for child in links.get(number, ()) if child in known] for number in numbers}
    for found in children.values():
        for child in found:
            parents[child] += 1
    depth = dict.fromkeys(numbers, 0)
    ready = [number for number in numbers if not parents[number]]
    while ready:
        number = ready.pop()
        for child in children[number]:
            depth[child] = max(depth[child], depth[number] + 1)
            parents[child] -= 1
            if not parents[child]:
                ready.append(child)
    return depth


def _place(blocks: Sequence[_Block]) -> tuple[dict[tuple[int, str], tuple[float, float]], float, float]:
    """Return the corner of every block, and the width and height of all; columns are centred."""
    columns: dict[int, list[_Block]] = defaultdict(list)
    for block in blocks:
        columns[block.depth].append(block)
    heights = {
        depth: sum(block.height for block in column) + _BLOCK_GAP * (len(column) - 1)
        for depth, column in columns.items()
    }
    highest = max(heights.values(), default=0.0)
    at: dict[tuple[int, str], tuple[float, float]] = {}
    x = 2.0
    for depth, column in sorted(columns.items()):
        y = 2.0 + (highest - heights[depth]) / 2
        for block in column:
            at[block.depth, block.kind] = (x, y)
            y += block.height + _BLOCK_GAP
        x += max(block.width for block in column) + _COLUMN_GAP
    return at, max(x - _COLUMN_GAP + 2, 1.0), highest + 4


def _edge(start: tuple[float, float], first: _Block, end: tuple[float, float], second: _Block) -> Markup:
    x0, y0 = start[0] + first.width, start[1] + first.height / 2
    x1, y1 = end[0], end[1] + second.height / 2
    bend = max(18.0, (x1 - x0) / 2)
    return Markup('<path class="edge" d="M{:.0f} {:.0f} C{:.0f} {:.0f} {:.0f} {:.0f} {:.0f} {:.0f}"/>').format(
        x0, y0, x0 + bend, y0, x1 - bend, y1, x1, y1
    )


def _drawn_block(block: _Block, x: float, y: float) -> Markup:
    parts = [
        Markup(
            '<rect class="block" x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}" rx="7"/>'
            '<text x="{:.0f}" y="{:.0f}">{}</text>'
        ).format(x, y, block.width, block.height, x + _PADDING, y + 17, block.heading)
    ]
    for index, job in enumerate(block.jobs[:MOST_DOTS]):
        column, row = index % PER_ROW, index // PER_ROW
        parts.append(
            Markup(
                '<a href="{}" aria-label="{}"><rect class="job state-{}" x="{:.0f}" y="{:.0f}" width="{}" height="{}" '
                'rx="3"><title>{}</title></rect></a>'
            ).format(
                job.address,
                job.title,
                class_name(job.state),
                x + _PADDING + column * (DOT + GAP),
                y + _TITLE_HEIGHT + row * (DOT + GAP),
                DOT,
                DOT,
                job.title,
            )
        )
    return Markup("").join(parts)


# -- the timeline of workers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A job's run on a worker (s since the epoch)."""

    worker: str
    kind: str
    state: str
    start: float
    end: float
    title: str


def timeline(runs: Sequence[Run], described: str) -> Markup:
    """Return what each worker did when: a lane per worker, a bar per job, the newest lanes and bars where too many."""
    shown = sorted(runs, key=lambda run: run.start)[-MOST_BARS:]
    lanes: dict[str, list[Run]] = {}
    for run in shown:
        lanes.setdefault(run.worker, []).append(run)
    names = sorted(lanes, key=lambda name: lanes[name][-1].end)[-MOST_LANES:]
    names.sort(key=lambda name: lanes[name][0].start)
    kept = [run for name in names for run in lanes[name]]
    if not kept:
        return Markup("")
    first, last = min(run.start for run in kept), max(run.end for run in kept)
    scale = (TIMELINE_WIDTH - _LABEL_WIDTH - 8) / max(last - first, 1e-3)
    height = LANE * len(names) + 30
    parts = [
        Markup('<svg class="timeline" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            TIMELINE_WIDTH, height, described
        ),
        *_ticks(last - first, scale, height),
    ]
    for lane, name in enumerate(names):
        y = lane * LANE + 4
        cut = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
        parts.append(Markup('<text x="0" y="{}">{}<title>{}</title></text>').format(y + 12, cut, name))
        for run in lanes[name]:
            parts.append(
                Markup(
                    '<rect class="run kind-{} state-{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}">'
                    "<title>{}</title></rect>"
                ).format(
                    class_name(run.kind),
                    class_name(run.state),
                    _LABEL_WIDTH + (run.start - first) * scale,
                    y,
                    max(_SHORTEST_BAR, (run.end - run.start) * scale),
                    BAR,
                    run.title,
                )
            )
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts)


def _ticks(span_s: float, scale: float, height: float) -> Iterable[Markup]:
    step = nice_step(span_s / _TICKS)
    for index in range(int(span_s / step) + 1):
        x = _LABEL_WIDTH + index * step * scale
        yield Markup(
            '<line class="tick" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>'
            '<text class="tick" x="{0:.1f}" y="{2}">{3}</text>'
        ).format(x, height - 22, height - 8, elapsed(index * step))


def nice_step(at_least_s: float) -> float:
    """Return a round length of time (s) that is not shorter."""
    for step in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400):
        if step >= at_least_s:
            return float(step)
    return 86400.0 * math.ceil(at_least_s / 86400)


def elapsed(seconds: float) -> str:
    """Return a round time since the beginning: 30 s, 5 min, 2 h, 3 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f} {unit}"
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s"
