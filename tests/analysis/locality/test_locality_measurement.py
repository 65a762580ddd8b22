"""A locality test in one call."""

from __future__ import annotations

import pytest
from ase.calculators.lj import LennardJones

from ionloop.analysis.locality.curves import OVERALL, LocalitySettings
from ionloop.analysis.locality.measurement import measure_locality
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.sampling.structures.crystals import build_crystal

CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
DISPLACED = LocalitySettings(radii_A=(4.0, 6.0), samples=3, centres=1)
FROZEN = LocalitySettings(
    protocol="frozen-sphere",
    radii_A=(4.0,),
    centres=1,
    frozen_sphere={"temperature_K": 1, "timestep_fs": 0.5, "equilibration_steps": 0, "frames": 3, "steps_per_frame": 2},
)
NUMERICAL_ZERO_EV_PER_A = 1e-9


@pytest.mark.parametrize("settings", [DISPLACED, FROZEN], ids=["displacement", "frozen-sphere"])
def test_a_potential_minus_itself_is_local(settings):
    done = []
    result = measure_locality(
        build_crystal("li7p3s11"),
        SlaterEwald(CHARGES, accuracy=1e-3),
        settings,
        seed=1,
        baseline=SlaterEwald(CHARGES, accuracy=1e-3),
        progress=lambda *counts: done.append(counts),
    )
    assert result.atoms == 84
    assert set(result.before) == {"Li", "P", "S", OVERALL}
    assert result.before["P"].value_eV_per_A[-1] > 1e-4
    assert result.after is not None
    assert max(max(curve.value_eV_per_A) for curve in result.after.values()) < NUMERICAL_ZERO_EV_PER_A
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_without_a_baseline_nothing_is_taken_away():
    settings = LocalitySettings(radii_A=(3.0,), samples=2, centres=1)
    result = measure_locality(build_crystal("gamma-li3ps4"), LennardJones(sigma=2.0, rc=4.0), settings, name="LJ")
    assert result.after is None
    assert result.potential == "LJ"


def test_a_supercell_that_is_too_small_is_refused():
    settings = LocalitySettings(radii_A=(6.0,), samples=1, centres=1, supercell=(1, 1, 1))
    with pytest.raises(InputError, match="take"):
        measure_locality(build_crystal("gamma-li3ps4"), LennardJones(), settings)
