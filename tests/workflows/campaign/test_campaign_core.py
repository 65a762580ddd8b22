"""A core under the GAP in campaign files and in the settings of ``ionloop fit``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from typer.testing import CliRunner

from ionloop.cli import app
from ionloop.fitting.cores import core_file_text, core_of
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, write_extxyz
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.glue import GluePotential, Spline
from ionloop.fitting.settings import GapSettings
from ionloop.fitting.zbl import zbl_core
from ionloop.tasks.fit import model_identifier
from ionloop.workflows.campaign.changes import Change
from ionloop.workflows.campaign.problems import CampaignFileError
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.submission.campaign_file import read_campaign

RADII_A = np.linspace(1.0, 3.5, 11)


def core(numbers: tuple[int, ...] = (3, 16)) -> GluePotential:
    """A repulsion between all elements."""
    repulsion = Spline(RADII_A, 15.0 * (np.exp(-RADII_A) - np.exp(-3.5)), (1e30, 0.0))
    return GluePotential({(a, b): repulsion for a in numbers for b in numbers if a <= b}, {}, {}, frozenset(numbers))


def _without_points(text: str) -> str:
    return text.replace('num_points="11"', 'num_points="12"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "core.xml does not exist"),
        (lambda text: text[:-20], "is not XML"),
        (lambda text: "<LJ_params/>", "0 Glue_params instead of one"),
        (lambda text: "<Glue_params/>", "names no element"),
        (_without_points, "is damaged: potential_pair of its Glue needs num_points"),
        (lambda text: "<a>" + " " * 1_000_000 + "</a>", "at most 1,000,000"),
    ],
)
def test_a_file_that_is_no_core_is_refused_with_its_line(
    change: Callable[[str], str] | None, message: str, tmp_path: Path
) -> None:
    if change is not None:
        (tmp_path / "core.xml").write_text(change(core_file_text(core())))
    file = tmp_path / "campaign.yaml"
    file.write_text("name: a\nstructure: li7p3s11\ngap:\n  core:\n    file: core.xml\n")
    with pytest.raises(CampaignFileError) as caught:
        read_campaign(file)
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == (("gap", "core", "file"), 5)
    assert message in problem.message


def test_a_campaign_takes_its_core_with_it(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("name: a\nstructure: li7p3s11\ngap: {core: {file: core.xml}}\n")
    (tmp_path / "core.xml").write_text(core_file_text(core()))
    with pytest.raises(CampaignFileError, match="has nothing for P"):
        read_campaign(file)
    (tmp_path / "core.xml").write_text(core_file_text(core((3, 15, 16))))
    campaign = read_campaign(file)
    (tmp_path / "core.xml").unlink()
    stored = Campaign.model_validate(campaign.model_dump(mode="json"))
    found = core_of(stored.gap)
    assert found is not None
    assert found.numbers == {3, 15, 16}
    file.write_text("name: a\nstructure: li7p3s11\ngap: {core: {}}\n")
    with pytest.raises(CampaignFileError, match="needs one of a file"):
        read_campaign(file)


def test_fit_with_settings_of_a_core(tmp_path: Path) -> None:
    """Relative to the file of settings, not to where the command is called."""
    configurations = []
    for index, lattice_A in enumerate((3.4, 3.5)):
        atoms = bulk("Li", "bcc", a=lattice_A, cubic=True)
        configurations.append(LabelledConfiguration(atoms, -3.0 - index, np.zeros((2, 3)), None, f"li-{index}"))
    write_extxyz(tmp_path / "data.xyz", DataSet(tuple(configurations), {"Li": -1.0}))
    (tmp_path / "core.xml").write_text(core_file_text(core()))
    soap = {"cutoff_A": 4.0, "n_max": 2, "l_max": 1, "sparse_points": 2}
    (tmp_path / "settings.yaml").write_text(json.dumps({"gap": {"core": {"file": "core.xml"}, "soap": soap}}))
    arguments = ["fit", "data.xyz", "--out", "model", "--settings", "settings.yaml"]
    paths = [str(tmp_path / one) if one[0] != "-" and one != "fit" else one for one in arguments]
    result = CliRunner().invoke(app, paths)
    assert result.exit_code == 0, result.output
    assert read_gap_xml(tmp_path / "model" / "gap.xml").core is not None


def test_models_without_the_later_parts_keep_their_names_in_stores() -> None:
    """Those of releases that knew neither triplets nor cores."""
    name = model_identifier("gap", "dataset-1", GapSettings(), None, seed=1, backend="native")
    later = GapSettings.model_validate({"core": {"glue": core_file_text(core())}})
    assert {"core", "three_body"}.isdisjoint(GapSettings().identifying_values())
    assert model_identifier("gap", "dataset-1", later, None, seed=1, backend="native") != name


def test_another_core_is_said_without_its_table() -> None:
    change = Change(("gap", "core", "glue"), core_file_text(core()), core_file_text(core((3,))), is_allowed=False)
    assert change.text == "gap.core.glue: the content in the store differs from that in the file"


def test_screened_nuclei_need_no_file(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("name: a\nstructure: li7p3s11\ngap: {core: {zbl: [Li, P, S]}}\n")
    campaign = read_campaign(file)
    found = core_of(campaign.gap)
    assert found is not None
    assert found.numbers == {3, 15, 16}
    # What the store keeps is what a file with the same core would leave there.
    (tmp_path / "core.xml").write_text(core_file_text(zbl_core(["S", "P", "Li"])))
    file.write_text("name: a\nstructure: li7p3s11\ngap: {core: {file: core.xml}}\n")
    assert read_campaign(file).gap == campaign.gap
    assert "zbl" not in campaign.gap.model_dump(mode="json")["core"]
    file.write_text("name: a\nstructure: li7p3s11\ngap: {core: {zbl: [Li, Sulfur]}}\n")
    with pytest.raises(CampaignFileError, match="Sulfur"):
        read_campaign(file)
