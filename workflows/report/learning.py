"""What a report shows of learning on the fly: audited errors, labels, alarms, and what those were worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...analysis.errors.learning_figures import AuditedCurve, audited_errors, labels_and_alarms, novelty_and_error
from ...core.names import LEARNING_LEG, LEARNING_ROUND, LEARNING_UPDATE
from ...sampling.on_the_fly import errors as frame_errors
from ...store.records import ResultRecord
from ...tasks.on_the_fly.place import LAG
from ...tasks.values.learning import AUDITED, LEGS, ROUNDS, UPDATES, FrameError, LegValues, RoundValues, UpdateValues
from ..analyses.sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock
from ..loop.learning_rule import audited_text

MILLI = 1000.0
KINDS = ("audit", "alarm", "rewind")


@dataclass
class Learnt:
    """All that is known of one entry that learns, in the order of time.

    Attributes
    ----------
    legs, rounds, updates
        With their generations.
    """

    system: str | None
    entry: int
    legs: list[tuple[int, LegValues]] = field(default_factory=list)
    rounds: list[tuple[int, RoundValues]] = field(default_factory=list)
    updates: list[tuple[int, UpdateValues]] = field(default_factory=list)

    @property
    def frames(self) -> list[FrameError]:
        """Frames whose labels were there."""
        return [frame for _, update in self.updates for frame in update.frames]

    @property
    def generations(self) -> list[int]:
        """Generations in which it learnt."""
        return sorted({generation for generation, _ in self.updates})

    def time_of(self, generation: int, round_: int) -> float | None:
        """Return the simulated time at the end of a round (ps)."""
        return next(
            (one.simulated_ps for other, one in self.rounds if (other, one.round) == (generation, round_)), None
        )


def learning_section(results: Sequence[ResultRecord]) -> ReportSection | None:
    """Return the section on what learnt on the fly; None where nothing did."""
    found = _learnt(results)
    if not found:
        return None
    blocks: list[Block] = []
    for number, one in enumerate(found):
        if len(found) > 1:
            blocks.append(TextBlock(f"{one.system or 'the system'}, entry {one.entry} of explore:"))
        blocks += _blocks(one, number)
    return ReportSection("on-the-fly", "Learning on the fly", " ".join(_told(one) for one in found), blocks)


def _learnt(results: Sequence[ResultRecord]) -> list[Learnt]:
    found: dict[tuple[str, int], Learnt] = {}
    for record in results:
        if record.kind not in (LEARNING_LEG, LEARNING_ROUND, LEARNING_UPDATE):
            continue
        entry = int(record.values["entry"])
        one = found.setdefault((record.system or "", entry), Learnt(record.system, entry))
        if record.kind == LEARNING_LEG:
            one.legs.append((record.generation, LEGS.read(record)))
        elif record.kind == LEARNING_ROUND:
            one.rounds.append((record.generation, ROUNDS.read(record)))
        else:
            one.updates.append((record.generation, UPDATES.read(record)))
    for one in found.values():
        one.legs.sort(key=lambda pair: (pair[0], pair[1].round, pair[1].walker))
        one.rounds.sort(key=lambda pair: (pair[0], pair[1].round))
        one.updates.sort(key=lambda pair: (pair[0], pair[1].round))
    return [one for _, one in sorted(found.items()) if one.updates]


def _told(one: Learnt) -> str:
    """Return where it stands: the audited error against the tolerance, labels, and whether the alarm is silent."""
    _, last = one.updates[-1]
    of = f"{one.system}: " if one.system else ""
    if not one.rounds:
        return f"{of}No round of walkers has ended yet."
    _, newest = one.rounds[-1]
    tolerance = f"the tolerance is {last.force_tolerance_eV_per_A:g} eV/Å"
    if last.is_within_tolerance:
        state = "Within tolerance"
    elif last.audited is not None and last.audited.force_low_eV_per_A > last.force_tolerance_eV_per_A:
        state = "Not converged"
    else:
        state = "Not known to be converged"
    text = (
        f"{of}{state}: {audited_text(last.audited)}; {tolerance}. Walkers simulated {newest.simulated_ps:.3g} ps in "
        f"all and asked for {newest.labels_used} of {last.max_labels} labels."
    )
    if newest.alarms == 0 and newest.looks and not last.is_within_tolerance:
        text += " The alarm was silent in the last round: that says that nothing new was met, and nothing of the error."
    return text


def _blocks(one: Learnt, number: int) -> list[Block]:
    blocks: list[Block] = []
    if one.rounds:
        blocks += [_errors_figure(one, number), _labels_figure(one, number)]
    blocks.append(_generations(one))
    if one.frames:
        blocks += [_calibration_figure(one, number), _alarm_table(one)]
    return blocks


def _starts(one: Learnt) -> list[float]:
    """Return the times at which the later generations began, with full fits (ps)."""
    ends = {generation: values.simulated_ps for generation, values in one.rounds}
    return [ends[generation] for generation in sorted(ends)[:-1]]


def _errors_figure(one: Learnt, number: int) -> FigureBlock:
    points = [
        (time_ps, update.audited)
        for generation, update in one.updates
        if update.audited is not None and (time_ps := one.time_of(generation, update.round - LAG)) is not None
    ]
    curve = AuditedCurve(
        [time_ps for time_ps, _ in points],
        [audited.force_rmse_eV_per_A for _, audited in points],
        [audited.force_low_eV_per_A for _, audited in points],
        [audited.force_high_eV_per_A for _, audited in points],
    )
    frames = {
        kind: ([frame.time_ps for frame in own], [frame.force_rmse_eV_per_A for frame in own])
        for kind, own in _by_kind(one).items()
    }
    tolerance = one.updates[-1][1].force_tolerance_eV_per_A
    caption = (
        "Errors of the model that drove on frames that were labelled afterwards, before they joined it; the line is "
        "what the audits of a generation say so far, the dashed one the tolerance. Only audits, drawn at random, are a "
        "sample of what walkers meet. Dotted: full fits."
    )
    return FigureBlock(f"errors-{number}", audited_errors(curve, frames, tolerance, _starts(one)), caption)


def _by_kind(one: Learnt) -> Mapping[str, list[FrameError]]:
    return {kind: own for kind in KINDS if (own := [frame for frame in one.frames if frame.kind == kind])}


def _labels_figure(one: Learnt, number: int) -> FigureBlock:
    rounds = [values for _, values in one.rounds]
    times = [values.simulated_ps for values in rounds]
    labels = {}
    for kind in KINDS:
        counts = np.cumsum([sum(frame.kind == kind for frame in values.frames) for values in rounds])
        if counts[-1]:
            labels[kind] = counts.tolist()
    alarms = [values.alarms / values.round_ps if values.round_ps else 0.0 for values in rounds]
    caption = "Labels asked for so far, and frames with an alarm per simulated time in each round."
    return FigureBlock(f"labels-{number}", labels_and_alarms(times, labels, alarms, _starts(one)), caption)


def _calibration_figure(one: Learnt, number: int) -> FigureBlock:
    frames = {
        kind: (
            [frame.ratio for frame in known if frame.ratio is not None],
            [x.largest_force_error_eV_per_A for x in known],
        )
        for kind, own in _by_kind(one).items()
        if (known := [frame for frame in own if frame.ratio is not None])
    }
    caption = (
        "Largest force error of a labelled frame against its largest novelty; an alarm sounds from 1. Novelty says "
        "what the model has not seen. Within what it has seen it orders no errors."
    )
    return FigureBlock(f"calibration-{number}", novelty_and_error(frames), caption)


def _generations(one: Learnt) -> TableBlock:
    elements = sorted(
        {element for _, update in one.updates if update.audited for element in update.audited.force_by_element_eV_per_A}
    )
    rows = []
    for generation in one.generations:
        last = [update for other, update in one.updates if other == generation][-1]
        rounds = [values for other, values in one.rounds if other == generation]
        legs = [leg for other, leg in one.legs if other == generation]
        simulated_ps = sum(values.round_ps for values in rounds)
        chosen = [frame.kind for values in rounds for frame in values.frames]
        jumps = [abs(leg.energy_jump_eV_per_atom) for leg in legs if leg.energy_jump_eV_per_atom]
        rows.append(
            (
                str(generation),
                f"{simulated_ps:.3g}",
                str(len(chosen)),
                str(chosen.count(AUDITED)),
                str(last.joined),
                str(sum(values.rewinds for values in rounds)),
                f"{sum(values.alarms for values in rounds) / simulated_ps:.3g}" if simulated_ps else "–",
                _interval(last),
                _energy(last),
                *(_of_element(last, element) for element in elements),
                f"{MILLI * max(jumps):.2g}" if jumps else "–",
                last.ended or next((values.ended for values in reversed(rounds) if values.ended), "") or "its length",
            )
        )
    columns = (
        "generation",
        "simulated, ps",
        "labels",
        "audits",
        "joined in place",
        "went back",
        "alarms, 1/ps",
        "audited force error, meV/Å",
        "energy, meV/atom",
        *(f"on {element}, meV/Å" for element in elements),
        "largest jump, meV/atom",
        "ended by",
    )
    caption = (
        "Root-mean-square errors of the models that drove, by audits (95 % by bootstrap over frames); the last of "
        "earlier generations count too where a generation has fewer than eight. Jump: change of the potential energy "
        "where a walker was given the updated model."
    )
    return TableBlock(columns, rows, caption)


def _interval(update: UpdateValues) -> str:
    found = update.audited
    if found is None:
        return "–"
    return _milli_interval(found.force_rmse_eV_per_A, found.force_low_eV_per_A, found.force_high_eV_per_A)


def _milli_interval(value: float, low: float, high: float) -> str:
    upper = f"{MILLI * high:.0f}" if math.isfinite(high) else "∞"
    return f"{MILLI * value:.0f} ({MILLI * low:.0f} to {upper})"


def _energy(update: UpdateValues) -> str:
    found = update.audited
    return "–" if found is None else f"{MILLI * found.energy_rmse_eV_per_atom:.1f}"


def _of_element(update: UpdateValues, element: str) -> str:
    found = {} if update.audited is None else update.audited.force_by_element_eV_per_A
    return _milli_interval(*found[element]) if element in found else "–"


def _alarm_table(one: Learnt) -> TableBlock:
    """Return what the alarm was worth, on frames that were labelled."""
    tolerance = one.updates[-1][1].force_tolerance_eV_per_A
    frames = [
        # Only the largest error counts here.
        frame_errors.FrameError(
            symbols=("X",),
            forces_eV_per_A=np.array([[frame.largest_force_error_eV_per_A, 0.0, 0.0]]),
            energy_eV_per_atom=frame.energy_error_eV_per_atom,
            is_audit=frame.kind == AUDITED,
            ratio=2.0 if frame.ratio is None else frame.ratio,
        )
        for frame in one.frames
    ]
    quality = frame_errors.alarm_quality(frames, tolerance)
    rows = [
        ("labelled frames with an alarm", str(quality.alarms)),
        (f"of these with a force wrong by more than {3 * tolerance:g} eV/Å", _part(quality.bad_alarms, quality.alarms)),
        ("audits with such a force", _part(quality.bad_audits, quality.audits)),
        ("of these at which the alarm sounded", _part(quality.found, quality.bad_audits)),
        (
            "rank correlation of the largest error with novelty",
            "–" if quality.correlation is None else f"{quality.correlation:.2f}",
        ),
    ]
    return TableBlock(("what the alarm was worth", ""), rows)


def _part(count: int, of: int) -> str:
    return f"{count} of {of}" + (f" ({count / of:.0%})" if of else "")
