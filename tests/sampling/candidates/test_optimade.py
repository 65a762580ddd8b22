"""Candidates out of a database that speaks OPTIMADE: what the reference server answers, with and without faults."""

from __future__ import annotations

import copy
import json
import time
import urllib.parse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_optimade import Loopback, entry, interpreter, passed_on, reference_server, replayed
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.candidates.base import SourceRequest, SourceUnavailable
from ionloop.sampling.candidates.candidate import Candidate, Refusal
from ionloop.sampling.candidates.collecting import collect
from ionloop.sampling.candidates.filters import CandidateFilters
from ionloop.sampling.candidates.json_client import ForeignAddress, JsonClient
from ionloop.sampling.candidates.optimade import OPTIMADE, OptimadeSource, optimade_filter
from ionloop.sampling.candidates.optimade_entries import EntryReader
from ionloop.sampling.candidates.provider_fields import ENERGY_ABOVE_HULL_FIELDS, looked_up
from ionloop.sampling.structures.crystals import build_crystal

FILTERS = CandidateFilters(elements=(2, 4))
SURVEY = CandidateFilters(
    elements=(2, 4), exclude_elements=("transition-metals",), energy_above_hull_eV_per_atom=0.05, band_gap_eV=1.0
)
ALL = ["li7p3s11", "beta", "gamma", "hypodiphosphate", "suzuki", "zirconate", "metallic", "sulphide", "chloride"]
PAGES = 4


def source(url: str, **values) -> OptimadeSource:
    return OptimadeSource(url=url, **{"page_limit": 3, "first_wait_s": 0.0, **values})


def gather(url: str, filters: CandidateFilters = FILTERS, **values):
    return OPTIMADE.gather(SourceRequest(source(url, **values), filters))


def is_page(path: str) -> bool:
    return path.startswith("/v1/structures")


def edited(change):
    """Return a fault that changes the JSON of pages with structures."""

    def fault(path: str, earlier: int, content: bytes) -> tuple[int, bytes]:
        if not is_page(path):
            return 200, content
        document = json.loads(content)
        change(document, path)
        return 200, json.dumps(document).encode()

    return fault


def test_all_pages_are_read_and_every_field_is_mapped():
    with Loopback(replayed("with-properties")) as server:
        found = gather(server.url)
        pages = [path for path in server.requests if is_page(path)]
    assert len(pages) == PAGES
    assert [one.identifier for one in found.candidates] == ALL
    assert (found.notes, found.incomplete) == ((), "")
    first = found.candidates[0]
    crystal = build_crystal("li7p3s11")
    assert list(first.atoms.symbols) == list(crystal.symbols)
    assert np.allclose(first.atoms.positions, crystal.positions, atol=1e-6)
    assert np.allclose(first.atoms.cell, crystal.cell, atol=1e-6)
    assert (first.energy_above_hull_eV_per_atom, first.band_gap_eV, first.is_ordered) == (0.022, 2.6, True)
    assert first.other_identifiers == ("first-li7p3s11",)
    assert first.provenance["energy_above_hull_field"] == "_oqmd_stability"
    assert first.provenance["provider"] == "Loopback"
    assert first.source == urllib.parse.urlsplit(server.url).netloc
    (refusal,) = found.refusals
    assert refusal.identifier == "half-lithium"
    assert refusal.reason == "it has partly occupied sites (Li 0.5, vacancy 0.5 on 8 sites): order it first"


def test_a_survey_of_the_database_is_filtered_and_without_duplicates():
    with Loopback(replayed("with-properties")) as server:
        found = collect([source(server.url)], SURVEY)
    assert [one.identifier for one in found.candidates] == [
        *("li7p3s11", "beta", "gamma", "suzuki", "sulphide", "chloride")
    ]
    assert {one.identifier: one.reason for one in found.filtered} == {
        "hypodiphosphate": "it lies 0.200 eV per atom above the hull, more than 0.05",
        "metallic": "its band gap is 0.00 eV, less than 1",
    }
    assert found.n_found == len(ALL), "the zirconate was not even asked for"
    assert not any(one.flags for one in found.candidates)


def test_a_provider_without_stability_is_told_and_its_crystals_are_kept_with_flags():
    with Loopback(replayed("without-properties")) as server:
        found = collect([source(server.url)], SURVEY)
    host = urllib.parse.urlsplit(server.url).netloc
    assert found.notes == tuple(
        f"{host} has no field for the {what} that ionloop knows of." for what in ("energy above the hull", "band gap")
    )
    assert len(found.candidates) == 7
    assert all(
        one.flags[:2] == tuple(f"{what} is unknown: it was not checked" for what in one.unknown)
        for one in found.candidates
    )
    # The cell that was called metallic there is twice the γ phase, and nothing tells them apart here.
    assert [one.identifier for one in found.duplicates] == ["metallic"]
    gamma = next(one for one in found.candidates if one.identifier == "gamma")
    assert gamma.other_identifiers == ("first-gamma", "metallic", "first-metallic")


def test_a_server_that_stumbles_twice_is_asked_again():
    def fault(path: str, earlier: int, content: bytes) -> tuple[int, bytes]:
        return (500, b"<html>busy</html>") if earlier < 2 else (200, content)

    with Loopback(replayed("with-properties"), fault) as server:
        found = gather(server.url)
        assert len(server.requests) == 3 * (PAGES + 2)
    assert [one.identifier for one in found.candidates] == ALL


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, b'{"errors": [{"detail": "out of memory"}]}'), "in 2 attempts: HTTP 500: out of memory"),
        ((200, b"<html>\x1b[31m down for\nmaintenance"), "its answer is no JSON: '<html> [31m down for maintenance'"),
        ((200, b"[1, 2]"), "its answer is JSON, but no object"),
        ((200, b"[" * 100_000), "its answer is no JSON"),
    ],
)
def test_a_server_that_is_down_is_unavailable(answer, reason):
    with (
        Loopback(lambda path, url: answer) as server,
        pytest.raises(SourceUnavailable, match="gave no usable answer") as told,
    ):
        gather(server.url, attempts=2)
    assert reason in str(told.value)


def test_a_server_that_is_not_there_or_silent_is_unavailable():
    with pytest.raises(SourceUnavailable, match="in one attempt"):
        gather("http://127.0.0.1:9", attempts=1)

    def silent(path: str, url: str) -> tuple[int, bytes]:
        time.sleep(0.5)
        return 200, b"{}"

    with Loopback(silent) as server, pytest.raises(SourceUnavailable, match=r"no answer within 0\.1 s|timed out"):
        gather(server.url, attempts=1, timeout_s=0.1)


def test_an_answer_that_is_too_large_is_not_read():
    with (
        Loopback(lambda path, url: (200, b" " * 200_000)) as server,
        pytest.raises(SourceUnavailable, match=r"more than 0\.1 MB"),
    ):
        gather(server.url, largest_answer_MB=0.1)


def test_a_refused_question_is_an_error_of_the_input():
    def fault(path: str, earlier: int, content: bytes) -> tuple[int, bytes]:
        return (400, b'{"errors": [{"detail": "Unable to parse"}]}') if is_page(path) else (200, content)

    with (
        Loopback(replayed("with-properties"), fault) as server,
        pytest.raises(InputError, match="refuses the question: HTTP 400: Unable to parse"),
    ):
        gather(server.url)


def test_a_database_that_cannot_exclude_elements_gives_more_and_it_is_told():
    def fault(path: str, earlier: int, content: bytes) -> tuple[int, bytes]:
        return (501, b"{}") if "NOT" in path else (200, content)

    with Loopback(replayed("with-properties"), fault) as server:
        found = collect([source(server.url)], SURVEY)
    assert found.notes[0].endswith("cannot exclude elements: they were left out afterwards.")
    assert len(found.candidates) == 6
    assert "it holds Zr, which is excluded" in [one.reason for one in found.filtered]


def test_a_later_page_that_cannot_be_had_leaves_what_was_read():
    def fault(path: str, earlier: int, content: bytes) -> tuple[int, bytes]:
        return (503, b"") if "page_offset=6" in path else (200, content)

    with Loopback(replayed("with-properties"), fault) as server:
        found = gather(server.url, attempts=2)
    assert [one.identifier for one in found.candidates] == ALL[:5]
    assert "a later page" in found.incomplete
    assert "HTTP 503" in found.incomplete


def test_malformed_entries_are_skipped_and_told():
    def spoil(document, path):
        if "page_offset" not in path:
            document["data"][1]["attributes"]["lattice_vectors"][0] = [1.0, None, 0.0]
            document["data"] += [None, {"id": "bare"}, {"attributes": {}}, 7]

    with Loopback(replayed("with-properties"), edited(spoil)) as server:
        found = gather(server.url)
    assert [one.identifier for one in found.candidates] == [name for name in ALL if name != "beta"]
    told = [str(one) for one in found.refusals if one.identifier != "half-lithium"]
    host = urllib.parse.urlsplit(server.url).netloc
    assert told == [
        f"beta of {host}: the entry is malformed: lattice_vectors.0.1: input should be a valid number.",
        f"entry 4 of a page of {host}: the entry is malformed: it has no id.",
        f"bare of {host}: the entry is malformed: attributes: input should be a valid dictionary or instance of "
        "_Attributes.",
        f"entry 6 of a page of {host}: the entry is malformed: it has no id.",
        f"entry 7 of a page of {host}: the entry is malformed: it has no id.",
    ]


def test_pages_that_never_end_are_left():
    def more(document, path):
        offset = int(urllib.parse.parse_qs(urllib.parse.urlsplit(path).query).get("page_offset", ["0"])[0])
        document["links"]["next"] = f"/v1/structures?page_offset={offset + 3}"

    first = []

    def endless(path: str, url: str) -> tuple[int, bytes]:
        status, content = replayed("with-properties")(path, url)
        if status == 200 and is_page(path):
            first[:] = first or [content]
        return (200, first[0]) if is_page(path) else (status, content)

    with Loopback(endless, edited(more)) as server:
        found = gather(server.url)
        assert len(server.requests) == 4
    assert len(found.candidates) == 3
    assert found.incomplete.endswith("promises more and sends nothing new")


def test_pages_in_a_circle_are_left():
    def back(document, path):
        document["links"]["next"] = {"href": path}

    with Loopback(replayed("with-properties"), edited(back)) as server:
        found = gather(server.url)
    assert len(found.candidates) == 3
    assert "leads in a circle" in found.incomplete


@pytest.mark.parametrize(
    "elsewhere", ["http://169.254.169.254/v1/structures", "file:///etc/passwd", "http://[x", "//b"]
)
def test_no_page_leads_to_another_host(elsewhere):
    def away(document, path):
        document["links"]["next"] = elsewhere

    with Loopback(replayed("with-properties"), edited(away)) as server:
        found = gather(server.url)
        assert len(server.requests) == 3
    assert len(found.candidates) == 3
    assert "was not asked for" in found.incomplete


def test_no_redirection_leads_to_another_host():
    with Loopback(lambda path, url: (302, b"")) as server:
        server.headers["Location"] = "http://localhost:9/v1/info"
        with pytest.raises(SourceUnavailable, match="sends on to another host"):
            gather(server.url)


def test_more_than_is_wanted_is_told():
    with Loopback(replayed("with-properties")) as server:
        found = gather(server.url, max_candidates=4)
    assert len(found.candidates) == 4
    assert "has more (10 in all) than the 4 of max_candidates" in found.incomplete


def test_addresses_keep_to_host_port_and_scheme():
    client = JsonClient("https://a.example.org/optimade/v1")
    assert client.address("structures?x=1#y") == "https://a.example.org/optimade/v1/structures?x=1"
    assert client.address("http://a.example.org/x") == "https://a.example.org/x", "behind a proxy"
    for wrong in (
        "http://a.example.org:8080/",
        "https://a.example.org.evil.net/",
        "https://a@b.net/",
        "ftp://a.example.org/",
    ):
        with pytest.raises(ForeignAddress):
            client.address(wrong)
    with pytest.raises(ForeignAddress):
        JsonClient("http://a.example.org").address("https://a.example.org/")


def test_the_filter_asks_only_for_what_every_database_knows():
    assert optimade_filter(CandidateFilters(band_gap_eV=1.0)) == 'elements HAS "Li" AND nsites<=200'
    assert optimade_filter(
        CandidateFilters(mobile="Na", elements=3, exclude_elements=["Cl", "Br"]), "nsites>3 OR nsites<2"
    ) == (
        'elements HAS "Na" AND nelements=3 AND nsites<=200 AND NOT (elements HAS ANY "Cl", "Br") '
        "AND (nsites>3 OR nsites<2)"
    )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.org",
        "a.org",
        "http://",
        "https://user:word@a.org",
        "https://a.org?x=1",
        "http://a.org:99999",
        "http://[a",
    ],
)
def test_a_base_url_is_one(url):
    with pytest.raises(ValidationError, match="must"):
        OptimadeSource(url=url)


def test_the_version_is_added_where_it_is_missing():
    assert OptimadeSource(url="https://a.org/optimade/").base == "https://a.org/optimade/v1"
    assert OptimadeSource(url="https://a.org/v1.2").base == "https://a.org/v1.2"


READER = EntryReader("a database")
GOOD = entry("one", build_crystal("gamma-li3ps4"))


def read(**values) -> Candidate | Refusal:
    document = {**GOOD, **values}
    return READER.read({"id": document.pop("id"), "attributes": document}, "entry 1")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"dimension_types": [1, 1, 0]}, "it is periodic in 2 directions, not in three"),
        ({"nsites": 17}, "the entry is malformed: 16 positions, and nsites says 17"),
        ({"species_at_sites": ["Li"]}, "the entry is malformed: 16 positions, and species_at_sites says 1"),
        ({"elements": ["Li", "P"]}, "the entry is malformed: its sites hold Li, P, S, not Li, P"),
        ({"structure_features": ["implicit_atoms"]}, "it holds atoms without positions"),
        ({"structure_features": ["assemblies"]}, "its sites are occupied in alternative ways: order it first"),
        ({"species": []}, "the entry is malformed: species holds no Li, P, S"),
        ({"species": None, "species_at_sites": ["Q"] * 16, "elements": None}, "it holds Q, which is no element"),
        ({"lattice_vectors": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "the entry has no cell that is periodic in three"),
        ({"cartesian_site_positions": [[0.0, 0.0, 0.0]] * 16}, "In the entry atoms 0 (Li) and"),
        ({"cartesian_site_positions": []}, "the entry is malformed: cartesian_site_positions: list should have at"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_its_reason(values, reason):
    refusal = read(**values)
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith(reason)


def test_mixed_and_attached_species_are_refused():
    species = GOOD["species"]
    mixed = copy.deepcopy(species)
    mixed[1] |= {"chemical_symbols": ["P", "As"], "concentration": [0.75, 0.25]}
    assert read(species=mixed).reason == "it has partly occupied sites (P 0.75, As 0.25 on 2 sites): order it first"
    attached = copy.deepcopy(species)
    attached[2] |= {"attached": ["H"], "nattached": [1]}
    assert read(species=attached).reason == "atoms without positions are attached to S"


def test_what_is_said_of_order_is_kept():
    assert read().is_ordered is True
    assert read(species=None).is_ordered is None
    assert read(structure_features=["disorder"]).is_ordered is False


@pytest.mark.parametrize(
    ("attributes", "value", "field"),
    [
        (
            {"_mp_stability": {"gga_gga+u": {"energy_above_hull": 0.1}}},
            0.1,
            "_mp_stability.gga_gga+u.energy_above_hull",
        ),
        ({"_oqmd_stability": -0.01}, -0.01, "_oqmd_stability"),
        ({"_alexandria_hull_distance": 0}, 0.0, "_alexandria_hull_distance"),
        ({"_jarvis_ehull": "na"}, None, ""),
        ({"_jarvis_ehull": True}, None, ""),
        ({"_odbx_thermodynamics": {"hull_distance": 0.3}}, 0.3, "_odbx_thermodynamics.hull_distance"),
        ({"_odbx_thermodynamics": [0.3]}, None, ""),
        ({"_gnome_hull_distance": float("nan")}, None, ""),
        ({}, None, ""),
    ],
)
def test_providers_fields_are_found_where_they_are(attributes, value, field):
    found = looked_up(attributes, ENERGY_ABOVE_HULL_FIELDS)
    assert (found.value, found.field) == (value, field)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(GOOD)), value=JSON_VALUES)
def test_no_value_of_any_field_ends_the_reading(key, value):
    found = read(**{key: value})
    assert isinstance(found, Candidate | Refusal)
    if isinstance(found, Refusal):
        assert found.reason


@given(JSON_VALUES)
def test_no_entry_ends_the_reading(value):
    assert isinstance(READER.read(value, "entry 1"), Refusal)


@pytest.mark.slow
@pytest.mark.skipif(interpreter() is None, reason="no interpreter here has optimade[server]")
def test_the_reference_server_answers_as_recorded_and_through_faults(tmp_path):
    with (
        reference_server(tmp_path / "with") as base,
        reference_server(tmp_path / "without", with_properties=False) as mute,
    ):
        found = gather(base)
        with Loopback(replayed("with-properties")) as server:
            recorded = gather(server.url)
        strip = {"source": "", "provenance": {}}
        assert [one.as_document() | strip for one in found.candidates] == [
            one.as_document() | strip for one in recorded.candidates
        ]
        assert [one.reason for one in found.refusals] == [one.reason for one in recorded.refusals]
        # Its largest page is smaller than what is asked for by itself.
        large = OPTIMADE.gather(SourceRequest(OptimadeSource(url=base), FILTERS))
        assert [one.identifier for one in large.candidates] == ALL
        own = gather(base, filter='chemical_formula_reduced="Li3PS4"')
        assert [one.identifier for one in own.candidates] == ["beta", "gamma", "metallic"]
        with pytest.raises(InputError, match="refuses the question"):
            gather(base, filter="nonsense ((")

        def stumbling(path: str, earlier: int, content: bytes) -> tuple[int, bytes]:
            return (500, b"") if earlier < 2 else (200, content)

        with Loopback(passed_on(mute), stumbling) as server:
            both = collect([source(base), source(server.url)], SURVEY)
    assert [one.identifier for one in both.candidates] == [
        *("li7p3s11", "beta", "gamma", "suzuki", "sulphide", "chloride", "hypodiphosphate")
    ], "the second database does not know that the last one is unstable"
    assert {one.identifier for one in both.duplicates} == {*ALL} - {"hypodiphosphate", "zirconate"}
