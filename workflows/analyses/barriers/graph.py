"""Hops of a campaign's trajectories, and the barriers of some of them with every potential.

The graph is known from the start: every path has a slot, and a slot that finds no hop ends without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from ...analysis.barriers.bands import BarrierSettings
from ...analysis.barriers.figures import (
    PathEnergies,
    SiteNetwork,
    barrier_figure,
    jump_lengths,
    residence_times,
    site_network,
)
from ...analysis.conductivity.settings import ConductivitySettings
from ...analysis.figures import model_name
from ...store.connection import Store
from ...store.records import ResultRecord
from ...tasks.barriers import (
    BARRIER_KIND,
    BandParameters,
    BandTask,
    BarriersParameters,
    BarriersTask,
    PathParts,
    PointsParameters,
    PointsTask,
)
from ...tasks.conductivity import ConductivityRunParameters
from ...tasks.hops import ENDS_KIND, HOPS_KIND, HopEndsParameters, HopEndsTask, HopsParameters, HopsTask
from ...tasks.results import REFERENCE, known_result, load_arrays
from ...tasks.sample import trajectory_identifier
from ..campaign.problems import Problem
from ..campaign.settings import Campaign
from ..graph.jobs import Job
from .base import PRIORITY, Analysis, AnalysisCost, AnalysisPlan
from .conductivity import conductivity_jobs
from .sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

EVALUATIONS_PER_END = 150
"""Evaluations that relaxing one end of a path takes, estimated."""
STEPS_PER_BAND = 150
"""Steps that a band takes, estimated."""
_STAGE = "analysis/barriers"
_CROSSING = ("crossing-1", "crossing-2")


def slots(settings: BarrierSettings) -> tuple[str, ...]:
    """Return the names of the paths that may be found."""
    crossing = _CROSSING if settings.traverse else ()
    return (*crossing, *(f"hop-{number + 1}" for number in range(settings.hops)))


@dataclass(frozen=True)
class _Source:
    """Trajectories in which hops are looked for, and the jobs that run them."""

    trajectories: list[str]
    supercell: tuple[int, int, int] = (1, 1, 1)
    equilibration_frames: int = 0
    parents: tuple[str, ...] = ()


def _source(plan: AnalysisPlan, settings: BarrierSettings) -> _Source:
    campaign = plan.campaign
    conductivity = _conductivity(campaign, settings)
    if conductivity is None:
        # Frames of the last generation are there before its models are final.
        replicas = range(campaign.sampling.replicas)
        names = [trajectory_identifier(campaign.name, plan.generation, f"replica-{number}") for number in replicas]
        return _Source(names)
    temperature = _nearest(conductivity.temperatures_K, campaign.sampling.temperature_K)
    runs = {
        job.key: job.parameters
        for job in conductivity_jobs(plan, conductivity)
        if isinstance(job.parameters, ConductivityRunParameters)
        and job.parameters.potential.kind == campaign.driver
        and job.parameters.dynamics.temperature_K == temperature
    }
    return _Source(
        [run.trajectory for run in runs.values()],
        conductivity.supercell,
        conductivity.equilibration_frames,
        tuple(runs),
    )


def _conductivity(campaign: Campaign, settings: BarrierSettings) -> ConductivitySettings | None:
    """Return the settings of the conductivity whose trajectories are taken, None where the last generation's are."""
    found = campaign.analyses.conductivity
    if settings.trajectories == "sampling" or found is None or campaign.driver not in (found.models or campaign.models):
        return None
    return found


def _nearest(values: tuple[float, ...], wanted: float) -> float:
    return min(values, key=lambda value: (abs(value - wanted), value))


def barrier_jobs(plan: AnalysisPlan, settings: BarrierSettings) -> list[Job]:
    """Return the jobs from trajectories to barriers."""
    campaign = plan.campaign
    source = _source(plan, settings)
    hops = HopsParameters(
        **plan.place,
        mobile=campaign.mobile,
        trajectories=source.trajectories,
        supercell=source.supercell,
        periods=tuple(np.multiply(campaign.supercell, source.supercell).tolist()),
        equilibration_frames=source.equilibration_frames,
        settings=settings,
    )
    ends = HopEndsParameters(
        **plan.place,
        hops=hops.identifier,
        mobile=campaign.mobile,
        potential=plan.potential(campaign.driver),
        settings=settings,
    )
    find = Job(
        key=f"{_STAGE}/hops",
        task=HopsTask,
        parameters=hops,
        parents=source.parents,
        priority=PRIORITY,
        runs_after_failures=True,
    )
    relax = Job(
        key=f"{_STAGE}/ends",
        task=HopEndsTask,
        parameters=ends,
        parents=(find.key, *plan.parents(campaign.driver)),
        priority=PRIORITY,
        # Whatever lacks its input fails at once and says so; then the barriers that there are get recorded.
        runs_after_failures=True,
    )
    jobs, paths = [find, relax], []
    for slot in slots(settings):
        for kind in plan.models:
            made, path = _path_jobs(plan, settings, ends.identifier, slot, kind)
            jobs += made
            paths.append(path)
    gather = Job(
        key=_STAGE,
        task=BarriersTask,
        parameters=BarriersParameters(**plan.place, ends=ends.identifier, paths=paths),
        parents=tuple(job.key for job in jobs),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather]


def _path_jobs(
    plan: AnalysisPlan, settings: BarrierSettings, ends: str, slot: str, kind: str
) -> tuple[list[Job], PathParts]:
    """Return the jobs of one path of one model: its band, and single points of everything else."""
    parameters = BandParameters(
        **plan.place,
        ends=ends,
        slot=slot,
        mobile=plan.campaign.mobile,
        potential=plan.potential(kind),
        settings=settings,
    )
    band = Job(
        key=f"{_STAGE}/{slot}/{kind}",
        task=BandTask,
        parameters=parameters,
        parents=(f"{_STAGE}/ends", *plan.parents(kind)),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    jobs, points = [band], {}
    for other in _others(plan, settings, kind):
        # An evaluation of the reference takes as long as all of a model's together: one job each.
        images = list(range(settings.images)) if other == REFERENCE else [None]
        wanted = [
            PointsParameters(**plan.place, band=parameters.identifier, potential=plan.potential(other), image=image)
            for image in images
        ]
        points[other] = [one.identifier for one in wanted]
        jobs += [
            Job(
                key=f"{band.key}/{other}" + ("" if one.image is None else f"/{one.image}"),
                task=PointsTask,
                parameters=one,
                parents=(band.key, *plan.parents(other)),
                priority=PRIORITY,
                runs_after_failures=True,
            )
            for one in wanted
        ]
    return jobs, PathParts(slot=slot, potential=plan.potential(kind), band=parameters.identifier, points=points)


def _others(plan: AnalysisPlan, settings: BarrierSettings, kind: str) -> list[str]:
    reference = [REFERENCE] if settings.reference == "single-points" else []
    return [other for other in plan.models if other != kind] + reference


def barrier_cost(settings: BarrierSettings, models: int, atoms: int) -> AnalysisCost:
    """Return what the paths ask for at most; relaxations and bands count as estimated above."""
    size = atoms * int(np.prod(settings.supercell))
    paths = len(slots(settings)) * models
    reference = paths * settings.images if settings.reference == "single-points" else 0
    band = 2 * EVALUATIONS_PER_END + STEPS_PER_BAND * (settings.images - 2) + settings.images * (models - 1)
    return AnalysisCost(
        reference_evaluations=reference,
        reference_atoms=size if reference else 0,
        model_evaluations=paths * band,
        model_atoms=size,
    )


def _latest(store: Store, campaign: str, kind: str) -> list[ResultRecord]:
    """Return the campaign's results of that kind, those of its last generation only."""
    found = list(store.results.find({"campaign": campaign, "kind": kind}))
    last = max((record.generation for record in found), default=0)
    return sorted((record for record in found if record.generation == last), key=lambda record: record.created)


def barrier_section(store: Store, campaign: str) -> ReportSection | None:
    """Return the section of the report: hops, sites, and the energies along every path."""
    hops = _latest(store, campaign, HOPS_KIND)[-1:]
    ends = _latest(store, campaign, ENDS_KIND)[-1:]
    barriers = {
        (record.values["slot"], str(record.model_kind)): record for record in _latest(store, campaign, BARRIER_KIND)
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
        joined = [whole[slot, kind] for slot in _CROSSING if (slot, kind) in whole]
        if len(joined) == len(_CROSSING):
            first, second = (path_energies(record) for record in joined)
            both = [first[other].followed_by(second[other]) for other in first if other in second]
            yield FigureBlock(
                f"crossing-{kind}",
                barrier_figure(both),
                f"Two consecutive hops that cross the unit cell ({joined[0].values['choice'].split(',')[0]}), on the "
                f"path of {model_name(kind)}. Every potential counts from its own first image.",
            )
    for (slot, kind), record in sorted(whole.items()):
        if slot not in _CROSSING:
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


def _settings(campaign: Campaign) -> BarrierSettings:
    return campaign.analyses.barriers or BarrierSettings()


def _cost(campaign: Campaign, atoms: Atoms) -> AnalysisCost:
    settings = _settings(campaign)
    conductivity = _conductivity(campaign, settings)
    cells = 1 if conductivity is None else int(np.prod(conductivity.supercell))
    return barrier_cost(settings, len(campaign.models), cells * len(atoms))


def _problems(campaign: Campaign, atoms: Atoms) -> Iterable[Problem]:
    if np.all(np.asarray(atoms.symbols == campaign.mobile)):
        yield Problem(
            ("analyses", "barriers"), f"the structure holds nothing but {campaign.mobile}: no framework, no hops"
        )

    settings = _settings(campaign)
    if settings.trajectories == "conductivity" and _conductivity(campaign, settings) is None:
        yield Problem(
            ("analyses", "barriers", "trajectories"),
            f"asks for trajectories of the conductivity with {campaign.driver}, which the campaign does not make",
            value="conductivity",
            allowed="auto | sampling, or analyses.conductivity",
            related=(("analyses", "conductivity"), ("sampling", "driver")),
        )


BARRIERS = Analysis(
    name="barriers",
    jobs=lambda plan: barrier_jobs(plan, _settings(plan.campaign)),
    cost=_cost,
    problems=_problems,
    section=barrier_section,
)
