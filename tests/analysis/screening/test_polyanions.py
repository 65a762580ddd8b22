"""Polyanions of crystals that are known, and bonds that tremble, break and form."""

import numpy as np
import pytest
from ase.spacegroup import crystal

from ionloop.analysis.screening.cells import repetitions
from ionloop.analysis.screening.polyanions import change_of, find_host, polyanions_of
from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import build_crystal

from .synthetic import thiophosphate, vibration

FACTOR = 1.25


def _large(atoms):
    return atoms.repeat(repetitions(atoms, "Li", 10.0, 16))


@pytest.mark.parametrize(
    ("name", "polyanions", "centres"),
    [
        ("li7p3s11", {"P2S7": 4, "PS4": 4}, {"P"}),
        ("gamma-li3ps4", {"PS4": 16}, {"P"}),
        ("li4p2s6", {"P2S6": 8}, {"P"}),
        ("t-li7la3zr2o12", {}, {"La", "Zr"}),
    ],
)
def test_polyanions_and_centres_of_known_crystals(name, polyanions, centres):
    host = find_host(_large(build_crystal(name)), "Li", FACTOR)
    assert host.polyanions == polyanions
    assert {host.symbols[place] for place in host.centres} == centres
    assert "Li" not in host.symbols


@pytest.mark.filterwarnings("ignore:crystal")
def test_a_bromide_has_octahedra_and_lone_anions_and_a_salt_has_neither():
    magnesium = crystal(
        ["Mg", "Li", "Br", "Br"],
        [(0, 0, 0), (0, 0.25, 0.25), (0.25, 0.25, 0.25), (0.25, 0, 0)],
        spacegroup=225,
        cellpar=[11.0] * 3 + [90] * 3,
    )
    host = find_host(_large(magnesium), "Li", FACTOR)
    assert host.polyanions == {"MgBr6": 4}
    assert (len(host.judged), len(host.ligands), len(host.lone)) == (4, 24, 8)
    sulphide = crystal(["Li", "S"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[5.7] * 3 + [90] * 3)
    host = find_host(_large(sulphide), "Li", FACTOR)
    assert not host.polyanions
    assert len(host.centres) == len(host.lone) == 0
    assert len(host.judged) == len(host.atoms)


def test_cells_are_repeated_by_their_heights_and_to_enough_ions():
    assert repetitions(build_crystal("li7p3s11"), "Li", 10.0, 16) == (2, 1, 1)
    assert repetitions(build_crystal("gamma-li3ps4"), "Li", 10.0, 16) == (2, 2, 2)
    assert repetitions(build_crystal("gamma-li3ps4"), "Li", 0.0, 7) == (1, 1, 2)  # along the thinnest axis
    with pytest.raises(InputError, match="holds no Na"):
        repetitions(build_crystal("li7p3s11"), "Na", 10.0, 16)


def test_trembling_bonds_stay_and_broken_ones_are_told():
    atoms = thiophosphate()
    host = find_host(atoms, "Li", FACTOR)
    random = np.random.default_rng(3)
    positions = atoms.positions + vibration(random, 50, len(atoms), 0.15)
    inverse = np.linalg.inv(atoms.cell.array)
    assert polyanions_of(host, (positions @ inverse)[:, host.atoms], atoms.cell.array) == host.polyanions
    # A sulphur far away for 60 % of the time has left; for 40 % of it, it has not.
    for part, left in ((0.6, True), (0.4, False)):
        moved = positions.copy()
        moved[: int(part * 50), 1] += [0.9, 0.9, 0.9]
        now = polyanions_of(host, (moved @ inverse)[:, host.atoms], atoms.cell.array)
        assert change_of(host.polyanions, now) == ("8 PS4 became 7, 0 PS3 became 1" if left else "")


def test_a_cell_that_is_too_small_for_its_bonds_is_refused():
    with pytest.raises(InputError, match="smallest_cell_A"):
        find_host(thiophosphate(1)[[0, 1, 2, 3, 4]].repeat(1) * (1, 1, 1), "Li", 3.0)


def test_without_a_host_there_is_nothing_to_look_at():
    with pytest.raises(InputError, match="no host"):
        find_host(thiophosphate()[[5, 6, 7]], "Li", FACTOR)
