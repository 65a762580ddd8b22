"""Slabs, periodic in two directions: crystals of slabs far apart, whose action on each other is taken off.

All that distant images of a slab do to it is what the dipole and the charge of layers do, but for terms that fall as
exp(-G d) with the gap d between the slabs and the shortest reciprocal vector G of the surface (Yeh, Berkowitz, J. Chem.
Phys. 1999, 111, 3155, 10.1063/1.479595; Arnold, de Joannis, Holm, ibid. 2002, 117, 2496, 10.1063/1.1491955). With L
their distance, V the volume and z along the normal (charged slabs: Ballenegger, Arnold, Cerdà, ibid. 2009, 131, 094107,
10.1063/1.3216473)::

    E = E_crystal - (π k_e/V) Σ_ij q_i q_j [(z_i - z_j)² + L²/6]

The gap follows from the accuracy, so that the energy is that of the slab alone, in vacuum on both sides, whatever cell
vector is written across it: of a charged one without a background, with the potential -2π k_e σ|z| of its layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ....core.arrays import BoolArray, FloatArray
from ....core.errors import InputError
from .ewald import COULOMB_CONSTANT_EV_A, Contribution, checked_cell

# More than any bond is long, so that slabs are no neighbours of each other.
_LEAST_GAP_A = 25.0
# Steps of the height that is kept for atoms, so that the crystal's lattice outlives their motion.
_HEIGHT_STEP_A = 5.0
# A plane of atoms takes some room, too.
_LEAST_FILLING = 0.02
# As many as the shortest reciprocal vectors of a surface, and some for those that are longer.
_SHORTEST_WAVES = 8


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a structure repeats in.

    Attributes
    ----------
    cell
        Rows are lattice vectors (Å), [3, 3]: of a crystal, or of the crystal of slabs; None in open space.
    normal
        Unit vector across a slab, [3]; None of all others.
    filling
        Part of the cell that atoms are in.
    """

    cell: FloatArray | None
    normal: FloatArray | None = None
    filling: float = 1.0

    @property
    def truncation_share(self) -> float:
        """Part of an error that truncated sums may leave as estimated for atoms all over the cell.

        Those estimates fall as the root of the volume: atoms of a slab are closer together.
        """
        return math.sqrt(self.filling)

    @property
    def volume(self) -> float:
        """Volume of the cell (Å³)."""
        return 0.0 if self.cell is None else abs(float(np.linalg.det(self.cell)))


def surroundings(
    positions: FloatArray, cell: FloatArray, pbc: BoolArray, charges: FloatArray, force_error_eV_per_A: float
) -> Surroundings:
    """Return what a structure repeats in.

    Parameters
    ----------
    positions
        Å. Shape [n_atoms, 3].
    cell
        Rows are lattice vectors (Å); what is written for directions that are not periodic does not count. Shape [3, 3].
    pbc
        Periodic directions. Shape [3].
    charges
        Largest charges (e) that the atoms may have. Shape [n_atoms].
    force_error_eV_per_A
        That the images of a slab may leave.

    Raises
    ------
    InputError
        If it is periodic in one direction, or the surface of a slab has no area.
    """
    if pbc.all():
        return Surroundings(np.asarray(cell, dtype=np.float64))
    if not pbc.any():
        return Surroundings(None)
    if pbc.sum() == 1:
        raise InputError(
            "The baseline sums over crystals, slabs and molecules, not over wires: the structure is periodic in one "
            f"direction, pbc={[bool(one) for one in pbc]}. Set atoms.pbc = True, with vacuum around the wire, or "
            "atoms.pbc = False."
        )
    first, second = np.asarray(cell, dtype=np.float64)[pbc]
    across = np.cross(first, second)
    area = float(np.linalg.norm(across))
    if not area > 1e-9 * float(np.linalg.norm(first) * np.linalg.norm(second)):
        raise InputError(f"The surface between {first.tolist()} and {second.tolist()} (Å) has no area.")
    normal = across / area
    shortest = checked_cell(np.array([first, second, area * normal]))[:2]
    # The reciprocal lattice of a plane is its lattice turned and scaled.
    wave = 2 * math.pi * float(np.linalg.norm(shortest, axis=1).min()) / area
    strength = (
        2 * math.pi * COULOMB_CONSTANT_EV_A / area * float(np.abs(charges).sum() * np.abs(charges).max(initial=0))
    )
    relative = _SHORTEST_WAVES * strength / force_error_eV_per_A
    gap = max(_LEAST_GAP_A, math.log(max(relative, 1.0)) / wave)
    heights = positions @ normal
    extent = float(np.ptp(heights)) if len(heights) else 0.0
    if not math.isfinite(extent):
        raise InputError("The structure holds positions that are not numbers: has a trajectory exploded?")
    height = _HEIGHT_STEP_A * math.ceil((extent + gap) / _HEIGHT_STEP_A)
    # Of height and gap alone: the same cell is filled the same.
    filling = max(1 - gap / height, _LEAST_FILLING)
    return Surroundings(np.array([first, second, height * normal]), normal, filling)


def has_stress(atoms: Atoms) -> bool:
    """Return whether a structure has a stress: crystals, and slabs whose cell has a volume."""
    return bool(atoms.pbc.sum() >= 2 and atoms.cell.rank == 3)


def slab_contribution(positions: FloatArray, around: Surroundings, charges: FloatArray) -> Contribution:
    """Return what takes the images of a slab off the energy of the crystal of slabs.

    Parameters
    ----------
    positions
        Å. Shape [n_atoms, 3].
    around
        Of a slab.
    charges
        e. Shape [n_atoms].
    """
    assert around.normal is not None
    scale, height = _scale_and_height(around)
    # From the middle, lest digits cancel.
    z = positions @ around.normal
    z = z - z.mean()
    total, first, second = float(charges.sum()), float(charges @ z), float(charges @ z**2)
    potentials = scale * (total * z**2 - 2 * first * z + second + total * height**2 / 6)
    energy = 0.5 * float(charges @ potentials)
    slopes = 2 * scale * charges * (total * z - first)
    return Contribution(energy, -slopes[:, None] * around.normal, energy * _strain(around), potentials)


def add_slab_matrix(
    positions: FloatArray, around: Surroundings, values: FloatArray, gradients: FloatArray, strains: FloatArray
) -> None:
    """Add the same as a matrix M, ½ qᵀM q the energy (eV/e²) [n, n], with its derivatives if they have rows.

    Those by the first atom's position [n, n, 3] and by strain [n, n, 6], in the order xx, xy, xz, yy, yz, zz.
    """
    assert around.normal is not None
    scale, height = _scale_and_height(around)
    z = positions @ around.normal
    apart = z[:, None] - z
    matrix = scale * (apart**2 + height**2 / 6)
    values += matrix
    if len(gradients):
        gradients += 2 * scale * apart[:, :, None] * around.normal
        strains += matrix[:, :, None] * _strain(around)[np.triu_indices(3)]


def _scale_and_height(around: Surroundings) -> tuple[float, float]:
    assert around.cell is not None
    return -2 * math.pi * COULOMB_CONSTANT_EV_A / around.volume, float(np.linalg.norm(around.cell[-1]))


def _strain(around: Surroundings) -> FloatArray:
    """Return the strain derivative of z²/V and L²/V over themselves. Shape [3, 3]."""
    assert around.normal is not None
    return np.asarray(2 * np.outer(around.normal, around.normal) - np.eye(3), dtype=np.float64)
