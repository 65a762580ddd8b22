"""What the report says of the species of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from ....analysis.figures import model_name, model_place
from ....analysis.speciation.figures import SHARES_CAPTION, TIME_CAPTION, SpeciesSeries, shares_figure, time_figure
from ....analysis.speciation.results import Share, SpeciationResult
from ....core.looks import Look
from ....core.words import three_digits
from ....store.connection import Store
from ....store.queries.latest import latest_by
from ....store.records import ResultRecord
from ....tasks.results import known_result, load_arrays
from ....tasks.values.speciation import SPECIATIONS
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

NO_TIMES: Final = "–"


def speciation_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: shares of all potentials and temperatures, changes, curves against time."""
    records = _latest(store, campaign, system)
    if not records:
        return None
    series = [series_of(store, record) for record in records]
    blocks: list[Block] = [FigureBlock("shares", shares_figure(series), SHARES_CAPTION), *tables(series)]
    blocks += [
        FigureBlock(f"time-{place}", time_figure(one), f"{one.name}: {TIME_CAPTION[0].lower()}{TIME_CAPTION[1:]}")
        for place, one in enumerate(series)
        if changes(one.result)
    ]
    blocks += [TextBlock(f"{text}.") for one in series for text in remarks(one)]
    for record, one in zip(records, series, strict=True):
        if missing := SPECIATIONS.read(record).missing_trajectories:
            blocks.append(TextBlock(f"{one.name}: {missing} trajectories failed or ended early and are left out."))
    return ReportSection("speciation", f"Species of {series[0].result.network}", summary(series), tuple(blocks))


def series_of(store: Store, record: ResultRecord, look: Look | None = None) -> SpeciesSeries:
    """Return what figures and tables show of a result."""
    values = SPECIATIONS.read(record)
    arrays = load_arrays(store, record.artefacts["curves"]) if "curves" in record.artefacts else {}
    return SpeciesSeries(
        kind=str(record.model_kind),
        name=f"{model_name(str(record.model_kind))} at {values.temperature_K:g} K",
        result=SpeciationResult(**{name: getattr(values, name) for name in SpeciationResult.model_fields}),
        times_ps=np.asarray(arrays.get("times_ps", np.zeros(0))),
        family_percent=np.asarray(arrays.get("family_percent", np.zeros((len(values.families), 0)))),
        look=look,
    )


def changes(result: SpeciationResult) -> int:
    """Return how many bonds were made or broken."""
    return (result.made or 0) + (result.broken or 0)


def tables(series: Sequence[SpeciesSeries]) -> Iterator[TableBlock]:
    """Yield species, bridges and free ligands, and changes."""
    yield TableBlock(
        ("", "species", "charge, e", "% of the centres"),
        [(one.name, share.name, _charge(share), show_share(share)) for one in series for share in one.result.species],
        "Intervals: 95 %, over blocks of frames.",
    )
    yield TableBlock(
        ("", "what", "for 100 centres"),
        [
            (one.name, name, show_share(share))
            for one in series
            for name, share in [
                *((f"centres with {share.name} bridging ligands", share) for share in one.result.bridges),
                *((f"free {share.name} ({_charge(share)} e)", share) for share in one.result.free_ligands),
            ]
        ],
    )
    yield TableBlock(
        ("", "frames", "centres", "bonds made", "broken", "changes per centre and ns", "charge left over, e"),
        [
            (
                one.name,
                str(one.result.frames),
                f"{one.result.centres:g}",
                NO_TIMES if one.result.made is None else str(one.result.made),
                NO_TIMES if one.result.broken is None else str(one.result.broken),
                show_changes(one.result),
                show_imbalance(one.result),
            )
            for one in series
        ],
        "Changes with the 95 % interval of counts that come in groups. Charge left over: mean, and the part of the "
        "frames without any.",
    )


def show_share(share: Share) -> str:
    """Return ``66.7 ± 1.2``."""
    return f"{share.percent:.1f}" + ("" if share.half_width is None else f" ± {share.half_width:.1f}")


def _charge(share: Share) -> str:
    return "?" if share.charge_e is None else f"{share.charge_e:+d}".replace("-", "−")


def show_changes(result: SpeciationResult) -> str:
    """Return a rate with its interval, an upper bound where nothing changed, a dash without times."""
    if result.changes_high_per_ns is None or result.changes_per_centre_per_ns is None:
        return NO_TIMES
    high = three_digits(result.changes_high_per_ns)
    if not changes(result):
        return f"≤ {high}"
    low = three_digits(result.changes_low_per_ns or 0.0)
    return f"{three_digits(result.changes_per_centre_per_ns)} ({low} to {high})"


def show_imbalance(result: SpeciationResult) -> str:
    """Return the charge that is left over."""
    if result.imbalance_e is None:
        return "not known"
    if not result.largest_imbalance_e:
        return "none"
    return (
        f"{result.imbalance_e:+.2g} (largest {result.largest_imbalance_e:+d}; none in {result.balanced_percent:.0f} %)"
    )


def remarks(one: SpeciesSeries) -> Iterator[str]:
    """Yield what is to be known about the numbers."""
    if one.result.interval_reason:
        yield f"{one.name}: no intervals: {one.result.interval_reason}"
    for text in one.result.warnings:
        yield f"{one.name}: {text}"


def summary(series: Sequence[SpeciesSeries]) -> str:
    """Return the common species in a sentence."""
    parts = []
    for one in series:
        shares = ", ".join(f"{share.name} {show_share(share)} %" for share in one.result.families[:4])
        parts.append(f"{one.name}: {shares}")
    return f"Centres by species: {'; '.join(parts)}."


def _latest(store: Store, campaign: str, system: str | None) -> list[ResultRecord]:
    def place(record: ResultRecord) -> tuple[Any, float]:
        return model_place(str(record.model_kind)), SPECIATIONS.read(record).temperature_K

    found = latest_by(store, campaign, SPECIATIONS.name, place, system).values()
    return [record for record in sorted(found, key=place) if known_result(store, record.id)]
