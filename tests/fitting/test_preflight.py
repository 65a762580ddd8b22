from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.gap_fit import LOG_FILE, FitLimits, expected_counts, fit_gap, read_log
from ionloop.fitting.preflight import PreflightError, available_memory_bytes, check_fit, estimate_cost, soap_components
from ionloop.fitting.settings import GapSettings, Regularisation, SoapSettings

MEMORY_TOLERANCE = 0.05  # gap_fit prints whole megabytes


def problems_of(data_set: DataSet, settings: GapSettings, limits: FitLimits | None = None) -> str:
    with pytest.raises(PreflightError) as caught:
        check_fit(data_set, settings, limits or FitLimits())
    return str(caught.value)


def test_usable_data_pass(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    cost = check_fit(lithium_sulfide, small_settings, FitLimits(wall_time_s=60.0))
    assert cost.pairs == (("Li", "Li"), ("Li", "S"), ("S", "S"))
    assert cost.targets == expected_counts(lithium_sulfide)
    assert cost.sparse_points == 3 * 8 + 2 * 15


def test_estimate_is_that_of_gap_fit(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    cost = estimate_cost(lithium_sulfide, small_settings)
    fit_gap(tmp_path, lithium_sulfide, cost.pairs, small_settings, seed=0, limits=FitLimits())
    log = read_log(tmp_path / LOG_FILE)
    instances = [int(n) for n in re.findall(r"Number of descriptors: +(\d+)", log)]
    derivatives = [int(n) for n in re.findall(r"Number of partial derivatives of descriptors: +(\d+)", log)]
    assert [item.instances for item in cost.descriptors] == instances
    assert [item.derivatives for item in cost.descriptors] == derivatives
    peak = re.search(r"^PEAK +(\d+) (KB|MB)", log, re.MULTILINE)
    assert peak is not None
    assert cost.memory_bytes == pytest.approx(int(peak[1]) * {"KB": 1e3, "MB": 1e6}[peak[2]], rel=MEMORY_TOLERANCE)


def test_length_of_a_soap_vector_of_three_elements() -> None:
    assert soap_components(SoapSettings(n_max=8, l_max=4), 3) == 1501


def test_all_problems_come_at_once(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    first, second, third, *_ = lithium_sulfide
    data_set = DataSet(
        (
            first,
            replace(first, identifier="copy"),
            replace(second, energy=float("nan")),
            replace(third, identifier=first.identifier),
        ),
        {"Li": -1.0},
    )
    settings = small_settings.model_copy(
        update={"regularisation": Regularisation().model_copy(update={"force_eV_per_A": 0.0})}
    )
    message = problems_of(data_set, settings, FitLimits(executable=Path("/nowhere/gap_fit")))
    assert "isolated-atom energies are missing for S;" in message
    assert f"not finite numbers in {second.identifier};" in message
    assert f"same structure is there more than once: {first.identifier} = copy" in message
    assert f"same identifier is used more than once: {first.identifier} = {first.identifier}" in message
    assert "force_eV_per_A = 0" in message
    assert "/nowhere/gap_fit does not exist" in message


def test_a_problem_is_an_input_error(small_settings: GapSettings) -> None:
    message = problems_of(DataSet(()), small_settings)
    assert "the data set is empty" in message
    assert PreflightError(["x"]).exit_status == InputError.exit_status


@pytest.mark.parametrize("name", ["forces", "stress", "positions", "isolated"])
def test_numbers_that_are_not_finite_are_refused(
    name: str, lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    first, *rest = lithium_sulfide
    energies = dict(lithium_sulfide.isolated_atom_energies)
    if name == "positions":
        broken = first.atoms.copy()
        broken.positions[2, 1] = np.inf
        first = replace(first, atoms=broken)
    elif name == "isolated":
        energies["Li"] = float("nan")
    else:
        values = np.array(getattr(first, name))
        values.flat[0] = np.nan
        first = replace(first, **{name: values})
    assert "not finite" in problems_of(DataSet((first, *rest), energies), small_settings)


def test_a_lattice_translation_is_a_duplicate(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    first, *rest = lithium_sulfide
    image = first.atoms.copy()
    image.positions += image.cell[0]
    data_set = DataSet(
        (first, replace(first, atoms=image, identifier="image"), *rest), lithium_sulfide.isolated_atom_energies
    )
    assert f"{first.identifier} = image" in problems_of(data_set, small_settings)


def test_regularisation_of_an_absent_element_is_refused(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    settings = small_settings.model_copy(
        update={"regularisation": Regularisation(force_by_element_eV_per_A={"P": 0.1})}
    )
    assert "names P, which the data do not contain" in problems_of(lithium_sulfide, settings)


def test_too_little_memory_and_time_are_refused(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    message = problems_of(lithium_sulfide, small_settings, FitLimits(wall_time_s=1e-4, memory_bytes=100_000))
    assert "GB of memory" in message
    assert "its wall-time limit is 0.0001 s" in message


def test_atoms_without_neighbours_are_refused(small_settings: GapSettings) -> None:
    lonely = LabelledConfiguration(
        Atoms("LiS", positions=[[0, 0, 0], [0, 0, 30]], cell=[60] * 3, pbc=True), -1.0, np.zeros((2, 3)), None, "x"
    )
    data_set = DataSet((lonely,), {"Li": 0.0, "S": 0.0})
    assert "no two atoms lie within a cutoff" in problems_of(data_set, small_settings)


def test_stress_without_a_volume_is_refused(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    flat = lithium_sulfide.configurations[0].atoms.copy()
    flat.set_cell(None)
    flat.pbc = False
    first, *rest = lithium_sulfide
    data_set = DataSet((replace(first, atoms=flat), *rest), lithium_sulfide.isolated_atom_energies)
    assert f"no volume, in {first.identifier}" in problems_of(data_set, small_settings)


def test_available_memory_is_not_more_than_the_machine_has() -> None:
    assert 0 < available_memory_bytes() <= psutil.virtual_memory().total
