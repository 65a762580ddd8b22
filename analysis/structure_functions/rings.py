"""The bonded network: rings by King's criterion, and chains of centres.

A ring is a shortest closed path that holds an atom and two of its neighbours (King, Nature 1967, 213, 1112,
10.1038/2131112a0). Paths are followed through the images of a cell: one that comes back to an image of where it began
goes around the cell, and is no ring. Atoms with one bond, and what hangs on others without a closed path, are in none.

Centres are linked where they share a neighbour that is no centre, or are bonded themselves. A cluster of linked centres
is a chain where it is finite, nothing branches and nothing closes; its length is the number of its centres.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.arrays import BoolArray
from ...fitting.native.neighbours import NeighbourPairs

Node = tuple[int, int, int, int]
"""An atom and the image that it is in."""


@dataclass(frozen=True)
class Network:
    """Bonds between the atoms of a network, in one frame.

    Attributes
    ----------
    bonds
        Neighbours of each atom with the image that they are in.
    centres
        Whether each atom is a centre, shape [n_atoms].
    """

    bonds: tuple[tuple[Node, ...], ...]
    centres: BoolArray


@dataclass
class NetworkCounts:
    """Rings and chains, added up over frames.

    Attributes
    ----------
    frames, centres
        Frames, and centres in all of them.
    rings
        Number of different rings by the number of their atoms.
    closed
        Whether there are closed paths at all, longer than is looked for or not.
    chains, branched, cyclic, endless
        Centres in chains by length; in clusters that branch, that close, and that reach around the cell.
    """

    frames: int = 0
    centres: int = 0
    rings: Counter[int] = field(default_factory=Counter)
    closed: bool = False
    chains: Counter[int] = field(default_factory=Counter)
    branched: int = 0
    cyclic: int = 0
    endless: int = 0


def network_of(bonds: NeighbourPairs, centres: BoolArray) -> Network:
    """Return bonds as a graph whose edges know the image that they lead to."""
    shifts = bonds.shifts.astype(int).tolist()
    second, starts = bonds.second.tolist(), bonds.starts.tolist()
    return Network(
        tuple(
            tuple((second[place], *shifts[place]) for place in range(starts[atom], starts[atom + 1]))
            for atom in range(len(starts) - 1)
        ),
        centres,
    )


def _moved(node: Node, by: Node) -> Node:
    return node[0], node[1] + by[1], node[2] + by[2], node[3] + by[3]


def _around(network: Network, node: Node) -> list[Node]:
    return [_moved(other, node) for other in network.bonds[node[0]]]


def pruned(network: Network) -> Network:
    """Return the network without atoms that are in no closed path: those with one bond, and again those that remain."""
    bonds = [set(each) for each in network.bonds]
    loose = deque(atom for atom, each in enumerate(bonds) if len(each) == 1)
    while loose:
        atom = loose.popleft()
        for other, a, b, c in list(bonds[atom]):
            bonds[other].discard((atom, -a, -b, -c))
            if len(bonds[other]) == 1:
                loose.append(other)
        bonds[atom] = set()
    return Network(tuple(tuple(sorted(each)) for each in bonds), network.centres)


def rings(network: Network, largest: int) -> set[frozenset[Node]]:
    """Return all rings of up to ``largest`` atoms, each once, whichever image of it was found.

    They are looked for at the centres where there are some, else at all atoms.
    """
    core = pruned(network)
    starts = [atom for atom, each in enumerate(core.bonds) if len(each) > 1]
    if any(core.centres[atom] for atom in starts):
        starts = [atom for atom in starts if core.centres[atom]]
    found: set[frozenset[Node]] = set()
    for atom in starts:
        here: Node = (atom, 0, 0, 0)
        ends = core.bonds[atom]
        for place, first in enumerate(ends):
            for last in ends[place + 1 :]:
                for path in _shortest_paths(core, first, last, here, largest - 2):
                    found.add(_canonical([here, *path]))
    return found


def _shortest_paths(network: Network, first: Node, last: Node, without: Node, most: int) -> list[list[Node]]:
    """Return all shortest paths between two nodes that avoid a third, of up to ``most`` bonds."""
    before: dict[Node, list[Node]] = {first: []}
    border, length = [first], 0
    while border and length < most and last not in before:
        length += 1
        reached: dict[Node, list[Node]] = {}
        for node in border:
            for other in _around(network, node):
                if other != without and other not in before:
                    reached.setdefault(other, []).append(node)
        before.update(reached)
        border = list(reached)
    if last not in before:
        return []
    paths: list[list[Node]] = [[last]]
    while paths[0][-1] != first:
        paths = [[*path, node] for path in paths for node in before[path[-1]]]
    return paths


def _canonical(ring: Sequence[Node]) -> frozenset[Node]:
    """Return a ring as the set of its nodes, moved so that all its images give the same."""
    lowest = min(node[0] for node in ring)
    places = sorted(node for node in ring if node[0] == lowest)
    return frozenset(_moved(node, (0, *(-one for one in places[0][1:]))) for node in ring)  # type: ignore[arg-type]


def add_frame(counts: NetworkCounts, network: Network, largest: int) -> None:
    """Add the rings and chains of a frame."""
    counts.frames += 1
    counts.centres += int(np.count_nonzero(network.centres))
    core = pruned(network)
    if any(len(each) > 1 for each in core.bonds):
        counts.closed = True
        counts.rings.update(len(ring) for ring in rings(network, largest))
    _add_chains(counts, network)


def _add_chains(counts: NetworkCounts, network: Network) -> None:
    links = _links(network)
    seen: dict[int, Node] = {}
    for start in np.flatnonzero(network.centres).tolist():
        if start in seen:
            continue
        members, endless = _cluster(links, start, seen)
        degrees = [len(links[atom]) for atom in members]
        if endless:
            counts.endless += len(members)
        elif sum(degrees) // 2 >= len(members):
            counts.cyclic += len(members)
        elif max(degrees) > 2:
            counts.branched += len(members)
        else:
            counts.chains[len(members)] += len(members)


def _links(network: Network) -> Mapping[int, set[Node]]:
    """Return for each centre the centres that it is linked to, once for each image, itself left out."""
    found: dict[int, set[Node]] = {}
    for atom in np.flatnonzero(network.centres).tolist():
        here: Node = (atom, 0, 0, 0)
        reached: set[Node] = set()
        for other in network.bonds[atom]:
            nodes = [other] if network.centres[other[0]] else _around(network, other)
            reached.update(node for node in nodes if network.centres[node[0]] and node != here)
        found[atom] = reached
    return found


def _cluster(links: Mapping[int, set[Node]], start: int, seen: dict[int, Node]) -> tuple[list[int], bool]:
    """Return the centres that are linked to one, and whether they reach around the cell."""
    seen[start] = (start, 0, 0, 0)
    members, queue, endless = [start], deque([start]), False
    while queue:
        atom = queue.popleft()
        for link in links[atom]:
            there = _moved(link, seen[atom])
            known = seen.get(there[0])
            if known is None:
                seen[there[0]] = there
                members.append(there[0])
                queue.append(there[0])
            elif known != there:
                endless = True
    return members, endless


def chain_shares(counts: NetworkCounts) -> dict[str, float]:
    """Return the part of centres in chains of each length, as text, and in branched, cyclic and endless clusters."""
    total = max(1, counts.centres)
    found = {str(length): number / total for length, number in sorted(counts.chains.items())}
    rest = {"branched": counts.branched, "cyclic": counts.cyclic, "endless": counts.endless}
    return found | {name: number / total for name, number in rest.items() if number}


def rings_per_frame(counts: NetworkCounts) -> dict[int, float]:
    """Return the mean number of rings in a frame by the number of their atoms."""
    return {size: number / max(1, counts.frames) for size, number in sorted(counts.rings.items())}
