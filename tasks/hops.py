"""Hop jobs: the hops of a campaign's trajectories, and which of them have two minima and so get a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray
from pydantic import Field

from ..analysis.barriers.bands import aligned_end
from ..analysis.barriers.settings import BarrierSettings
from ..analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ..analysis.hops.detection import (
    HopAnalysis,
    concerted_by_chance,
    detect_hops,
    find_sites,
    still_positions,
    summarise,
)
from ..analysis.hops.hop_paths import (
    HopPath,
    HopSource,
    class_paths,
    crossing_paths,
    crossings,
    moved_ions,
    nearest_free_sites,
    repeated,
    together,
)
from ..analysis.hops.settings import HopSettings
from ..analysis.trajectories.reading import Trajectory, TrajectoryReadError, read_trajectory
from ..core.arrays import FloatArray
from ..core.errors import InputError
from ..core.files import atomic_file
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import Artefact, ResultRecord
from .base import JobFailed, TaskParameters
from .context import TaskContext
from .initial import starting_structure
from .results import Potential, ResultTask, known_result, load_arrays, new_result, open_potential, save_arrays
from .values.barriers import HOP_ENDS, HOPS, EndsValues, HopsValues, PathValues

HOPS_KIND = HOPS.name
ENDS_KIND = HOP_ENDS.name
FOLDER = "hops"
_FRAMES_FOR_SITES = 2000
MOST_FOLLOWERS = 1
"""Ions that may relax into other sites because of a hop, besides those that were seen to hop."""


class HopsParameters(TaskParameters):
    """Which trajectories, whose ions, and what counts as a hop."""

    mobile: str
    trajectories: list[str]
    supercell: tuple[int, int, int] = Field(description="repeats of the campaign's cell in the trajectories")
    periods: tuple[int, int, int] = Field(description="unit cells in the trajectories' cell along each lattice vector")
    equilibration_frames: int = 0
    settings: BarrierSettings

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        asked = self.settings.model_dump(mode="json", include={"detection", "hops", "candidates", "average_ps"})
        return identifier(
            "result", HOPS_KIND, self.campaign, self.generation, self.trajectories, self.equilibration_frames, asked
        )


class HopsTask(ResultTask):
    """Find sites and hops in the trajectories, and the hops that could get a path; no hops are a result, too."""

    _fw_name = "ionloop.hops"
    parameters_type = HopsParameters
    measured_as = HOPS_KIND

    def compute(self, parameters: HopsParameters, context: TaskContext) -> ResultRecord:
        """Analyse all trajectories together."""
        store, settings = context.store, parameters.settings
        crystal = starting_structure(context, parameters.campaign, parameters.system).repeat(parameters.supercell)
        names, trajectories, left_out = _read(store, parameters.trajectories, parameters.equilibration_frames)
        reason = "; ".join(left_out)
        source = hop_source(crystal, trajectories, parameters.mobile, settings.detection) if trajectories else None
        arrays: dict[str, NDArray[Any]] = {}
        numbers: dict[str, Any] = {"hops": 0}
        paths: list[HopPath] = []
        crossing, why_not = 0, "there is no trajectory to look at"
        if source is not None:
            summary = summarise(list(source.analyses))
            numbers = {
                "hops": summary.hops,
                "duration_ps": sum(one.duration_ps for one in source.analyses),
                "concerted_by_chance": _chance(source.analyses, settings.detection),
                "summary": asdict(summary) | {"event_sizes": {str(k): v for k, v in summary.event_sizes.items()}},
            }
            arrays = _columns(source.analyses) | _sites(source.analyses)
            paths, crossing, why_not = _observed_paths(source, parameters)
        if not paths:
            reason = "; ".join(filter(None, [reason, "no hops were seen: ions were moved to the nearest free sites"]))
            try:
                paths = nearest_free_sites(crystal, parameters.mobile, settings.hops * settings.candidates)
            except InputError as error:
                reason = f"{reason}; {error}"
        values = HopsValues(
            **numbers,
            species=parameters.mobile,
            trajectories=len(trajectories),
            reason=reason,
            crossings=crossing,
            no_crossing=why_not,
            paths=tuple(map(_described, paths)),
        )
        return _record_hops(store, parameters, names, values, arrays, paths)


def hop_source(crystal: Atoms, trajectories: Sequence[Trajectory], mobile: str, settings: HopSettings) -> HopSource:
    """Return the hops of trajectories of one system, between sites that are found in all of them together."""
    positions = [still_positions(trajectory, mobile, crystal) for trajectory in trajectories]
    shared = crystal.copy()
    shared.set_cell(trajectories[0].cell_A)
    # A few thousand frames show where the density is; all of them in one piece might not fit into memory.
    spread = [one[:: max(1, len(one) // _FRAMES_FOR_SITES)] for one in positions]
    sites = find_sites(shared, np.concatenate(spread), mobile, settings)
    indices = trajectories[0].indices_of(mobile)
    analyses = [
        detect_hops(one[:, indices], sites, trajectory.frame_interval_fs / 1000, settings)
        for one, trajectory in zip(positions, trajectories, strict=True)
    ]
    return HopSource(shared, indices, positions, analyses)


def _read(
    store: Store, names: Sequence[str], equilibration_frames: int
) -> tuple[list[str], list[Trajectory], list[str]]:
    """Return the trajectories that can be analysed with their names, and why the others cannot."""
    used, found, left_out = [], [], []
    for name in names:
        record = store.trajectories.get(name)
        if record is None:
            left_out.append(f"trajectory {name} is not there")
            continue
        try:
            whole = read_trajectory(store.artefacts.path(record.artefact.path))
            found.append(whole.part(start=equilibration_frames))
        except TrajectoryReadError as error:
            left_out.append(str(error))
            continue
        used.append(name)
    return used, found, left_out


def _observed_paths(source: HopSource, parameters: HopsParameters) -> tuple[list[HopPath], int, str]:
    """Return candidate paths, those of crossings first in pairs, how many crossings there are, and why none."""
    settings = parameters.settings
    pairs, why_not = crossings(source.analyses, parameters.periods)
    paths: list[HopPath] = []
    pairs = pairs[: settings.candidates]
    for pair in pairs:
        paths += crossing_paths(source, pair, settings.average_ps)
    if any(len(one.hops) for one in source.analyses):
        paths += class_paths(source, settings.average_ps)[: settings.hops * settings.candidates]
    return paths, len(pairs), why_not


def _chance(analyses: Sequence[HopAnalysis], settings: HopSettings) -> float:
    """Return the share of hops that would be concerted by chance, over all trajectories."""
    counts = np.array([len(one.hops) for one in analyses], dtype=float)
    shares = np.array([concerted_by_chance(one, settings) for one in analyses])
    return float(counts @ shares / max(counts.sum(), 1.0))


def _columns(analyses: Sequence[HopAnalysis]) -> dict[str, NDArray[Any]]:
    """Return all hops as columns; ``trajectory`` says which one each belongs to."""
    parts = [one.hops.arrays() for one in analyses]
    columns = {f"hops_{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]}
    owner = np.repeat(np.arange(len(analyses)), [len(one.hops) for one in analyses])
    frame = np.array([one.frame_ps for one in analyses])
    times = (columns["hops_leave"] + columns["hops_arrive"]) / 2 * frame[owner]
    return columns | {"hops_trajectory": owner, "hops_time_ps": times}


def _sites(analyses: Sequence[HopAnalysis]) -> dict[str, NDArray[Any]]:
    """Return the map of the sites, occupancies averaged over time."""
    sites = analyses[0].sites
    weights = np.array([one.duration_ps for one in analyses])
    return {
        "sites_positions_A": sites.positions,
        "sites_known": sites.known,
        "sites_cell_A": sites.cell,
        "sites_occupancy": np.average([one.occupancy for one in analyses], axis=0, weights=weights),
        "sites_stays": np.sum([one.stays for one in analyses], axis=0),
    }


def _record_hops(
    store: Store,
    parameters: HopsParameters,
    trajectories: list[str],
    values: HopsValues,
    arrays: dict[str, NDArray[Any]],
    paths: list[HopPath],
) -> ResultRecord:
    name = parameters.identifier
    artefacts: dict[str, Artefact] = {}
    if arrays:
        artefacts["hops"] = save_arrays(store, FOLDER, name, arrays)
    if paths:
        ends = {
            "initial": np.array([path.initial.positions for path in paths]),
            "final": np.array([path.final.positions for path in paths]),
            "cell": paths[0].initial.cell.array,
            "numbers": paths[0].initial.numbers,
        }
        artefacts["paths"] = save_arrays(store, FOLDER, f"{name}-paths", ends)
    return new_result(
        parameters,
        name,
        HOPS,
        inputs=trajectories,
        values=values,
        artefacts=artefacts,
    )


def _described(path: HopPath) -> PathValues:
    return PathValues.model_validate({name: getattr(path, name) for name in PathValues.model_fields})


class HopEndsParameters(TaskParameters):
    """The hops to choose from, and the potential that says which of them connect two minima."""

    hops: str
    mobile: str
    potential: Potential
    settings: BarrierSettings

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        settings = self.settings.model_dump(mode="json", exclude={"band", "images", "reference"})
        return identifier("result", ENDS_KIND, self.campaign, self.hops, self.potential.identity, settings)


class HopEndsTask(ResultTask):
    """Relax the ends of hops until there are as many paths between two minima as are asked for."""

    _fw_name = "ionloop.hop-ends"
    parameters_type = HopEndsParameters
    measured_as = ENDS_KIND

    def compute(self, parameters: HopEndsParameters, context: TaskContext) -> ResultRecord:
        """Choose the paths."""
        store, settings = context.store, parameters.settings
        hops = known_result(store, parameters.hops)
        if hops is None:
            raise JobFailed("the hops were not found: see the job analysis/barriers/hops")
        paths = [repeated(path, settings.supercell) for path in _paths_of(store, hops)]
        relaxer = _Relaxer(
            calculator=open_potential(store, parameters.potential),
            settings=settings,
            mobile=parameters.mobile,
            scratch=context.scratch(parameters.identifier),
        )
        chosen: dict[str, HopPath] = {}
        rejected: list[str] = []
        crossing = 2 * HOPS.read(hops).crossings
        if settings.traverse:
            for index in range(0, crossing, 2):
                pair = relaxer.crossing(paths[index], paths[index + 1])
                faults = [reason for _, reason in pair if reason]
                if not faults:
                    chosen["crossing-1"], chosen["crossing-2"] = pair[0][0], pair[1][0]
                    break
                rejected += faults
        wanted = [f"hop-{number + 1}" for number in range(settings.hops)]
        for path in paths[crossing:]:
            if not wanted:
                break
            relaxed, reason = relaxer.relaxed(path)
            if reason:
                rejected.append(f"{path.choice} hop of {path.jump_A:.1f} Å: {reason}")
            else:
                chosen[wanted.pop(0)] = relaxed
        return _record_ends(store, parameters, chosen, rejected)


@dataclass(frozen=True)
class _Relaxer:
    """Relaxes ends, and keeps what is relaxed for the next attempt at the same job."""

    calculator: Calculator
    settings: BarrierSettings
    mobile: str
    scratch: Path

    def relaxed(self, path: HopPath) -> tuple[HopPath, str]:
        """Return the path with relaxed ends, and why it is none (empty where it is one).

        Where ions that had no part in the hop relax into other sites, the hop's own ions are moved in the relaxed
        first end instead, and the last one is relaxed from there.
        """
        initial, final, reason = self._ends(path.initial, path.final)
        moved = moved_ions(initial, final, self.mobile, self.settings.distinct_A)
        if not reason and set(moved) - set(path.moving):
            alone = initial.copy()
            hopping = list(path.moving)
            alone.positions[hopping] += (path.final.positions - path.initial.positions)[hopping]
            initial, final, reason = self._ends(path.initial, alone)
            moved = moved_ions(initial, final, self.mobile, self.settings.distinct_A)
        reason = reason or together(initial, final, self.mobile, self.settings.distinct_A)
        others = len(set(moved) - set(path.moving))
        if not reason and others > MOST_FOLLOWERS:
            reason = f"{others} other ions relax into other sites: this is no path of the hop"
        return replace(path, initial=initial, final=final, moving=moved), reason

    def crossing(self, first: HopPath, second: HopPath) -> list[tuple[HopPath, str]]:
        """Return two paths in a row, the second from where the first one's relaxation ended."""
        relaxed, reason = self.relaxed(first)
        if reason:
            return [(relaxed, reason)]
        displacement = second.final.positions - second.initial.positions
        following = replace(second, initial=relaxed.final.copy(), final=relaxed.final.copy())
        following.final.positions = relaxed.final.positions + displacement
        return [(relaxed, ""), self.relaxed(following)]

    def _ends(self, initial: Atoms, final: Atoms) -> tuple[Atoms, Atoms, str]:
        return relaxed_ends(
            initial, final, self.calculator, self.settings.relaxation, mobile=self.mobile, scratch=self.scratch
        )


def relaxed_ends(
    initial: Atoms,
    final: Atoms,
    calculator: Calculator,
    relaxation: FixedCellRelaxation,
    *,
    mobile: str,
    scratch: Path,
) -> tuple[Atoms, Atoms, str]:
    """Return both ends relaxed, the framework of the second where it is in the first, and what did not converge."""
    first, first_reason = _relaxed_end(initial, calculator, relaxation, scratch)
    last, last_reason = _relaxed_end(final, calculator, relaxation, scratch)
    framework = np.flatnonzero(~np.asarray(initial.symbols == mobile))
    reasons = [f"{end} end: {why}" for end, why in (("first", first_reason), ("last", last_reason)) if why]
    return first, aligned_end(first, last, framework), "; ".join(reasons)


def _relaxed_end(
    atoms: Atoms, calculator: Calculator, relaxation: FixedCellRelaxation, scratch: Path
) -> tuple[Atoms, str]:
    """Relax one end, or read what was relaxed before: for another path, or by an earlier attempt at this job."""

    from ..analysis.fixed_cell_relaxation import relax_ions

    kept = scratch / f"{identifier('end', atoms.positions.tolist())}.npz"
    if not kept.exists():
        outcome = relax_ions(atoms, calculator, relaxation)
        with atomic_file(kept) as temporary, temporary.open("wb") as stream:
            np.savez(stream, positions=outcome.atoms.positions, reason=np.array(outcome.reason))
    relaxed = atoms.copy()
    with np.load(kept) as arrays:
        relaxed.positions = arrays["positions"]
        return relaxed, str(arrays["reason"])


def _paths_of(store: Store, hops: ResultRecord) -> list[HopPath]:
    if "paths" not in hops.artefacts:
        return []
    arrays = load_arrays(store, hops.artefacts["paths"])

    def atoms(positions: FloatArray) -> Atoms:
        return Atoms(numbers=arrays["numbers"], positions=positions, cell=arrays["cell"], pbc=True)

    return [
        HopPath(**dict(described), initial=atoms(first), final=atoms(last))
        for described, first, last in zip(HOPS.read(hops).paths, arrays["initial"], arrays["final"], strict=True)
    ]


def _record_ends(
    store: Store, parameters: HopEndsParameters, chosen: dict[str, HopPath], rejected: list[str]
) -> ResultRecord:
    name, settings = parameters.identifier, parameters.settings
    missing = settings.hops - sum(slot.startswith("hop-") for slot in chosen)
    reason = ""
    if missing:
        reason = f"{missing} of {settings.hops} hops have no path: " + ("; ".join(rejected) or "no more were seen")
    artefacts = {}
    if chosen:
        one = next(iter(chosen.values())).initial
        arrays = {"numbers": one.numbers, "cell": one.cell.array}
        for slot, path in chosen.items():
            arrays |= {f"{slot}_initial": path.initial.positions, f"{slot}_final": path.final.positions}
        artefacts["ends"] = save_arrays(store, FOLDER, name, arrays)
    return new_result(
        parameters,
        name,
        HOP_ENDS,
        parameters.potential,
        inputs=[parameters.hops],
        values=EndsValues(
            slots={slot: _described(path) for slot, path in chosen.items()}, rejected=tuple(rejected), reason=reason
        ),
        artefacts=artefacts,
    )


def ends_of(store: Store, name: str, slot: str) -> tuple[Atoms, Atoms] | None:
    """Return the relaxed ends of the path in that slot, None where it has none.

    Raises
    ------
    JobFailed
        If the ends were not looked for.
    """
    record = known_result(store, name)
    if record is None:
        raise JobFailed("the ends of the paths were not relaxed: see the job analysis/barriers/ends")
    if slot not in HOP_ENDS.read(record).slots:
        return None
    arrays = load_arrays(store, record.artefacts["ends"])
    ends = [
        Atoms(numbers=arrays["numbers"], positions=arrays[f"{slot}_{end}"], cell=arrays["cell"], pbc=True)
        for end in ("initial", "final")
    ]
    return ends[0], ends[1]
