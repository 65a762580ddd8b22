"""An analysis of somebody else's package: in campaign file, graph, report and commands, and no file names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_campaign import prepare

NAME = "toy_neighbours"
BROKEN = {
    "name": "ionloop-broken",
    "version": "0.3",
    "entry-points": {
        "ionloop.analyses": {
            "halfway": "broken_analyses:HALFWAY",
            "gone": "broken_analyses_that_are_not_there:GONE",
            "chosen": "broken_analyses:CHOSEN",
            "locality": "broken_analyses:LOCALITY",
            "late": "broken_analyses:LATE",
        }
    },
}
BROKEN_MODULE = """
from ionloop_toys.analysis import Neighbours

class Halfway:
    name = "halfway"

class Chosen(Neighbours):
    name = "chosen"

class Locality(Neighbours):
    name = "locality"

class Late(Neighbours):
    name = "late"
    def tasks(self):
        import no_such_library

HALFWAY, CHOSEN, LOCALITY, LATE = Halfway(), Chosen(), Locality(), Late()
"""
KNOWN = """
from ase.build import bulk
from ionloop.cli import app
from ionloop.cli.console.environment import check_plug_ins
from ionloop.workflows.analyses.registry import ANALYSES
from ionloop.workflows.campaign.reference_page import reference_page
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.loop.task_registry import job_tasks
from ionloop.workflows.submission.cost import campaign_cost
import typer.main

campaign = Campaign.model_validate({"name": "a", "structure": "s", "mobile": "Cu", "analyses": {"toy_neighbours": {}}})
assert campaign.analyses.chosen == ("toy_neighbours",)
assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign
# A campaign that does not ask for it is stored as where it is not installed.
none = Campaign.model_validate({"name": "a", "structure": "s"}).model_dump(mode="json")["analyses"]
assert list(none) == ["locality", "energy_volume", "conductivity", "barriers", "frenkel", "vacancy"]
page = reference_page()
assert "| `toy_neighbours` |" in page
assert "| `force_tolerance_eV_per_A` | `0.05` | a number, above 0 and at most 1 |" in page
assert "ionloop-toys.neighbours" in job_tasks()
cost = campaign_cost(campaign, {None: bulk("CuAu", "cesiumchloride", a=3.2)}).analyses["toy_neighbours"]
assert (cost.model_evaluations, cost.model_atoms) == (100, 2)
assert "toy-neighbours" in typer.main.get_command(app).commands["analyse"].commands
for check in check_plug_ins():
    print(check.status, check.name, check.found, sep=" | ")
"""

DASHBOARD = """
from ionloop.deploy.dashboard import DashboardSettings, create_app
from ionloop.store.connection import open_store

client = create_app(open_store("ionloop.db", read_only=True), DashboardSettings()).test_client()
client.environ_base["HTTP_HOST"] = "127.0.0.1:8484"
assert "Nearest neighbours" in client.get("/campaign?name=small").data.decode()
assert "toy-neighbours-distances" in client.get("/compare?campaign=small").data.decode()
"""


@pytest.fixture
def broken(tmp_path: Path, install_package: Callable) -> Path:
    """A folder with a package whose analyses cannot be used, each for a reason of its own."""
    site = tmp_path / "broken"
    install_package(site, BROKEN)
    (site / "broken_analyses.py").write_text(BROKEN_MODULE)
    return site


@pytest.mark.slow
def test_it_is_known_everywhere_and_broken_ones_are_told(toys: Path, broken: Path, run_with: Callable) -> None:
    result = run_with([toys, broken], "-c", KNOWN, cwd=broken)
    assert result.returncode == 0, result.stderr
    told = result.stdout
    assert f"ok | {NAME} | analysis of ionloop-toys 1.2" in told
    for name, reason in {
        "halfway": "it lacks",
        "gone": "No module named 'broken_analyses_that_are_not_there'",
        "chosen": "can be no key of a campaign file",
        "locality": "ionloop has one of that name",
        "late": "No module named 'no_such_library'",
    }.items():
        (line,) = [line for line in told.splitlines() if line.startswith(f"warning | {name} ")]
        assert reason in line
        assert "ionloop-broken" in line


@pytest.mark.slow
def test_a_campaign_asks_it_to_its_end(toys: Path, tmp_path: Path, run_with: Callable) -> None:
    file = prepare(tmp_path / "small")
    folder = file.parent
    text = file.read_text().replace("max_generations: 2", "max_generations: 1")
    file.write_text(f"{text}analyses: {{{NAME}: {{}}}}\n")

    def ionloop(*words: str, sites: tuple[Path, ...] = (toys,), status: int = 0) -> str:
        result = run_with(list(sites), "-m", "ionloop.cli", *words, cwd=folder)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    assert "100 evaluations of 14 atoms" in ionloop("check", "campaign.yaml")
    ionloop("run", "campaign.yaml", "--workers", "1")
    for model in ("gap", "es-gap"):
        assert "toy-neighbours" in ionloop("query", "kind=toy-neighbours", f"model={model}")
    page = (folder / "small-report.html").read_text()
    assert "Mean distance to the nearest neighbour: ES-GAP 2." in page
    assert "A. Toy, J. Toys 2026, 1, 2" in page
    assert "Nearest neighbours were counted after relaxation to 0.05 eV/Å." in page
    (model, *_) = (folder / "ionloop-files" / "models").iterdir()
    asked = ("analyse", "toy-neighbours", "structure.extxyz", "--model", str(model), "--mobile", "Cu")
    assert "Mean distance to the nearest neighbour:" in ionloop(*asked)
    assert "keys of toy_neighbours are" in ionloop(*asked, "--set", "tolerance=1", status=2)
    result = run_with([toys], "-c", DASHBOARD, cwd=folder)
    assert result.returncode == 0, result.stderr

    # Where it is not installed, what is there can be read, and nothing is done with it.
    assert "toy-neighbours" in ionloop("query", "kind=toy-neighbours", sites=())
    ionloop("status", sites=())
    ionloop("report", "small", "--output", "again.html", sites=())
    assert f"The analysis {NAME} is not installed here" in (folder / "again.html").read_text()
    assert f"analyses.{NAME}: unknown key" in ionloop("run", "campaign.yaml", sites=(), status=2)
    shutil.rmtree(folder)
