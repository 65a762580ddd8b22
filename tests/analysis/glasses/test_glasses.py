"""Glasses: how long stages are, what they start with, what several of them have in common."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import kB
from pydantic import ValidationError
from scipy import stats

from ionloop.analysis.glasses.groups import MadeGlass, grouped, trends
from ionloop.analysis.glasses.quench import QuenchCurves, glass_means, joined, quench_curves
from ionloop.analysis.glasses.settings import GlassSettings
from ionloop.analysis.glasses.spread import slope_per_decade, spread_of
from ionloop.analysis.glasses.start import atoms_in, glass_start
from ionloop.core.errors import InputError
from ionloop.sampling.networks.species import classify
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.packing import density_of_g_per_cm3


def test_cooling_takes_the_difference_of_temperatures_over_the_rate() -> None:
    settings = GlassSettings(quench_K_per_ps=(1.0, 10.0, 100.0), hold_temperature_K=1000, temperature_K=300, hold_ps=50)
    for rate, expected_ps in ((1.0, 700.0), (10.0, 70.0), (100.0, 7.0)):
        assert settings.quench_ps(rate) == expected_ps
        dynamics = settings.quench(rate)
        hold, cooling = dynamics.schedule
        assert cooling.steps * dynamics.timestep_fs / 1000 == pytest.approx(expected_ps)
        middle = hold.steps + cooling.steps / 2
        assert dynamics.temperature_at(middle) == pytest.approx(650)
        slope = (dynamics.temperature_at(middle + 500) - dynamics.temperature_at(middle - 500)) / (1.0)
        assert slope == pytest.approx(-rate)  # 1000 steps of 1 fs
        assert dynamics.steps * dynamics.timestep_fs / 1000 == pytest.approx(50 + expected_ps)
        whole_ps = settings.steps(rate) * dynamics.timestep_fs / 1000
        assert whole_ps == pytest.approx(20 + 50 + expected_ps + 100)
        assert dynamics.temperature_at(dynamics.steps) == 300
    assert settings.melt.pressure_GPa is None
    assert settings.quench(10.0).barostat.cell == "isotropic"


def test_means_leave_out_the_start_and_its_equilibration() -> None:
    settings = GlassSettings(glass_ps=10, glass_equilibration=0.2)
    # 10 ps of glass, of which 2 ps are left out; a frame every 0.1 ps, and the start.
    assert settings.first_glass_frame == 20 + 1
    assert settings.glass.steps // settings.write_every == 100
    assert (settings.glass.temperature_K, settings.glass.pressure_GPa, settings.glass.schedule) == (300, 0, ())


def test_every_size_and_rate_has_its_glasses_and_more_of_them_leave_those_that_are_there() -> None:
    few = GlassSettings(quench_K_per_ps=(10.0, 100.0), glasses=2, sizes=(100,))
    more = GlassSettings(quench_K_per_ps=(1.0, 10.0, 100.0), glasses=3, sizes=(100, [2, 2, 2]))
    assert len(few.planned) == 4
    assert set(few.planned) < set(more.planned)
    assert len({one.text for one in more.planned}) == 18


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature_K": 1000}, "must be above temperature_K"),
        ({"sizes": [100], "start": {"kind": "structure"}}, "give repetitions such as"),
        ({"quench_K_per_ps": [10, 10]}, "names one twice"),
        ({"glasses": 600, "quench_K_per_ps": [1, 10]}, "at most 1000 are allowed"),
        ({"quench_K_per_ps": [1e-6]}, "cool faster"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said) -> None:
    with pytest.raises(ValidationError, match=said):
        GlassSettings.model_validate(changes)


def test_each_glass_starts_with_a_packing_of_its_own_at_a_part_of_the_density() -> None:
    crystal = build_crystal("li7p3s11")
    settings = GlassSettings(start={"density_g_per_cm3": 1.9, "polyanions": {"PS4": 1, "P2S7": 1}})
    first, again, other = (glass_start(crystal, settings, 100, seed) for seed in (1, 1, 2))
    # Multiples of Li7P3S11: 21 atoms.
    assert first.get_chemical_formula() == "Li35P15S55"
    assert len(first) == atoms_in(crystal, 100) == 105
    assert density_of_g_per_cm3(first) == pytest.approx(0.8 * 1.9)
    assert np.array_equal(first.positions, again.positions)
    assert not np.allclose(first.positions, other.positions)
    assert classify(first).percent_of_centres() == pytest.approx({"P2S7": 200 / 3, "PS4": 100 / 3})
    assert classify(first).imbalance_e == 0


def test_a_glass_may_start_with_the_structure_as_it_is() -> None:
    crystal = build_crystal("gamma-li3ps4")
    settings = GlassSettings(start={"kind": "structure"}, sizes=([1, 1, 2],))
    assert glass_start(crystal, settings, (1, 1, 2), 1) == crystal.repeat((1, 1, 2))
    with pytest.raises(InputError, match="periodic in three directions"):
        glass_start(Atoms("Li2", [(0, 0, 0), (2, 0, 0)]), settings, (1, 1, 1), 1)


def test_density_and_temperature_of_a_quench_are_exact() -> None:
    settings = GlassSettings(hold_ps=0, quench_K_per_ps=(100.0,))
    dynamics = settings.quench(100.0)
    frames = []
    for step in range(0, dynamics.steps + 1, dynamics.write_every):
        atoms = Atoms("Li2O", [(0, 0, 0), (2, 0, 0), (0, 2, 0)], cell=[5, 5, 5 + step / dynamics.steps], pbc=True)
        momenta = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 0]])
        atoms.set_momenta(momenta)
        atoms.info["step"] = step
        atoms.calc = SinglePointCalculator(atoms, energy=-3.0 * step)
        frames.append(atoms)
    curves = quench_curves(frames, dynamics)
    kinetic_eV = float((momenta**2).sum() / (2 * atoms.get_masses()[0]))
    # Two thirds of the kinetic energy per kT and degree of freedom: 3N - 3 = 6 of them.
    assert curves.temperature_K == pytest.approx(2 * kinetic_eV / (6 * kB))
    mass_g = (2 * 6.94 + 15.999) * 1.66053906660e-24
    assert curves.density_g_per_cm3[[0, -1]] == pytest.approx([mass_g / 125e-24, mass_g / 150e-24], rel=1e-6)
    assert curves.thermostat_K[[0, 35, -1]] == pytest.approx([1000, 650, 300])
    means = glass_means(curves, 61)
    assert means.frames == 10
    assert means.density_g_per_cm3 == pytest.approx(curves.density_g_per_cm3[-10:].mean())
    assert means.energy_eV_per_atom == pytest.approx(-np.mean([6100 + 100 * n for n in range(10)]))


def test_curves_follow_each_other_without_the_frame_that_both_have() -> None:
    first = QuenchCurves(*(np.arange(3.0) for _ in range(5)))
    both = joined(first, QuenchCurves(*(np.arange(2.0, 4.0) - 2.0 for _ in range(5))))
    assert both.time_ps.tolist() == [0, 1, 2, 3]
    assert len(both.density_g_per_cm3) == 4


def test_spread_is_between_glasses_by_student_s_t() -> None:
    values = [1.90, 1.94, 1.93, 1.97]
    found = spread_of(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.standard_deviation) == pytest.approx((1.935, np.std(values, ddof=1)))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert not found.too_few
    assert spread_of(values[:2]).too_few
    one = spread_of(values[:1])
    assert (one.mean, one.standard_deviation, one.low) == (1.90, None, None)


def test_a_trend_is_the_slope_of_least_squares_per_decade() -> None:
    rates, values = [1, 1, 10, 10, 100, 100], [2.00, 2.02, 1.95, 1.96, 1.90, 1.93]
    slope, low, high = slope_per_decade(rates, values)
    line = stats.linregress(np.log10(rates), values)
    half = stats.t.ppf(0.975, 4) * line.stderr
    assert (slope, low, high) == pytest.approx((line.slope, line.slope - half, line.slope + half))
    assert slope_per_decade([10, 10], [1.0, 2.0]) is None
    assert slope_per_decade([1, 10], [1.0, 2.0]) == (1.0, None, None)
    # What is the same in all glasses has no trend, and rounding makes none.
    assert slope_per_decade([1, 10, 100], [100.0, 100.0 * (1 + 1e-15), 100.0]) == (0.0, 0.0, 0.0)


def test_a_fresh_glass_may_be_as_hot_as_what_it_was_cooled_from() -> None:
    cold = GlassSettings(temperature_K=100, hold_temperature_K=800)
    assert cold.glass.guard.maximum_temperature_K(100, 10_000) == pytest.approx(800)
    assert cold.melt.guard == cold.guard
    warm = GlassSettings(temperature_K=700, hold_temperature_K=800)
    assert warm.glass.guard == warm.guard


def glass(rate: float, number: int, density: float | None, **more) -> MadeGlass:
    return MadeGlass(
        name=f"{rate}/{number}", size="100-atoms", atoms=105, quench_K_per_ps=rate, number=number, seed=1, cooling_ps=1,
        density_g_per_cm3=density, energy_eV_per_atom=None if density is None else -density, **more,
    )  # fmt: skip


def test_glasses_that_broke_are_counted_and_those_that_failed_are_missing() -> None:
    glasses = [
        glass(10, 1, 1.9, centres_percent={"PS4": 100.0}, bridges_percent={0: 100.0}, free_percent={"S": 10.0}),
        glass(10, 2, 2.0, centres_percent={"PS4": 60.0, "P2S7": 40.0}),
        glass(10, 3, None, broken="in the melt: a force is 200 eV/Å"),
        glass(100, 1, 1.8, centres_percent={"PS4": 50.0, "P2S7": 50.0}),
    ]
    slow, fast = grouped(glasses, planned=4)
    assert (slow.broken, slow.missing, fast.broken, fast.missing) == (1, 1, 0, 3)
    assert slow.density_g_per_cm3.mean == pytest.approx(1.95)
    # An anion that a glass has none of is 0 % there.
    assert slow.centres_percent["P2S7"].mean == pytest.approx(20.0)
    assert slow.free_percent["S"].mean == pytest.approx(5.0)
    assert set(slow.bridges_percent) == {0}
    found = {trend.quantity: trend for trend in trends(glasses)}
    assert found["density_g_per_cm3"].slope_per_decade == pytest.approx(-0.15)
    assert found["P2S7 (% of centres)"].slope_per_decade == pytest.approx(30.0)
    assert {trend.against for trend in found.values()} == {"rate"}
