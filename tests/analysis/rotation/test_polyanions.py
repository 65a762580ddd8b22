"""Polyanions of trajectories: found, followed, and left out while they are broken."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ionloop.analysis.rotation.polyanions import bond_directions, find_polyanions
from ionloop.analysis.rotation.settings import PolyanionSettings
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.core.errors import InputError

from .tetrahedra import BOND_A, diffusing, trajectory_of, turned

PS4 = PolyanionSettings()


def still(n_frames: int = 100, n_anions: int = 2) -> Trajectory:
    turns = [turned(diffusing(n_frames, 5.0, np.random.default_rng(one))) for one in range(n_anions)]
    return trajectory_of(np.stack(turns, axis=1))


def moved(trajectory: Trajectory, atom: int, frames: slice, factor: float) -> Trajectory:
    """Return the trajectory with a ligand of the first anion pulled away for some frames."""
    trajectory.positions_A[frames, atom] = factor * trajectory.positions_A[frames, atom]
    return trajectory


def test_whole_polyanions_are_one_stretch_each() -> None:
    found = find_polyanions(still(), PS4)
    assert [(one.centre, one.ligands.tolist(), one.first, one.stop) for one in found.stretches] == [
        (0, [1, 2, 3, 4], 0, 100),
        (5, [6, 7, 8, 9], 0, 100),
    ]
    assert found.whole_fraction == 1.0
    assert found.breaks == 0


def test_frames_in_which_it_is_broken_are_left_out() -> None:
    found = find_polyanions(moved(still(), 2, slice(40, 50), 1.6), PS4)
    assert [(one.first, one.stop) for one in found.stretches if one.centre == 0] == [(0, 40), (50, 100)]
    assert found.whole_fraction == pytest.approx(0.95)
    assert found.breaks == 1


def test_a_bond_that_trembles_is_not_broken() -> None:
    # 2.6 Å lies between what makes and what breaks a bond.
    trajectory = moved(still(), 2, slice(40, 50), 2.6 / BOND_A)
    assert find_polyanions(trajectory, PS4).breaks == 0
    # ... and what is broken for a frame only is not, where longer times are asked for.
    trajectory = moved(still(), 2, slice(40, 42), 1.6)
    assert find_polyanions(trajectory, PS4).breaks == 1
    assert find_polyanions(trajectory, PolyanionSettings(broken_fs=250.0)).breaks == 0


def test_a_bridge_is_part_of_no_such_polyanion() -> None:
    trajectory = still(20)
    trajectory.positions_A[:, 5] = trajectory.positions_A[:, 1] * 2.0  # the second centre behind a ligand of the first
    trajectory.positions_A[:, 6:9] = trajectory.positions_A[:, 5:6] + BOND_A * turned(Rotation.identity())[:3] * [
        1,
        1,
        -1,
    ]
    assert 0 not in find_polyanions(trajectory, PS4).centres
    assert 0 in find_polyanions(trajectory, PolyanionSettings(alone=False)).centres


def test_ligands_are_followed_across_the_boundary_whatever_their_image() -> None:
    trajectory = still()
    expected = [bond_directions(trajectory, one) for one in find_polyanions(trajectory, PS4).stretches]
    random = np.random.default_rng(1)
    images = random.integers(-2, 3, size=(1, len(trajectory.symbols), 3)) @ trajectory.cell_A
    shifted = Trajectory(trajectory.symbols, trajectory.positions_A + images, trajectory.cell_A, 100.0)
    found = [bond_directions(shifted, one) for one in find_polyanions(shifted, PS4).stretches]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize(
    ("centre", "ligand", "shortest_A", "longest_A"),
    [("P", "S", 2.4, 2.8), ("B", "H", 1.3, 1.52), ("Si", "O", 2.0, 2.34)],
)
def test_bonds_are_taken_from_radii_where_nothing_is_said(
    centre: str, ligand: str, shortest_A: float, longest_A: float
) -> None:
    settings = PolyanionSettings(centre=centre, ligand=ligand)
    assert settings.bond_A == pytest.approx((shortest_A, longest_A), abs=0.01)
    assert settings.formula == f"{centre}{ligand}4"


def test_a_cell_too_small_says_so() -> None:
    with pytest.raises(InputError, match="too small for the ligands of PS4"):
        find_polyanions(trajectory_of(turned(diffusing(5, 5.0, np.random.default_rng(0)))[:, None], apart_A=5.0), PS4)
    with pytest.raises(InputError, match="no Ge"):
        find_polyanions(still(5), PolyanionSettings(centre="Ge"))


@pytest.mark.parametrize("wrong", [{"centre": "S"}, {"centre": "Xx"}, {"made_A": 3.0}, {"ligands": 2}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"centre|chemical|broken_A|greater"):
        PolyanionSettings.model_validate(wrong)
