"""Contracts that a third party inherits, run as a third party would."""

from __future__ import annotations

from pathlib import Path

import pytest

# ES-GAP on a baseline that a package brings: the contract that takes longest.
LONGEST = "EsGapOnToyWolf"


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [f"not {LONGEST}", LONGEST])
def test_the_toys_keep_their_contracts(toys: Path, run_with, chosen: str) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "-k", chosen)
    result = run_with([toys], "-m", "pytest", *options, str(Path(__file__).with_name("toy_contracts.py")))
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout
