"""A stress that was asked for is there, in Voigt order, or the label fails with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import GPa

from ionloop.core.states import State
from ionloop.labelling import AimsSettings, CommandSettings, EspressoSettings, VaspSettings, label
from ionloop.labelling.ase_evaluation import stress_of
from ionloop.labelling.engine import EngineFailure
from ionloop.labelling.engines import aims as aims_code
from ionloop.labelling.engines import espresso as espresso_code
from ionloop.labelling.engines import vasp as vasp_code
from ionloop.labelling.engines.command import read_output

OUTPUTS = Path(__file__).parent / "outputs"
MATRIX = [[1.0, 0.6, 0.5], [0.6, 2.0, 0.4], [0.5, 0.4, 3.0]]
VOIGT = [1.0, 2.0, 3.0, 0.4, 0.5, 0.6]


class TestShapes:
    def test_a_matrix_is_put_into_voigt_order(self):
        np.testing.assert_array_equal(stress_of(MATRIX, "it"), VOIGT)
        np.testing.assert_array_equal(stress_of(VOIGT, "it"), VOIGT)

    def test_halves_that_differ_by_round_off_are_averaged_and_others_refused(self):
        matrix = np.array(MATRIX)
        matrix[0, 1] += 1e-6
        assert stress_of(matrix, "it")[5] == pytest.approx(0.6 + 5e-7, abs=1e-12)
        matrix[0, 1] += 0.1
        with pytest.raises(EngineFailure, match=r"not symmetric.*differ by 0\.1"):
            stress_of(matrix, "it")

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (None, "no stress, which was asked for"),
            (np.zeros(9), r"shape \(9,\), expected \(6,\) or \(3, 3\)"),
            (np.zeros((2, 3, 3)), "shape"),
            (0.0, "shape"),
            ("kbar", "not numbers"),
        ],
    )
    def test_anything_else_is_refused(self, values, reason):
        with pytest.raises(EngineFailure, match=reason):
            stress_of(values, "it")

    def test_numbers_that_are_not_finite_stay_for_the_checks_to_reject(self):
        matrix = np.array(MATRIX)
        matrix[2, 1] = np.inf
        assert not np.isfinite(stress_of(matrix, "it")).all()


class TestCalculators:
    def test_of_a_matrix_is_a_label_with_its_stress(self, misbehaving, lithium_thiophosphate, tmp_path):
        outcome = label(lithium_thiophosphate, misbehaving("replace", name="stress", value=MATRIX), tmp_path)
        assert outcome.state is State.FINISHED, outcome.reason
        np.testing.assert_array_equal(outcome.stress, VOIGT)

    @pytest.mark.parametrize(
        ("harm", "options", "state", "reason"),
        [
            ("forget", {"name": "stress"}, State.FAILED, "stress"),
            ("replace", {"name": "stress", "value": [1.0, 2.0]}, State.FAILED, "shape (2,)"),
            ("spoil", {"name": "stress"}, State.REJECTED, "stress that is not finite"),
        ],
    )
    def test_never_lose_it(self, harm, options, state, reason, misbehaving, lithium_thiophosphate, tmp_path):
        outcome = label(lithium_thiophosphate, misbehaving(harm, **options), tmp_path)
        assert outcome.state is state
        assert reason in outcome.reason

    def test_one_that_has_none_is_refused_where_the_settings_require_it(self, tmp_path, engines_for_tests):
        settings = CommandSettings(
            calculator="misbehaving_calculators:WithoutStress", environment={"PYTHONPATH": str(engines_for_tests)}
        )
        atoms = bulk("Si")
        assert label(atoms, settings, tmp_path / "free").stress is None
        strict = settings.model_copy(update={"requires_stress": True})
        outcome = label(atoms, strict, tmp_path / "strict")
        assert outcome.state is State.FAILED
        assert "requires_stress" in outcome.reason


class TestExecutables:
    HEAD = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0 pbc="T T T"'

    def written(self, tmp_path, words: str):
        path = tmp_path / "output.extxyz"
        path.write_text(f"1\n{self.HEAD} {words}\nSi 0.0 0.0 0.0 0.0 0.0 0.0\n")
        atoms = bulk("Si", cubic=True, a=4)[:1]
        return read_output(atoms, path)

    def test_nine_numbers(self, tmp_path):
        nine = " ".join(str(number) for row in MATRIX for number in row)
        np.testing.assert_array_equal(self.written(tmp_path, f'stress="{nine}"').stress, VOIGT)
        assert self.written(tmp_path, "").stress is None

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ('stress="1 2 3 0.4 0.5 0.6"', "9-long"),
            ('stress="1 0.6 0.5 0.1 2 0.4 0.5 0.4 3"', "not symmetric"),
            ('virial="1 0 0 0 1 0 0 0 1"', "'virial', which is not read; write `stress`"),
            ('STRESS="1 0 0 0 1 0 0 0 1"', "'STRESS', which is not read"),
        ],
    )
    def test_another_shape_or_name_is_refused(self, words, reason, tmp_path):
        with pytest.raises(EngineFailure, match=reason):
            self.written(tmp_path, words)


class TestCodes:
    def test_of_espresso_in_ases_sign(self):
        atoms = bulk("Si", "diamond", a=5.47)
        settings = EspressoSettings(pseudopotentials={"Si": "Si.UPF"})
        text = (OUTPUTS / "espresso/converged.out").read_text()
        found = espresso_code.read_output(text, atoms, settings)
        # It prints P = 201.91 kbar for a third of the trace, with the pressure's sign.
        assert -found.stress[:3].mean() / (0.1 * GPa) == pytest.approx(201.91, abs=0.01)
        head, _, tail = text.partition("     Computing stress")
        with pytest.raises(EngineFailure, match=r"pw\.x's output has no stress, which was asked for"):
            espresso_code.read_output(head + tail[tail.index("kbar") + 400 :], atoms, settings)

    def test_of_aims(self, lithium_thiophosphate):
        text = (OUTPUTS / "aims/converged.out").read_text()
        without = re.sub(r"Analytical stress tensor - Symmetrized", "Something of the kind", text)
        with pytest.raises(EngineFailure, match="FHI-aims' output has no stress, which was asked for"):
            aims_code.read_output(without, lithium_thiophosphate, AimsSettings())

    def test_of_vasp(self, tmp_path):
        stored = OUTPUTS / "vasp/converged"
        text = (stored / "vasprun.xml").read_text()
        (tmp_path / "OUTCAR").write_text((stored / "OUTCAR").read_text())
        (tmp_path / "vasprun.xml").write_text(text.replace('varray name="stress"', 'varray name="strain"'))
        positions = [[0.23, 2.31, 0.42], [0.05, 0.02, 0.01], [2.41, 0.03, 0.3], [3.48, 1.62, 0.17]]
        atoms = Atoms("SLiPS", positions=positions, cell=[5.0, 5.2, 5.6], pbc=True)
        # Sulphur, lithium, phosphorus: what ASE writes beside POSCAR.
        (tmp_path / "ase-sort.dat").write_text("0 0\n3 2\n1 3\n2 1\n")
        with pytest.raises(EngineFailure, match="stress"):
            vasp_code.read_output(atoms, VaspSettings(), tmp_path)
