"""What the studies show of themselves: tables, a page of their own, records in the store, sections of the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TypeVar

from ...analysis.studies.figures import (
    diffusivities_of_models,
    diffusivity_against_size,
    energy_error_against_size,
    error_against_size,
    label_and_model_errors,
)
from ...analysis.studies.studies import (
    DataSizeStudy,
    ModelTransport,
    ReferenceQualityStudy,
    agreement,
    flat_down_to,
    force_errors_by_element,
)
from ...core.errors import InputError
from ...core.names import ISOLATED_ATOM, ISOLATED_ATOM_TYPE
from ...core.states import State
from ...fitting.data_sets import DataSet, isolated_atom
from ...fitting.reading.isolated import stand_in
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.queries.labelled import labelled
from ...store.queries.latest import latest
from ...store.queries.rows import campaign_labels
from ...store.records import ResultRecord
from ...store.reference_guard import allowed_versions, check_one_setting
from ...store.result_kinds import ResultKind
from ..analyses.conductivity.report import show
from ..analyses.sections import FigureBlock, ReportSection, TableBlock, TextBlock

DATA_SIZE = "data-size"
REFERENCE_QUALITY = "reference-quality"
DATA_SIZES = ResultKind(DATA_SIZE, DataSizeStudy)
REFERENCE_QUALITIES = ResultKind(REFERENCE_QUALITY, ReferenceQualityStudy)
StudyT = TypeVar("StudyT", DataSizeStudy, ReferenceQualityStudy)
_MILLI = 1e3
_FLAT = 0.1

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def with_zero_of_energy(data_set: DataSet) -> DataSet:
    """Return the set with energies that stand in where those of isolated atoms are missing."""
    return stand_in(data_set)[0]


def campaign_data_set(store: Store, campaign: str) -> DataSet:
    """Return all finished labels of a campaign as a data set.

    Raises
    ------
    InputError
        If there is no such campaign, or it has no finished labels.
    MixedReferencesError
        If they are of different settings.
    """
    find_campaign(store, campaign)
    labels = [label for label in campaign_labels(store, campaign) if label.state is State.FINISHED]
    check_one_setting(labels, allowed_versions(store, campaign))
    structures = store.configurations.get_many([label.configuration for label in labels])
    atoms, configurations = {}, []
    for structure, label in zip(structures, labels, strict=True):
        one = labelled(structure, label)
        if structure.origin.sampler == ISOLATED_ATOM or one.config_type == ISOLATED_ATOM_TYPE:
            atoms[structure.formula] = one.energy
        else:
            configurations.append(one)
    if not configurations:
        raise InputError(f"campaign {campaign!r} has no finished labels")
    isolated = tuple(isolated_atom(symbol, energy) for symbol, energy in atoms.items())
    return with_zero_of_energy(DataSet(tuple(configurations), isolated_atoms=isolated))


def data_size_table(study: DataSizeStudy) -> Table:
    """Return columns and rows: one per size."""
    elements = list(study.points[0].environments) if study.points else []
    temperatures = [one.temperature_K for one in study.points[0].transport] if study.points else []
    columns = (
        "configurations",
        *(f"{element} atoms" for element in elements),
        "energy, meV/atom",
        "force, meV/Å",
        *(f"on {element}" for element in elements),
        *(f"D at {temperature:g} K, Å²/ps" for temperature in temperatures),
    )
    rows = [
        (
            str(point.configurations),
            *(str(point.environments.get(element, 0)) for element in elements),
            f"{_MILLI * point.errors.energy_eV_per_atom.rmse:.2f}",
            f"{_MILLI * point.errors.forces.rmse:.1f}",
            *(
                f"{_MILLI * value:.1f}" if value is not None else "–"
                for value in (force_errors_by_element(point.errors).get(element) for element in elements)
            ),
            *(show(one.diffusivity_A2_per_ps, one.reliable) for one in point.transport),
        )
        for point in study.points
    ]
    return columns, rows


def data_size_blocks(study: DataSizeStudy) -> ReportSection:
    """Return the section of a data-size study.

    Raises
    ------
    InputError
        If every size was left out.
    """
    if not study.points:
        raise InputError("no size of the training set could be fitted: " + "; ".join(study.skipped))
    flat = flat_down_to(study.points, _FLAT)
    largest, smallest = study.points[0], study.points[-1]
    summary = (
        f"The force error on {study.held_out} held-out configurations is "
        f"{_MILLI * largest.errors.forces.rmse:.0f} meV/Å with {largest.configurations} configurations and "
        f"{_MILLI * smallest.errors.forces.rmse:.0f} meV/Å with {smallest.configurations}; down to {flat} it "
        f"stays within {_FLAT:.0%} of the best."
    )
    columns, rows = data_size_table(study)
    blocks: list[FigureBlock | TableBlock | TextBlock] = [
        FigureBlock(
            "forces",
            error_against_size(study),
            "Root-mean-square force error on held-out configurations; training sets are nested farthest-point subsets.",
        ),
        FigureBlock("energies", energy_error_against_size(study), "The same for energies."),
    ]
    if any(one.diffusivity_A2_per_ps for point in study.points for one in point.transport):
        caption = "Diffusivity with 95 % intervals of the trajectories alone; open symbols: the ions moved too little."
        blocks.append(FigureBlock("diffusivity", diffusivity_against_size(study), caption))
    blocks.append(TableBlock(columns, rows))
    blocks.extend(TextBlock(f"Left out: {text}.") for text in study.skipped)
    blocks.extend(_remarks([(f"{point.configurations} configurations", point.transport) for point in study.points]))
    return ReportSection(DATA_SIZE, "Errors and size of the training set", summary, tuple(blocks))


def _remarks(transport: Sequence[tuple[str, Sequence[ModelTransport]]]) -> list[TextBlock]:
    return [
        TextBlock(f"{name}, {one.temperature_K:g} K: {one.remark}.")
        for name, all_ in transport
        for one in all_
        if one.remark
    ]


def difference_table(study: ReferenceQualityStudy) -> Table:
    """Return columns and rows: how the labels differ."""
    differences = study.differences
    rows = [
        ("force, all, meV/Å", differences.force_eV_per_A),
        *((f"force on {element}, meV/Å", one) for element, one in differences.force_by_element_eV_per_A.items()),
        ("energy less its mean, meV/atom", differences.energy_eV_per_atom),
    ]
    columns = ("second minus first labels", "RMSE", "MAE", "largest")
    numbers = [(name, *(f"{_MILLI * value:.2f}" for value in (one.rmse, one.mae, one.maximum))) for name, one in rows]
    return columns, numbers


def quality_table(study: ReferenceQualityStudy) -> Table:
    """Return columns and rows: errors and transport of both models."""
    temperatures = [one.temperature_K for one in study.models[0].transport]
    columns = (
        "fitted to",
        "energy, meV/atom",
        "force, meV/Å",
        "force against the other, meV/Å",
        *(f"D at {temperature:g} K, Å²/ps" for temperature in temperatures),
    )
    rows = [
        (
            model.fitted_to,
            f"{_MILLI * model.errors.energy_eV_per_atom.rmse:.2f}",
            f"{_MILLI * model.errors.forces.rmse:.1f}",
            f"{_MILLI * model.force_error_against_other.rmse:.1f}",
            *(show(one.diffusivity_A2_per_ps, one.reliable) for one in model.transport),
        )
        for model in study.models
    ]
    return columns, rows


def reference_quality_blocks(study: ReferenceQualityStudy) -> ReportSection:
    """Return the section of a reference-quality study."""
    first, second = study.models
    differences = study.differences
    summary = (
        f"Forces of {second.fitted_to} differ from those of {first.fitted_to} by "
        f"{_MILLI * differences.force_eV_per_A.rmse:.1f} meV/Å (root mean square over {differences.configurations} "
        f"configurations); the models' own force errors are {_MILLI * first.errors.forces.rmse:.0f} and "
        f"{_MILLI * second.errors.forces.rmse:.0f} meV/Å."
    )
    pairs = [
        (one.temperature_K, one.diffusivity_A2_per_ps, other.diffusivity_A2_per_ps)
        for one, other in zip(first.transport, second.transport, strict=True)
    ]
    comparisons = [
        f" At {temperature_K:g} K their diffusivities {agreement(one, other)}."
        for temperature_K, one, other in pairs
        if one is not None and other is not None
    ]
    blocks: list[FigureBlock | TableBlock | TextBlock] = [
        FigureBlock(
            "forces",
            label_and_model_errors(study),
            "Difference of the labels beside the errors of the models fitted to them, by element.",
        )
    ]
    if comparisons:
        caption = "Diffusivity of both models with 95 % intervals; open symbols: the ions moved too little."
        blocks.append(FigureBlock("diffusivity", diffusivities_of_models(study), caption))
    offsets = ", ".join(
        f"{_MILLI * value:.1f} meV/atom in {formula}"
        for formula, value in differences.energy_offset_eV_per_atom.items()
    )
    blocks += [
        TableBlock(*difference_table(study)),
        TableBlock(*quality_table(study)),
        TextBlock(f"Mean difference of the energies, which no table counts: {offsets}."),
        *_remarks([(model.fitted_to, model.transport) for model in study.models]),
    ]
    return ReportSection(REFERENCE_QUALITY, "Quality of the reference", summary + "".join(comparisons), tuple(blocks))


def record_data_size(store: Store, campaign: str, study: DataSizeStudy) -> ResultRecord:
    """Store the study as a result of the campaign, once."""
    return _record(store, campaign, DATA_SIZES, study)


def record_reference_quality(store: Store, campaign: str, study: ReferenceQualityStudy) -> ResultRecord:
    """Store the study as a result of the campaign, once.

    Raises
    ------
    InputError
        If there is no such campaign.
    """
    find_campaign(store, campaign)
    return _record(store, campaign, REFERENCE_QUALITIES, study)


def _record(store: Store, campaign: str, kind: ResultKind[StudyT], study: StudyT) -> ResultRecord:
    values = kind.document(study)
    return store.results.add(
        ResultRecord(
            id=identifier("result", kind.name, campaign, values),
            campaign=campaign,
            kind=kind.name,
            model_kind=study.model_kind,
            values=values,
            units=kind.units,
        )
    )


def study_sections(store: Store, campaign: str) -> list[ReportSection]:
    """Return the report's sections of the campaign's latest studies."""
    sections = []
    found = latest(store, campaign, DATA_SIZE)
    if found is not None:
        sections.append(data_size_blocks(DATA_SIZES.read(found)))
    found = latest(store, campaign, REFERENCE_QUALITY)
    if found is not None:
        sections.append(reference_quality_blocks(REFERENCE_QUALITIES.read(found)))
    return sections


def study_page(section: ReportSection) -> str:
    """Return a section as an HTML page of its own, which needs nothing from elsewhere."""
    parts = [f"<h1>{escape(section.title)}</h1>", f"<p>{escape(section.summary)}</p>"]
    library: bool = True
    for block in section.blocks:
        if isinstance(block, FigureBlock):
            figure = block.figure.to_html(full_html=False, include_plotlyjs=library)
            library = False
            parts.append(f"<figure>{figure}<figcaption>{escape(block.caption)}</figcaption></figure>")
        elif isinstance(block, TableBlock):
            parts.append(_html_table(block))
        else:
            parts.append(f"<p>{escape(block.text)}</p>")
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ccc}"
        "td:first-child,th:first-child{text-align:left}figure{margin:1.5rem 0}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(section.title)}</title>'
        f"<style>{style}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _html_table(table: TableBlock) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
