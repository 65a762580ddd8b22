"""`ionloop init` and `ionloop check` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_campaign import prepare

from ionloop.cli import run_command_line
from ionloop.cli.console.new_file import write_new_file
from ionloop.cli.init import SCHEMA_FILE_NAME
from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import build_crystal


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IONLOOP_STORE", raising=False)


def test_init_writes_what_check_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["init", "new/folder"]) == 0
    assert (
        "beta-li3ps4, gamma-li3ps4, li4p2s6, li2s, t-li7la3zr2o12 have cells and coordinates without"
        in capsys.readouterr().out
    )
    assert run_command_line(["check", "new/folder/campaign.yaml"]) == 0
    told = capsys.readouterr().out
    for word in ("42 atoms", "labels", "fits", "dynamics", "disk", "gap_fit", "engine gfn1-xtb", "store"):
        assert word in told
    assert {entry.name for entry in (tmp_path / "new" / "folder").iterdir()} == {"campaign.yaml", SCHEMA_FILE_NAME}
    first = (tmp_path / "new" / "folder" / "campaign.yaml").read_text().splitlines()[0]
    assert first.endswith(f"$schema={SCHEMA_FILE_NAME}")


def test_init_never_overwrites_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "campaign.yaml").write_text("mine")
    assert run_command_line(["init"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "campaign.yaml").read_text() == "mine"
    assert run_command_line(["init", "--force", "--template", "minimal"]) == 0
    assert "name: minimal" in (tmp_path / "campaign.yaml").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "file"],
        ["init", "--template", "dmo"],
        ["init", "file/below"],
        ["init", "--from", "no.cif"],
        ["init", "--from", "file", "--template", "li7p3s11"],
        ["init", "--from", "file"],
        ["init", "--mobile", "Li"],
        ["init", "--template", "survey", "--full"],
    ],
)
def test_init_refuses_what_it_cannot_do(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run_command_line(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_new_file(tmp_path / "campaign.yaml", "text", force=False)
    assert list(tmp_path.iterdir()) == []


def test_check_tells_every_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\nstructure: li7p3s11\nmobil: Li\nseed: -1\n")
    assert run_command_line(["check", "bad.yaml"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "2 problems" in told.err
    assert "did you mean mobile?" in told.err


def test_check_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\nstructure: li7p3s11\nmobil: Li\n")
    assert run_command_line(["check", "bad.yaml", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["problems"][0] | {"allowed": ""} == {
        "key": "mobil",
        "line": 3,
        "value": None,
        "problem": "unknown key",
        "allowed": "",
        "suggestion": "mobile",
    }
    (tmp_path / "good.yaml").write_text("name: x\nstructure: li7p3s11\n")
    assert run_command_line(["check", "good.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["cost"]["atoms"] == 42


def test_check_fails_where_the_engine_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = "reference: {engine: command, executable: no-such-program-anywhere}\n"
    (tmp_path / "campaign.yaml").write_text("name: x\nstructure: li7p3s11\n" + engine)
    assert run_command_line(["check", "campaign.yaml", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    statuses = {check["name"]: check["status"] for check in told["checks"]}
    assert [name for name, status in statuses.items() if status == "failed"] == ["engine command"]
    assert statuses["store"] == "ok"
    assert "no-such-program-anywhere" in told["checks"][0]["advice"]


def test_check_foresees_what_a_store_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def check(name: str) -> tuple[int, dict[str, str]]:
        status = run_command_line(["check", name, "--json"])
        found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
        return status, found.get("campaign", {})

    text = prepare(tmp_path).read_text()
    assert check("campaign.yaml") == (0, {})
    assert run_command_line(["submit", "campaign.yaml"]) == 0
    capsys.readouterr()
    # The same file may change as it likes before the first job; another one of that name may not.
    (tmp_path / "campaign.yaml").write_text(text.replace("seed: 7", "seed: 8"))
    (tmp_path / "other.yaml").write_text(text.replace("seed: 7", "seed: 8"))
    (tmp_path / "longer.yaml").write_text(text.replace("max_generations: 2", "max_generations: 3"))
    assert check("campaign.yaml")[0] == 0
    status, campaign = check("other.yaml")
    assert (status, campaign["status"]) == (2, "failed")
    assert "seed: 7 in the store, 8 in the file" in campaign["advice"]
    status, campaign = check("longer.yaml")
    assert (status, campaign["status"]) == (0, "ok")
    assert "stop.max_generations: 2 in the store, 3 in the file" in campaign["found"]


def test_check_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text("name: x\nstructure: li7p3s11\n")
    run_command_line(["check", "campaign.yaml"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["campaign.yaml"]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    # Every example writes its own file over the last one's.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode())))
def test_no_malformed_file_gives_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "campaign.yaml").write_bytes(content)
    assert run_command_line(["check", "campaign.yaml"]) == 2
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out
    assert "Unexpected" not in told.err
    assert not (tmp_path / "ionloop-error.log").exists()


def test_init_for_a_crystal_writes_what_check_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_crystal("gamma-li3ps4").write(tmp_path / "my crystal.cif")
    command = ["init", "its", "--from", "my crystal.cif", "--for", "laptop"]
    assert run_command_line(command) == 0
    assert run_command_line([*command, "--full"]) == 2
    text = (tmp_path / "its" / "campaign.yaml").read_text()
    assert run_command_line(["check", "its/campaign.yaml"]) == 0
    drawn = capsys.readouterr().out
    assert "64 atoms" in drawn
    assert run_command_line([*command, "--full", "--force"]) == 0
    assert len((tmp_path / "its" / "campaign.yaml").read_text().splitlines()) > 5 * len(text.splitlines())
    assert run_command_line([*command[:-1], "phone"]) == 2
    assert "laptop and cluster" in capsys.readouterr().err


def test_check_draws_what_will_run_also_without_the_characters_of_drawings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "campaign.yaml").write_text("name: x\nstructure: li7p3s11\nanalyses: {barriers: {}}\n")
    assert run_command_line(["check", "campaign.yaml"]) == 0
    assert "└─assess" in capsys.readouterr().out
    check = [sys.executable, "-m", "ionloop.cli", "check", "campaign.yaml"]
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    plain = subprocess.run(check, env=environment, capture_output=True, check=True).stdout.decode("ascii")
    assert "?" not in plain
    steps = ("  sample", "  label", "+>fit", "| explore", "| select", "| label", "+-assess", "  + barriers", "  report")
    order = [plain.index(f"{step}") for step in steps]
    assert order == sorted(order)


def test_the_schema_for_editors_goes_to_the_output_or_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["schema"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert run_command_line(["schema", "schema.json"]) == 0
    assert json.loads((tmp_path / "schema.json").read_text()) == shown
    assert run_command_line(["schema", "schema.json"]) == 2
