"""Species of a network along trajectories, or in structures: shares with intervals, changes, charge balance.

Bonds of trajectories have a memory (`ionloop.sampling.networks.bonds`): a bond that is stretched for a moment is no
reaction. Structures without times are each looked at by distances alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...sampling.networks.bonds import BondMemory, Members, bonds_of
from ...sampling.networks.settings import NetworkSettings
from ...sampling.networks.species import Speciation, species_of
from ..block_intervals import Interval, interval
from ..hops.hop_counts import dispersion, rate_interval
from .frames import NetworkRun
from .results import Share, SpeciationResult
from .settings import SpeciesSettings

MOST_BLOCKS = 20
MOST_POINTS = 400
"""Of curves against time."""
LARGEST_PATIENCE = 1.0
"""Frames may be so many patiences apart for their bonds to be followed; farther apart, one frame decides."""
_PS_PER_NS = 1000.0


@dataclass
class Followed:
    """What was seen of a run, frame by frame.

    Attributes
    ----------
    species, families, bridges, free
        Centres in each species, family and number of bridges, and free ligands by name: counts of every frame.
    centres
        Of every frame.
    imbalance_e
        Of every frame; None where a charge is not known.
    charges_e
        Of the species.
    change_times_ps, change_sizes
        When bonds changed, and how many at once.
    """

    run: NetworkRun
    stride: int
    species: list[dict[str, int]] = field(default_factory=list)
    families: list[dict[str, int]] = field(default_factory=list)
    bridges: list[dict[str, int]] = field(default_factory=list)
    free: list[dict[str, int]] = field(default_factory=list)
    centres: list[int] = field(default_factory=list)
    imbalance_e: list[int | None] = field(default_factory=list)
    charges_e: dict[str, int | None] = field(default_factory=dict)
    made: int = 0
    broken: int = 0
    change_times_ps: list[float] = field(default_factory=list)
    change_sizes: list[int] = field(default_factory=list)

    @property
    def interval_fs(self) -> float | None:
        """Time between the frames that were looked at (fs)."""
        return None if self.run.interval_fs is None else self.run.interval_fs * self.stride


@dataclass(frozen=True)
class SpeciationFound:
    """The numbers, and families against time.

    Attributes
    ----------
    result
        All that is a number.
    times_ps
        Of trajectories, shape [n]; empty without times.
    family_percent
        Mean of all trajectories that are as long, in the order of ``result.families``, shape [n_families, n].
    """

    result: SpeciationResult
    times_ps: FloatArray
    family_percent: FloatArray

    def arrays(self) -> dict[str, FloatArray]:
        """Return the curves by name; without times there are none."""
        return {"times_ps": self.times_ps, "family_percent": self.family_percent} if len(self.times_ps) else {}


def analyse_speciation(runs: Sequence[NetworkRun], settings: SpeciesSettings) -> SpeciationFound:
    """Return the species of all runs together.

    Raises
    ------
    InputError
        If there is no frame, or no centre in any.
    """
    frames = sum(len(run) for run in runs)
    if not frames:
        raise InputError("there is no frame to look at")
    stride = -(-frames // settings.most_frames)
    found = [follow(run, settings, stride) for run in runs]
    if not any(sum(one.centres) for one in found):
        raise InputError(f"there is no {' or '.join(settings.network.centres)}: nothing that species form around")
    families, _ = _shares(found, "families")
    species, why = _shares(found, "species")
    charges = {name: charge for one in found for name, charge in one.charges_e.items()}
    bridges, _ = _shares(found, "bridges", by_size=False)
    free, _ = _shares(found, "free")
    known = [value for one in found for value in one.imbalance_e if value is not None]
    whole = len(known) == sum(len(one.centres) for one in found)
    result = SpeciationResult(
        network=_words(settings.network),
        frames=sum(len(one.centres) for one in found),
        centres=float(np.mean(np.concatenate([one.centres for one in found]))),
        species=tuple(one.model_copy(update={"charge_e": charges.get(one.name)}) for one in species),
        families=families,
        bridges=bridges,
        free_ligands=tuple(one.model_copy(update={"charge_e": charges.get(one.name)}) for one in free),
        interval_reason=why,
        imbalance_e=float(np.mean(known)) if whole else None,
        balanced_percent=100.0 * float(np.mean(np.array(known) == 0)) if whole else None,
        largest_imbalance_e=max(known, key=abs) if whole else None,
        **_changes(found),
        warnings=tuple(_warnings(found, settings)),
    )
    times_ps, percent = _against_time(found, [one.name for one in families])
    return SpeciationFound(result, times_ps, percent)


def follow(run: NetworkRun, settings: SpeciesSettings, stride: int = 1) -> Followed:
    """Return the species of every ``stride``-th frame."""
    found = Followed(run, stride)
    step_fs = found.interval_fs
    members: dict[tuple[str, ...], Members] = {}
    memory: BondMemory | None = None
    before: tuple[np.ndarray, Speciation] | None = None
    for place, frame in enumerate(run.frames(stride)):
        own = members.get(frame.symbols)
        if own is None:
            own = members.setdefault(frame.symbols, Members.of(frame.symbols, settings.network))
        if step_fs is None:
            bonds = bonds_of(own, frame.positions_A, frame.cell_A, frame.pbc)
        else:
            memory = memory or BondMemory(own, int(settings.patience_fs / step_fs))
            bonds = memory.next(frame.positions_A, frame.cell_A, frame.pbc)
        keys = bonds[0] * len(own) + bonds[1]
        if step_fs is not None and before is not None:
            made, broken = _changed(before[0], keys)
            found.made, found.broken = found.made + made, found.broken + broken
            if made + broken:
                found.change_times_ps.append(place * step_fs / 1000.0)
                found.change_sizes.append(made + broken)
                before = None
        # Between two reactions all frames hold the same species.
        if step_fs is None or before is None:
            before = keys, species_of(frame.symbols, own, bonds)
        _count(found, before[1])
    return found


def _changed(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    if np.array_equal(before, after):
        return 0, 0
    return len(np.setdiff1d(after, before, True)), len(np.setdiff1d(before, after, True))


def _count(found: Followed, seen: Speciation) -> None:
    species: dict[str, int] = {}
    families: dict[str, int] = {}
    free: dict[str, int] = {}
    for one, count in zip(seen.species, seen.counts, strict=True):
        found.charges_e[one.name] = one.charge_e
        if one.centres:
            species[one.name] = species.get(one.name, 0) + one.centres * count
            families[one.family] = families.get(one.family, 0) + one.centres * count
        else:
            free[one.name] = free.get(one.name, 0) + count
    numbers, counts = np.unique(seen.bridging, return_counts=True)
    bridges = {str(number): count for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)}
    for series, values in (
        (found.species, species),
        (found.families, families),
        (found.bridges, bridges),
        (found.free, free),
    ):
        series.append(values)
    found.centres.append(seen.n_centres)
    found.imbalance_e.append(seen.imbalance_e)


def _shares(found: Sequence[Followed], quantity: str, *, by_size: bool = True) -> tuple[tuple[Share, ...], str]:
    """Return the part of the centres in each of some, and why there are no intervals."""
    names = sorted({name for one in found for counts in getattr(one, quantity) for name in counts})
    if not names:
        return (), ""
    per_run = max(1, MOST_BLOCKS // len(found))
    blocks, runs = [], []
    for number, one in enumerate(found):
        counts = np.array([[frame.get(name, 0) for name in names] for frame in getattr(one, quantity)], dtype=float)
        table = np.column_stack([counts, np.array(one.centres, dtype=float)])
        for part in np.array_split(table, min(per_run, len(table))):
            blocks.append(part.sum(axis=0))
            runs.append(number)
    total = reduce(np.add, blocks)
    spread: Interval = interval(blocks, runs, np.add, lambda block: 100.0 * block[:-1] / max(block[-1], 1.0))
    percent = 100.0 * total[:-1] / total[-1]
    # What is the same in every frame has no scatter that would tell how well it is known.
    halves = [None] * len(names) if spread.half_width is None else [half or None for half in spread.half_width.tolist()]
    rows = zip(names, percent.tolist(), halves, strict=True)
    shares = [Share(name=name, percent=value, half_width=half) for name, value, half in rows]
    if by_size:
        shares.sort(key=lambda one: (-one.percent, one.name))
    return tuple(shares), spread.reason


def _changes(found: Sequence[Followed]) -> dict[str, float | int | None]:
    timed = [one for one in found if one.run.interval_fs is not None]
    if not timed:
        return {}
    made, broken = sum(one.made for one in timed), sum(one.broken for one in timed)
    lengths_ps = [one.run.length_ps for one in timed]
    centre_ns = sum(float(np.mean(one.centres)) * one.run.length_ps for one in timed) / _PS_PER_NS
    values: dict[str, float | int | None] = {"length_ps": sum(lengths_ps), "made": made, "broken": broken}
    if centre_ns <= 0:
        return values
    times = [np.repeat(one.change_times_ps, one.change_sizes) for one in timed]
    sizes = np.array([size for one in timed for size in one.change_sizes], dtype=np.int64)
    varies = dispersion(times, lengths_ps, sizes)
    low, high = rate_interval(made + broken, centre_ns, varies)
    return values | {
        "changes_per_centre_per_ns": (made + broken) / centre_ns,
        "changes_low_per_ns": low,
        "changes_high_per_ns": high,
    }


def _warnings(found: Sequence[Followed], settings: SpeciesSettings) -> list[str]:
    timed = [one for one in found if one.interval_fs is not None]
    told = []
    longest = max((one.interval_fs or 0.0 for one in timed), default=0.0)
    if timed and longest > LARGEST_PATIENCE * max(settings.patience_fs, 1.0):
        told.append(
            f"frames are {longest:g} fs apart, more than patience_fs ({settings.patience_fs:g} fs): bonds that break "
            "and are made again between two frames are not seen, and one frame decides"
        )
    if timed and not any(one.made + one.broken for one in timed):
        told.append(
            "no bond was made or broken: the species are those that the runs began with, and say nothing of what "
            "they would become"
        )
    if any(value for one in found for value in one.imbalance_e):
        told.append("charges do not add up to 0 in some frames: there are broken species")
    return told


def _against_time(found: Sequence[Followed], names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Return times and the part of each family at them, means of parts of equal length over all trajectories."""
    timed = [one for one in found if one.interval_fs is not None]
    if not timed:
        return np.zeros(0), np.zeros((len(names), 0))
    longest = max(timed, key=lambda one: one.run.length_ps)
    step_ps = float(longest.interval_fs or 0.0) / 1000.0
    n = len(longest.centres)
    width = -(-n // MOST_POINTS)
    points = -(-n // width)
    counts, centres = np.zeros((len(names), points)), np.zeros(points)
    for one in timed:
        places = np.arange(len(one.centres)) * float(one.interval_fs or 0.0) / 1000.0 / (width * step_ps)
        at = np.minimum((places + 1e-9).astype(int), points - 1)
        np.add.at(centres, at, np.array(one.centres, dtype=float))
        for row, name in enumerate(names):
            np.add.at(counts[row], at, np.array([frame.get(name, 0) for frame in one.families], dtype=float))
    times_ps = (np.arange(points) + 0.5 * (width > 1)) * width * step_ps
    return np.asarray(times_ps, dtype=float), 100.0 * counts / np.maximum(centres, 1.0)


def _words(network: NetworkSettings) -> str:
    return f"{'/'.join(network.centres)} with {'/'.join(network.ligands)}"
