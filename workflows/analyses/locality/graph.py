"""Locality tests of a campaign, and the charges of its baseline fitted to the locality of the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ase import Atoms

from ....analysis.locality.curves import (
    Centre,
    LocalitySettings,
    choose_centres,
    locality_cell,
    smallest_supercell,
)
from ....core.errors import InputError
from ....fitting.electrostatics.charges import ChargeFitSettings
from ....store.identifiers import derive_seed
from ....tasks.charges import FitChargesToErrorTask
from ....tasks.locality import (
    LOCALITY_KIND,
    CentreParameters,
    FitChargesParameters,
    FitChargesTask,
    LocalityCentreTask,
    LocalityParameters,
    LocalityTask,
    LocalityTest,
)
<<<<<<< HEAD
from ...tasks.results import CHARGES, REFERENCE, Potential
from ..campaign.charges import UnknownChargesError, formal_charges, slater_exponent
from ..campaign.problems import Problem
from ..campaign.settings import Campaign, stored_campaign
from ..graph.charge_jobs import charge_error_parameters
from ..graph.jobs import Job
from ..graph.plan import Plan
from .base import PRIORITY, Analysis, AnalysisCost, AnalysisPlan
from .charge_sections import by_error_summary, trade_off_blocks
from .sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock
=======
from ....tasks.results import REFERENCE, Potential
from ...campaign.charges import UnknownChargesError, formal_charges, slater_exponent
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.charge_jobs import charge_error_parameters
from ...graph.jobs import Job
from ...graph.plan import Plan
from ..base import PRIORITY, AnalysisCost, AnalysisPlan
>>>>>>> 2ca0917 (Analyses are kinds: registered by entry points, with settings, tasks, comparison figures, citations and methods of their own)

CHARGE_FIT_PRIORITY = 65
"""Before labels and fits: the first ES-GAP waits for the charges."""
CHARGE_FIT = "generation-0/charge-fit"
"""Key of the job that ends the fit of the charges."""
_STAGE = f"analysis/{LOCALITY_KIND}"


def charge_fit_jobs(plan: Plan) -> list[Job]:
    """Return the jobs of generation 0 that fit the baseline's charges to locality: centres, then the fit.

    The last one has the key `CHARGE_FIT`; empty where the campaign asks for no such fit.
    """
    campaign = plan.campaign
    if campaign.charge_criterion != LOCALITY_KIND:
        return []
    settings = campaign.baseline.charge_fit
    place = {"campaign": campaign.name, "generation": 0}
    test = _test(campaign, plan.atoms, locality_test_of(settings), Potential(kind=REFERENCE, engine=plan.reference))
    centres = choose_centres(plan.atoms, settings.centres, test.seed)
    jobs = _centre_jobs(place, test, centres, CHARGE_FIT, (), CHARGE_FIT_PRIORITY)
    fit = Job(
        key=CHARGE_FIT,
        task=FitChargesTask,
        parameters=FitChargesParameters(
            **place,
            test=test,
            centres=list(centres),
            mobile=campaign.mobile,
            transferable=settings.transferable,
            formal_charges=_formal_charges(plan.symbols),
        ),
        parents=tuple(job.key for job in jobs),
        priority=CHARGE_FIT_PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, fit]


def locality_test_of(settings: ChargeFitSettings) -> LocalitySettings:
    """Return the locality test that a fit of the charges rests on."""
    return LocalitySettings(
        radii_A=(settings.radius_A,),
        displacement_A=settings.displacement_A,
        samples=settings.samples,
        centres=settings.centres,
        supercell=settings.supercell,
    )


def locality_jobs(plan: AnalysisPlan, settings: LocalitySettings) -> list[Job]:
    """Return one job per centre, and the one that gathers them."""
    potential = plan.potential(settings.potential)
    test = _test(plan.campaign, plan.atoms, settings, potential)
    centres = choose_centres(plan.atoms, settings.centres, test.seed)
    jobs = _centre_jobs(plan.place, test, centres, _STAGE, plan.parents(settings.potential), PRIORITY)
    gather = Job(
        key=_STAGE,
        task=LocalityTask,
        parameters=LocalityParameters(
            **plan.place,
            test=test,
            centres=list(centres),
            charges=_charges(plan.plan),
            proportions=plan.plan.formal_charges or _charges(plan.plan),
            scale_radius_A=plan.campaign.baseline.charge_fit.radius_A,
        ),
        parents=tuple(job.key for job in jobs),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather, *_trade_off_jobs(plan)]


def _trade_off_jobs(plan: AnalysisPlan) -> list[Job]:
    """Return the job that gives the other side of the charges: ES-GAP's leave-out error on all data."""
    if "es-gap" not in plan.models or not plan.data_set or plan.campaign.fit.backend != "native":
        return []
    return [
        Job(
            key=f"{_STAGE}/charges-by-error",
            task=FitChargesToErrorTask,
            parameters=charge_error_parameters(plan.plan, plan.generation, plan.data_set),
            priority=PRIORITY,
        )
    ]


def _test(campaign: Campaign, atoms: Atoms, settings: LocalitySettings, potential: Potential) -> LocalityTest:
    given = campaign.baseline.exponents
    return LocalityTest(
        potential=potential,
        supercell=settings.supercell or smallest_supercell(atoms.cell.array, settings.radii_A[-1]),
        settings=settings,
        exponents={symbol: given.get(symbol, slater_exponent(symbol)) for symbol in sorted(set(atoms.symbols))},
        accuracy=campaign.baseline.accuracy,
        # One seed for all tests of the campaign: equal centres and radii then share their evaluations.
        seed=derive_seed(campaign.seed, LOCALITY_KIND),
    )


def _centre_jobs(
    place: Mapping[str, Any],
    test: LocalityTest,
    centres: Iterable[Centre],
    stage: str,
    parents: tuple[str, ...],
    priority: int,
) -> list[Job]:
    return [
        Job(
            key=f"{stage}/{centre.symbol}-{centre.index}",
            task=LocalityCentreTask,
            parameters=CentreParameters(**place, test=test, centre=centre),
            parents=parents,
            priority=priority,
        )
        for centre in centres
    ]


def _charges(plan: Plan) -> dict[str, float] | None:
    """Return the baseline's charges, None where the campaign has none (GAP alone, of elements without)."""
    try:
        return dict(plan.baseline.charges)
    except UnknownChargesError:
        return None


def _formal_charges(symbols: Iterable[str]) -> dict[str, float] | None:
    try:
        return formal_charges(list(symbols))
    except UnknownChargesError:
        return None


def locality_cost(settings: LocalitySettings, atoms: Atoms) -> AnalysisCost:
    """Return the evaluations of a test on the campaign's cell, and the atoms in each."""
    repeats = settings.supercell or smallest_supercell(atoms.cell.array, settings.radii_A[-1])
    evaluations = settings.evaluations(len(choose_centres(atoms, settings.centres, 0)))
    in_cell = len(atoms) * repeats[0] * repeats[1] * repeats[2]
    if settings.potential == REFERENCE:
        return AnalysisCost(reference_evaluations=evaluations, reference_atoms=in_cell)
    return AnalysisCost(model_evaluations=evaluations, model_atoms=in_cell)


def charge_fit_cost(campaign: Campaign, atoms: Atoms) -> AnalysisCost | None:
    """Return what fitting the charges to locality costs, None where the campaign does not ask for it."""
    if campaign.charge_criterion != LOCALITY_KIND:
        return None
    return locality_cost(locality_test_of(campaign.baseline.charge_fit), atoms)


def charge_fit_problems(campaign: Campaign, atoms: Atoms) -> Iterator[Problem]:
    """Yield what in ``baseline.charge_fit`` does not fit the structure."""
    if campaign.charge_criterion != LOCALITY_KIND:
        return
    settings = campaign.baseline.charge_fit
    key = ("baseline", "charge_fit")
    yield from _cell_problems((*key, "radius_A"), (*key, "supercell"), locality_test_of(settings), atoms)
    if len(set(atoms.symbols)) < 2:
        message = "cannot be fitted: one species alone has no charge in a neutral cell"
        yield Problem(("baseline", "charges"), message, value=campaign.baseline.model_dump(mode="json")["charges"])
    if settings.transferable and _formal_charges(atoms.get_chemical_symbols()) is None:
        message = "needs formal charges, of which it fits a part, and none are known; fit every charge"
        yield Problem((*key, "transferable"), message, value=True, allowed="false")


def _cell_problems(
    radius: tuple[str, ...], supercell: tuple[str, ...], settings: LocalitySettings, atoms: Atoms
) -> Iterator[Problem]:
    try:
        locality_cell(atoms, settings.radii_A[-1], settings.supercell)
    except InputError as error:
        given = settings.supercell is not None
        key, other = (supercell, radius) if given else (radius, supercell)
        value = list(settings.supercell) if settings.supercell is not None else settings.radii_A[-1]
        yield Problem(key, f"does not do: {error}", value=value, related=(other,))


def locality_problems(campaign: Campaign, settings: LocalitySettings, atoms: Atoms) -> Iterator[Problem]:
    """Yield what in ``analyses.locality`` does not fit the structure."""
    key = ("analyses", LOCALITY_KIND)
<<<<<<< HEAD
    yield from _cell_problems((*key, "radii_A"), (*key, "supercell"), _settings(campaign), atoms)


def latest_test(store: Store, campaign: str) -> ResultRecord | None:
    """Return the campaign's last locality test."""
    return max(store.results.find({"campaign": campaign, "kind": LOCALITY_KIND}), key=_age, default=None)


def latest_charge_fit(store: Store, campaign: str) -> ResultRecord | None:
    """Return the campaign's last fit of charges to locality."""
    found = store.results.find({"campaign": campaign, "kind": CHARGES, "values.criterion": LOCALITY_KIND})
    return max(found, key=_age, default=None)


def latest_charges_by_error(store: Store, campaign: str) -> ResultRecord | None:
    """Return the campaign's last fit of charges to ES-GAP's leave-out error."""
    found = store.results.find({"campaign": campaign, "kind": CHARGES, "values.criterion": ERROR_CRITERION})
    return max(found, key=_age, default=None)


def _age(record: ResultRecord) -> Any:
    return record.generation, record.created


def result_of(record: ResultRecord) -> LocalityResult:
    """Return the curves that a record of the kind ``locality`` holds."""
    return LocalityResult.model_validate({name: record.values[name] for name in LocalityResult.model_fields})


def model_cutoff_A(gap: GapSettings) -> float:
    """Return how far a GAP of these settings sees (Å)."""
    return gap.cutoff_A


def locality_bounds(store: Store, campaign: str) -> dict[str, LocalityBound]:
    """Return the force error that each kind of model cannot fall below, for the learning curve.

    From the campaign's last locality test, at the cutoff of its models: before the baseline is taken away for GAP,
    after it for ES-GAP. Empty where there is no test, or its radii do not enclose the cutoff.
    """
    record = latest_test(store, campaign)
    if record is None:
        return {}
    settings = stored_campaign(store.campaigns[campaign].settings)
    cutoff, result = model_cutoff_A(settings.gap), result_of(record)
    bounds = {
        kind: result.bound(cutoff, baseline=kind == "es-gap") for kind in settings.models if OVERALL in result.before
    }
    return {kind: bound for kind, bound in bounds.items() if bound is not None}


def locality_section(store: Store, campaign: str) -> ReportSection | None:
    """Return the section of the report: locality against radius, the bounds, and the fit of the charges."""
    test, fit = latest_test(store, campaign), latest_charge_fit(store, campaign)
    by_error = latest_charges_by_error(store, campaign)
    if test is None and fit is None and by_error is None:
        return None
    summary: list[str] = []
    blocks: list[Block] = []
    if test is not None:
        settings = stored_campaign(store.campaigns[campaign].settings)
        blocks += _test_blocks(test, model_cutoff_A(settings.gap))
        summary.append(_test_summary(test, locality_bounds(store, campaign)))
    if fit is not None:
        blocks += _fit_blocks(fit)
        summary.append(_fit_summary(fit))
    if by_error is not None:
        blocks += trade_off_blocks(by_error, fit, test)
        summary.append(by_error_summary(by_error))
    return ReportSection(LOCALITY_KIND, "Locality and charges", " ".join(summary), tuple(blocks))


def _test_summary(record: ResultRecord, bounds: Mapping[str, LocalityBound]) -> str:
    result = result_of(record)
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
    parts = [
        f"{bound.force_eV_per_A:.3f} ± {bound.error_eV_per_A:.3f} eV/Å for {model_name(kind)}"
        for kind, bound in bounds.items()
    ]
    if parts:
        cutoff = next(iter(bounds.values())).cutoff_A
        text += f" At a cutoff of {cutoff:g} Å force components cannot be predicted better than {', '.join(parts)}."
    return text.strip()


def _test_blocks(record: ResultRecord, cutoff_A: float) -> list[Block]:
    result, values = result_of(record), record.values
    if result.protocol == "displacement":
        how = (
            f"Mean change of the force on a centre when all atoms farther than r are displaced by "
            f"{values['displacement_A']:g} Å along each axis (standard deviation), {values['samples']} times"
        )
    else:
        how = (
            f"Scatter of the force on the centre of a frozen sphere while everything outside moves at "
            f"{values['temperature_K']:g} K, over {values['samples']} frames"
        )
    subtracted = "" if values["charges"] is None else f" Baseline: {_charge_text(values['charges'])}."
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
    quantity = "mean, eV/Å" if result.protocol == "displacement" else "σf, eV/Å"
    blocks: list[Block] = [
        FigureBlock("radius", locality_figure(result, cutoff_A), caption),
        TableBlock(
            ("species", "baseline", "r, Å", quantity, "deviation, eV/Å", "component RMS, eV/Å", "centres"),
            rows,
            "before and after the forces of the baseline are taken away; the root-mean-square of a component is the "
            "lower bound of a model's force error.",
        ),
    ]
    return blocks + _missing(record)


def _fit_summary(record: ResultRecord) -> str:
    fitted = _fitted(record)
    parts = [
        f"{symbol} {fitted.charges[symbol]:+.3f} ± {fitted.uncertainties[symbol]:.3f}" for symbol in fitted.charges
    ]
    how = "formal charges scaled" if fitted.transferable else "charges free but neutral"
    return (
        f"Charges fitted to the reference's locality at {record.values['radius_A']:g} Å ({how}): {', '.join(parts)} e."
    )


def _fit_blocks(record: ResultRecord) -> list[Block]:
    fitted, values = _fitted(record), record.values
    curve = ScaleCurve.model_validate(values["curve"])
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
            charge_scale_figure(curve, values["mobile"], fitted),
            f"Induced force beyond {values['radius_A']:g} Å that remains when the baseline's charges are "
            f"{_charge_text(curve.charges)}, scaled. Dotted line and band: the fitted charge of {values['mobile']} "
            "with its standard deviation; stars: all fitted charges.",
        ),
        TableBlock(
            ("species", "charge, e", "induced force, eV/Å", "with the baseline, eV/Å"),
            rows,
            f"± one standard deviation over bootstrap samples of the {values['centres']} centres; forces are "
            "root-mean-square lengths.",
        ),
    ]
    return blocks + _missing(record)


def _fitted(record: ResultRecord) -> FittedCharges:
    return FittedCharges.model_validate({name: record.values[name] for name in FittedCharges.model_fields})


def _missing(record: ResultRecord) -> list[Block]:
    missing = record.values["missing"]
    if not missing:
        return []
    names = ", ".join(f"{centre['symbol']} {centre['index']}" for centre in missing)
    return [TextBlock(f"The centres {names} failed and are left out.")]


def _charge_text(charges: Mapping[str, float]) -> str:
    return ", ".join(f"{symbol} {charge:+.3g}" for symbol, charge in charges.items()) + " e"


def _settings(campaign: Campaign) -> LocalitySettings:
    return campaign.analyses.locality or LocalitySettings()


LOCALITY = Analysis(
    name=LOCALITY_KIND,
    jobs=lambda plan: locality_jobs(plan, _settings(plan.campaign)),
    cost=lambda campaign, atoms: locality_cost(_settings(campaign), atoms),
    problems=locality_problems,
    section=locality_section,
)
=======
    yield from _cell_problems((*key, "radii_A"), (*key, "supercell"), settings, atoms)
>>>>>>> 2ca0917 (Analyses are kinds: registered by entry points, with settings, tasks, comparison figures, citations and methods of their own)
