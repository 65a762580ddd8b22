"""Bounds from a training set: the shortest distances that it holds, and what they allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.data import covalent_radii

from ionloop.sampling.guard import ContactGuard
from ionloop.sampling.samplers.base import SamplerRequest
from ionloop.sampling.samplers.constant_temperature import NVTSettings
from ionloop.sampling.samplers.sampling import sample
from ionloop.sampling.seen_contacts import TOUCHING, ExploringGuard, shortest_distances_A


class Collapse(Calculator):
    """A first model that was never shown a contact: atoms fall towards each other and it thinks nothing of it."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(self.atoms), 3))
        forces[0, 0], forces[1, 0] = 4.0, -4.0
        self.results = {"energy": 0.0, "forces": forces}


def pair(distance_A: float) -> Atoms:
    return Atoms("LiS", positions=[[0, 0, 0], [distance_A, 0, 0]], cell=[12.0] * 3, pbc=True)


def test_shortest_distances_are_found_over_frames_and_across_the_cell() -> None:
    across = pair(11.0)
    found = shortest_distances_A([pair(2.4), pair(2.2), across, pair(2.9)])
    assert found["Li-S"] == pytest.approx(1.0)
    crystal = bulk("NaCl", "rocksalt", a=5.64)
    assert shortest_distances_A([crystal])["Cl-Na"] == pytest.approx(2.82)
    assert shortest_distances_A([crystal])["Na-Na"] == pytest.approx(5.64 / np.sqrt(2))


def test_atoms_that_never_touch_count_as_touching_at_most() -> None:
    found = shortest_distances_A([pair(5.0)])
    touching_A = TOUCHING * (covalent_radii[3] + covalent_radii[16])
    assert found["Li-S"] == pytest.approx(touching_A)
    assert set(found) == {"Li-Li", "Li-S", "S-S"}


def test_bounds_are_part_of_what_was_seen_and_never_below_what_holds_without() -> None:
    guard = ExploringGuard(seen_fraction=0.8, contacts=ContactGuard(minimum_distances_A={"S-Li": 1.5}))
    bounded = guard.bounded({"Li-S": 2.2, "S-S": 3.0, "Li-Li": 0.5}).contacts.minimum_distances_A
    assert bounded["S-Li"] == 1.5
    assert "Li-S" not in bounded
    assert bounded["S-S"] == pytest.approx(2.4)
    assert bounded["Li-Li"] == pytest.approx(0.6 * 2 * covalent_radii[3])
    assert guard.bounded({}).contacts == guard.contacts
    assert ExploringGuard(seen_fraction=0).bounded({"S-S": 3.0}).contacts.minimum_distances_A == {}


@pytest.mark.parametrize(("fraction", "shortest_A"), [(0.8, 1.76), (0.0, 0.6 * (1.28 + 1.05))])
def test_a_trajectory_stops_before_a_contact_that_its_model_was_never_shown(
    tmp_path: Path, fraction: float, shortest_A: float
) -> None:
    fall = {"maximum_temperature_factor": 1e5, "maximum_energy_drift_eV_per_atom": 100}
    settings = NVTSettings(temperature_K=10, length_ps=0.2, write_every=1, guard={**fall, "seen_fraction": fraction})
    request = SamplerRequest(
        atoms=pair(2.6),
        settings=settings,
        index=0,
        seed=1,
        path=tmp_path / "a.traj",
        calculator=Collapse,
        seen_A=shortest_distances_A([pair(2.2)]),
    )
    outcome = sample(request)
    assert f"(at least {shortest_A:.2f})" in outcome.reason
    assert outcome.frames > 3
