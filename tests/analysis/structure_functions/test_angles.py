"""Bond angles of crystals and of molecules."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from ionloop.analysis.structure_functions.angles import angle_distributions
from ionloop.analysis.structure_functions.frames import of_structures
from ionloop.sampling.structures.crystals import build_crystal

TETRAHEDRON = float(np.degrees(np.arccos(-1 / 3)))


def test_diamond_has_the_angle_of_the_tetrahedron_six_times_at_every_atom():
    (found,) = angle_distributions([of_structures([bulk("Si", "diamond", a=5.43)])], ["Si-Si-Si"], {"Si-Si": 2.6}, 2.0)
    assert (found.angles, found.mean_degrees) == (12, pytest.approx(TETRAHEDRON))
    assert found.spread_degrees == pytest.approx(0.0, abs=1e-3)
    assert np.sum(found.per_degree) * 2.0 == pytest.approx(1.0)


def test_unlike_ends_are_counted_once_for_each_pair_of_them():
    # At each Na of rock salt: 6 Cl and 12 Na around, angles of one Cl and one Na.
    (found,) = angle_distributions(
        [of_structures([bulk("NaCl", "rocksalt", a=5.64)])], ["Cl-Na-Na"], {"Cl-Na": 3.0, "Na-Na": 4.2}, 5.0
    )
    assert found.angles == 72
    shown = {float(angle) for angle, value in zip(found.angles_degrees, found.per_degree, strict=True) if value > 0}
    assert shown == {47.5, 92.5, 137.5} or len(shown) <= 4


def test_phosphorus_is_a_tetrahedron_and_bridges_are_bent_in_li7p3s11():
    frames = of_structures([build_crystal("li7p3s11")])
    inside, bridges, none = angle_distributions([frames], ["S-P-S", "P-S-P", "P-Li-P"], {"P-S": 2.6}, 2.0)
    assert (inside.angles, bridges.angles, none.angles) == (36, 2, 0)
    assert inside.mean_degrees == pytest.approx(109.3, abs=0.5)
    assert 95 < bridges.mean_degrees < 125
    assert none.mean_degrees is None
    assert none.peak_degrees is None
