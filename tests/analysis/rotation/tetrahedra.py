"""Tetrahedra that turn as they are told, with the ions beside them: trajectories of known answers."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ionloop.analysis.trajectories.reading import Trajectory

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
BOND_A = 2.05


def turned(rotation: Rotation) -> np.ndarray:
    """Return the bond directions of the tetrahedron after a rotation, or of each of several."""
    return np.stack([rotation.apply(one) for one in TETRAHEDRON], axis=-2)


def diffusing(n_frames: int, step_degree: float, random: np.random.Generator) -> Rotation:
    """Return orientations of a free rotor: small random rotations, one after the other."""
    steps = Rotation.from_rotvec(np.radians(step_degree) * random.normal(size=(n_frames, 3))).as_matrix()
    found = np.empty((n_frames, 3, 3))
    now = Rotation.random(random_state=int(random.integers(2**31))).as_matrix()
    for frame in range(n_frames):
        found[frame] = now
        now = steps[frame] @ now
    return Rotation.from_matrix(found)


def trajectory_of(
    directions: np.ndarray,
    *,
    ions_A: np.ndarray | None = None,
    frame_ps: float = 0.1,
    apart_A: float = 10.0,
    names: tuple[str, str] = ("P", "S"),
) -> Trajectory:
    """Return a trajectory of polyanions in a row, bond directions [n_frames, n_anions, 4, 3], and of ions."""
    n_frames, n_anions = directions.shape[:2]
    centres = np.zeros((n_frames, n_anions, 1, 3))
    centres[..., 0] = (apart_A * np.arange(n_anions))[None, :, None]
    anions = np.concatenate([centres, centres + BOND_A * directions], axis=2).reshape(n_frames, -1, 3)
    positions = anions if ions_A is None else np.concatenate([anions, ions_A], axis=1)
    symbols = (names[0], *[names[1]] * 4) * n_anions + ("Li",) * (0 if ions_A is None else ions_A.shape[1])
    return Trajectory(symbols, positions, np.diag([apart_A * n_anions, 12.0, 12.0]), 1000 * frame_ps)
