"""Functionals and dispersion: their keywords in each code, their physics, their place in a reference's identity."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pydantic import ValidationError

from ionloop.core.states import State
from ionloop.labelling import (
    AimsSettings,
    CommandSettings,
    Cp2kSettings,
    EspressoSettings,
    GpawSettings,
    VaspSettings,
    engine_of,
    settings_hash,
)
from ionloop.labelling.engine import EngineFailure
from ionloop.labelling.engines import aims, cp2k, dispersion, espresso, gpaw_engine, vasp
from ionloop.labelling.outcome import Evaluation
from ionloop.workflows.report.page import citations

SILICON = {"Si": "Si.UPF"}
FINITE_DIFFERENCE_EV_PER_A = 1e-7
# Of a crystal pairs leave the original program's cutoff at once, without being smoothed away: 3e-6 eV/Å measured.
CUTOFF_EV_PER_A = 1e-5
CUTOFF_EV_PER_A3 = 1e-5
STEP_A, STRAIN = 1e-3, 1e-3


def silicon() -> Atoms:
    atoms = bulk("Si", "diamond", a=5.47)
    atoms.positions[0] += [0.05, 0.02, 0.0]
    return atoms


@pytest.mark.parametrize(
    ("functional", "lines"),
    [
        ("pbe", ["&XC_FUNCTIONAL PBE"]),
        ("pbesol", ["&PBE", "PARAMETRIZATION PBESOL", "&END PBE"]),
        ("r2scan", ["&MGGA_X_R2SCAN", "&END MGGA_X_R2SCAN", "&MGGA_C_R2SCAN", "&END MGGA_C_R2SCAN"]),
    ],
)
def test_cp2k_names_the_functional(functional, lines):
    text = cp2k.input_text(silicon(), Cp2kSettings(functional=functional))
    assert set(lines) <= {line.strip() for line in text.splitlines()}


def test_espresso_takes_pbe_from_the_pseudopotentials_and_is_told_any_other():
    said = {
        name: espresso.input_text(silicon(), EspressoSettings(pseudopotentials=SILICON, functional=name))
        for name in ("pbe", "pbesol", "r2scan")
    }
    assert "input_dft" not in said["pbe"]
    assert "input_dft        = 'pbesol'" in said["pbesol"]
    assert "input_dft        = 'r2scan'" in said["r2scan"]


@pytest.mark.parametrize(
    ("printed", "functional", "is_right"),
    [
        ("SLA  PW   PBE  PBE", "pbe", True),
        ("PBE\n                           (   1   4   3   4   0   0   0)", "pbe", True),
        ("SLA  PW   PSX  PSC", "pbe", False),
        ("PBESOL", "pbesol", True),
        ("PBE", "pbesol", False),
        ("SCAN", "r2scan", False),
        ("R2SCAN", "r2scan", True),
    ],
)
def test_what_pw_computed_with_must_be_what_it_was_asked_for(printed, functional, is_right):
    text = f"     Exchange-correlation= {printed}\n     celldm(1)=   7.309223\nJOB DONE."
    settings = EspressoSettings(pseudopotentials=SILICON, functional=functional)
    words = "does not say that convergence" if is_right else "computed with the functional"
    with pytest.raises(EngineFailure, match=words):
        espresso.read_output(text, silicon(), settings)


def test_vasp_names_the_functional_and_keeps_the_potentials_of_pbe(tmp_path):
    from ase.calculators.vasp import Vasp

    for functional, gga, metagga in (("pbe", "PE", None), ("pbesol", "PS", None), ("r2scan", None, "R2SCAN")):
        parameters = vasp.incar_parameters(silicon(), VaspSettings(functional=functional))
        calculator = Vasp(directory=str(tmp_path), **parameters)
        assert (calculator.string_params["gga"], calculator.string_params["metagga"]) == (gga, metagga)
        assert calculator.input_params["pp"] == "PBE"


def test_aims_names_the_functional():
    def said(functional: str) -> dict:
        return aims.control_parameters(silicon(), AimsSettings(functional=functional))

    assert said("pbe")["xc"] == "pbe"
    assert said("pbesol")["xc"] == "pbesol"
    assert said("r2scan")["xc"] == "libxc MGGA_X_R2SCAN+MGGA_C_R2SCAN"
    assert said("r2scan")["override_warning_libxc"] is True
    assert "override_warning_libxc" not in said("pbe")


def test_gpaw_has_what_its_data_sets_allow():
    said = gpaw_engine.calculator_parameters(silicon(), GpawSettings(functional="r2scan"))
    assert said["xc"] == "MGGA_X_R2SCAN+MGGA_C_R2SCAN"
    with pytest.raises(ValidationError, match="'pbe' or 'r2scan'"):
        GpawSettings(functional="pbesol")


@pytest.mark.parametrize("word", ["PBE0", "pbe-d3", "scan"])
def test_another_word_is_told_what_there_is(word):
    with pytest.raises(ValidationError, match="'pbe', 'pbesol' or 'r2scan'"):
        Cp2kSettings(functional=word)


def test_what_is_new_changes_the_hash_and_what_is_old_keeps_it():
    # Of the first release, which knew neither another functional nor dispersion.
    assert settings_hash(GpawSettings()).startswith("7ee3e79baeec0c27")
    assert settings_hash(Cp2kSettings()).startswith("1a7111e739a2512d")
    assert settings_hash(EspressoSettings(pseudopotentials=SILICON)).startswith("db86d3207256d1cf")
    assert settings_hash(AimsSettings()).startswith("4b938db84ccad0d0")
    assert settings_hash(VaspSettings()).startswith("38d03892cc3e62c5")
    assert "dispersion" not in VaspSettings().model_dump(mode="json")
    told = VaspSettings(dispersion="d3bj").model_dump(mode="json")
    assert told["dispersion"] == "d3bj"
    assert VaspSettings.model_validate(told).dispersion == "d3bj"
    several = [{}, {"functional": "pbesol"}, {"dispersion": "d3bj"}, {"functional": "pbesol", "dispersion": "d3bj"}]
    assert len({settings_hash(VaspSettings(**one)) for one in several}) == len(several)


@pytest.mark.parametrize("functional", ["pbe", "pbesol", "r2scan"])
def test_dispersion_has_the_derivatives_of_its_energy(functional):
    pytest.importorskip("dftd3")
    molecule = silicon()
    molecule.pbc = False
    for atoms, tolerance in ((molecule, FINITE_DIFFERENCE_EV_PER_A), (silicon(), CUTOFF_EV_PER_A)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[0, 1] += sign * STEP_A
            energies.append(dispersion.d3bj(moved, functional).energy)
        derivative = -(energies[0] - energies[1]) / (2 * STEP_A)
        assert dispersion.d3bj(atoms, functional).forces[0, 1] == pytest.approx(derivative, abs=tolerance)
    assert dispersion.d3bj(molecule, functional).stress is None
    centre = dispersion.d3bj(silicon(), functional)
    for (a, b), voigt in (((0, 0), 0), ((1, 2), 3)):
        energies = []
        for sign in (1, -1):
            deformation = np.eye(3)
            deformation[a, b] += sign * STRAIN / 2
            deformation[b, a] += sign * STRAIN / 2
            strained = silicon()
            strained.set_cell(strained.cell.array @ deformation, scale_atoms=True)
            energies.append(dispersion.d3bj(strained, functional).energy)
        derivative = (energies[0] - energies[1]) / (2 * STRAIN) / silicon().get_volume()
        assert centre.stress[voigt] == pytest.approx(derivative, abs=CUTOFF_EV_PER_A3)


def test_two_far_atoms_attract_by_their_c6_alone():
    pytest.importorskip("dftd3")
    energies = [dispersion.d3bj(Atoms("Ar2", [[0, 0, 0], [d, 0, 0]]), "pbe").energy for d in (15.0, 30.0)]
    assert energies[0] < 0
    assert energies[0] / energies[1] == pytest.approx(2.0**6, rel=0.05)


def test_dispersion_is_added_to_every_number_of_the_code(monkeypatch, tmp_path):
    pytest.importorskip("dftd3")
    plain = Evaluation(-10.0, np.ones((2, 3)), np.full(6, 0.1))
    settings = Cp2kSettings(dispersion="d3bj")
    engine = engine_of(settings)
    monkeypatch.setattr(type(engine), "run_code", lambda *_: plain)
    monkeypatch.setattr(type(engine), "parse_code", lambda *_: plain)
    added = dispersion.d3bj(silicon(), "pbe")
    for found in (
        engine.evaluate(silicon(), settings, tmp_path),
        engine.parse_finished(silicon(), settings, tmp_path),
    ):
        assert found.energy == plain.energy + added.energy
        np.testing.assert_array_equal(found.forces, plain.forces + added.forces)
        np.testing.assert_array_equal(found.stress, plain.stress + added.stress)
    assert engine.evaluate(silicon(), Cp2kSettings(), tmp_path) is plain


def test_without_its_library_nothing_is_begun_and_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(dispersion, "PACKAGE", "no_such_dftd3")
    settings = Cp2kSettings(dispersion="d3bj", command="true")
    with pytest.raises(EngineFailure, match="pip install dftd3") as caught:
        engine_of(settings).evaluate(silicon(), settings, tmp_path)
    assert caught.value.state is State.FAILED
    assert not any(tmp_path.iterdir())


def test_functional_and_dispersion_are_cited_and_told():
    settings = VaspSettings(functional="r2scan", dispersion="d3bj")
    works = {one.what for one in citations({"reference": settings.model_dump(mode="json")})}
    assert {"VASP", "r2SCAN", "DFT-D3", "Becke-Johnson damping", "simple-dftd3", "r2SCAN-D3"} <= works
    assert "PBE" not in works
    assert "VASP with r²SCAN-D3(BJ), PAW potentials" in engine_of(settings).methods(settings)
    assert "dftd3" in engine_of(settings).packages(settings)
    assert engine_of(settings).packages(VaspSettings()) == ()
    command = CommandSettings(calculator="a.b:C")
    assert "a.b:C" in engine_of(command).methods(command)
