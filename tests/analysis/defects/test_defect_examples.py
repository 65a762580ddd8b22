"""The examples of the defects and of the energy-volume curve run, and say something sensible."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
COPPER_GPA, TOLERANCE_GPA = 137.0, 10.0


def test_the_energy_volume_example_gives_the_bulk_modulus_of_copper(capsys):
    runpy.run_path(str(EXAMPLES / "energy_volume.py"), run_name="__main__")
    found = re.search(r"^Cu: .* B0 = ([\d.]+) ±", capsys.readouterr().out, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(COPPER_GPA, abs=TOLERANCE_GPA)


@pytest.mark.slow
def test_the_defect_example_follows_a_pair_in_the_field(capsys):
    runpy.run_path(str(EXAMPLES / "defects.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert re.search(r"Å apart: [\d.]+ eV\n", told)
    assert re.search(r"Å apart, dipole \((-?\d+\.\d\d(, )?){3}\) e Å", told)
    for axis in ("x", "z"):
        (line,) = re.findall(rf"along {axis} .*", told)
        energies = [float(value) for value in re.findall(r": (-?[\d.]+) eV", line)]
        assert len(energies) == 5
        # The slope is minus the dipole, so the curve is monotonic at these fields.
        assert energies in (sorted(energies), sorted(energies, reverse=True))
