"""Locality tests of a campaign, and the charges of its baseline fitted to the locality of the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ase import Atoms

from ....analysis.locality.settings import LocalitySettings
from ....core.errors import InputError
from ....core.names import REFERENCE
from ....fitting.electrostatics.charge_settings import ChargeFitSettings
from ....store.identifiers import derive_seed
from ....tasks.values.locality import LOCALITIES
from ...campaign.baseline_charges import UnknownChargesError, formal_charges, slater_exponent
from ...campaign.models import model_of_charges
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.charge_jobs import charge_error_parameters
from ...graph.jobs import Job
from ...graph.plan import Plan, PlannedSystem
from ..base import PRIORITY, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ....analysis.locality.curves import Centre
    from ....tasks.locality import LocalityTest, SubtractedBaseline
    from ....tasks.results import Potential


CHARGE_FIT_PRIORITY = 65
"""Before labels and fits: the first ES-GAP waits for the charges."""
CHARGE_FIT = "generation-0/charge-fit"
"""Key of the job that ends the fit of the charges."""
_STAGE = f"analysis/{LOCALITIES.name}"


def charge_fit_jobs(plan: Plan) -> list[Job]:
    """Return the jobs of generation 0 that fit the baseline's charges to locality: centres, then the fit.

    The last one has the key `CHARGE_FIT`; empty where the campaign asks for no such fit.
    """

    from ....analysis.locality.curves import choose_centres
    from ....tasks.locality import FitChargesParameters, FitChargesTask
    from ....tasks.results import Potential

    campaign = plan.campaign
    if campaign.charge_criterion != LOCALITIES.name:
        return []
    settings = campaign.baseline.charge_fit
    place = {"campaign": campaign.name, "generation": 0, **plan.measured.place}
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
            formal_charges=plan.formal_charges,
            other_compositions=plan.other_compositions,
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

    from ....analysis.locality.curves import choose_centres
    from ....tasks.locality import LocalityParameters, LocalityTask

    potential = plan.potential(settings.potential)
    test = _test(plan.campaign, plan.system.atoms, settings, potential)
    centres = choose_centres(plan.system.atoms, settings.centres, test.seed)
    jobs = _centre_jobs(plan.place, test, centres, _STAGE, plan.parents(settings.potential), PRIORITY)
    baseline = _subtracted(plan)
    if baseline is not None:
        jobs += _baseline_jobs(plan, test, baseline, centres, jobs)
    gather = Job(
        key=_STAGE,
        task=LocalityTask,
        parameters=LocalityParameters(
            **plan.place,
            test=test,
            centres=list(centres),
            charges=_of_test(test, _charges(plan.plan)),
            baseline=baseline,
            proportions=_of_test(test, plan.plan.formal_charges or _charges(plan.plan)),
            scale_radius_A=plan.campaign.baseline.charge_fit.radius_A,
        ),
        parents=tuple(job.key for job in jobs),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather, *_trade_off_jobs(plan)]


def _subtracted(plan: AnalysisPlan) -> SubtractedBaseline | None:
    """Return the baseline that is taken away by its own forces; None where those follow from charges, or none is there.

    One that is fitted with a model is that of the first of the campaign's models on it.
    """

    from ....analysis.looks import model_name
    from ....tasks.locality import SubtractedBaseline

    under = plan.campaign.kind_of_baseline
    if under.sums_slater_charges:
        return None
    if under.is_fitted:
        model = next((name for name in plan.campaign.models_on_baseline if name in plan.models), None)
        if model is None:
            return None
        return SubtractedBaseline(name=f"{under.name} charges of {model_name(model)}", model=plan.models[model])
    try:
        return SubtractedBaseline(name=f"{under.name} charges", settings=plan.plan.baseline)
    except UnknownChargesError:
        return None


def _baseline_jobs(
    plan: AnalysisPlan,
    test: LocalityTest,
    baseline: SubtractedBaseline,
    centres: Sequence[Centre],
    jobs: Sequence[Job],
) -> list[Job]:
    """Return the jobs that evaluate the baseline around each centre, after the centre's own and its model's fit."""

    from ....tasks.locality import BaselineCentreParameters, LocalityBaselineTask

    fits = plan.parents(*(name for name, model in plan.models.items() if model == baseline.model))
    return [
        Job(
            key=f"{of_centre.key}/baseline",
            task=LocalityBaselineTask,
            parameters=BaselineCentreParameters(**plan.place, test=test, centre=centre, baseline=baseline),
            parents=(of_centre.key, *fits),
            priority=PRIORITY,
        )
        for centre, of_centre in zip(centres, jobs, strict=True)
    ]


def _trade_off_jobs(plan: AnalysisPlan) -> list[Job]:
    """Return the job that gives the other side of the charges: the leave-out error, on all data, of models on them.

    Where they are fixed: other kinds have no scale that both sides could be drawn against.
    """

    from ....tasks.charge_fits import FitChargesToErrorTask

    model = model_of_charges(plan.campaign)
    if model is None or not plan.data_set or not plan.campaign.kind_of_baseline.sums_slater_charges:
        return []
    if not plan.campaign.kind_of(model).gives_leave_out_errors(plan.plan.backend_of(model)):
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
    from ....analysis.locality.curves import smallest_supercell
    from ....tasks.locality import LocalityTest

    given = campaign.baseline.exponents
    return LocalityTest(
        potential=potential,
        supercell=settings.supercell or smallest_supercell(atoms.cell.array, settings.radii_A[-1]),
        settings=settings,
        exponents={symbol: given.get(symbol, slater_exponent(symbol)) for symbol in sorted(set(atoms.symbols))},
        accuracy=campaign.baseline.accuracy,
        # One seed for all tests of the campaign: equal centres and radii then share their evaluations.
        seed=derive_seed(campaign.seed, LOCALITIES.name),
    )


def _centre_jobs(
    place: Mapping[str, Any],
    test: LocalityTest,
    centres: Iterable[Centre],
    stage: str,
    parents: tuple[str, ...],
    priority: int,
) -> list[Job]:
    from ....tasks.locality import CentreParameters, LocalityCentreTask

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


def _of_test(test: LocalityTest, charges: Mapping[str, float] | None) -> dict[str, float] | None:
    """Return the charges of the species of a test's system, None where one has none."""
    if charges is None or any(symbol not in charges for symbol in test.species):
        return None
    return {symbol: charge for symbol, charge in charges.items() if symbol in test.species}


def _charges(plan: Plan) -> dict[str, float] | None:
    """Return the charges of the species, None where forces of the campaign's baseline do not follow from them."""
    under = plan.campaign.kind_of_baseline
    try:
        return under.species_charges(plan.baseline) if under.sums_slater_charges else None
    except UnknownChargesError:
        return None


def _formal_charges(symbols: Iterable[str]) -> dict[str, float] | None:
    try:
        return formal_charges(list(symbols))
    except UnknownChargesError:
        return None


def locality_cost(settings: LocalitySettings, atoms: Atoms) -> AnalysisCost:
    """Return the evaluations of a test on the campaign's cell, and the atoms in each."""

    from ....analysis.locality.curves import choose_centres, smallest_supercell

    repeats = settings.supercell or smallest_supercell(atoms.cell.array, settings.radii_A[-1])
    evaluations = settings.evaluations(len(choose_centres(atoms, settings.centres, 0)))
    in_cell = len(atoms) * repeats[0] * repeats[1] * repeats[2]
    if settings.potential == REFERENCE:
        return AnalysisCost(reference_evaluations=evaluations, reference_atoms=in_cell)
    return AnalysisCost(model_evaluations=evaluations, model_atoms=in_cell)


def charge_fit_cost(campaign: Campaign, atoms: Atoms) -> AnalysisCost | None:
    """Return what fitting the charges to locality costs, None where the campaign does not ask for it."""
    if campaign.charge_criterion != LOCALITIES.name:
        return None
    return locality_cost(locality_test_of(campaign.baseline.charge_fit), atoms)


def charge_fit_problems(campaign: Campaign, systems: Sequence[PlannedSystem]) -> Iterator[Problem]:
    """Yield what in ``baseline.charges`` and ``baseline.charge_fit`` does not fit the structures."""
    if campaign.charge_criterion is None:
        return
    settings = campaign.baseline.charge_fit
    key = ("baseline", "charge_fit")
    plan = Plan(campaign, tuple(systems))
    atoms = plan.measured.atoms
    if len(systems) > 1:
        yield from _common_charge_problems(plan)
    if campaign.charge_criterion != LOCALITIES.name:
        return
    yield from _cell_problems((*key, "radius_A"), (*key, "supercell"), locality_test_of(settings), atoms)
    if len(set(atoms.symbols)) < 2:
        message = "cannot be fitted: one species alone has no charge in a neutral cell"
        yield Problem(("baseline", "charges"), message, value=campaign.baseline.model_dump(mode="json")["charges"])
    if settings.transferable and plan.formal_charges is None:
        message = "needs formal charges, of which it fits a part, and none are known; fit every charge"
        yield Problem((*key, "transferable"), message, value=True, allowed="false")


def _common_charge_problems(plan: Plan) -> Iterator[Problem]:
    """Yield that no fitted charges are neutral in all systems, or that no system holds all species."""
    key = ("baseline", "charges")
    value = plan.campaign.baseline.model_dump(mode="json")["charges"]
    ways = "take formal, or give the charge of every species"
    missing = sorted(set(plan.species) - set(plan.symbols))
    if missing and plan.campaign.charge_criterion == LOCALITIES.name:
        message = f"are fitted in one system, {plan.measured.name}, which holds no {', '.join(missing)}: {ways}"
        yield Problem(key, message, value=value, related=(("systems",),))
        return
    from ....fitting.electrostatics.charges import ChargeProblem

    settings = plan.campaign.baseline.charge_fit
    if settings.transferable and plan.formal_charges is None:
        return
    problem = ChargeProblem(
        species=tuple(plan.species),
        counts=Counter(plan.symbols),
        mobile=plan.campaign.mobile,
        proportions=plan.formal_charges if settings.transferable else None,
        others=plan.other_compositions,
    )
    try:
        _ = problem.basis
    except InputError:
        message = f"cannot be fitted: only zero is neutral in every system; {ways}"
        yield Problem(key, message, value=value, related=(("systems",),))


def _cell_problems(
    radius: tuple[str, ...], supercell: tuple[str, ...], settings: LocalitySettings, atoms: Atoms
) -> Iterator[Problem]:
    from ....analysis.locality.curves import locality_cell

    try:
        locality_cell(atoms, settings.radii_A[-1], settings.supercell)
    except InputError as error:
        given = settings.supercell is not None
        key, other = (supercell, radius) if given else (radius, supercell)
        value = list(settings.supercell) if settings.supercell is not None else settings.radii_A[-1]
        yield Problem(key, f"does not do: {error}", value=value, related=(other,))


def locality_problems(campaign: Campaign, settings: LocalitySettings, atoms: Atoms) -> Iterator[Problem]:
    """Yield what in ``analyses.locality`` does not fit the structure."""
    key = ("analyses", LOCALITIES.name)
    yield from _cell_problems((*key, "radii_A"), (*key, "supercell"), settings, atoms)
