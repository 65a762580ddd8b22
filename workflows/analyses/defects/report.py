"""What the report says about defects: Frenkel pairs without a field, in a field, and vacancies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ....analysis.defects.figures import FieldCurve, SeparationPoints, field_figure, separation_figure
from ....analysis.figures import model_name
from ....store.connection import Store
from ....store.queries.latest import latest_by_model
from ....store.records import ResultRecord
from ....tasks.defect_results import FRENKEL_FIELD_KIND, FRENKEL_KIND, VACANCY_KIND
from ..results import in_order_of_models
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

MAX_FIELD_FIGURES = 6
NOT_LOWEST_EV = 0.05
"""A pair that is lower than the bulk by more than this says that the bulk is not at its lowest (eV)."""
NONE = "–"


def latest_results(store: Store, campaign: str, kind: str) -> list[ResultRecord]:
    """Return the campaign's latest result of that kind for every model."""
    return in_order_of_models(latest_by_model(store, campaign, kind))


def frenkel_section(store: Store, campaign: str) -> ReportSection | None:
    """Return the section on Frenkel pairs: their energies without a field, then against the field."""
    records = latest_results(store, campaign, FRENKEL_KIND)
    if not records:
        return None
    in_field = latest_results(store, campaign, FRENKEL_FIELD_KIND)
    blocks: list[Block] = [block for record in in_field for block in _field_blocks(record)]
    if any(record.values["formation_energy_eV"] for record in records):
        blocks.append(_separation_block(records))
    blocks.append(_pairs_table(records))
    blocks += [TextBlock(text) for text in _frenkel_remarks(records)]
    return ReportSection("frenkel", "Frenkel pairs", _frenkel_summary(records, in_field), tuple(blocks))


def _field_blocks(record: ResultRecord) -> Iterator[Block]:
    charges = ", ".join(f"{symbol} {charge:+.3g}" for symbol, charge in sorted(record.values["charges_e"].items()))
    cell = "×".join(map(str, record.values["supercell"]))
    for number, pair in enumerate(record.values["pairs"][:MAX_FIELD_FIGURES]):
        yield FigureBlock(
            f"field-{number}",
            field_figure([field_curve(axis, points) for axis, points in pair["axes"].items()]),
            f"Formation energy of a pair {pair['separation_A']:.1f} Å apart against the field "
            f"({model_name(str(record.model_kind))}, {cell} cells). Bulk and pair are relaxed at every field, each "
            "from the field before; crosses: the pair recombines without a barrier; open: an ion hopped, beside the "
            "pair or in the bulk, or a relaxation did not converge. The field acts on the charges of the baseline "
            f"({charges} e).",
        )
    events = [
        (f"{pair['separation_A']:.2f}", event["axis"], f"{event['field_V_per_A']:+g}", event["event"])
        for pair in record.values["pairs"]
        for event in pair["events"]
    ]
    if events:
        yield TableBlock(
            ("distance, Å", "axis", "field, V/Å", "what happened"), events, "Pairs that did not stay what they were."
        )
    if record.values["fewer_pairs_than_asked"]:
        yield TextBlock(
            f"{record.values['fewer_pairs_than_asked']} fewer pairs than asked for are followed in the field: the "
            "others recombined or did not converge without one. Raise analyses.frenkel.attempts."
        )


def field_curve(axis: str, points: list[Mapping[str, Any]]) -> FieldCurve:
    """Return the energies of one pair along one axis."""
    return FieldCurve(
        axis=axis,
        fields_V_per_A=tuple(point["field_V_per_A"] for point in points),
        formation_energies_eV=tuple(point["formation_energy_eV"] for point in points),
        states=tuple(point["state"] for point in points),
    )


def _separation_block(records: list[ResultRecord]) -> FigureBlock:
    series = []
    for record in records:
        kind = str(record.model_kind)
        for key, label in (
            ("formation_energy_eV", ""),
            ("reference_formation_energy_eV", f"reference on {model_name(kind)}'s"),
        ):
            pairs = [pair for pair in record.values["pairs"] if pair[key] is not None]
            if pairs:
                separations = tuple(pair["separation_A"] for pair in pairs)
                series.append(SeparationPoints(kind, separations, tuple(pair[key] for pair in pairs), label))
    return FigureBlock(
        "separation",
        separation_figure(series),
        "Formation energies without a field against the distance at which the pair was made. Open: single points of "
        "the reference on the structures that a model relaxed, bulk and pair.",
    )


def _pairs_table(records: list[ResultRecord]) -> TableBlock:
    rows = []
    for record in records:
        values, name = record.values, model_name(str(record.model_kind))
        rows.append(_distribution_row(name, values["formation_energy_eV"], values))
        if values["reference_formation_energy_eV"]:
            rows.append(_distribution_row(f"reference on {name}'s", values["reference_formation_energy_eV"], values))
    return TableBlock(
        ("potential", "mean, eV", "scatter, eV", "lowest, eV", "highest, eV", "pairs", "recombined", "unconverged"),
        rows,
        "Without a field. ± standard error of the mean over pairs; they differ, so the scatter is no error.",
    )


def _distribution_row(name: str, found: Mapping[str, Any] | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    lost = (str(values["recombined"]), str(values["unconverged"] + values["missing"]))
    if found is None:
        return (name, NONE, NONE, NONE, NONE, "0", *lost)
    scatter = NONE if found["standard_deviation"] is None else f"{found['standard_deviation']:.3f}"
    return (
        name,
        _mean(found),
        scatter,
        f"{found['minimum']:.3f}",
        f"{found['maximum']:.3f}",
        str(found["count"]),
        *lost,
    )


def _mean(found: Mapping[str, Any]) -> str:
    error = found["standard_error"]
    return f"{found['mean']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _frenkel_remarks(records: list[ResultRecord]) -> Iterator[str]:
    for record in records:
        if record.values["field"]:
            yield f"{record.values['field']}."
        found = record.values["formation_energy_eV"]
        if found is not None and found["minimum"] < -NOT_LOWEST_EV:
            name = model_name(str(record.model_kind))
            yield (
                f"{name}: a pair is {-found['minimum']:.2f} eV lower than the bulk: the structure of the campaign is "
                "not what this model takes for the lowest. Formation energies count from the structure as it relaxes; "
                "anneal it before trusting them."
            )
        if not record.values["intact"]:
            name = model_name(str(record.model_kind))
            yield f"{name}: no pair survived its relaxation; raise analyses.frenkel.attempts."


def _frenkel_summary(records: list[ResultRecord], in_field: list[ResultRecord]) -> str:
    parts = [
        f"{model_name(str(record.model_kind))} {_mean(record.values['formation_energy_eV'])} eV "
        f"({record.values['formation_energy_eV']['count']} pairs)"
        for record in records
        if record.values["formation_energy_eV"]
    ]
    text = f"Frenkel pairs cost {'; '.join(parts)} without a field." if parts else "No Frenkel pair survived."
    gone = [
        event
        for record in in_field
        for pair in record.values["pairs"]
        for event in pair["events"]
        if event["event"] == "recombined"
    ]
    if gone:
        weakest = min(gone, key=lambda event: abs(event["field_V_per_A"]))
        text += f" In a field pairs recombine, the first at {weakest['field_V_per_A']:+g} V/Å along {weakest['axis']}."
    return text


def vacancy_section(store: Store, campaign: str) -> ReportSection | None:
    """Return the section on vacancies: energies by model and reference, and against what they count."""
    records = latest_results(store, campaign, VACANCY_KIND)
    if not records:
        return None
    rows = []
    for record in records:
        name = model_name(str(record.model_kind))
        for key, label in (("formation_energy_eV", name), ("reference_formation_energy_eV", f"reference on {name}'s")):
            found = record.values[key]
            if found is not None:
                scatter = NONE if found["standard_deviation"] is None else f"{found['standard_deviation']:.3f}"
                lowest, highest = f"{found['minimum']:.3f}", f"{found['maximum']:.3f}"
                rows.append((label, _mean(found), scatter, lowest, highest, str(found["count"])))
    blocks: list[Block] = []
    if rows:
        columns = ("potential", "mean, eV", "scatter, eV", "lowest, eV", "highest, eV", "sites")
        blocks.append(TableBlock(columns, rows, "± standard error of the mean over sites that no symmetry relates."))
    blocks += [TextBlock(text) for text in _vacancy_remarks(records)]
    means = [
        f"{model_name(str(record.model_kind))} {_mean(record.values['formation_energy_eV'])} eV"
        for record in records
        if record.values["formation_energy_eV"]
    ]
    against = records[0].values["removed_atom"]
    summary = (
        f"A neutral vacancy costs {'; '.join(means)}, against {_with_article(against)}."
        if means
        else ("No vacancy was relaxed.")
    )
    return ReportSection("vacancy", "Vacancies", summary, tuple(blocks))


def _with_article(state: str) -> str:
    return f"the {state}" if state.startswith("metal") else f"an {state}"


def _vacancy_remarks(records: list[ResultRecord]) -> Iterator[str]:
    first = records[0].values
    if first["removed_atom"] == "isolated atom":
        yield (
            f"Energies count from the isolated atom ({first['removed_atom_energy_eV']:.3f} eV by the reference engine, "
            "which the models share): subtract the cohesive energy of the metal (1.63 eV for Li, measured) to count "
            "from the metal. The models have seen no metal, so they could not say."
        )
    else:
        yield (
            f"Energies count from the metal at its measured lattice constant ({first['removed_atom_energy_eV']:.3f} eV "
            "per atom by the reference engine, for models and reference alike: the models have seen no metal)."
        )
    yield (
        "Taking out a neutral atom leaves an electron fewer. The reference knows what becomes of it; the models have "
        "seen no such cell and know no electrons, so their numbers are extrapolations."
    )
    for record in records:
        charge = record.values["cell_charge_e"]
        if charge:
            yield (
                f"{model_name(str(record.model_kind))}: the baseline's cell is left with {charge:+.3g} e, which a "
                "uniform background compensates; the energy depends on the size of the cell for this reason too."
            )
