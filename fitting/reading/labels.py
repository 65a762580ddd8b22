"""The one way from a person's file to labelled configurations: in eV and Å, checked, and what was done in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...core.errors import InputError
from ...core.names import ISOLATED_ATOM_TYPE
from ...core.structures import structure_hash
from ..data_sets import (
    DEFAULT_KEYS,
    LABELLED_BY,
    STANDS_IN,
    BareConfiguration,
    DataSet,
    LabelledConfiguration,
    check_isolated_reference,
    mean_energy_per_atom,
    word,
)
from ..frame_regularisation import is_regularisation, read_regularisation
from .entries import numbers_of, truth
from .findings import Findings, frame_numbers, listed
from .frames import Frame, FrameFile, read_frames
from .isolated import differing_energies, judge
from .label_keys import FoundLabels, KeyReading, LabelKeys, read_labels_of, same_name
from .label_units import FileUnits, FrameUnits, UnitReading, read_units
from .plausibility import binding_objections, unit_objections
from .repeats import merge_repeats
from .stresses import StressReading, read_stresses
from .summary import Counted, summary_lines
from .weights import is_weight, read_frame_weights

LARGEST_MEAN_FORCE_EV_PER_A = 0.1
"""Mean force that grids and unconverged electrons do not leave."""
_CONFIG_TYPE = frozenset({"config_type", "configtype"})


@dataclass(frozen=True)
class LabelRequest:
    """How a file is to be read.

    Attributes
    ----------
    check_units
        Stop where units or signs look wrong.
    keep_unusable
        Pass on labels that are not finite numbers, for the caller to leave out with a word.
    """

    keys: LabelKeys = field(default_factory=LabelKeys)
    units: FileUnits = field(default_factory=FileUnits)
    check_units: bool = True
    keep_unusable: bool = False


@dataclass(frozen=True)
class LabelFile:
    """The labels of a file.

    Attributes
    ----------
    frames
        Number of the frame of every configuration.
    n_frames
        Frames in the file.
    repeated
        Numbers of the frames that repeat others and were used once.
    isolated
        Numbers of the frames that are isolated atoms.
    summary
        At most ten lines for the person whose file it is.
    """

    path: Path
    data_set: DataSet
    frames: tuple[int, ...]
    n_frames: int
    repeated: tuple[int, ...]
    isolated: tuple[int, ...]
    summary: tuple[str, ...]


@dataclass
class _Reading:
    """A file on its way: what was found, and what is wrong."""

    file: FrameFile
    keys: KeyReading
    units: UnitReading
    stresses: StressReading
    problems: Findings = field(default_factory=Findings)
    remarks: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)
    configurations: list[LabelledConfiguration] = field(default_factory=list)
    places: list[Frame] = field(default_factory=list)
    isolated: dict[str, list[tuple[Frame, LabelledConfiguration]]] = field(default_factory=dict)
    atoms_alone: list[int] = field(default_factory=list)
    standing_in: dict[str, float] = field(default_factory=dict)


def read_labels(path: Path, request: LabelRequest | None = None) -> LabelFile:
    """Read labelled configurations of any program from an extended-XYZ file, plain or compressed.

    Every frame and every label is used, or the summary or the error says what is not and why.

    Raises
    ------
    UnclearLabelsError
        If the user must say which entries are the labels.
    InputError
        If the file cannot be used: torn or mixed with text, units not clear, labels missing or contradicting each
        other, weights of a kind that no fit here has, isolated atoms of another reference.
    """
    request = request or LabelRequest()
    file = read_frames(path)
    if not file.frames:
        raise InputError(f"{path} holds no configurations")
    keys = read_labels_of(path, file.frames, request.keys)
    units = read_units(file, keys, request.units)
    stresses = read_stresses(file, keys, units, request.keys)
    reading = _Reading(file, keys, units, stresses)
    for frame, found, frame_units in zip(file.frames, keys.by_frame, units.by_frame, strict=True):
        _add_frame(reading, frame, found, frame_units)
    if not request.keep_unusable:
        _check_finite(reading)
    _raise_problems(reading)
    repeated = _merge(reading)
    data_set = _data_set(reading)
    if not len(data_set):
        raise InputError(f"{path} holds no configurations, only isolated atoms")
    if request.check_units:
        check_units(path, data_set)
    return LabelFile(
        path=path,
        data_set=data_set,
        frames=tuple(frame.number for frame in reading.places),
        n_frames=len(file.frames),
        repeated=repeated,
        isolated=tuple(reading.atoms_alone),
        summary=_summary(reading, data_set, repeated),
    )


def read_structures(path: Path) -> tuple[BareConfiguration, ...]:
    """Read the structures of a file whatever their labels; isolated atoms and repeats are left out.

    Raises
    ------
    InputError
        If the file cannot be read or holds no structures.
    """
    found: dict[str, BareConfiguration] = {}
    for frame in read_frames(path).frames:
        config_type = _entry(frame, _CONFIG_TYPE, "default")
        if judge(frame.atoms, config_type).isolated:
            continue
        bare = BareConfiguration(frame.atoms, _identifier(path, frame), config_type)
        found.setdefault(structure_hash(frame.atoms), bare)
    if not found:
        raise InputError(f"{path} holds no structures")
    return tuple(found.values())


def _entry(frame: Frame, names: frozenset[str], fallback: str) -> str:
    for key, value in frame.entries.items():
        if same_name(key) in names:
            return word(value, fallback) or fallback
    return fallback


def _identifier(path: Path, frame: Frame) -> str:
    stem = "".join("_" if one.isspace() or one in "\"'={}" else one for one in path.name.split(".")[0]) or "file"
    return _entry(frame, frozenset({DEFAULT_KEYS.identifier}), f"{stem}-{frame.number}")


def _add_frame(reading: _Reading, frame: Frame, found: FoundLabels, frame_units: FrameUnits) -> None:
    if not len(frame.atoms):
        reading.problems.add("no atoms; remove the frame", frame)
        return
    if found.energy is None:
        names = listed([*frame.entries, *(f"{name} (column)" for name in frame.columns)])
        reading.problems.add(f"no energy; the frame has {names}", frame)
        return
    try:
        one = _configuration(reading, frame, found, frame_units)
    except InputError as error:
        reading.problems.add(str(error), frame)
        return
    types = {word(value, "") for key, value in frame.entries.items() if same_name(key) in _CONFIG_TYPE}
    if len(types) > 1:
        reading.problems.add(f"config_type is {' and '.join(sorted(types))} in two spellings; remove one", frame)
        return
    verdict = judge(one.atoms, one.config_type)
    if verdict.remark:
        reading.remarks.add(verdict.remark, frame)
    if verdict.objection:
        reading.problems.add(verdict.objection, frame)
    elif verdict.isolated:
        _add_isolated(reading, frame, one)
    else:
        reading.configurations.append(one)
        reading.places.append(frame)


def _configuration(
    reading: _Reading, frame: Frame, found: FoundLabels, frame_units: FrameUnits
) -> LabelledConfiguration:
    atoms = frame.atoms.copy()
    atoms.set_cell(atoms.cell.array * frame_units.length_A)
    atoms.positions *= frame_units.length_A
    info = {key: _number_or_text(value) for key, value in frame.entries.items()}
    same_length = frame_units.length_A == 1.0
    charges, dipole = _charges(reading, frame), _dipole(reading, frame)
    assert found.energy is not None
    return LabelledConfiguration(
        atoms=atoms,
        energy=found.energy * frame_units.energy_eV,
        forces=None if found.forces is None else found.forces * frame_units.force_eV_per_A,
        stress=reading.stresses.by_frame[frame.number],
        identifier=_identifier(reading.file.path, frame),
        config_type=_entry(frame, _CONFIG_TYPE, "default"),
        regularisation=read_regularisation(info),
        labelled_by=_entry(frame, frozenset({LABELLED_BY}), "") or None,
        charges=charges,
        dipole=dipole if same_length else None,
        weights=read_frame_weights(frame, frame_units),
    )


def _charges(reading: _Reading, frame: Frame) -> np.ndarray | None:
    column = frame.columns.get(DEFAULT_KEYS.charges)
    if column is None or (column.shape[1] == 1 and column.dtype.kind in "fi"):
        return None if column is None else column[:, 0]
    reading.remarks.add(f"{DEFAULT_KEYS.charges} is not a column of one number and is not taken", frame)
    return None


def _dipole(reading: _Reading, frame: Frame) -> np.ndarray | None:
    text = frame.entries.get(DEFAULT_KEYS.dipole)
    numbers = None if text is None else numbers_of(text)
    if text is None or (numbers is not None and numbers.shape == (3,)):
        return numbers
    reading.remarks.add(f"{DEFAULT_KEYS.dipole} is not three numbers and is not taken", frame)
    return None


def _number_or_text(value: str) -> float | str:
    numbers = numbers_of(value)
    return float(numbers.ravel()[0]) if numbers is not None and numbers.size == 1 else value


def _add_isolated(reading: _Reading, frame: Frame, one: LabelledConfiguration) -> None:
    symbol = str(one.atoms.symbols[0])
    if not np.isfinite(one.energy):
        reading.problems.add("the energy of an isolated atom is not finite", frame)
        return
    reading.atoms_alone.append(frame.number)
    mark = frame.entries.get(STANDS_IN)
    try:
        stands_in = mark is not None and truth(mark)
    except ValueError as error:
        reading.problems.add(f"{STANDS_IN}={mark}: {error}", frame)
        return
    if stands_in:
        reading.standing_in[symbol] = one.energy
        return
    known = reading.isolated.setdefault(symbol, [])
    known.append((frame, one))
    energies = [other.energy for _, other in known]
    if differing_energies(energies):
        reading.problems.add(
            f"isolated atom of {symbol} with {one.energy:.8g} eV, while frame {known[0][0].number} has "
            f"{known[0][1].energy:.8g} eV; keep one",
            frame,
        )


def _check_finite(reading: _Reading) -> None:
    for frame, one in zip(reading.places, reading.configurations, strict=True):
        values = {
            "the energy": np.array(one.energy),
            "forces": None if one.forces is None else one.forces[one.fitted_forces],
            "the stress or virial": one.stress,
            "positions": one.atoms.positions,
        }
        for name, array in values.items():
            if array is not None and not np.isfinite(array).all():
                plural = "are" if name in ("forces", "positions") else "is"
                reading.problems.add(f"{name} {plural} not finite; remove the frame, or leave that label out", frame)


def _raise_problems(reading: _Reading) -> None:
    if reading.problems:
        raise InputError(f"{reading.file.path} cannot be used:\n  " + "\n  ".join(reading.problems.lines()))


def _merge(reading: _Reading) -> tuple[int, ...]:
    """Keep one of frames that repeat each other; return the numbers of the others.

    Raises
    ------
    InputError
        If the same structure has different labels.
    """
    merged = merge_repeats(reading.configurations)
    numbers = [frame.number for frame in reading.places]
    if merged.contradicting:
        lines = [
            f"frames {numbers[first]} and {numbers[second]} are the same structure with different labels: {difference}"
            for first, second, difference in merged.contradicting[:10]
        ]
        rest = len(merged.contradicting) - len(lines)
        more = [f"... and {rest} more pairs"] if rest else []
        raise InputError(f"{reading.file.path} mixes settings, remove one of each:\n  " + "\n  ".join([*lines, *more]))
    types = {reading.configurations[place].config_type for place in merged.repeated}
    reading.configurations = [reading.configurations[place] for place in merged.kept]
    gone = types - {one.config_type for one in reading.configurations}
    if gone:
        reading.notes.append(f"config_type {listed(sorted(gone))} had only repeats of frames of another type")
    reading.places = [reading.places[place] for place in merged.kept]
    twice = [name for name, count in Counter(one.identifier for one in reading.configurations).items() if count > 1]
    if twice:
        reading.configurations = [
            replace(one, identifier=f"{one.identifier}-{frame.number}") if one.identifier in twice else one
            for one, frame in zip(reading.configurations, reading.places, strict=True)
        ]
        reading.notes.append(f"identifiers that several frames have ({listed(twice[:3])}) got the frames' numbers")
    return tuple(sorted(numbers[place] for place in merged.repeated))


def _data_set(reading: _Reading) -> DataSet:
    labels = {symbol: found[0][1] for symbol, found in reading.isolated.items()}
    by = {one.labelled_by for one in labels.values() if one.labelled_by}
    check_isolated_reference(
        reading.file.path, by, {one.labelled_by for one in reading.configurations if one.labelled_by}
    )
    # Files of earlier releases do not say that energies stand in; no atom has the mean energy of the data by chance.
    means = mean_energy_per_atom(reading.configurations) if reading.configurations else {}
    for symbol in [symbol for symbol, one in labels.items() if one.energy == means.get(symbol)]:
        reading.standing_in[symbol] = labels.pop(symbol).energy
    for symbol in labels:
        reading.standing_in.pop(symbol, None)
    energies = {**{symbol: one.energy for symbol, one in labels.items()}, **reading.standing_in}
    # Their own type stays, by which the settings may name them.
    atoms = tuple(
        replace(one, config_type=ISOLATED_ATOM_TYPE) if one.config_type == "default" else one for one in labels.values()
    )
    return DataSet(tuple(reading.configurations), energies, atoms)


def check_units(path: Path, data_set: DataSet) -> None:
    """Refuse a set whose numbers say that a unit, a sign or a name was taken wrongly.

    Raises
    ------
    InputError
        With every objection.
    """
    isolated = {str(one.atoms.symbols[0]): one.energy for one in data_set.isolated_atoms}
    objections = [
        *unit_objections(data_set.configurations),
        *binding_objections(data_set.configurations, isolated),
    ]
    if objections:
        raise InputError(
            f"{path}: units, signs or names look wrong:\n  "
            + "\n  ".join(objections)
            + "\nName the file's units and keys; if all is right, use --no-unit-check"
        )


def _summary(reading: _Reading, data_set: DataSet, repeated: Sequence[int]) -> tuple[str, ...]:
    without_forces = [
        frame.number for frame, one in zip(reading.places, reading.configurations, strict=True) if one.forces is None
    ]
    remarks = [*reading.keys.remarks, *reading.stresses.remarks, *reading.remarks.lines(), *reading.notes]
    absent = [symbol for symbol in reading.isolated if symbol not in data_set.elements]
    if absent:
        remarks.append(f"isolated atoms of {listed(absent)} are not used: no configuration holds them")
    pushed = [
        frame.number for frame, one in zip(reading.places, reading.configurations, strict=True) if _pulls_itself(one)
    ]
    if pushed:
        remarks.append(
            f"forces add up to more than {LARGEST_MEAN_FORCE_EV_PER_A:g} eV/Å per atom in {frame_numbers(pushed)}: "
            "a crystal does not pull itself along"
        )
    held = [
        frame.number for frame, one in zip(reading.places, reading.configurations, strict=True) if _has_held_atoms(one)
    ]
    if held:
        remarks.append(
            f"some forces are exactly zero in {frame_numbers(held)}: if constraints made them so, mask those atoms "
            "(force_mask)"
        )
    if not reading.file.ended:
        remarks.append("the last line has no end: if the file was cut there, its last number is wrong")
    aside = _left_aside(reading)
    if aside:
        remarks.append(f"not read: {listed(aside)}")
    several = {symbol: len(found) for symbol, found in reading.isolated.items() if len(found) > 1}
    counted = Counted(
        path=str(reading.file.path),
        frames=len(reading.file.frames),
        taken=reading.keys.taken,
        units=reading.units.told,
        energies_alone=frame_numbers(without_forces) if without_forces else "",
        n_energies_alone=len(without_forces),
        repeated=frame_numbers(repeated) if repeated else "",
        n_repeated=len(repeated),
        repeated_atoms=several,
    )
    return summary_lines(counted, data_set, remarks)


def _pulls_itself(one: LabelledConfiguration) -> bool:
    if one.forces is None or one.n_atoms < 2:
        return False
    return float(np.linalg.norm(one.forces.mean(axis=0))) > LARGEST_MEAN_FORCE_EV_PER_A


def _has_held_atoms(one: LabelledConfiguration) -> bool:
    """Say whether some of the forces are zero to the last bit and others are not, as constraints leave them."""
    if one.forces is None:
        return False
    zero = ~one.forces.any(axis=1) & one.fitted_forces
    return bool(zero.any() and not zero.all())


def _left_aside(reading: _Reading) -> list[str]:
    """Return names of entries and columns that nothing was made of."""
    known = {*_CONFIG_TYPE, DEFAULT_KEYS.identifier, LABELLED_BY, STANDS_IN, *reading.keys.names}
    known |= {same_name(name) for name in (DEFAULT_KEYS.charges, DEFAULT_KEYS.dipole)}
    names = dict.fromkeys(name for frame in reading.file.frames for name in (*frame.columns, *frame.entries))
    return [
        name
        for name in names
        if same_name(name) not in known
        and name not in reading.units.entries
        and not is_weight(name)
        and not is_regularisation(name)
    ]
