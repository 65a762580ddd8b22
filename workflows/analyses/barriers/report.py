"""What the report says of hops and barriers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ....analysis.barriers.figures import (
    PathEnergies,
    SiteNetwork,
    barrier_figure,
    jump_lengths,
    residence_times,
    site_network,
)
from ....analysis.figures import model_name
from ....store.connection import Store
from ....store.queries.latest import of_last_generation
from ....store.records import ResultRecord
from ....tasks.barriers import (
    BARRIER_KIND,
)
from ....tasks.hops import ENDS_KIND, HOPS_KIND
from ....tasks.results import known_result, load_arrays
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock
from .graph import CROSSING


def barrier_section(store: Store, campaign: str) -> ReportSection | None:
    """Return the section of the report: hops, sites, and the energies along every path."""
    hops = of_last_generation(store, campaign, HOPS_KIND)[-1:]
    ends = of_last_generation(store, campaign, ENDS_KIND)[-1:]
    barriers = {
        (record.values["slot"], str(record.model_kind)): record
        for record in of_last_generation(store, campaign, BARRIER_KIND)
    }
    if not hops:
        return None
    blocks: list[Block] = [*_barrier_blocks(barriers), *_hop_blocks(store, hops[0])]
    blocks += [TextBlock(text) for text in _remarks(hops, ends, barriers)]
    return ReportSection("hops-and-barriers", "Hops and barriers", _summary(hops[0], barriers), tuple(blocks))


Barriers = Mapping[tuple[str, str], ResultRecord]


def _barrier_blocks(barriers: Barriers) -> Iterable[Block]:
    whole = {key: record for key, record in barriers.items() if record.values["potentials"]}
    kinds = list(dict.fromkeys(kind for _, kind in whole))
    for kind in kinds:
        joined = [whole[slot, kind] for slot in CROSSING if (slot, kind) in whole]
        if len(joined) == len(CROSSING):
            first, second = (path_energies(record) for record in joined)
            both = [first[other].followed_by(second[other]) for other in first if other in second]
            yield FigureBlock(
                f"crossing-{kind}",
                barrier_figure(both),
                f"Two consecutive hops that cross the unit cell ({joined[0].values['choice'].split(',')[0]}), on the "
                f"path of {model_name(kind)}. Every potential counts from its own first image.",
            )
    for (slot, kind), record in sorted(whole.items()):
        if slot not in CROSSING:
            yield FigureBlock(
                f"{slot}-{kind}",
                barrier_figure(list(path_energies(record).values())),
                f"{_title(record)}, on the path of {model_name(kind)}; every potential counts from its own first "
                "image. Lines go through energies and forces.",
            )
    if whole:
        yield TableBlock(
            ("hop", "path of", "energies of", "barrier, eV", "back, eV"),
            [row for _, record in sorted(whole.items()) for row in _rows(record)],
            "± how far the maximum moves if forces are left out of the fit.",
        )


def path_energies(record: ResultRecord) -> dict[str, PathEnergies]:
    """Return the energies along the path of a barrier, by potential."""
    return {
        kind: PathEnergies(
            kind=kind,
            own=kind == record.model_kind,
            coordinate_A=record.values["coordinate_A"],
            energies_eV=numbers["energies_eV"],
            curve_coordinate_A=numbers["curve_coordinate_A"],
            curve_energies_eV=numbers["curve_energies_eV"],
        )
        for kind, numbers in record.values["potentials"].items()
    }


def _title(record: ResultRecord) -> str:
    values = record.values
    seen = f", seen {values['observed']} times" if values["observed"] else ""
    return f"{values['slot']}: {values['choice']}, {values['jump_A']:.1f} Å{seen}"


def _rows(record: ResultRecord) -> Iterable[tuple[str, ...]]:
    for kind, numbers in record.values["potentials"].items():
        error = f" ± {numbers['fit_error_eV']:.3f}"
        yield (
            record.values["slot"],
            model_name(str(record.model_kind)),
            model_name(kind),
            f"{numbers['forward_eV']:z.3f}{error}",
            f"{numbers['reverse_eV']:z.3f}{error}",
        )


def _hop_blocks(store: Store, record: ResultRecord) -> Iterable[Block]:
    whole = known_result(store, record.id)
    if whole is None or "hops" not in whole.artefacts or not whole.values["hops"]:
        return
    arrays = load_arrays(store, whole.artefacts["hops"])
    summary = whole.values["summary"]
    order = np.argsort(summary["net_displacement_A"])[::-1]
    network = SiteNetwork(
        positions_A=arrays["sites_positions_A"],
        known=arrays["sites_known"],
        occupancy=arrays["sites_occupancy"],
        cell_A=arrays["sites_cell_A"],
        from_site=arrays["hops_from_site"],
        jumps_A=arrays["hops_jump_A"],
    )
    yield FigureBlock(
        "sites",
        site_network(network, (int(order[0]), int(order[1]))),
        "Sites and hops, projected. Larger markers: occupied more of the time; wider lines: more hops.",
    )
    yield FigureBlock("jumps", jump_lengths(np.linalg.norm(arrays["hops_jump_A"], axis=1)), "Lengths of the jumps.")
    yield FigureBlock(
        "residence",
        residence_times(arrays["hops_residence_before_ps"]),
        "Stays before a hop; the first stay of each ion in a trajectory began before it.",
    )
    yield TableBlock(("hops", "number"), [*_hop_rows(whole.values)])


def _hop_rows(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    summary = values["summary"]
    low, high = summary["rate_interval_per_ion_per_ps"]
    yield "hops seen", str(summary["hops"])
    yield (
        "hops per ion and ns (95 % interval)",
        (f"{1000 * summary['rate_per_ion_per_ps']:.1f} ({1000 * low:.1f} to {1000 * high:.1f})"),
    )
    yield "share of hops in events of several ions, %", f"{100 * summary['concerted_fraction']:.0f}"
    yield "share that chance alone would bring, %", f"{100 * values['concerted_by_chance']:.0f}"
    yield "mean length of a jump, Å", f"{summary['mean_jump_A']:.2f}"
    for axis, displacement in zip("abc", summary["net_displacement_A"], strict=True):
        yield f"net displacement of an ion along {axis} (root mean square), Å", f"{displacement:.2f}"


def _remarks(hops: list[ResultRecord], ends: list[ResultRecord], barriers: Barriers) -> Iterable[str]:
    for record in [*hops, *ends]:
        if record.values["reason"]:
            yield f"{_sentence(record.values['reason'])}."
    if hops[0].values["no_crossing"] and hops[0].values["hops"]:
        yield f"{_sentence(hops[0].values['no_crossing'])}."
    for (slot, kind), record in sorted(barriers.items()):
        values = record.values
        if values["reason"]:
            yield f"{slot}, path of {model_name(kind)}: {values['reason']}."
        if values["missing"]:
            names = " and ".join(model_name(other) for other in values["missing"])
            yield f"{slot}, path of {model_name(kind)}: single points of {names} are missing; see the failed jobs."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _summary(hops: ResultRecord, barriers: Barriers) -> str:
    seen = hops.values["hops"]
    told = f"{seen} hops in {hops.values['duration_ps']:.0f} ps" if seen else "No hops were seen"
    lowest: dict[str, float] = {}
    for (_, kind), record in barriers.items():
        own = record.values["potentials"].get(kind)
        if own is not None and record.values["converged"]:
            lowest[kind] = min(lowest.get(kind, np.inf), own["forward_eV"])
    if not lowest:
        return f"{told}; no path has converged."
    numbers = ", ".join(f"{model_name(kind)} {height:.2f} eV" for kind, height in sorted(lowest.items()))
    return f"{told}. Lowest barrier on each model's own paths: {numbers}."
