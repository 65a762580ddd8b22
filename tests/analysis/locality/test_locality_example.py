"""The example of the locality tests runs and finds the charges that it hides."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "locality.py"
# The short-ranged pairs end before the radius; what is left is the truncation of the sums.
CHARGE_TOLERANCE_E = 2e-3


def test_the_example_finds_the_charges_that_were_put_in(capsys):
    hidden = runpy.run_path(str(EXAMPLE), run_name="__main__")["HIDDEN_CHARGES"]
    printed = capsys.readouterr().out
    found = {symbol: float(charge) for symbol, charge in re.findall(r"(\w+) ([+-]\d\.\d+)", printed.splitlines()[0])}
    assert found == pytest.approx(hidden, abs=CHARGE_TOLERANCE_E)
    (overall,) = (line for line in printed.splitlines() if line.strip().startswith("all"))
    before, after = (float(part.split("±")[0].split()[-1]) for part in (overall, overall.split("baseline")[1]))
    assert after < 0.05 * before
