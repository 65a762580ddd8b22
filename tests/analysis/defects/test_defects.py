"""Defects: what is sampled, what is recognised, and formation energies in a field whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from pydantic import ValidationError

from ionloop.analysis.defects.defect_sites import (
    DefectState,
    FrenkelPair,
    Vacancy,
    farthest_from_sites_A,
    farthest_hop_A,
    sample_frenkel_pairs,
    sample_vacancies,
    with_defect,
)
from ionloop.analysis.defects.formation import (
    Distribution,
    FieldSurroundings,
    field_branch,
    relax_in_field,
    vacancy_formation_energy_eV,
)
from ionloop.analysis.defects.settings import BasinRules, FrenkelSettings, VacancySettings
from ionloop.analysis.electric_field import dipole_difference_eA
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.sampling.structures.crystals import build_crystal

PRECISE = FixedCellRelaxation(force_tolerance_eV_per_A=1e-4, max_step_A=0.1)
ANALYTIC_EV = 1e-5
SLOPE_TOLERANCE = 0.01


# --- sampling ---------------------------------------------------------------------------------------------------


def test_frenkel_pairs_spread_over_the_separations_and_repeat_with_the_seed():
    crystal = build_crystal("li7p3s11")
    pairs = sample_frenkel_pairs(crystal, "Li", 6, seed=3)
    assert pairs == sample_frenkel_pairs(crystal, "Li", 6, seed=3)
    assert pairs != sample_frenkel_pairs(crystal, "Li", 6, seed=4)
    separations = np.sort([pair.separation_A for pair in pairs])
    every = [pair.separation_A for pair in sample_frenkel_pairs(crystal, "Li", 10_000, seed=3)]
    parts = np.linspace(min(every), max(every), 7)
    assert np.array_equal(np.searchsorted(parts, separations, side="right").clip(max=6), np.arange(1, 7))
    assert len({pair.ion for pair in pairs}) == len(pairs)
    for pair in pairs:
        moved = np.array(pair.position_A) - crystal.positions[pair.ion]
        assert np.linalg.norm(moved) == pytest.approx(pair.separation_A)
        distances = with_defect(crystal, pair).get_distances(pair.ion, range(len(crystal)), mic=True)
        framework = np.delete(distances, pair.ion)
        assert framework.min() > 1.5


def test_no_room_for_a_pair_is_told():
    with pytest.raises(InputError, match="larger supercell"):
        sample_frenkel_pairs(build_crystal("li7p3s11"), "Li", 2, seed=1, minimum_separation_A=50.0)


def test_vacancies_are_on_sites_that_no_symmetry_relates():
    crystal = build_crystal("li7p3s11")
    found = sample_vacancies(crystal, "Li", 100, seed=1)
    # P-1: 14 Li in the cell are 7 pairs related by inversion.
    assert len(found) == 7
    assert {one.multiplicity for one in found} == {2}
    assert len(sample_vacancies(crystal, "Li", 3, seed=1)) == 3
    assert len(with_defect(crystal, found[0])) == len(crystal) - 1
    with pytest.raises(InputError, match="no Na"):
        sample_vacancies(crystal, "Na", 1, seed=1)


# --- recognition ------------------------------------------------------------------------------------------------


def test_a_pair_is_gone_when_its_ion_is_back_or_another_took_its_place_or_went_round():
    crystal = build_crystal("li7p3s11")
    ions = np.flatnonzero(crystal.symbols == "Li")
    pair = with_defect(crystal, sample_frenkel_pairs(crystal, "Li", 1, seed=1)[0])
    exchanged, around, drifted = crystal.copy(), crystal.copy(), crystal.copy()
    exchanged.positions[ions[:3]] = crystal.positions[np.roll(ions[:3], 1)]
    around.positions[ions[0]] += crystal.cell.array[2]
    drifted.positions += [0.9, 0.0, 0.4]
    for same in (crystal, exchanged, around, drifted):
        assert farthest_from_sites_A(crystal, same, "Li") == pytest.approx(0.0, abs=1e-6)
    assert farthest_from_sites_A(crystal, pair, "Li") > 1.0


def test_a_hop_is_seen_beside_a_drift():
    crystal = build_crystal("li7p3s11")
    moved = crystal.copy()
    moved.positions += [3.0, 0.0, 0.0]
    assert farthest_hop_A(crystal, moved) == pytest.approx(0.0, abs=1e-9)
    moved.positions[int(np.flatnonzero(crystal.symbols == "Li")[4])] += [0.0, 1.5, 0.0]
    assert farthest_hop_A(crystal, moved) == pytest.approx(1.5)


# --- an ion in two wells: everything is known ---------------------------------------------------------------------

WELLS_A, BARRIER_EV, SECOND_WELL_EV, SPRING_EV_PER_A2, CHARGE_E = 3.0, 0.4, 0.5, 5.0, 0.6
# The steepest slope of B (1 - ξ²)², ξ = 2x/d - 1, is 16 B/(3√3 d).
STEEPEST_EV_PER_A = 16 * BARRIER_EV / (3 * np.sqrt(3) * WELLS_A)


class TwoWells(Calculator):
    """Atom 0 moves in a quartic double well along x, all else is held by springs; energies in eV, lengths in Å."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, sites: np.ndarray) -> None:
        super().__init__()
        self.sites = sites

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, list(properties), list(system_changes))
        away = self.atoms.positions - self.sites
        along = away[0, 0]
        xi = 2 * along / WELLS_A - 1
        away[0, 0] = 0.0
        ramp = SECOND_WELL_EV / WELLS_A
        energy = BARRIER_EV * (1 - xi**2) ** 2 + ramp * along + 0.5 * SPRING_EV_PER_A2 * np.sum(away**2)
        forces = -SPRING_EV_PER_A2 * away
        forces[0, 0] = 4 * BARRIER_EV * xi * (1 - xi**2) * 2 / WELLS_A - ramp
        self.results = {"energy": float(energy), "forces": forces}


def two_wells() -> tuple[Atoms, FieldSurroundings]:
    """Li in two wells, a second Li and two Cl on springs."""
    crystal = Atoms("Li2Cl2", positions=[[3, 3, 3], [9, 9, 9], [3, 9, 9], [9, 3, 3]], cell=3 * [12.0], pbc=True)
    surroundings = FieldSurroundings(
        calculator=TwoWells(crystal.positions.copy()),
        charges={"Li": CHARGE_E, "Cl": -CHARGE_E},
        parent=crystal,
        relaxation=PRECISE,
        mobile="Li",
    )
    return crystal, surroundings


def defect_of(crystal: Atoms) -> Atoms:
    moved = crystal.copy()
    moved.positions[0, 0] += WELLS_A
    return moved


def known_formation_energy(strength: float) -> float:
    """The difference between the two local minima of the tilted quartic, by Newton's method."""
    slope = SECOND_WELL_EV / WELLS_A - CHARGE_E * strength
    minima = []
    for start in (0.0, WELLS_A):
        roots = np.roots(np.polyder(_quartic(slope)))
        real = roots[np.abs(roots.imag) < 1e-9].real
        minima.append(np.polyval(_quartic(slope), real[np.argmin(np.abs(real - start))]))
    return float(minima[1] - minima[0])


def _quartic(slope: float) -> np.ndarray:
    xi = np.poly1d([2 / WELLS_A, -1])
    return (BARRIER_EV * (1 - xi**2) ** 2 + np.poly1d([slope, 0])).coeffs


def test_formation_energies_in_a_field_are_those_of_the_tilted_wells():
    crystal, surroundings = two_wells()
    fields = (0.1, 0.2, 0.3)
    bulks = list(field_branch(crystal, "x", fields, surroundings))
    pairs = list(field_branch(defect_of(crystal), "x", fields, surroundings, [b.relaxed.atoms for b in bulks]))
    for bulk_point, pair in zip(bulks, pairs, strict=True):
        assert pair.state is DefectState.INTACT
        found = pair.relaxed.energy_eV - bulk_point.relaxed.energy_eV
        assert found == pytest.approx(known_formation_energy(pair.field_V_per_A), abs=ANALYTIC_EV)


def test_within_a_basin_nothing_is_released_and_a_hop_releases_its_drop():
    crystal, surroundings = two_wells()
    relaxed = relax_in_field(crystal, np.zeros(3), surroundings).atoms
    for point in field_branch(relaxed, "y", (0.1, 0.2), surroundings):
        assert point.released_eV == pytest.approx(0.0, abs=ANALYTIC_EV)
    away = 1.1 * (STEEPEST_EV_PER_A + SECOND_WELL_EV / WELLS_A) / CHARGE_E
    # Whatever it went, the energy tells: here no distance counts as a hop.
    blind = replace(surroundings, rules=BasinRules(hop_distance_A=10.0))
    (point,) = field_branch(crystal, "x", (away,), blind)
    assert point.state is DefectState.HOPPED
    assert point.released_eV > BARRIER_EV


def test_across_the_pair_a_field_moves_bulk_and_defect_alike():
    crystal, surroundings = two_wells()
    (bulk_point,) = field_branch(crystal, "y", (0.25,), surroundings)
    (pair,) = field_branch(defect_of(crystal), "y", (0.25,), surroundings, [bulk_point.relaxed.atoms])
    found = pair.relaxed.energy_eV - bulk_point.relaxed.energy_eV
    assert found == pytest.approx(known_formation_energy(0.0), abs=ANALYTIC_EV)
    # Four ions on springs, each with the energy -(qE)²/2k; the double well is stiff along y too.
    assert bulk_point.relaxed.energy_eV - relax_in_field(crystal, np.zeros(3), surroundings).energy_eV == pytest.approx(
        -4 * (CHARGE_E * 0.25) ** 2 / (2 * SPRING_EV_PER_A2), abs=ANALYTIC_EV
    )


def test_the_pair_recombines_at_the_field_that_removes_its_barrier():
    crystal, surroundings = two_wells()
    # Back to the first well: the slope of the wells helps, so the field has less to do.
    critical = -(STEEPEST_EV_PER_A - SECOND_WELL_EV / WELLS_A) / CHARGE_E
    fields = tuple(round(critical * share, 6) for share in (0.5, 0.9, 0.97, 1.03, 1.2))
    bulks = [point.relaxed.atoms for point in field_branch(crystal, "x", fields, surroundings)]
    branch = list(field_branch(defect_of(crystal), "x", fields, surroundings, bulks))
    assert [point.state for point in branch] == 3 * [DefectState.INTACT] + [DefectState.RECOMBINED]
    assert branch[-1].field_V_per_A == fields[3]


def test_a_branch_goes_on_from_where_it_was_interrupted():
    crystal, surroundings = two_wells()
    fields = (0.1, 0.2, 0.3)
    whole = list(field_branch(crystal, "x", fields, surroundings))
    rest = list(field_branch(whole[0].relaxed.atoms, "x", fields[1:], surroundings, start_field_V_per_A=fields[0]))
    assert np.array_equal(rest[-1].relaxed.atoms.positions, whole[-1].relaxed.atoms.positions)
    assert rest[0].released_eV == whole[1].released_eV


def test_the_bulk_can_hop_in_a_field():
    crystal, surroundings = two_wells()
    away = (STEEPEST_EV_PER_A + SECOND_WELL_EV / WELLS_A) / CHARGE_E
    (point,) = field_branch(crystal, "x", (1.1 * away,), surroundings)
    assert point.state is DefectState.HOPPED


# --- rock salt: Coulomb and repulsion -----------------------------------------------------------------------------

SALT_CHARGE_E = 0.8


def salt() -> tuple[Atoms, FieldSurroundings]:
    crystal = bulk("NaCl", "rocksalt", a=5.2, cubic=True).repeat((2, 1, 1))
    charges = {"Na": SALT_CHARGE_E, "Cl": -SALT_CHARGE_E}
    inner = SumCalculator([SlaterEwald(charges), LennardJones(sigma=2.5, epsilon=0.05, rc=6.0, smooth=True)])
    relaxation = FixedCellRelaxation(force_tolerance_eV_per_A=1e-3, max_step_A=0.1)
    return crystal, FieldSurroundings(inner, charges, crystal, relaxation, "Na")


@pytest.fixture(scope="module")
def salt_pair() -> dict[str, Atoms]:
    """Bulk, a relaxed pair, and its mirror image through the centre of the vacancy."""
    crystal, surroundings = salt()
    ion = 0
    pair = crystal.copy()
    pair.positions[ion] += np.array([0.75, 0.25, 0.25]) * crystal.cell.lengths()[1]
    relaxed = relax_in_field(pair, np.zeros(3), surroundings)
    assert relaxed.converged
    assert farthest_from_sites_A(crystal, relaxed.atoms, "Na") > 1.0
    mirrored = _inverted(relaxed.atoms, crystal, ion)
    return {"bulk": crystal, "pair": relaxed.atoms, "mirrored": mirrored}


def _inverted(pair: Atoms, crystal: Atoms, centre: int) -> Atoms:
    """The pair inverted through a site: each ion goes to where the mirror image of its displacement starts."""
    origin = crystal.positions[centre]
    image = crystal.copy()
    for ion in range(len(crystal)):
        target = 2 * origin - crystal.positions[ion]
        difference = np.linalg.solve(crystal.cell.array.T, (crystal.positions - target).T).T
        same = int(np.argmin(np.linalg.norm((difference - difference.round()) @ crystal.cell.array, axis=1)))
        image.positions[same] = crystal.positions[same] - (pair.positions[ion] - crystal.positions[ion])
    return image


def formation(start: Atoms, strength: float, axis: int, crystal: Atoms, surroundings: FieldSurroundings) -> float:
    field = strength * np.eye(3)[axis]
    bulk_energy = relax_in_field(crystal, field, surroundings).energy_eV
    return relax_in_field(start, field, surroundings).energy_eV - bulk_energy


@pytest.mark.slow
def test_the_slope_at_zero_field_is_the_dipole_of_the_pair(salt_pair):
    crystal, surroundings = salt()
    dipole = dipole_difference_eA(salt_pair["pair"], salt_pair["bulk"], surroundings.charges)
    up, down = (formation(salt_pair["pair"], sign * 0.01, 0, crystal, surroundings) for sign in (1, -1))
    assert (up - down) / 0.02 == pytest.approx(-dipole[0], rel=SLOPE_TOLERANCE)


@pytest.mark.slow
def test_a_pair_that_recombines_across_the_cell_has_gained_the_field_of_a_lattice_vector(salt_pair):
    """Along y this pair stands on a ridge: the field decides over which side the ion falls back."""
    crystal, surroundings = salt()
    for strength, turns in ((0.01, 1), (-0.01, 0)):
        (point,) = field_branch(salt_pair["pair"], "y", (strength,), surroundings, [crystal])
        assert point.state is DefectState.RECOMBINED
        in_bulk = relax_in_field(crystal, [0.0, strength, 0.0], surroundings).energy_eV
        gained = turns * SALT_CHARGE_E * crystal.cell.lengths()[1] * strength
        assert point.relaxed.energy_eV - in_bulk == pytest.approx(-gained, abs=1e-4)


@pytest.mark.slow
def test_the_inverted_pair_in_the_reversed_field_costs_the_same(salt_pair):
    crystal, surroundings = salt()
    one = formation(salt_pair["pair"], 0.05, 0, crystal, surroundings)
    other = formation(salt_pair["mirrored"], -0.05, 0, crystal, surroundings)
    against = formation(salt_pair["mirrored"], 0.05, 0, crystal, surroundings)
    assert other == pytest.approx(one, abs=1e-4)
    assert abs(against - one) > 0.1


# --- settings and small things --------------------------------------------------------------------------------------


def test_fields_are_followed_outwards_from_zero():
    settings = FrenkelSettings(fields_V_per_A=(0.2, -0.1, 0.1, -0.3))
    assert settings.fields_V_per_A == (-0.3, -0.1, 0.0, 0.1, 0.2)
    assert settings.branches == {"plus": (0.1, 0.2), "minus": (-0.1, -0.3)}
    assert FrenkelSettings(fields_V_per_A=()).branches == {}
    assert FrenkelSettings(axes=("z", "x", "z")).axes == ("x", "z")
    assert FrenkelSettings(pairs=3).tried == 6


@pytest.mark.parametrize(
    "wrong",
    [{"fields_V_per_A": (3.0,)}, {"pairs": 4, "attempts": 2}, {"supercell": (0, 1, 1)}, {"axes": ()}, {"pair": 1}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        FrenkelSettings(**wrong)


def test_a_distribution_over_one_defect_has_no_uncertainty():
    assert Distribution.of([]) is None
    one = Distribution.of([0.4])
    assert one is not None
    assert one.standard_error is None
    three = Distribution.of([0.1, 0.2, 0.6])
    assert three is not None
    assert three.mean == pytest.approx(0.3)
    assert three.standard_error == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3))


def test_a_vacancy_costs_what_the_crystal_loses():
    assert vacancy_formation_energy_eV(-90.0, -100.0, -7.0) == pytest.approx(3.0)
    assert VacancySettings().element_reference == "isolated-atom"
    assert with_defect(bulk("Cu", cubic=True), Vacancy(ion=0, multiplicity=4)).get_chemical_formula() == "Cu3"
    pair = FrenkelPair(ion=1, position_A=(1.0, 2.0, 3.0), separation_A=2.0)
    assert np.array_equal(with_defect(bulk("Cu", cubic=True), pair).positions[1], [1.0, 2.0, 3.0])
