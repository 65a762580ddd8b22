"""Candidates from files, and from the Materials Project without ever showing its user's key."""

from __future__ import annotations

import inspect
import json
import logging
import traceback
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from ase.io import write
from pydantic import TypeAdapter, ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.candidates import materials_project
from ionloop.sampling.candidates.base import SourceRequest, SourceUnavailable
from ionloop.sampling.candidates.collecting import collect
from ionloop.sampling.candidates.files import FILES, FileSource
from ionloop.sampling.candidates.filters import CandidateFilters
from ionloop.sampling.candidates.materials_project import MATERIALS_PROJECT, MaterialsProjectSource
from ionloop.sampling.candidates.registry import CANDIDATE_SOURCES, CandidateSourceSettings
from ionloop.sampling.structures.crystals import build_crystal

SECRET = "s3cr3tKeyOfTheUser0123456789abcd"
PARTIAL = """data_partial
_cell_length_a 5.7
_cell_length_b 5.7
_cell_length_c 5.7
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0.25 0.25 0.25 0.5
S1 S 0 0 0 1.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    gamma, beta = build_crystal("gamma-li3ps4"), build_crystal("beta-li3ps4")
    write(folder / "a.cif", build_crystal("li7p3s11"))
    beta.info.update(identifier="mp-9", energy_above_hull_eV_per_atom=0.01, band_gap_eV=2.8)
    write(folder / "b.extxyz", [gamma, beta])
    (folder / "c.cif").write_text(PARTIAL)
    (folder / "d.cif").write_text("data_nothing\n")
    (folder / "g.extxyz").write_text("3\nLattice=\n")
    molecule = gamma.copy()
    molecule.pbc = False
    molecule.cell = None
    write(folder / "e.xyz", molecule)
    overlapping = gamma.copy()
    overlapping.positions[1] = overlapping.positions[0]
    write(folder / "f.extxyz", overlapping)
    return folder


def gather(folder, *paths, **values):
    return FILES.gather(SourceRequest(FileSource(paths=paths, **values), CandidateFilters(), folder))


def test_every_structure_of_every_file_is_read(folder):
    found = gather(folder, "*.cif", "b.*", "b.extxyz", "li4p2s6")
    assert [(one.identifier, one.source) for one in found.candidates] == [
        ("a", "a.cif"),
        ("b-1", "b.extxyz"),
        ("mp-9", "b.extxyz"),
        ("li4p2s6", "li4p2s6"),
    ]
    assert [one.formula for one in found.candidates] == ["Li7P3S11", "Li3PS4", "Li3PS4", "Li2PS3"]
    beta = found.candidates[2]
    assert (beta.energy_above_hull_eV_per_atom, beta.band_gap_eV) == (0.01, 2.8)
    assert found.candidates[1].unknown == ("energy above the hull", "band gap")
    assert not beta.atoms.info
    assert np.allclose(beta.atoms.positions, build_crystal("beta-li3ps4").positions, atol=1e-6)


def test_what_cannot_be_computed_stops_nothing_and_is_told(folder):
    found = gather(folder, "*.*")
    assert [one.identifier for one in found.candidates] == ["a", "b-1", "mp-9"]
    told = {one.identifier: one.reason for one in found.refusals}
    assert told["c"] == "it has partly occupied sites (Li 0.5 at (0.25 0.25 0.25), 8 in the cell): order it first"
    assert told["d"] == "it holds no structure"
    assert "is no structure that ASE can read" in told["g"]
    assert told["e"].startswith("it has no cell that is periodic in three directions")
    assert told["f"].startswith("In it atoms 0 (Li) and 1 (Li) are 0.000 Å apart")


def test_files_that_are_not_there_are_an_error_of_the_input(folder):
    for path, words in (("none*.cif", "No file is called"), ("none.cif", "does not exist"), ("", "at least 1")):
        with pytest.raises((InputError, ValidationError), match=words):
            gather(folder, path)
    with pytest.raises(InputError, match=r"is a folder: write folder/\*\.cif"):
        gather(folder.parent, folder.name)


def test_more_files_than_wanted_are_told(folder):
    found = gather(folder, "a.cif", "b.extxyz", max_candidates=2)
    assert len(found.candidates) == 2
    assert found.incomplete == "b.extxyz and what follows hold more than the 2 of max_candidates"


def test_sources_are_kinds_with_settings():
    assert CANDIDATE_SOURCES.names == ("files", "optimade", "materials-project")
    adapter = TypeAdapter(CandidateSourceSettings)
    for document in (
        {"kind": "files", "paths": "structures/*.cif"},
        {"kind": "optimade", "url": "https://optimade.example.org"},
        {"kind": "materials-project", "ids": ["mp-1", "mp-aabbz"]},
    ):
        settings = adapter.validate_python(document)
        kind = CANDIDATE_SOURCES.get(settings.name_of_kind)
        assert isinstance(settings, kind.settings_type)
        assert adapter.validate_json(json.dumps(settings.model_dump(mode="json"))) == settings
        assert kind.describe(settings)
        for name, field in kind.settings_type.model_fields.items():
            assert field.description, name


class Element(NamedTuple):
    symbol: str


def structure(atoms, share=1.0):
    def site(symbol, position):
        return SimpleNamespace(species={Element(symbol): share}, coords=position)

    sites = [site(symbol, position) for symbol, position in zip(atoms.symbols, atoms.positions, strict=True)]

    class Structure(list):
        lattice = SimpleNamespace(matrix=atoms.cell.array)

    return Structure(sites)


def summary(identifier, atoms, share=1.0, **values):
    defaults = {"energy_above_hull": 0.0, "band_gap": 2.5, "theoretical": False, "last_updated": "2026-01-01"}
    return SimpleNamespace(material_id=identifier, structure=structure(atoms, share), **{**defaults, **values})


class Client:
    """Stands for the Materials Project's client: it answers, notes what it was asked, logs and fails as told."""

    documents: tuple = ()
    fails_after = None
    asked: ClassVar[list] = []

    def __init__(self, api_key, mute_progress_bars):
        self.key = api_key
        self.materials = SimpleNamespace(summary=SimpleNamespace(search=self.search))

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def search(self, **query):
        logging.getLogger("urllib3").warning("x-api-key: %s", self.key)
        type(self).asked.append(query)
        if self.fails_after is not None and len(self.asked) > self.fails_after:
            try:
                raise ConnectionError(f"refused: {self.key}")
            except ConnectionError as error:
                logging.getLogger("mp_api").exception("failed")
                raise RuntimeError(f"key {self.key} is not valid") from error
        wanted = query.get("material_ids")
        return [
            one for one in self.documents if wanted is None or {*wanted} & {one.material_id, getattr(one, "old", "")}
        ]


@pytest.fixture
def client(monkeypatch):
    class Fresh(Client):
        asked: ClassVar[list] = []

    monkeypatch.setenv("MP_API_KEY", SECRET)
    monkeypatch.setattr(materials_project, "_rester", lambda: Fresh)
    Fresh.documents = (
        summary("mp-zz", build_crystal("gamma-li3ps4"), old="mp-1211324"),
        summary("mp-2", build_crystal("li7p3s11"), energy_above_hull=None, band_gap=None, theoretical=True),
        summary("mp-3", build_crystal("gamma-li3ps4"), share=0.5),
    )
    return Fresh


def ask(**values):
    filters = CandidateFilters(elements=3, exclude_elements=("Cl",), max_atoms=100)
    return MATERIALS_PROJECT.gather(SourceRequest(MaterialsProjectSource(**values), filters))


def test_the_materials_project_is_asked_for_what_the_filters_allow(client):
    found = ask()
    (query,) = client.asked
    assert query["elements"] == ["Li"]
    assert query["num_elements"] == (3, 3)
    assert query["num_sites"] == (1, 100)
    assert query["exclude_elements"] == ["Cl"]
    assert query["include_gnome"] is False
    assert [one.identifier for one in found.candidates] == ["mp-2", "mp-zz"]
    unsure, known = found.candidates
    assert unsure.unknown == ("energy above the hull", "band gap")
    assert unsure.provenance["origin"] == "computed only"
    assert (known.energy_above_hull_eV_per_atom, known.band_gap_eV) == (0.0, 2.5)
    assert np.array_equal(known.atoms.positions, build_crystal("gamma-li3ps4").positions)
    assert found.refusals[0].reason == "it has partly occupied sites (Li 0.5; P 0.5; S 0.5): order it first"


def test_old_and_new_names_are_both_kept(client):
    found = ask(ids=["mp-1211324", "mp-404"])
    (one,) = found.candidates
    assert (one.identifier, one.other_identifiers) == ("mp-zz", ("mp-1211324",))
    assert [str(refusal) for refusal in found.refusals] == [
        "mp-404 of the Materials Project: there is no such material."
    ]


def test_the_key_is_nowhere(client, caplog, capfd, tmp_path):
    """Not in logs, errors and their chains, settings, documents."""
    with caplog.at_level(logging.DEBUG):
        found = ask(ids=["mp-1211324"])
        client.fails_after = 0
        with pytest.raises(SourceUnavailable) as told:
            ask()
        client.fails_after = len(client.asked) + 1
        partly = ask(ids=["mp-1211324", "mp-2"])
    assert "key (key) is not valid" in str(told.value)
    assert "key (key) is not valid" in partly.incomplete
    assert len(partly.candidates) == 1
    assert "x-api-key: (key)" in caplog.text
    shown = "".join(traceback.format_exception(told.value))
    chain = repr((told.value.__cause__, told.value.__context__, told.value.args))
    documents = json.dumps([one.as_document() for one in (*found.candidates, *partly.candidates)])
    settings = MaterialsProjectSource(ids=("mp-1",))
    for text in (
        *(caplog.text, shown, chain, documents, repr(found), repr(partly), *capfd.readouterr()),
        *(settings.model_dump_json(), json.dumps(settings.identifying_values()), repr(settings)),
    ):
        assert SECRET not in text
    logging.getLogger("after").warning("%s", SECRET)
    assert SECRET in caplog.text, "only while the client has it"


@pytest.mark.parametrize("name", ["key", "api_key", "MP_API_KEY"])
def test_a_key_in_a_file_is_refused_without_being_shown(name):
    with pytest.raises(ValidationError) as told:
        TypeAdapter(CandidateSourceSettings).validate_python({"kind": "materials-project", name: SECRET})
    message = told.value.errors()[0]["msg"]
    assert "remove it from the file" in message
    assert SECRET not in message


def test_without_a_key_or_a_client_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setenv("MP_API_KEY", " ")
    with pytest.raises(InputError, match="environment variable MP_API_KEY"):
        ask()
    monkeypatch.setenv("MP_API_KEY", SECRET)
    monkeypatch.setitem(__import__("sys").modules, "mp_api.client", None)
    with pytest.raises(InputError, match=r"pip install 'ionloop\[materials-project\]'"):
        ask()


def test_a_source_that_cannot_be_asked_does_not_stop_the_others(client, folder):
    client.fails_after = 0
    sources = [FileSource(paths=("a.cif",)), MaterialsProjectSource()]
    found = collect(sources, CandidateFilters(), base_folder=folder)
    assert [one.identifier for one in found.candidates] == ["a"]
    assert "could not be asked" in found.incomplete[0]
    with pytest.raises(SourceUnavailable):
        collect(sources[1:], CandidateFilters())


def test_the_real_client_understands_what_it_is_asked():
    summaries = pytest.importorskip("mp_api.client.routes.materials.summary", reason="mp-api is not installed")
    names = inspect.signature(summaries.SummaryRester.search).parameters
    assert {"elements", "num_elements", "num_sites", "exclude_elements", "deprecated", "material_ids"} <= set(names)
    assert {"fields", "all_fields", "include_gnome"} <= set(names)
