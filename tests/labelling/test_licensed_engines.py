"""FHI-aims and VASP by their real file formats: inputs, outputs of every kind, and runs of a stand-in program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.units import GPa

from ionloop.core.states import State
from ionloop.labelling import AimsSettings, VaspSettings, isolated_atom_energy, label, settings_hash
from ionloop.labelling.engine import EngineFailure, NotConverged
from ionloop.labelling.engines import aims as aims_code
from ionloop.labelling.engines import vasp as vasp_code
from ionloop.labelling.registry import engine_of
from ionloop.sampling.structures.crystals import build_crystal

OUTPUTS = Path(__file__).parent / "outputs"
REPLAY = Path(__file__).parent / "engines_for_tests" / "replay.py"
# Numbers of the stored outputs.
AIMS_ENERGY_EV = -31172.481563020
AIMS_STRESS_XZ = 0.00021001
VASP_FREE_ENERGY_EV = -14.32817645
FORCE_ON_PHOSPHORUS = (-1.20457712, 0.88123006, -0.15004418)
STRESS_XX = -0.00812345
DIGITS = 1e-7

SPECIES_FILE = """\
  species        {symbol}
    nucleus             {number}
    cut_pot             3.5  1.5  1.0
    valence      2  s   1.
#  "First tier" - improvements of an invented element
#     hydro 2 p 1.6
#     hydro 2 s 2
#  "Second tier" - more of them
#     hydro 3 p 6.2
"""


def interleaved() -> Atoms:
    """Return the structure of VASP's stored output: VASP groups its sulphur atoms, we do not."""
    positions = [[0.23, 2.31, 0.42], [0.05, 0.02, 0.01], [2.41, 0.03, 0.3], [3.48, 1.62, 0.17]]
    return Atoms("SLiPS", positions=positions, cell=[5.0, 5.2, 5.6], pbc=True)


@pytest.fixture
def species(tmp_path: Path) -> Path:
    folder = tmp_path / "species" / "light"
    folder.mkdir(parents=True)
    for number, symbol in ((3, "Li"), (15, "P"), (16, "S")):
        (folder / f"{number:02}_{symbol}_default").write_text(SPECIES_FILE.format(symbol=symbol, number=number))
    return folder.parent


@pytest.fixture
def potentials(tmp_path: Path) -> Path:
    for name in ("Li_sv", "P", "S"):
        folder = tmp_path / "potentials" / "potpaw_PBE" / name
        folder.mkdir(parents=True)
        (folder / "POTCAR").write_text(f"  PAW_PBE {name} 01Jan2000\n")
    return tmp_path / "potentials"


@pytest.fixture
def aims(species):
    def settings(stored: str = "converged.out", end: str = "exit 0", **changes) -> AimsSettings:
        command = f"{sys.executable} {REPLAY} {OUTPUTS / 'aims' / stored} {end}"
        return AimsSettings(command=command, species_folder=str(species), **changes)

    return settings


@pytest.fixture
def vasp(potentials):
    def settings(stored: str = "converged", end: str = "exit 0", **changes) -> VaspSettings:
        command = f"{sys.executable} {REPLAY} {OUTPUTS / 'vasp' / stored} {end}"
        return VaspSettings(command=command, potential_folder=str(potentials), **changes)

    return settings


class TestDefaults:
    def test_aims_is_the_reference_of_the_es_gap_paper(self):
        settings = AimsSettings()
        assert (settings.functional, settings.basis, settings.tier) == ("pbe", "light", 1)

    def test_k_points_of_the_42_atom_cell_are_at_least_2x2x2_and_gamma_can_be_asked_for(self):
        cell = build_crystal("li7p3s11")
        assert np.all(np.array(aims_code.control_parameters(cell, AimsSettings())["k_grid"]) >= 2)
        by_grid = AimsSettings(k_grid={"grid": (2, 2, 2)})
        assert aims_code.control_parameters(cell, by_grid)["k_grid"] == (2, 2, 2)
        gamma = AimsSettings(k_grid={"gamma": True})
        assert aims_code.control_parameters(cell, gamma)["k_grid"] == (1, 1, 1)

    @pytest.mark.parametrize("kind", [AimsSettings, VaspSettings])
    def test_layout_mixing_and_paths_are_no_physics_but_basis_and_k_points_are(self, kind):
        plain = settings_hash(kind())
        assert settings_hash(kind(command="srun code", mixing_fraction=0.01, max_iterations=7)) == plain
        assert settings_hash(kind(k_grid={"gamma": True})) != plain
        assert settings_hash(kind(smearing_eV=0.1)) != plain


class TestInputs:
    CONTROL = """\
xc pbe
relativistic atomic_zora scalar
spin none
charge 0
occupation_type fermi 0.05
sc_accuracy_rho 1e-05
sc_accuracy_forces 0.0001
sc_iter_limit 80
mixer pulay
n_max_pulay 8
charge_mix_param 0.2
compute_forces .true.
output hirshfeld
k_grid 3 3 3
compute_analytical_stress .true."""

    GEOMETRY = """\
lattice_vector 5.0000000000000000 0.0000000000000000 0.0000000000000000
lattice_vector 0.0000000000000000 5.2000000000000002 0.0000000000000000
lattice_vector 0.0000000000000000 0.0000000000000000 5.5999999999999996
atom 0.0500000000000000 -0.0200000000000000 0.0100000000000000 Li
atom 2.4100000000000001 0.0300000000000000 0.2999999999999999 P
atom 3.4800000000000000 1.6200000000000001 0.1700000000000000 S
atom 0.2300000000000000 2.3100000000000001 0.4200000000000000 S"""

    INCAR: ClassVar = {
        "ALGO": "Normal",
        "AMIX": "0.4",
        "EDIFF": "1.00e-06",
        "ENCUT": "520",
        "GGA": "PE",
        "IBRION": "-1",
        "ISIF": "2",
        "ISMEAR": "-1",
        "ISPIN": "1",
        "ISYM": "0",
        "LASPH": ".TRUE.",
        "LCHARG": ".FALSE.",
        "LREAL": ".FALSE.",
        "LWAVE": ".FALSE.",
        "NELM": "80",
        "NSW": "0",
        "PREC": "Accurate",
        "SIGMA": "0.05",
    }

    def test_aims_reads_what_a_reference_input_says(self, lithium_thiophosphate, aims):
        files = aims_code.input_files(lithium_thiophosphate, aims())
        control = [" ".join(line.split()) for line in aims_code._without_comments(files["control.in"])]
        keywords = self.CONTROL.splitlines()
        assert control[: len(keywords)] == keywords
        geometry = [line.split() for line in aims_code._without_comments(files["geometry.in"])]
        wanted = [line.split() for line in self.GEOMETRY.splitlines()]
        assert [(row[0], row[-1] if row[0] == "atom" else "") for row in geometry] == [
            (row[0], row[-1] if row[0] == "atom" else "") for row in wanted
        ]
        numbers = [[float(word) for word in row[1:4]] for row in geometry]
        np.testing.assert_allclose(numbers, [[float(word) for word in row[1:4]] for row in wanted], atol=1e-12)

    def test_the_first_tier_is_switched_on_and_the_second_is_not(self, lithium_thiophosphate, aims):
        control = aims_code.input_files(lithium_thiophosphate, aims())["control.in"]
        assert control.count("\n     hydro 2 p 1.6") == 3
        assert "\n     hydro 3 p 6.2" not in control
        untouched = aims_code.input_files(lithium_thiophosphate, aims(tier=None))["control.in"]
        assert "\n     hydro 2 p 1.6" not in untouched

    def test_a_free_atom_is_spin_polarised_in_open_space(self, aims):
        settings = aims()
        atom = engine_of(settings).isolated_atom("P", settings)
        parameters = aims_code.control_parameters(atom, settings)
        assert parameters["spin"] == "collinear"
        assert "k_grid" not in parameters
        assert parameters["output"] == ["hirshfeld", "dipole"]
        assert "initial_moment" in aims_code.input_files(atom, settings)["geometry.in"]

    def test_vasp_reads_what_a_reference_input_says(self, vasp, tmp_path):
        vasp_code.write_inputs(interleaved(), vasp(), tmp_path)
        lines = [line.split("=") for line in (tmp_path / "INCAR").read_text().splitlines() if "=" in line]
        incar = {name.strip(): value.strip() for name, value in lines}
        assert {name: float(incar[name]) for name in ("ENCUT", "SIGMA", "EDIFF")} == {
            "ENCUT": 520.0,
            "SIGMA": 0.05,
            "EDIFF": 1e-6,
        }
        words = {name: value for name, value in self.INCAR.items() if name not in {"ENCUT", "SIGMA", "EDIFF", "AMIX"}}
        assert {name: incar.get(name) for name in words} == words
        assert (tmp_path / "KPOINTS").read_text().split()[-6:-3] == ["3", "3", "3"]
        assert "Gamma" in (tmp_path / "KPOINTS").read_text()
        assert [line.split()[1] for line in (tmp_path / "POTCAR").read_text().splitlines()] == ["S", "Li_sv", "P"]
        structure = [line.split() for line in (tmp_path / "POSCAR").read_text().splitlines()]
        assert ["S", "Li", "P"] in structure
        assert ["2", "1", "1"] in structure

    def test_a_missing_species_file_or_potential_is_named(self, lithium_thiophosphate, aims, vasp, species, potentials):
        (species / "light" / "15_P_default").unlink()
        with pytest.raises(EngineFailure, match="has no 15_P_default"):
            aims_code.input_files(lithium_thiophosphate, aims())
        (potentials / "potpaw_PBE" / "P" / "POTCAR").unlink()
        with pytest.raises(EngineFailure, match="cannot be written"):
            vasp_code.write_inputs(interleaved(), vasp(), potentials)

    def test_without_species_files_or_potentials_it_says_what_to_set(self, monkeypatch):
        monkeypatch.delenv("AIMS_SPECIES_DIR", raising=False)
        monkeypatch.delenv("VASP_PP_PATH", raising=False)
        with pytest.raises(EngineFailure, match="set AIMS_SPECIES_DIR"):
            aims_code.species_folder(AimsSettings())
        with pytest.raises(EngineFailure, match="set VASP_PP_PATH"):
            vasp_code.potential_folder(VaspSettings())


class TestOutputsOfAims:
    def read(self, name: str, atoms: Atoms):
        return aims_code.read_output((OUTPUTS / "aims" / name).read_text(), atoms, AimsSettings())

    def test_converged(self, lithium_thiophosphate):
        found = self.read("converged.out", lithium_thiophosphate)
        assert found.energy == pytest.approx(AIMS_ENERGY_EV, abs=DIGITS)
        np.testing.assert_allclose(found.forces[1], FORCE_ON_PHOSPHORUS, atol=DIGITS)
        assert found.stress[0] == pytest.approx(STRESS_XX)
        assert found.stress[4] == pytest.approx(AIMS_STRESS_XZ)
        np.testing.assert_allclose(found.charges, [0.21034512, 0.18234411, -0.19011702, -0.20257221])

    def test_the_dipole_of_a_molecule(self, lithium_thiophosphate):
        text = (OUTPUTS / "aims" / "converged.out").read_text()
        line = "  | Total dipole moment [eAng]          :          0.125000        -0.250000         0.375000\n"
        farewell = text.rindex("Have a nice day.")
        start = text.rindex("\n", 0, farewell) + 1
        # Where the cell is cut changes the dipole of a crystal: no label has it.
        with_dipole = text[:start] + line + text[start:]
        assert aims_code.read_output(with_dipole, lithium_thiophosphate, AimsSettings()).dipole is None
        lithium_thiophosphate.pbc = False
        np.testing.assert_allclose(
            aims_code.read_output(with_dipole, lithium_thiophosphate, AimsSettings()).dipole, [0.125, -0.25, 0.375]
        )
        assert aims_code.read_output(text, lithium_thiophosphate, AimsSettings()).dipole is None

    def test_unconverged_though_an_energy_is_printed(self, lithium_thiophosphate):
        with pytest.raises(NotConverged, match="DID NOT CONVERGE"):
            self.read("unconverged.out", lithium_thiophosphate)

    def test_killed_in_the_middle(self, lithium_thiophosphate):
        with pytest.raises(EngineFailure, match="ends early") as raised:
            self.read("killed.out", lithium_thiophosphate)
        assert raised.value.state is State.FAILED

    def test_out_of_memory(self, lithium_thiophosphate):
        with pytest.raises(EngineFailure, match=r"memory ran out.*insufficient virtual memory") as raised:
            self.read("out_of_memory.out", lithium_thiophosphate)
        assert raised.value.state is State.KILLED

    def test_about_other_atoms(self, lithium_thiophosphate):
        moved = lithium_thiophosphate.copy()
        moved.positions[2, 0] += 0.01
        with pytest.raises(EngineFailure, match=r"other positions: they differ by 0\.01"):
            self.read("converged.out", moved)
        with pytest.raises(EngineFailure, match="expected LiPS"):
            self.read("converged.out", lithium_thiophosphate[:3])

    def test_a_whole_lattice_vector_is_no_difference(self, lithium_thiophosphate):
        moved = lithium_thiophosphate.copy()
        moved.positions[2] += moved.cell[1]
        assert self.read("converged.out", moved).energy == pytest.approx(AIMS_ENERGY_EV)


class TestLabels:
    """Whole labels in the labelling process, the stand-in in place of the code."""

    def test_aims_converged(self, lithium_thiophosphate, aims, tmp_path):
        outcome = label(lithium_thiophosphate, aims(), tmp_path / "label")
        assert outcome.state is State.FINISHED, outcome.reason
        assert outcome.energy == pytest.approx(AIMS_ENERGY_EV)

    def test_vasp_converged_with_forces_in_our_order(self, vasp, tmp_path):
        outcome = label(interleaved(), vasp(), tmp_path / "label")
        assert outcome.state is State.FINISHED, outcome.reason
        assert outcome.energy == pytest.approx(VASP_FREE_ENERGY_EV)
        np.testing.assert_allclose(outcome.forces[2], FORCE_ON_PHOSPHORUS, atol=DIGITS)
        # VASP prints kilobars with the pressure's sign.
        assert outcome.stress[0] == pytest.approx(STRESS_XX, abs=DIGITS * GPa)

    @pytest.mark.parametrize("code", ["aims", "vasp"])
    def test_unconverged_climbs_the_ladder_and_never_counts(self, code, request, tmp_path, lithium_thiophosphate):
        stored = "unconverged.out" if code == "aims" else "unconverged"
        settings = request.getfixturevalue(code)(stored)
        atoms = lithium_thiophosphate if code == "aims" else interleaved()
        outcome = label(atoms, settings, tmp_path / "label")
        assert outcome.state is State.UNCONVERGED
        assert outcome.energy is None
        assert [attempt.state for attempt in outcome.attempts] == [State.UNCONVERGED] * 3
        cycles = [attempt.settings["max_iterations"] for attempt in outcome.attempts]
        assert cycles == sorted(set(cycles))
        assert len({settings_hash(type(settings)(**attempt.settings)) for attempt in outcome.attempts}) == 1

    @pytest.mark.parametrize(
        ("code", "stored", "end", "reason"),
        [
            ("aims", "killed.out", "signal 9", "killed from outside by SIGKILL"),
            ("aims", "killed.out", "exit 1", "ended with exit status 1"),
            ("aims", "out_of_memory.out", "exit 41", "memory ran out"),
            ("aims", "converged.out", "exit 3", "ended with exit status 3"),
            ("vasp", "killed", "signal 15", "killed from outside by SIGTERM"),
            ("vasp", "killed", "exit 0", "OUTCAR ends early"),
            ("vasp", "out_of_memory", "exit 1", "memory ran out"),
        ],
    )
    def test_ends_of_other_kinds_are_told_apart(
        self, code, stored, end, reason, request, tmp_path, lithium_thiophosphate
    ):
        atoms = lithium_thiophosphate if code == "aims" else interleaved()
        outcome = label(atoms, request.getfixturevalue(code)(stored, end), tmp_path / "label")
        killed = "signal" in end or "memory" in reason
        assert outcome.state is (State.KILLED if killed else State.FAILED)
        assert reason in outcome.reason
        assert outcome.energy is None
        assert len(outcome.attempts) == 1

    def test_vasp_output_of_another_structure_is_no_label(self, vasp, tmp_path):
        moved = interleaved()
        moved.positions[0, 1] += 0.02
        outcome = label(moved, vasp(), tmp_path / "label")
        assert outcome.state is State.FAILED
        assert "other atoms or positions" in outcome.reason

    def test_a_slab_is_rejected_before_anything_runs(self, aims, vasp, tmp_path):
        slab = interleaved()
        slab.pbc = (True, True, False)
        for name, settings in (("a", aims()), ("v", vasp())):
            assert label(slab, settings, tmp_path / name).state is State.REJECTED

    @pytest.mark.parametrize("code", ["aims", "vasp"])
    def test_a_finished_output_on_disk_is_parsed_and_not_computed_again(
        self, code, request, tmp_path, lithium_thiophosphate
    ):
        atoms = lithium_thiophosphate if code == "aims" else interleaved()
        started = tmp_path / "started"
        settings = request.getfixturevalue(code)(environment={"REPLAY_COUNT": str(started)})
        whole = label(atoms, settings, tmp_path / "label", keep_scratch=True)
        assert started.read_text().count("started") == 1
        # The worker died between the end of the code and the writing of the result.
        (tmp_path / "label" / "result.json").unlink()
        again = label(atoms, settings, tmp_path / "label")
        assert again.state is State.FINISHED
        assert again.energy == whole.energy
        assert started.read_text().count("started") == 1

    def test_half_an_output_on_disk_is_computed_again(self, aims, tmp_path, lithium_thiophosphate):
        settings = aims()
        label(lithium_thiophosphate, settings, tmp_path / "label", keep_scratch=True)
        (tmp_path / "label" / "result.json").unlink()
        output = tmp_path / "label" / "attempt-1" / "aims.out"
        output.write_text(output.read_text()[:3000])
        assert label(lithium_thiophosphate, settings, tmp_path / "label").state is State.FINISHED

    def test_a_missing_program_says_what_to_set(self, aims, lithium_thiophosphate, tmp_path):
        settings = aims().model_copy(update={"command": "no-such-aims.x"})
        outcome = label(lithium_thiophosphate, settings, tmp_path / "label")
        assert outcome.state is State.FAILED
        assert "IONLOOP_AIMS_COMMAND" in outcome.reason


def test_probes_say_what_is_missing(monkeypatch, aims, vasp):
    monkeypatch.delenv("AIMS_SPECIES_DIR", raising=False)
    for settings in (aims(), vasp()):
        probe = engine_of(settings).probe(settings)
        assert probe.found
        assert str(settings.species_folder if settings.engine == "aims" else settings.potential_folder) in probe.version
    assert "AIMS_SPECIES_DIR" in engine_of(AimsSettings()).probe().remedy
    assert "VASP_PP_PATH" in engine_of(VaspSettings()).probe().remedy


def test_the_output_of_a_crystal_is_no_free_atom(aims, tmp_path):
    outcome = isolated_atom_energy("P", aims(), tmp_path / "label")
    assert outcome.state is State.FAILED
    assert "expected P" in outcome.reason
