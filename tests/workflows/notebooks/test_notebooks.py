"""What `import ionloop` offers: small, lazy, and shows itself without trusting what it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from small_campaign import prepare

import ionloop
from ionloop.core.errors import InputError
from ionloop.store.connection import Store
from ionloop.workflows.notebooks.html import facts, table

SETTINGS = """
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 6}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 10}
"""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ionloop.load_model, Path, list[str]]:
    """A model that was fitted from a file, the file, and the stages that were told."""
    folder = tmp_path_factory.mktemp("notebook")
    frames = []
    for seed in range(4):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_forces()
        frames.append(atoms)
    write(folder / "data.xyz", frames, format="extxyz")
    (folder / "settings.yaml").write_text(SETTINGS)
    told: list[str] = []
    model = ionloop.fit(
        folder / "data.xyz",
        folder / "model",
        settings=folder / "settings.yaml",
        progress=lambda stage, done, total: told.append(stage),
    )
    return model, folder / "data.xyz", told


def test_names_are_imported_when_they_are_asked_for_and_nothing_before() -> None:
    script = "import sys, ionloop; print(*(m for m in sys.modules if m.startswith(('ionloop', 'numpy', 'pydantic'))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"ionloop"}
    assert {name for name in ionloop.__all__ if not name.startswith("_")} <= set(dir(ionloop))
    assert all(callable(getattr(ionloop, name)) for name in ionloop.__all__ if not name.startswith("_"))
    with pytest.raises(AttributeError, match="no attribute 'lod_model'"):
        _ = ionloop.lod_model


def test_a_model_is_fitted_shown_and_measured(fitted: tuple[ionloop.load_model, Path, list[str]]) -> None:
    model, data, told = fitted
    assert {"rows", "factorisation"} & set(told)
    errors = model.evaluate(data)
    assert errors.force_eV_per_A.rmse < 0.5
    shown = model._repr_html_()
    for text in ("gap in", "<td>Cu</td>", "force components", "left out"):
        assert text in shown
    again = ionloop.load_model(model.folder)
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.03, seed=9)
    energies = []
    for one in (model, again):
        atoms.calc = one.calculator()
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1]


def test_a_model_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        ionloop.load_model(tmp_path)


def test_an_analysis_answers_with_numbers_tables_and_figures(
    fitted: tuple[ionloop.load_model, Path, list[str]],
) -> None:
    model, _, _ = fitted
    found = ionloop.analyse("energy_volume", bulk("Cu", cubic=True), model, mobile="Cu", points=5, reference="none")
    assert not found.failed
    assert found.results
    assert found.summary in repr(found)
    assert "<table>" in found._repr_html_()
    assert all(figure.to_plotly_json()["data"] for figure in found.figures.values())
    assert found.figures


def test_wrong_settings_of_an_analysis_are_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"energy_volume: pints: .*its settings are .*points"):
        ionloop.analyse("energy_volume", "li7p3s11", EMT(), pints=5)
    with pytest.raises(InputError, match="did you mean barriers"):
        ionloop.analyse("barrier", "li7p3s11", EMT())
    assert "barriers" in ionloop.analyses()


def test_a_store_and_its_campaigns_show_themselves(finished_store: Store) -> None:
    with ionloop.open_store(finished_store.location) as opened:
        assert opened.campaigns
        name = opened.campaigns[0]
        assert name in opened._repr_html_()
        campaign = opened.campaign(name)
        labels = opened.query("labels", "energy<0", campaign=name)
    assert len(labels)
    assert labels.attrs["units"]["energy"].startswith("eV")
    assert campaign.status().name == name
    shown = campaign._repr_html_()
    assert "meV/Å" in shown
    assert "finished" in shown
    assert len(campaign.results())
    with pytest.raises(InputError, match="knows its file"):
        campaign.cost()


def test_a_campaign_is_checked_and_drawn_before_it_is_in_a_store(tmp_path: Path) -> None:
    campaign = ionloop.Campaign(prepare(tmp_path))
    assert "not in its store yet" in campaign._repr_html_()
    assert "explore" in campaign.outline()
    assert campaign.cost().maximum_labels > 0
    assert list(tmp_path.glob("*.db")) == [], "to look makes no store"
    (tmp_path / "campaign.yaml").write_text("name: x\nstructur: y\n")
    with pytest.raises(InputError, match="did you mean structure"):
        ionloop.Campaign(tmp_path / "campaign.yaml")


@pytest.mark.slow
def test_a_campaign_runs_and_leaves_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    file = prepare(tmp_path)
    file.write_text(file.read_text().replace("max_generations: 2", "max_generations: 1"))
    campaign = ionloop.Campaign(file)
    states: list[str] = []
    status = campaign.run(2, watch=lambda one: states.append(one.state.value))
    assert status.state.value == "finished"
    assert states
    assert set(campaign.models()) == {"gap", "es-gap"}
    assert campaign.report(tmp_path / "report.html").read_text().lower().startswith("<!doctype html")


def test_what_comes_from_outside_is_escaped() -> None:
    bad = "<script>alert(1)</script>"
    for shown in (facts(bad, [(bad, bad)]), table([bad], [[bad]], bad)):
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown
