"""An executable that reads input.extxyz and writes output.extxyz, well or as its arguments.json demands.

Without ASE, whose import takes longer than everything else here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
from gaussian_pairs import gaussian_pairs


def main(
    harm: str | None, without: tuple[str, ...] = (), name: str = "", runs: str = "", dipole: tuple[float, ...] = ()
) -> None:
    if runs:
        with open(runs, "a") as file:
            file.write("x")
    if harm == "status":
        print("the basis set is missing")
        sys.exit(3)
    if harm == "signal":
        os.kill(os.getpid(), getattr(signal, name))
    if harm == "silence":
        sys.exit(0)
    _, comment, *rows = Path("input.extxyz").read_text().splitlines()
    symbols = [row.split()[0] for row in rows]
    positions = np.array([row.split()[1:4] for row in rows], dtype=float)
    lattice = re.search(r'Lattice="(.*?)"', comment)
    cell = np.array(lattice.group(1).split(), dtype=float).reshape(3, 3) if lattice else np.zeros((3, 3))
    pbc = [letter == "T" for letter in re.search(r'pbc="(.*?)"', comment).group(1).split()]
    energy, forces, stress = gaussian_pairs(positions, cell, pbc)
    if harm == "other atoms":
        symbols.reverse()
    if harm == "other positions":
        positions += 0.1
    words = [f'Lattice="{" ".join(map(str, cell.ravel()))}"'] if lattice else []
    words.append(f'pbc="{" ".join("FT"[periodic] for periodic in pbc)}"')
    words.append("Properties=species:S:1:pos:R:3" + ("" if "forces" in without else ":forces:R:3"))
    if "energy" not in without:
        words.append(f"energy={energy!r}")
    if stress is not None:
        words.append(f'stress="{" ".join(repr(float(stress[i])) for i in (0, 5, 4, 5, 1, 3, 4, 3, 2))}"')
    if dipole:
        words.append(f'dipole="{" ".join(map(str, dipole))}"')
    if harm == "unconverged":
        words.append("converged=F")
    columns = positions if "forces" in without else np.hstack([positions, forces])
    rows = [f"{symbol} {' '.join(map(repr, row.tolist()))}" for symbol, row in zip(symbols, columns, strict=True)]
    text = "\n".join([str(len(rows)), " ".join(words), *rows, ""])
    if harm == "nonsense":
        text = "4\nnot a comment line\nLi one two three\n"
    if harm == "truncated":
        text = text[: int(0.7 * len(text))]
    Path("output.extxyz").write_text(text)


main(**{"harm": None, **json.loads(Path("arguments.json").read_text())})
