"""Bands on surfaces whose saddle points are known, in ASE's own potentials, and across a kill."""

from __future__ import annotations

import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from ionloop.analysis.barriers.bands import (
    BandFailed,
    aligned_end,
    continuous_end,
    interpolated_path,
    profile,
    relax_band,
)
from ionloop.analysis.barriers.checkpoints import Checkpoint, CheckpointRefused
from ionloop.analysis.barriers.settings import BandSettings, BarrierSettings
from ionloop.analysis.electric_field import FieldCalculator
from ionloop.analysis.fixed_cell_relaxation import relax_ions
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.in_field import InField

SADDLE_TOLERANCE_EV = 0.02
# Müller, Brown, Theor. Chim. Acta 1979, 53, 75: minima and saddle points of their surface, and its heights.
MULLER_BROWN_SCALE = 0.01
MULLER_BROWN_MINIMA = ((-0.558224, 1.441726), (-0.050011, 0.466694), (0.623499, 0.028038))
MULLER_BROWN_HEIGHTS = (-146.6995, -80.7678, -108.1667)
MULLER_BROWN_SADDLES = (-40.6648, -72.2489)


class MullerBrown(Calculator):
    """One atom on the surface of Müller and Brown, scaled to eV; a spring keeps it in the plane."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        x, y, z = self.atoms.positions[0]
        height, a, b, c = (
            np.array(row)
            for row in ([-200, -100, -170, 15], [-1, -1, -6.5, 0.7], [0, 0, 11, 0.6], [-10, -10, -6.5, 0.7])
        )
        dx, dy = x - np.array([1, 0, -0.5, -1]), y - np.array([0, 0.5, 1.5, 1])
        terms = height * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
        gradient = np.array([np.sum(terms * (2 * a * dx + b * dy)), np.sum(terms * (b * dx + 2 * c * dy)), 100 * z])
        self.results = {
            "energy": MULLER_BROWN_SCALE * (terms.sum() + 50 * z**2),
            "forces": -MULLER_BROWN_SCALE * gradient[None],
        }


class Wells(Calculator):
    """One ion in wells along x that carries a charge and passes some on its way; another is held by a spring."""

    implemented_properties: ClassVar = ["energy", "forces"]
    length_A, height_eV, carried_e, passed_e = 3.0, 0.5, 1.0, 0.4

    def curve(self, x: np.ndarray, field_V_per_A: float) -> np.ndarray:
        phase = 2 * np.pi * x / self.length_A
        polarised = self.carried_e * x + self.passed_e * self.length_A / (2 * np.pi) * np.sin(phase)
        return 0.5 * self.height_eV * (1 - np.cos(phase)) - field_V_per_A * polarised

    def in_field(self, atoms: Atoms, field_V_per_A: np.ndarray) -> InField:
        away = atoms.positions - [[0.0, 0.0, 0.0], [0.0, 8.0, 0.0]]
        phase = 2 * np.pi * away[0, 0] / self.length_A
        forces = -5.0 * away
        forces[0, 0] = -np.pi * self.height_eV / self.length_A * np.sin(phase)
        forces += np.outer([self.carried_e, -self.carried_e], field_V_per_A)
        forces[0, 0] += self.passed_e * np.cos(phase) * field_V_per_A[0]
        dipole = np.array([self.passed_e * self.length_A / (2 * np.pi) * np.sin(phase), 0.0, 0.0])
        energy = 0.5 * self.height_eV * (1 - np.cos(phase)) + 2.5 * (np.sum(away[1] ** 2) + np.sum(away[0, 1:] ** 2))
        carried = np.array([self.carried_e, -self.carried_e])
        return InField(float(energy - dipole @ field_V_per_A), forces, carried, dipole)


def test_a_path_in_a_field_has_the_barrier_of_the_tilted_wells():
    strength = 0.1
    wells, parent = Wells(), Atoms("HF", positions=[[0, 0, 0], [0, 8, 0]], cell=[16, 16, 16], pbc=True)
    inside = FieldCalculator(wells, None, [strength, 0, 0], parent)
    hopped = parent.copy()
    hopped.positions[0, 0] += wells.length_A
    tight = FixedCellRelaxation(force_tolerance_eV_per_A=1e-3)
    ends = [relax_ions(atoms, inside, tight).atoms for atoms in (parent, hopped)]
    band = relax_band(*ends, inside, BAND)
    assert band.converged, band.reason
    found = profile(band.positions, band.energies, band.forces)
    grid = wells.curve(np.linspace(-1.4, 1.4, 20001), strength).min()
    top = wells.curve(np.linspace(0.0, 3.0, 20001), strength).max()
    assert found.forward_eV == pytest.approx(top - grid, abs=2e-3)
    # Between equal wells the ion has carried its charge, and nothing else is left of what it passed on its way.
    assert found.forward_eV - found.reverse_eV == pytest.approx(-strength * wells.carried_e * wells.length_A, abs=2e-3)


def at(point: tuple[float, float]) -> Atoms:
    return Atoms("H", positions=[[*point, 0.0]], cell=[20, 20, 20], pbc=True)


def vacancy_ends() -> tuple[Atoms, Atoms]:
    """An atom of copper beside a vacancy, and in it: mirror images of each other."""
    crystal = bulk("Cu", cubic=True).repeat(2)
    hole, mover = crystal.positions[0].copy(), 1
    initial = crystal.copy()
    final = crystal.copy()
    final.positions[mover] = hole
    del initial[0], final[0]
    ends = [relax_ions(end, EMT(), FixedCellRelaxation()).atoms for end in (initial, final)]
    return ends[0], ends[1]


BAND = BandSettings(images=9, band_force_eV_per_A=0.1, climbing_force_eV_per_A=0.01, max_step_A=0.1)


@pytest.mark.parametrize(("start", "end", "saddle"), [(0, 1, 0), (1, 2, 1)])
def test_the_saddles_of_muller_and_brown_are_found(start, end, saddle):
    ends = [at(MULLER_BROWN_MINIMA[i]) for i in (start, end)]
    band = relax_band(*ends, MullerBrown(), BAND)
    assert band.converged, band.reason
    found = profile(band.positions, band.energies, band.forces)
    heights, top = MULLER_BROWN_HEIGHTS, MULLER_BROWN_SADDLES[saddle]
    assert found.forward_eV == pytest.approx(MULLER_BROWN_SCALE * (top - heights[start]), abs=1e-3)
    assert found.reverse_eV == pytest.approx(MULLER_BROWN_SCALE * (top - heights[end]), abs=1e-3)


def test_the_fitted_maximum_sees_a_saddle_between_two_images():
    """Six images of a cosine of known height, none of them at its top."""
    places = np.linspace(0.0, 2.5, 6)
    wave = 2 * np.pi / 2.5
    positions, forces = np.zeros((6, 2, 3)), np.zeros((6, 2, 3))
    positions[:, 1, 0] = places
    forces[:, 1, 0] = -0.15 * wave * np.sin(wave * places)
    energies = -7.0 + 0.15 * (1 - np.cos(wave * places))
    found = profile(positions, energies, forces)
    assert energies.max() + 7.0 < 0.28
    assert found.forward_eV == pytest.approx(0.3, abs=0.005)
    assert found.maximum_A == pytest.approx(1.25, abs=0.01)
    assert found.reverse_eV == pytest.approx(found.forward_eV, abs=1e-9)


def test_downhill_has_no_barrier_forward():
    positions = np.zeros((3, 1, 3))
    positions[:, 0, 0] = [0.0, 1.0, 2.0]
    forces = np.zeros((3, 1, 3))
    forces[:, 0, 0] = 0.5
    found = profile(positions, np.array([0.0, -0.5, -1.0]), forces)
    assert found.forward_eV == 0.0
    assert found.reverse_eV == pytest.approx(1.0)


def test_a_vacancy_hop_is_as_high_from_both_sides():
    initial, final = vacancy_ends()
    band = relax_band(initial, final, EMT(), BandSettings(images=5, climbing_force_eV_per_A=0.03))
    assert band.converged
    found = profile(band.positions, band.energies, band.forces)
    assert 0.3 < found.forward_eV < 1.2
    assert found.reverse_eV == pytest.approx(found.forward_eV, abs=SADDLE_TOLERANCE_EV)
    assert found.maximum_A == pytest.approx(found.coordinate_A[-1] / 2, abs=0.1)
    assert np.argmax(band.energies) == 2


class _Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def whole():
    """The band between the first two minima, which nothing disturbed."""
    return relax_band(*_minima(0, 1), MullerBrown(), BAND)


@pytest.mark.parametrize("kill_at", [60, 250])
def test_a_killed_band_goes_on_as_if_nothing_had_been(tmp_path, whole, kill_at):
    ends = _minima(0, 1)

    class Mortal(MullerBrown):
        def calculate(self, *arguments, **keywords):
            super().calculate(*arguments, **keywords)
            if self.calls > kill_at:
                raise _Killed

    checkpoint = Checkpoint(tmp_path / "band.npz", every=3)
    with pytest.raises(_Killed):
        relax_band(*ends, Mortal(), BAND, checkpoint=checkpoint)
    calculator = MullerBrown()
    resumed = relax_band(*ends, calculator, BAND, checkpoint=checkpoint)
    assert np.array_equal(resumed.positions, whole.positions)
    assert resumed.steps == whole.steps
    assert calculator.calls < (whole.steps + 2) * (BAND.images - 2)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory) -> Path:
    """The checkpoint of a band between the first two minima, made with model "a"."""
    path = tmp_path_factory.mktemp("band") / "band.npz"
    short = BAND.model_copy(update={"band_steps": 4})
    relax_band(*_minima(0, 1), MullerBrown(), short, checkpoint=Checkpoint(path, every=2, model="a"))
    return path


def _minima(first: int, second: int) -> tuple[Atoms, Atoms]:
    return at(MULLER_BROWN_MINIMA[first]), at(MULLER_BROWN_MINIMA[second])


@pytest.mark.parametrize(
    ("ends", "model", "changes", "message"),
    [
        ((0, 2), "a", {}, "an atom of its end lies .* Å from"),
        ((1, 2), "a", {}, "an atom of its start lies .* Å from"),
        ((0, 1), "b", {}, "another model"),
        ((0, 1), "a", {"images": 11}, "9 images, not 11"),
        ((0, 1), "a", {"spring_eV_per_A2": 0.2}, "spring_eV_per_A2 was 0.1, not 0.2"),
    ],
)
def test_the_checkpoint_of_another_band_is_refused_by_what_differs(unfinished, ends, model, changes, message):
    settings = BAND.model_copy(update={"band_steps": 4, **changes})
    with pytest.raises(CheckpointRefused, match=message):
        relax_band(*_minima(*ends), MullerBrown(), settings, checkpoint=Checkpoint(unfinished, model=model))


def _with(**changes):
    """Return a damage: an archive in which some arrays are others."""

    def damage(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as arrays:
            written = io.BytesIO()
            np.savez(written, **{**arrays, **{name: change(arrays[name]) for name, change in changes.items()}})
        return written.getvalue()

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:100],
        lambda data: b"",
        lambda data: b"text",
        lambda data: data[:-50],
        _with(velocity=lambda one: np.ones(5)),
        _with(numbers=lambda one: np.full_like(one, np.nan)),
        _with(positions=lambda one: np.full_like(one, np.nan)),
        _with(made_by=lambda one: np.array('{"model": ""}')),
        _with(made_by=lambda one: np.array("[1]")),
    ],
)
def test_a_broken_checkpoint_is_named(unfinished, tmp_path, damage):
    broken = tmp_path / "band.npz"
    broken.write_bytes(damage(unfinished.read_bytes()))
    with pytest.raises(CheckpointRefused, match=r"band\.npz is no checkpoint of a band"):
        relax_band(*_minima(0, 1), MullerBrown(), BAND, checkpoint=Checkpoint(broken))


def test_the_checkpoint_of_other_atoms_in_the_same_places_is_refused(unfinished):
    for change, message in (
        (lambda atoms: atoms.set_chemical_symbols(["Ar"] * len(atoms)), "was made of"),
        (lambda atoms: atoms.set_cell(1.5 * atoms.cell), "another cell"),
    ):
        ends = _minima(0, 1)
        for end in ends:
            change(end)
        with pytest.raises(CheckpointRefused, match=message):
            relax_band(*ends, MullerBrown(), BAND, checkpoint=Checkpoint(unfinished, model="a"))


def test_an_earlier_releases_checkpoint_of_a_campaign_still_goes_on(unfinished, tmp_path):
    old = tmp_path / "band.npz"
    with np.load(unfinished) as arrays:
        np.savez(old, **{name: arrays[name] for name in ("positions", "velocity", "numbers")})
    short = BAND.model_copy(update={"band_steps": 4})
    calculator = MullerBrown()
    assert relax_band(*_minima(0, 1), calculator, short, checkpoint=Checkpoint(old)).converged
    with pytest.raises(CheckpointRefused, match="does not say which model"):
        relax_band(*_minima(0, 1), MullerBrown(), short, checkpoint=Checkpoint(old, model="a"))


def test_every_image_is_evaluated_once_a_step():
    calculator = MullerBrown()
    band = relax_band(*[at(MULLER_BROWN_MINIMA[i]) for i in (0, 1)], calculator, BAND)
    assert calculator.calls <= (band.steps + 2) * (BAND.images - 2) + 2


def test_a_band_that_runs_out_of_steps_says_so():
    short = BAND.model_copy(update={"band_steps": 2, "climbing_steps": 2})
    band = relax_band(*[at(MULLER_BROWN_MINIMA[i]) for i in (0, 2)], MullerBrown(), short)
    assert not band.converged
    assert "climbing_steps" in band.reason


def test_a_calculator_that_breaks_is_told_from_a_path_without_end():
    class Broken(MullerBrown):
        def calculate(self, *arguments, **keywords):
            super().calculate(*arguments, **keywords)
            self.results["energy"] = float("nan")

    with pytest.raises(BandFailed, match="not finite"):
        relax_band(*[at(MULLER_BROWN_MINIMA[i]) for i in (0, 1)], Broken(), BAND)


def test_the_first_guess_keeps_atoms_apart():
    """An atom that a straight line would lead through another goes around it."""
    initial = Atoms("Cu3", positions=[[2.0, 5.05, 5], [5, 5, 5], [5, 1, 5]], cell=[12, 12, 12], pbc=True)
    final = initial.copy()
    final.positions[0, 0] = 8.0
    straight = np.abs(np.linspace(2.0, 8.0, 7) - 5.0).min()
    assert straight == 0.0
    path = interpolated_path(initial, final, 7)
    distance = np.linalg.norm(path[:, 0] - path[:, 1], axis=1)
    assert distance.min() > 1.2
    assert np.array_equal(path[0], initial.positions)
    assert np.array_equal(path[-1], final.positions)


def test_the_first_guess_crosses_the_boundary_of_the_cell():
    initial = Atoms("CuAu", positions=[[0.5, 1, 1], [4, 4, 4]], cell=[8, 8, 8], pbc=True)
    wrapped = initial.copy()
    wrapped.positions[0, 0] = 7.5
    final = continuous_end(initial, wrapped)
    assert final.positions[0] == pytest.approx([-0.5, 1, 1])
    path = interpolated_path(initial, final, 5)
    assert path[2, 0] == pytest.approx([0.0, 1, 1], abs=1e-3)


def test_ends_must_match():
    initial = at((0.0, 0.0))
    other = initial.copy()
    other.symbols[0] = "He"
    with pytest.raises(InputError, match="same atoms"):
        continuous_end(initial, other)
    with pytest.raises(InputError, match="in the same place"):
        profile(np.zeros((3, 1, 3)), np.zeros(3), np.zeros((3, 1, 3)))


def test_the_framework_does_not_slide():
    initial = Atoms("LiS2", positions=[[0, 0, 0], [2, 0, 0], [0, 2, 0]], cell=[9, 9, 9], pbc=True)
    final = initial.copy()
    final.positions += [0.3, 0.1, 0.0]
    final.positions[0] += [1.0, 0, 0]
    aligned = aligned_end(initial, final, np.array([1, 2]))
    assert aligned.positions[1:] == pytest.approx(initial.positions[1:])
    assert aligned.positions[0] == pytest.approx([1.0, 0, 0])


def test_the_band_has_the_images_that_are_asked_for():
    assert BarrierSettings(images=7).band_of_images.images == 7
