"""Which candidates are refused, in which words; and which of them are the same crystal."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.candidates.candidate import (
    Candidate,
    Refusal,
    candidate_from_document,
    reduced_formula,
    system_names,
)
from ionloop.sampling.candidates.duplicates import likeness, without_duplicates
from ionloop.sampling.candidates.element_groups import ELEMENT_GROUPS, elements_of
from ionloop.sampling.candidates.filters import CandidateFilters, sift
from ionloop.sampling.structures.crystals import build_crystal

SIMILAR = 0.999


def candidate(atoms: Atoms | None = None, **values) -> Candidate:
    return Candidate(
        atoms=build_crystal("gamma-li3ps4") if atoms is None else atoms,
        **{"source": "a test", "identifier": "one", "is_ordered": True, **values},
    )


@pytest.mark.parametrize(
    ("filters", "values", "reason"),
    [
        ({"mobile": "Na"}, {}, "it holds no Na"),
        ({"mobile_fraction": [0.5, 0.8]}, {}, "0.375 of its atoms are Li, and 0.5 to 0.8 is allowed"),
        ({"elements": 4}, {}, "it holds 3 elements, and 4 are allowed"),
        ({"elements": [1, 2]}, {}, "it holds 3 elements, and 1 to 2 are allowed"),
        ({"exclude_elements": ["S", "transition-metals"]}, {}, "it holds S, which is excluded"),
        ({"max_atoms": 15}, {}, "its cell holds 16 atoms, more than 15"),
        ({"min_mobile_per_cell": 8}, {}, "its cell holds 6 Li, fewer than 8"),
        (
            {"energy_above_hull_eV_per_atom": 0.05},
            {"energy_above_hull_eV_per_atom": 0.0612},
            "it lies 0.061 eV per atom above the hull, more than 0.05",
        ),
        ({"band_gap_eV": 1.0}, {"band_gap_eV": 0.0}, "its band gap is 0.00 eV, less than 1"),
        ({}, {"is_ordered": False}, "its provider calls it disordered: order it first"),
        ({"max_atoms": 15, "elements": 2}, {}, "it holds 3 elements, and 2 are allowed; its cell holds 16 atoms"),
    ],
)
def test_every_refusal_names_the_number_that_failed(filters, values, reason):
    sifted = sift([candidate(**values)], CandidateFilters.model_validate(filters))
    assert not sifted.kept
    assert sifted.refused[0].reason.startswith(reason)
    assert str(sifted.refused[0]).startswith("one (Li3PS4) of a test: ")


def test_the_unknown_is_kept_and_told_where_it_was_asked():
    asked = CandidateFilters(energy_above_hull_eV_per_atom=0.05, band_gap_eV=1.0)
    unknown = candidate(is_ordered=None)
    (kept,) = sift([unknown], asked).kept
    assert kept.flags == (
        "energy above the hull is unknown: it was not checked",
        "band gap is unknown: it was not checked",
        "whether it is ordered is unknown: it was not checked",
    )
    assert sift([kept], asked).kept[0].flags == kept.flags, "once"
    (kept,) = sift([unknown], CandidateFilters(ordered_only=False)).kept
    assert kept.flags == ()
    (kept,) = sift([candidate(energy_above_hull_eV_per_atom=-0.01)], asked).kept
    assert kept.flags == ("band gap is unknown: it was not checked",)


def test_what_lies_on_a_limit_passes():
    filters = CandidateFilters(
        mobile_fraction=(0.375, 0.375),
        elements=3,
        energy_above_hull_eV_per_atom=0.05,
        band_gap_eV=1.0,
        max_atoms=16,
        min_mobile_per_cell=6,
    )
    assert sift([candidate(energy_above_hull_eV_per_atom=0.05, band_gap_eV=1.0)], filters).kept


def test_groups_of_elements_are_those_of_iupac():
    metals = ELEMENT_GROUPS["transition-metals"]
    assert {"Sc", "Fe", "Cu", "Zr", "Ag", "Hf", "Au"} <= set(metals)
    assert not {"Zn", "Cd", "Hg", "La", "Ga", "Li"} & set(metals)
    assert len(metals) == 26, "groups 3 to 11 of periods 4 to 6, La aside"
    assert elements_of(["Cl", "transition-metals", "Cl"]) == ("Cl", *metals)
    assert CandidateFilters(exclude_elements="noble-gases").excluded[0] == "He"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("transition-metal", "did you mean transition-metals?"), ("cl", "did you mean Cl?"), ("halogens", "neither")],
)
def test_unknown_elements_are_told_with_what_was_meant(name, meant):
    with pytest.raises(InputError, match=meant.replace("?", r"\?")):
        elements_of([name])
    with pytest.raises(ValidationError, match="neither an element nor one of the groups"):
        CandidateFilters(exclude_elements=(name,))


@pytest.mark.parametrize(
    "document",
    [
        {"mobile": "lithium"},
        {"mobile_fraction": [0.8, 0.2]},
        {"mobile_fraction": [0.2, 1.2]},
        {"elements": [4, 3]},
        {"elements": 0},
        {"band_gap_eV": -1.0},
        {"stability": 0.1},
    ],
)
def test_filters_that_make_no_sense_are_refused(document):
    with pytest.raises(ValidationError):
        CandidateFilters.model_validate(document)


def copies(crystal: Atoms) -> dict[str, Atoms]:
    """Return the same crystal as other people write it down."""
    repeated = crystal.repeat((2, 1, 1))
    turned = crystal.copy()
    turned.rotate(33, (1, 2, 3), rotate_cell=True)
    shifted = crystal.copy()
    shifted.positions += (0.3, 0.4, 0.5)
    shifted.wrap()
    shuffled = crystal[np.random.default_rng(1).permutation(len(crystal))]
    skewed = crystal.copy()
    skewed.set_cell(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) @ crystal.cell.array)
    skewed.wrap()
    swollen = crystal.copy()
    swollen.set_cell(crystal.cell * 1.015, scale_atoms=True)
    rattled = crystal.repeat((1, 1, 2))
    rattled.rattle(0.02, seed=3)
    mirrored = crystal.copy()
    mirrored.set_cell(crystal.cell * [1, 1, -1], scale_atoms=True)
    return {
        "repeated": repeated,
        "turned": turned,
        "shifted": shifted,
        "shuffled": shuffled,
        "skewed": skewed,
        "swollen": swollen,
        "rattled": rattled,
        "mirrored": mirrored,
    }


@pytest.mark.parametrize("name", ["gamma-li3ps4", "beta-li3ps4"])
def test_copies_of_a_crystal_are_the_same(name):
    crystal = build_crystal(name)
    for how, copy in copies(crystal).items():
        alike = likeness(crystal, copy)
        assert alike > SIMILAR, how
        if how != "rattled":
            assert alike == pytest.approx(1, abs=1e-6), how


def test_polymorphs_and_a_moved_ion_are_not():
    gamma, beta = build_crystal("gamma-li3ps4"), build_crystal("beta-li3ps4")
    assert reduced_formula(gamma) == reduced_formula(beta)
    assert likeness(gamma, beta) < 0.9
    # One of 24 Li elsewhere: 0.9 Å away, in a cell four times as large.
    moved = gamma.repeat((2, 2, 1))
    moved.positions[0] += (0.9, 0, 0)
    assert likeness(gamma, moved) < SIMILAR


def test_repeats_that_do_not_divide_each_other_are_the_same():
    gamma = build_crystal("gamma-li3ps4")
    double, triple = gamma.repeat((2, 1, 1)), gamma.repeat((1, 3, 1))
    assert likeness(double, triple) == pytest.approx(1, abs=1e-6)


def test_the_first_of_a_crystal_is_kept_and_knows_the_others_names():
    gamma, beta = build_crystal("gamma-li3ps4"), build_crystal("beta-li3ps4")
    found = [
        candidate(gamma, identifier="gamma"),
        candidate(beta, identifier="beta"),
        candidate(copies(gamma)["turned"], identifier="mp-1", other_identifiers=("old-1",)),
        candidate(build_crystal("li7p3s11"), identifier="other"),
        candidate(copies(beta)["rattled"], identifier="mp-2"),
    ]
    distinct = without_duplicates(found)
    assert [one.identifier for one in distinct.kept] == ["gamma", "beta", "other"]
    assert [one.other_identifiers for one in distinct.kept] == [("mp-1", "old-1"), ("mp-2",), ()]
    assert [one.identifier for one in distinct.refused] == ["mp-1", "mp-2"]
    assert distinct.refused[0].reason == "it is the same crystal as gamma of a test (1.00000)"


def test_what_is_alone_with_its_formula_or_much_denser_costs_nothing():
    gamma = build_crystal("gamma-li3ps4")
    dense = gamma.copy()
    dense.set_cell(gamma.cell * 0.9, scale_atoms=True)
    begun = time.process_time()
    distinct = without_duplicates([candidate(gamma), candidate(dense), candidate(build_crystal("li7p3s11"))])
    assert len(distinct.kept) == 3
    assert time.process_time() - begun < 0.5


def test_a_candidate_survives_a_document_to_the_last_bit():
    one = candidate(
        build_crystal("li7p3s11"),
        other_identifiers=("b",),
        band_gap_eV=0.1 + 0.2,
        is_ordered=None,
        provenance={"license": "CC BY 4.0"},
        flags=("odd",),
    )
    back = candidate_from_document(json.loads(json.dumps(one.as_document())))
    assert np.array_equal(back.atoms.positions, one.atoms.positions)
    assert back.hash == one.hash == one.as_document()["structure_hash"]
    assert back.as_document() == one.as_document()
    assert Refusal.of(one, "no").as_document()["formula"] == "Li7P3S11"


def test_names_of_systems_are_short_unlike_and_independent_of_order():
    gamma, beta = build_crystal("gamma-li3ps4"), build_crystal("beta-li3ps4")
    found = [
        candidate(gamma, identifier="mp-985583"),
        candidate(gamma, identifier="a/b c"),
        candidate(beta, identifier="A-b-C"),
        candidate(beta, identifier="x" * 80),
        candidate(beta, identifier="x" * 80),
    ]
    names = system_names(found)
    assert names[0] == "Li3PS4-mp-985583"
    assert names[1] == f"Li3PS4-a-b-c-{found[1].hash[:8]}"
    assert len({name.lower() for name in names}) == len(names)
    assert all(len(name) <= 40 and name.replace("-", "").isalnum() for name in names)
    assert system_names(found[::-1][2:])[::-1] == names[:3]
