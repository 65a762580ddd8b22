"""What LAMMPS writes into its log."""

from __future__ import annotations

from pathlib import Path


def thermo(log: Path) -> list[dict[str, float]]:
    """Return the rows of thermodynamic output."""
    rows, names = [], []
    for line in log.read_text().splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            names = words
        elif words[:1] == ["Loop"]:
            names = []
        elif names and len(words) == len(names):
            rows.append(dict(zip(names, map(float, words), strict=True)))
    return rows
