"""Input files for LAMMPS: where our style stands in them, and which element a type is."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.lammps.deck import Coefficients, parts_of
from ionloop.fitting.lammps.types import check_masses, numbers_of_types

DECK = '''units metal  # pair_style ionloop
print """
pair_style ionloop
pair_coeff * * a Li S
"""
label again
pair_style ionloop
pair_coeff  *  * 'my model'  &
  Li S   # in the order of the types
run 10
jump SELF again
'''


def test_a_deck_is_cut_after_our_coefficients() -> None:
    first, rest = parts_of(DECK, "in.lammps")
    assert first.coefficients == Coefficients("my model", ("Li", "S"), 8)
    # What is printed stays, and so does what has another pair style.
    assert first.text.count("pair_style ionloop") == 2
    assert first.text.endswith("label again\npair_style zero 6\npair_coeff * *\n")
    assert rest.text == "run 10\njump SELF again\n"
    assert rest.coefficients is None


def test_other_styles_of_an_overlay_stay() -> None:
    text = "pair_style hybrid/overlay ionloop coul/long 10\npair_coeff * * coul/long\npair_coeff * * ionloop m.ion Li\n"
    first, _ = parts_of(text, "in.lammps")
    assert first.text.splitlines() == [
        "pair_style hybrid/overlay zero 6 coul/long 10",
        "pair_coeff * * coul/long",
        "pair_coeff * * zero",
    ]
    assert first.coefficients == Coefficients("m.ion", ("Li",), 3)


def test_two_models_one_after_the_other() -> None:
    text = "pair_style ionloop\npair_coeff * * a Li\nrun 1\nclear\npair_style ionloop\npair_coeff * * b Li\nrun 1\n"
    assert [None if part.coefficients is None else part.coefficients.model for part in parts_of(text, "in")] == [
        "a",
        "b",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pair_style lj/cut 3\npair_coeff * * 1 1\n", "no `pair_style ionloop`"),
        ("pair_style ionloop\npair_coeff 1 2 m Li\n", "in, line 2: ionloop needs `pair_coeff"),
        ("pair_style ionloop\npair_coeff * * Li\n", "in, line 2: give the model and the element"),
        ("pair_style hybrid/overlay ionloop ionloop\n", "twice"),
    ],
)
def test_decks_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parts_of(text, "in")


def test_types_are_elements_that_the_model_knows() -> None:
    assert numbers_of_types(["Li", "S"], 2, frozenset({3, 16}), "in").tolist() == [0, 3, 16]
    assert numbers_of_types(["Cl"], 1, frozenset({0}), "in").tolist() == [0, 17]
    for elements, message in ((["Li"], "2 types"), (["Li", "X"], "X is no"), (["Li", "P"], "nothing about P")):
        with pytest.raises(InputError, match=message):
            numbers_of_types(elements, 2, frozenset({3, 16}), "in")


def test_masses_tell_types_that_were_exchanged() -> None:
    numbers = np.array([0, 3, 16])
    check_masses(numbers, np.array([0, 6.015, 32.065]), "in")
    check_masses(numbers, np.array([0, 7.016, 20.0]), "in")
    with pytest.raises(InputError, match=r"type 2 is to be S, but has the mass of P \(30.97\)"):
        check_masses(numbers, np.array([0, 6.94, 30.97]), "in")
