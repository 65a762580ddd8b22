"""The example of conductivities runs and finds the activation energy that it put in."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "conductivity.py"


def test_the_example_finds_its_own_activation_energy(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    found = re.search(r"([\d.]+) eV \(([\d.]+) to ([\d.]+)\), true: ([\d.]+)", capsys.readouterr().out)
    assert found is not None
    _, low, high, truth = map(float, found.groups())
    assert low < truth < high
