"""The crystal that a trajectory is one of: its ions are the known sites, whatever cell and order its file has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from ase import Atoms

from ...core.errors import InputError
from ..trajectories.framework import drift
from ..trajectories.reading import Trajectory
from .site_map import PeriodicTree
from .structure_matching import GOOD_A, assign, composition_difference, in_cell_of, shifts_to_try

MOST_DISPLACED_A = 1.5
"""An atom whose mean lies farther than this from its place in a crystal belongs to another one."""
_SHIFT_TOLD_A = 0.05
# A cubic lattice turns into itself in 24 ways, and into some of its supercells in a few times as many.
_MOST_WAYS = 72
# Farther from any place of its element than this, an atom is in none (Å).
_REACH_A = 1.0


def crystal_on_trajectory(
    crystal: Atoms, trajectory: Trajectory, mobile: str, framework: Sequence[str] = ()
) -> tuple[Atoms, tuple[str, ...]]:
    """Return a crystal in the cell, the order and the place of a trajectory's framework, and what was done for that.

    The number of mobile ions may differ: those of the crystal are the known sites.

    Parameters
    ----------
    framework
        The species whose places are held against the crystal's; none: all that are not mobile.

    Raises
    ------
    InputError
        If it is another crystal; the message says what differs.
    """
    if mobile not in crystal.symbols:
        raise InputError(f"it has no {mobile}, whose places are to be the known sites; it has {crystal.symbols}")
    symbols = np.array(trajectory.symbols)
    rests = symbols != mobile
    # The mean without drift, without a copy of all frames.
    mean = trajectory.positions_A[:, rests].mean(axis=0) - drift(trajectory, [mobile], framework=framework).mean(axis=0)
    here = Atoms(symbols[rests].tolist(), positions=mean, cell=trajectory.cell_A, pbc=True)
    times, rest = divmod(len(here), max(1, len(crystal) - int(np.sum(crystal.symbols == mobile))))
    ways = in_cell_of(crystal, np.asarray(trajectory.cell_A), len(symbols), times if times and not rest else None)
    if not len(here):
        whole, how = next(ways)
        return whole, (how,) if how else ()
    whole, how = _best(here, ways, mobile)
    notes = [how] if how else []
    is_ion = np.asarray(whole.symbols == mobile)
    others, ions = whole[~is_ion], whole[is_ion]
    found = assign(here, others)
    resting = np.isin(symbols[rests], framework) if framework else np.ones(len(here), dtype=bool)
    distances = np.where(resting, found.distances_A, 0.0)
    farthest = int(distances.argmax())
    if distances[farthest] > MOST_DISPLACED_A:
        raise InputError(
            f"it is another crystal: its {here.symbols[farthest]} lie up to {distances[farthest]:.2f} Å from those of "
            f"the trajectory on average (at most {MOST_DISPLACED_A:g} Å)"
        )
    if not np.array_equal(found.order, np.arange(len(here))):
        notes.append("put in the trajectory's order")
    if np.linalg.norm(found.shift_A) > _SHIFT_TOLD_A:
        notes.append(f"shifted by {np.linalg.norm(found.shift_A):.2f} Å")
    ordered = others[found.order] + ions
    ordered.positions -= found.shift_A
    return ordered, tuple(notes)


def _best(here: Atoms, ways: Iterator[tuple[Atoms, str]], mobile: str) -> tuple[Atoms, str]:
    """Return the way in which a crystal lies in the trajectory's cell: the first that fits, else the best."""
    places = {
        symbol: PeriodicTree(here.positions[here.symbols == symbol], here.cell.array, _REACH_A)
        for symbol in {*here.symbols}
    }
    best: tuple[float, Atoms, str] | None = None
    for whole, how in islice(ways, _MOST_WAYS):
        others = whole[~np.asarray(whole.symbols == mobile)]
        difference = composition_difference(here, others)
        if difference:
            raise InputError(f"it has other atoms than the trajectory: {difference}")
        for shift in (np.zeros(3), *shifts_to_try(here, others)):
            cost = sum(
                float(np.minimum(tree.nearest(others.positions[others.symbols == symbol] - shift)[2], _REACH_A).sum())
                for symbol, tree in places.items()
            )
            if best is None or cost < best[0]:
                best = (cost, whole, how)
            if cost < GOOD_A * len(here):
                return whole, how
    assert best is not None  # `in_cell_of` yields one or raises
    return best[1:]
