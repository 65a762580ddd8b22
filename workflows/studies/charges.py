"""What charges bring on a labelled set: no charges, fixed ones of several sizes, fitted ones, and their control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import Field

from ...analysis.errors.statistics import ModelErrors, evaluate_errors
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ...fitting.data_sets import DataSet, LabelledConfiguration
from ...fitting.electrostatics.base import BaselineKind
from ...fitting.electrostatics.charges_file import ChargesFile
from ...fitting.electrostatics.registry import BASELINES, DEFAULT_BASELINE
from ...fitting.electrostatics.sections import BaselineSection
from ...fitting.kinds.es_gap import ES_GAP
from ...fitting.kinds.gap import GAP
from ...fitting.native.sparse_fit.fit_errors import ErrorSummary
from ...fitting.settings import CommonBaselineSettings
from ..analyses.fitted_charges import charge_summary, species_table
from ..analyses.sections import Block, ReportSection, TableBlock
from ..campaign.baseline_charges import UnknownChargesError, baseline_of_data, formal_charges, slater_exponent
from ..campaign.models import settings_in_section
from ..campaign.settings import Campaign
from .runs import StudyPlan, split

FORMAL_FRACTIONS = (0.15, 0.3, 0.5)
"""Of the formal charges, which fixed charges are tried with."""
GIVEN_FACTORS = (0.5, 1.0, 1.5)
"""Of charges that the settings give as numbers."""
MILLI = 1000.0


class ChargeStudyRow(FrozenModel):
    """One model of the study."""

    name: str = Field(description="What is fitted (words)")
    held_out: ModelErrors | None = Field(None, description="Errors on the held-out configurations; null for controls")
    leave_out: ErrorSummary | None = Field(None, description="Leave-out errors on the training data (eV/atom, eV/Å)")
    fit_time_s: float | None = Field(None, description="Wall time of the fit (s)")


class ChargeStudy(FrozenModel):
    """What charges bring on one labelled set."""

    configurations: int = Field(description="Configurations that were fitted (count)")
    held_out: int = Field(description="Configurations that no model was fitted to (count)")
    rows: tuple[ChargeStudyRow, ...] = Field(description="The models")
    charges: dict[str, ChargesFile] = Field(description="What was fitted, by kind of baseline")
    skipped: tuple[str, ...] = Field((), description="What could not be tried, and why")


def run_charge_study(data_set: DataSet, plan: StudyPlan, campaign: Campaign) -> ChargeStudy:
    """Fit a GAP without charges, on fixed ones, and together with those of every kind of baseline that is fitted.

    Parameters
    ----------
    data_set
        Labels; part of them is held out.
    plan
        Where models go; its kind and baseline are not used.
    campaign
        Its ``gap`` holds for all models, its ``baseline`` for the kind that it is of.

    Raises
    ------
    InputError
        If the set cannot be divided, or charges cannot be assigned.
    """
    training, held = split(data_set, plan)
    skipped: list[str] = []
    rows = [_measured("no charges", replace(plan, kind=GAP.name, baseline=None), "none", training, held)]
    try:
        fixed = _fixed_baselines(campaign, data_set)
    except UnknownChargesError as error:
        fixed = {}
        skipped.append(f"fixed charges: {error}; give numbers (baseline.charges)")
    for name, baseline in fixed.items():
        one = replace(plan, kind=ES_GAP.name, baseline=baseline)
        rows.append(_measured(name, one, name.replace(" ", "-"), training, held))
    charges: dict[str, ChargesFile] = {}
    for kind in BASELINES.kinds:
        if not kind.is_fitted:
            continue
        own = _section_of(kind, campaign)
        given = campaign.model_copy(update={"baseline": own})
        baseline, _ = baseline_of_data(given, data_set, plan.seed, (ES_GAP, settings_in_section(campaign, ES_GAP)))
        one = replace(plan, kind=ES_GAP.name, baseline=baseline)
        rows.append(_measured(f"{kind.name} charges", one, kind.name, training, held))
        file = kind.charges_of_fit(plan.folder / "models" / kind.name)
        if file is not None:
            charges[kind.name] = file
            if file.short_range_control is not None:
                left_out = file.short_range_control.leave_out_errors
                rows.append(ChargeStudyRow(name=f"{kind.name}, short-ranged control", leave_out=left_out))
    return ChargeStudy(
        configurations=len(training), held_out=len(held), rows=tuple(rows), charges=charges, skipped=tuple(skipped)
    )


def _section_of(kind: BaselineKind, campaign: Campaign) -> BaselineSection:
    """Return the campaign's section where it is of this kind, else what a kind has by default, on charges as given."""
    section = campaign.baseline
    if section.kind_name == kind.name:
        return section
    return kind.section_type(**({"charges": section.charges} if isinstance(section.charges, dict) else {}))


def _measured(
    name: str, plan: StudyPlan, folder: str, training: DataSet, held: Sequence[LabelledConfiguration]
) -> ChargeStudyRow:
    plan.progress(f"fit with {name}")
    manifest, calculator = plan.fit(folder, training)
    return ChargeStudyRow(
        name=name,
        held_out=evaluate_errors(calculator, held),
        leave_out=manifest.leave_out_errors,
        fit_time_s=manifest.wall_time_s,
    )


def _fixed_baselines(campaign: Campaign, data_set: DataSet) -> Mapping[str, CommonBaselineSettings]:
    """Return fixed charges of several sizes, by what they are called."""
    section, kind = campaign.baseline, BASELINES.get(DEFAULT_BASELINE)
    if isinstance(section.charges, dict):
        base, factors, words = dict(section.charges), GIVEN_FACTORS, "of those given"
    else:
        symbols = data_set.configurations[0].atoms.get_chemical_symbols()
        base, factors, words = formal_charges(symbols), FORMAL_FRACTIONS, "formal"
    missing = sorted(set(data_set.elements) - set(base))
    if missing:
        raise InputError(f"there is no charge for {', '.join(missing)}, which the data contain")
    exponents = {symbol: section.exponents.get(symbol, slater_exponent(symbol)) for symbol in data_set.elements}
    found = {}
    for factor in factors:
        charges = {symbol: factor * base[symbol] for symbol in data_set.elements}
        found[f"fixed {factor:g} {words}"] = kind.settings_type(
            charges=charges, exponents=exponents, accuracy=section.accuracy
        )
    return found


def charge_study_table(study: ChargeStudy) -> TableBlock:
    """Return the table of the study."""
    elements = sorted(
        {symbol for row in study.rows if row.held_out for symbol in row.held_out.force_by_element_eV_per_A}
    )
    columns = ("model", "force, meV/Å", *(f"on {one}" for one in elements), "energy, meV/atom", "force left out, meV/Å")
    rows = []
    for row in study.rows:
        held, left_out = row.held_out, row.leave_out
        cells = ["–"] * (len(elements) + 2)
        if held is not None:
            by_element = held.force_by_element_eV_per_A
            cells = [
                "–" if held.force_eV_per_A is None else f"{MILLI * held.force_eV_per_A.rmse:.0f}",
                *(f"{MILLI * by_element[one].rmse:.0f}" if one in by_element else "–" for one in elements),
                f"{MILLI * held.energy_eV_per_atom.rmse:.2f}",
            ]
        left = None if left_out is None else left_out.force_eV_per_A
        rows.append((row.name, *cells, "–" if left is None else f"{MILLI * left:.0f}"))
    caption = (
        f"Root-mean-square errors on {study.held_out} held-out configurations; fitted were {study.configurations}, on "
        "which each was left out in its turn. The control has the freedom of the charges, and no long range."
    )
    return TableBlock(columns, rows, caption)


def charge_study_section(study: ChargeStudy) -> ReportSection:
    """Return the study as a section of a page."""
    blocks: list[Block] = [charge_study_table(study)]
    blocks += [species_table(f"{name} charges", file) for name, file in study.charges.items()]
    summary = " ".join(charge_summary(f"{name} charges", file) for name, file in study.charges.items())
    return ReportSection("charges", "What charges bring", summary, blocks)
