"""Slabs: layer spacings, terminations, polarity, against numbers that follow from the crystals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from pydantic import ValidationError
from scipy.special import erfc

from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.slab_settings import SlabSettings
from ionloop.sampling.structures.slabs import Slab, build_slab, oriented_cell, surface_energy_J_per_m2

COPPER = bulk("Cu", cubic=True, a=3.6)
LIF = bulk("LiF", "rocksalt", a=4.03, cubic=True)
LI2S = crystal(["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[5.7] * 3 + [90] * 3)
CHARGES = {"Li": 1.0, "F": -1.0, "S": -2.0, "P": 5.0}


def cut(atoms: Atoms, miller: tuple[int, int, int], **settings: object) -> Slab:
    given = SlabSettings.model_validate({"of": "crystal", "miller": miller, **settings})
    return build_slab(atoms, given, None if "Cu" in atoms.symbols else CHARGES)


@pytest.mark.parametrize(
    ("miller", "spacing", "area"),
    [
        ((1, 0, 0), 1 / 2, 1 / 2),
        ((1, 1, 0), math.sqrt(2) / 4, math.sqrt(2) / 2),
        ((1, 1, 1), 1 / math.sqrt(3), math.sqrt(3) / 4),
        ((-1, 1, -1), 1 / math.sqrt(3), math.sqrt(3) / 4),
        ((2, 1, 0), 1 / (2 * math.sqrt(5)), math.sqrt(5) / 2),
    ],
)
@pytest.mark.parametrize(("atoms", "per_cell"), [(COPPER, 1), (LIF, 2), (LI2S, 3)])
def test_layers_of_face_centred_crystals_are_as_far_apart_as_the_indices_say(
    atoms: Atoms, per_cell: int, miller: tuple[int, int, int], spacing: float, area: float
) -> None:
    slab = cut(atoms, miller, layers=3, polar=True)
    a = atoms.cell.lengths()[0]
    assert slab.spacing_A == pytest.approx(spacing * a, abs=1e-9)
    assert slab.area_A2 == pytest.approx(area * a**2, abs=1e-9)
    assert len(slab.atoms) == 3 * per_cell
    assert slab.formula_units == 3
    assert np.ptp(slab.atoms.positions[:, 2]) + 15.0 == pytest.approx(slab.atoms.cell.array[2, 2])


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib's own transition
def test_the_crystal_within_a_slab_is_not_mirrored_nor_strained() -> None:
    quartz = crystal(
        ["Si", "O"], [(0.47, 0, 0), (0.41, 0.27, 0.12)], spacegroup=154, cellpar=[4.9, 4.9, 5.4, 90, 90, 120]
    )
    from spglib import get_spacegroup

    for atoms, name in ((quartz, "P3_221"), (build_crystal("li7p3s11"), "P-1")):
        for miller in ((1, 0, 0), (0, 1, 0), (0, 0, -1), (1, 2, -1), (-2, 1, 3)):
            cell = oriented_cell(atoms, miller)
            assert cell.cell.volume == pytest.approx(atoms.cell.volume)
            found = get_spacegroup((cell.cell.array, cell.get_scaled_positions(), cell.numbers), symprec=1e-3)
            assert found.split(" ")[0] == name
            height = 1 / np.linalg.norm(np.array(miller) @ atoms.cell.reciprocal().array)
            assert cell.cell.array[2, 2] == pytest.approx(height)
            distances = [np.sort(one.get_all_distances(mic=True).sum(axis=0)) for one in (cell, atoms)]
            assert np.allclose(*distances, rtol=0.2)


def test_terminations_and_their_polarity() -> None:
    def kinds(slab: Slab) -> set[tuple[str, str, bool, bool]]:
        return {(one.below, one.above, one.is_polar, one.is_symmetric) for one in slab.terminations}

    assert kinds(cut(LIF, (1, 1, 1), polar=True)) == {("Li", "F", True, False), ("F", "Li", True, False)}
    sulphide = cut(LI2S, (1, 1, 1))
    assert kinds(sulphide) == {
        ("Li", "S", True, False),
        ("S", "Li", True, False),
        ("Li", "Li", False, True),
    }
    assert (sulphide.chosen.below, sulphide.tasker_type, sulphide.is_symmetric) == ("Li", 2, True)
    assert sulphide.chosen.gap_A == pytest.approx(5.7 / (2 * math.sqrt(3)))
    assert [cut(LIF, one).tasker_type for one in ((1, 0, 0), (1, 1, 0))] == [1, 1]
    assert cut(LI2S, (1, 0, 0), polar=True).tasker_type == 3
    with pytest.raises(InputError, match="Tasker's type 3"):
        cut(LIF, (1, 1, 1))
    # A dipole per area of one layer: charges of ±e a plane apart over the area of a surface cell.
    per_area = 4.03 / (2 * math.sqrt(3)) / (4.03**2 * math.sqrt(3) / 4)
    assert abs(cut(LIF, (1, 1, 1), polar=True).terminations[0].polar_e_per_A or 0) == pytest.approx(per_area)


def test_sides_are_alike_where_planes_are_added() -> None:
    slab = cut(LIF, (1, 1, 1), symmetric=True, layers=3)
    assert (len(slab.atoms), slab.is_symmetric, slab.formula_units, abs(slab.charge_e or 0)) == (7, True, None, 1)
    assert slab.dipole_e_A == pytest.approx(0, abs=1e-9)
    wurtzite = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    with pytest.raises(InputError, match="no slab with termination"):
        build_slab(wurtzite, SlabSettings(of="x", miller=(0, 0, 1), symmetric=True), {"Zn": 2, "O": -2})


def test_bonds_that_must_stay_are_not_cut() -> None:
    beta = build_crystal("beta-li3ps4")
    slab = cut(beta, (1, 0, 0), uncut_A={"P-S": 2.5})
    distances = slab.atoms.get_all_distances(mic=True)
    phosphorus, sulphur = (slab.atoms.symbols == symbol for symbol in ("P", "S"))
    assert ((distances[np.ix_(phosphorus, sulphur)] < 2.5).sum(axis=1) == 4).all()
    broken = next(one for one in slab.terminations if one.broken)
    with pytest.raises(InputError, match="breaks bonds"):
        cut(beta, (1, 0, 0), uncut_A={"P-S": 2.5}, termination=broken.number)
    with pytest.raises(InputError, match="every cut breaks bonds"):
        cut(beta, (1, 1, 1), uncut_A={"P-S": 2.5})


def _lattice_energy_eV(atoms: Atoms) -> float:
    """Ewald sum of point charges with conducting surroundings."""
    charges = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    kappa, cutoff = 0.6, 9.0
    from matscipy.neighbours import neighbour_list

    first, second, distance = neighbour_list("ijd", atoms=atoms, cutoff=cutoff)
    real = 0.5 * (charges[first] * charges[second] * erfc(kappa * distance) / distance).sum()
    reciprocal = 2 * math.pi * atoms.cell.reciprocal().array
    most = np.ceil(9.0 * kappa / np.linalg.norm(reciprocal, axis=1)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"), axis=-1).reshape(-1, 3)
    waves = grid[np.abs(grid).any(axis=1)] @ reciprocal
    squared = (waves**2).sum(axis=1)
    factor = np.abs(np.exp(1j * waves @ atoms.positions.T) @ charges) ** 2
    waves_sum = 2 * math.pi / atoms.cell.volume * (np.exp(-squared / (4 * kappa**2)) / squared * factor).sum()
    return 14.399645478 * (real + waves_sum - kappa / math.sqrt(math.pi) * (charges**2).sum())


def test_the_energy_of_images_is_what_vacuum_takes_away() -> None:
    near, far = (cut(LIF, (1, 1, 1), layers=2, vacuum_A=vacuum, polar=True) for vacuum in (12.0, 40.0))
    assert near.image_energy_eV is not None
    assert far.image_energy_eV is not None
    expected = near.image_energy_eV - far.image_energy_eV
    assert expected < -1.0
    assert _lattice_energy_eV(near.atoms) - _lattice_energy_eV(far.atoms) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_what_is_told_of_images_is_what_electrostatics_of_models_holds() -> None:
    from ionloop.fitting.electrostatics.fixed import FIXED
    from ionloop.fitting.settings import BaselineSettings

    charges = {"Li": 0.4, "F": -0.4}
    calculator = FIXED.calculator(BaselineSettings(charges=charges, exponents={"Li": 1.6, "F": 2.5}))
    alone, along = [], []
    for vacuum in (15.0, 40.0):
        slab = cut(LIF, (1, 1, 1), layers=6, vacuum_A=vacuum, polar=True, charges=charges)
        slab.atoms.calc = calculator
        # Yeh and Berkowitz: what is left when the energy of the images is taken off does not depend on the vacuum,
        # and neither do forces, whose part of it is 4πqM/V along the normal.
        alone.append(slab.atoms.get_potential_energy() - (slab.image_energy_eV or 0))
        assert slab.dipole_e_A is not None
        field = 4 * math.pi * 14.399645478 * slab.dipole_e_A / slab.atoms.cell.volume
        values = np.array([charges[symbol] for symbol in slab.atoms.symbols])
        along.append(np.sort(slab.atoms.get_forces()[:, 2] - field * values))
    assert alone[0] == pytest.approx(alone[1], abs=1e-5)
    assert np.allclose(along[0], along[1], atol=1e-4)


def test_the_surface_energy_is_that_of_broken_bonds() -> None:
    from ase.calculators.lj import LennardJones

    # Nearest neighbours alone: (100) breaks four bonds per atom and side, half a bond's energy for each of two.
    bond_eV, a = -0.1, 3.6
    copper = COPPER.copy()
    distance = a / math.sqrt(2)

    def energy(atoms: Atoms) -> float:
        atoms.calc = LennardJones(sigma=distance / 2 ** (1 / 6), epsilon=-bond_eV, rc=1.2 * distance, smooth=False)
        return float(atoms.get_potential_energy())

    slab = cut(COPPER, (1, 0, 0), layers=6)
    pair = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, distance]], cell=[20, 20, 20], pbc=True)
    gamma = surface_energy_J_per_m2(energy(slab.atoms), slab.formula_units or 0, energy(copper) / 4, slab.area_A2)
    assert gamma == pytest.approx(4 * -energy(pair) / 2 / (a**2 / 2) * 16.02176634, rel=1e-7)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"miller": (0, 0, 0)}, "no plane"),
        ({"miller": (2, 2, 0)}, "common divisor"),
        ({"layers": 2, "thickness_A": 10.0}, "give one of them"),
        ({"uncut_A": {"PS": 2.5}}, "not a pair of elements"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SlabSettings.model_validate({"of": "li2s.cif", "miller": (1, 1, 1), **settings})


def test_charges_and_terminations_that_are_none_are_refused() -> None:
    for settings, said in (
        ({"termination": 4}, "4 is none of 3"),
        ({"charges": {"Li": 1.0}}, "say nothing of S"),
        ({"charges": {"Li": 1.0, "S": -1.0}}, "leave the crystal charged"),
    ):
        with pytest.raises(InputError, match=said):
            cut(LI2S, (1, 1, 1), **settings)
