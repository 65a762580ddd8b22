"""GPAW, CP2K and Quantum ESPRESSO without running them: k-points, inputs, and outputs that were stored."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.units import Bohr, Debye, GPa, Hartree, Rydberg
from pydantic import TypeAdapter, ValidationError

from ionloop.core.states import State
from ionloop.labelling import EngineSettings, label, settings_hash
from ionloop.labelling.engine import EngineFailure, NotConverged
from ionloop.labelling.engines import cp2k as cp2k_module
from ionloop.labelling.engines import espresso as espresso_module
from ionloop.labelling.engines.cp2k import Cp2kEngine
from ionloop.labelling.engines.cp2k_settings import Cp2kSettings
from ionloop.labelling.engines.dft_settings import KGrid, k_grid_shape
from ionloop.labelling.engines.espresso import EspressoEngine, EspressoSettings
from ionloop.labelling.engines.gpaw_engine import GpawEngine, GpawSettings, calculator_parameters
from ionloop.labelling.outcome import Evaluation
from ionloop.sampling.structures.crystals import build_crystal

HASH_OF_GPAW_DEFAULTS = "7ee3e79baeec0c27"
OUTPUTS = Path(__file__).parent / "outputs"
ADAPTER = TypeAdapter(EngineSettings)
SILICON = EspressoSettings(pseudopotentials={"Si": "Si.pbe-rrkj.UPF"})
ALL_SETTINGS = [GpawSettings(), Cp2kSettings(), SILICON]


@pytest.fixture
def displaced_silicon() -> Atoms:
    """The structure of the stored outputs of pw.x."""
    atoms = bulk("Si", "diamond", a=5.47)
    atoms.positions[0] += [0.05, 0.02, 0.0]
    return atoms


# k-points


def test_spacing_gives_the_crystals_of_the_package_their_grids():
    shapes = {
        name: k_grid_shape(build_crystal(name), KGrid(spacing_per_A=0.5)) for name in ("li7p3s11", "gamma-li3ps4")
    }
    assert shapes == {"li7p3s11": (3, 2, 2), "gamma-li3ps4": (2, 2, 3)}


@pytest.mark.parametrize("spacing_per_A", [0.2, 0.35, 0.5, 0.9])
def test_supercells_sample_the_same_points_where_they_can_and_finer_elsewhere(spacing_per_A):
    cell = build_crystal("gamma-li3ps4")
    k_grid = KGrid(spacing_per_A=spacing_per_A)
    shape = np.array(k_grid_shape(cell, k_grid))
    for multiples in ([2, 1, 1], [2, 2, 2], [3, 1, 2]):
        folded = np.array(k_grid_shape(cell.repeat(multiples), k_grid)) * multiples
        assert (folded >= shape).all()
        divides = shape % multiples == 0
        np.testing.assert_array_equal(folded[divides], shape[divides])


def test_a_sheared_description_of_the_same_lattice_is_sampled_at_least_as_finely():
    cell = build_crystal("gamma-li3ps4")
    sheared = make_supercell(cell, [[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    k_grid = KGrid(spacing_per_A=0.5)
    assert np.prod(k_grid_shape(sheared, k_grid)) >= np.prod(k_grid_shape(cell, k_grid))


def test_an_edge_that_divides_exactly_gets_no_point_more_for_round_off():
    cube = Atoms("Li", cell=[2 * np.pi] * 3, pbc=True)
    assert k_grid_shape(cube, KGrid(spacing_per_A=1.0 / 3.0)) == (3, 3, 3)


def test_directions_that_are_not_periodic_get_one_point():
    slab = Atoms("Li", cell=[3, 3, 20], pbc=[True, True, False])
    assert k_grid_shape(slab, KGrid(spacing_per_A=1.0)) == (3, 3, 1)
    assert k_grid_shape(slab, KGrid(grid=(4, 4, 4))) == (4, 4, 1)
    assert k_grid_shape(slab, KGrid(gamma=True)) == (1, 1, 1)


def test_a_free_atom_in_its_box_needs_gamma_alone():
    atom = Cp2kEngine().isolated_atom("S", Cp2kSettings())
    assert k_grid_shape(atom, KGrid(grid=(2, 2, 2))) == k_grid_shape(atom, KGrid(spacing_per_A=0.2)) == (1, 1, 1)
    assert k_grid_shape(bulk("Li", a=3.5), KGrid(grid=(2, 2, 2))) == (2, 2, 2)


@pytest.mark.parametrize(
    ("repeats", "shape"),
    [
        ((1, 1, 1), (2, 2, 2)),
        ((2, 1, 1), (1, 2, 2)),
        ((1, 2, 1), (2, 1, 2)),
        ((1, 1, 2), (2, 2, 1)),
        ((2, 2, 2), (1, 1, 1)),
    ],
)
def test_three_spacings_give_the_grid_of_the_es_gap_paper_and_its_supercells_share_it(repeats, shape):
    k_grid = KGrid(spacing_per_A=(0.55, 0.28, 0.28))
    assert k_grid_shape(build_crystal("li7p3s11").repeat(repeats), k_grid) == shape


@pytest.mark.parametrize("values", [{}, {"gamma": True, "grid": (1, 1, 1)}, {"spacing_per_A": 0.3, "gamma": True}])
def test_one_way_to_say_the_k_points(values):
    with pytest.raises(ValidationError, match="exactly one"):
        KGrid(**values)


# settings


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=lambda s: s.engine)
def test_settings_come_back_from_their_document(settings):
    assert ADAPTER.validate_python(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize("settings_type", [GpawSettings, Cp2kSettings, EspressoSettings, KGrid])
def test_every_field_has_a_description_that_ends_with_its_unit(settings_type):
    for name, field in settings_type.model_fields.items():
        assert field.description is not None, name
        assert field.description.endswith(")"), name


def test_hashes_of_earlier_labels_hold():
    # Labels in stores carry these: another hash would compute all of them again.
    assert settings_hash(GpawSettings()).startswith(HASH_OF_GPAW_DEFAULTS)
    assert KGrid(spacing_per_A=1).model_dump(mode="json")["spacing_per_A"] == 1.0


@pytest.mark.parametrize(
    "change",
    [{"k_grid": {"gamma": True}}, {"smearing_eV": 0.1}, {"cutoff_Ry": 300.0}, {"basis_set": "TZVP-MOLOPT-GTH"}],
)
def test_physics_changes_the_hash(change):
    assert settings_hash(ADAPTER.validate_python({"engine": "cp2k", **change})) != settings_hash(Cp2kSettings())


@pytest.mark.parametrize(
    "change",
    [
        {"command": "mpiexec -n 4 cp2k.psmp"},
        {"environment": {"A": "1"}},
        {"max_iterations": 7},
        {"mixing_fraction": 0.3},
    ],
)
def test_the_way_to_the_answer_leaves_the_hash_alone(change):
    assert settings_hash(ADAPTER.validate_python({"engine": "cp2k", **change})) == settings_hash(Cp2kSettings())


def test_a_density_cutoff_that_is_too_small_is_refused():
    with pytest.raises(ValidationError, match="4 times"):
        EspressoSettings(pseudopotentials={"Si": "x.UPF"}, cutoff_Ry=50, density_cutoff_Ry=100)


@pytest.mark.parametrize(
    ("engine", "settings"),
    [(GpawEngine(), GpawSettings()), (Cp2kEngine(), Cp2kSettings()), (EspressoEngine(), SILICON)],
    ids=["gpaw", "cp2k", "espresso"],
)
def test_the_ladder_changes_the_way_and_never_the_answer(engine, settings):
    rungs = engine.recovery_ladder(settings)
    assert len(rungs) == 2
    assert {settings_hash(rung) for rung in rungs} == {settings_hash(settings)}
    assert settings.max_iterations < rungs[0].max_iterations < rungs[1].max_iterations
    for rung in rungs:
        type(settings).model_validate(rung.model_dump())


# inputs


def test_input_of_cp2k_says_what_the_settings_say(lithium_thiophosphate):
    text = cp2k_module.input_text(
        lithium_thiophosphate, Cp2kSettings(k_grid=KGrid(grid=(2, 3, 1)), data_folder="/data/")
    )
    for line in (
        "BASIS_SET_FILE_NAME /data/BASIS_MOLOPT",
        # Half a step along the even direction, so that Γ is among the points.
        "SCHEME MACDONALD 2 3 1 0.25 0 0",
        "ELECTRONIC_TEMPERATURE [K] 580.22",
        "ALPHA 0.1",
        "Li 0.05000000000000 -0.02000000000000 0.01000000000000",
    ):
        assert line in text
    assert "UKS" not in text
    opened = [line.split()[0][1:] for line in text.splitlines() if line.strip().startswith("&") and "&END" not in line]
    closed = [line.split()[1] for line in text.splitlines() if "&END" in line]
    assert sorted(line.split("&")[-1] for line in opened) == sorted(closed)


def test_only_gamma_leaves_the_k_points_of_cp2k_out(lithium_thiophosphate):
    assert "KPOINTS" not in cp2k_module.input_text(lithium_thiophosphate, Cp2kSettings(k_grid=KGrid(gamma=True)))


def test_a_free_atom_gets_its_unpaired_electrons():
    phosphorus = Cp2kEngine().isolated_atom("P", Cp2kSettings())
    text = cp2k_module.input_text(phosphorus, Cp2kSettings())
    assert "MULTIPLICITY 4" in text
    assert "FIXED_MAGNETIC_MOMENT 3" in text
    silicon = EspressoEngine().isolated_atom("Si", SILICON)
    assert espresso_module.input_data(silicon, SILICON)["system"]["tot_magnetization"] == 2
    assert calculator_parameters(phosphorus, GpawSettings())["spinpol"] is True


def test_input_of_espresso_is_centred_on_gamma(displaced_silicon):
    text = espresso_module.input_text(displaced_silicon, SILICON.model_copy(update={"k_grid": KGrid(grid=(2, 2, 1))}))
    assert "2 2 1  0 0 0" in text
    assert "K_POINTS gamma" in espresso_module.input_text(
        displaced_silicon, SILICON.model_copy(update={"k_grid": KGrid(gamma=True)})
    )


def test_parameters_of_gpaw(lithium_thiophosphate):
    parameters = calculator_parameters(lithium_thiophosphate, GpawSettings(k_grid=KGrid(grid=(2, 2, 1))))
    assert parameters["kpts"] == {"size": (2, 2, 1), "gamma": True}
    assert parameters["mode"] == {"name": "pw", "ecut": 400.0}
    assert parameters["spinpol"] is False


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=lambda s: s.engine)
def test_slabs_and_molecules_are_refused(settings, tmp_path):
    outcome = label(Atoms("Si", cell=[9, 9, 9], pbc=[True, True, False]), settings, tmp_path)
    assert outcome.state is State.REJECTED
    assert "periodic" in outcome.reason


def test_an_element_without_pseudopotential_is_refused(lithium_thiophosphate, tmp_path):
    outcome = label(lithium_thiophosphate, SILICON, tmp_path)
    assert outcome.state is State.REJECTED
    assert "Li, P, S" in outcome.reason


# outputs


def _stored(name: str) -> str:
    return (OUTPUTS / name).read_text(encoding="utf-8")


def test_output_of_cp2k_in_our_units_and_signs():
    evaluation = cp2k_module.read_output(_stored("cp2k/converged.out"), 4, Cp2kSettings())
    assert evaluation.energy == pytest.approx(-34.430942918636710 * Hartree, abs=1e-9)
    assert evaluation.forces[2, 0] == pytest.approx(-0.099629329660 * Hartree / Bohr, abs=1e-9)
    # Compressed cells push outwards: positive pressure, negative stress.
    np.testing.assert_allclose(
        evaluation.stress,
        -np.array([5.87288059861, 6.24984740619, 1.92058856830, 0.158410609973, 1.03873312035, 0.553664870530]) * GPa,
    )
    np.testing.assert_allclose(evaluation.charges, [0.193, -0.086, 0.011, -0.119])


def test_the_dipole_of_cp2k_is_asked_for_and_read_where_it_can_be_had(lithium_thiophosphate):
    at_gamma = Cp2kSettings(k_grid=KGrid(gamma=True), smearing_eV=0.0)
    assert "&MOMENTS ON" in cp2k_module.input_text(lithium_thiophosphate, at_gamma)
    for change in ({"smearing_eV": 0.05}, {"k_grid": KGrid(grid=(1, 1, 2))}):
        assert "MOMENTS" not in cp2k_module.input_text(lithium_thiophosphate, at_gamma.model_copy(update=change))
    text = _stored("cp2k/converged.out")
    assert cp2k_module.read_output(text, 4, Cp2kSettings()).dipole is None
    printed = (
        "  Dipole moment [Debye]\n"
        "    X=  0.11260305E+02 Y=  0.42677688E+01 Z= -0.43554982E+01   Total=    12.80541638\n"
    )
    dipole = cp2k_module.read_output(printed + text, 4, Cp2kSettings()).dipole
    np.testing.assert_allclose(dipole, np.array([11.260305, 4.2677688, -4.3554982]) * Debye)


def test_output_of_cp2k_that_did_not_converge_is_never_counted():
    # It has an energy and forces, and ends as if all were well.
    text = _stored("cp2k/unconverged.out")
    assert "ENERGY| Total" in text
    assert "PROGRAM ENDED AT" in text
    with pytest.raises(NotConverged):
        cp2k_module.read_output(text, 4, Cp2kSettings())


def test_output_of_cp2k_that_ends_early():
    with pytest.raises(EngineFailure, match="ends early"):
        cp2k_module.read_output(_stored("cp2k/killed.out"), 4, Cp2kSettings())


def test_a_fatal_message_of_cp2k_reaches_the_reason():
    with pytest.raises(
        EngineFailure, match=r"ended with exit status 1.*basis set <DZVP-MOLOPT-SR-GTH> for element <BK>"
    ):
        cp2k_module.read_output(
            _stored("cp2k/aborted.out"), 2, Cp2kSettings(), EngineFailure("'cp2k' ended with exit status 1")
        )


def test_a_number_that_fortran_could_not_print_is_not_taken_for_another():
    text = _stored("cp2k/converged.out").replace("-0.099629329660", "***************")
    assert np.isnan(cp2k_module.read_output(text, 4, Cp2kSettings()).forces[2, 0])


def test_output_of_cp2k_about_other_atoms():
    with pytest.raises(EngineFailure, match="no forces on 5 atoms"):
        cp2k_module.read_output(_stored("cp2k/converged.out"), 5, Cp2kSettings())


def test_output_of_espresso(displaced_silicon):
    text = _stored("espresso/converged.out")
    evaluation = espresso_module.read_output(text, displaced_silicon, SILICON)
    printed_Ry = next(line for line in text.splitlines() if line.startswith("!")).split()[-2]
    assert evaluation.energy == pytest.approx(float(printed_Ry) * Rydberg, abs=1e-3)
    np.testing.assert_allclose(evaluation.forces.sum(axis=0), 0.0, atol=1e-5)
    assert evaluation.stress is not None


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unconverged", NotConverged, "NOT achieved"),
        ("killed", EngineFailure, "ends early"),
        ("aborted", EngineFailure, "readpp.*not found"),
    ],
)
def test_output_of_espresso_without_a_result(name, error, message, displaced_silicon):
    failure = EngineFailure("'pw.x' ended with exit status 1") if name == "aborted" else None
    with pytest.raises(error, match=message):
        espresso_module.read_output(_stored(f"espresso/{name}.out"), displaced_silicon, SILICON, failure)


def test_output_of_espresso_about_other_atoms(displaced_silicon):
    other = Atoms("SiGe", positions=displaced_silicon.positions, cell=displaced_silicon.cell, pbc=True)
    with pytest.raises(EngineFailure, match="not "):
        espresso_module.read_output(_stored("espresso/converged.out"), other, SILICON)


# runs, with stand-ins for the programs


@pytest.fixture
def stand_in(tmp_path):
    """Return a function that makes a command replay a stored output and end with a status."""

    def make(output: Path, status: int = 0) -> str:
        script = tmp_path / "stand_in.py"
        script.write_text(
            "import sys\n"
            f"text = open({str(output)!r}, encoding='utf-8').read()\n"
            "print('CP2K version 2023.1') if '--version' in sys.argv else print(text)\n"
            f"sys.exit({status})\n"
        )
        return f"{sys.executable} {script}"

    return make


def test_a_label_of_a_stand_in_is_finished_and_found_again(stand_in, lithium_thiophosphate, tmp_path):
    # The stored output is of a coarse grid, whose forces do not add up well.
    settings = Cp2kSettings(command=stand_in(OUTPUTS / "cp2k/converged.out"), maximum_mean_force_eV_per_A=0.1)
    outcome = label(lithium_thiophosphate, settings, tmp_path / "label", keep_scratch=True)
    assert outcome.state is State.FINISHED, outcome.reason
    assert outcome.engine_version == "CP2K 2023.1"
    (tmp_path / "label" / "result.json").unlink()
    # A program that would fail now: what it left is read and it is not asked again.
    (tmp_path / "stand_in.py").write_text("raise SystemExit(1)")
    again = label(lithium_thiophosphate, settings, tmp_path / "label")
    assert again.state is State.FINISHED, again.reason
    assert again.energy == outcome.energy


def test_every_unconverged_attempt_is_recorded(stand_in, lithium_thiophosphate, tmp_path):
    settings = Cp2kSettings(command=stand_in(OUTPUTS / "cp2k/unconverged.out"))
    outcome = label(lithium_thiophosphate, settings, tmp_path / "label")
    assert outcome.state is State.UNCONVERGED
    assert [attempt.settings["mixing_fraction"] for attempt in outcome.attempts] == [0.1, 0.05, 0.025]


def test_a_program_killed_from_outside_is_no_crash(stand_in, lithium_thiophosphate, tmp_path):
    settings = Cp2kSettings(command=stand_in(OUTPUTS / "cp2k/killed.out", status=137))
    outcome = label(lithium_thiophosphate, settings, tmp_path / "label")
    assert outcome.state is State.KILLED
    assert "SIGKILL" in outcome.reason


def test_a_missing_program_says_what_to_do(lithium_thiophosphate, tmp_path):
    outcome = label(lithium_thiophosphate, Cp2kSettings(command="no-such-cp2k"), tmp_path)
    assert outcome.state is State.FAILED
    assert "IONLOOP_CP2K_COMMAND" in outcome.reason


def test_the_variable_of_the_cluster_profile_names_the_command(monkeypatch):
    monkeypatch.setenv("IONLOOP_CP2K_COMMAND", "no-such-launcher cp2k")
    probe = Cp2kEngine().probe()
    assert not probe.found
    assert "no-such-launcher cp2k" in probe.remedy


def test_missing_data_files_are_told(stand_in, tmp_path):
    settings = Cp2kSettings(command=stand_in(OUTPUTS / "cp2k/converged.out"), data_folder=str(tmp_path))
    probe = Cp2kEngine().probe(settings)
    assert not probe.found
    assert "BASIS_MOLOPT" in probe.remedy


def test_result_of_an_interrupted_gpaw_run_is_read(lithium_thiophosphate, tmp_path):
    engine = GpawEngine()
    assert engine.parse_finished(lithium_thiophosphate, GpawSettings(), tmp_path) is None
    (tmp_path / "evaluation.json").write_text('{"energy": 1.0, "for')
    assert engine.parse_finished(lithium_thiophosphate, GpawSettings(), tmp_path) is None
    left = Evaluation(-1.5, np.ones((4, 3)), np.arange(6.0))
    (tmp_path / "evaluation.json").write_text(json.dumps(left.to_document()))
    found = engine.parse_finished(lithium_thiophosphate, GpawSettings(), tmp_path)
    assert found is not None
    assert found.to_document() == left.to_document()


def test_gpaw_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    probe = GpawEngine().probe()
    assert not probe.found
    assert "pip install gpaw" in probe.remedy
