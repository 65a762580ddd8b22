"""Sizes, splits and differences of labels, and the figures that show them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.errors.model_errors import ErrorStatistics, ModelErrors
from ionloop.analysis.studies.figures import diffusivity_against_size, error_against_size
from ionloop.analysis.studies.studies import (
    DataSizeStudy,
    ModelTransport,
    SizePoint,
    agreement,
    flat_down_to,
    halved_sizes,
    hold_out,
    label_differences,
)
from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import LabelledConfiguration


def errors(force: float) -> ModelErrors:
    one = ErrorStatistics.from_errors([force, -force])
    return ModelErrors(
        energy_eV_per_atom=one,
        force_eV_per_A=one,
        force_by_element_eV_per_A={"Cu": one},
        force_by_magnitude_eV_per_A=(),
    )


def point(size: int, force: float, *transport: ModelTransport) -> SizePoint:
    return SizePoint(
        configurations=size, environments={"Cu": size}, errors=errors(force), fit_time_s=1.0, transport=transport
    )


def labelled(shift: float = 0.0, offset: float = 0.0, seed: int = 1) -> LabelledConfiguration:
    atoms = bulk("CuAu", "cesiumchloride", a=3.1)
    atoms.rattle(0.1, seed=seed)
    forces = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
    forces[0, 0] += shift
    return LabelledConfiguration(atoms, -6.0 + 2 * offset, forces, None, f"c{seed}")


def test_sizes_halve_down_to_the_smallest():
    assert halved_sizes(1978, 15) == (1978, 989, 494, 247, 123, 61, 30, 15)
    assert halved_sizes(5, 5) == (5,)
    with pytest.raises(InputError, match="1 to 5"):
        halved_sizes(5, 6)


def test_every_composition_with_two_or_more_is_held_out_of_and_trained_on():
    compositions = ["A"] * 10 + ["B"] * 2 + ["C"]
    trained, held = hold_out(compositions, 0.2, seed=3)
    assert sorted(trained + held) == list(range(13))
    assert [compositions[index] for index in held] == ["A", "A", "B"]
    assert hold_out(compositions, 0.2, seed=3) == (trained, held)
    assert hold_out(compositions, 0.2, seed=4) != (trained, held)


def test_a_set_that_cannot_be_divided_is_refused():
    with pytest.raises(InputError, match="cannot be divided"):
        hold_out(["A", "B", "C"], 0.2, seed=1)
    with pytest.raises(InputError, match="between 0 and 1"):
        hold_out(["A", "A"], 1.0, seed=1)


def test_an_offset_of_the_energies_is_told_and_not_counted_as_an_error():
    first = [labelled(seed=1), labelled(seed=2)]
    second = [labelled(0.3, 5.0, seed=1), labelled(0.3, 5.1, seed=2)]
    found = label_differences(first, second, ["AuCu", "AuCu"])
    assert found.energy_offset_eV_per_atom["AuCu"] == pytest.approx(5.05)
    assert found.energy_eV_per_atom.rmse == pytest.approx(0.05)
    assert found.force_eV_per_A.rmse == pytest.approx(0.3 / np.sqrt(6))
    assert found.force_by_element_eV_per_A["Cu"].rmse == pytest.approx(0.3 / np.sqrt(3))
    assert found.force_by_element_eV_per_A["Au"].rmse == 0.0


def test_sets_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="one by one"):
        label_differences([labelled()], [], ["AuCu"])


def test_the_error_is_flat_down_to_the_size_before_it_rises():
    points = [point(64, 0.100), point(32, 0.104), point(16, 0.109), point(8, 0.2), point(4, 0.105)]
    assert flat_down_to(points, 0.1) == 16


def test_intervals_that_touch_agree():
    low, high = (Estimate(value=v, low=v - 1, high=v + 1, standard_error=0.5) for v in (1.0, 2.5))
    far = Estimate(value=9.0, low=8.0, high=10.0, standard_error=0.5)
    assert agreement(low, high).startswith("agree")
    assert agreement(low, far).startswith("differ")


def test_figures_show_all_sizes_ascending_and_leave_out_what_is_not_known():
    estimate = Estimate(value=0.1, low=0.05, high=0.2, standard_error=0.04)
    known = ModelTransport(
        temperature_K=800.0, length_ps=10.0, replicas=1, diffusivity_A2_per_ps=estimate, reliable=True
    )
    lost = ModelTransport(temperature_K=800.0, length_ps=0.0, replicas=1, diffusivity_A2_per_ps=None, reliable=False)
    study = DataSizeStudy(model_kind="gap", held_out=3, points=(point(8, 0.1, known), point(4, 0.2, lost)))
    forces = error_against_size(study).data[0]
    assert list(forces.x) == [4, 8]
    np.testing.assert_allclose(forces.y, [200.0, 100.0])
    assert list(diffusivity_against_size(study).data[0].x) == [8]
