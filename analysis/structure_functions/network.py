"""Which bonds make a network, and what its rings and chains are, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .bonds import IONS, bonds_in, covalent_length_A
from .frames import StructureFrames
from .results import NetworkResult, Shell
from .rings import NetworkCounts, add_frame, chain_shares, network_of, rings_per_frame
from .settings import StructureSettings, pair_key


def network_bonds(
    settings: StructureSettings, shells: Sequence[Shell], cutoffs_A: Mapping[str, float], mobile: str
) -> tuple[str, ...]:
    """Return the bonds of the network, centre first: those of the settings, or what is as near as covalent bonds are.

    Of two elements the centre is the one that has more of the other around it.
    """
    if settings.network:
        return tuple(name for name in settings.network if pair_key(*name.split("-")) in cutoffs_A)
    ions = IONS | {mobile}
    found: dict[str, Shell] = {}
    for shell in shells:
        if ions & {shell.centre, shell.neighbour} or shell.cutoff_A is None or shell.peak_A is None:
            continue
        if shell.centre == shell.neighbour or shell.peak_A > covalent_length_A(shell.centre, shell.neighbour):
            continue
        name = pair_key(shell.centre, shell.neighbour)
        if name not in found or (shell.coordination or 0.0) > (found[name].coordination or 0.0):
            found[name] = shell
    return tuple(f"{one.centre}-{one.neighbour}" for one in found.values())


def network_result(
    chosen: Sequence[StructureFrames],
    settings: StructureSettings,
    shells: Sequence[Shell],
    cutoffs_A: Mapping[str, float],
    mobile: str = "",
) -> NetworkResult:
    """Return rings and chains of the network, averaged over frames, or why they are not defined."""
    bonds = network_bonds(settings, shells, cutoffs_A, mobile)
    if not bonds:
        reason = "no two elements are bonded: there is no network"
        return NetworkResult(rings_reason=reason, chains_reason=reason)
    centres = tuple(dict.fromkeys(name.split("-")[0] for name in bonds))
    inside = {pair_key(*name.split("-")): cutoffs_A[pair_key(*name.split("-"))] for name in bonds}
    counts = NetworkCounts()
    for run in chosen:
        is_centre = np.isin(np.array(run.symbols), centres)
        for frame in range(run.n_frames):
            add_frame(counts, network_of(bonds_in(run, frame, inside), is_centre), settings.largest_ring)
    rings_reason = chains_reason = ""
    if not counts.closed:
        rings_reason = "no path of bonds closes: the network consists of clusters without rings"
    elif not counts.rings:
        rings_reason = f"no ring of up to {settings.largest_ring} atoms: closed paths are longer, or go around the cell"
    if counts.endless == counts.centres:
        chains_reason = "all centres hang together through the whole cell: there are no chains"
    return NetworkResult(
        bonds=bonds,
        centres=centres,
        rings={str(size): number for size, number in rings_per_frame(counts).items()},
        rings_reason=rings_reason,
        chains={} if chains_reason else chain_shares(counts),
        chains_reason=chains_reason,
    )
