"""What the report says about defects: Frenkel pairs without a field, in a field, and vacancies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from ....analysis.defects.defect_sites import DefectState
from ....analysis.defects.figures import FieldCurve, SeparationPoints, field_figure, separation_figure
from ....analysis.defects.formation import Distribution
from ....analysis.defects.settings import AXES
from ....analysis.figures import model_name
from ....analysis.model_uncertainty.words import (
    MODEL_CAPTION,
    MODEL_COLUMN,
    STATISTICAL_COLUMN,
    half_width_text,
    inside_text,
    no_interval_text,
    student_half_width,
    with_intervals,
)
from ....store.connection import Store
from ....store.queries.latest import latest_by_model
from ....store.result_kinds import ResultKind, ResultValues
from ....tasks.values.defects import (
    FRENKEL,
    FRENKEL_IN_FIELD,
    VACANCIES,
    FrenkelFieldValues,
    FrenkelValues,
    PairAtFieldValues,
    PairInFieldValues,
    PairValues,
    VacancyValues,
    VacantSiteValues,
)
from ..results import in_order_of_models
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

MAX_FIELD_FIGURES = 6
NOT_LOWEST_EV = 0.05
"""A pair that is lower than the bulk by more than this says that the bulk is not at its lowest (eV)."""
NONE = "–"


Values = TypeVar("Values", bound=ResultValues)
Results = Sequence[tuple[str, Values]]
"""What a model is called, and what was found for it."""


def _latest(store: Store, campaign: str, kind: ResultKind[Values], system: str | None) -> Results[Values]:
    """Return the campaign's latest result of that kind for every model, with what the model is called."""
    records = in_order_of_models(latest_by_model(store, campaign, kind.name, system))
    return [(str(record.model_kind), kind.read(record)) for record in records]


def frenkel_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section on Frenkel pairs: their energies without a field, then against the field."""
    results = _latest(store, campaign, FRENKEL, system)
    if not results:
        return None
    in_field = _latest(store, campaign, FRENKEL_IN_FIELD, system)
    blocks: list[Block] = [block for kind, values in in_field for block in _field_blocks(kind, values)]
    if any(values.formation_energy_eV for _, values in results):
        blocks.append(_separation_block(results))
    blocks.append(_pairs_table(results))
    blocks += [TextBlock(text) for text in _frenkel_remarks(results)]
    return ReportSection("frenkel", "Frenkel pairs", _frenkel_summary(results, in_field), tuple(blocks))


def _field_blocks(kind: str, values: FrenkelFieldValues) -> Iterator[Block]:
    charges = ", ".join(f"{symbol} {charge:+.3g}" for symbol, charge in sorted(values.charges_e.items()))
    cell = "×".join(map(str, values.supercell))
    for number, pair in enumerate(values.pairs[:MAX_FIELD_FIGURES]):
        yield FigureBlock(
            f"field-{number}",
            field_figure([field_curve(axis, points) for axis, points in pair.axes.items()]),
            f"Formation energy of a pair {pair.separation_A:.1f} Å apart against the field "
            f"({model_name(kind)}, {cell} cells). Bulk and pair are relaxed at every field, each "
            "from the field before; crosses: the pair recombines without a barrier; open: an ion hopped, beside the "
            "pair or in the bulk, or a relaxation did not converge; bars: 95 % model intervals. The field "
            f"acts on these charges: {charges} e ({values.charges_from}).",
        )
    events = [
        (f"{pair.separation_A:.2f}", event.axis, f"{event.field_V_per_A:+g}", event.event)
        for pair in values.pairs
        for event in pair.events
    ]
    if events:
        yield TableBlock(
            ("distance, Å", "axis", "field, V/Å", "what happened"), events, "Pairs that did not stay what they were."
        )
    if any(pair.dipole_model_half_width_eA for pair in values.pairs):
        yield TableBlock(
            ("distance, Å", "axis", "dipole, e Å", f"{MODEL_COLUMN}, e Å"),
            [row for pair in values.pairs for row in _dipole_rows(pair)],
            f"Dipole moments of the pairs, minus the slope of the formation energy with the field. {MODEL_CAPTION} Of "
            "the slope between the fields next to zero; charges are taken as they are.",
        )
    if values.fewer_pairs_than_asked:
        yield TextBlock(
            f"{values.fewer_pairs_than_asked} fewer pairs than asked for are followed in the field: the "
            "others recombined or did not converge without one. Raise analyses.frenkel.attempts."
        )


def _dipole_rows(pair: PairInFieldValues) -> Iterator[tuple[str, ...]]:
    for axis, dipole_eA in zip(AXES, pair.dipole_eA, strict=True):
        if axis in pair.dipole_model_half_width_eA:
            model = half_width_text(pair.dipole_model_half_width_eA[axis], ".3f")
            yield (f"{pair.separation_A:.2f}", axis, f"{dipole_eA:+z.3f}", model)


def field_curve(axis: str, points: Sequence[PairAtFieldValues]) -> FieldCurve:
    """Return the energies of one pair along one axis."""
    return FieldCurve(
        axis=axis,
        fields_V_per_A=tuple(point.field_V_per_A for point in points),
        formation_energies_eV=tuple(point.formation_energy_eV for point in points),
        states=tuple(point.state for point in points),
        model_half_widths_eV=tuple(point.formation_energy_model_half_width_eV for point in points),
    )


def separation_points(kind: str, values: FrenkelValues) -> SeparationPoints:
    """Return the formation energies of one potential's pairs that have one."""
    pairs = [(pair.separation_A, pair.formation_energy_eV) for pair in values.pairs]
    half_widths = tuple(
        pair.formation_energy_model_half_width_eV for pair in values.pairs if pair.formation_energy_eV is not None
    )
    return replace(_points(kind, pairs), model_half_widths_eV=half_widths)


def _points(kind: str, pairs: Sequence[tuple[float, float | None]], label: str = "") -> SeparationPoints:
    found = [(separation_A, energy_eV) for separation_A, energy_eV in pairs if energy_eV is not None]
    return SeparationPoints(kind, tuple(one for one, _ in found), tuple(energy for _, energy in found), label)


def _separation_block(results: Results[FrenkelValues]) -> FigureBlock:
    series = []
    for kind, values in results:
        reference = [(pair.separation_A, pair.reference_formation_energy_eV) for pair in values.pairs]
        series += [separation_points(kind, values), _points(kind, reference, f"reference on {model_name(kind)}'s")]
    return FigureBlock(
        "separation",
        separation_figure([one for one in series if one.separations_A]),
        "Formation energies without a field against the distance at which the pair was made. Open: single points of "
        "the reference on the structures that a model relaxed, bulk and pair. Bars: 95 % model intervals.",
    )


def _pairs_table(results: Results[FrenkelValues]) -> TableBlock:
    rows = []
    for kind, values in results:
        name = model_name(kind)
        lost = (str(values.recombined), str(values.unconverged + values.missing))
        model = values.formation_energy_model_half_width_eV
        rows.append((*_distribution_row(name, values.formation_energy_eV, model), *lost))
        if values.reference_formation_energy_eV:
            row = _distribution_row(f"reference on {name}'s", values.reference_formation_energy_eV)
            rows.append((*row, *lost))
    return TableBlock(
        (*_COLUMNS, "pairs", "recombined", "unconverged"),
        rows,
        "Without a field. Statistical ±: 95 % interval of the mean over pairs, by Student's t; they differ, so the "
        f"scatter is no error. {MODEL_CAPTION}",
    )


_COLUMNS = (
    "potential",
    "mean, eV",
    f"{STATISTICAL_COLUMN}, eV",
    f"{MODEL_COLUMN}, eV",
    "scatter, eV",
    "lowest, eV",
    "highest, eV",
)


def _distribution_row(name: str, found: Distribution | None, model: float | None = None) -> tuple[str, ...]:
    if found is None:
        return (name, *[NONE] * 6, "0")
    return (
        name,
        f"{found.mean:z.3f}",
        half_width_text(_statistical(found), ".3f"),
        half_width_text(model, ".3f"),
        half_width_text(found.standard_deviation, ".3f"),
        f"{found.minimum:.3f}",
        f"{found.maximum:.3f}",
        str(found.count),
    )


def _statistical(found: Distribution) -> float | None:
    return student_half_width(found.standard_error, found.count - 1)


def _mean(found: Distribution, model: float | None) -> str:
    return with_intervals(found.mean, "eV", ".3f", statistical=_statistical(found), model=model)


def _frenkel_remarks(results: Results[FrenkelValues]) -> Iterator[str]:
    for kind, values in results:
        name, found = model_name(kind), values.formation_energy_eV
        if values.field:
            yield f"{values.field}."
        if found is not None and found.minimum < -NOT_LOWEST_EV:
            yield (
                f"{name}: a pair is {-found.minimum:.2f} eV lower than the bulk: the structure of the campaign is "
                "not what this model takes for the lowest. Formation energies count from the structure as it relaxes; "
                "anneal it before trusting them."
            )
        if not values.intact:
            yield f"{name}: no pair survived its relaxation; raise analyses.frenkel.attempts."
        yield from _model_remarks(name, values, "pairs", values.pairs)


def _model_remarks(
    name: str, values: FrenkelValues | VacancyValues, what: str, defects: Sequence[PairValues | VacantSiteValues]
) -> Iterator[str]:
    """Yield how the reference lies to a model's intervals, or why it has none."""
    numbers = [
        (one.formation_energy_eV, one.reference_formation_energy_eV, one.formation_energy_model_half_width_eV)
        for one in defects
    ]
    if told := inside_text(name, what, numbers):
        yield told
    if values.model_interval_reason:
        yield no_interval_text(name, values.model_interval_reason)


def _frenkel_summary(results: Results[FrenkelValues], in_field: Results[FrenkelFieldValues]) -> str:
    parts = [
        f"{model_name(kind)} {_mean(values.formation_energy_eV, values.formation_energy_model_half_width_eV)} "
        f"({values.formation_energy_eV.count} pairs)"
        for kind, values in results
        if values.formation_energy_eV
    ]
    text = f"Frenkel pairs cost {'; '.join(parts)} without a field." if parts else "No Frenkel pair survived."
    events = [event for _, values in in_field for pair in values.pairs for event in pair.events]
    gone = [event for event in events if event.event == DefectState.RECOMBINED]
    if gone:
        weakest = min(gone, key=lambda event: abs(event.field_V_per_A))
        text += f" In a field pairs recombine, the first at {weakest.field_V_per_A:+g} V/Å along {weakest.axis}."
    return text


def vacancy_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section on vacancies: energies by model and reference, and against what they count."""
    results = _latest(store, campaign, VACANCIES, system)
    if not results:
        return None
    rows = []
    for kind, values in results:
        name = model_name(kind)
        for found, label, model in (
            (values.formation_energy_eV, name, values.formation_energy_model_half_width_eV),
            (values.reference_formation_energy_eV, f"reference on {name}'s", None),
        ):
            if found is not None:
                rows.append(_distribution_row(label, found, model))
    blocks: list[Block] = []
    if rows:
        caption = (
            "Statistical ±: 95 % interval of the mean over sites that no symmetry relates, by Student's t. "
            f"{MODEL_CAPTION} The removed atom's energy is the reference's and has no part in it."
        )
        blocks.append(TableBlock((*_COLUMNS, "sites"), rows, caption))
    blocks += [TextBlock(text) for text in _vacancy_remarks(results)]
    means = [
        f"{model_name(kind)} {_mean(values.formation_energy_eV, values.formation_energy_model_half_width_eV)}"
        for kind, values in results
        if values.formation_energy_eV
    ]
    against = results[0][1].removed_atom
    summary = (
        f"A neutral vacancy costs {'; '.join(means)}, against {_with_article(against)}."
        if means
        else ("No vacancy was relaxed.")
    )
    return ReportSection("vacancy", "Vacancies", summary, tuple(blocks))


def _with_article(state: str) -> str:
    return f"the {state}" if state.startswith("metal") else f"an {state}"


def _vacancy_remarks(results: Results[VacancyValues]) -> Iterator[str]:
    first = results[0][1]
    if first.removed_atom == "isolated atom":
        yield (
            f"Energies count from the isolated atom ({first.removed_atom_energy_eV:.3f} eV by the reference engine, "
            "which the models share): subtract the cohesive energy of the metal (1.63 eV for Li, measured) to count "
            "from the metal. The models have seen no metal, so they could not say."
        )
    else:
        yield (
            f"Energies count from the metal at its measured lattice constant ({first.removed_atom_energy_eV:.3f} eV "
            "per atom by the reference engine, for models and reference alike: the models have seen no metal)."
        )
    yield (
        "Taking out a neutral atom leaves an electron fewer. The reference knows what becomes of it; the models have "
        "seen no such cell and know no electrons, so their numbers are extrapolations."
    )
    for kind, values in results:
        yield from _model_remarks(model_name(kind), values, "sites", values.vacancies)
        if values.cell_charge_e:
            yield (
                f"{model_name(kind)}: the baseline's cell is left with {values.cell_charge_e:+.3g} e, which a "
                "uniform background compensates; the energy depends on the size of the cell for this reason too."
            )
