"""What the report says of glasses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ....analysis.figures import model_name
from ....analysis.glasses.figures import MOST_CURVES, GlassSeries, anions_figure, density_figure, quench_figure
from ....analysis.glasses.groups import GlassGroup, MadeGlass, sound
from ....analysis.glasses.spread import Spread
from ....core.looks import Look
from ....store.connection import Store
from ....store.queries.latest import latest_by_model
from ....store.records import ResultRecord
from ....tasks.glasses.glass import load_curves
from ....tasks.values.glasses import GLASS, GLASSES, GlassesValues
from ..results import in_order_of_models
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

LARGEST_DRIFT: Final = 0.01
"""Part of the density by which the halves of a hold may differ."""
_Found = Sequence[tuple[ResultRecord, GlassesValues]]


def glasses_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: groups of glasses, trends, figures, what broke."""
    records = in_order_of_models(latest_by_model(store, campaign, GLASSES.name, system))
    if not records:
        return None
    found = [(record, GLASSES.read(record)) for record in records]
    series = [series_of(store, record) for record in records]
    blocks: list[Block] = [_groups(found)]
    if any(sound(one.glasses) for one in series):
        blocks.append(
            FigureBlock("density", density_figure(series), "Density at rest: every glass, means with 95 % intervals.")
        )
        blocks.append(FigureBlock("quench", quench_figure(series), "Density on the way down, one line for each glass."))
    if any(group.centres_percent for one in series for group in one.groups):
        blocks.append(
            FigureBlock("anions", anions_figure(series), "Centres by anion, with 95 % intervals between glasses.")
        )
        blocks.append(_anions(found))
    if any(values.trends for _, values in found):
        blocks.append(_trends(found))
    blocks += [TextBlock(text) for text in _remarks(found, series)]
    return ReportSection("glasses", "Glasses", _summary(found), tuple(blocks))


def series_of(store: Store, record: ResultRecord, look: Look | None = None, *, curves: bool = True) -> GlassSeries:
    """Return what figures show of the glasses of one potential; those with curves first."""
    records = [one for one in store.results.get_many(record.inputs) if one.kind == GLASS.name]
    whole = [one for one in records if "curves" in one.artefacts and store.artefacts.is_there(one.artefacts["curves"])]
    others = [one for one in records if one not in whole]
    glasses = tuple(MadeGlass(**dict(GLASS.read(one))) for one in (*whole, *others))
    shown = whole[:MOST_CURVES] if curves else []
    return GlassSeries(
        kind=str(record.model_kind),
        glasses=glasses,
        groups=GLASSES.read(record).groups,
        curves=tuple(load_curves(store, one) for one in shown),
        look=look,
    )


def show_spread(spread: Spread | None, digits: int) -> str:
    """Return ``1.934 ± 0.012 (1.915 to 1.953)``: mean, standard deviation between glasses, interval of the mean."""
    if spread is None:
        return "–"
    text = f"{spread.mean:.{digits}f}"
    if spread.standard_deviation is None or spread.low is None or spread.high is None:
        return text
    return f"{text} ± {spread.standard_deviation:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"


def _groups(found: _Found) -> TableBlock:
    rows = [
        (
            model_name(str(record.model_kind)),
            group.size,
            str(group.atoms),
            f"{group.quench_K_per_ps:g}",
            f"{group.planned - group.broken - group.missing} of {group.planned}",
            show_spread(group.density_g_per_cm3, 3),
            show_spread(group.held_density_g_per_cm3, 3),
            show_spread(group.energy_eV_per_atom, 4),
        )
        for record, values in found
        for group in values.groups
    ]
    temperature_K = found[0][1].temperature_K
    columns = (
        "potential",
        "size",
        "atoms",
        "rate, K/ps",
        "glasses",
        "density at rest, g/cm³",
        f"density at {temperature_K:g} K, g/cm³",
        "energy at rest, eV/atom",
    )
    text = (
        "Mean ± standard deviation between glasses; in brackets the 95 % interval of the mean by Student's t, with "
        "glasses, not frames, as the sample."
    )
    return TableBlock(columns, rows, text)


def _anions(found: _Found) -> TableBlock:
    rows = [
        (
            model_name(str(record.model_kind)),
            group.size,
            f"{group.quench_K_per_ps:g}",
            name,
            show_spread(spread, 1),
        )
        for record, values in found
        for group in values.groups
        for name, spread in _counted(group)
    ]
    text = (
        "At rest, mean ± standard deviation between glasses, in brackets the 95 % interval of the mean. Anions and "
        "bridges in percent of the centres; free ligands for 100 centres."
    )
    return TableBlock(("potential", "size", "rate, K/ps", "what", "%"), rows, text)


def _counted(group: GlassGroup) -> Iterator[tuple[str, Spread]]:
    yield from group.centres_percent.items()
    for bridges, spread in group.bridges_percent.items():
        yield f"{bridges} bridging", spread
    for name, spread in group.free_percent.items():
        yield f"free {name}", spread


def _trends(found: _Found) -> TableBlock:
    rows = [
        (
            model_name(str(record.model_kind)),
            trend.quantity,
            trend.against,
            trend.at,
            str(trend.glasses),
            f"{trend.slope_per_decade:+.3g}",
            "–" if trend.low is None or trend.high is None else f"{trend.low:.3g} to {trend.high:.3g}",
            "yes" if trend.is_clear else "no",
        )
        for record, values in found
        for trend in values.trends
    ]
    columns = ("potential", "quantity", "against", "at", "glasses", "per decade", "95 % interval", "clear")
    text = (
        "Slope against the decimal logarithm of the rate, or of the number of atoms; clear: its interval leaves 0 "
        "out. Of twenty slopes that are 0, one is clear by chance."
    )
    return TableBlock(columns, rows, text)


def _remarks(found: _Found, series: Sequence[GlassSeries]) -> Iterator[str]:
    for (record, values), one in zip(found, series, strict=True):
        name = model_name(str(record.model_kind))
        for which, reason in values.reasons.items():
            yield f"{name}: {which} broke {reason}."
        for group in values.groups:
            spread = group.density_g_per_cm3
            if spread is not None and spread.too_few:
                count = "one glass" if spread.glasses == 1 else f"{spread.glasses} glasses"
                yield (
                    f"{name}, {group.size}, {group.quench_K_per_ps:g} K/ps: {count}, fewer than three: the spread "
                    "between glasses is not known; an interval of two is mostly Student's t."
                )
        for glass in sound(one.glasses):
            held = glass.held
            if held is not None and abs(held.drift_g_per_cm3) > LARGEST_DRIFT * held.density_g_per_cm3:
                yield (
                    f"{name}: the density of {glass.name} still changed by {held.drift_g_per_cm3:+.3f} g/cm³ while it "
                    "was held: make glass_ps longer, or the barostat quicker."
                )
        charged = [f"{glass.name} {glass.imbalance_e:+d} e" for glass in sound(one.glasses) if glass.imbalance_e]
        if charged:
            yield (
                f"{name}: charges of the anions do not balance those of the cations, which counts broken species: "
                f"{', '.join(charged)}."
            )
        loose = [glass.name for glass in sound(one.glasses) if not glass.converged]
        if loose:
            yield f"{name}: relaxations that did not reach their tolerance: {', '.join(loose)}."
    yield (
        "Simulated rates are ten orders of magnitude or more above those of a furnace: a glass keeps the anions "
        "and the density of a higher temperature than an experiment's. A trend with the rate tells in which "
        "direction slower cooling goes, not where it ends."
    )


def _summary(found: _Found) -> str:
    parts = []
    for record, values in found:
        text = f"{model_name(str(record.model_kind))}: {values.told}"
        best = [group for group in values.groups if group.density_g_per_cm3 is not None]
        if best:
            slowest = min(best, key=lambda group: (group.quench_K_per_ps, -group.atoms))
            text += (
                f", {show_spread(slowest.density_g_per_cm3, 3)} g/cm³ at rest with {slowest.atoms} atoms and "
                f"{slowest.quench_K_per_ps:g} K/ps"
            )
        parts.append(text)
    return f"{'; '.join(parts)}."
