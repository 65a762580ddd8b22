"""Candidates from files, OPTIMADE and the Materials Project; filters; crystals that are there twice."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.workflows.survey.candidates import optimade
from ionloop.workflows.survey.candidates.candidate import Candidate
from ionloop.workflows.survey.candidates.files import read_files
from ionloop.workflows.survey.candidates.filters import CandidateFilters, filter_reason, labels, same_crystal, wanted
from ionloop.workflows.survey.candidates.materials_project import KEY_VARIABLE, fetch_materials_project
from ionloop.workflows.survey.candidates.optimade import ProviderFailed, fetch_optimade, optimade_filter

from .provider import entry_of, provider

NAMES = ("li7p3s11", "beta-li3ps4", "gamma-li3ps4", "li4p2s6")
PARTIAL_CIF = """data_partial
_cell_length_a 5.0
_cell_length_b 5.0
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0.0 0.0 0.0 0.5
P1 P 0.5 0.5 0.5 1.0
S1 S 0.5 0.0 0.5 1.0
"""


def _candidate(name, source="test", **known):
    atoms = build_crystal(name) if isinstance(name, str) else name
    return Candidate(source, (str(name) if isinstance(name, str) else "given",), atoms, **known)


@pytest.fixture
def crystals():
    return [entry_of(f"one-{place}", build_crystal(name)) for place, name in enumerate(NAMES)]


def test_files_are_read_and_shared_sites_are_refused_with_what_to_do(tmp_path):
    write(tmp_path / "sulphide.cif", build_crystal("gamma-li3ps4"))
    write(tmp_path / "two.extxyz", [build_crystal("li4p2s6"), build_crystal("beta-li3ps4")])
    (tmp_path / "partial.cif").write_text(PARTIAL_CIF)
    (tmp_path / "broken.cif").write_text("data_\nnothing at all")
    found = read_files(["*.cif", "two.extxyz"], tmp_path)
    assert sorted(one.identifiers[0] for one in found.candidates) == ["sulphide", "two-1", "two-2"]
    reasons = {one.name: one.reason for one in found.left_out}
    assert "order it first" in reasons["partial"]
    assert "Li 0.5" in reasons["partial"]
    assert "cannot be read" in reasons["broken.cif"]
    with pytest.raises(InputError, match=r"no file matches 'none\.\*'"):
        read_files(["none.*"], tmp_path)


def test_the_question_is_that_of_the_design():
    assert optimade_filter("Li", 3, 200) == 'elements HAS "Li" AND nelements=3 AND nsites<=200'


@pytest.mark.parametrize("links", ["object", "text"])
def test_all_pages_are_taken_and_structures_are_those_that_are_there(crystals, links):
    with provider(crystals, links=links) as (address, asked):
        found = fetch_optimade(address, optimade_filter("Li", 3, 200), page_limit=3)
    assert [one.identifiers for one in found.candidates] == [(f"one-{n}", f"one-{n}-new") for n in range(4)]
    assert len(asked) == 2
    assert asked[0][0] == "/v1/structures"
    for candidate, name in zip(found.candidates, NAMES, strict=True):
        assert np.allclose(candidate.atoms.positions, build_crystal(name).positions)
        assert np.allclose(candidate.atoms.cell, build_crystal(name).cell)
    assert all("says nothing" in flag for one in found.candidates for flag in one.flags)


@pytest.mark.parametrize(
    ("own", "hull", "gap"),
    [
        ({"_mp_stability": {"gga_gga+u": {"energy_above_hull": 0.02}}}, 0.02, None),
        ({"_oqmd_stability": -0.01, "_oqmd_band_gap": 2.5}, -0.01, 2.5),
        ({"_alexandria_hull_distance": 0.03, "_alexandria_band_gap": 1.5}, 0.03, 1.5),
        ({"_mp_stability": {}, "_oqmd_band_gap": True}, None, None),
        ({"_mp_stability": None}, None, None),
    ],
)
def test_fields_of_providers_are_mapped_and_what_is_absent_is_flagged(own, hull, gap):
    with provider([entry_of("one", build_crystal("gamma-li3ps4"), **own)]) as (address, _):
        (one,) = fetch_optimade(address, optimade_filter("Li")).candidates
    assert (one.energy_above_hull_eV_per_atom, one.band_gap_eV) == (hull, gap)
    assert len(one.flags) == (hull is None) + (gap is None)
    kept, left = wanted([one], CandidateFilters())
    assert (len(kept), left) == (1, [])


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_told(crystals, monkeypatch):
    waits = []
    monkeypatch.setattr(optimade.time, "sleep", waits.append)
    with provider(crystals, busy=2) as (address, asked):
        assert len(fetch_optimade(address, optimade_filter("Li")).candidates) == 4
    assert waits == [1.0, 2.0]
    assert len(asked) == 3
    with provider(crystals, busy=99) as (address, _), pytest.raises(ProviderFailed, match=r"status 500.*asked 5 times"):
        fetch_optimade(address, optimade_filter("Li"))


def test_entries_that_are_none_are_skipped_and_told(crystals):
    no_cell = entry_of("no-cell", build_crystal("gamma-li3ps4"))
    del no_cell["attributes"]["lattice_vectors"]
    short = entry_of("short", build_crystal("gamma-li3ps4"))
    short["attributes"]["cartesian_site_positions"].pop()
    infinite = entry_of("infinite", build_crystal("gamma-li3ps4"))
    infinite["attributes"]["cartesian_site_positions"][0] = [None, 0.0, 0.0]
    shared = entry_of("shared", build_crystal("gamma-li3ps4"))
    shared["attributes"]["species"][0] |= {"chemical_symbols": ["Li", "vacancy"], "concentration": [0.5, 0.5]}
    flat = entry_of("flat", build_crystal("gamma-li3ps4"), dimension_types=[1, 1, 0])
    bad = [no_cell, short, infinite, shared, flat, "text", {"id": "bare"}, None]
    with provider([*crystals[:1], *bad, *crystals[1:]]) as (address, _):
        found = fetch_optimade(address, optimade_filter("Li"), page_limit=3)
    assert len(found.candidates) == 4
    assert len(found.left_out) == len(bad)
    reasons = {one.name: one.reason for one in found.left_out}
    assert "order it first" in reasons["shared"]
    assert "malformed" in reasons["no-cell"]


def test_a_server_that_refuses_fields_of_others_is_asked_without(crystals):
    with provider(crystals, refuses_foreign=True) as (address, asked):
        found = fetch_optimade(f"{address}/v1/", optimade_filter("Li"))
    assert len(found.candidates) == 4
    assert "refuses fields" in found.notes[0]
    assert "_mp_stability" not in asked[1][1]["response_fields"]


@pytest.mark.parametrize("page", [[], {"data": {}}, {}])
def test_what_is_not_optimade_is_told(page, monkeypatch):
    monkeypatch.setattr(optimade, "_get", lambda *_: page if isinstance(page, dict) else {"data": None})
    with pytest.raises(ProviderFailed, match="OPTIMADE"):
        fetch_optimade("http://127.0.0.1:1", optimade_filter("Li"))


def test_pages_of_other_machines_and_circles_are_refused(monkeypatch):
    pages = {"data": [], "links": {"next": "http://example.org/v1/structures"}}
    monkeypatch.setattr(optimade, "_get", lambda *_: pages)
    with pytest.raises(ProviderFailed, match="another machine"):
        fetch_optimade("http://127.0.0.1:1", optimade_filter("Li"))
    pages["links"]["next"] = "/v1/structures?page_offset=0"
    with pytest.raises(ProviderFailed, match="circle"):
        fetch_optimade("http://127.0.0.1:1", optimade_filter("Li"))
    with pytest.raises(InputError, match="no address"):
        fetch_optimade("optimade.example.org", optimade_filter("Li"))


def _project(monkeypatch, documents, error=None):
    used = {}

    class Rester:
        def __init__(self, key):
            used["key"] = key
            self.materials = SimpleNamespace(summary=SimpleNamespace(search=self.search))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def search(self, **question):
            used["question"] = question
            if error:
                raise RuntimeError(error)
            return documents

    module = ModuleType("mp_api.client")
    module.MPRester = Rester
    monkeypatch.setitem(sys.modules, "mp_api", ModuleType("mp_api"))
    monkeypatch.setitem(sys.modules, "mp_api.client", module)
    return used


def _document(name, atoms, occupancy=1.0, **values):
    sites = [
        SimpleNamespace(species={symbol: occupancy}, frac_coords=place)
        for symbol, place in zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions(), strict=True)
    ]
    structure = type("Structure", (list,), {"lattice": SimpleNamespace(matrix=atoms.cell.array)})(sites)
    return SimpleNamespace(material_id=name, structure=structure, **values)


def test_the_materials_project_is_asked_with_the_key_of_the_environment_which_nobody_sees(monkeypatch, caplog, capsys):
    crystal, key = build_crystal("gamma-li3ps4"), "secret-key-of-the-environment"
    monkeypatch.setenv(KEY_VARIABLE, key)
    documents = [_document("new-1", crystal, energy_above_hull=0.01, band_gap=2.0), _document("new-2", crystal, 0.5)]
    used = _project(monkeypatch, documents)
    found = fetch_materials_project(["mp-985583"], mobile="Li")
    assert used["key"] == key
    (one,) = found.candidates
    assert one.identifiers == ("mp-985583", "new-1")  # the name that was asked for, and the one that answered
    assert (one.energy_above_hull_eV_per_atom, one.band_gap_eV) == (0.01, 2.0)
    assert "order it first" in found.left_out[0].reason
    assert "mp-985583" in found.notes[0]
    _project(monkeypatch, [], error=f"the key {key} is not known")
    with pytest.raises(ProviderFailed) as failure:
        fetch_materials_project(mobile="Li", elements=3)
    told = capsys.readouterr()
    assert key not in f"{failure.value!r} {failure.value.__cause__!r} {failure.value.__context__!r}"
    assert key not in caplog.text + told.out + told.err + repr(found)


def test_without_a_key_or_a_client_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(InputError, match=KEY_VARIABLE):
        fetch_materials_project(mobile="Li")
    monkeypatch.setenv(KEY_VARIABLE, "key")
    monkeypatch.setitem(sys.modules, "mp_api", None)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(InputError, match="pip install mp-api"):
        fetch_materials_project(mobile="Li")


@pytest.mark.parametrize(
    ("symbols", "known", "changes", "reason"),
    [
        ("Li3PS4", {}, {}, ""),
        ("Na3PS4", {}, {}, "holds no Li"),
        ("LiP9S20", {}, {}, "Li is 0.03 of its atoms"),
        ("Li3PS4", {}, {"elements": 4}, "3 elements, not 4"),
        ("Li3FeO4", {}, {}, "holds Fe"),
        ("Li3ZnO4", {}, {}, ""),
        ("Li7La3Zr2O12", {}, {}, "holds Zr"),
        ("Li7La3Zr2O12", {}, {"exclude_elements": ["Fe"]}, ""),
        ("Li3PS4", {"energy_above_hull_eV_per_atom": 0.06}, {}, "0.060 eV/atom above the hull"),
        ("Li3PS4", {"energy_above_hull_eV_per_atom": 0.06}, {"energy_above_hull_eV_per_atom": None}, ""),
        ("Li3PS4", {"band_gap_eV": 0.0}, {}, "band gap is 0.00 eV"),
        ("Li300P100", {}, {}, "has 400 atoms"),
        ("Li3PS4", {}, {"min_mobile_per_cell": 8}, "has 3 Li"),
    ],
)
def test_filters_say_why(symbols, known, changes, reason):
    atoms = Atoms(symbols, cell=[10.0] * 3, pbc=True)
    found = filter_reason(_candidate(atoms, **known), CandidateFilters.model_validate(changes))
    assert reason in found
    assert bool(found) == bool(reason)


def test_filters_refuse_what_is_none():
    for bad in ({"exclude_elements": ["Xx"]}, {"mobile": "Q"}, {"mobile_fraction": [0.8, 0.2]}, {"hull": 1}):
        with pytest.raises(ValidationError):
            CandidateFilters.model_validate(bad)


def test_one_crystal_in_another_cell_is_the_same_and_another_phase_is_not():
    gamma = build_crystal("gamma-li3ps4")
    other = gamma.repeat((1, 2, 1))
    other.rotate(30, "z", rotate_cell=True)
    other = other[np.random.default_rng(1).permutation(len(other))]
    other.positions += [0.3, 0.1, 0.2]
    assert same_crystal(_candidate(gamma), _candidate(other))
    assert not same_crystal(_candidate(gamma), _candidate("beta-li3ps4"))
    assert not same_crystal(_candidate(gamma), _candidate("li4p2s6"))
    kept, left = wanted(
        [_candidate(gamma), _candidate(other, "elsewhere"), _candidate("beta-li3ps4")], CandidateFilters()
    )
    assert len(kept) == 2
    assert "the same crystal as" in left[0].reason


def test_names_tell_candidates_apart():
    names = labels([_candidate("gamma-li3ps4"), _candidate("gamma-li3ps4"), _candidate("li4p2s6")])
    assert len(set(names)) == 3
    assert names[0].startswith("li3ps4-")
