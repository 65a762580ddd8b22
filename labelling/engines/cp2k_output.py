"""CP2K's output of versions 6 to 2026, whose words, brackets and units differ.

| | to 7 | 8 to 2024 | from 2025 |
|---|---|---|---|
| energy | ``energy (a.u.):`` | ``energy [a.u.]:`` | ``energy [hartree]`` |
| forces | ``ATOMIC FORCES in [a.u.]`` | the same | ``FORCES| Atomic forces [hartree/bohr]`` |
| stress | ``STRESS TENSOR [GPa]`` | ``STRESS| Analytical stress tensor [GPa]`` | the same ``[bar]`` |

The units are also keywords of CP2K's input, so the words between the brackets decide and never the version. What is
printed in a unit or a layout that is not known here is an error: a number taken for another unit's is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from ase.units import Bohr, Debye, GPa, Hartree, Pascal, Rydberg, bar, eV

from ...core.arrays import FloatArray
from ..ase_evaluation import stress_of
from ..convergence import LastChange, check_numbers, printed_number
from ..engine import EngineFailure, NotConverged
from ..outcome import Evaluation
from .cp2k_settings import Cp2kSettings
from .executable import last_line

FINISHED_MARK = "PROGRAM ENDED AT"
ENERGY_UNITS: Mapping[str, float] = {"a.u.": Hartree, "hartree": Hartree, "eV": eV, "Ry": Rydberg}
FORCE_UNITS: Mapping[str, float] = {
    "a.u.": Hartree / Bohr,
    "hartree/bohr": Hartree / Bohr,
    "hartree/angstrom": Hartree,
    "eV/bohr": eV / Bohr,
    "eV/angstrom": eV,
    "Ry/bohr": Rydberg / Bohr,
}
STRESS_UNITS: Mapping[str, float] = {
    "Pa": Pascal,
    "MPa": 1e6 * Pascal,
    "GPa": GPa,
    "bar": bar,
    "kbar": 1e3 * bar,
    "Mbar": 1e6 * bar,
    "atm": 101325 * Pascal,
    "a.u.": Hartree / Bohr**3,
    "hartree/bohr^3": Hartree / Bohr**3,
    "eV/angstrom^3": eV,
}
DIPOLE_UNITS: Mapping[str, float] = {"Debye": Debye, "a.u.": Bohr}

# A unit stands in round brackets to version 7 and in square ones since; "(a.u.)" has dots, but no brackets inside.
_UNIT = r"[\[(]\s*([^\])]*?)\s*[\])]"
_UNCONVERGED = re.compile(r"SCF run NOT converged|outer SCF loop FAILED to converge", re.IGNORECASE)
_CONVERGED = re.compile(r"SCF run converged in\s+(\d+)\s+steps")
_OUTER_CONVERGED = re.compile(r"outer SCF loop converged in")
_LIMIT = re.compile(r"\bmax_scf:\s*(\d+)")
_CRITERION = re.compile(r"\beps_scf:\s*([-+.\dEeDd]+)")
_ENERGY = re.compile(rf"ENERGY\|\s*Total FORCE_EVAL\s*\(\s*QS\s*\)\s*energy\s*{_UNIT}:?\s+(\S+)")
_FORCES = re.compile(rf"(?:ATOMIC FORCES in|FORCES\|\s*Atomic forces)\s*{_UNIT}")
# "STRESS| Eigenvectors and eigenvalues of the analytical stress tensor [GPa]" is another table.
_STRESS = re.compile(
    rf"^\s*(?:STRESS\|\s*(?:(?:Analytical|Numerical)\s+)?|(?:(?:ANALYTICAL|NUMERICAL)\s+)?)stress\s+tensor\s*{_UNIT}",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_STRESS = re.compile(r"^\s*(?:STRESS\||.*stress tensor).*$", re.IGNORECASE | re.MULTILINE)
_HIRSHFELD = re.compile(r"Hirshfeld Charges")
_DIPOLE = re.compile(rf"Dipole moment\s*{_UNIT}[^\n]*\n?")
_COMPONENTS = re.compile(r"\s*X=\s*(\S+)\s+Y=\s*(\S+)\s+Z=\s*(\S+)")
_VERSION = re.compile(r"CP2K\| version string:\s+CP2K version (\d+)")
_FIRST_WITH_STRESS_ALWAYS = 8


def read_output(text: str, n_atoms: int, settings: Cp2kSettings, failure: EngineFailure | None = None) -> Evaluation:
    """Return energy, forces, stress, Hirshfeld charges and dipole out of CP2K's output.

    Parameters
    ----------
    text
        The output.
    n_atoms
        Number of atoms that it must be about.
    settings
        What holds where the output does not say MAX_SCF and EPS_SCF.
    failure
        How the program ended, if not well.

    Raises
    ------
    NotConverged
        If the output has CP2K's warning that the self-consistency did not converge, does not say that it did, or has
        numbers that deny it.
    EngineFailure
        If the program failed, the output ends early, or energy, forces, stress or a printed table of charges or
        dipole is not there or not in words and units that are known.
    """
    if _UNCONVERGED.search(text):
        raise NotConverged("CP2K's output says: SCF run NOT converged")
    if failure is not None:
        said = _abort_message(text)
        raise EngineFailure(f"{failure}; its output says: {said}" if said else str(failure), failure.state)
    if FINISHED_MARK not in text:
        raise EngineFailure(f"CP2K's output ends early, with: {last_line(text)}")
    _check_convergence(text, settings)
    return Evaluation(
        energy=_energy(text),
        forces=_forces(text, n_atoms),
        stress=_stress(text),
        charges=_hirshfeld_charges(text, n_atoms),
        dipole=_dipole_moment(text),
    )


def _abort_message(text: str) -> str:
    """Return what stands in the box that CP2K draws around a fatal message."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if "[ABORT]" in line:
            box = [row.strip(" *|\\/_-") for row in lines[start : start + 8]]
            return " ".join(row.replace("[ABORT]", "").strip() for row in box if any(c.isalpha() for c in row))
    return ""


def _check_convergence(text: str, settings: Cp2kSettings) -> None:
    """Refuse an output that does not say that it converged, or whose last cycle denies it."""
    ends = list(_CONVERGED.finditer(text))
    if not ends:
        # An outer loop may reach the criterion where its last inner one used up its steps.
        if _OUTER_CONVERGED.search(text):
            return
        raise NotConverged("CP2K's output does not say that the SCF run converged")
    steps = int(ends[-1].group(1))
    said_limit, said_criterion = _LIMIT.search(text), _CRITERION.search(text)
    limit = settings.max_iterations if said_limit is None else int(said_limit.group(1))
    criterion = settings.energy_convergence_Ha if said_criterion is None else printed_number(said_criterion.group(1))
    change = _change_in_step(text[: ends[-1].start()], steps)
    check_numbers("CP2K", steps, limit, LastChange("density matrix", "(EPS_SCF)", change, criterion))


def _change_in_step(text: str, step: int) -> float | None:
    """Return the column Convergence of the last line of the table of steps, None if that is another step's."""
    for line in reversed(text.splitlines()):
        words = line.split()
        # Step, method, mixing, time, convergence, total energy, change; the method may be two words.
        if len(words) >= 7 and words[0].isdigit() and re.fullmatch(r"[-+.\dE]+E[-+]\d+|\*+", words[-1]):
            return printed_number(words[-3]) if int(words[0]) == step else None
    return None


def _unit_of(name: str, units: Mapping[str, float], quantity: str) -> float:
    known = {unit.lower(): factor for unit, factor in units.items()}
    # MPa and Mbar have a small twin, but none that CP2K knows.
    if name.lower() not in known:
        raise EngineFailure(
            f"CP2K's output gives the {quantity} in [{name}], which is not known here; known are {', '.join(units)}"
        )
    return known[name.lower()]


def _energy(text: str) -> float:
    found = _ENERGY.findall(text)
    if not found:
        raise EngineFailure("CP2K's output has no energy: no line 'ENERGY| Total FORCE_EVAL ( QS ) energy' with a unit")
    unit, word = found[-1]
    return printed_number(word) * _unit_of(unit, ENERGY_UNITS, "energy")


def _table(text: str, prefix: str = "") -> list[list[str]]:
    """Return the words of the rows of the first table in ``text`` that are numbered 1, 2, 3..., shape [n_rows][...].

    ``prefix`` stands before each row and is left out.
    """
    rows: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        if prefix and words[:1] == [prefix]:
            words = words[1:]
        if words[:1] == [str(len(rows) + 1)]:
            rows.append(words)
        # A first row that is missing must not be taken from a later table.
        elif rows or (words and words[0].isdigit()):
            break
    return rows


def _numbers(rows: Iterable[list[str]], columns: slice) -> FloatArray:
    return np.array([[printed_number(word) for word in row[columns]] for row in rows])


def _forces(text: str, n_atoms: int) -> FloatArray:
    headings = list(_FORCES.finditer(text))
    if not headings:
        raise EngineFailure(f"CP2K's output has no forces on {n_atoms} atoms: no table of atomic forces with a unit")
    unit = _unit_of(headings[-1].group(1), FORCE_UNITS, "forces")
    # Atom, kind and element before the components; or the atom alone, and the size of the force after them.
    is_new = headings[-1].group(0).startswith("FORCES|")
    width, columns = (5, slice(1, 4)) if is_new else (6, slice(3, 6))
    rows = _table(text[headings[-1].end() :], "FORCES|" if is_new else "")
    if len(rows) != n_atoms or any(len(row) != width for row in rows):
        raise EngineFailure(
            f"CP2K's output has no forces on {n_atoms} atoms: its table has {len(rows)} rows, or not {width} columns"
        )
    return _numbers(rows, columns) * unit


def _stress(text: str) -> FloatArray | None:
    """Return ASE's stress; CP2K prints the pressure's sign."""
    headings = list(_STRESS.finditer(text))
    if not headings:
        version = _VERSION.search(text)
        other = _ANY_STRESS.search(text)
        if version is not None and int(version.group(1)) < _FIRST_WITH_STRESS_ALWAYS and other is None:
            # No release before 8 could be run here, so nothing tells whether each prints a stress in every run: an
            # output of theirs without a word of it is a label without stress, one with words not known is none.
            return None
        said = f": its words '{' '.join(other.group(0).split())}' are not known here" if other else ""
        raise EngineFailure(f"CP2K's output has no stress that can be read, which was asked for{said}")
    unit = _unit_of(headings[-1].group(1), STRESS_UNITS, "stress")
    rows: dict[str, list[float]] = {}
    for line in text[headings[-1].end() :].splitlines():
        words = [word for word in line.split() if word != "STRESS|"]
        if len(words) == 4 and words[0].lower() == "xyz"[len(rows) : len(rows) + 1]:
            rows[words[0].lower()] = [printed_number(word) for word in words[1:]]
        # The eigenvectors that follow have rows x, y and z too.
        elif rows or [word.lower() for word in words] not in ([], ["x", "y", "z"]):
            break
    if list(rows) != ["x", "y", "z"]:
        raise EngineFailure(
            f"CP2K's output has a stress tensor with the rows {', '.join(rows) or 'none'}, expected xyz"
        )
    return stress_of(-np.array(list(rows.values())) * unit, "CP2K's output")


def _hirshfeld_charges(text: str, n_atoms: int) -> FloatArray | None:
    headings = list(_HIRSHFELD.finditer(text))
    if not headings:
        return None
    rows = _table(text[headings[-1].end() :])
    if len(rows) != n_atoms:
        raise EngineFailure(f"CP2K's output has Hirshfeld charges of {len(rows)} atoms, expected {n_atoms}")
    return _numbers(rows, slice(-1, None))[:, 0]


def _dipole_moment(text: str) -> FloatArray | None:
    """Return the last dipole moment (e Å), modulo e times the lattice vectors, or None."""
    headings = list(_DIPOLE.finditer(text))
    if not headings:
        return None
    unit = _unit_of(headings[-1].group(1), DIPOLE_UNITS, "dipole moment")
    components = _COMPONENTS.match(text, headings[-1].end())
    if components is None:
        raise EngineFailure("CP2K's output has a dipole moment whose components cannot be read")
    return np.array([printed_number(word) for word in components.groups()]) * unit
