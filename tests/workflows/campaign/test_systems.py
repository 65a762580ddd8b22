"""Campaigns of several structures: what the file may say, and that the short form stays what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionloop.workflows.campaign.baseline_charges import UnknownChargesError, formal_charges
from ionloop.workflows.campaign.problems import CampaignFileError
from ionloop.workflows.campaign.settings import Campaign, stored_campaign
from ionloop.workflows.campaign.systems import origin_of
from ionloop.workflows.submission.campaign_file import load_structures, read_campaign
from ionloop.workflows.submission.slabs import slab_texts

GLASS = "{composition: {Li2S: 3, P2S5: 1}, atoms: 32, density_g_per_cm3: 1.8}"
FILE = f"""
name: lps
systems:
  crystal: {{structure: li7p3s11}}
  beta: {{structure: beta-li3ps4, supercell: [1, 1, 2]}}
  glass: {{structure: {GLASS}}}
baseline: {{charges: formal}}
analyses: {{energy_volume: {{}}, vacancy: {{systems: [beta]}}}}
"""


def read(folder: Path, text: str) -> Campaign:
    file = folder / "campaign.yaml"
    file.write_text(text)
    return read_campaign(file)


def problems(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(CampaignFileError) as raised:
        read(folder, text)
    return {one["key"]: one["problem"] for one in raised.value.as_dict()["problems"]}


def test_every_system_has_its_structure_and_the_file_survives_a_store(tmp_path: Path) -> None:
    campaign = read(tmp_path, FILE)
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign
    # Also where it is only shown, by an installation that may lack its kinds.
    assert stored_campaign(campaign.model_dump(mode="json")).systems == campaign.systems
    structures = load_structures(campaign, tmp_path)
    assert {name: len(atoms) for name, atoms in structures.items()} == {"crystal": 42, "beta": 64, "glass": 32}
    crystalline = [name for name, system in campaign.all_systems.items() if system.is_crystalline]
    assert crystalline == ["crystal", "beta"]


def test_the_short_form_is_stored_as_before_there_were_systems() -> None:
    stored = Campaign.model_validate({"name": "a", "structure": "li7p3s11", "analyses": {"locality": {}}}).model_dump(
        mode="json"
    )
    assert "systems" not in stored
    assert "systems" not in stored["analyses"]["locality"]
    assert (stored["structure"], stored["supercell"]) == ("li7p3s11", [1, 1, 1])


@pytest.mark.parametrize(
    ("before", "after", "key", "said"),
    [
        ("name: lps", "name: lps\nstructure: li7p3s11", "structure", "give each of systems its own"),
        ("name: lps", "name: lps\nsupercell: [1, 1, 2]", "supercell", "give each of systems its own"),
        ("crystal:", "fit:", "systems.fit", "means something else in the names of jobs"),
        ("crystal:", "Beta:", "systems.beta", "is too like Beta"),
        ("[beta]", "[betta]", "analyses.vacancy.systems", "is none of the systems"),
        ("li7p3s11", "li7p3s1", "systems.crystal.structure", "cannot be used"),
        ("atoms: 32, ", "atoms: 32, seeds: 2, ", "systems.glass.structure.seeds", "unknown key"),
        (", density_g_per_cm3: 1.8", "", "systems.glass.structure.density_g_per_cm3", "is required"),
        ("1.8}", "1.8}, supercell: [2, 1, 1]", "systems.glass.supercell", "raise that instead"),
        ("P2S5: 1", "P2S6: 1", "systems.glass.structure.composition", "is no neutral composition"),
        ("1.8", "18", "systems.glass.structure", "cannot be packed"),
        (
            "charges: formal",
            "charges: {Li: 0.3, P: 1.5, S: -0.5}",
            "baseline.charges",
            "leave the cell of glass with a charge of",
        ),
        (
            "analyses:",
            "explore: [{kind: random-packing, density_g_per_cm3: 25}]\nanalyses:",
            "explore[0].kind",
            "does not suit the system glass: Li12P4S16, 32 atoms at 25 g/cm³",
        ),
        ("analyses:", "selection: {count: 2}\nanalyses:", "selection.count", "less than one for each of the 3"),
    ],
)
def test_problems_are_told_at_their_key(tmp_path: Path, before: str, after: str, key: str, said: str) -> None:
    assert before in FILE
    found = problems(tmp_path, FILE.replace(before, after, 1))
    assert said in found.get(key, ""), found


SLAB = (
    "  surface: {structure: {slab: {of: beta-li3ps4, miller: [1, 0, 0], layers: 1, uncut_A: {P-S: 2.5}}}%s}\nbaseline:"
)


def test_a_system_may_be_a_slab(tmp_path: Path) -> None:
    text = FILE.replace("baseline:", SLAB % ", supercell: [2, 1, 1]", 1)
    campaign = read(tmp_path, text)
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign
    assert stored_campaign(campaign.model_dump(mode="json")) == campaign
    assert not campaign.all_systems["surface"].is_crystalline
    atoms = load_structures(campaign, tmp_path)["surface"]
    assert atoms.symbols.formula.count() == {"Li": 24, "P": 8, "S": 32}
    assert slab_texts(campaign, tmp_path)["surface"].startswith("beta-li3ps4 (100), termination 11 of 22")


INTERFACE = """  joint:
    structure:
      interface:
        lower: {of: li7p3s11, miller: [0, 1, 0], uncut_A: {P-S: 2.5}}
        upper: {of: beta-li3ps4, miller: [1, 0, 0]}
    initial: {lithium_monte_carlo: {count: 0}}
baseline:"""


def test_a_system_may_be_an_interface(tmp_path: Path) -> None:
    text = FILE.replace("baseline:", INTERFACE, 1)
    campaign = read(tmp_path, text)
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign
    atoms = load_structures(campaign, tmp_path)["joint"]
    assert len(atoms) == 264
    assert "the upper slab strained by" in slab_texts(campaign, tmp_path)["joint"]
    none = problems(tmp_path, text.replace("interface:", "interface:\n        maximum_area_A2: 5", 1))
    assert "no common cell of at most 5" in none["systems.joint.structure"]
    upper = problems(tmp_path, text.replace("upper: {of: beta-li3ps4", "upper: {termination: 99, of: beta-li3ps4", 1))
    assert "interface.upper: slab.termination: 99 is none of" in upper["systems.joint.structure"]


@pytest.mark.parametrize(
    ("more", "before", "after", "key", "said"),
    [
        (", supercell: [1, 1, 2]", "", "", "systems.surface.supercell", "repeats a slab along its normal"),
        ("", "layers: 1", "layer: 1", "systems.surface.structure.slab.layer", "unknown key"),
        ("", "layers: 1", "termination: 1", "systems.surface.structure", "has a dipole"),
        ("", "[1, 0, 0]", "[2, 0, 0]", "systems.surface.structure.slab.miller", "same plane is [1, 0, 0]"),
        ("", "{of: beta-li3ps4", "{of: beta-li3p4", "systems.surface.structure", "Did you mean 'beta-li3ps4'"),
        (
            "",
            "analyses:",
            "explore: [{kind: npt}]\nanalyses:",
            "explore[0].pressure_GPa",
            "would let the vacuum above the system surface, which is a slab, collapse; give it a list explore",
        ),
    ],
)
def test_problems_of_slabs_are_told_at_their_key(
    tmp_path: Path, more: str, before: str, after: str, key: str, said: str
) -> None:
    text = FILE.replace("baseline:", SLAB % more, 1)
    assert before in text
    found = problems(tmp_path, text.replace(before, after, 1))
    assert said in found.get(key, ""), found


def test_where_a_structure_comes_from_is_told_in_words(tmp_path: Path) -> None:
    text = FILE.replace("baseline:", SLAB % "", 1).replace("baseline:", INTERFACE, 1)
    stored = read(tmp_path, text).model_dump(mode="json")["systems"]
    assert {name: origin_of(one["structure"]) for name, one in stored.items()} == {
        "crystal": "li7p3s11",
        "beta": "beta-li3ps4",
        "glass": "packed at random",
        "surface": "slab of beta-li3ps4 (100)",
        "joint": "interface of beta-li3ps4 (100) on li7p3s11 (010)",
    }


def test_a_campaign_without_a_structure_says_both_forms(tmp_path: Path) -> None:
    assert problems(tmp_path, "name: a\n") == {"structure": "is required, or systems, where there are several"}
    assert (
        "remove the line"
        in problems(tmp_path, "name: a\nstructure: li7p3s11\nanalyses: {locality: {systems: [b]}}\n")[
            "analyses.locality.systems"
        ]
    )


def test_a_system_without_the_mobile_ion_is_fine_where_nothing_needs_it(tmp_path: Path) -> None:
    from ase.build import bulk

    bulk("NaCl", "rocksalt", a=5.6, cubic=True).write(tmp_path / "salt.extxyz")
    salt = "  salt: {structure: salt.extxyz%s}\nbaseline:"
    drawn = problems(tmp_path, FILE.replace("baseline:", salt % "", 1))
    assert "holds no Li, whose distributions are to be drawn" in drawn["systems.salt"]
    fine = FILE.replace("baseline:", salt % ", initial: {lithium_monte_carlo: {count: 0}}", 1)
    assert list(load_structures(read(tmp_path, fine), tmp_path)) == ["crystal", "beta", "glass", "salt"]
    asked = problems(tmp_path, fine.replace("[beta]", "[salt]"))
    assert "holds no Li, which vacancy asks for" in asked["analyses.vacancy.systems"]


def test_formal_charges_are_neutral_in_every_cell_or_there_are_none() -> None:
    li3ps4, li7p3s11 = ["Li"] * 3 + ["P"] + ["S"] * 4, ["Li"] * 7 + ["P"] * 3 + ["S"] * 11
    li4p2s6 = ["Li"] * 4 + ["P"] * 2 + ["S"] * 6
    assert formal_charges(li3ps4, li7p3s11) == {"Li": 1, "P": 5, "S": -2}
    assert formal_charges(li4p2s6)["P"] == 4
    with pytest.raises(UnknownChargesError, match="Li3P1S4 and Li4P2S6 neutral"):
        formal_charges(li3ps4, li4p2s6)
