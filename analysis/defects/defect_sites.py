"""Which defects to make, over sites and separations, and what a relaxation made of them."""

from __future__ import annotations

import warnings
from enum import StrEnum
from typing import Annotated, Literal

import numpy as np
from ase import Atoms
from ase.geometry import find_mic, get_distances
from pydantic import Field

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...core.settings import FrozenModel
from ...sampling.structures.sites import candidate_sites

SYMMETRY_PRECISION_A = 0.01


class FrenkelPair(FrozenModel):
    """A mobile ion that leaves its crystal site for an empty one."""

    kind: Literal["frenkel"] = Field("frenkel", description="What it is (name)")
    ion: int = Field(description="Index of the ion that is moved (number)")
    position_A: tuple[float, float, float] = Field(description="Where it is put, the image nearest to its site (Å)")
    separation_A: float = Field(description="Distance from its crystal site (Å)")


class Vacancy(FrozenModel):
    """A mobile ion that is taken out, as a neutral atom."""

    kind: Literal["vacancy"] = Field("vacancy", description="What it is (name)")
    ion: int = Field(description="Index of the ion that is removed (number)")
    multiplicity: int = Field(description="Ions of the crystal on equivalent sites (number)")


Defect = Annotated[FrenkelPair | Vacancy, Field(discriminator="kind")]


def with_defect(bulk: Atoms, defect: FrenkelPair | Vacancy | None) -> Atoms:
    """Return a copy of ``bulk`` with the defect, unrelaxed; the order of the ions is kept."""
    atoms = bulk.copy()
    if isinstance(defect, FrenkelPair):
        atoms.positions[defect.ion] = defect.position_A
    elif isinstance(defect, Vacancy):
        del atoms[defect.ion]
    return atoms


def sample_frenkel_pairs(
    atoms: Atoms, mobile: str, count: int, *, seed: int, minimum_separation_A: float = 3.0, clearance_A: float = 1.5
) -> list[FrenkelPair]:
    """Draw pairs whose separations spread evenly from the smallest to the largest that the cell has.

    The range of separations is cut into ``count`` parts; from each part one pair is drawn, if possible with an ion
    and a site that no other pair has. The order of the pairs is random.

    Parameters
    ----------
    minimum_separation_A
        Closer pairs fall back at once (Å).
    clearance_A
        Empty sites are at least this far from every mobile ion (Å).

    Raises
    ------
    InputError
        If the crystal has no mobile ions, or no empty site far enough from them.
    """
    sites = candidate_sites(atoms, mobile)
    ions = np.flatnonzero(atoms.symbols == mobile)
    holes = sites.positions[sites.n_crystal :]
    if len(holes):
        vectors, distances = get_distances(atoms.positions[ions], holes, cell=atoms.cell, pbc=atoms.pbc)
        free = distances.min(axis=0) >= clearance_A
        allowed = np.argwhere((distances >= minimum_separation_A) & free[None, :])
    if not len(holes) or not len(allowed):
        raise InputError(
            f"{atoms.get_chemical_formula()} has no empty {mobile} site that is {clearance_A:g} Å from every {mobile} "
            f"and {minimum_separation_A:g} Å from one of them; lower minimum_separation_A or take a larger supercell"
        )
    separations = distances[tuple(allowed.T)]
    chosen = _spread(allowed, separations, min(count, len(allowed)), np.random.default_rng(seed))
    pairs = []
    for row, hole in allowed[chosen]:
        ion = int(ions[row])
        x, y, z = (float(value) for value in atoms.positions[ion] + vectors[row, hole])
        pairs.append(FrenkelPair(ion=ion, position_A=(x, y, z), separation_A=float(distances[row, hole])))
    return pairs


def _spread(allowed: IntArray, separations: FloatArray, count: int, random: np.random.Generator) -> IntArray:
    """Return rows of ``allowed``, one from each part of the range of separations where there is one."""
    edges = np.linspace(separations.min(), separations.max(), count + 1)
    part = np.clip(np.searchsorted(edges, separations, side="right") - 1, 0, count - 1)
    chosen: list[int] = []
    # Parts that hold fewer pairs choose first, so that the others can avoid their ions and sites.
    for number in sorted(range(count), key=lambda one: int(np.sum(part == one))):
        _choose(chosen, np.flatnonzero(part == number), allowed, random)
    while len(chosen) < count:
        _choose(chosen, np.setdiff1d(np.arange(len(allowed)), chosen), allowed, random)
    return random.permutation(np.array(chosen))


def _choose(chosen: list[int], members: IntArray, allowed: IntArray, random: np.random.Generator) -> None:
    if not len(members):
        return
    taken = allowed[chosen]
    repeats = np.array([np.sum(taken == allowed[member]) if chosen else 0 for member in members])
    chosen.append(int(random.choice(members[repeats == repeats.min()])))


def sample_vacancies(atoms: Atoms, mobile: str, count: int, *, seed: int) -> list[Vacancy]:
    """Draw vacancies on ``count`` sites that no symmetry of the crystal relates, all of them if there are fewer.

    Raises
    ------
    InputError
        If the crystal has no mobile ions.
    """
    ions = np.flatnonzero(atoms.symbols == mobile)
    if not len(ions):
        raise InputError(f"{atoms.get_chemical_formula()} has no {mobile}, so no {mobile} can be taken out")
    classes = _equivalent_atoms(atoms)
    labels, sizes = np.unique(classes[ions], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    return [
        Vacancy(ion=int(ions[np.flatnonzero(classes[ions] == labels[one])[0]]), multiplicity=int(sizes[one]))
        for one in order
    ]


def _equivalent_atoms(atoms: Atoms) -> IntArray:
    """Return a label for every atom, equal where a symmetry of the crystal relates two, shape [n_atoms]."""

    import spglib

    crystal = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib's own transition
        dataset = spglib.get_symmetry_dataset(crystal, symprec=SYMMETRY_PRECISION_A)
    return np.arange(len(atoms)) if dataset is None else np.asarray(dataset.equivalent_atoms, dtype=np.int64)


class DefectState(StrEnum):
    """What a relaxation made of a defect; of the crystal around it, where the bulk has hopped on the way."""

    INTACT = "intact"
    HOPPED = "hopped"
    RECOMBINED = "recombined"
    BULK_HOPPED = "bulk hopped"


def farthest_from_sites_A(bulk: Atoms, defect: Atoms, mobile: str) -> float:
    """Return how far (Å) the farthest mobile ion is from its crystal site, sites shared out as well as possible.

    Every ion gets one site of ``bulk`` such that the sum of the squared distances is smallest; images and exchanged
    ions count as the same, and the drift of the framework is taken off. Zero says that the pair is gone.
    """

    from scipy.optimize import linear_sum_assignment

    is_mobile = np.asarray(bulk.symbols == mobile)
    drift, _ = find_mic((defect.positions - bulk.positions)[~is_mobile], bulk.cell, bulk.pbc)
    shift = drift.mean(axis=0) if len(drift) else np.zeros(3)
    _, distances = get_distances(
        defect.positions[is_mobile] - shift, bulk.positions[is_mobile], cell=bulk.cell, pbc=bulk.pbc
    )
    rows, columns = linear_sum_assignment(distances**2)
    return float(distances[rows, columns].max())


def farthest_hop_A(before: Atoms, after: Atoms) -> float:
    """Return how far (Å) the farthest ion, mobile or not, went between two structures with unwrapped positions.

    The median displacement is taken for drift and left out.
    """
    moved = after.positions - before.positions
    return float(np.linalg.norm(moved - np.median(moved, axis=0), axis=1).max(initial=0.0))
