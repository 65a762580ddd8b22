"""What the report says of the rotation of polyanions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ....analysis.figures import model_name, model_place
from ....analysis.rotation.decay import DecayTime
from ....analysis.rotation.figures import RotationSeries, correlation_figure, coupling_figure, rate_figure
from ....analysis.rotation.held import OneSide
from ....analysis.rotation.rotation import Rate
from ....core.looks import Look
from ....core.words import three_digits
from ....store.connection import Store
from ....store.queries.latest import latest_by
from ....store.records import ResultRecord
from ....tasks.results import known_result, load_arrays
from ....tasks.values.rotation import HELD_POLYANIONS, ROTATIONS, HeldValues, RotationValues
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

SIGNIFICANT = 0.05
CORRELATIONS_CAPTION = (
    "Memory of orientations: C₁ (solid) and C₂ (dashed) of the bonds, C_T (dotted) of the tetrahedron. Jumps that only "
    "exchange ligands leave C_T as it is."
)
RATES_CAPTION = "Rotations per anion and ns with 95 % intervals; arrows: none seen, upper bounds."
COUPLING_CAPTION = (
    "How much likelier a hop near an anion is about its rotations than at any time. Bands: 95 % of the surrogates, "
    "rotations shifted in time; above them hops go with rotations."
)


def rotation_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: rates, decay times, coupling, and their figures."""
    found = [(record, ROTATIONS.read(record)) for record in latest_rotations(store, campaign, system)]
    if not found:
        return None
    series = [series_of(store, record) for record, _ in found]
    at_K = max(one.temperature_K for one in series)
    hottest = [one for one in series if one.temperature_K == at_K]
    blocks: list[Block] = [_rates(found), _decays(found)]
    blocks.append(FigureBlock("correlations", correlation_figure(hottest), f"{CORRELATIONS_CAPTION} At {at_K:g} K."))
    if len({one.temperature_K for one in series}) > 1:
        blocks.append(FigureBlock("rates", rate_figure(series), RATES_CAPTION))
    if any(values.coupling is not None for _, values in found):
        blocks.append(_couplings(found))
    if any(one.coupling is not None for one in hottest):
        blocks.append(FigureBlock("coupling", coupling_figure(hottest), f"{COUPLING_CAPTION} At {at_K:g} K."))
    held = latest_held(store, campaign, system)
    if held:
        blocks.append(_held(held))
        blocks += [TextBlock(text) for text in _why_not_known(held)]
    blocks += [TextBlock(text) for text in _remarks(found)]
    return ReportSection("rotation", f"Rotation of {found[0][1].formula}", _summary(found), tuple(blocks))


def latest_rotations(store: Store, campaign: str, system: str | None = None) -> list[ResultRecord]:
    """Return the latest result of every potential and temperature, models first, whose files are whole."""

    def place(record: ResultRecord) -> tuple[Any, float]:
        return model_place(str(record.model_kind)), ROTATIONS.read(record).temperature_K

    found = latest_by(store, campaign, ROTATIONS.name, place, system).values()
    return [record for record in sorted(found, key=place) if known_result(store, record.id)]


def latest_held(store: Store, campaign: str, system: str | None = None) -> list[tuple[ResultRecord, HeldValues]]:
    """Return the latest results with held polyanions of every potential, temperature and way to hold them."""

    def place(record: ResultRecord) -> tuple[Any, float, str]:
        values = HELD_POLYANIONS.read(record)
        return model_place(str(record.model_kind)), values.temperature_K, values.by

    found = latest_by(store, campaign, HELD_POLYANIONS.name, place, system).values()
    return [(record, HELD_POLYANIONS.read(record)) for record in sorted(found, key=place)]


def series_of(store: Store, record: ResultRecord, look: Look | None = None) -> RotationSeries:
    """Return what the figures show of a result."""
    values, arrays = ROTATIONS.read(record), load_arrays(store, record.artefacts["curves"])
    return RotationSeries(
        kind=str(record.model_kind),
        temperature_K=values.temperature_K,
        lags_ps=arrays["lags_ps"],
        curves=arrays["correlations"],
        rate_per_anion_per_ns=values.rotations_per_anion_per_ns,
        rotations=values.rotations,
        coupling=values.coupling,
        look=look,
    )


_Found = Sequence[tuple[ResultRecord, RotationValues]]


def show_rate(rate: Rate, count: int) -> str:
    """Return ``1.2 (0.9 to 1.6)``, or the upper bound where nothing happened."""
    if not count:
        return f"≤ {three_digits(rate.high)}"
    return f"{three_digits(rate.value)} ({three_digits(rate.low)} to {three_digits(rate.high)})"


def show_decay(decay: DecayTime | None) -> str:
    """Return ``12 (9 to 15) ps``, ``> 500 ps`` where it has not decayed, or a dash."""
    if decay is None:
        return "–"
    if decay.time_ps is None:
        return f"> {three_digits(decay.low_ps or 0.0)}"
    low = "?" if decay.low_ps is None else three_digits(decay.low_ps)
    high = "?" if decay.high_ps is None else three_digits(decay.high_ps)
    return f"{three_digits(decay.time_ps)} ({low} to {high})"


def _name(record: ResultRecord) -> str:
    return model_name(str(record.model_kind))


def _rates(found: _Found) -> TableBlock:
    rows = [
        (
            _name(record),
            f"{one.temperature_K:g}",
            f"{one.trajectories} × {one.length_ps:g} ps",
            str(one.anions),
            str(one.rotations),
            show_rate(one.rotations_per_anion_per_ns, one.rotations),
            "–" if not one.rotations else f"{100 * one.permuting / one.rotations:.0f}",
            "–" if one.mean_angle_degree is None else f"{one.mean_angle_degree:.0f}",
            f"{100 * one.whole_fraction:.1f}",
            show_rate(one.breaks_per_anion_per_ns, one.breaks),
        )
        for record, one in found
    ]
    columns = (
        "potential",
        "T, K",
        "length",
        "anions",
        "rotations",
        "per anion and ns",
        "exchange only, %",
        "mean angle, °",
        "whole, %",
        "broken per anion and ns",
    )
    text = (
        "In brackets: 95 % intervals of counts. Exchange only: after the rotation the anion lies as before, with its "
        "ligands in other places. Whole: part of the time in which the anion has its ligands; the rest is left out."
    )
    return TableBlock(columns, rows, text)


def _decays(found: _Found) -> TableBlock:
    rows = [
        (_name(record), f"{one.temperature_K:g}", show_decay(one.c1), show_decay(one.c2), show_decay(one.ct))
        for record, one in found
    ]
    text = (
        "Times τ of stretched exponentials, with 95 % intervals: those of a count of losses of memory, wider where "
        "anions and blocks of time scatter more. >: not decayed to 1/e within the longest lag, half of a trajectory."
    )
    return TableBlock(("potential", "T, K", "τ of C₁, ps", "τ of C₂, ps", "τ of C_T, ps"), rows, text)


def _couplings(found: _Found) -> TableBlock:
    rows = [
        (
            _name(record),
            f"{one.temperature_K:g}",
            f"{window.window_ps:g}",
            f"{window.given_rotation:.2f}",
            f"{window.by_chance:.2f} ({window.chance_low:.2f} to {window.chance_high:.2f})",
            "–" if window.ratio is None else three_digits(window.ratio),
            f"{window.p_value:.3f}",
            f"{one.coupling.p_value:.3f}",
        )
        for record, one in found
        if one.coupling is not None
        for window in one.coupling.windows
    ]
    columns = (
        "potential",
        "T, K",
        "± ps",
        "P(hop | rotation)",
        "by chance",
        "ratio",
        "p",
        "p of all windows",
    )
    return TableBlock(columns, rows, "By chance: mean and 95 % of rotations that are shifted in time.")


def _held(found: Sequence[tuple[ResultRecord, HeldValues]]) -> TableBlock:
    rows = [
        (
            _name(record),
            f"{one.temperature_K:g}",
            one.by,
            *(_diffusivity(side) for side in (one.free, one.held)),
            *(show_rate(side.rotations_per_anion_per_ns, side.rotations) for side in (one.free, one.held)),
            _show_ratio(one),
            one.answer,
        )
        for record, one in found
    ]
    first = found[0][1]
    columns = (
        "potential",
        "T, K",
        "held by",
        "D free, Å²/ps",
        "D held, Å²/ps",
        "rotations free, per anion and ns",
        "rotations held",
        "D held / D free",
        f"{first.mobile} with {first.formula} held",
    )
    text = (
        "Whether ions need rotations: the same trajectories with the anions held. In brackets: 95 % intervals. Walls "
        "stop wide librations as well; heavy ligands are slow in all that they do, so that a lower diffusivity with "
        "them need not be for want of rotations."
    )
    return TableBlock(columns, rows, text)


def _diffusivity(side: OneSide) -> str:
    one = side.diffusivity_A2_per_ps
    if not side.reliable:
        return f"≤ {three_digits(one.high)}"
    return f"{three_digits(one.value)} ({three_digits(one.low)} to {three_digits(one.high)})"


def _show_ratio(one: HeldValues) -> str:
    if one.ratio_low is None or one.ratio_high is None:
        return "–"
    if one.ratio is None:
        return f"≤ {three_digits(one.ratio_high)}"
    return f"{three_digits(one.ratio)} ({three_digits(one.ratio_low)} to {three_digits(one.ratio_high)})"


def _why_not_known(found: Sequence[tuple[ResultRecord, HeldValues]]) -> Iterator[str]:
    for record, one in found:
        if one.why_not_known:
            yield (
                f"{_name(record)} at {one.temperature_K:g} K, held by {one.by}: whether {one.mobile} needs rotations "
                f"is not known; {'; '.join(one.why_not_known)}."
            )


def _remarks(found: _Found) -> Iterator[str]:
    for record, one in found:
        name = f"{_name(record)} at {one.temperature_K:g} K"
        if one.missing_trajectories:
            yield f"{name}: {one.missing_trajectories} trajectories failed or ended early and are left out."
        for warning in one.warnings:
            yield f"{name}: {warning}."


def _summary(found: _Found) -> str:
    parts = []
    for record, one in found:
        text = f"{_name(record)} {show_rate(one.rotations_per_anion_per_ns, one.rotations)} at {one.temperature_K:g} K"
        if one.coupling is not None and one.coupling.p_value < SIGNIFICANT:
            text += f", and {one.mobile} hops with it (p = {one.coupling.p_value:.2g})"
        parts.append(text)
    return f"Rotations per {found[0][1].formula} and ns: {'; '.join(parts)}."
