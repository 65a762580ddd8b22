"""Weights, masks, energies alone and isolated atoms mean to the native fit what the same file means to gap_fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ionloop.fitting.calculators import GapCalculator
from ionloop.fitting.cores import subtract_baseline
from ionloop.fitting.data_sets import DataSet, LabelWeights, isolated_atom, read_extxyz
from ionloop.fitting.electrostatics.baseline import baseline_calculator
from ionloop.fitting.electrostatics.charge_errors import leave_out_tensors
from ionloop.fitting.electrostatics.charges import ChargeProblem
from ionloop.fitting.gap_fit import POTENTIAL_FILE, FitLimits, fit_gap, run_gap_fit
from ionloop.fitting.models import fit_model, load_model
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.sparse_fit.design import sparse_points_of
from ionloop.fitting.native.sparse_fit.fit import fit_native, run_fit, scaled_targets
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import BaselineSettings, GapSettings, Regularisation

ISOLATED_ATOM_TOLERANCE_eV = 1e-5
FEW_POINTS_TOLERANCE_eV = 1e-4  # of a potential too coarse for the data, a tenth of the energies' error
SAME_POINTS_TOLERANCE_eV = 1e-5  # gap_fit's rounding of K, amplified by near-singular covariances
SAME_POINTS_TOLERANCE_eV_per_A = 1e-5
LEAVE_OUT_TOLERANCE_eV = 1e-6
ROUNDING = 1e-12
PAIRS = [("Li", "Li"), ("Li", "S"), ("S", "S")]
DESCRIPTORS = (
    "gap={distance_2b cutoff=4.5 cutoff_transition_width=1.0 covariance_type=ard_se delta=1.0 theta_uniform=1.0 "
    "n_sparse=8 sparse_method=uniform add_species=T : soap n_max=3 l_max=2 atom_sigma=0.5 cutoff=4.0 "
    "cutoff_transition_width=1.0 zeta=4 covariance_type=dot_product delta=0.5 n_sparse=15 "
    "sparse_method=cur_points add_species=T}"
)
ARGUMENTS = [
    "at_file=data.xyz",
    DESCRIPTORS,
    "default_sigma={0.001 0.05 0.02 0.0}",
    "config_type_sigma={hot:0.004:0.2:0.08:0.0}",
    "energy_parameter_name=REF_energy",
    "force_parameter_name=REF_forces",
    "virial_parameter_name=REF_virial",
    "sparse_jitter=1e-8",
    "rnd_seed=1",
    f"gp_file={POTENTIAL_FILE}",
    "do_copy_at_file=F",
    "linear_system_dump_file=system",
]
HOT = Regularisation(energy_eV_per_atom=0.004, force_eV_per_A=0.2, virial_eV_per_atom=0.08)
FRAME = {"energy_sigma": "0.5", "force_sigma": "0.3", "virial_sigma": "0.7"}


def numbers(values: object) -> list[str]:
    return [" ".join(map(repr, np.atleast_1d(row).tolist())) for row in np.asarray(values)]


def component_sigmas(masked: bool = False) -> list[str]:
    sigmas = np.random.default_rng(0).uniform(0.01, 1.0, (12, 3))
    sigmas[0] = 0.0 if masked else sigmas[0]
    return numbers(sigmas)


MASK = ["T", *"F" * 10, "T"]
ATOM = numbers(np.linspace(0.01, 0.12, 12))


def frame(one: object, entries: dict[str, str], columns: dict[str, list[str]], leave_out: tuple[str, ...] = ()) -> str:
    """A frame as people write it, with entries and columns ("name:type:width") of its own."""
    columns = {"pos:R:3": numbers(one.atoms.positions), "REF_forces:R:3": numbers(one.forces), **columns}
    entries = {
        "REF_energy": repr(one.energy),
        "REF_virial": f'"{" ".join(map(repr, one.virial.ravel().tolist()))}"',
        **entries,
    }
    entries = {key: value for key, value in entries.items() if key not in leave_out}
    columns = {key: value for key, value in columns.items() if key.split(":")[0] not in leave_out}
    lattice = " ".join(map(repr, one.atoms.cell.array.ravel().tolist()))
    comment = [
        f'Lattice="{lattice}" Properties=species:S:1:{":".join(columns)} pbc="T T T"',
        *(f"{key}={value}" for key, value in entries.items()),
    ]
    rows = zip(one.atoms.get_chemical_symbols(), *columns.values(), strict=True)
    return "\n".join([str(one.n_atoms), " ".join(comment), *(" ".join(row) for row in rows)]) + "\n"


def lone(symbol: str, energy: float, forces: bool = True, entries: str = "") -> str:
    column, zeros = (":REF_forces:R:3", " 0.0 0.0 0.0") if forces else ("", "")
    return (
        f'1\nLattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3{column} REF_energy={energy} '
        f'config_type=isolated_atom pbc="F F F" {entries}\n{symbol} 1.0 2.0 3.0{zeros}\n'
    )


def gap_fit_by_hand(folder: Path, text: str, arguments: list[str] = ARGUMENTS) -> tuple[np.ndarray, np.ndarray]:
    """Targets and their standard deviations in the linear system of gap_fit itself."""
    (folder / "data.xyz").write_text(text)
    run_gap_fit(folder, arguments, FitLimits())
    return np.loadtxt(folder / "system_globalY.0"), np.sqrt(np.loadtxt(folder / "system_lambda.0"))


@pytest.fixture(scope="module")
def settings(small_settings: GapSettings) -> GapSettings:
    return small_settings.model_copy(update={"regularisation_by_config_type": {"hot": HOT}})


FRAMES: list[tuple[dict[str, str], dict[str, list[str]], tuple[str, ...]]] = [
    ({}, {}, ()),
    (FRAME, {}, ()),
    ({"Energy_Sigma": "0.5", "config_type": "hot"}, {}, ()),
    ({"force_sigma": "0.3"}, {"force_atom_sigma:R:1": ATOM}, ()),
    ({"force_sigma": "0.3"}, {"force_component_sigma:R:3": component_sigmas(), "force_atom_sigma:R:1": ATOM}, ()),
    ({"virial_sigma": "0.3", "virial_component_sigma": '"0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9"'}, {}, ()),
    ({}, {"force_mask:L:1": MASK}, ()),
    (FRAME, {"FORCE_MASK:L:1": MASK, "force_component_sigma:R:3": component_sigmas(masked=True)}, ()),
    ({}, {"force_mask:L:1": ["T"] * 12}, ()),
    ({"energy_sigma": "0.02"}, {}, ("REF_forces", "REF_virial")),
    ({}, {}, ("REF_forces",)),
]


def test_a_file_gives_the_targets_and_standard_deviations_of_gap_fit(
    lithium_sulfide: DataSet, settings: GapSettings, tmp_path: Path
) -> None:
    """Every way in which people weigh labels, a frame each, and isolated atoms."""
    text = lone("Li", -1.5, forces=False) + lone("S", -2.5, forces=False, entries="energy_sigma=0.0001")
    text += "".join(frame(lithium_sulfide.configurations[0], *own) for own in FRAMES)
    pairs_alone = f"{DESCRIPTORS.partition(' : ')[0]}}}"
    values, sigmas = gap_fit_by_hand(tmp_path, text, [ARGUMENTS[0], pairs_alone, *ARGUMENTS[2:]])
    data_set = read_extxyz(tmp_path / "data.xyz")
    isolated = sorted(data_set.fitted_isolated_atoms, key=lambda one: one.atoms.numbers[0])
    ours = [scaled_targets(one, settings, data_set) for one in (*isolated, *data_set)]
    assert len(values) == len(sigmas) == sum(len(one.values) for one in ours)
    # gap_fit has all energies first.
    start = len(ours)
    for number, one in enumerate(ours):
        stop = start + len(one.values) - 1
        rows = [number, *range(start, stop)]
        np.testing.assert_allclose(one.values[:, 0], values[rows], atol=ROUNDING * np.abs(values).max())
        np.testing.assert_allclose(one.sigmas, sigmas[rows], rtol=ROUNDING)
        start = stop


def weighted(data_set: DataSet) -> str:
    """Three frames with everything in them, and isolated atoms, one with forces."""
    first, second, third, *_ = data_set.configurations
    return (
        lone("Li", -1.5)
        + lone("S", -2.5, forces=False, entries="energy_sigma=0.0001")
        + frame(first, {**FRAME, "energy_sigma": "0.01"}, {"force_mask:L:1": MASK})
        + frame(second, {}, {"force_component_sigma:R:3": component_sigmas()})
        + frame(third, {"config_type": "hot"}, {}, ("REF_forces", "REF_virial"))
    )


@pytest.mark.slow
def test_a_file_with_everything_gives_the_potential_of_gap_fit(
    lithium_sulfide: DataSet, settings: GapSettings, tmp_path: Path
) -> None:
    """With the same sparse points: gap_fit alone, gap_fit as a backend, the native fit."""
    gap_fit_by_hand(tmp_path, weighted(lithium_sulfide))
    data_set = read_extxyz(tmp_path / "data.xyz")
    by_hand = GapCalculator(tmp_path / POTENTIAL_FILE, data_set.elements)
    backend = tmp_path / "backend"
    backend.mkdir()
    fit_gap(backend, data_set, PAIRS, settings, seed=0, limits=FitLimits())
    for theirs in (by_hand, GapCalculator(backend / POTENTIAL_FILE, data_set.elements)):
        folder = backend if theirs is not by_hand else tmp_path
        points = sparse_points_of(read_gap_xml(folder / POTENTIAL_FILE))
        fit = run_fit(FitInputs(data_set, settings, seed=1, sparse_points=points), FitResources())
        ours = NativeGapCalculator(fit.model)
        for item in data_set.fitted_configurations:
            energies = [one.get_property("energy", item.atoms) for one in (theirs, ours)]
            assert energies[0] == pytest.approx(energies[1], abs=SAME_POINTS_TOLERANCE_eV)
            forces = [one.get_property("forces", item.atoms) for one in (theirs, ours)]
            np.testing.assert_allclose(*forces, atol=SAME_POINTS_TOLERANCE_eV_per_A)
    assert fit.rows_computed == sum(1 + 3 * one.n_atoms + 6 for one in data_set.fitted_configurations) * points.n_points


@pytest.fixture(scope="module")
def everything(lithium_sulfide: DataSet) -> DataSet:
    """Five frames of which one has a mask, one an energy alone, and isolated atoms that are labels."""
    first, second, *rest = lithium_sulfide.configurations
    mask = np.array(MASK) == "T"
    # What is not fitted need not be a number.
    forces = np.where(mask[:, None], np.nan, first.forces)
    configurations = (
        replace(first, forces=forces, weights=LabelWeights(unfitted_forces=mask)),
        replace(second, forces=None, stress=None),
        *rest,
    )
    labels = tuple(isolated_atom(*energy) for energy in lithium_sulfide.isolated_atom_energies.items())
    return DataSet(configurations, isolated_atoms=labels)


def test_errors_are_those_of_what_is_fitted(everything: DataSet, small_settings: GapSettings) -> None:
    fit = fit_native(everything, small_settings, seed=3)
    masked, alone, *rest = fit.training_errors.configurations
    assert [one.forces_eV_per_A.shape for one in (masked, alone, *rest)] == [(10, 3), (0, 3), *[(12, 3)] * 3]
    assert alone.virial_eV is None
    calculator = NativeGapCalculator(fit.model)
    first = everything.configurations[0]
    predicted = calculator.get_property("forces", first.atoms)
    np.testing.assert_allclose(masked.forces_eV_per_A, (predicted - first.forces)[first.fitted_forces], atol=1e-9)
    assert fit.training_errors.summary().force_eV_per_A < 1.0
    for index in (0, 1):
        kept = tuple(one for number, one in enumerate(everything) if number != index)
        points = fit.sparse_points
        without = run_fit(
            FitInputs(replace(everything, configurations=kept), small_settings, 3, sparse_points=points), FitResources()
        )
        left_out = everything.configurations[index]
        energy = NativeGapCalculator(without.model).get_property("energy", left_out.atoms) - left_out.energy
        assert fit.leave_out_errors is not None
        found = fit.leave_out_errors.configurations[index].energy_eV
        assert found == pytest.approx(energy, abs=LEAVE_OUT_TOLERANCE_eV)


def test_energies_alone_make_a_potential(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    energies = tuple(replace(one, forces=None, stress=None) for one in lithium_sulfide)
    fit = fit_native(replace(lithium_sulfide, configurations=energies), small_settings, seed=0)
    summary = fit.training_errors.summary()
    assert (summary.force_eV_per_A, summary.virial_eV_per_atom, summary.force_by_element_eV_per_A) == (None, None, {})
    assert summary.energy_eV_per_atom < small_settings.regularisation.energy_eV_per_atom


@pytest.mark.parametrize("kind", ["gap", "es-gap"])
@pytest.mark.parametrize("backend", ["native", "gap_fit"])
def test_isolated_atoms_get_their_energies_back(
    everything: DataSet,
    small_settings: GapSettings,
    baseline: BaselineSettings,
    tmp_path: Path,
    kind: str,
    backend: str,
) -> None:
    fit_model(kind, everything, small_settings, baseline, tmp_path / "model", backend=backend)
    calculator = load_model(tmp_path / "model")
    for symbol, energy in everything.isolated_atom_energies.items():
        atoms = Atoms(symbol, positions=[[10.0] * 3], cell=[20.0] * 3)
        assert calculator.get_property("energy", atoms) == pytest.approx(energy, abs=ISOLATED_ATOM_TOLERANCE_eV)


def test_isolated_atoms_that_only_stand_in_are_not_fitted(
    everything: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    stand_ins = DataSet(everything.configurations, everything.isolated_atom_energies)
    manifest = fit_model("gap", stand_ins, small_settings, None, tmp_path / "model")
    assert manifest.target_energies == len(everything)
    # One of an element that the data do not hold would have no term to be fitted with.
    foreign = replace(everything, isolated_atoms=(*everything.isolated_atoms, isolated_atom("Cu", -3.0)))
    assert [str(one.atoms.symbols) for one in foreign.fitted_isolated_atoms] == ["Li", "S"]


@pytest.mark.parametrize("method", ["cur_points", "farthest_points", "random"])
def test_an_isolated_atom_is_a_sparse_point_once_whatever_the_method_and_the_earlier_model(
    everything: DataSet, small_settings: GapSettings, method: str
) -> None:
    soap = small_settings.soap.model_copy(update={"sparse_method": method, "sparse_points": 4})
    settings = small_settings.model_copy(update={"soap": soap})
    without = fit_native(DataSet(everything.configurations, everything.isolated_atom_energies), settings, seed=0)
    first = fit_native(everything, settings, seed=0)
    for key in ((3,), (16,)):
        assert len(first.sparse_points.of(key)) == 4
    for earlier in (without.sparse_points, first.sparse_points):
        grown = run_fit(FitInputs(everything, settings, 0, earlier=earlier), FitResources())
        calculator = NativeGapCalculator(grown.model)
        for one in everything.isolated_atoms:
            energy = calculator.get_property("energy", one.atoms)
            assert energy == pytest.approx(one.energy, abs=FEW_POINTS_TOLERANCE_eV)
        points = grown.sparse_points.of((3,))
        assert min(np.abs(a - b).max() for i, a in enumerate(points) for b in points[:i]) > 1e-6


def test_charges_are_fitted_to_the_errors_of_the_same_rows(
    everything: DataSet, small_settings: GapSettings, baseline: BaselineSettings
) -> None:
    """The leave-out errors that the tensors give for some charges are those of ES-GAP with them."""
    task = FitInputs(everything, small_settings, 0)
    problem = ChargeProblem(("Li", "S"), {"Li": 2, "S": 1}, "Li")
    (tensors,) = leave_out_tensors(task, problem, [baseline.exponents], FitResources())
    targets = subtract_baseline(everything, baseline_calculator(baseline))
    expected = fit_native(targets, small_settings, seed=0).leave_out_errors
    assert expected is not None
    found, wanted = tensors.summary(baseline.charges), expected.summary()
    assert found.force_rmse_eV_per_A == pytest.approx(wanted.force_rmse_eV_per_A, rel=1e-6)
    assert found.energy_eV_per_atom == pytest.approx(wanted.energy_eV_per_atom, rel=1e-5)


def test_isolated_atoms_cost_next_to_nothing(
    lithium_sulfide: DataSet, everything: DataSet, small_settings: GapSettings
) -> None:
    """Ten rows each beside 43 of every cell, and as many sparse points as without them."""
    cells = []
    for number in range(60):
        one = lithium_sulfide.configurations[number % len(lithium_sulfide)]
        cells.append(replace(one, identifier=f"cell-{number}"))
        cells[-1].atoms.positions[0] += 1e-3 * number
    with_labels = DataSet(tuple(cells), isolated_atoms=everything.isolated_atoms)
    stand_ins = DataSet(tuple(cells), everything.isolated_atom_energies)
    fits = [fit_native(one, small_settings, seed=0) for one in (stand_ins, with_labels)]
    assert fits[0].sparse_points.n_points == fits[1].sparse_points.n_points
    assert fits[1].rows_computed - fits[0].rows_computed == 2 * 10 * fits[0].sparse_points.n_points
    assert fits[1].rows_computed < 1.01 * fits[0].rows_computed
