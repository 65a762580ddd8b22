"""Interfaces: common cells of two lattices against pairs whose strain is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from ionloop.core.errors import InputError
from ionloop.sampling.structures.interface_settings import InterfaceSettings
from ionloop.sampling.structures.interfaces import Interface, build_interface, common_cells, interface_text
from ionloop.sampling.structures.slab_settings import SlabSettings
from ionloop.sampling.structures.slabs import build_slab

SQUARE = np.eye(2)
HEXAGON = np.array([[1.0, 0.0], [-0.5, math.sqrt(3) / 2]])


def salt(symbols: str, a: float) -> Atoms:
    return bulk(symbols, "rocksalt", a=a, cubic=True)


def joined(lower: Atoms, upper: Atoms, miller: tuple[int, int, int] = (1, 0, 0), **settings: object) -> Interface:
    slab = SlabSettings(of="crystal", miller=miller, layers=2)
    slabs = [build_slab(atoms, slab) for atoms in (lower, upper)]
    return build_interface(*slabs, InterfaceSettings.model_validate({"lower": slab, "upper": slab, **settings}))


@pytest.mark.parametrize(
    ("lower", "upper", "times", "other", "strain"),
    [
        (SQUARE * 4.0, SQUARE * 4.1, 1, 1, 4.0 / 4.1 - 1),
        (SQUARE * 4.0, SQUARE * 4.0 / math.sqrt(2), 1, 2, 0.0),  # turned by 45 degrees
        (SQUARE * 3.0, SQUARE * 4.0, 16, 9, 0.0),
        (HEXAGON * 3.0, HEXAGON * 3.0 * math.sqrt(7), 7, 1, 0.0),  # turned by 19.1 degrees
        (np.array([[3.0, 0.0], [0.4, 5.0]]), np.array([[3.4, 5.0], [-3.0, 0.0]]), 1, 1, 0.0),  # another basis of it
    ],
)
def test_the_smallest_common_cell_is_found(
    lower: NDArray[np.float64], upper: NDArray[np.float64], times: int, other: int, strain: float
) -> None:
    turn = np.array([[math.cos(0.7), math.sin(0.7)], [-math.sin(0.7), math.cos(0.7)]])
    matches = common_cells(lower, upper @ turn, 0.03 if strain else 0.001, 400.0)
    best = matches[0]
    assert (round(np.linalg.det(best.lower)), round(np.linalg.det(best.upper))) == (times, other)
    assert best.strains == pytest.approx((strain, strain), abs=1e-9)
    assert [one.area_A2 for one in matches] == sorted({one.area_A2 for one in matches})
    for one in matches:
        # The strain that is told brings one onto the other: lengths and angle of all, from their own metric.
        ours, theirs = one.lower @ lower, one.upper @ upper
        metrics = np.linalg.eigvals(np.linalg.inv(theirs @ theirs.T) @ (ours @ ours.T))
        assert np.sqrt(np.sort(metrics.real)) - 1 == pytest.approx(np.sort(one.strains), abs=1e-9)


@pytest.mark.parametrize("strained", ["upper", "lower"])
def test_both_slabs_are_whole_and_one_is_strained(strained: str) -> None:
    lithium_fluoride, silver_chloride = salt("LiF", 4.03), salt("AgCl", 5.55)
    found = joined(lithium_fluoride, silver_chloride, strained=strained, vacuum_A=12.0, gap_A=2.5, maximum_strain=0.03)
    # 5.55/√2 = 3.924 and 4.03/√2 = 2.850: √2 times the one, the axis of the conventional cell, is 4.03.
    expected = 4.03 / (5.55 / math.sqrt(2)) - 1
    assert found.area_A2 == pytest.approx(4.03**2 if strained == "upper" else 5.55**2 / 2)
    wanted = expected if strained == "upper" else 1 / (1 + expected) - 1
    assert found.strains == pytest.approx((wanted, wanted))
    assert found.atoms.symbols.formula.count() == {"Li": 4, "F": 4, "Ag": 2, "Cl": 2}
    heights = found.atoms.positions[:, 2]
    assert heights[8:].min() - heights[:8].max() == pytest.approx(2.5)
    assert found.atoms.cell.array[2, 2] == pytest.approx(4.03 / 2 + 5.55 / 2 + 2.5 + 12.0)
    distances = found.atoms.get_all_distances(mic=True)
    assert found.contact_A == pytest.approx(distances[:8, 8:].min())
    nearest = distances[:8, :8][distances[:8, :8] > 0].min()
    assert nearest == pytest.approx(4.03 / 2, rel=0.03)
    assert "one interface and vacuum" in interface_text(found)


def test_a_crystal_on_itself_is_the_crystal() -> None:
    copper = bulk("Cu", cubic=True, a=3.6)
    found = joined(copper, copper, gap_A=1.8)
    assert found.strains == pytest.approx((0, 0), abs=1e-9)
    assert len(found.atoms) == 4
    distances = found.atoms.repeat((3, 3, 1)).get_all_distances(mic=True)
    assert ((distances > 0.1) & (distances < 2.6)).sum(axis=1).tolist() == [12] * 36
    assert "two interfaces, alike" in interface_text(found)


def test_slabs_without_a_common_cell_are_refused() -> None:
    with pytest.raises(InputError, match="no common cell of at most 20 Å²"):
        joined(salt("LiF", 4.03), salt("AgCl", 4.9), maximum_area_A2=20.0, maximum_strain=0.01)
