"""The campaign file of a structure: valid, small, and what was chosen follows from the structure."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk

from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import CRYSTALS, build_crystal
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.submission import first_file as under_test
from ionloop.workflows.submission.campaign_file import load_structures, read_campaign
from ionloop.workflows.submission.first_file import Machine, first_file

SCREEN_LINES = 40
SCREEN_WIDTH = 140


def written(folder: Path, atoms: Atoms, machine: Machine, **options: str) -> tuple[str, Campaign]:
    atoms.write(folder / "crystal.cif")
    text = first_file(folder / "crystal.cif", folder / "below", machine, **options)
    (folder / "below").mkdir(exist_ok=True)
    (folder / "below" / "campaign.yaml").write_text(text)
    return text, read_campaign(folder / "below" / "campaign.yaml")


@pytest.mark.parametrize("machine", Machine)
@pytest.mark.parametrize("name", ["gamma-li3ps4", "t-li7la3zr2o12"])
def test_files_of_crystals_are_valid_and_fit_on_a_screen(tmp_path: Path, name: str, machine: Machine) -> None:
    text, campaign = written(tmp_path, build_crystal(name), machine)
    assert len(text.splitlines()) < SCREEN_LINES
    assert max(map(len, text.splitlines())) <= SCREEN_WIDTH
    assert campaign.mobile == "Li"
    assert campaign.models == ("gap", "es-gap")
    (atoms,) = load_structures(campaign, tmp_path / "below").values()
    assert len(atoms) <= 250
    assert len(atoms) >= CRYSTALS[name].atoms_per_cell


def test_a_cluster_gets_more_than_a_laptop(tmp_path: Path) -> None:
    crystal = build_crystal("gamma-li3ps4")
    small, large = (written(tmp_path, crystal, machine)[1] for machine in Machine)
    assert small.sampling.length_ps < large.sampling.length_ps
    assert small.stop.max_generations < large.stop.max_generations
    assert small.supercell < large.supercell


def test_a_cell_that_would_be_too_large_is_repeated_as_far_as_goes(tmp_path: Path) -> None:
    text, campaign = written(tmp_path, build_crystal("gamma-li3ps4"), Machine.LAPTOP)
    # 16 atoms in 7.7 x 6.5 x 6.1 A: twice along each axis would be 128.
    assert campaign.supercell == (1, 2, 2)
    assert "[2, 2, 2], 128 atoms" in text


def test_elements_without_formal_charges_get_a_model_without_electrostatics(tmp_path: Path) -> None:
    text, campaign = written(tmp_path, bulk("LiFe", "rocksalt", a=4.4, cubic=True), Machine.LAPTOP)
    assert campaign.models == ("gap",)
    assert "without electrostatics: no combination" in text


def test_the_mobile_ion_is_the_likeliest_or_the_one_asked_for(tmp_path: Path) -> None:
    sodium_chloride = bulk("NaCl", "rocksalt", a=5.64)
    assert written(tmp_path, sodium_chloride, Machine.LAPTOP)[1].mobile == "Na"
    assert written(tmp_path, sodium_chloride, Machine.LAPTOP, mobile="Cl")[1].mobile == "Cl"
    with pytest.raises(InputError, match="holds Cl, Na"):
        written(tmp_path, sodium_chloride, Machine.LAPTOP, mobile="Li")
    with pytest.raises(InputError, match="name the ion with --mobile"):
        written(tmp_path, bulk("Si"), Machine.LAPTOP)


def test_a_name_is_made_of_any_file_name(tmp_path: Path) -> None:
    for name, expected in (("Li3PS4 (1).cif", "li3ps4-1"), ("öß.cif", "campaign"), ("no.cif", "no")):
        bulk("NaCl", "rocksalt", a=5.64).write(tmp_path / name)
        (tmp_path / "campaign.yaml").write_text(first_file(tmp_path / name, tmp_path, Machine.LAPTOP))
        assert read_campaign(tmp_path / "campaign.yaml").name == expected


def test_where_jobs_can_be_submitted_is_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert under_test.machine_here()[0] is Machine.LAPTOP
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    assert under_test.machine_here() == (Machine.CLUSTER, "sbatch is here")


def test_a_cluster_gets_the_density_functional_code_that_is_there_and_a_laptop_the_quick_one() -> None:
    crystal = build_crystal("gamma-li3ps4")
    quick, _ = under_test.choose_engine(crystal, Machine.LAPTOP)
    assert not under_test.knows_k_points(quick)
    there = [one for one, _ in under_test._usable(crystal) if under_test.knows_k_points(one)]
    chosen, why = under_test.choose_engine(crystal, Machine.CLUSTER)
    assert chosen == (there[0] if there else quick)
    assert there or "no density-functional code" in why


def test_where_no_engine_is_found_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_usable", lambda atoms: iter(()))
    _, why = under_test.choose_engine(build_crystal("gamma-li3ps4"), Machine.LAPTOP)
    assert "ionloop doctor" in why
