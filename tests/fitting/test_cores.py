"""Cores: what is fitted on top of one, by either backend, is one potential with it, known by its content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.cores import core_file_text, core_of, subtract_baseline, with_core_read, without_core
from ionloop.fitting.data_sets import DataSet, isolated_atom
from ionloop.fitting.electrostatics.baseline import baseline_calculator
from ionloop.fitting.electrostatics.charge_errors import leave_out_tensors
from ionloop.fitting.electrostatics.charges import ChargeProblem
from ionloop.fitting.models import compute_inputs_hash, fit_model, load_model, read_manifest
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.glue import GluePotential, Spline
from ionloop.fitting.native.sparse_fit.design import sparse_points_of
from ionloop.fitting.native.sparse_fit.fit import run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.online.driver import load_driver
from ionloop.fitting.online.in_place import InPlaceModel
from ionloop.fitting.preflight import PreflightError
from ionloop.fitting.settings import BaselineSettings, CoreSettings, GapSettings

SAME_POINTS_TOLERANCE_eV = 1e-6
SAME_POINTS_TOLERANCE_eV_per_A = 1e-6
FILE_TOLERANCE_eV = 1e-7
LEAVE_OUT_TOLERANCE = 1e-7  # labels are subtracted in another order
RADII_A = np.linspace(1.0, 3.5, 11)
REPULSION_eV = 15.0 * (np.exp(-RADII_A) - np.exp(-3.5))


def core(numbers: tuple[int, ...] = (3, 16), *, embedding: bool = False, scale: float = 1.0) -> GluePotential:
    """A repulsion between all elements; and an embedding function that is not zero at zero, if wanted."""
    pairs = {(a, b): Spline(RADII_A, scale * REPULSION_eV, (1e30, 0.0)) for a in numbers for b in numbers if a <= b}
    density = Spline(np.array([1.9, 3.0, 3.6]), np.array([0.4, 0.15, 0.0]), (-0.5, 0.0))
    function = Spline(np.array([0.0, 0.9, 1.5]), np.array([0.2, -0.4, -0.5]), (1e30, 1e30))
    densities = dict.fromkeys(numbers, density) if embedding else {}
    return GluePotential(pairs, densities, {numbers[0]: function} if embedding else {}, frozenset(numbers))


def with_core(settings: GapSettings, potential: GluePotential) -> GapSettings:
    text = core_file_text(potential)
    return with_core_read(settings.model_copy(update={"core": CoreSettings(glue=text)}), Path())


@pytest.mark.parametrize("embedding", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_potential_of_gap_fit_on_top_of_a_core(
    embedding: bool, lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    """With its sparse points; isolated atoms as labels; QUIP and our evaluator read both sums."""
    pytest.importorskip("quippy.potential")
    settings = with_core(small_settings, core(embedding=embedding))
    atoms = tuple(isolated_atom(*energy) for energy in lithium_sulfide.isolated_atom_energies.items())
    data_set = DataSet(lithium_sulfide.configurations[:2], isolated_atoms=atoms)
    fit_model("gap", data_set, settings, None, tmp_path / "theirs", backend="gap_fit")
    points = sparse_points_of(read_gap_xml(tmp_path / "theirs" / "gap.xml"))
    ours = run_fit(FitInputs(data_set, settings, seed=1, sparse_points=points), FitResources())
    path = ours.write(tmp_path / "ours")
    theirs = load_model(tmp_path / "theirs", backend="quippy")
    by_quip, native = load_model(path, backend="quippy"), load_model(path)
    for item, errors in zip(data_set, ours.training_errors.configurations, strict=True):
        assert theirs.get_property("energy", item.atoms) - item.energy == pytest.approx(
            errors.energy_eV, abs=SAME_POINTS_TOLERANCE_eV
        )
        for calculator in (theirs, by_quip, native):
            forces = calculator.get_property("forces", item.atoms) - item.forces
            np.testing.assert_allclose(errors.forces_eV_per_A, forces, atol=SAME_POINTS_TOLERANCE_eV_per_A)
            stress = calculator.get_property("stress", item.atoms) - item.stress
            virial = -stress[[0, 5, 4, 1, 3, 2]] * item.atoms.get_volume()
            np.testing.assert_allclose(errors.virial_eV, virial, atol=SAME_POINTS_TOLERANCE_eV)
        energy = native.get_property("energy", item.atoms)
        assert energy - item.energy == pytest.approx(errors.energy_eV, abs=FILE_TOLERANCE_eV)
        assert by_quip.get_property("energy", item.atoms) == pytest.approx(energy, abs=FILE_TOLERANCE_eV)
    for item in data_set.fitted_isolated_atoms:
        energies = [calculator.get_property("energy", item.atoms) for calculator in (theirs, by_quip, native)]
        np.testing.assert_allclose(energies, item.energy, atol=1e-3)
        assert np.ptp(energies) < SAME_POINTS_TOLERANCE_eV


def test_a_model_that_learns_on_a_core_is_the_full_fit_on_it(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    settings = with_core(small_settings, core(embedding=True))
    alone = tuple(isolated_atom(*energy) for energy in lithium_sulfide.isolated_atom_energies.items())
    first = DataSet(lithium_sulfide.configurations[:3], isolated_atoms=alone)
    model = InPlaceModel.start(first, settings, run_fit(FitInputs(first, settings, 1), FitResources()).sparse_points)
    model.add(lithium_sulfide.configurations[3:])
    model.save(tmp_path / "state")
    points = model.calculator().sparse_points
    whole = DataSet(lithium_sulfide.configurations, isolated_atoms=alone)
    fit = run_fit(FitInputs(whole, settings, 1, sparse_points=points), FitResources())
    expected = NativeGapCalculator(fit.model)
    for found in (
        model.calculator(),
        load_driver(tmp_path / "state"),
        InPlaceModel.load(tmp_path / "state").calculator(),
    ):
        for atoms in (lithium_sulfide.configurations[0].atoms, alone[0].atoms):
            for name, tolerance in (("energy", 1e-5), ("forces", 1e-5)):
                values = expected.get_property(name, atoms)
                np.testing.assert_allclose(found.get_property(name, atoms), values, rtol=0, atol=tolerance)


def test_an_es_gap_is_baseline_and_core_and_gap(
    lithium_sulfide: DataSet, small_settings: GapSettings, baseline: BaselineSettings, tmp_path: Path
) -> None:
    """Leave-out errors are those of a GAP without a core for what both leave of the labels."""
    settings = with_core(small_settings, core())
    manifest = fit_model("es-gap", lithium_sulfide, settings, baseline, tmp_path / "es-gap")
    rest = subtract_baseline(without_core(lithium_sulfide, core_of(settings)), baseline_calculator(baseline))
    direct = run_fit(FitInputs(rest, small_settings, seed=0), FitResources())
    assert direct.leave_out_errors is not None
    expected = direct.leave_out_errors.summary()
    assert manifest.leave_out_errors is not None
    assert manifest.leave_out_errors.force_eV_per_A == pytest.approx(expected.force_eV_per_A, rel=LEAVE_OUT_TOLERANCE)
    whole = load_model(tmp_path / "es-gap")
    for item, errors in zip(lithium_sulfide, direct.training_errors.configurations, strict=True):
        energy = whole.get_property("energy", item.atoms) - item.energy
        assert energy == pytest.approx(errors.energy_eV, abs=FILE_TOLERANCE_eV)
    assert read_manifest(tmp_path / "es-gap").settings == settings


def test_charges_by_error_see_what_the_core_leaves(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    problem = ChargeProblem(("Li", "S"), {"Li": 2, "S": 1}, "Li", {"Li": 1.0, "S": -2.0})
    rest = without_core(lithium_sulfide, core())
    found = [
        leave_out_tensors(FitInputs(data, settings, 0), problem, [{}], FitResources())[0].summary(
            {"Li": 0.4, "S": -0.8}
        )
        for data, settings in ((lithium_sulfide, with_core(small_settings, core())), (rest, small_settings))
    ]
    assert found[0].force_eV_per_A == pytest.approx(found[1].force_eV_per_A, rel=LEAVE_OUT_TOLERANCE)


def test_a_model_is_known_by_what_its_core_says(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    """Not by the file, its place or its layout; without a core, by what earlier releases knew it by."""

    def identity(text: str, name: str) -> str:
        (tmp_path / name).write_text(text)
        settings = small_settings.model_copy(update={"core": CoreSettings(file=name)})
        read = with_core_read(settings, tmp_path)
        assert read.core is not None
        assert read.core.file is None
        assert GapSettings.model_validate(read.model_dump(mode="json")) == read == with_core_read(read, Path("/"))
        return compute_inputs_hash("gap", lithium_sulfide, read, None, seed=1)

    text = core_file_text(core())
    same = text.replace("<core>", "<other>\n<!-- by hand -->").replace("</core>", "</other>").replace("\n", "\n\n")
    assert identity(text, "core.xml") == identity(same, "moved.xml")
    assert identity(text, "core.xml") != identity(core_file_text(core(scale=1.01)), "core.xml")
    assert set(small_settings.identifying_values()) == set(GapSettings.model_fields) - {"three_body", "core"}


def test_an_element_that_the_core_does_not_know_is_named(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    settings = with_core(small_settings, core((3,)))
    with pytest.raises(PreflightError, match=r"gap.core\) has nothing for S"):
        run_fit(FitInputs(lithium_sulfide, settings, 0), FitResources())
    unread = small_settings.model_copy(update={"core": CoreSettings(file="core.xml")})
    with pytest.raises(InputError, match=r"core\.xml, has not been read"):
        run_fit(FitInputs(lithium_sulfide, unread, 0), FitResources())


def test_nothing_is_taken_off_without_a_core(lithium_sulfide: DataSet) -> None:
    assert without_core(lithium_sulfide, None) is lithium_sulfide
    again = without_core(lithium_sulfide, core(embedding=True))
    alone = {symbol: energy - again.isolated_atom_energies[symbol]
             for symbol, energy in lithium_sulfide.isolated_atom_energies.items()}  # fmt: skip
    assert alone == pytest.approx({"Li": 0.2, "S": 0.0}, abs=1e-12)
    assert replace(again, isolated_atoms=()).elements == ("Li", "S")
