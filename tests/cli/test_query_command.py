"""`ionloop query`, `report` and `export` as commands."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import typer
from ase.io import read
from typer.testing import CliRunner

from ionloop.cli import export as export_command
from ionloop.cli import query as query_command
from ionloop.cli import report as report_command
from ionloop.core.errors import InputError
from ionloop.store.connection import Store
from ionloop.store.queries.record_kinds import RECORD_KINDS
from ionloop.workflows.exchange.export import Target


@pytest.fixture
def app() -> typer.Typer:
    application = typer.Typer()
    for module in (query_command, report_command, export_command):
        module.register(application)
    return application


def _run(app: typer.Typer, store: Store, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--store", store.location], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_help_names_every_kind_and_target(app: typer.Typer) -> None:
    text = " ".join(CliRunner().invoke(app, ["query", "--help"], env={"COLUMNS": "300"}).stdout.split())
    assert [kind for kind in RECORD_KINDS if kind not in text] == []
    text = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "300"}).stdout
    assert [target for target in Target if target not in text] == []


def test_the_table_has_units_and_plain_text(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "labels", "--campaign", "small", "--generation", "0")
    header, units = text.splitlines()[:2]
    assert "largest force" in header
    assert "eV/Å" in units
    assert "\x1b" not in text
    assert "<script>alert('label')</script>" in text


def test_a_long_table_is_cut_and_says_so(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "configurations", "--limit", "2")
    assert "2 of 14 shown" in text


def test_nothing_found_is_said(app: typer.Typer, finished_store: Store) -> None:
    assert "no labels match" in _run(app, finished_store, "query", "labels", "--state", "killed")


def test_json_is_json_and_nothing_else(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "models", "--model", "gap", "--format", "json")
    data = json.loads(text)
    assert data["kind"] == "models"
    assert data["total"] == len(data["records"]) == 3
    assert data["units"]["wall_time_s"] == "s"
    assert data["records"][0]["files"][0]["sha256"]


def test_csv_has_units_in_its_header(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "labels", "--format", "csv", "--columns", "id,energy,reason")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["id", "energy (eV)", "reason"]
    assert len(rows) == 1 + finished_store.labels.count()


def test_all_columns_can_be_asked_for(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "labels", "--format", "csv", "--columns", "all")
    assert "settings_hash" in text.splitlines()[0]


def test_filters_sorting_and_groups(app: typer.Typer, finished_store: Store) -> None:
    arguments = [
        "query",
        "models",
        "model=gap",
        "generation>=1",
        "--sort",
        "-generation",
        "--columns",
        "generation,kind",
    ]
    rows = list(csv.reader(io.StringIO(_run(app, finished_store, *arguments, "--format", "csv"))))[1:]
    assert [row[1] for row in rows] == ["gap"] * len(rows)
    assert [int(row[0]) for row in rows] == sorted((int(row[0]) for row in rows), reverse=True)
    grouped = _run(app, finished_store, "query", "models", "--by", "kind", "--aggregate", "count", "--format", "json")
    counts = {record["kind"]: record["count"] for record in json.loads(grouped)["records"]}
    assert counts["gap"] == finished_store.models.count({"kind": "gap"})


def test_without_a_kind_results_are_meant(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "kind=errors", "subset=new", "--format", "json", "--columns", "id,subset")
    assert {record["subset"] for record in json.loads(text)["records"]} == {"new"}


def test_markdown_has_units_and_escapes_its_bars(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "labels", "--columns", "id,energy", "--format", "markdown")
    assert text.splitlines()[0] == "| id | energy (eV) |"
    assert text.splitlines()[1] == "| --- | ---: |"


def test_extxyz_can_be_read(app: typer.Typer, finished_store: Store) -> None:
    text = _run(app, finished_store, "query", "labels", "--format", "extxyz", "--state", "finished")
    assert len(read(io.StringIO(text), index=":", format="extxyz")) == finished_store.labels.count(
        {"state": "finished"}
    )


def test_an_unknown_kind_is_refused_before_a_store_is_looked_for(app: typer.Typer) -> None:
    with pytest.raises(InputError, match="did you mean 'configurations'"):
        CliRunner().invoke(app, ["query", "configuration", "--store", "missing.db"], catch_exceptions=False)


def test_a_store_that_is_not_there_is_not_made(app: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no store"):
        CliRunner().invoke(app, ["query", "labels", "--store", str(tmp_path / "missing.db")], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_report_writes_where_it_is_told(app: typer.Typer, builder: object, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert str(path) in _run(app, builder.store, "report", "small", "--output", str(path))
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_export_writes_a_folder(app: typer.Typer, finished_store: Store, tmp_path: Path) -> None:
    text = _run(app, finished_store, "export", "small", "--to", "lammps", "--output", str(tmp_path / "out"))
    assert "README.md" in text
    assert (tmp_path / "out" / "in.lammps").exists()


def test_an_unknown_target_is_refused(app: typer.Typer, finished_store: Store) -> None:
    with pytest.raises(InputError, match="did you mean 'lammps'"):
        CliRunner().invoke(
            app,
            ["export", "small", "--to", "lamps", "--store", finished_store.location],
            catch_exceptions=False,
        )
