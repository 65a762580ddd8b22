"""Slabs: a crystal cut along a plane, its terminations, and what a periodic cell makes of their dipole.

Terminations are the gaps between the atomic planes of one repeat distance. Types of polar surfaces: Tasker, J. Phys. C
1979, 12, 4977 (10.1088/0022-3719/12/22/036).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from ase import Atoms
from ase.units import _e
from numpy.typing import NDArray

from ...core.errors import InputError
from .slab_settings import DEFAULT_THICKNESS_A, SlabSettings, miller_text

SYMMETRY_TOLERANCE_A: Final = 0.05
"""Two sides are alike if a symmetry operation maps one onto the other within this."""
POLAR_E_PER_A: Final = 1e-3
"""A dipole per area below this (e/Å) is what coordinates of a file make of none."""
PRIMITIVE_TOLERANCE_A: Final = 1e-4
"""Atoms that a translation maps onto others within this leave a smaller cell of the crystal."""
CHARGED_E: Final = 1e-6
EQUAL_GAPS_A: Final = 1e-3
_EDGE_A: Final = 1e-6
_COULOMB_EV_A: Final = 14.399645478
"""e²/(4πε₀), eV Å."""
J_PER_M2: Final = _e * 1e20
"""One eV/Å² in J/m²."""


@dataclass(frozen=True)
class Termination:
    """One way to cut the crystal.

    ``number`` counts from 1; ``below``, ``above``: what the planes on both sides of the cut hold, by element;
    ``gap_A``: their distance (Å); ``broken``: bonds per cell that the cut breaks though it must not;
    ``polar_e_per_A``: dipole per area of the slab of whole layers (e/Å; None where charges are unknown);
    ``is_symmetric``: whether both sides of that slab are alike.
    """

    number: int
    below: str
    above: str
    gap_A: float
    broken: int
    polar_e_per_A: float | None
    is_symmetric: bool

    @property
    def is_polar(self) -> bool:
        """Whether the slab of whole layers has a dipole along its normal, as far as charges are known."""
        return self.polar_e_per_A is not None and abs(self.polar_e_per_A) > POLAR_E_PER_A


@dataclass(frozen=True)
class Slab:
    """A slab and what is to be known of it.

    ``atoms``: periodic in three directions, normal along z; ``formula_units``: of the crystal's smallest formula, None
    if the slab has another composition; ``charge_e`` (e) and ``dipole_e_A`` (e Å): by the charges, None where they are
    unknown; ``tasker_type``: 1, planes are neutral; 2, charged planes without a dipole; 3, with one; None if unknown or
    charged as a whole.
    """

    atoms: Atoms
    settings: SlabSettings
    terminations: tuple[Termination, ...]
    chosen: Termination
    layers: int
    area_A2: float
    thickness_A: float
    spacing_A: float
    formula_units: int | None
    is_symmetric: bool
    charge_e: float | None
    dipole_e_A: float | None
    tasker_type: int | None

    @property
    def image_energy_eV(self) -> float | None:
        """Energy (eV per cell) that periodic images add to the slab's, by its charges at rest.

        A lattice sum with conducting surroundings holds a field that opposes the dipole: 2πM²/V has to be added to it
        to have a single slab. Yeh, Berkowitz, J. Chem. Phys. 1999, 111, 3155 (10.1063/1.479595).
        """
        if self.dipole_e_A is None:
            return None
        return -2 * math.pi * _COULOMB_EV_A * self.dipole_e_A**2 / float(self.atoms.get_volume())


@dataclass(frozen=True)
class _Planes:
    """One repeat of the crystal along the normal: atoms wrapped in the plane, and the plane of each, bottom first."""

    atoms: Atoms
    plane: NDArray[np.int_]
    heights_A: NDArray[np.float64]
    spacing_A: float

    @property
    def count(self) -> int:
        return len(self.heights_A)

    def symbols(self, plane: int) -> str:
        inside = self.atoms.symbols[self.plane == plane % self.count]
        return str(inside.formula.reduce()[0].format("metal"))


def build_slab(crystal: Atoms, settings: SlabSettings, charges: Mapping[str, float] | None = None) -> Slab:
    """Cut a slab from a crystal.

    Parameters
    ----------
    crystal
        Cell that is periodic in three directions; indices are those of its axes.
    settings
        Which surface, how thick, which termination.
    charges
        Charges (e) by element where the settings give none; None: unknown, and so is whether it is polar.

    Returns
    -------
    The slab in its smallest cell, with all terminations that there are.

    Raises
    ------
    InputError
        If there is no such termination, it breaks bonds that must stay, no symmetric slab has it, or the slab has a
        dipole that the settings do not allow.
    """
    charges = settings.charges or charges
    if charges and (missing := sorted(set(crystal.symbols) - set(charges))):
        raise InputError(f"slab.charges: say nothing of {', '.join(missing)}")
    if charges and abs(sum(charges[symbol] for symbol in crystal.symbols)) > CHARGED_E * len(crystal):
        raise InputError("slab.charges: leave the crystal charged")
    planes = _planes(oriented_cell(crystal, settings.miller), settings.plane_tolerance_A)
    terminations = tuple(_termination(planes, index, settings, charges) for index in range(planes.count))
    chosen = _chosen(terminations, settings)
    layers = settings.layers or max(1, math.ceil((settings.thickness_A or DEFAULT_THICKNESS_A) / planes.spacing_A))
    count = layers * planes.count
    if settings.symmetric:
        count = _symmetric_count(planes, chosen, count, settings)
    atoms = _cut(planes, chosen.number - 1, count, settings.vacuum_A)
    slab = _described(crystal, planes, atoms, settings, terminations, chosen, layers, charges)
    _check_polarity(slab)
    return slab


def oriented_cell(crystal: Atoms, miller: tuple[int, int, int]) -> Atoms:
    """Return the smallest cell of a crystal with its first two axes in a plane and the normal of that along z.

    ASE's `surface` takes the cell as it is given, which may hold a surface cell several times, and mirrors the crystal
    for some planes.

    Parameters
    ----------
    crystal
        Periodic in three directions.
    miller
        Indices of the plane in its cell.

    Returns
    -------
    A right-handed cell: x along the shortest vector in the plane; the third axis spans one repeat distance.
    """
    import spglib

    whole = (crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib's own transition
        found = spglib.standardize_cell(whole, to_primitive=True, no_idealize=True, symprec=PRIMITIVE_TOLERANCE_A)
    lattice, scaled, numbers = found if found else whole
    normal = np.asarray(miller) @ crystal.cell.reciprocal().array
    indices = _whole_numbers(np.asarray(lattice) @ normal)
    basis = _plane_basis(indices, np.asarray(lattice))
    axes = basis @ lattice
    if np.linalg.det(axes) < 0:
        # A left-handed cell of the crystal: turned around in the plane, the third axis stays on the outer side.
        basis, axes = basis[[1, 0, 2]], axes[[1, 0, 2]]
    places = np.asarray(scaled) @ np.linalg.inv(basis)
    cell = Atoms(numbers=numbers, scaled_positions=places % 1.0, cell=axes, pbc=True)
    cell.set_cell(cell.cell.standard_form()[0], scale_atoms=True)
    return cell


def surface_energy_J_per_m2(slab_eV: float, units: float, unit_eV: float, area_A2: float) -> float:
    """Return the mean energy of the two surfaces of a slab with the composition of its crystal.

    Parameters
    ----------
    slab_eV
        Energy of the slab (eV).
    units
        Formula units in it.
    unit_eV
        Energy of the crystal per formula unit (eV).
    area_A2
        Area of one side (Å²).

    Returns
    -------
    (E_slab - N E_crystal) / 2A, in J/m².
    """
    return (slab_eV - units * unit_eV) / (2 * area_A2) * J_PER_M2


def _whole_numbers(values: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return the smallest whole numbers in the proportion of three numbers that are multiples of some 1/n."""
    for factor in range(1, 193):
        scaled = factor * values
        if np.abs(scaled - np.rint(scaled)).max() < 1e-4 * factor:
            whole = np.rint(scaled).astype(int)
            divisor = reduce(math.gcd, whole.tolist())
            return tuple((whole // divisor).tolist())
    raise InputError(f"slab.miller: {values.tolist()} of the smallest cell of the crystal are no rational indices")


def _plane_basis(indices: tuple[int, int, int], lattice: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return whole-number combinations of the axes: two shortest in the plane, one that climbs a repeat distance."""
    h, k, l = indices  # noqa: E741
    if k == l == 0:
        first, second, third = (0, 1, 0), (0, 0, 1), (1, 0, 0)
        rows = np.array([first, second, third]) * np.array([[1], [np.sign(h)], [np.sign(h)]])
    else:
        divisor, p, q = _bezout(k, l)
        _, x, y = _bezout(h, divisor)
        rows = np.array([(divisor, -h * p, -h * q), (0, l // divisor, -k // divisor), (x, y * p, y * q)])
    a, b = rows[0], rows[1]
    while True:  # Gauss' reduction in two dimensions
        if np.linalg.norm(a @ lattice) > np.linalg.norm(b @ lattice) * (1 + 1e-9):
            a, b = -b, a
        shift = round(float((a @ lattice) @ (b @ lattice) / ((a @ lattice) @ (a @ lattice))))
        if not shift or np.linalg.norm((b - shift * a) @ lattice) > np.linalg.norm(b @ lattice) * (1 - 1e-9):
            return np.array([a, b, rows[2]])
        b = b - shift * a


def _bezout(a: int, b: int) -> tuple[int, int, int]:
    """Return the greatest common divisor (positive) of two numbers and how it is made of them."""
    x, y, u, v = 1, 0, 0, 1
    while b:
        quotient, rest = divmod(a, b)
        a, b, x, y, u, v = b, rest, u, v, x - quotient * u, y - quotient * v
    return (a, x, y) if a > 0 else (-a, -x, -y)


def _planes(cell: Atoms, tolerance_A: float) -> _Planes:
    spacing_A = float(cell.cell.array[2, 2])
    heights = (cell.positions[:, 2] + _EDGE_A) % spacing_A
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order], append=heights[order[0]] + spacing_A)
    # The first plane begins above the widest gap, so that none is divided by the edge of the cell; of equal gaps above
    # that with the lightest atom, so that rounding does not renumber them.
    widest = np.flatnonzero(steps > steps.max() - EQUAL_GAPS_A)
    begins = (widest + 1) % len(order)
    begin = min(begins.tolist(), key=lambda index: (cell.numbers[order[index]], heights[order[index]]))
    base = heights[order[begin]] - _EDGE_A
    from_base = (cell.positions[:, 2] - base) % spacing_A
    from_base[spacing_A - from_base < 1e-9] = 0.0
    order = np.argsort(from_base, kind="stable")
    plane = np.empty(len(order), dtype=int)
    plane[order] = np.concatenate([[0], np.cumsum(np.diff(from_base[order]) > tolerance_A)])
    # The lattice vector that was subtracted from each atom shifts it in the plane, too.
    moved = np.rint((cell.positions[:, 2] - base - from_base) / spacing_A)
    atoms = cell.copy()
    atoms.positions -= moved[:, None] * cell.cell.array[2] + np.array([0.0, 0.0, base])
    means = np.array([from_base[plane == index].mean() for index in range(plane.max() + 1)])
    return _Planes(atoms, plane, means, spacing_A)


def _cut(planes: _Planes, termination: int, count: int, vacuum_A: float) -> Atoms:
    """Return so many planes, the topmost being that below a cut."""
    first = termination + 1 - count
    pieces = []
    for level in range(first, termination + 1):
        layer, plane = divmod(level, planes.count)
        piece = planes.atoms[planes.plane == plane]
        piece.positions += layer * planes.atoms.cell.array[2]
        pieces.append(piece)
    slab = pieces[0].copy()
    for piece in pieces[1:]:
        slab += piece
    height = float(np.ptp(slab.positions[:, 2])) + vacuum_A
    axes = planes.atoms.cell.array.copy()
    axes[2] = 0.0, 0.0, height
    slab.set_cell(axes)
    slab.positions[:, 2] += (height - slab.positions[:, 2].min() - slab.positions[:, 2].max()) / 2
    slab.wrap(pbc=(True, True, False), eps=1e-6)
    return slab


def _termination(
    planes: _Planes, index: int, settings: SlabSettings, charges: Mapping[str, float] | None
) -> Termination:
    above = (index + 1) % planes.count
    tops = planes.atoms.positions[planes.plane == index, 2].max()
    bottoms = planes.atoms.positions[planes.plane == above, 2].min() + (planes.spacing_A if above == 0 else 0.0)
    slab = _cut(planes, index, planes.count, settings.vacuum_A)
    dipole = _dipole_e_A(slab, charges)
    return Termination(
        number=index + 1,
        below=planes.symbols(index),
        above=planes.symbols(above),
        gap_A=float(bottoms - tops),
        broken=_broken(planes, index, settings),
        polar_e_per_A=None if dipole is None else dipole / _area_A2(slab),
        is_symmetric=_is_symmetric(slab),
    )


def _broken(planes: _Planes, index: int, settings: SlabSettings) -> int:
    """Return how many bonds per surface cell go through a cut."""
    if not settings.uncut_A:
        return 0
    from ase.data import atomic_numbers
    from matscipy.neighbours import neighbour_list

    cutoffs = {}
    for pair, length in settings.uncut_A.items():
        one, other = (atomic_numbers[symbol] for symbol in pair.split("-"))
        cutoffs[one, other] = cutoffs[other, one] = length
    first, second, shift = neighbour_list("ijS", atoms=planes.atoms, cutoff=cutoffs)
    # The third axis alone climbs, by one repeat for each image.
    beyond = planes.plane[second] + planes.count * shift[:, 2]
    here = planes.plane[first]
    # A cut is there once in every repeat: count how many of them lie between both atoms, each bond from below.
    cuts = (beyond - index - 1) // planes.count - (here - index - 1) // planes.count
    return int(np.clip(cuts, 0, None).sum())


def _chosen(terminations: tuple[Termination, ...], settings: SlabSettings) -> Termination:
    listed = terminations_text(terminations)
    if settings.termination is not None:
        if settings.termination > len(terminations):
            raise InputError(
                f"slab.termination: {settings.termination} is none of {len(terminations)}: {listed}",
            )
        chosen = terminations[settings.termination - 1]
        if chosen.broken:
            raise InputError(f"slab.termination: {chosen.number} breaks bonds of slab.uncut_A: {listed}")
        return chosen
    whole = [one for one in terminations if not one.broken]
    if not whole:
        raise InputError(f"slab.uncut_A: every cut breaks bonds that must stay: {listed}")
    return min(whole, key=lambda one: (one.is_polar and not settings.symmetric, -round(one.gap_A, 3), one.number))


def _symmetric_count(planes: _Planes, chosen: Termination, least: int, settings: SlabSettings) -> int:
    """Return the fewest planes, at least so many, of a slab with this top whose sides are alike."""
    for count in range(least, least + planes.count):
        bottom = (chosen.number - 1 - count) % planes.count
        if _broken(planes, bottom, settings):
            continue
        if _is_symmetric(_cut(planes, chosen.number - 1, count, settings.vacuum_A)):
            return count
    raise InputError(
        f"slab.symmetric: no slab with termination {chosen.number} has two sides that are alike; leave it out, or "
        "choose another termination"
    )


def _is_symmetric(slab: Atoms) -> bool:
    """Whether an operation of the slab's space group turns it upside down."""
    import spglib

    cell = (slab.cell.array, slab.get_scaled_positions(), slab.numbers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib's own transition
        found = spglib.get_symmetry(cell, symprec=SYMMETRY_TOLERANCE_A)
    return found is not None and bool((np.asarray(found["rotations"])[:, 2, 2] == -1).any())


def _area_A2(slab: Atoms) -> float:
    return float(np.linalg.norm(np.cross(slab.cell.array[0], slab.cell.array[1])))


def _dipole_e_A(slab: Atoms, charges: Mapping[str, float] | None) -> float | None:
    """Return the dipole along the normal with the slab's middle as origin, None where charges are unknown."""
    if not charges:
        return None
    values = np.array([charges[symbol] for symbol in slab.symbols])
    return float(values @ (slab.positions[:, 2] - slab.cell.array[2, 2] / 2))


def _described(
    crystal: Atoms,
    planes: _Planes,
    atoms: Atoms,
    settings: SlabSettings,
    terminations: tuple[Termination, ...],
    chosen: Termination,
    layers: int,
    charges: Mapping[str, float] | None,
) -> Slab:
    dipole = _dipole_e_A(atoms, charges)
    charge = None if not charges else float(sum(charges[symbol] for symbol in atoms.symbols))
    kind = None
    if charges and charge is not None and dipole is not None and abs(charge) < CHARGED_E:
        of_planes = [
            sum(charges[symbol] for symbol in planes.atoms.symbols[planes.plane == index])
            for index in range(planes.count)
        ]
        kind = 3 if abs(dipole) / _area_A2(atoms) > POLAR_E_PER_A else 2
        if kind == 2 and max(map(abs, of_planes)) < CHARGED_E:
            kind = 1
    return Slab(
        atoms=atoms,
        settings=settings,
        terminations=terminations,
        chosen=chosen,
        layers=layers,
        area_A2=_area_A2(atoms),
        thickness_A=float(np.ptp(atoms.positions[:, 2])),
        spacing_A=planes.spacing_A,
        formula_units=_formula_units(crystal, atoms),
        is_symmetric=_is_symmetric(atoms),
        charge_e=charge,
        dipole_e_A=dipole,
        tasker_type=kind,
    )


def _formula_units(crystal: Atoms, slab: Atoms) -> int | None:
    """Return how many of the crystal's smallest formula the slab is, None if it has another composition."""
    unit, _ = crystal.symbols.formula.reduce()
    have, of_unit = slab.symbols.formula.count(), unit.count()
    units = {have.get(symbol, 0) / number for symbol, number in of_unit.items()}
    return int(min(units)) if len(units) == 1 and min(units).is_integer() else None


def _check_polarity(slab: Slab) -> None:
    if slab.settings.polar or slab.dipole_e_A is None or slab.charge_e is None:
        return
    if abs(slab.charge_e) < CHARGED_E and abs(slab.dipole_e_A) / slab.area_A2 > POLAR_E_PER_A:
        others = [str(one.number) for one in slab.terminations if not one.is_polar and not one.broken]
        way_out = f"terminations without are {', '.join(others)}" if others else "no termination is without"
        energy = slab.image_energy_eV or 0.0
        raise InputError(
            f"slab.polar: termination {slab.chosen.number} of ({miller_text(slab.settings.miller)}) has a dipole of "
            f"{slab.dipole_e_A / slab.area_A2:.2g} e/Å along its normal (Tasker's type 3); its periodic images change "
            f"its energy by {energy:.2g} eV with these charges, and such a surface reconstructs. {way_out}; "
            "symmetric: true makes both sides alike; polar: true lets it pass"
        )


def termination_text(one: Termination) -> str:
    """Return a termination in a few words."""
    parts = [f"{one.number}: {one.below} on top, {one.above} taken off, gap {one.gap_A:.2f} Å"]
    if one.polar_e_per_A is not None:
        parts.append("polar" if one.is_polar else "no dipole")
    if one.is_symmetric:
        parts.append("symmetric")
    if one.broken:
        parts.append(f"breaks {one.broken} bonds")
    return ", ".join(parts)


def terminations_text(terminations: Sequence[Termination]) -> str:
    """Return what may be cut where; of cuts that break bonds only how many there are and how few bonds one breaks."""
    whole = [termination_text(one) for one in terminations if not one.broken]
    breaking = [one for one in terminations if one.broken]
    if breaking:
        least = min(breaking, key=lambda one: one.broken)
        whole.append(f"{len(breaking)} break bonds, the fewest number {least.number}, {least.broken} per cell")
    return "; ".join(whole)


def slab_text(slab: Slab) -> str:
    """Return what is to be known of a slab before anything is computed with it, in one line."""
    units = "not of the crystal's composition" if slab.formula_units is None else f"{slab.formula_units} formula units"
    parts = [
        f"termination {slab.chosen.number} of {len(slab.terminations)}",
        f"{slab.thickness_A:.1f} Å thick",
        f"{slab.area_A2:.2f} Å² per cell",
        units,
        "both sides alike" if slab.is_symmetric else "two different sides",
    ]
    if slab.charge_e is not None and abs(slab.charge_e) >= CHARGED_E:
        parts.append(f"{slab.charge_e:+g} e per cell by the crystal's charges")
    elif slab.tasker_type is not None:
        parts.append(f"Tasker's type {slab.tasker_type}")
    else:
        parts.append("polarity not known")
    if slab.tasker_type == 3:
        parts.append(f"images change its energy by {slab.image_energy_eV:.2g} eV with these charges")
    return ", ".join(parts) + ". Terminations: " + terminations_text(slab.terminations)
