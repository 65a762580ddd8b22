"""What the report says of hops and barriers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ....analysis.barriers.figures import (
    PathEnergies,
    SiteNetwork,
    barrier_figure,
    jump_lengths,
    residence_times,
    site_network,
)
from ....analysis.barriers.settings import LOWEST_BARRIER_EV
from ....analysis.figures import model_name
from ....analysis.model_uncertainty.words import (
    MODEL_CAPTION,
    MODEL_COLUMN,
    half_width_text,
    inside_text,
    no_interval_text,
    with_intervals,
)
from ....core.names import REFERENCE
from ....store.connection import Store
from ....store.queries.latest import of_last_generation
from ....store.records import ResultRecord
from ....tasks.results import known_result, load_arrays
from ....tasks.values.barriers import (
    BARRIERS,
    HOP_ENDS,
    HOPS,
    BarrierValues,
    HopSummaryValues,
    HopsValues,
    PotentialOnPathValues,
)
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock
from .graph import CROSSING


def barrier_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: hops, sites, and the energies along every path."""
    hops = of_last_generation(store, campaign, HOPS.name, system)[-1:]
    ends = of_last_generation(store, campaign, HOP_ENDS.name, system)[-1:]
    barriers: dict[tuple[str, str], BarrierValues] = {}
    for record in of_last_generation(store, campaign, BARRIERS.name, system):
        values = BARRIERS.read(record)
        barriers[values.slot, str(record.model_kind)] = values
    if not hops:
        return None
    found = HOPS.read(hops[0])
    blocks: list[Block] = [*_barrier_blocks(barriers), *_hop_blocks(store, hops[0])]
    reasons = [found.reason, *(HOP_ENDS.read(one).reason for one in ends)]
    blocks += [TextBlock(text) for text in _remarks(found, reasons, barriers)]
    return ReportSection("hops-and-barriers", "Hops and barriers", _summary(found, barriers), tuple(blocks))


Barriers = Mapping[tuple[str, str], BarrierValues]
"""By the name of the path, and whose path it is."""


def _barrier_blocks(barriers: Barriers) -> Iterable[Block]:
    whole = {key: values for key, values in barriers.items() if values.potentials}
    kinds = list(dict.fromkeys(kind for _, kind in whole))
    for kind in kinds:
        joined = [whole[slot, kind] for slot in CROSSING if (slot, kind) in whole]
        if len(joined) == len(CROSSING):
            first, second = (path_energies(kind, values) for values in joined)
            both = [first[other].followed_by(second[other]) for other in first if other in second]
            yield FigureBlock(
                f"crossing-{kind}",
                barrier_figure(both),
                f"Two consecutive hops that cross the unit cell ({joined[0].choice.split(',')[0]}), on the "
                f"path of {model_name(kind)}. Every potential counts from its own first image.",
            )
    for (slot, kind), values in sorted(whole.items(), key=lambda one: one[0]):
        if slot not in CROSSING:
            yield FigureBlock(
                f"{slot}-{kind}",
                barrier_figure(list(path_energies(kind, values).values())),
                f"{_title(values)}, on the path of {model_name(kind)}; every potential counts from its own first "
                "image. Lines go through energies and forces; bars: 95 % model intervals.",
            )
    if whole:
        yield TableBlock(
            ("hop", "path of", "energies of", "barrier, eV", f"{MODEL_COLUMN}, eV", "back, eV", f"{MODEL_COLUMN}, eV"),
            [row for key in sorted(whole) for row in _rows(key[1], whole[key])],
            f"± how far the maximum moves if forces are left out of the fit. {MODEL_CAPTION}",
        )
    in_field = [(key, values.saddle_dipole_eA) for key, values in sorted(whole.items()) if values.saddle_dipole_eA]
    if in_field:
        yield TableBlock(
            ("hop", "path of", "x, e Å", "y, e Å", "z, e Å"),
            [(slot, model_name(kind), *(f"{one:+z.2f}" for one in dipole)) for (slot, kind), dipole in in_field],
            "How much farther the maximum is polarised than the first image, by charges or Born charges of the model's "
            "baseline: a small field E lowers the barrier by E times this.",
        )


def path_energies(path_of: str, values: BarrierValues) -> dict[str, PathEnergies]:
    """Return the energies along the path of a potential, by potential."""
    return {
        kind: PathEnergies(
            kind=kind,
            own=kind == path_of,
            coordinate_A=values.coordinate_A,
            energies_eV=numbers.energies_eV,
            curve_coordinate_A=numbers.curve_coordinate_A,
            curve_energies_eV=numbers.curve_energies_eV,
            energies_model_half_width_eV=numbers.energies_model_half_width_eV,
        )
        for kind, numbers in values.potentials.items()
    }


def _title(values: BarrierValues) -> str:
    seen = f", seen {values.observed} times" if values.observed else ""
    return f"{values.slot}: {values.choice}, {values.jump_A:.1f} Å{seen}"


def _rows(path_of: str, values: BarrierValues) -> Iterable[tuple[str, ...]]:
    for kind, numbers in values.potentials.items():
        error = f" ± {numbers.fit_error_eV:.3f}"
        yield (
            values.slot,
            model_name(path_of),
            model_name(kind),
            f"{numbers.forward_eV:z.3f}{error}",
            half_width_text(numbers.forward_model_half_width_eV, ".3f"),
            f"{numbers.reverse_eV:z.3f}{error}",
            half_width_text(numbers.reverse_model_half_width_eV, ".3f"),
        )


def _hop_blocks(store: Store, record: ResultRecord) -> Iterable[Block]:
    whole = known_result(store, record.id)
    values = HOPS.read(record)
    if whole is None or "hops" not in whole.artefacts or not values.hops or values.summary is None:
        return
    arrays = load_arrays(store, whole.artefacts["hops"])
    order = np.argsort(values.summary.net_displacement_A)[::-1]
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
    yield TableBlock(("hops", "number"), [*_hop_rows(values.summary, values.concerted_by_chance)])


def _hop_rows(summary: HopSummaryValues, by_chance: float | None) -> Iterable[tuple[str, str]]:
    low, high = summary.rate_interval_per_ion_per_ps
    yield "hops seen", str(summary.hops)
    yield (
        "hops per ion and ns (95 % interval)",
        (f"{1000 * summary.rate_per_ion_per_ps:.1f} ({1000 * low:.1f} to {1000 * high:.1f})"),
    )
    yield "share of hops in events of several ions, %", f"{100 * summary.concerted_fraction:.0f}"
    if by_chance is not None:
        yield "share that chance alone would bring, %", f"{100 * by_chance:.0f}"
    if summary.mean_jump_A is not None:
        yield "mean length of a jump, Å", f"{summary.mean_jump_A:.2f}"
    for axis, displacement in zip("abc", summary.net_displacement_A, strict=True):
        yield f"net displacement of an ion along {axis} (root mean square), Å", f"{displacement:.2f}"


def _remarks(hops: HopsValues, reasons: Iterable[str], barriers: Barriers) -> Iterable[str]:
    for reason in reasons:
        if reason:
            yield f"{_sentence(reason)}."
    if hops.no_crossing and hops.hops:
        yield f"{_sentence(hops.no_crossing)}."
    for (slot, kind), values in sorted(barriers.items(), key=lambda one: one[0]):
        if values.reason:
            yield f"{slot}, path of {model_name(kind)}: {values.reason}."
        if values.missing:
            names = " and ".join(model_name(other) for other in values.missing)
            yield f"{slot}, path of {model_name(kind)}: single points of {names} are missing; see the failed jobs."
    yield from _model_remarks(barriers)


def _model_remarks(barriers: Barriers) -> Iterable[str]:
    """Yield how the reference lies to the model intervals, and why some models have none."""
    numbers: dict[str, list[tuple[float | None, float | None, float | None]]] = {}
    reasons: dict[str, str] = {}
    for values in barriers.values():
        reference = values.potentials.get(REFERENCE)
        for kind, found in values.potentials.items():
            if kind != REFERENCE and found.model_interval_reason:
                reasons[kind] = found.model_interval_reason
            if kind != REFERENCE and reference is not None:
                forward = (found.forward_eV, reference.forward_eV, found.forward_model_half_width_eV)
                back = (found.reverse_eV, reference.reverse_eV, found.reverse_model_half_width_eV)
                numbers.setdefault(kind, []).extend((forward, back))
    for kind, found_numbers in sorted(numbers.items()):
        if told := inside_text(model_name(kind), "barriers on the same paths", found_numbers):
            yield told
    for kind, reason in sorted(reasons.items()):
        yield no_interval_text(model_name(kind), reason)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _summary(hops: HopsValues, barriers: Barriers) -> str:
    told = f"{hops.hops} hops in {hops.duration_ps:.0f} ps" if hops.hops else "No hops were seen"
    lowest: dict[str, PotentialOnPathValues] = {}
    for (_, kind), values in barriers.items():
        own = values.potentials.get(kind)
        if own is not None and values.converged and (kind not in lowest or own.forward_eV < lowest[kind].forward_eV):
            lowest[kind] = own
    if not lowest:
        return f"{told}; no path has converged."
    numbers = ", ".join(f"{model_name(kind)} {_barrier(one)}" for kind, one in sorted(lowest.items()))
    return f"{told}. Lowest barrier on each model's own paths: {numbers}."


def _barrier(values: PotentialOnPathValues) -> str:
    if values.forward_eV < LOWEST_BARRIER_EV:
        return "none (its path only goes down)"
    return with_intervals(values.forward_eV, "eV", ".2f", model=values.forward_model_half_width_eV)
