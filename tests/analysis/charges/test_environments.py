"""Charges by what an atom is bonded to, on molecules whose bonds are known."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ionloop.analysis.charges.environments import charges_by_environment, environment_names
from ionloop.analysis.charges.figures import environment_figure
from ionloop.sampling.structures.crystals import build_crystal

P_S_A = 2.05


def thiodiphosphate() -> Atoms:
    """P-S-P with a bridge of 110°, a terminal sulphur on each, a free sulphur and a lithium beside the bridge."""
    half = np.deg2rad(55)
    phosphorus = P_S_A * np.array([[np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    terminal = phosphorus + np.array([0, 0, P_S_A])
    positions = [[0, 0, 0], *phosphorus, *terminal, [20, 0, 0], [0, -2.4, 0]]
    return Atoms("SPPSSSLi", positions=positions, cell=[40, 40, 40], pbc=True)


def test_atoms_are_named_by_their_bonds():
    names = environment_names(thiodiphosphate())
    assert names.tolist() == ["S–2P", "P–2S", "P–2S", "S–P", "S–P", "S", "Li–S"]


def test_bonds_reach_through_the_cell():
    pair = Atoms("PS", positions=[[0.2, 0, 0], [8.2, 0, 0]], cell=[10, 10, 10], pbc=True)
    assert environment_names(pair).tolist() == ["P–S", "S–P"]
    pair.pbc = False
    assert environment_names(pair).tolist() == ["P", "S"]


def test_the_crystal_has_its_anions():
    """Li7P3S11 is made of PS4 and P2S7: per formula one bridge, ten terminal sulphurs."""
    names = environment_names(build_crystal("li7p3s11")).tolist()
    assert [names.count(one) for one in ("P–4S", "S–P", "S–2P")] == [6, 20, 2]


@given(arrays.arrays(np.float64, 60, elements=st.floats(-3, 3)), st.randoms())
def test_every_atom_is_counted_once_and_means_are_theirs(charges: np.ndarray, random):
    elements = np.array(random.choices(["Li", "P", "S"], k=60))
    names = np.array([f"{one}–{random.choice('ab')}" for one in elements])
    rows = charges_by_environment(elements, names, charges, charges)
    assert sum(len(row.charges) for row in rows) == 60
    for row in rows:
        assert np.allclose(row.charges, charges[names == row.name])
        assert row.reference is not None
        assert np.array_equal(row.reference, row.charges)
    assert [row.species for row in rows] == sorted(row.species for row in rows)


def test_rare_environments_stand_together():
    names = np.array(["S–P"] * 98 + ["S–3P", "S"])
    rows = charges_by_environment(["S"] * 100, names, np.arange(100.0))
    assert {row.name: len(row.charges) for row in rows} == {"S–P": 98, "S, others": 2}


def test_the_figure_has_a_row_for_each_and_the_reference_beside():
    rows = charges_by_environment(["P", "S", "S"], ["P–2S", "S–P", "S"], [1.5, -0.7, -0.9], [0.5, -0.2, -0.4])
    figure = environment_figure(rows)
    assert [trace.name for trace in figure.data] == ["P–2S", "S", "S–P", "mean charge by the reference"]
    assert figure.data[-1].x == (0.5, -0.4, -0.2)
