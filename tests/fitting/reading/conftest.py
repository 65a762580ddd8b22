"""Labels of effective-medium theory for cells of CuAu, written as people write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.fitting.reading import LabelFile, LabelRequest, read_labels

BINDING_OF_ATOMS_EV = {"Cu": -10.0, "Au": -12.0}


@dataclass
class Written:
    """One frame in pieces that a test can change."""

    atoms: Atoms
    energy: float | None
    forces: np.ndarray | None
    virial: np.ndarray | None
    names: dict[str, str] = field(
        default_factory=lambda: {"energy": "REF_energy", "forces": "REF_forces", "virial": "REF_virial"}
    )
    entries: str = ""
    columns: dict[str, Sequence[object]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the frame as extended XYZ."""
        properties, rows = "species:S:1:pos:R:3", [[one.symbol, *one.position] for one in self.atoms]
        if self.forces is not None:
            properties += f":{self.names['forces']}:R:3"
            rows = [[*row, *force] for row, force in zip(rows, self.forces, strict=True)]
        for declared, values in self.columns.items():
            properties += f":{declared}"
            rows = [[*row, value] for row, value in zip(rows, values, strict=True)]
        comment = f'Lattice="{numbers(self.atoms.cell.array)}" Properties={properties}'
        comment += "" if self.energy is None else f" {self.names['energy']}={float(self.energy)!r}"
        comment += "" if self.virial is None else f' {self.names["virial"]}="{numbers(self.virial)}"'
        pbc = " ".join("FT"[int(one)] for one in self.atoms.pbc)
        lines = [str(len(rows)), f'{comment} {self.entries} pbc="{pbc}"', *(" ".join(map(str, row)) for row in rows)]
        return "\n".join(lines) + "\n"


def numbers(values: np.ndarray) -> str:
    return " ".join(repr(value) for value in np.asarray(values, dtype=float).ravel().tolist())


def crystal(seed: int) -> Written:
    """Return a cell of CuAu with its atoms and its volume displaced."""
    atoms = bulk("CuAu", "cesiumchloride", a=3.0 + 0.008 * seed).repeat((2, 2, 1))
    atoms.rattle(0.015, seed=seed)
    free = sum(BINDING_OF_ATOMS_EV[symbol] for symbol in atoms.symbols)
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy() + free - 3.5 * len(atoms), atoms.get_forces()
    virial = -atoms.get_volume() * atoms.get_stress(voigt=False)
    return Written(atoms, energy, forces, virial)


def free_atom(symbol: str, energy: float | None = None, config_type: str = "isolated_atom") -> Written:
    """Return an isolated atom without forces."""
    atoms = Atoms(symbol, cell=[20.0] * 3, pbc=False)
    entries = f"config_type={config_type}" if config_type else ""
    return Written(atoms, BINDING_OF_ATOMS_EV[symbol] if energy is None else energy, None, None, entries=entries)


@pytest.fixture
def atom_alone() -> Callable[..., Written]:
    """Return `free_atom`, for tests that write their own."""
    return free_atom


@pytest.fixture(scope="session")
def crystals() -> list[Written]:
    return [crystal(seed) for seed in range(5)]


@pytest.fixture
def frames(crystals: list[Written]) -> list[Written]:
    """Two isolated atoms (frames 0 and 1) and five crystals (2 to 6)."""
    return [free_atom("Cu"), free_atom("Au"), *crystals]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.xyz"


@pytest.fixture
def read(path: Path) -> Callable[..., LabelFile]:
    """Return a function that writes frames or a text and reads them."""

    def write_and_read(content: str | Sequence[Written], request: LabelRequest | None = None) -> LabelFile:
        text = content if isinstance(content, str) else "".join(one.text() for one in content)
        path.write_text(text)
        return read_labels(path, request)

    return write_and_read
