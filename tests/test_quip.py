"""QUIP is imported only where it is asked for by name, and everything else works where it cannot be."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ionloop
from ionloop.cli.console.environment import Status, check_quip
from ionloop.core.errors import InputError
from ionloop.fitting.gap_fit import find_executable
from ionloop.fitting.quip import QuipMissing, QuipState, find_quip, quip_potential

PACKAGE = Path(ionloop.__file__).parent
FOREIGN = {"tests", "benchmarks", "examples", "docs", "build", ".build", ".venv"}
TIMEOUT_S = 240
NOT_INSTALLED = "raise ModuleNotFoundError(\"No module named 'quippy'\", name='quippy')\n"
NOT_IMPORTABLE = "raise ImportError('numpy.core.multiarray failed to import')\n"
BROKEN_LIBRARY = "raise OSError('libgfortran.so.5: cannot open shared object file')\n"


def test_no_module_names_it_in_an_import():
    paths = [path for path in PACKAGE.rglob("*.py") if not FOREIGN & set(path.relative_to(PACKAGE).parts)]
    assert len(paths) > 200
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)) if "quippy" in text else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.partition(".")[0] == "quippy" for name in names), path


@pytest.mark.parametrize(
    ("package", "state", "reason"),
    [
        pytest.param(NOT_INSTALLED, "absent", "not installed", id="absent"),
        pytest.param(NOT_IMPORTABLE, "broken", "ImportError: numpy.core.multiarray", id="import-error"),
        pytest.param(BROKEN_LIBRARY, "broken", "OSError: libgfortran.so.5", id="broken-library"),
    ],
)
def test_the_state_is_told_with_its_reason(package, state, reason, tmp_path, monkeypatch):
    (tmp_path / "quippy").mkdir()
    (tmp_path / "quippy" / "__init__.py").write_text(package)
    for name in [name for name in sys.modules if name.partition(".")[0] == "quippy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_quip()
    assert found.state is QuipState(state)
    assert reason in found.reason
    with pytest.raises(InputError, match=r"pip install quippy-ase.*native"):
        quip_potential()
    assert check_quip().status is Status.WARNING
    assert check_quip().found.startswith(state)
    assert check_quip(needed=True).status is Status.FAILED
    # Its wrapper of gap_fit stays behind where the package cannot be imported.
    wrapper = tmp_path / "gap_fit"
    wrapper.write_text("#!/usr/bin/env python\nfrom quippy.cli import gap_fit\ngap_fit()\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(QuipMissing, match="no gap_fit executable"):
        find_executable()
    wrapper.write_text("#!/bin/sh\n")
    assert find_executable() == wrapper


def test_where_it_is_the_doctor_says_which():
    try:
        quip_potential()
    except QuipMissing as error:
        pytest.skip(str(error))
    assert check_quip().status is Status.OK
    assert check_quip().found == find_quip().version != ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "how_much"),
    [
        pytest.param(NOT_INSTALLED, ["all"], id="absent"),
        pytest.param(BROKEN_LIBRARY, [], id="broken"),
    ],
)
def test_commands_and_campaigns_work_without_it(package, how_much, tmp_path):
    (tmp_path / "path" / "quippy").mkdir(parents=True)
    (tmp_path / "path" / "quippy" / "__init__.py").write_text(package)
    folder = tmp_path / "folder"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("without_quip.py")), str(folder), *how_much],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "path"), "OMP_NUM_THREADS": "1", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["imported"] == []
    assert told["fit"]["status"] == 0, told["fit"]
    assert told["evaluate"]["status"] == 0
    assert json.loads(told["evaluate"]["out"])["configurations"] == 4
    assert told["by name"]["status"] == 2
    assert "QUIP was asked for" in told["by name"]["err"]
    assert "pip install quippy-ase" in told["by name"]["err"]
    assert "Traceback" not in told["by name"]["err"]
    campaign = told["campaign"]
    assert campaign["models"] == 1
    assert campaign["cross-check"].startswith("not compared with QUIP: the package quippy-ase")
    assert campaign["record"] == campaign["cross-check"]
    if how_much:
        assert "Models of the kind gap were not compared with QUIP" in campaign["report"]
    assert told["doctor"]["status"] == "warning"
    assert told["needed"]["status"] == "failed"
