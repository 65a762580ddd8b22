"""Trajectories whose answer is known: ions and hosts that vibrate, hop, turn, melt or fall apart as they are told."""

import numpy as np
from ase import Atoms

FRAME_PS = 0.1
SPACING_A = 6.0


def thiophosphate(cells=2):
    """Return a simple cubic lattice of PS4 tetrahedra with three lithium ions between each."""
    corner = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    sites = np.array([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]) * SPACING_A
    one = Atoms("PS4Li3", np.concatenate([np.zeros((1, 3)), 2.05 * corner, sites]), cell=[SPACING_A] * 3, pbc=True)
    return one.repeat(cells)


def vibration(random, n_frames, n_atoms, width_A, memory=0.8):
    """Return displacements of atoms that are bound: an Ornstein-Uhlenbeck process, [n_frames, n_atoms, 3]."""
    kicks = random.normal(0.0, width_A * np.sqrt(1 - memory**2), (n_frames, n_atoms, 3))
    moved = np.empty_like(kicks)
    moved[0] = kicks[0] / np.sqrt(1 - memory**2)
    for frame in range(1, n_frames):
        moved[frame] = memory * moved[frame - 1] + kicks[frame]
    return moved


def walk(random, n_frames, n_atoms, diffusivity_A2_per_ps, start=0):
    """Return displacements of Brownian atoms that begin to move at a frame, [n_frames, n_atoms, 3]."""
    steps = random.normal(0.0, np.sqrt(2 * diffusivity_A2_per_ps * FRAME_PS), (n_frames, n_atoms, 3))
    steps[: start + 1] = 0.0
    return np.cumsum(steps, axis=0)


def hopping(random, n_frames, n_atoms, rate_per_ps, length_A):
    """Return displacements of ions that jump along an axis at random times, [n_frames, n_atoms, 3]."""
    jumps = random.random((n_frames, n_atoms)) < rate_per_ps * FRAME_PS
    steps = np.zeros((n_frames, n_atoms, 3))
    axes = random.integers(0, 3, (n_frames, n_atoms))
    signs = random.choice([-1.0, 1.0], (n_frames, n_atoms))
    where = np.nonzero(jumps)
    steps[(*where, axes[where])] = length_A * signs[where]
    return np.cumsum(steps, axis=0)


def frames_of(atoms, displacements_A, strains=None):
    """Return frames of a crystal whose atoms are displaced; strains scale the cell, [n_frames]."""
    found = []
    for place, moved in enumerate(displacements_A):
        frame = atoms.copy()
        frame.positions = atoms.positions + moved
        if strains is not None:
            frame.set_cell(atoms.cell * (1.0 + strains[place]), scale_atoms=True)
        found.append(frame)
    return found


def turned(atoms, n_frames, random, step_rad=0.35):
    """Return displacements of S atoms whose tetrahedra turn about P at random, [n_frames, n_atoms, 3]."""
    from scipy.spatial.transform import Rotation

    moved = np.zeros((n_frames, len(atoms), 3))
    symbols = np.array(atoms.get_chemical_symbols())
    for place in np.flatnonzero(symbols == "P"):
        ligands = place + np.arange(1, 5)
        arms = atoms.positions[ligands] - atoms.positions[place]
        turn = Rotation.identity()
        for frame in range(n_frames):
            moved[frame, ligands] = turn.apply(arms) - arms
            turn = Rotation.from_rotvec(random.normal(0.0, step_rad, 3)) * turn
    return moved
