"""Structure functions as figures and tables: in the report, in comparisons and on the page of one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ....analysis.figures import COMPARED_COLOURS
from ....analysis.structure_functions.figures import (
    Curve,
    angle_figure,
    measured_figure,
    pair_figure,
    structure_factor_figure,
    total_correlation_figure,
)
from ....analysis.structure_functions.quantities import Quantity
from ....analysis.structure_functions.results import Diffraction, NetworkResult, Shell, StructureResult
from ....core.looks import Look
from ....core.words import three_digits
from ..sections import Block, FigureBlock, TableBlock

BAND = "Bands: 95 % intervals."


@dataclass(frozen=True)
class Shown:
    """Structure functions with a name.

    Attributes
    ----------
    name
        Of the potential and the temperature, or of the file.
    result
        All numbers.
    arrays
        All curves, as `analysis.structure_functions.structure.Structure.arrays` names them.
    look
        Where several are compared; None: by their order.
    """

    name: str
    result: StructureResult
    arrays: Mapping[str, NDArray[Any]]
    look: Look | None = None


def figures(shown: Sequence[Shown], *, pairs_of: int = 1) -> Iterator[FigureBlock]:
    """Yield total functions of all, and partial functions and angles of the first ``pairs_of``."""
    yield from total_figures(shown)
    for number, one in enumerate(shown[:pairs_of], start=1):
        suffix = "" if pairs_of == 1 else f"-{number}"
        caption = f"Pair distribution functions, {one.name}. {BAND if 'g_half' in one.arrays else ''}".rstrip()
        yield FigureBlock(f"pairs{suffix}", pair_figure(_partial(one, "r_A", "g")), caption)
        caption = f"Partial structure factors (Faber and Ziman), {one.name}."
        yield FigureBlock(f"partials{suffix}", structure_factor_figure(_partial(one, "q_per_A", "s", False)), caption)
        angles = [
            Curve(angle.name, one.arrays["angles_degrees"], one.arrays[f"angle_{angle.name}"])
            for angle in one.result.angles
            if angle.angles
        ]
        if angles:
            yield FigureBlock(f"angles{suffix}", angle_figure(angles), f"Bond angles, {one.name}.")


def total_figures(shown: Sequence[Shown]) -> Iterator[FigureBlock]:
    """Yield total structure factors and total correlation functions, every radiation in figures of its own."""
    for radiation in dict.fromkeys(said.radiation for one in shown for said in one.result.diffraction):
        there = [one for one in shown if f"{radiation}_s" in one.arrays]
        if not there:
            continue
        factors = [_total(one, place, "q_per_A", f"{radiation}_s") for place, one in enumerate(there)]
        caption = f"Total structure factor of {radiation} (Faber and Ziman). {BAND}"
        yield FigureBlock(f"total-{radiation}", structure_factor_figure(factors), caption)
        correlations = [_total(one, place, "r_A", f"{radiation}_t") for place, one in enumerate(there)]
        caption = (
            f"Total correlation function of {radiation}, over <b>², as S(q) that ends where the settings say has it."
        )
        yield FigureBlock(f"correlation-{radiation}", total_correlation_figure(correlations), caption)


def _total(one: Shown, place: int, x: str, y: str) -> Curve:
    colour = COMPARED_COLOURS[place % len(COMPARED_COLOURS)] if one.look is None else one.look.colour
    name = one.name if one.look is None else one.look.label
    return Curve(name, one.arrays[x], one.arrays[y], one.arrays.get(f"{y}_half"), colour)


def _partial(one: Shown, x: str, y: str, with_band: bool = True) -> list[Curve]:
    half = one.arrays.get(f"{y}_half") if with_band else None
    species = one.result.species
    return [
        Curve(f"{first}-{second}", one.arrays[x], one.arrays[y][a, b], None if half is None else half[a, b])
        for a, first in enumerate(species)
        for b, second in enumerate(species)
        if a <= b
    ]


def tables(shown: Sequence[Shown]) -> Iterator[TableBlock]:
    """Yield coordination, scattering, angles and networks of all, one table each."""
    rows: list[tuple[str, ...]] = [
        (
            one.name,
            f"{shell.neighbour} around {shell.centre}",
            "–" if shell.peak_A is None else f"{shell.peak_A:.2f}",
            "–" if shell.cutoff_A is None else f"{shell.cutoff_A:.2f}",
            coordination(shell),
            shares(shell),
        )
        for one in shown
        for shell in one.result.shells
        if shell.peak_A is not None or shell.cutoff_A is not None
    ]
    columns = ("potential", "shell", "first peak, Å", "up to, Å", "coordination", "atoms in it")
    text = "Up to: the first minimum of g(r), or what was given. Atoms in it: part of the centres with so many, in %."
    yield TableBlock(columns, rows, text)
    rows = [
        (
            one.name,
            said.radiation,
            *scattering(said),
            f"{one.result.density_g_per_cm3:.4f}",
        )
        for one in shown
        for said in one.result.diffraction
    ]
    columns = ("potential", "radiation", "first peak, 1/Å", "S(q) there", "seam", "density, g/cm³")
    text = "Seam: difference of direct sum and transform where one takes over from the other; of crystals it is large."
    yield TableBlock(columns, rows, text)
    rows = [
        (one.name, angle.name, f"{angle.peak_degrees:.0f}", f"{angle.mean_degrees:.1f}", f"{angle.spread_degrees:.1f}")
        for one in shown
        for angle in one.result.angles
        if angle.mean_degrees is not None
    ]
    if rows:
        yield TableBlock(("potential", "angle", "most at, °", "mean, °", "spread, °"), rows)
    rows = [(one.name, *network(one.result.network)) for one in shown]
    text = (
        "Rings: in a frame, by number of atoms (King's criterion). Chains: part of the centres, by their number, in %."
    )
    yield TableBlock(("potential", "bonds", "rings", "chains"), rows, text)


def coordination(shell: Shell) -> str:
    """Return ``3.98 ± 0.02``, or a dash."""
    if shell.coordination is None:
        return "–"
    sure = "" if shell.half_width is None else f" ± {shell.half_width:.2g}"
    return f"{shell.coordination:.3g}{sure}"


def shares(shell: Shell) -> str:
    """Return ``3: 12, 4: 85, 5: 3``, without what is below half a percent."""
    shown = [(number, 100 * share) for number, share in enumerate(shell.shares) if share >= 0.005]
    return ", ".join(f"{number}: {percent:.0f}" for number, percent in shown)


def scattering(said: Diffraction) -> tuple[str, str, str]:
    """Return where the first peak is, how high, and the seam."""
    if said.first_peak_per_A is None or said.first_peak is None:
        return "–", "–", "–" if said.seam is None else f"{said.seam:.2f}"
    sure = "" if said.first_peak_half_width is None else f" ± {said.first_peak_half_width:.2g}"
    return (
        f"{said.first_peak_per_A:.3f}",
        f"{three_digits(said.first_peak)}{sure}",
        "–" if said.seam is None else f"{said.seam:.2f}",
    )


def network(found: NetworkResult) -> tuple[str, str, str]:
    """Return bonds, rings and chains in words; what is not defined says why."""
    rings = ", ".join(f"{size}: {three_digits(number)}" for size, number in found.rings.items())
    chains = ", ".join(f"{length}: {100 * share:.0f}" for length, share in found.chains.items())
    return (
        ", ".join(found.bonds) or "–",
        f"not defined: {found.rings_reason}" if found.rings_reason else rings,
        f"not defined: {found.chains_reason}" if found.chains_reason else chains,
    )


def remarks(one: Shown) -> Iterator[str]:
    """Yield what a reader should know: what has no interval or is not defined, with the reason."""
    result = one.result
    if result.pair_interval_reason:
        yield f"{one.name}: g(r) has no 95 % interval: {result.pair_interval_reason}."
    if result.diffraction_interval_reason and result.diffraction_interval_reason != result.pair_interval_reason:
        yield f"{one.name}: S(q) has no 95 % interval: {result.diffraction_interval_reason}."
    for said in result.diffraction:
        if said.reason:
            yield f"{one.name}: no total structure factor of {said.radiation}: {said.reason}."
    for agreement in result.agreements:
        if agreement.reason:
            yield f"{one.name}: {agreement.name} is not compared: {agreement.reason}."
    for note in result.notes:
        yield f"{one.name}: {note}."


def summary(shown: Sequence[Shown]) -> str:
    """Return the first peaks of the total structure factors, in a sentence."""
    parts = []
    for one in shown:
        peaks = [
            f"{said.radiation} {said.first_peak_per_A:.2f} 1/Å"
            for said in one.result.diffraction
            if said.first_peak_per_A is not None
        ]
        parts.append(f"{one.name}: {', '.join(peaks) or 'no first peak'}, {one.result.frames} frames")
    return f"First peak of S(q): {'; '.join(parts)}."


def measured_blocks(shown: Sequence[Shown]) -> Iterator[Block]:
    """Yield measured curves beside computed ones, and how far they are apart."""
    curves: dict[tuple[str, str, str], list[Curve]] = {}
    for place, one in enumerate(shown):
        for number, said in enumerate(one.result.agreements, start=1):
            x, measured, computed = one.arrays[f"compared_{number}"]
            if not len(x):
                continue
            key = said.name, said.radiation, said.quantity
            drawn = curves.setdefault(key, [Curve(f"{said.name}, measured", x, measured, measured=True)])
            drawn.append(Curve(one.name, x, computed, colour=COMPARED_COLOURS[(place + 1) % len(COMPARED_COLOURS)]))
    for number, ((name, radiation, quantity), drawn) in enumerate(curves.items(), start=1):
        figure = measured_figure(drawn, Quantity(quantity).axis, quantity)
        yield FigureBlock(f"measured-{number}", figure, f"{name}, {radiation}: {Quantity(quantity).meaning}.")
    yield from agreement_tables(shown)


def agreement_tables(shown: Sequence[Shown]) -> Iterator[TableBlock]:
    """Yield how far computed curves are from measured ones, each with its control; nothing without measured curves."""
    rows = [
        (
            one.name,
            said.name,
            said.radiation,
            said.quantity,
            str(said.points),
            f"{said.r_chi:.3f}",
            f"{said.control:.3f}",
            "–" if said.chi_square_per_point is None else three_digits(said.chi_square_per_point),
            "–" if said.control_chi_square_per_point is None else three_digits(said.control_chi_square_per_point),
            three_digits(said.scale),
            three_digits(said.offset),
        )
        for one in shown
        for said in one.result.agreements
        if said.r_chi is not None
    ]
    columns = (
        "potential",
        "measured",
        "radiation",
        "quantity",
        "points",
        "R_χ",
        "control",
        "χ² per point",
        "its control",
        "scale",
        "offset",
    )
    text = (
        "R_χ: difference over what the measured curve differs from no structure by; 0: the same. Control: the flat "
        "curve, with the same scale and offset."
    )
    if rows:
        yield TableBlock(columns, rows, text)
