"""The alarm falls silent, and audits say that the error has not moved: what is never to be taken for convergence.

The trial of the specification in small: half of the force comes from beyond the model's cutoff, where novelty sees
nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.spacegroup import crystal

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.electrostatics.registry import kind_of_baseline
from ionloop.fitting.native.sparse_fit.fit import fit_native
from ionloop.fitting.online.in_place import InPlaceModel
from ionloop.fitting.settings import BaselineSettings, GapSettings, SoapSettings
from ionloop.sampling.on_the_fly.learn import FEWEST_AUDITS, Learned, learn
from ionloop.sampling.on_the_fly.settings import OnTheFlySettings

TOLERANCE_eV_per_A = 0.05
WIDE_eV_per_A = 20.0
"""More than any error of this reference."""
LAST, LOOKS_PER_LEG, SILENT = 4, 100, 0.05
"""Rounds at the end, looks of a walker in each, and the part of them below which an alarm counts as silent."""
ISOLATED_EV = {"Li": 0.0, "S": 0.0}
CHARGES = BaselineSettings(charges={"Li": 0.8, "S": -1.6}, exponents={"Li": 0.7888, "S": 1.6422})


def lithium_sulfide(seed: int) -> Atoms:
    random = np.random.default_rng(seed)
    built = crystal(["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[5.7] * 3 + [90] * 3)
    atoms = Atoms(built.symbols, positions=built.positions, cell=built.cell, pbc=True)
    atoms.positions += random.normal(0.0, 0.03, atoms.positions.shape)
    return atoms


class Reference:
    """Labels: a short repulsion, and charges that reach as far as there are atoms."""

    def __init__(self) -> None:
        self.charges = kind_of_baseline(CHARGES).calculator(CHARGES)
        self.short = LennardJones(sigma=2.15, epsilon=0.3, rc=4.0, smooth=True)
        self.asked: list[bytes] = []

    def __call__(self, atoms: Atoms, identifier: str) -> LabelledConfiguration:
        bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        self.asked.append(bare.positions.tobytes())
        energy, forces, stress = (
            sum(one.get_property(name, bare) for one in (self.charges, self.short))
            for name in ("energy", "forces", "stress")
        )
        return LabelledConfiguration(bare, energy, forces, stress, identifier)


def trial(folder: Path, reference: Reference, tolerance: float = TOLERANCE_eV_per_A, length_ps: float = 2.4) -> Learned:
    first = DataSet(tuple(reference(lithium_sulfide(seed), f"start-{seed}") for seed in range(3)), ISOLATED_EV)
    settings = GapSettings(two_body=None, soap=SoapSettings(cutoff_A=2.9, n_max=3, l_max=2, sparse_points=12))
    points = fit_native(first, settings, seed=1).sparse_points
    model = InPlaceModel.start(first, settings, points, most_points=150)
    return learn(
        model,
        lithium_sulfide(0),
        reference,
        OnTheFlySettings(
            walkers=2,
            temperatures_K=500,
            ramp_ps=0.4,
            leg_ps=0.2,
            length_ps=length_ps,
            timestep_fs=2.0,
            audit_every_ps=0.2,
            force_tolerance_eV_per_A=tolerance,
            batch=2,
        ),
        folder,
        seed=3,
        most_labels=60,
        ends_when_doubled=False,
    )


@pytest.mark.slow
def test_a_silent_alarm_is_not_convergence(tmp_path: Path) -> None:
    reference = Reference()
    found = trial(tmp_path, reference)
    looks = LAST * 2 * LOOKS_PER_LEG
    assert max(found.alarms) > SILENT * 2 * LOOKS_PER_LEG
    assert sum(found.alarms[-LAST:]) < SILENT * looks
    forces = found.audited.forces
    assert forces.frames >= 5
    assert forces.low > TOLERANCE_eV_per_A
    assert "within" not in found.reason
    # The error has not moved: the last of them are as far above the tolerance.
    later = [one.force_rmse_eV_per_A for one in found.errors if one.is_audit][-4:]
    assert min(later) > TOLERANCE_eV_per_A
    assert len(set(reference.asked)) == len(reference.asked)
    twin = trial(tmp_path / "again", Reference(), length_ps=0.8)
    for first, second in zip(found.labels, twin.labels, strict=False):
        np.testing.assert_array_equal(first.atoms.positions, second.atoms.positions)


@pytest.mark.slow
def test_audits_end_it_and_nothing_else_does(tmp_path: Path) -> None:
    found = trial(tmp_path, Reference(), tolerance=WIDE_eV_per_A)
    assert "audits are within" in found.reason
    assert found.audited.forces.frames >= FEWEST_AUDITS
    assert found.audited.forces.high < WIDE_eV_per_A
