"""What the report says of locality and of charges that were fitted to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....analysis.figures import model_name
from ....analysis.locality.curves import (
    OVERALL,
    Centre,
    LocalityBound,
)
from ....analysis.locality.figures import charge_scale_figure, locality_figure
from ....core.names import CHARGES, REFERENCE
from ....store.connection import Store
from ....store.queries.latest import latest
from ....store.records import ResultRecord
from ....tasks.values.charges import BY_ERROR, BY_LOCALITY, CHARGES_BY_LOCALITY
from ....tasks.values.locality import LOCALITIES
from ...campaign.settings import Campaign, stored_campaign
from ...graph.tunings import latest_tunings
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock
from .charge_report import by_error_summary, trade_off_blocks


def latest_test(store: Store, campaign: str, system: str | None = None) -> ResultRecord | None:
    """Return the campaign's last locality test."""
    return latest(store, campaign, LOCALITIES.name, system)


def latest_charge_fit(store: Store, campaign: str, system: str | None = None) -> ResultRecord | None:
    """Return the campaign's last fit of charges to locality."""
    return latest(store, campaign, CHARGES, system, criterion=BY_LOCALITY)


def latest_charges_by_error(store: Store, campaign: str) -> ResultRecord | None:
    """Return the campaign's last fit of charges to ES-GAP's leave-out error."""
    return latest(store, campaign, CHARGES, criterion=BY_ERROR)


def model_cutoffs_A(store: Store, campaign: Campaign) -> dict[str, float]:
    """Return how far the short-ranged parts of models see (Å), by name, where that is known; of tuned ones the last."""
    tuned = latest_tunings(store, campaign.name) if any(map(campaign.tuning_of, campaign.models)) else {}
    found = {}
    for name in campaign.models:
        kind = campaign.kind_of(name)
        settings = kind.settings_in(tuned[name].chosen) if name in tuned else campaign.settings_of(name)
        found[name] = kind.cutoff_A(settings)
    return {name: cutoff for name, cutoff in found.items() if cutoff is not None}


def locality_bounds(store: Store, campaign: str) -> dict[str, LocalityBound]:
    """Return the force error that each kind of model cannot fall below, for the learning curve.

    From the campaign's last locality test, at the cutoff of its models: before the baseline is taken away for those
    without one, after it for those with. Empty where there is no test, or its radii do not enclose the cutoff.
    """
    record = store.campaigns.get(campaign)
    systems: list[str | None] = [None, *(() if record is None else record.systems)]
    tests = [test for system in systems if (test := latest_test(store, campaign, system)) is not None]
    bounds: dict[str, LocalityBound] = {}
    for found in (_bounds(store, campaign, test) for test in tests):
        for name, bound in found.items():
            # Errors are of all systems together: what no system allows to fall below bounds them.
            if name not in bounds or bound.force_eV_per_A < bounds[name].force_eV_per_A:
                bounds[name] = bound
    return bounds


def _bounds(store: Store, campaign: str, record: ResultRecord) -> dict[str, LocalityBound]:
    """Return the force error that each kind of model cannot fall below by one test."""
    settings = stored_campaign(store.campaigns[campaign].settings)
    result = LOCALITIES.read(record)
    bounds: dict[str, LocalityBound] = {}
    cutoffs_A = model_cutoffs_A(store, settings) if OVERALL in result.before else {}
    for name, cutoff_A in cutoffs_A.items():
        on_baseline = settings.kind_of(name).needs_baseline
        bound = result.bound(cutoff_A, baseline=on_baseline, is_fitted=result.baseline_is_fitted)
        if bound is not None:
            bounds[name] = bound
    return bounds


def locality_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: locality against radius, the bounds, and the fit of the charges."""
    test, fit = latest_test(store, campaign, system), latest_charge_fit(store, campaign, system)
    # Of all systems together: beside one of them it is the other side of what is shown there.
    beside = system is None or test is not None or fit is not None
    by_error = latest_charges_by_error(store, campaign) if beside else None
    if test is None and fit is None and by_error is None:
        return None
    summary: list[str] = []
    blocks: list[Block] = []
    if test is not None:
        settings = stored_campaign(store.campaigns[campaign].settings)
        blocks += _test_blocks(test, sorted(set(model_cutoffs_A(store, settings).values())))
        summary.append(_test_summary(test, _bounds(store, campaign, test)))
    if fit is not None:
        blocks += _fit_blocks(fit)
        summary.append(_fit_summary(fit))
    if by_error is not None:
        blocks += trade_off_blocks(by_error, fit, test)
        summary.append(by_error_summary(by_error))
    return ReportSection(LOCALITIES.name, "Locality and charges", " ".join(summary), tuple(blocks))


def _test_summary(record: ResultRecord, bounds: Mapping[str, LocalityBound]) -> str:
    result = LOCALITIES.read(record)
    largest = result.radii_A[-1]
    curve = result.before.get(OVERALL)
    text = ""
    if curve is not None:
        what = "induce a mean force of" if result.protocol == "displacement" else "make the force scatter by"
        text = (
            f"Atoms beyond {largest:g} Å {what} {curve.value_eV_per_A[-1]:.3f} ± {curve.error_eV_per_A[-1]:.3f} eV/Å "
            f"({model_name(result.potential)})"
        )
        if result.after is not None:
            after = result.after[OVERALL]
            text += f", {after.value_eV_per_A[-1]:.3f} ± {after.error_eV_per_A[-1]:.3f} without the baseline's part"
        text += "."
    for cutoff in sorted({bound.cutoff_A for bound in bounds.values()}):
        parts = [
            f"{bound.force_eV_per_A:.3f} ± {bound.error_eV_per_A:.3f} eV/Å for {model_name(name)}"
            for name, bound in bounds.items()
            if bound.cutoff_A == cutoff
        ]
        text += f" At a cutoff of {cutoff:g} Å force components cannot be predicted better than {', '.join(parts)}."
    return text.strip()


def _test_blocks(record: ResultRecord, cutoffs_A: Sequence[float]) -> list[Block]:
    result = LOCALITIES.read(record)
    if result.protocol == "displacement":
        how = (
            f"Mean change of the force on a centre when all atoms farther than r are displaced by "
            f"{result.displacement_A:g} Å along each axis (standard deviation), {result.samples} times"
        )
    else:
        how = (
            f"Scatter of the force on the centre of a frozen sphere while everything outside moves at "
            f"{result.temperature_K:g} K, over {result.samples} frames"
        )
    taken = result.baseline if result.charges is None else _charge_text(result.charges)
    subtracted = f" Baseline: {taken}." if taken else ""
    tested = model_name(result.potential)
    caption = (
        f"{how}; {tested}, {result.atoms} atoms. Bands: standard deviation; bars: standard error; dotted: the models' "
        f"cutoff.{subtracted}"
    )
    if result.potential != REFERENCE:
        caption += f" {tested} stands in for the reference here."
    rows = [
        (
            "all" if symbol == OVERALL else symbol,
            part,
            f"{radius:g}",
            f"{curve.value_eV_per_A[index]:.4f} ± {curve.error_eV_per_A[index]:.4f}",
            f"{curve.deviation_eV_per_A[index]:.4f}",
            f"{curve.component_rms_eV_per_A[index]:.4f} ± {curve.component_rms_error_eV_per_A[index]:.4f}",
            str(curve.centres),
        )
        for part, curves in (("before", result.before), ("after", result.after or {}))
        for symbol, curve in curves.items()
        for index, radius in enumerate(result.radii_A)
    ]
    within = (
        "; after charges that were fitted with the model, from 2 R_cut on only" if result.baseline_is_fitted else ""
    )
    quantity = "mean, eV/Å" if result.protocol == "displacement" else "σf, eV/Å"
    blocks: list[Block] = [
        FigureBlock("radius", locality_figure(result, cutoffs_A), caption),
        TableBlock(
            ("species", "baseline", "r, Å", quantity, "deviation, eV/Å", "component RMS, eV/Å", "centres"),
            rows,
            "before and after the forces of the baseline are taken away; the root-mean-square of a component is the "
            f"lower bound of a model's force error{within}.",
        ),
    ]
    return blocks + _missing(result.missing)


def _fit_summary(record: ResultRecord) -> str:
    fitted = CHARGES_BY_LOCALITY.read(record)
    parts = [
        f"{symbol} {fitted.charges[symbol]:+.3f} ± {fitted.uncertainties[symbol]:.3f}" for symbol in fitted.charges
    ]
    how = "formal charges scaled" if fitted.transferable else "charges free but neutral"
    return f"Charges fitted to the reference's locality at {fitted.radius_A:g} Å ({how}): {', '.join(parts)} e."


def _fit_blocks(record: ResultRecord) -> list[Block]:
    fitted = CHARGES_BY_LOCALITY.read(record)
    rows = [
        (
            symbol,
            f"{fitted.charges[symbol]:+.4f} ± {fitted.uncertainties[symbol]:.4f}",
            f"{fitted.before_eV_per_A[symbol]:.4f}",
            f"{fitted.after_eV_per_A[symbol]:.4f}",
        )
        for symbol in fitted.charges
    ]
    blocks: list[Block] = [
        FigureBlock(
            "charges",
            charge_scale_figure(fitted.curve, fitted.mobile, fitted),
            f"Induced force beyond {fitted.radius_A:g} Å that remains when the baseline's charges are "
            f"{_charge_text(fitted.curve.charges)}, scaled. Dotted line and band: the fitted charge of {fitted.mobile} "
            "with its standard deviation; stars: all fitted charges.",
        ),
        TableBlock(
            ("species", "charge, e", "induced force, eV/Å", "with the baseline, eV/Å"),
            rows,
            f"± one standard deviation over bootstrap samples of the {fitted.centres} centres; forces are "
            "root-mean-square lengths.",
        ),
    ]
    return blocks + _missing(fitted.missing)


def _missing(missing: Sequence[Centre]) -> list[Block]:
    if not missing:
        return []
    names = ", ".join(f"{centre.symbol} {centre.index}" for centre in missing)
    return [TextBlock(f"The centres {names} failed and are left out.")]


def _charge_text(charges: Mapping[str, float]) -> str:
    return ", ".join(f"{symbol} {charge:+.3g}" for symbol, charge in charges.items()) + " e"
