"""Crystal structures by name or from a file, checked before anything is computed from them."""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ...core.errors import InputError

SHORTEST_DISTANCE_A = 0.5
"""Two atoms closer than this (Å) are an error of the file, such as a partly occupied site listed twice."""
OCCUPANCY_TOLERANCE = 0.005
"""An occupancy this near to 1 is a rounded 1."""


@dataclass(frozen=True)
class Crystal:
    """A crystal structure as published: space group, cell and the asymmetric unit.

    ``cell``: a, b, c in Å, α, β, γ in degrees; ``sites``: symbol and fractional coordinates;
    ``atoms_per_cell``: in the conventional cell; ``source``: where cell and coordinates come from, both from the same;
    ``is_confirmed``: whether that can be looked up; ``origin``: origin choice of the space group's setting.
    """

    name: str
    formula: str
    space_group: int
    space_group_symbol: str
    cell: tuple[float, float, float, float, float, float]
    sites: tuple[tuple[str, tuple[float, float, float]], ...]
    atoms_per_cell: int
    source: str
    is_confirmed: bool = False
    origin: int = 1

    def build(self) -> Atoms:
        """The conventional cell, periodic, without calculator."""

        from ase.spacegroup import crystal

        symbols = [symbol for symbol, _ in self.sites]
        positions = [position for _, position in self.sites]
        built = crystal(
            symbols,
            positions,
            spacegroup=self.space_group,
            setting=self.origin,
            cellpar=list(self.cell),
        )
        # ase.spacegroup leaves bookkeeping arrays and info behind that do not survive a supercell.
        return Atoms(built.get_chemical_symbols(), positions=built.positions, cell=built.cell, pbc=True)


_LI7P3S11 = Crystal(
    name="li7p3s11",
    formula="Li7P3S11",
    space_group=2,
    space_group_symbol="P-1",
    cell=(6.188838, 12.627876, 12.673133, 107.483317, 103.552438, 101.860414),
    sites=(
        ("Li", (0.735468, 0.668331, 0.103932)),
        ("Li", (0.213497, 0.035627, 0.754222)),
        ("Li", (0.623518, 0.343174, 0.507702)),
        ("Li", (0.576648, 0.864682, 0.878731)),
        ("Li", (0.696388, 0.178700, 0.705472)),
        ("Li", (0.862721, 0.382725, 0.112841)),
        ("Li", (0.985911, 0.680997, 0.679985)),
        ("P", (0.511849, 0.475548, 0.277640)),
        ("P", (0.830471, 0.788490, 0.454430)),
        ("P", (0.876656, 0.167114, 0.943967)),
        ("S", (0.907850, 0.816413, 0.317165)),
        ("S", (0.203782, 0.502079, 0.295031)),
        ("S", (0.780962, 0.604309, 0.431243)),
        ("S", (0.443998, 0.159753, 0.516987)),
        ("S", (0.561798, 0.481632, 0.127770)),
        ("S", (0.105396, 0.836752, 0.601336)),
        ("S", (0.363844, 0.971208, 0.196450)),
        ("S", (0.205472, 0.154316, 0.948672)),
        ("S", (0.570519, 0.331368, 0.307130)),
        ("S", (0.827687, 0.176657, 0.101048)),
        ("S", (0.855344, 0.317114, 0.912604)),
    ),
    atoms_per_cell=42,
    source="relaxed with PBE, Materials Project mp-641703 (CC BY 4.0); measured by Yamane et al., "
    "Solid State Ionics 2007, 178, 1163",
    is_confirmed=True,
)

_BETA_LI3PS4 = Crystal(
    name="beta-li3ps4",
    formula="Li3PS4",
    space_group=62,
    space_group_symbol="Pnma",
    cell=(13.1836, 8.1325, 6.2132, 90.0, 90.0, 90.0),
    sites=(
        ("Li", (0.3321, 0.03172, 0.38904)),
        ("Li", (0.0, 0.0, 0.5)),
        ("P", (0.08924, 0.25, 0.1538)),
        ("S", (0.10136, 0.25, 0.82584)),
        ("S", (0.94053, 0.25, 0.27281)),
        ("S", (0.15244, 0.0376, 0.27325)),
    ),
    atoms_per_cell=32,
    source="recalled, no reference known: ordered model of the β phase with full lithium sites (P-S 2.04 to 2.10 Å)",
)

_GAMMA_LI3PS4 = Crystal(
    name="gamma-li3ps4",
    formula="Li3PS4",
    space_group=31,
    space_group_symbol="Pmn2_1",
    cell=(7.70829, 6.53521, 6.1365, 90.0, 90.0, 90.0),
    sites=(
        ("Li", (0.244, 0.328, 0.0)),
        ("Li", (0.0, 0.151, 0.491)),
        ("P", (0.0, 0.819, 0.0)),
        ("S", (0.2194, 0.6681, 0.8949)),
        ("S", (0.0, 0.1153, 0.887)),
        ("S", (0.0, 0.805, 0.3349)),
    ),
    atoms_per_cell=16,
    source="recalled, no reference known: γ phase (P-S 2.06 Å)",
)

_LI2S = Crystal(
    name="li2s",
    formula="Li2S",
    space_group=225,
    space_group_symbol="Fm-3m",
    cell=(5.710, 5.710, 5.710, 90.0, 90.0, 90.0),
    sites=(("Li", (0.25, 0.25, 0.25)), ("S", (0.0, 0.0, 0.0))),
    atoms_per_cell=12,
    source="antifluorite, all coordinates by symmetry; a as recalled from Zintl, Harder, Dauth, Z. Elektrochem. 1934, "
    "40, 588",
)

_LI4P2S6 = Crystal(
    name="li4p2s6",
    formula="Li4P2S6",
    space_group=162,
    space_group_symbol="P-31m",
    cell=(6.0773, 6.0773, 6.5985, 90.0, 90.0, 120.0),
    sites=(
        ("Li", (1 / 3, 2 / 3, 0.0)),
        ("Li", (1 / 3, 2 / 3, 0.5)),
        ("P", (0.0, 0.0, 0.1715)),
        ("S", (0.3237, 0.0, 0.25)),
    ),
    atoms_per_cell=12,
    source="recalled, no reference known (P-S 2.03, P-P 2.26 Å)",
)

_LLZO = Crystal(
    name="t-li7la3zr2o12",
    formula="Li7La3Zr2O12",
    space_group=142,
    space_group_symbol="I4_1/acd",
    cell=(13.23607, 13.23607, 12.701706, 90.0, 90.0, 90.0),
    sites=(
        ("Li", (0.0805155, 0.1624655, 0.9308565)),
        ("Li", (0.181211, 0.181211, 0.75)),
        ("Li", (0.0, 0.0, 0.0)),
        ("La", (0.12737, 0.25, 0.375)),
        ("La", (0.0, 0.0, 0.25)),
        ("Zr", (0.0, 0.25, 0.125)),
        ("O", (0.034616, 0.694517, 0.471296)),
        ("O", (0.054963, 0.102443, 0.090667)),
        ("O", (0.150823, 0.223227, 0.571236)),
    ),
    atoms_per_cell=192,
    source="recalled, no reference known: tetragonal garnet, relaxed with density-functional theory",
)

CRYSTALS: dict[str, Crystal] = {
    entry.name: entry for entry in (_LI7P3S11, _BETA_LI3PS4, _GAMMA_LI3PS4, _LI4P2S6, _LI2S, _LLZO)
}
"""Built-in structures by name."""


def unconfirmed() -> str:
    """Return a sentence about the built-in structures whose numbers come from nowhere that can be looked up."""
    names = ", ".join(entry.name for entry in CRYSTALS.values() if not entry.is_confirmed)
    return (
        f"Of the built-in structures, {names} have cells and coordinates without a confirmed reference: compare them "
        "with one, or name a file of your own, and relax before you compute anything that is to be published."
    )


def build_crystal(name: str) -> Atoms:
    """The conventional cell of a built-in structure.

    Raises
    ------
    InputError
        For a name that is not in `CRYSTALS`, with the nearest one.
    """
    entry = CRYSTALS.get(name.lower())
    if entry is None:
        raise InputError(_unknown_name(name))
    return _built(entry).copy()


@functools.cache
def _built(entry: Crystal) -> Atoms:
    """Return a crystal that is not to be changed: its space group is looked up in a table of text, which takes time."""
    return entry.build()


def load_structure(name_or_path: str | Path, base_folder: Path | None = None, *, sites_of: str = "") -> Atoms:
    """A structure by built-in name, or the single frame of a file that ASE reads.

    Parameters
    ----------
    name_or_path
        A key of `CRYSTALS`, or a path.
    base_folder
        Folder that a relative path starts from; the current one by default.
    sites_of
        An element whose sites are meant, not its ions: those that are partly occupied are atoms like others.

    Returns
    -------
    A cell periodic in three directions; nothing of the file but species, positions and cell.

    Raises
    ------
    InputError
        For an unknown name, a missing or unreadable file, several frames, no periodic cell,
        partly occupied sites, or atoms closer than 0.5 Å.
    """
    if str(name_or_path).lower() in CRYSTALS:
        return build_crystal(str(name_or_path))
    path = Path(base_folder or ".") / Path(name_or_path).expanduser()
    if not path.is_file():
        if path.suffix or len(Path(name_or_path).parts) > 1:
            kind = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise InputError(f"The structure file {path} {kind}.")
        raise InputError(_unknown_name(str(name_or_path)) + f" There is no file {path} either.")
    atoms = _read_single_frame(path)
    _check_structure(atoms, path, sites_of)
    # Velocities, constraints, tags and results of whoever wrote the file are not part of the structure.
    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)


def load_frames(name_or_path: str | Path, base_folder: Path | None = None) -> list[Atoms]:
    """Return a built-in structure, or every frame of a file that ASE reads.

    Raises
    ------
    InputError
        For an unknown name, or a missing or unreadable file.
    """
    path = Path(base_folder or ".") / Path(name_or_path).expanduser()
    if str(name_or_path).lower() in CRYSTALS or not path.is_file():
        return [load_structure(name_or_path, base_folder)]
    return _read_frames(path)


def _unknown_name(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), CRYSTALS, n=1, cutoff=0.5)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no built-in structure {name!r}.{suggestion} Built in: {', '.join(CRYSTALS)}."


def _read_frames(path: Path) -> list[Atoms]:
    from ase.io import read
    from ase.io.formats import UnknownFileTypeError

    try:
        frames: list[Atoms] = read(path, index=":", do_not_split_by_at_sign=True)
    except UnknownFileTypeError as error:
        raise InputError(
            f"ASE does not recognise the format of {path}. Give a file such as .cif, .extxyz, .vasp or "
            "geometry.in, with the extension that its format has."
        ) from error
    except Exception as error:  # boundary: a parser of any of ASE's formats may raise anything on a broken file
        raise InputError(
            f"{path} is no structure that ASE can read: it is damaged, cut short, or not of the format of its name"
        ) from error
    return frames


def _read_single_frame(path: Path) -> Atoms:
    frames = _read_frames(path)
    if len(frames) != 1:
        raise InputError(
            f"{path} holds {len(frames)} structures: give a file with exactly one, "
            "for instance written with `ase convert -n -1`."
        )
    return frames[0]


def _check_structure(atoms: Atoms, path: Path, sites_of: str) -> None:
    """Raise InputError unless the atoms fill a periodic cell without overlaps, every site occupied."""
    check_cell(atoms, str(path))
    partial = [
        f"{symbol} {occupancy:g}"
        for site in atoms.info.get("occupancy", {}).values()
        for symbol, occupancy in site.items()
        if abs(occupancy - 1) > OCCUPANCY_TOLERANCE and {*site} != {sites_of}
    ]
    if partial:
        raise InputError(
            f"{path} has partly occupied sites ({', '.join(partial)}): write an ordered model of the crystal, "
            "in a supercell where the composition demands it."
        )
    check_distances(atoms, str(path))


def check_crystal(atoms: Atoms, name: str) -> None:
    """Refuse what is no crystal: no atoms, no periodic cell, values that are no numbers, atoms on top of each other.

    Parameters
    ----------
    atoms
        What somebody else calls a crystal.
    name
        What it is called in the message: "structures/a.cif".

    Raises
    ------
    InputError
        With what is wrong.
    """
    check_cell(atoms, name)
    check_distances(atoms, name)


def check_cell(atoms: Atoms, name: str) -> None:
    """Raise InputError unless there are atoms in a cell that is periodic in three directions, all of them numbers."""
    if len(atoms) == 0:
        raise InputError(f"{name} holds no atoms.")
    if not np.all(np.isfinite(atoms.positions)) or not np.all(np.isfinite(atoms.cell.array)):
        raise InputError(f"{name} holds positions or cell vectors that are not numbers.")
    if not atoms.pbc.all() or atoms.cell.rank < 3 or atoms.get_volume() < 1e-3:
        raise InputError(
            f"{name} has no cell that is periodic in three directions (pbc={atoms.pbc.tolist()}, "
            f"cell={np.round(atoms.cell.array, 3).tolist()} Å): a crystal is needed."
        )


def check_distances(atoms: Atoms, name: str) -> None:
    """Raise InputError if two atoms are closer than `SHORTEST_DISTANCE_A`."""

    from matscipy.neighbours import neighbour_list

    first, second, distances = neighbour_list("ijd", atoms=atoms, cutoff=SHORTEST_DISTANCE_A)
    if len(distances):
        worst = int(np.argmin(distances))
        raise InputError(
            f"In {name} atoms {first[worst]} ({atoms.symbols[first[worst]]}) and {second[worst]} "
            f"({atoms.symbols[second[worst]]}) are {distances[worst]:.3f} Å apart, less than "
            f"{SHORTEST_DISTANCE_A} Å: is a partly occupied site listed more than once?"
        )
