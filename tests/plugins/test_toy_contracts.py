"""Contracts that a third party inherits, run as a third party would."""

from __future__ import annotations

from pathlib import Path


def test_the_toys_keep_their_contracts(toys: Path, run_with) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error")
    result = run_with([toys], "-m", "pytest", *options, str(Path(__file__).with_name("toy_contracts.py")))
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout
