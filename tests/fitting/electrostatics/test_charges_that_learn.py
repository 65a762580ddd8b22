"""Charges that depend on the environment: derivatives, columns of their fit, evaluation, folders and refusals."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.analysis.electric_field import (
    FieldCalculator,
    born_charges,
    dipole_difference_eA,
    mean_born_charges,
)
from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.backends import FitTimeError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.electrostatics.charges_file import CHARGES_FILE, ChargesFile, FitComparison, SpeciesCharges
from ionloop.fitting.electrostatics.contract import CHARGES_E, EXPONENTS_PER_A, BaselineContract
from ionloop.fitting.electrostatics.coulomb.clouds import cloud_table
from ionloop.fitting.electrostatics.equilibrated.kind import EquilibratedSettings
from ionloop.fitting.electrostatics.fitted_kind import FittedKind, FittedSettings
from ionloop.fitting.electrostatics.joint.charge_columns import ChargeColumns, Parameters
from ionloop.fitting.electrostatics.joint.charge_models import ChargeModel
from ionloop.fitting.electrostatics.joint.charged_calculator import ChargedGapCalculator
from ionloop.fitting.electrostatics.joint.charged_fit import run_charged_fit
from ionloop.fitting.electrostatics.local import LOCAL, LocalSettings
from ionloop.fitting.electrostatics.pair import PairSettings
from ionloop.fitting.electrostatics.registry import kind_of_baseline
from ionloop.fitting.models import fit_model, load_baseline, load_model, read_manifest
from ionloop.fitting.native.calculator import Evaluator, NativeGapCalculator, SecondSums
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.sparse_fit.design import Descriptors, PairedAtoms, RowBuilder, soap_descriptors
from ionloop.fitting.native.sparse_fit.fit_errors import ErrorSummary
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitProgress, FitResources
from ionloop.fitting.native.sparse_fit.row_store import RowStore
from ionloop.fitting.native.sparse_fit.sparse_points import single_layer
from ionloop.fitting.settings import GapSettings, Regularisation, SoapSettings, TwoBodySettings
from ionloop.workflows.analyses.fitted_charges import species_table
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.report.methods import methods_paragraph

SETTINGS = GapSettings(
    two_body=TwoBodySettings(cutoff_A=4.0, sparse_points=6),
    soap=SoapSettings(cutoff_A=4.0, n_max=3, l_max=2, sparse_points=8),
    regularisation=Regularisation(energy_eV_per_atom=0.001, force_eV_per_A=0.02, virial_eV_per_atom=0.01),
)
LOCAL_CHARGES = LocalSettings(charges=CHARGES_E, exponents=EXPONENTS_PER_A, short_range_control=False)
PAIR_CHARGES = PairSettings(
    charges=CHARGES_E,
    exponents=EXPONENTS_PER_A,
    bond_cutoff_A=4.0,
    bond_transition_A=2.5,
    spread_e=3.0,
    short_range_control=False,
)
EQUILIBRATED_CHARGES = EquilibratedSettings(
    charges=CHARGES_E,
    exponents=EXPONENTS_PER_A,
    hardness_eV={"Li": 4.0, "S": 6.0},
    bond_hardness_eV=8.0,
    bond_cutoff_A=4.0,
    bond_transition_A=2.5,
    short_range_control=False,
)
FREE_CHARGES = EQUILIBRATED_CHARGES.model_copy(update={"bond_hardness_eV": None})
ALL = (LOCAL_CHARGES, PAIR_CHARGES, EQUILIBRATED_CHARGES, FREE_CHARGES)
NAMES = ["local", "pair", "equilibrated", "free"]
CONTRACT = BaselineContract()
NO_FORCE_EV_PER_A, NO_CHARGE_E = 1e-10, 1e-12
ERRORS = ErrorSummary(0.0, 0.0, 0.0, {})
NOTHING = FitComparison(training_errors=ERRORS, leave_out_errors=ERRORS, objective=0.0)


def model_of(settings: FittedSettings) -> ChargeModel:
    """What turns u into charges, for lithium and sulphur."""
    kind = kind_of_baseline(settings)
    assert isinstance(kind, FittedKind)
    return kind.charge_model(settings, ["Li", "S"])


def builder_of(structures: list[Atoms]) -> RowBuilder:
    """Rows on some environments of structures of Li and S."""
    descriptors = Descriptors.of(["Li", "S"], SETTINGS)
    points = {(3, 16): np.array([[2.0], [2.6], [3.3]])}
    for number in descriptors.species:
        spectra = [soap_descriptors(PairedAtoms.of(one, descriptors), descriptors, number) for one in structures]
        points[(number,)] = np.concatenate(spectra)[:6]
    return RowBuilder(descriptors, single_layer(points))


def charges_file(builder: RowBuilder, coefficients: np.ndarray | float) -> ChargesFile:
    """Charges with random coefficients of some size, or with those given for lithium, then sulphur."""
    if isinstance(coefficients, float):
        coefficients = coefficients * np.random.default_rng(2).normal(size=12)
    species = {}
    for symbol, number, start in (("Li", 3, 0), ("S", 16, 6)):
        count = len(builder.sparse_points.of((number,)))
        species[symbol] = SpeciesCharges(
            constant=CHARGES_E[symbol],
            coefficients=tuple(coefficients[start : start + count].tolist()),
            mean_e=CHARGES_E[symbol],
            std_e=0.05,
            least_e=-1.0,
            most_e=1.0,
            uncertainty_e=0.01,
        )
    told = {"fitted": NOTHING, "without_charges": NOTHING}
    return ChargesFile(kind="local", species=species, steps=1, has_converged=True, **told)


def charged_calculator(
    coefficients: float, alphas: float = 0.0, threads: int = 1, settings: FittedSettings = LOCAL_CHARGES
) -> ChargedGapCalculator:
    builder = builder_of([CONTRACT.crystal(), CONTRACT.molecule()])
    weights = alphas * np.random.default_rng(5).normal(size=builder.n_columns)
    gap = builder.model(weights, {"Li": -1.0 * bool(alphas), "S": -2.0 * bool(alphas)})
    clouds = cloud_table(["Li", "S"], EXPONENTS_PER_A)
    file = charges_file(builder, coefficients)
    why = kind_of_baseline(settings).why_no_field(settings)
    return ChargedGapCalculator(gap, file, model_of(settings), clouds, 1e-7, why, threads=threads)


class TestLocal(BaselineContract):
    """Electrostatics alone: the GAP's weights are zero."""

    kind = "local"

    def settings(self) -> LocalSettings:
        return LOCAL_CHARGES

    def calculator(self) -> Calculator:
        return charged_calculator(0.3)


class TestPair(BaselineContract):
    """Electrostatics alone, of charges that pass over bonds."""

    kind = "pair"

    def settings(self) -> PairSettings:
        return PAIR_CHARGES

    def calculator(self) -> Calculator:
        return charged_calculator(3.0, settings=PAIR_CHARGES)


class TestEquilibrated(BaselineContract):
    """Electrostatics alone, of charges at rest that passed over bonds."""

    kind = "equilibrated"

    def settings(self) -> EquilibratedSettings:
        return EQUILIBRATED_CHARGES

    def calculator(self) -> Calculator:
        return charged_calculator(1.0, settings=EQUILIBRATED_CHARGES)


def test_fragments_stay_neutral_where_charges_pass_over_bonds_only():
    """Two molecules farther apart than a bond: neither takes charge from the other, local charges do."""
    near = CONTRACT.molecule()
    other = CONTRACT.molecule()
    other.rattle(0.3, seed=3)
    other.positions += [30.0, 0, 0]
    found = {}
    for settings, size in ((PAIR_CHARGES, 3.0), (LOCAL_CHARGES, 0.3)):
        charges = charged_calculator(size, settings=settings).get_property("charges", near + other)
        found[settings.kind_name] = abs(charges[:6].sum())
    assert found["pair"] < 1e-12
    assert found["local"] > 1e-3


@pytest.mark.parametrize("settings", ALL, ids=NAMES)
@pytest.mark.parametrize("place", ["triclinic", "slab", "molecule"])
def test_nothing_pushes_itself_and_nothing_is_charged(place, settings):
    atoms, calculator = getattr(CONTRACT, place)(), charged_calculator(0.3, alphas=0.1, settings=settings)
    assert np.abs(calculator.get_property("forces", atoms).sum(axis=0)).max() < NO_FORCE_EV_PER_A
    assert abs(calculator.get_property("charges", atoms).sum()) < NO_CHARGE_E


def test_without_coefficients_they_are_the_charges_of_the_species():
    atoms = CONTRACT.crystal()
    found, fixed = charged_calculator(0.0), SlaterEwald(CHARGES_E, EXPONENTS_PER_A, 1e-7)
    for name in ("forces", "stress", "charges"):
        np.testing.assert_allclose(found.get_property(name, atoms), fixed.get_property(name, atoms), atol=3e-7)
    moved = CONTRACT.crystal()
    moved.rattle(0.05, seed=1)
    # The clouds' interaction with themselves is the same in both.
    change = found.get_property("energy", moved) - found.get_property("energy", atoms)
    expected = fixed.get_property("energy", moved) - fixed.get_property("energy", atoms)
    assert change == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("settings", [PAIR_CHARGES, EQUILIBRATED_CHARGES], ids=["pair", "equilibrated"])
def test_an_ion_that_goes_round_the_cell_has_carried_its_charge(settings):
    """And nothing else: what bonds have passed is a property of the structure, wherever its atoms are wrapped to."""
    parent, field = CONTRACT.crystal(), CONTRACT.field_V_per_A
    calculator = FieldCalculator(charged_calculator(1.0, settings=settings), None, field, parent)
    atoms = parent.copy()
    atoms.rattle(0.1, seed=4)
    energy, forces, dipole = (calculator.get_property(name, atoms) for name in ("energy", "forces", "dipole"))
    vector = atoms.cell.array[1] - atoms.cell.array[2]
    atoms.positions[4] += vector
    assert calculator.get_property("energy", atoms) - energy == pytest.approx(
        -CHARGES_E["S"] * field @ vector, abs=1e-7
    )
    np.testing.assert_allclose(calculator.get_property("forces", atoms), forces, atol=1e-7)
    moved = calculator.get_property("dipole", atoms) - dipole
    np.testing.assert_allclose(moved, CHARGES_E["S"] * vector, atol=1e-7)


def test_charges_of_which_nothing_passes_are_fixed_ones_in_a_field():
    parent, atoms, field = CONTRACT.crystal(), CONTRACT.crystal(), CONTRACT.field_V_per_A
    atoms.rattle(0.1, seed=4)
    same = charged_calculator(0.0, settings=PAIR_CHARGES)
    fixed = FieldCalculator(SlaterEwald(CHARGES_E, EXPONENTS_PER_A, 1e-7), CHARGES_E, field, parent)
    found = FieldCalculator(same, None, field, parent)
    for name in ("forces", "dipole"):
        np.testing.assert_allclose(found.get_property(name, atoms), fixed.get_property(name, atoms), atol=3e-7)
    changes = [one.get_property("energy", atoms) - one.get_property("energy", parent) for one in (found, fixed)]
    assert changes[0] == pytest.approx(changes[1], abs=1e-6)
    expected = born_charges(same, atoms, CHARGES_E)
    np.testing.assert_allclose(same.get_property("born_effective_charges", atoms), expected, atol=1e-9)
    np.testing.assert_allclose(
        dipole_difference_eA(atoms, parent, same), dipole_difference_eA(atoms, parent, CHARGES_E)
    )


def test_born_charges_are_those_of_the_whole_model_and_refused_with_the_reason():
    atoms = CONTRACT.crystal()
    alone, whole = (charged_calculator(3.0, alphas, settings=PAIR_CHARGES) for alphas in (0.0, 0.2))
    born = born_charges(whole, atoms)
    np.testing.assert_allclose(born, alone.get_property("born_effective_charges", atoms), atol=1e-8)
    # Far from the charges themselves, of which each is a number.
    raw = whole.get_property("charges", atoms)
    assert np.abs(born - raw[:, None, None] * np.eye(3)).max() > 0.05
    means = mean_born_charges(whole, atoms)
    assert means["Li"] * 4 + means["S"] * 2 == pytest.approx(0.0, abs=1e-8)
    with pytest.raises(InputError, match="mean of all atoms"):
        charged_calculator(0.3).get_property("born_effective_charges", atoms)
    with pytest.raises(InputError, match="pass freely"):
        born_charges(charged_calculator(1.0, settings=FREE_CHARGES), atoms)
    with pytest.raises(InputError, match="SlaterEwald does not say what a field does"):
        FieldCalculator(SlaterEwald(CHARGES_E), None, CONTRACT.field_V_per_A, atoms)


def test_charges_far_from_the_training_data_are_told_once_for_each_species(caplog):
    """The file says 0.05 e of spread about the charges of the species."""
    atoms = CONTRACT.crystal()
    charged_calculator(0.02).get_property("energy", atoms)
    assert caplog.messages == []
    calculator = charged_calculator(3.0)
    charges = calculator.get_property("charges", atoms)
    assert np.abs(charges - [CHARGES_E[symbol] for symbol in atoms.symbols]).max() > 0.25
    told = list(caplog.messages)
    assert told
    assert len(told) <= 2
    assert "5 spreads from the mean" in told[0]
    atoms.positions[0] += 0.01
    calculator.get_property("energy", atoms)
    assert caplog.messages == told


def test_dipoles_of_molecules_are_those_of_the_charges():
    atoms, calculator = CONTRACT.molecule(), charged_calculator(0.3)
    dipole = calculator.get_property("dipole", atoms)
    np.testing.assert_allclose(dipole, calculator.get_property("charges", atoms) @ atoms.positions)
    atoms.positions += [3.0, -1.0, 2.0]
    np.testing.assert_allclose(calculator.get_property("dipole", atoms), dipole, atol=1e-10)
    with pytest.raises(Exception, match="dipole"):
        calculator.get_property("dipole", CONTRACT.crystal())


def test_copies_and_threads_give_the_same():
    atoms, calculator = CONTRACT.crystal(2), charged_calculator(0.3, alphas=0.2)
    expected = calculator.get_property("forces", atoms)
    copy = pickle.loads(pickle.dumps(calculator))
    np.testing.assert_array_equal(copy.get_property("forces", atoms), expected)
    several = charged_calculator(0.3, alphas=0.2, threads=2)
    np.testing.assert_allclose(several.get_property("forces", atoms), expected, atol=1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_two_passes_over_the_covariances_are_one_where_nothing_else_is_asked(precision):
    """A second quantity without weight leaves energies, forces and variances as they are."""
    atoms = CONTRACT.crystal(2)
    builder = builder_of([CONTRACT.crystal()])
    model = builder.model(0.1 * np.random.default_rng(1).normal(size=builder.n_columns), {"Li": 0.0, "S": 0.0})
    evaluator = Evaluator(model, precision=precision)
    arguments = (atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    plain = evaluator.evaluate(*arguments, variance=True)
    counts = [len(builder.sparse_points.of((number,))) for number in (3, 16)]
    second = SecondSums([np.ones(count) for count in counts], lambda sums: np.zeros(len(sums)))
    both = evaluator.evaluate(*arguments, variance=True, second=second)
    tolerance = 1e-11 if precision == "float64" else 1e-4
    for name in ("energies", "forces", "virial", "variances"):
        np.testing.assert_allclose(getattr(both, name), getattr(plain, name), atol=tolerance)


def labelled(atoms: Atoms, calculator: Calculator, name: str) -> LabelledConfiguration:
    bare = atoms.copy()
    energy, forces = (calculator.get_property(one, bare) for one in ("energy", "forces"))
    stress = calculator.get_property("stress", bare) if atoms.pbc.all() else None
    return LabelledConfiguration(bare, energy, forces, stress, name)


@pytest.mark.parametrize("settings", ALL, ids=NAMES)
@pytest.mark.parametrize(
    ("place", "screening_A"), [("triclinic", None), ("crystal", 2.0), ("slab", None), ("slab", 2.0), ("molecule", None)]
)
def test_columns_are_derivatives_by_the_parameters(place, screening_A, settings):
    atoms = getattr(CONTRACT, place)()
    builder = builder_of([CONTRACT.crystal(), CONTRACT.molecule()])
    configuration = LabelledConfiguration(atoms, 0.0, np.zeros((6, 3)), None, "one")
    clouds = cloud_table(["Li", "S"], EXPONENTS_PER_A)
    with RowStore(1e8) as store:
        columns = ChargeColumns(builder, [configuration], model_of(settings), clouds, 1e-8, screening_A, store)
        columns.keep(0, columns.precompute(0))
        size = 2.0 if settings is PAIR_CHARGES else 0.2
        random = np.random.default_rng(7)
        start = np.concatenate([size * random.normal(size=columns.n_coefficients), [0.4, -0.8]])
        direction = random.normal(size=len(start))

        def at(theta: np.ndarray) -> Parameters:
            return Parameters(theta[-2:], theta[:-2])

        found = columns.linearise(0, at(start), with_columns=True)
        step = 1e-5
        values = [columns.linearise(0, at(start + s * direction), with_columns=False).values for s in (step, -step)]
        difference = (values[0] - values[1]) / (2 * step)
        rows = slice(0, 19) if place == "molecule" else slice(None)
        np.testing.assert_allclose((found.columns @ direction)[rows], difference[rows], atol=1e-7)
        if screening_A is None:
            calculator = charged_calculator(0.0)
            file = charges_file(builder, start[:-2])
            calculator = ChargedGapCalculator(calculator._arguments[0], file, model_of(settings), clouds, 1e-8)
            assert calculator.get_property("energy", atoms) == pytest.approx(found.values[0], abs=1e-7)
            forces = calculator.get_property("forces", atoms).ravel()
            np.testing.assert_allclose(found.values[1:19], -forces, atol=1e-6)


def labels_of(calculator: Calculator) -> DataSet:
    """Labels of a model: what the fit must find again."""
    structures = []
    for seed in range(8):
        atoms = CONTRACT.crystal()
        atoms.rattle(0.15, seed=seed)
        structures.append(labelled(atoms, calculator, f"cell-{seed}"))
    return DataSet(tuple(structures), isolated_atoms=(isolated_atom("Li", -1.0), isolated_atom("S", -2.0)))


@pytest.fixture(scope="module")
def own_data() -> DataSet:
    return labels_of(charged_calculator(0.3, alphas=0.05))


@pytest.fixture(scope="module")
def model(own_data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = LOCAL_CHARGES.model_copy(update={"spread_e": 0.3, "constant_std_e": 0.2, "short_range_control": True})
    folder = tmp_path_factory.mktemp("local") / "model"
    fit_model("es-gap", own_data, SETTINGS, settings, folder, seed=1)
    return folder


def test_labels_of_a_local_model_are_fitted_to_their_errors(own_data, model):
    file = ChargesFile.model_validate_json((model / CHARGES_FILE).read_text())
    sigma = SETTINGS.regularisation
    assert file.fitted.training_errors.force_eV_per_A < 1.5 * sigma.force_eV_per_A
    assert file.fitted.training_errors.energy_eV_per_atom < 2 * sigma.energy_eV_per_atom
    assert file.fitted.objective < file.without_charges.objective
    assert file.short_range_control is not None
    assert read_manifest(model).training_errors == file.fitted.training_errors
    assert abs(4 * file.species["Li"].mean_e + 2 * file.species["S"].mean_e) < 1e-10
    assert all(0 < one.uncertainty_e < 1 for one in file.species.values())
    calculator = load_model(model)
    errors = [calculator.get_property("forces", one.atoms) - one.forces for one in own_data]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(file.fitted.training_errors.force_eV_per_A, rel=1e-3)


def test_the_charges_of_a_model_alone_are_what_it_has_beside_its_gap(model):
    atoms, whole, alone = CONTRACT.crystal(), load_model(model), load_baseline(model)
    gap = NativeGapCalculator(read_gap_xml(model / "gap.xml", beside_charges=True))
    for name, size in (("energy", 0.1), ("forces", 0.01), ("stress", 1e-4)):
        of_charges = whole.get_property(name, atoms) - gap.get_property(name, atoms)
        assert np.abs(of_charges).max() > size
        np.testing.assert_allclose(alone.get_property(name, atoms), of_charges, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(alone.get_property("charges", atoms), whole.get_property("charges", atoms))


def test_a_fit_of_charges_ends_where_its_time_does(own_data):
    """Who is told of progress may stop it, at every step and not only while rows are computed."""
    told: list[str] = []

    def stop_at(moment: int) -> None:
        def progress(one: FitProgress) -> None:
            told.append(one.stage)
            if told.count("charges") == moment:
                raise FitTimeError("the fit was stopped")

        told.clear()
        kind = kind_of_baseline(LOCAL_CHARGES)
        assert isinstance(kind, FittedKind)
        task = FitInputs(own_data, SETTINGS, 1)
        run_charged_fit(task, kind.fit_settings(LOCAL_CHARGES), FitResources(), progress=progress)

    n_configurations = len(own_data.fitted_configurations)
    # Rows of atoms, matrices, a point, a system, the next point.
    for passes in range(1, 6):
        with pytest.raises(FitTimeError):
            stop_at(passes * n_configurations - 1)
        assert told.count("charges") == passes * n_configurations - 1


@pytest.mark.parametrize(("settings", "size"), [(PAIR_CHARGES, 1.0), (EQUILIBRATED_CHARGES, 0.5)], ids=NAMES[1:3])
def test_labels_of_other_kinds_are_fitted_to_their_errors(tmp_path, settings, size):
    data = labels_of(charged_calculator(size, alphas=0.05, settings=settings))
    fit_model("es-gap", data, SETTINGS, settings, tmp_path / "model", seed=1)
    file = ChargesFile.model_validate_json((tmp_path / "model" / CHARGES_FILE).read_text())
    assert file.kind == settings.kind_name
    assert file.fitted.training_errors.force_eV_per_A < 1.5 * SETTINGS.regularisation.force_eV_per_A
    assert file.fitted.training_errors.force_eV_per_A < file.without_charges.training_errors.force_eV_per_A
    calculator = load_model(tmp_path / "model")
    errors = [calculator.get_property("forces", one.atoms) - one.forces for one in data]
    expected = file.fitted.training_errors.force_eV_per_A
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "size"), [(LOCAL_CHARGES, 0.3), (EQUILIBRATED_CHARGES, 0.5)], ids=["local", "equilibrated"]
)
def test_charges_and_dipoles_that_are_labels_are_fitted_too(own_data, tmp_path, settings, size):
    """Energies and forces of few cells leave charges open; labels settle them."""
    calculator = charged_calculator(size, alphas=0.05, settings=settings)
    data = labels_of(calculator)
    molecule = CONTRACT.molecule()
    own = replace(labelled(molecule, calculator, "molecule"), dipole=calculator.get_property("dipole", molecule))
    told = [replace(one, charges=calculator.get_property("charges", one.atoms)) for one in data]
    data = DataSet((*told, own), isolated_atoms=data.isolated_atoms)
    errors = {}
    for name, sigmas in (("without", {}), ("with", {"charge_sigma_e": 0.01, "dipole_sigma_eA": 0.01})):
        chosen = settings.model_copy(update={"most_steps": 6, **sigmas})
        fit_model("es-gap", data, SETTINGS, chosen, tmp_path / name, seed=1)
        model = load_model(tmp_path / name)
        file = ChargesFile.model_validate_json((tmp_path / name / CHARGES_FILE).read_text())
        assert file.has_labels == bool(sigmas)
        assert ("latent" in species_table(name, file).caption) == (not sigmas)
        found = np.concatenate([model.get_property("charges", one.atoms) - one.charges for one in told])
        away = model.get_property("dipole", molecule) - own.dipole
        errors[name] = np.sqrt(np.mean(found**2)), np.linalg.norm(away)
    assert errors["with"][0] < 0.03
    assert errors["with"][0] < errors["without"][0]
    assert errors["with"][1] < 0.1
    bare = DataSet(tuple(own_data), isolated_atoms=own_data.isolated_atoms)
    chosen = settings.model_copy(update={"charge_sigma_e": 0.01})
    with pytest.raises(InputError, match="no configuration of the data has them as labels"):
        fit_model("es-gap", bare, SETTINGS, chosen, tmp_path / "bare")


@pytest.mark.parametrize("settings", [PAIR_CHARGES, EQUILIBRATED_CHARGES], ids=["pair", "equilibrated"])
def test_mean_charges_are_held_where_that_is_believed(own_data, tmp_path, settings):
    """What environments add has a mean too, which energies of few cells shift and hardly know."""
    away = {}
    for name, deviation in (("free", None), ("held", 0.001)):
        chosen = settings.model_copy(update={"most_steps": 6, "mean_std_e": deviation})
        fit_model("es-gap", own_data, SETTINGS, chosen, tmp_path / name, seed=1)
        found = ChargesFile.model_validate_json((tmp_path / name / CHARGES_FILE).read_text()).species
        away[name] = max(abs(one.mean_e - CHARGES_E[symbol]) for symbol, one in found.items())
        assert all(one.std_e > 1e-3 for one in found.values())
    assert away["held"] < 0.01 < away["free"]


def test_what_came_later_does_not_rename_models_of_before():
    assert "charge_sigma_e" not in LOCAL_CHARGES.model_dump(mode="json")
    chosen = LOCAL_CHARGES.model_copy(update={"charge_sigma_e": 0.05})
    assert LocalSettings.model_validate(chosen.model_dump(mode="json")) == chosen


def test_charges_written_by_earlier_releases_are_read():
    file = charges_file(builder_of([CONTRACT.crystal()]), 0.1)
    text = file.model_dump_json().replace('"constant"', '"constant_e"').replace('"coefficients"', '"coefficients_e"')
    assert ChargesFile.model_validate_json(text) == file


def test_the_potential_alone_is_refused_by_us_and_by_quip(model, tmp_path):
    with pytest.raises(InputError, match="fitted together with charges"):
        load_model(model / "gap.xml")
    assert "CHARGED_GAP" in (model / "gap.xml").read_text()
    with pytest.raises(InputError, match="quippy does not evaluate es-gap with local charges"):
        load_model(model, backend="quippy")
    with pytest.raises(InputError, match="gap_fit cannot fit local charges"):
        fit_model("es-gap", DataSet(()), SETTINGS, LOCAL_CHARGES, tmp_path / "m", backend="gap_fit")
    with pytest.raises(InputError, match="fitted together with a model"):
        LOCAL.calculator(LOCAL_CHARGES)


def test_point_charges_are_refused_before_anything_is_computed(own_data, tmp_path):
    points = LocalSettings(charges=CHARGES_E, exponents={"Li": 0.79})
    with pytest.raises(InputError, match="none for S"):
        fit_model("es-gap", own_data, SETTINGS, points, tmp_path / "model")


@pytest.mark.parametrize("without", ["stress", "forces"])
def test_labels_may_lack_forces_or_stresses(own_data, tmp_path, without):
    """And charges may start from several places, where they are free."""
    bare = [replace(one, stress=None, **({} if without == "stress" else {"forces": None})) for one in own_data]
    settings = LOCAL_CHARGES.model_copy(
        update={"constant_std_e": 0.2, "most_steps": 4, "widths_A": {"Li": 0.7, "S": 0.9}}
    )
    data = DataSet(tuple(bare), isolated_atoms=own_data.isolated_atoms)
    fit_model("es-gap", data, SETTINGS, settings, tmp_path / "model")
    forces = load_model(tmp_path / "model").get_property("forces", CONTRACT.crystal())
    assert np.isfinite(forces).all()


def test_charges_of_another_potential_are_refused():
    gap = charged_calculator(0.1)._arguments[0]
    builder = builder_of([CONTRACT.crystal()])
    file = charges_file(builder, 0.1)
    short = file.species["S"].model_copy(update={"coefficients": (0.1,)})
    wrong = file.model_copy(update={"species": {**file.species, "S": short}})
    with pytest.raises(IonloopError, match="do not belong together"):
        ChargedGapCalculator(gap, wrong, model_of(LOCAL_CHARGES), cloud_table(["Li", "S"], EXPONENTS_PER_A), 1e-6)


def test_a_campaign_says_local_and_gets_it():
    campaign = Campaign.model_validate({"name": "lps", "structure": "li7p3s11", "baseline": {"kind": "local"}})
    section = campaign.baseline
    assert campaign.charge_criterion is None
    document = campaign.model_dump(mode="json")
    assert document["baseline"]["kind"] == "local"
    assert Campaign.model_validate(document) == campaign
    settings = LOCAL.settings(section, CHARGES_E, EXPONENTS_PER_A)
    assert isinstance(settings, LocalSettings)
    assert (settings.spread_e, settings.kind_name) == (0.05, "local")
    text = methods_paragraph(campaign, "Li7P3S11", {})
    assert "fitted together with the GAP to energies, forces and virials, with 0.35 of the formal charges" in text


def test_threads_do_not_change_what_a_structure_gives():
    builder = builder_of([CONTRACT.crystal()])
    configuration = LabelledConfiguration(CONTRACT.crystal(), 0.0, np.zeros((6, 3)), None, "one")
    with RowStore(1e8) as store, ThreadPoolExecutor(2) as pool:
        clouds = cloud_table(["Li", "S"], EXPONENTS_PER_A)
        columns = ChargeColumns(builder, [configuration] * 2, model_of(LOCAL_CHARGES), clouds, 1e-6, None, store)
        for index in range(2):
            columns.keep(index, columns.precompute(index))
        parameters = Parameters(np.array([0.4, -0.8]), np.full(columns.n_coefficients, 0.1))
        one, other = pool.map(lambda index: columns.linearise(index, parameters, with_columns=True).columns, range(2))
        np.testing.assert_array_equal(one, other)
