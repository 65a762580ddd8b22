"""Formulas in the order in which chemists write them."""

from __future__ import annotations

import pytest
from ase.data import chemical_symbols
from ase.formula import Formula

from ionloop.core.formulas import written

FORMULAS = """
    Li7P3S11 Li3SbS4 LiCoO2 Li10GeP2S12 Li7La3Zr2O12 Li6PS5Cl Li3YCl6 LiAlCl4 LiBH4 Na3SbS4 Li4SnSe4 Li7BiO6 Li2MgCl4
    LiFePO4 Cs2SO4 H2O NH3 CH4 SiO2 LiTaCl6 LiHfO3 NaUO3 KI
"""


@pytest.mark.parametrize("formula", FORMULAS.split())
def test_what_chemists_write_is_written(formula: str) -> None:
    assert written(Formula(formula).count()) == formula
    assert written(dict(reversed(Formula(formula).count().items()))) == formula


def test_every_element_has_a_place_of_its_own() -> None:
    assert len(written(dict.fromkeys(chemical_symbols[1:], 1))) == sum(map(len, chemical_symbols[1:]))
