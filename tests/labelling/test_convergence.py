"""A self-consistency is judged by its numbers: what codes say at their last allowed iteration is not believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, SCFError

from ionloop.labelling import AimsSettings, Cp2kSettings, EspressoSettings, Gfn1XtbSettings, VaspSettings
from ionloop.labelling.ase_evaluation import evaluate_with_calculator, failure_of
from ionloop.labelling.engine import NotConverged
from ionloop.labelling.engines import aims as aims_code
from ionloop.labelling.engines import cp2k as cp2k_code
from ionloop.labelling.engines import espresso as espresso_code
from ionloop.labelling.engines import vasp as vasp_code
from ionloop.labelling.engines.command import CommandEngine, CommandSettings
from ionloop.labelling.engines.gfn1_xtb import Gfn1XtbEngine

OUTPUTS = Path(__file__).parent / "outputs"
REACHED = "aborting loop because EDIFF is reached"
NOT_REACHED = "aborting loop EDIFF was not reached (unconverged)"
CONVERGED_ENERGY_TOLERANCE_EV = 1e-4


def outcar(*loops: tuple[int, int, float, str], limit: int = 80, by_energies: bool = False) -> str:
    """Return OUTCAR of loops: ionic step, iterations, change of energy in the last one (eV), the line at its end."""
    text = f" EDIFF  = 0.1E-05   stopping-criterion for ELM\n   NELM   =     {limit};   NELMIN=  2; NELMDL= -5\n"
    for ionic_step, iterations, change_eV, end in loops:
        for iteration in range(1, iterations + 1):
            last = iteration == iterations
            step_eV = change_eV if last else 1.0
            text += f"---- Iteration {ionic_step:6d}({iteration:4d})  ----\n"
            if by_energies:
                text += f"  free energy    TOTEN  = {-10.0 + (change_eV if last else 0.0):20.8f} eV\n"
            else:
                text += f" total energy-change (2. order) :{step_eV:14.7E}  ({step_eV:14.7E})\n"
        text += f"---- {end} ----\n  free  energy   TOTEN  =       -99.00000000 eV\n"
    return text


def vasprun(*energies_eV: float) -> str:
    steps = "".join(
        f'<scstep><energy><i name="e_fr_energy"> {energy:.8f} </i></energy></scstep>' for energy in energies_eV
    )
    return f"<modeling><calculation>{steps}</calculation></modeling>"


class TestVasp:
    def test_all_iterations_used_and_the_energy_still_moving_is_not_converged(self):
        for by_energies in (False, True):
            text = outcar((1, 80, 0.7, REACHED), by_energies=by_energies)
            with pytest.raises(
                NotConverged, match=r"80 of 80 iterations.*changed the energy by 0\.7 eV, more than 1e-06"
            ):
                vasp_code.check_convergence(text, "", VaspSettings())

    def test_a_change_that_only_the_other_file_shows(self):
        bare = "\n".join(line for line in outcar((1, 80, 0.7, REACHED)).splitlines() if "energy-change" not in line)
        with pytest.raises(NotConverged, match=r"0\.7 eV"):
            vasp_code.check_convergence(bare, vasprun(-10.0, -10.7), VaspSettings())
        vasp_code.check_convergence(bare, vasprun(-10.7, -10.7), VaspSettings())
        with pytest.raises(NotConverged, match="does not show"):
            vasp_code.check_convergence(bare, "", VaspSettings())

    @pytest.mark.parametrize(
        "loops",
        [
            pytest.param([(1, 14, 3e-7, REACHED)], id="before-the-limit"),
            pytest.param([(1, 80, 3e-7, REACHED)], id="in-the-very-last-iteration"),
            pytest.param([(1, 80, -9.9e-7, REACHED)], id="falling"),
            pytest.param(
                [(1, 60, 1e-7, REACHED), (1, 45, 1e-7, REACHED)], id="two-loops-of-more-than-the-limit-together"
            ),
            pytest.param([(1, 80, 0.7, REACHED), (2, 12, 1e-7, REACHED)], id="an-earlier-ionic-step"),
            pytest.param([(1, 80, 0.7, NOT_REACHED), (2, 12, 1e-7, REACHED)], id="an-earlier-ionic-step-of-vasp-6"),
        ],
    )
    def test_no_false_alarm(self, loops):
        vasp_code.check_convergence(outcar(*loops), "", VaspSettings())

    @pytest.mark.parametrize(
        "loops",
        [
            pytest.param([(1, 80, 1e-7, NOT_REACHED)], id="vasp-6"),
            pytest.param([(1, 80, 0.7, REACHED), (1, 45, 1e-7, REACHED)], id="first-of-two-loops"),
            pytest.param([(1, 12, 1e-7, REACHED), (2, 80, 0.2, REACHED)], id="last-ionic-step"),
            pytest.param([(1, 12, 1e-7, "aborting loop because hard stop was set")], id="stopped-by-hand"),
            pytest.param([(1, 30, float("nan"), REACHED)], id="a-number-that-was-not-printed"),
        ],
    )
    def test_unconverged(self, loops):
        with pytest.raises(NotConverged):
            vasp_code.check_convergence(outcar(*loops), "", VaspSettings())

    def test_limit_and_criterion_are_those_of_the_run_and_else_of_the_settings(self):
        bare = "\n".join(outcar((1, 40, 1e-4, REACHED)).splitlines()[2:])
        vasp_code.check_convergence(bare, "", VaspSettings(energy_convergence_eV=1e-3))
        with pytest.raises(NotConverged, match="40 of 40"):
            vasp_code.check_convergence(bare, "", VaspSettings(max_iterations=40))


class TestEspresso:
    """With ``scf_must_converge = .false.`` pw.x says that it converged when its iterations are used up."""

    @pytest.fixture
    def silicon(self) -> Atoms:
        atoms = bulk("Si", "diamond", a=5.47)
        atoms.positions[0] += [0.05, 0.02, 0.0]
        return atoms

    def settings(self, **changes) -> EspressoSettings:
        return EspressoSettings(pseudopotentials={"Si": "Si.UPF"}, **changes)

    def test_the_estimated_accuracy_decides(self, silicon):
        text = (OUTPUTS / "espresso/converged.out").read_text()
        for limit in (9, 80):
            assert espresso_code.read_output(text, silicon, self.settings(max_iterations=limit)).energy < 0
        with pytest.raises(NotConverged, match=r"9 of 9 iterations.*energy by 0\.0036 Ry, more than 1e-08"):
            espresso_code.read_output(
                text.replace("9.1E-09 Ry", "0.00360000 Ry"), silicon, self.settings(max_iterations=9)
            )

    def test_silence_is_no_convergence(self, silicon):
        text = (OUTPUTS / "espresso/converged.out").read_text().replace("convergence has been achieved", "")
        with pytest.raises(NotConverged, match="does not say"):
            espresso_code.read_output(text, silicon, self.settings())


class TestCp2k:
    ROW = "    32 Broy./Diag. 0.10E+00    0.2     {convergence}       -34.4309429386 -1.00E-09\n"

    def text(self, convergence: str, header: str = "") -> str:
        text = (OUTPUTS / "cp2k/converged.out").read_text()
        return header + text.replace("\n  *** SCF run", f"{self.ROW.format(convergence=convergence)}\n  *** SCF run")

    def test_the_last_step_decides(self):
        for limit in (32, 80):
            settings = Cp2kSettings(max_iterations=limit)
            assert cp2k_code.read_output(self.text("0.00000087"), 4, settings).energy < 0
            with pytest.raises(NotConverged, match=r"32 of .*0\.044"):
                cp2k_code.read_output(self.text("0.04401574"), 4, settings)
            with pytest.raises(NotConverged, match="nan"):
                cp2k_code.read_output(self.text("**********"), 4, settings)

    def test_the_run_says_its_limit_and_criterion(self):
        header = " SCF PARAMETERS         max_scf:   32\n                        eps_scf:   1.00E-04\n"
        cp2k_code.read_output(self.text("0.00008700", header), 4, Cp2kSettings())
        with pytest.raises(NotConverged, match="32 of 32"):
            cp2k_code.read_output(self.text("0.00018700", header), 4, Cp2kSettings())

    def test_all_steps_used_without_a_word_of_the_last_change(self):
        text = (OUTPUTS / "cp2k/converged.out").read_text()
        with pytest.raises(NotConverged, match="does not show"):
            cp2k_code.read_output(text, 4, Cp2kSettings(max_iterations=32))

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "  *** SCF run converged in    12 steps ***\n"
            "  outer SCF loop FAILED to converge after  20 iterations or  400 steps",
            # With IGNORE_CONVERGENCE_FAILURE the run goes on to forces and stress.
            " *** WARNING in qs_scf.F:598 :: SCF run NOT converged. To continue the ***\n *** calculation ... ***",
        ],
    )
    def test_words_of_failure_and_silence(self, words):
        text = (OUTPUTS / "cp2k/converged.out").read_text().replace("  *** SCF run converged in    32 steps ***", words)
        with pytest.raises(NotConverged):
            cp2k_code.read_output(text, 4, Cp2kSettings())

    def test_an_outer_loop_that_converged_is_believed(self):
        text = (OUTPUTS / "cp2k/converged.out").read_text()
        outer = (
            "  Leaving inner SCF loop after reaching    20 steps.\n"
            "  outer SCF loop converged in   2 iterations or   27 steps"
        )
        text = text.replace("  *** SCF run converged in    32 steps ***", outer)
        assert cp2k_code.read_output(text, 4, Cp2kSettings(max_iterations=20)).energy < 0


class TestAims:
    def test_the_last_allowed_cycle_is_judged_by_the_change_of_the_density(self, lithium_thiophosphate):
        text = (OUTPUTS / "aims/converged.out").read_text()
        # Its last cycle is the fourth and changed the density by 1e-4.
        aims_code.read_output(text, lithium_thiophosphate, AimsSettings())
        loose = AimsSettings(max_iterations=4, density_convergence_e_per_a03=1e-4)
        aims_code.read_output(text, lithium_thiophosphate, loose)
        with pytest.raises(NotConverged, match=r"4 of 4 iterations.*density by 0\.0001"):
            aims_code.read_output(text, lithium_thiophosphate, AimsSettings(max_iterations=4))

    def test_silence_is_no_convergence(self, lithium_thiophosphate):
        text = (OUTPUTS / "aims/converged.out").read_text().replace("Self-consistency cycle converged.", "")
        with pytest.raises(NotConverged, match="does not say"):
            aims_code.read_output(text, lithium_thiophosphate, AimsSettings())


class _Silent(Calculator):
    """Returns numbers whatever happened, as ASE's interfaces to some codes do."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, converged=None, result=None, files=None, folder: Path | None = None) -> None:
        super().__init__()
        if converged is not None:
            self.converged = converged
        self.result, self.files, self.folder = result, files or {}, folder

    def calculate(self, atoms=None, properties=("energy",), system_changes=()) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": -1.0, "forces": np.zeros((len(self.atoms), 3)), "stress": np.zeros(6)}
        if self.result is not None:
            self.results["converged"] = self.result
        for name, text in self.files.items():
            Path(name).write_text(text)


class TestAnyCalculator:
    @pytest.mark.parametrize("said", [{"converged": False}, {"converged": np.False_}, {"result": np.False_}])
    def test_its_attribute_or_result_counts_whatever_its_kind_of_false(self, said):
        with pytest.raises(NotConverged):
            evaluate_with_calculator(bulk("Si"), _Silent(**said))
        assert evaluate_with_calculator(bulk("Si"), _Silent(converged=np.True_)).energy == -1.0

    def test_an_scf_error_is_one_whatever_its_words(self):
        assert isinstance(failure_of(SCFError("maximum cycles")), NotConverged)

    @pytest.mark.parametrize(
        ("name", "text", "unconverged"),
        [
            ("cp2k.out", " *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***", True),
            ("espresso.pwo", "     convergence NOT achieved after  80 iterations: stopping", True),
            ("abinit.abo", "  nstep=   20 was not enough SCF cycles to converge;", True),
            ("castep.castep", "*Warning* max. SCF cycles performed but system has not reached the groundstate.", True),
            ("dftb.out", "-> SCC is NOT converged, maximal SCC iterations exceeded", True),
            ("orca.out", "SCF NOT CONVERGED AFTER 125 CYCLES", True),
            ("orca.out", "SCF CONVERGED AFTER  12 CYCLES", False),
            ("OUTCAR", outcar((1, 80, 0.7, REACHED)), True),
            ("OUTCAR", outcar((1, 20, 1e-7, REACHED)), False),
            ("OUTCAR", "machine learning force field, no electrons", False),
            ("notes.md", "SCF run NOT converged", False),
        ],
    )
    def test_the_output_that_its_code_left_counts_too(self, name, text, unconverged, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("ionloop.labelling.engines.command._load_class", lambda settings: _Silent)
        settings = CommandSettings(calculator="some:Calculator", arguments={"files": {name: text}})
        if unconverged:
            with pytest.raises(NotConverged):
                CommandEngine().evaluate(bulk("Si"), settings, tmp_path)
        else:
            assert CommandEngine().evaluate(bulk("Si"), settings, tmp_path).energy == -1.0


def test_tblite_that_ends_at_its_last_cycle_has_the_answer(lithium_thiophosphate, tmp_path):
    engine = Gfn1XtbEngine()
    reference = engine.evaluate(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path).energy
    cycles = 1
    while True:
        try:
            found = engine.evaluate(lithium_thiophosphate, Gfn1XtbSettings(max_iterations=cycles), tmp_path)
            break
        except Exception as error:
            assert isinstance(failure_of(error), NotConverged)
            cycles += 1
    assert cycles > 5
    assert abs(found.energy - reference) < CONVERGED_ENERGY_TOLERANCE_EV
