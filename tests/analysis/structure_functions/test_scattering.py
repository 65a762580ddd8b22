"""Scattering lengths, form factors and weights, against tables and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.structure_functions.scattering import (
    LENGTHS_FM,
    faber_ziman_weights,
    form_factor,
    isotopes_of,
    lengths,
    mean_length,
    mean_square_length,
    scattering_length_fm,
)
from ionloop.core.errors import InputError

LI7P3S11 = np.array([7, 3, 11])
SPECIES = ("Li", "P", "S")
AT_ZERO = np.zeros(1)
WAASMAIER_KIRFEL = 0.002
"""Relative deviation of five Gaussians from tabulated form factors."""


def test_weights_of_li7p3s11_are_those_of_sears_lengths():
    each = lengths("neutrons", SPECIES, AT_ZERO)
    assert each[:, 0].tolist() == [-1.90, 5.13, 2.847]
    assert mean_length(LI7P3S11, each)[0] == pytest.approx(1.590810, abs=5e-7)
    assert mean_square_length(LI7P3S11, each)[0] == pytest.approx(9.208581, abs=5e-7)
    weights = faber_ziman_weights(LI7P3S11, each)[:, :, 0]
    twice = weights * (2.0 - np.eye(3))
    expected = [[0.1585, -0.3668, -0.7464], [-0.3668, 0.2122, 0.8637], [-0.7464, 0.8637, 0.8788]]
    np.testing.assert_allclose(twice, expected, atol=5e-5)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_isotopes_and_given_lengths_replace_natural_ones():
    assert lengths("neutrons", SPECIES, AT_ZERO, {"Li": 7})[0, 0] == -2.22
    assert lengths("neutrons", SPECIES, AT_ZERO, {"Li": 6})[0, 0] == 2.00
    assert lengths("neutrons", SPECIES, AT_ZERO, {}, {"Li": -1.93})[0, 0] == -1.93


def test_a_mixture_without_mean_length_is_refused():
    # Null matrix of lithium: 7Li and 6Li as 0.4739 to 0.5261 have no mean length.
    with pytest.raises(InputError, match="nearly no mean scattering length"):
        faber_ziman_weights(np.array([50, 50]), np.array([[2.0], [-2.0]]))


@pytest.mark.parametrize(
    ("isotopes", "given", "message"),
    [
        ({"Na": 23}, {}, "isotopes names Na"),
        ({}, {"Cl": 1.0}, "lengths_fm names Cl"),
    ],
)
def test_what_is_not_there_is_not_enriched(isotopes, given, message):
    with pytest.raises(InputError, match=message):
        lengths("neutrons", SPECIES, AT_ZERO, isotopes, given)


def test_isotopes_are_written_with_their_mass_number():
    assert isotopes_of(["Li=7", "H:2"], "--isotope") == {"Li": 7, "H": 2}
    with pytest.raises(InputError, match="such as Li=7"):
        isotopes_of(["7Li"], "--isotope")


def test_lengths_agree_with_the_library_but_where_newer_measurements_changed_them():
    library = pytest.importorskip("periodictable", reason="the extra x-rays is not installed")
    far = []
    for name, value in LENGTHS_FM.items():
        mass, _, symbol = name.rpartition("-")
        element = getattr(library, symbol)
        theirs = (element[int(mass)] if mass else element).neutron.b_c
        if abs(theirs - value) > 0.06 * abs(value):
            far.append(name)
    assert far in (["V"], ["V", "6-Li"])


def test_form_factors_are_the_electrons_of_an_atom_and_that_of_hydrogen_is_known():
    pytest.importorskip("periodictable", reason="the extra x-rays is not installed")
    q = np.array([0.0, 1.0, 2.0, 4.0])
    bohr_A = 0.529177
    np.testing.assert_allclose(form_factor("H", q), (1.0 + (q * bohr_A / 2.0) ** 2) ** -2, atol=WAASMAIER_KIRFEL)
    for symbol, electrons in (("Li", 3), ("P", 15), ("S", 16)):
        assert form_factor(symbol, q)[0] == pytest.approx(electrons, rel=WAASMAIER_KIRFEL)


def test_what_only_the_library_knows_says_how_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "periodictable", None)
    with pytest.raises(InputError, match=r"ionloop\[x-rays\]"):
        form_factor("S", AT_ZERO)
    with pytest.raises(InputError, match=r"ionloop\[x-rays\]"):
        scattering_length_fm("Gd")
    assert scattering_length_fm("O") == 5.803
