"""One stress of each frame from its stress, its virial or both, which must then say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import units

from ...core.errors import InputError
from .findings import Findings
from .frames import Frame, FrameFile
from .label_keys import FoundLabels, KeyReading, LabelKeys, Role, UnclearLabelsError
from .label_units import FrameUnits, UnitReading

AGREEMENT_EV_PER_A3 = 1e-4
RELATIVE_AGREEMENT = 1e-3
_SAME_EV_PER_A3 = 1e-9
_RATIO_TOLERANCE = 1e-2
_RATIOS: Mapping[float, tuple[str, dict[str, str]]] = {
    -1.0: ("the stress has the opposite sign", {"--stress-sign": "opposite"}),
    units.GPa: ("the stress is in GPa", {"--stress-unit": "GPa"}),
    0.1 * units.GPa: ("the stress is in kbar", {"--stress-unit": "kbar"}),
    -units.GPa: (
        "the stress is in GPa with the opposite sign",
        {"--stress-unit": "GPa", "--stress-sign": "opposite"},
    ),
    -0.1 * units.GPa: (
        "the stress is in kbar with the opposite sign",
        {"--stress-unit": "kbar", "--stress-sign": "opposite"},
    ),
}


@dataclass(frozen=True)
class StressReading:
    """Stress of every frame (eV/Å³, shape [6], ASE's sign) or None, and what else is to be said."""

    by_frame: tuple[np.ndarray | None, ...]
    remarks: tuple[str, ...]


def read_stresses(file: FrameFile, keys: KeyReading, units_read: UnitReading, named: LabelKeys) -> StressReading:
    """Return the stress of every frame.

    Where a frame has both and they contradict each other, the one that the user named is taken.

    Raises
    ------
    UnclearLabelsError
        If they contradict each other and the user named none or both.
    InputError
        If there is no cell or no unit to convert with.
    """
    problems, contradicting = Findings(), Findings()
    ratios: list[float] = []
    stresses = []
    for frame, found, frame_units in zip(file.frames, keys.by_frame, units_read.by_frame, strict=True):
        virial, stress = _converted(frame, found, frame_units, problems)
        if virial is not None and stress is not None and not _agree(virial, stress):
            contradicting.add("contradiction", frame)
            ratios.append(_ratio(virial, stress))
        stresses.append(_chosen(virial, stress, named))
    if problems:
        raise InputError(f"{file.path}: stresses are not usable:\n  " + "\n  ".join(problems.lines()))
    remarks = _about_contradictions(file, keys, named, contradicting, ratios)
    return StressReading(tuple(stresses), remarks)


def _converted(
    frame: Frame, found: FoundLabels, frame_units: FrameUnits, problems: Findings
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the stress that follows from the virial, and the stress itself (eV/Å³)."""
    volume_A3 = abs(np.linalg.det(frame.atoms.cell.array)) * frame_units.length_A**3
    from_virial, stress = None, None
    if found.virial is not None:
        if volume_A3 > 0.0:
            from_virial = -found.virial * frame_units.virial_eV / volume_A3
        elif np.any(found.virial):
            problems.add(_without_volume("virial"), frame)
    if found.stress is not None:
        if not frame_units.stress_is_known:
            problems.add(
                "energies are declared in another unit than eV, and the stress has none; name it (--stress-unit)", frame
            )
        elif volume_A3 > 0.0:
            stress = found.stress * frame_units.stress_eV_per_A3
        elif np.any(found.stress):
            problems.add(_without_volume("stress"), frame)
    return from_virial, stress


def _without_volume(name: str) -> str:
    return (
        f"a {name} is given, but the cell has no volume, over which it is kept; write a Lattice around the atoms, take "
        f"it out of the frame, or take none at all (--{name}-key none)"
    )


def _agree(virial: np.ndarray, stress: np.ndarray) -> bool:
    allowed = max(AGREEMENT_EV_PER_A3, RELATIVE_AGREEMENT * float(np.abs(virial).max()))
    return bool(np.abs(virial - stress).max() <= allowed)


def _ratio(virial: np.ndarray, stress: np.ndarray) -> float:
    """Return by what the stress must be multiplied to be the virial's, in the mean."""
    norm = float(stress @ stress)
    return float(virial @ stress) / norm if norm else float("nan")


def _chosen(virial: np.ndarray | None, stress: np.ndarray | None, named: LabelKeys) -> np.ndarray | None:
    if virial is None or stress is None:
        return stress if virial is None else virial
    if named.virial is None and named.stress is not None:
        return stress
    # A virial written from a stress gives it back in all but the last digits: then the stress itself is better.
    return stress if np.abs(virial - stress).max() < _SAME_EV_PER_A3 else virial


def _about_contradictions(
    file: FrameFile, keys: KeyReading, named: LabelKeys, contradicting: Findings, ratios: list[float]
) -> tuple[str, ...]:
    if not contradicting:
        return ()
    virial, stress = (next(iter(keys.taken[role])) for role in (Role.VIRIAL, Role.STRESS))
    place = contradicting.lines()[0].removesuffix(": contradiction")
    reason, options = "", dict[str, str]()
    for ratio, (words, remedy) in _RATIOS.items():
        if np.all(np.abs(np.array(ratios) / ratio - 1.0) < _RATIO_TOLERANCE):
            reason, options = f": {words}", remedy
    if (named.virial is None) != (named.stress is None):
        taken, left = (virial, stress) if named.stress is None else (stress, virial)
        return (f"{taken} is taken as named; {left} contradicts it in {place}{reason}",)
    how = (
        " ".join(f"{option} {value}" for option, value in options.items()) or f"--virial-key {virial} --stress-key none"
    )
    raise UnclearLabelsError(
        f"{file.path}: {virial} and {stress} contradict each other (stress = -virial/volume) in {place}{reason}; name "
        f"the one that is right (--virial-key {virial} or --stress-key {stress}), or what it is ({how})",
        options or {"--virial-key": virial},
    )
