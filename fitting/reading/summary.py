"""What the person whose file it is would want to know of it, in at most ten lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..data_sets import DataSet
from .findings import listed
from .label_keys import Role

MOST_LINES = 10


@dataclass(frozen=True)
class Counted:
    """What was counted while a file was read; frames in words."""

    path: str
    frames: int
    taken: Mapping[Role, Mapping[str, int]]
    units: str
    energies_alone: str
    n_energies_alone: int
    repeated: str
    n_repeated: int
    repeated_atoms: Mapping[str, int]


def summary_lines(counted: Counted, data_set: DataSet, remarks: Sequence[str]) -> tuple[str, ...]:
    """Return the lines; what would be the eleventh and later is put into the tenth."""
    lines = [_size(counted, data_set), _labels(counted, data_set)]
    if counted.units:
        lines.append(counted.units)
    if data_set.isolated_atoms:
        lines.append(_isolated_atoms(counted, data_set))
    if counted.n_energies_alone:
        lines.append(f"energies alone, without forces: {counted.n_energies_alone} ({counted.energies_alone})")
    if counted.n_repeated:
        lines.append(f"{_many(counted.n_repeated, 'frame')} left out as repeats of others ({counted.repeated})")
    for line in (_weights(data_set), _config_types(data_set)):
        if line:
            lines.append(line)
    room = MOST_LINES - len(lines)
    if len(remarks) > room:
        remarks = [*remarks[: room - 1], "; ".join(remarks[room - 1 :])]
    return (*lines, *remarks)


def _size(counted: Counted, data_set: DataSet) -> str:
    atoms = sum(one.n_atoms for one in data_set)
    return (
        f"{counted.path}: {_many(counted.frames, 'frame')}, {_many(len(data_set), 'configuration')} of "
        f"{', '.join(data_set.elements)} ({_many(atoms, 'atom')})"
    )


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _labels(counted: Counted, data_set: DataSet) -> str:
    parts = []
    for role, names in counted.taken.items():
        if names:
            shown = [name if len(names) == 1 else f"{name} ({count})" for name, count in names.items()]
            parts.append(f"{role.value} {' and '.join(shown)}")
    with_stress = sum(one.stress is not None for one in data_set)
    return f"labels: {', '.join(parts)}; stress or virial in {with_stress} of {len(data_set)}"


def _isolated_atoms(counted: Counted, data_set: DataSet) -> str:
    shown = []
    for one in data_set.isolated_atoms:
        symbol = str(one.atoms.symbols[0])
        count = counted.repeated_atoms.get(symbol, 1)
        shown.append(f"{symbol} {one.energy:.6g} eV" + (f" ({count} frames)" if count > 1 else ""))
    return f"isolated atoms: {', '.join(shown)}"


def _weights(data_set: DataSet) -> str:
    words = {
        "energy_eV": "energies",
        "force_eV_per_A": "forces",
        "virial_eV": "virials",
        "component_virial_eV": "virial components",
        "atom_force_eV_per_A": "forces on atoms",
        "unfitted_forces": "atoms whose forces are not fitted",
    }
    counts: Counter[str] = Counter()
    for one in (*data_set, *data_set.isolated_atoms):
        if one.weights is not None:
            counts.update(word for name, word in words.items() if getattr(one.weights, name) is not None)
        if one.regularisation is not None:
            counts["expected errors of their own"] += 1
    parts = [f"{word} in {_many(count, 'frame')}" for word, count in counts.items()]
    return f"weights of the file: {', '.join(parts)}" if parts else ""


def _config_types(data_set: DataSet) -> str:
    counts = Counter(one.config_type for one in data_set)
    if set(counts) == {"default"}:
        return ""
    return f"config_type: {listed(f'{name} ({count})' for name, count in counts.most_common())}"
