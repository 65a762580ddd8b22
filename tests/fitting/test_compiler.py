"""Compiled code finds a folder, or makes one that is this user's alone."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ionloop
from ionloop.fitting import compiler

PACKAGE = Path(ionloop.__file__).parent

COMPILES = """
import tempfile, os
real = tempfile.TemporaryFile
def refused(*args, dir=None, **kwargs):
    if str(dir).startswith(os.environ["WRITABLE"]):
        return real(*args, dir=dir, **kwargs)
    raise PermissionError(13, "Permission denied")
tempfile.TemporaryFile = refused
import numpy
from ionloop.fitting.native import neighbours
kernel = next(value for value in vars(neighbours).values() if hasattr(value, "py_func"))
print(kernel._cache.cache_path)
"""


def test_where_nothing_is_writable_code_is_compiled_into_a_private_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != compiler.CACHE_VARIABLE}
    environment |= {"TMPDIR": str(tmp_path), "WRITABLE": str(tmp_path), "HOME": "/nonexistent"}

    done = subprocess.run(
        [sys.executable, "-c", COMPILES], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert tmp_path in folder.parents
    private = next(tmp_path.glob("ionloop-compiled-*"))
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_folder_that_others_could_write_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler.tempfile, "tempdir", str(tmp_path))
    planted = tmp_path / f"ionloop-compiled-{os.getuid()}"
    planted.mkdir(mode=0o777)
    planted.chmod(0o777)
    chosen = compiler.private_folder()
    assert chosen != planted
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700


@pytest.mark.parametrize("planted", ["file", "link"])
def test_what_is_no_folder_is_not_taken(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(compiler.tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"ionloop-compiled-{os.getuid()}"
    if planted == "file":
        place.touch()
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    assert compiler.private_folder() != place


def test_everybody_takes_numba_from_here():
    direct = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] in {"tests", "benchmarks", "examples", ".venv", ".build", "build"} or path.name == "compiler.py":
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text if "numba" in text else "")):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            direct += [str(path)] if any(name.split(".")[0] == "numba" for name in names) else []
    assert not direct
