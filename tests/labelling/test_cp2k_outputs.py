"""CP2K's output of versions 6 to 2026: one and the same answer in the words, brackets and units of each."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import Bohr, Hartree
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.labelling.engine import EngineFailure
from ionloop.labelling.engines.cp2k_output import read_output
from ionloop.labelling.engines.cp2k_settings import Cp2kSettings

ENERGY_EV = -213.609380291
STRESS_XX_EV_PER_A3 = -0.0062415091
STRESS_XY_EV_PER_A3 = -0.0012483018
DIGITS = 1e-9

VERSION = " CP2K| version string:                                          CP2K version {}\n"
CONVERGED = "  *** SCF run converged in    12 steps ***\n\n"
END = "\n  **** **** ******  **  PROGRAM ENDED AT                 2025-06-01 12:00:00.000\n"
FORCES_OLD = """
 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      Si          0.01000000    -0.02000000     0.03000000
      2      1      Si         -0.01000000     0.02000000    -0.03000000
 SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000     0.00000000
"""
FORCES_NEW = """
 FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1  1.00000000E-02 -2.00000000E-02  3.00000000E-02   3.74165739E-02
 FORCES|      2 -1.00000000E-02  2.00000000E-02 -3.00000000E-02   3.74165739E-02
 FORCES|    Sum  0.00000000E+00  0.00000000E+00  0.00000000E+00   0.00000000E+00
 FORCES| Total atomic force   0.00000000E+00
"""
STRESS_OLD = """
 STRESS TENSOR [GPa]

            X               Y               Z
  X       1.00000000      0.20000000      0.00000000
  Y       0.20000000      1.00000000      0.00000000
  Z       0.00000000      0.00000000      1.00000000

  1/3 Trace(stress tensor):   1.00000000E+00
"""
# What newer releases print after the tensor has rows x, y and z too.
STRESS_NEW = """
 STRESS| {kind} stress tensor [{unit}]
 STRESS|                        x                   y                   z
 STRESS|      x    {xx:.11E}   {xy:.11E}   0.00000000000E+00
 STRESS|      y    {xy:.11E}   {xx:.11E}   0.00000000000E+00
 STRESS|      z    0.00000000000E+00   0.00000000000E+00   {xx:.11E}
 STRESS| 1/3 Trace                                             1.00000000000E+04
 STRESS| Determinant                                           9.60000000000E+11

 STRESS| Eigenvectors and eigenvalues of the analytical stress tensor [{unit}]
 STRESS|                        1                   2                   3
 STRESS| Eigenvalues    8.00000000000E+03   1.00000000000E+04   1.20000000000E+04
 STRESS|      x        -0.707106781187      0.000000000000      0.707106781187
 STRESS|      y         0.707106781187      0.000000000000      0.707106781187
 STRESS|      z         0.000000000000      1.000000000000      0.000000000000
"""
CHARGES = """
                           Hirshfeld Charges

  #Atom  Element  Kind  Ref Charge     Population                    Net charge
      1       Si     1       4.000          3.875                         0.125
      2       Si     1       4.000          4.125                        -0.125

  Total Charge                                                            0.000
"""
DIPOLE = """
  Dipole moment [{unit}]
    X=   0.48032047 Y=  -0.96064094 Z=   0.00000000     Total=      1.07402922
"""


def energy_line(words: str) -> str:
    return f" ENERGY| Total FORCE_EVAL ( QS ) energy {words}                 -7.850000000000000\n"


def stress(unit: str = "bar", per_GPa: float = 1e4, kind: str = "Analytical") -> str:
    return STRESS_NEW.format(unit=unit, kind=kind, xx=per_GPa, xy=0.2 * per_GPa)


def output(version: str = "2025.1", energy: str = "[hartree]", forces: str = FORCES_NEW, tensor: str = "") -> str:
    return VERSION.format(version) + CONVERGED + energy_line(energy) + forces + (tensor or stress()) + END


def read(text: str):
    return read_output(text, 2, Cp2kSettings())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(output("6.1", "(a.u.):", FORCES_OLD, STRESS_OLD), id="6"),
        pytest.param(output("7.1", "(a.u.):", FORCES_OLD, STRESS_OLD), id="7"),
        pytest.param(output("8.2", "[a.u.]:", FORCES_OLD, stress("GPa", 1.0)), id="8"),
        pytest.param(output("2023.1", "[a.u.]:", FORCES_OLD, stress("GPa", 1.0, "Numerical")), id="2023-numerical"),
        pytest.param(output("2024.2", "[a.u.]:", FORCES_OLD, stress()), id="2024-bar"),
        pytest.param(output("2025.1"), id="2025"),
        pytest.param(output("2026.1", tensor=stress("kbar", 10.0)), id="2026-kbar"),
        pytest.param(output("2026.1", "[Hartree]:", tensor=stress("MPa", 1e3)), id="2026-MPa"),
    ],
)
def test_every_wording_gives_the_same_label(text):
    found = read(text)
    assert found.energy == pytest.approx(ENERGY_EV, abs=DIGITS)
    np.testing.assert_allclose(found.forces[0], np.array([0.01, -0.02, 0.03]) * Hartree / Bohr, atol=DIGITS)
    np.testing.assert_allclose(found.forces[1], -found.forces[0])
    xx, xy = STRESS_XX_EV_PER_A3, STRESS_XY_EV_PER_A3
    np.testing.assert_allclose(found.stress, [xx, xx, xx, 0.0, 0.0, xy], atol=DIGITS)


def test_printed_in_electronvolts():
    text = output("2026.1", "[eV]", FORCES_NEW.replace("[hartree/bohr]", "[eV/angstrom]"))
    assert read(text).energy == -7.85
    assert read(text).forces[0, 2] == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[hartree]", "[furlong]", r"energy in \[furlong\]"),
        ("[hartree]", "", "no energy"),
        ("[hartree/bohr]", "[mN]", r"forces in \[mN\]"),
        ("[bar]", "[psi]", r"stress in \[psi\]"),
        ("FORCES| Atomic forces", "Forces on the atoms", "no forces on 2 atoms"),
        ("stress tensor [bar]", "stress [bar]", r"no stress that can be read.*Analytical stress \[bar\]"),
        (" STRESS|      y  ", " STRESS|      w  ", "rows x"),
        ("y    2.00000000000E+03", "y    5.00000000000E+03", "not symmetric"),
        (" FORCES|      2 -1.00000000E-02", " FORCES|      2", "no forces on 2 atoms"),
    ],
)
def test_what_is_not_known_is_an_error_that_says_so(old, new, reason):
    text = output().replace(stress(), stress().partition("\n STRESS| Eigen")[0] + "\n")
    assert old in text
    with pytest.raises(EngineFailure, match=reason):
        read(text.replace(old, new))


def test_a_stress_that_is_missing_is_an_error_that_says_so():
    with pytest.raises(EngineFailure, match="no stress that can be read, which was asked for"):
        read(output(tensor="\n"))


def test_releases_before_8_may_leave_the_stress_out_but_not_print_it_unreadably():
    text = output("7.1", "(a.u.):", FORCES_OLD, "\n")
    assert read(text).stress is None
    with pytest.raises(EngineFailure, match="Stress tensor"):
        read(text.replace(" SUM OF", " Stress tensor in kilobar\n SUM OF"))


def test_tables_of_other_numbers_of_atoms_are_refused():
    for forces in (FORCES_OLD, FORCES_NEW):
        for n_atoms in (1, 3):
            with pytest.raises(EngineFailure, match=f"no forces on {n_atoms} atoms: its table has 2 rows"):
                read_output(output(forces=forces), n_atoms, Cp2kSettings())


def test_charges_and_dipole_are_read_or_refused():
    text = output()
    assert read(text).charges is None
    assert read(text).dipole is None
    np.testing.assert_allclose(read(CHARGES + text).charges, [0.125, -0.125])
    with pytest.raises(EngineFailure, match="charges of 1 atoms"):
        read(CHARGES.replace("      2       Si", "      *       Si") + text)
    np.testing.assert_allclose(read(DIPOLE.format(unit="Debye") + text).dipole, [0.1, -0.2, 0.0], atol=1e-6)
    for damaged in (DIPOLE.format(unit="statC cm"), DIPOLE.format(unit="Debye").replace("X=", "x")):
        with pytest.raises(EngineFailure, match="dipole"):
            read(damaged + text)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_damaged_output_gives_the_label_or_says_what_is_wrong_and_never_another(data):
    whole = read(output())
    lines = output().splitlines(keepends=True)
    number = data.draw(st.integers(0, len(lines) - 1))
    damage = data.draw(st.sampled_from(["drop", "cut", "repeat", "stars"]))
    line = lines[number]
    cut = data.draw(st.integers(0, max(0, len(line) - 1)))
    starred = "".join("*" if c.isdigit() else c for c in line)
    lines[number] = {"drop": "", "cut": line[:cut] + "\n", "repeat": line + line, "stars": starred}[damage]
    try:
        found = read("".join(lines))
    except EngineFailure:
        return
    numbers = zip((found.energy, found.forces, found.stress), (whole.energy, whole.forces, whole.stress), strict=True)
    for value, wanted in numbers:
        if np.isfinite(value).all() and damage != "cut":
            np.testing.assert_allclose(value, wanted, atol=DIGITS)
