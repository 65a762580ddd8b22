"""Units of a file of labels: what the user says, what frames declare (``energy-unit=hartree``), what is assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ase import units

from ...core.errors import InputError
from ...core.units import EnergyUnit, ForceUnit, LengthUnit, StressSign, StressUnit
from .findings import Findings, listed
from .frames import Frame, FrameFile
from .label_keys import FoundLabels, KeyReading, same_name

ENERGIES_EV: dict[EnergyUnit, float] = {
    EnergyUnit.EV: 1.0,
    EnergyUnit.MEV: 1e-3,
    EnergyUnit.HARTREE: units.Hartree,
    EnergyUnit.RYDBERG: units.Rydberg,
    EnergyUnit.KJ_PER_MOL: units.kJ / units.mol,
    EnergyUnit.KCAL_PER_MOL: units.kcal / units.mol,
}
LENGTHS_A: dict[LengthUnit, float] = {LengthUnit.ANGSTROM: 1.0, LengthUnit.BOHR: units.Bohr, LengthUnit.NANOMETRE: 10.0}
FORCES_EV_PER_A: dict[ForceUnit, float] = {
    ForceUnit.EV_PER_A: 1.0,
    ForceUnit.MEV_PER_A: 1e-3,
    ForceUnit.HARTREE_PER_BOHR: units.Hartree / units.Bohr,
    ForceUnit.RYDBERG_PER_BOHR: units.Rydberg / units.Bohr,
    ForceUnit.KCAL_PER_MOL_A: units.kcal / units.mol,
    ForceUnit.KJ_PER_MOL_NM: 0.1 * units.kJ / units.mol,
}
STRESSES_EV_PER_A3: dict[StressUnit, float] = {
    StressUnit.EV_PER_A3: 1.0,
    StressUnit.GPA: units.GPa,
    StressUnit.KBAR: 0.1 * units.GPa,
    StressUnit.MPA: 1e-3 * units.GPa,
    StressUnit.BAR: 1e-4 * units.GPa,
    StressUnit.HARTREE_PER_BOHR3: units.Hartree / units.Bohr**3,
}

QUANTITIES = ("energy", "length", "force", "virial", "stress")
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "energy": ("energy", "energies", "free_energy", "total_energy"),
    "length": ("length", "lengths", "distance", "pos", "position", "positions", "coordinates", "lattice", "cell"),
    "force": ("force", "forces"),
    "virial": ("virial", "virials"),
    "stress": ("stress", "stresses", "pressure"),
}
_QUANTITY_OF = {spelling: quantity for quantity, spellings in _SPELLINGS.items() for spelling in spellings}
_WORD_THEN_UNIT = re.compile(r"(?:ref_|dft_)?(.+?)_?units?")
_UNIT_THEN_WORD = re.compile(r"units?_?(?:of_)?(.+)")
_LABEL_THEN_UNIT = re.compile(r"(?:.*_)?(energy|forces?|virials?|stress)_(?:in_)?(.+)")
_NO_UNITS_IN_NAMES = frozenset({"a", "au", "atomic", "j", "m"})
"""Ends of names that are rather elements and words than units: energy_Au, energy_atomic."""
_ANY_UNIT = ("units", "unit", "unit_system", "unit_style")
_NO_UNITS = frozenset({"unit_cell", "unit_lattice"})
_WHOLE_SYSTEMS = {
    "metal": ("ev", "angstrom", "ev/angstrom", "bar"),
    "ase": ("ev", "angstrom", "ev/angstrom", "ev/angstrom3"),
    "real": ("kcal/mol", "angstrom", "kcal/mol/angstrom", "atm"),
    "electron": ("hartree", "bohr", "hartree/bohr", "pa"),
    "atomic": ("hartree", "bohr", "hartree/bohr", "hartree/bohr3"),
}
_ENERGIES = {
    "ev": 1.0,
    "electronvolt": 1.0,
    "mev": 1e-3,
    "millielectronvolt": 1e-3,
    **dict.fromkeys(("ha", "hartree", "eh", "e_h", "au", "atomic"), units.Hartree),
    **dict.fromkeys(("ry", "ryd", "rydberg"), units.Rydberg),
    **dict.fromkeys(("kj/mol", "kjmol"), units.kJ / units.mol),
    **dict.fromkeys(("kcal/mol", "kcalmol"), units.kcal / units.mol),
    "j": units.J,
    "joule": units.J,
}
_LENGTHS = {
    **dict.fromkeys(("a", "å", "ang", "angs", "angst", "angstrom"), 1.0),
    **dict.fromkeys(("bohr", "a0", "a_0", "au", "atomic"), units.Bohr),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 10.0),
    **dict.fromkeys(("pm", "picometer", "picometre"), 0.01),
    **dict.fromkeys(("m", "meter", "metre"), 1e10),
}
_PRESSURES = {
    "gpa": units.GPa,
    "mpa": 1e-3 * units.GPa,
    "kpa": 1e-6 * units.GPa,
    "pa": units.Pascal,
    **dict.fromkeys(("kbar", "kb", "kilobar"), 0.1 * units.GPa),
    "bar": units.bar,
    "atm": 1.01325 * units.bar,
    **dict.fromkeys(("au", "atomic"), units.Hartree / units.Bohr**3),
}


@dataclass(frozen=True)
class FileUnits:
    """Units that the user names; None where the file may say, and else eV, Å and what follows from them.

    Forces are energy over length, virials energies and stresses energy over length cubed, unless named.
    """

    energy: EnergyUnit | None = None
    length: LengthUnit | None = None
    stress: StressUnit | None = None
    stress_sign: StressSign = StressSign.ASE
    force: ForceUnit | None = None


@dataclass(frozen=True)
class FrameUnits:
    """What one of a frame's numbers is worth: eV, Å, eV/Å, eV, eV/Å³ (with the sign of the stress).

    ``stress_is_known`` is False where the file says that energies are not in eV, and nobody what stresses are in.
    """

    energy_eV: float
    length_A: float
    force_eV_per_A: float
    virial_eV: float
    stress_eV_per_A3: float
    stress_is_known: bool = True


@dataclass(frozen=True)
class UnitReading:
    """Units of every frame, what was converted in words, and the entries that declared units."""

    by_frame: tuple[FrameUnits, ...]
    told: str
    entries: frozenset[str]


def unit_of(quantity: str, text: str) -> float | None:
    """Return what a declared unit is worth (eV, Å, eV/Å, eV/Å³), None where it is not understood."""
    bare = _simplified(text)
    if quantity in ("energy", "virial"):
        return _ENERGIES.get(bare)
    if quantity == "length":
        return _LENGTHS.get(bare)
    if quantity == "stress" and bare in _PRESSURES:
        return _PRESSURES[bare]
    if quantity == "force" and bare in ("au", "atomic"):
        return units.Hartree / units.Bohr
    power = {"force": 1, "stress": 3}[quantity]
    energy, _, length = bare.rpartition("/")
    if power == 3:
        if not length.endswith("3"):
            return None
        length = length[:-1]
    if energy not in _ENERGIES or length not in _LENGTHS:
        return None
    return _ENERGIES[energy] / _LENGTHS[length] ** power


def _simplified(text: str) -> str:
    bare = (
        text.strip()
        .lower()
        .replace("ångström", "angstrom")
        .replace("ångstrom", "angstrom")
        .replace("angström", "angstrom")
    )
    bare = bare.replace("(", "").replace(")", "").replace("a.u.", "au").replace("atomic units", "au").replace("**", "")
    bare = bare.replace("^", "").replace(" per ", "/").replace("_per_", "/").replace("³", "3").strip()
    # Units beside each other with a negative power: eV Å-1, kcal mol-1.
    bare = re.sub(
        r"[\s*·_]*([a-zå]+0?)-([13])", lambda match: f"/{match[1]}{match[2] if match[2] == '3' else ''}", bare
    )
    bare = bare.replace(" ", "").replace("_", "")
    return re.sub(r"\b(electronvolt|hartree|rydberg|angstrom)s\b", r"\1", bare).replace("angstroms", "angstrom")


def declared_length_A(entries: Mapping[str, str]) -> float | None:
    """Return what a length of a frame is worth (Å) by its own entries, None where they do not say it.

    Raises
    ------
    InputError
        If an entry about lengths is not understood, or two contradict each other.
    """
    found: dict[str, float] = {}
    for key, text in entries.items():
        said = _declarations(key, text)
        lengths = [unit for quantity, unit in said if quantity == "length"]
        if not lengths and said and key.lower() in _ANY_UNIT and unit_of("length", text) is not None:
            lengths = [text]
        for unit in lengths:
            worth = unit_of("length", unit)
            if worth is None:
                raise InputError(f"{key}={text} is not understood as a unit of length (Ang, Bohr, nm)")
            found[f"{key}={text}"] = worth
    if len({round(worth, 6) for worth in found.values()}) > 1:
        raise InputError(f"{' and '.join(found)} contradict each other")
    return next(iter(found.values()), None)


def read_units(file: FrameFile, keys: KeyReading, named: FileUnits) -> UnitReading:
    """Return the units of every frame.

    Raises
    ------
    InputError
        If a declaration is not understood, contradicts what the user names, or only some of the frames that have such
        a label declare a unit which is not the usual one.
    """
    problems = Findings()
    frames = file.frames
    given = _given(named)
    declared = [_declared(frame, found, given, problems) for frame, found in zip(frames, keys.by_frame, strict=True)]
    for quantity in QUANTITIES:
        having = [
            (frame, one.get(quantity))
            for frame, one, found in zip(frames, declared, keys.by_frame, strict=True)
            if _has(found, quantity)
        ]
        _check_quantity(quantity, having, given.get(quantity), problems)
    if problems:
        raise InputError(f"{file.path}: units are not clear:\n  " + "\n  ".join(problems.lines()))
    by_frame = tuple(_frame_units(one, given, named) for one in declared)
    return UnitReading(by_frame, _told(declared, given, named), frozenset(e for one in declared for e in one.entries))


class _Declared(dict[str, tuple[str, str, float]]):
    """Quantity: entry, text and worth; and the entries that said so."""

    entries: set[str]


def _declared(
    frame: Frame, labels: FoundLabels, given: Mapping[str, tuple[str, float]], problems: Findings
) -> _Declared:
    found = _Declared()
    found.entries = set()
    said = [(key, text, *one) for key, text in frame.entries.items() for one in _declarations(key, text)]
    found.entries.update(key for key, *_ in said)
    said += [(name, one[1], *one) for name in labels.names if (one := _unit_in_name(name)) is not None]
    for key, text, quantity, unit in said:
        worth = unit_of(quantity, unit)
        if worth is None:
            if quantity not in given:
                problems.add(f"{key}={text} is not understood as a unit of {quantity}; {_option(quantity)}", frame)
            continue
        known = found.setdefault(quantity, (key, text, worth))
        if not _same(known[2], worth):
            problems.add(f"{known[0]}={known[1]} and {key}={text} contradict each other", frame)
    return found


def _declarations(key: str, text: str) -> list[tuple[str, str]]:
    """Return quantities and units that an entry declares: one, none, or those of a whole system of units."""
    name = key.lower().replace("-", "_")
    if name in _ANY_UNIT:
        system = _WHOLE_SYSTEMS.get({"au": "atomic"}.get(_simplified(text), _simplified(text)))
        if system is not None:
            energy, length, force, stress = system
            return [("energy", energy), ("length", length), ("force", force), ("virial", energy), ("stress", stress)]
        # One unit for all is an energy's: forces and virials follow.
        return [("energy", text)]
    for pattern in (_WORD_THEN_UNIT, _UNIT_THEN_WORD):
        match = pattern.fullmatch(name)
        if match and match[1] in _QUANTITY_OF and name not in _NO_UNITS:
            return [(_QUANTITY_OF[match[1]], text)]
    return []


@lru_cache(maxsize=256)
def _unit_in_name(name: str) -> tuple[str, str] | None:
    """Return quantity and unit that the name of a label ends with (``stress_GPa``), None where there is none."""
    match = _LABEL_THEN_UNIT.fullmatch(same_name(name))
    if match is None or match[2] in _NO_UNITS_IN_NAMES:
        return None
    quantity, unit = _QUANTITY_OF[match[1]], name[match.start(2) : match.end(2)]
    return None if unit_of(quantity, unit) is None else (quantity, unit)


def _option(quantity: str) -> str:
    return {
        "energy": "name the unit with --energy-unit",
        "length": "name the unit with --length-unit",
        "force": "name the unit with --force-unit",
        "virial": "convert the virials to the unit of the energies",
        "stress": "name the unit with --stress-unit",
    }[quantity]


def _given(named: FileUnits) -> dict[str, tuple[str, float]]:
    """Return what the user names: as written, and its worth."""
    found: dict[str, tuple[str, float]] = {}
    if named.energy is not None:
        found["energy"] = named.energy.value, ENERGIES_EV[named.energy]
    if named.length is not None:
        found["length"] = named.length.value, LENGTHS_A[named.length]
    if named.force is not None and named.force is not ForceUnit.CONSISTENT:
        found["force"] = named.force.value, FORCES_EV_PER_A[named.force]
    if named.stress is not None and named.stress is not StressUnit.CONSISTENT:
        found["stress"] = named.stress.value, STRESSES_EV_PER_A3[named.stress]
    return found


def _has(found: FoundLabels, quantity: str) -> bool:
    values = {"force": found.forces, "virial": found.virial, "stress": found.stress}
    return quantity not in values or values[quantity] is not None


def _check_quantity(
    quantity: str,
    having: Sequence[tuple[Frame, tuple[str, str, float] | None]],
    given: tuple[str, float] | None,
    problems: Findings,
) -> None:
    """Compare what frames with such a label declare with what the user names and with each other."""
    odd = next((one for _, one in having if one is not None and not _same(one[2], 1.0)), None)
    for frame, one in having:
        if one is not None and given is not None and not _same(one[2], given[1]):
            problems.add(
                f"{one[0]}={one[1]} is declared, but --{quantity}-unit {given[0]} was given; leave one out", frame
            )
        if one is None and given is None and odd is not None:
            problems.add(
                f"no unit of {quantity} is declared, while others say {odd[0]}={odd[1]}; {_option(quantity)}", frame
            )


def _frame_units(declared: _Declared, given: Mapping[str, tuple[str, float]], named: FileUnits) -> FrameUnits:
    def worth(quantity: str, otherwise: float) -> float:
        if quantity in given:
            return given[quantity][1]
        return declared[quantity][2] if quantity in declared else otherwise

    energy, length = worth("energy", 1.0), worth("length", 1.0)
    sign = 1.0 if named.stress_sign is StressSign.ASE else -1.0
    by_file_alone = "energy" in declared and "energy" not in given and not _same(energy, 1.0)
    return FrameUnits(
        energy_eV=energy,
        length_A=length,
        force_eV_per_A=worth("force", energy / length),
        virial_eV=worth("virial", energy),
        stress_eV_per_A3=worth("stress", energy / length**3) * sign,
        stress_is_known=named.stress is not None or "stress" in declared or not by_file_alone,
    )


def _told(declared: list[_Declared], given: Mapping[str, tuple[str, float]], named: FileUnits) -> str:
    """Return in words what is converted, empty if nothing is."""
    parts = [f"{quantity} in {text}" for quantity, (text, worth) in given.items() if not _same(worth, 1.0)]
    said = {
        f"{quantity} in {one[quantity][1]} ({one[quantity][0]} in the file)"
        for one in declared
        for quantity in QUANTITIES
        if quantity in one and quantity not in given and not _same(one[quantity][2], 1.0)
    }
    parts += sorted(said)
    implied = "force" not in given and any("force" not in one for one in declared)
    if implied and any(part.startswith(("energy in", "length in")) for part in parts):
        parts.append("forces in energy over length")
    if named.stress_sign is StressSign.OPPOSITE:
        parts.append("stress with the opposite sign")
    return f"converted to eV and Å: {listed(parts)}" if parts else ""


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= 1e-6 * abs(second)
