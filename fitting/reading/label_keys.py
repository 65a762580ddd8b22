"""Which entries and columns of a file are its labels: named by the user, or found by the names that people use.

A rule decides between two energies of one frame where there is one: VASP's ``free_energy`` is what forces are the
derivatives of (the electrons' entropy included), its ``energy`` is extrapolated to zero smearing (Kresse, Furthmüller,
10.1016/0927-0256(96)00008-0). Anything else that is there twice must have the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from ...core.errors import InputError
from .entries import numbers_of
from .findings import Findings, did_you_mean, frame_numbers, listed
from .frames import Frame

NONE = "none"
"""What the user names where no such label shall be taken."""


class Role(StrEnum):
    """Labels that a frame can have."""

    ENERGY = "energy"
    FORCES = "forces"
    VIRIAL = "virial"
    STRESS = "stress"


PREFIXES = ("ref_", "dft_", "")
"""Beginnings of names that labels are found by, the first that occurs goes before."""
_WORDS = {
    Role.ENERGY: ("free_energy", "energy"),
    Role.FORCES: ("forces", "force"),
    Role.VIRIAL: ("virial", "virials"),
    Role.STRESS: ("stress",),
}
FOUND_NAMES = {role: tuple(prefix + word for prefix in PREFIXES for word in words) for role, words in _WORDS.items()}
_USUAL = frozenset({"energy", "forces", "virial", "stress"})
_PLURALS = {Role.ENERGY: "energies", Role.FORCES: "forces", Role.VIRIAL: "virials", Role.STRESS: "stresses"}
_SIMILAR = {
    Role.ENERGY: ("energ",),
    Role.FORCES: ("force",),
    Role.VIRIAL: ("virial",),
    Role.STRESS: ("stress",),
}
_SHORT = {Role.ENERGY: ("e", "e0", "etot", "toten"), Role.FORCES: ("f", "gradient", "gradients", "grad")}
"""Names that labels may have, for suggestions; a gradient is a force of the opposite sign."""
_PER_ATOM = "peratom"
_COMPONENTS = ({"fx", "fy", "fz"}, {"f_x", "f_y", "f_z"}, {"force_x", "force_y", "force_z"})
_SAME = {Role.ENERGY: 1e-5, Role.FORCES: 1e-5, Role.VIRIAL: 1e-4, Role.STRESS: 1e-5}
"""Differences of one label under two names that come from the digits of a file (in its own units)."""
_SAME_RELATIVE = 1e-6
_ASYMMETRY = 1e-3


@dataclass(frozen=True)
class LabelKeys:
    """Names of the labels as the user gives them, in any case; None: to be found, ``none``: not to be taken."""

    energy: str | None = None
    forces: str | None = None
    virial: str | None = None
    stress: str | None = None

    def named(self, role: Role) -> str | None:
        """Return the name given for a label."""
        name: str | None = getattr(self, role.value)
        return name


class UnclearLabelsError(InputError):
    """The user must say which entries are the labels; ``options`` are those of the command line that would do."""

    def __init__(self, message: str, options: Mapping[str, str]) -> None:
        super().__init__(message)
        self.options = dict(options)


@dataclass(frozen=True)
class FoundLabels:
    """What one frame holds, in the file's units: energy, forces [n_atoms, 3], virial and stress [6] (Voigt).

    ``names`` are those that they were found under, as written.
    """

    energy: float | None = None
    forces: np.ndarray | None = None
    virial: np.ndarray | None = None
    stress: np.ndarray | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyReading:
    """Labels of every frame, and what was taken in words.

    Attributes
    ----------
    taken
        By label, the names it was found under and in how many frames.
    remarks
        What else a reader of the file would want to know.
    names
        Every name that was looked at, in small letters.
    """

    by_frame: tuple[FoundLabels, ...]
    taken: Mapping[Role, Mapping[str, int]]
    remarks: tuple[str, ...]
    names: frozenset[str]


@dataclass
class _Search:
    """A search in the frames of one file."""

    path: Path
    frames: Sequence[Frame]
    keys: LabelKeys
    problems: Findings = field(default_factory=Findings)
    remarks: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)


def same_name(name: str) -> str:
    """Return a name as it is compared: without regard to case (as QUIP does) and to hyphens."""
    return name.lower().replace("-", "_")


def read_labels_of(path: Path, frames: Sequence[Frame], keys: LabelKeys) -> KeyReading:
    """Find the labels of every frame.

    Raises
    ------
    UnclearLabelsError
        If no rule says which of several entries is the label, or none is known by its name.
    InputError
        If a name that the user gave occurs nowhere or is no such label, or labels contradict each other.
    """
    search = _Search(path, frames, keys)
    found = {role: _find(search, role) for role in Role}
    if search.problems:
        raise InputError(f"{path}: labels are not usable:\n  " + "\n  ".join(search.problems.lines()))
    _check_anything_found(search, found)
    labels = tuple(_of_frame(frame, found, search) for frame in frames)
    if search.problems:
        raise InputError(f"{path}: labels are not usable:\n  " + "\n  ".join(search.problems.lines()))
    return KeyReading(
        by_frame=labels,
        taken={role: _counts(chosen) for role, chosen in found.items()},
        remarks=(*search.notes, *search.remarks.lines()),
        names=_looked_at(keys),
    )


def _looked_at(keys: LabelKeys) -> frozenset[str]:
    given = {same_name(name) for role in Role if (name := keys.named(role)) is not None}
    return frozenset(given | {name for names in FOUND_NAMES.values() for name in names})


def _counts(chosen: Mapping[int, tuple[str, np.ndarray]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, _ in chosen.values():
        counts[name] = counts.get(name, 0) + 1
    return counts


def _find(search: _Search, role: Role) -> dict[int, tuple[str, np.ndarray]]:
    """Return name and values of a label by the place of its frame."""
    named = search.keys.named(role)
    if named is not None and same_name(named) == NONE:
        return {}
    if named is not None:
        return _find_named(search, role, named)
    candidates = [_candidates(search, role, frame, FOUND_NAMES[role]) for frame in search.frames]
    order = _order(search, role, candidates)
    chosen = {}
    for place, found in enumerate(candidates):
        name = next((name for name in order if name in found), None)
        if name is not None:
            chosen[place] = found[name]
    return chosen


def _find_named(search: _Search, role: Role, named: str) -> dict[int, tuple[str, np.ndarray]]:
    name = same_name(named)
    _check_meaning(search, role, named)
    candidates = [_candidates(search, role, frame, (name,), strict=True) for frame in search.frames]
    chosen = {place: found[name] for place, found in enumerate(candidates) if name in found}
    missing = [frame for place, frame in enumerate(search.frames) if place not in chosen]
    if not chosen and not search.problems:
        available = _available(search.frames)
        raise InputError(
            f"{search.path}: no frame has {named!r} (--{role.value}-key){did_you_mean(named, available)}; the frames "
            f"have {listed(available)}"
        )
    if chosen and missing and role is not Role.ENERGY:
        crystals = [frame for frame in missing if len(frame.atoms) > 1]
        if crystals:
            search.notes.append(
                f"{named} is in {len(chosen)} of {len(search.frames)} frames, not in "
                f"{frame_numbers(frame.number for frame in crystals)}"
            )
    return chosen


def _check_meaning(search: _Search, role: Role, named: str) -> None:
    """Refuse a virial under the name of a stress and the other way round, and energies of single atoms."""
    if role is Role.ENERGY and _PER_ATOM in same_name(named).replace("_", ""):
        raise InputError(
            f"{search.path}: {named!r} is the name of an energy per atom; needed are the energies of whole cells; the "
            f"frames have {listed(_available(search.frames))}"
        )
    bare = same_name(named).removeprefix("ref_").removeprefix("dft_")
    for other in (Role.VIRIAL, Role.STRESS):
        if role in (Role.VIRIAL, Role.STRESS) and other is not role and bare in _WORDS[other]:
            raise InputError(
                f"{search.path}: {named!r} is the name of a {other.value}, not of a {role.value} (stress = "
                f"-virial/volume); write --{other.value}-key {named}; the frames have "
                f"{listed(_available(search.frames))}"
            )


def _available(frames: Iterable[Frame]) -> list[str]:
    return list(dict.fromkeys(name for frame in frames for name in (*frame.columns, *frame.entries)))


def _candidates(
    search: _Search, role: Role, frame: Frame, names: Sequence[str], *, strict: bool = False
) -> dict[str, tuple[str, np.ndarray]]:
    """Return name as written and values of everything in a frame that has one of the names.

    What cannot be such a label is passed over with a remark, or is a problem where the user named it.
    """
    found: dict[str, tuple[str, np.ndarray]] = {}
    wanted = set(names)
    for key, value in _things(role, frame):
        name = same_name(key)
        if name not in wanted:
            continue
        values = _values(role, value, len(frame.atoms))
        if values is None:
            (search.problems if strict else search.remarks).add(
                f"{key} is not {_NEEDED[role]}" + ("" if strict else " and is not taken"), frame
            )
            continue
        known = found.setdefault(name, (key, values))
        if not _agree(role, known[1], values):
            search.problems.add(f"{known[0]} and {key} contradict each other; remove one", frame)
    return found


_NEEDED = {
    Role.ENERGY: "one number",
    Role.FORCES: "a column of three numbers (name:R:3)",
    Role.VIRIAL: "six (Voigt: xx yy zz yz xz xy) or nine numbers",
    Role.STRESS: "six (Voigt: xx yy zz yz xz xy) or nine numbers",
}


def _things(role: Role, frame: Frame) -> Iterable[tuple[str, str | np.ndarray]]:
    """Yield names and contents that could be a label; what stands in the wrong place comes too, to be told."""
    if role is Role.FORCES:
        yield from frame.columns.items()
        yield from frame.entries.items()
    else:
        yield from frame.entries.items()
        yield from frame.columns.items()


def _values(role: Role, value: str | np.ndarray, n_atoms: int) -> np.ndarray | None:
    if isinstance(value, np.ndarray):
        fits = role is Role.FORCES and value.shape == (n_atoms, 3) and value.dtype.kind in "fi"
        return value.astype(np.float64) if fits else None
    if role is Role.FORCES:
        return None
    numbers = numbers_of(value)
    if numbers is None:
        return None
    if role is Role.ENERGY:
        return numbers.reshape(()) if numbers.size == 1 else None
    # Nine numbers stay a matrix here: whether it is symmetric is told later.
    return numbers.ravel() if numbers.size in (6, 9) else None


def _voigt(values: np.ndarray) -> np.ndarray:
    return values if values.size == 6 else full_3x3_to_voigt_6_stress(values.reshape(3, 3))


def _agree(role: Role, first: np.ndarray, second: np.ndarray) -> bool:
    if role in (Role.VIRIAL, Role.STRESS):
        first, second = _voigt(first), _voigt(second)
    return bool(np.allclose(first, second, rtol=_SAME_RELATIVE, atol=_SAME[role], equal_nan=True))


def _order(search: _Search, role: Role, candidates: Sequence[Mapping[str, tuple[str, np.ndarray]]]) -> tuple[str, ...]:
    """Return the names to look for, the first that a frame has is taken.

    Raises
    ------
    UnclearLabelsError
        If a frame has two of them with different values, and no rule says which is meant.
    """
    order = FOUND_NAMES[role]
    different: dict[tuple[str, str], list[int]] = {}
    for place, found in enumerate(candidates):
        first, *others = [name for name in order if name in found] or [""]
        for other in others:
            if not _agree(role, found[first][1], found[other][1]):
                different.setdefault((first, other), []).append(place)
    for (first, other), where in different.items():
        if role is Role.ENERGY and first == other.removesuffix("energy") + "free_energy":
            _prefer_free_energy(search, candidates, (first, other), where)
        else:
            _raise_unclear(search, role, (candidates[where[0]][first][0], candidates[where[0]][other][0]), where)
    if role is Role.ENERGY and not different:
        # They are the same where both are there: the plain name is the one that every frame has.
        order = tuple(prefix + word for prefix in PREFIXES for word in ("energy", "free_energy"))
    return order


def _prefer_free_energy(
    search: _Search,
    candidates: Sequence[Mapping[str, tuple[str, np.ndarray]]],
    names: tuple[str, str],
    where: Sequence[int],
) -> None:
    free, plain = names
    without = [place for place, found in enumerate(candidates) if plain in found and free not in found]
    spelled = candidates[where[0]][free][0], candidates[where[0]][plain][0]
    if without:
        lacking = frame_numbers(search.frames[place].number for place in without)
        _raise_unclear(search, Role.ENERGY, spelled[::-1], where, f", and {lacking} have no {free}")
    largest = max(abs(float(candidates[place][free][1] - candidates[place][plain][1])) for place in where)
    search.notes.append(
        f"{spelled[0]} is taken, which forces are the derivatives of; {spelled[1]} differs from it by up to "
        f"{largest:.4g} and is left aside"
    )


def _raise_unclear(search: _Search, role: Role, names: tuple[str, str], where: Sequence[int], more: str = "") -> None:
    places = frame_numbers(search.frames[place].number for place in where)
    option = f"--{role.value}-key"
    raise UnclearLabelsError(
        f"{search.path}: {names[0]} and {names[1]} of {places} have different values{more}; say which is the label, "
        f"{option} {names[0]} or {option} {names[1]}",
        {option: names[0]},
    )


def _check_anything_found(search: _Search, found: Mapping[Role, Mapping[int, object]]) -> None:
    """Refuse a file where no energy is known by its name, or columns that look like forces are not.

    Raises
    ------
    UnclearLabelsError
        With the names that could be meant.
    """
    if not search.frames:
        return
    names = {same_name(name) for name in _available(search.frames)}
    apart = next((one for one in _COMPONENTS if one <= names), None)
    if apart is not None and not found[Role.FORCES] and search.keys.forces is None:
        raise InputError(
            f"{search.path}: forces stand in the columns {', '.join(sorted(apart))}; write them as one, forces:R:3, in "
            "Properties"
        )
    unknown = [role for role in Role if not found[role] and search.keys.named(role) is None]
    guesses = {role: _guesses(search, role) for role in unknown}
    if Role.ENERGY not in unknown:
        # Files without forces, or without stresses and virials, are files of fewer labels.
        unknown = [role for role in unknown if guesses[role] and not _has_other_tensor(search, role, found)]
        if not unknown:
            return
    else:
        unknown = [role for role in unknown if role in (Role.ENERGY, Role.FORCES)]
    options = {f"--{role.value}-key": guesses[role][0] for role in unknown if guesses[role]}
    usual = " or ".join(name for name in FOUND_NAMES[unknown[0]] if name.removeprefix("ref_") in _USUAL)
    what = " and ".join(_PLURALS[role] for role in unknown)
    raise UnclearLabelsError(
        f"{search.path}: no frame has {what} under a usual name ({usual}, in any case); the frames have "
        f"{listed(_available(search.frames))}; name the keys" + "".join(f"; {line}" for line in search.remarks.lines()),
        options,
    )


def _has_other_tensor(search: _Search, role: Role, found: Mapping[Role, Mapping[int, object]]) -> bool:
    """Say whether a stress is wanted and the virials are known, or the other way round."""
    other = {Role.VIRIAL: Role.STRESS, Role.STRESS: Role.VIRIAL}.get(role)
    return other is not None and (bool(found[other]) or search.keys.named(other) is not None)


def _guesses(search: _Search, role: Role) -> list[str]:
    """Return names that could be meant, those that occur most often first."""
    counts: dict[str, int] = {}
    for frame in search.frames:
        for key, value in _things(role, frame):
            similar = same_name(key) in _SHORT.get(role, ()) or any(word in key.lower() for word in _SIMILAR[role])
            no_error = not any(word in key.lower() for word in ("sigma", "weight", "unit", "mask"))
            no_error &= _PER_ATOM not in same_name(key).replace("_", "")
            if similar and no_error and _values(role, value, len(frame.atoms)) is not None:
                counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: -counts[key])


def _of_frame(frame: Frame, found: Mapping[Role, Mapping[int, tuple[str, np.ndarray]]], search: _Search) -> FoundLabels:
    place = frame.number
    energy, forces = found[Role.ENERGY].get(place), found[Role.FORCES].get(place)
    return FoundLabels(
        energy=None if energy is None else float(energy[1]),
        forces=None if forces is None else forces[1],
        virial=_tensor(frame, found[Role.VIRIAL].get(place), search),
        stress=_tensor(frame, found[Role.STRESS].get(place), search),
        names=tuple(chosen[place][0] for chosen in found.values() if place in chosen),
    )


def _tensor(frame: Frame, found: tuple[str, np.ndarray] | None, search: _Search) -> np.ndarray | None:
    """Return six numbers; of a matrix that is not symmetric the symmetric part, with a remark."""
    if found is None:
        return None
    key, values = found
    if values.size == 9:
        matrix = values.reshape(3, 3)
        odd = np.abs(matrix - matrix.T).max()
        if odd > _ASYMMETRY * max(np.abs(matrix).max(), np.finfo(float).tiny):
            search.remarks.add(f"{key} is not symmetric; its symmetric part is taken", frame)
    return _voigt(values)
