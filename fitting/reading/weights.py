"""Weights of a person's frames: used as gap_fit uses them, or refused by name."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.errors import InputError
from ..frame_regularisation import is_regularisation
from ..label_weights import REFUSED_KEYS, WEIGHT_KEYS, LabelWeights, changes_nothing, read_weights
from .entries import numbers_of
from .frames import Frame
from .label_keys import same_name
from .label_units import FrameUnits

_NO_WEIGHTS = frozenset({"atomic_weight", "atomic_weights", "molecular_weight", "k_weight", "k_weights", "move_mask"})
_LIKE_WEIGHTS = re.compile(
    r"(.*_)?weights?|.*mask|sigma_(energy|force|virial|stress).*|(energy|energies|forces?|virials?|stress|config|config_type|hessian|local_property)_.*sigma.*"
)


def is_weight(name: str) -> bool:
    """Say whether an entry or column of that name weighs labels."""
    lowered = same_name(name)
    if is_regularisation(name):
        return False
    return lowered not in _NO_WEIGHTS and (lowered in WEIGHT_KEYS or _LIKE_WEIGHTS.fullmatch(lowered) is not None)


def read_frame_weights(frame: Frame, frame_units: FrameUnits) -> LabelWeights | None:
    """Return the weights of a frame in eV and Å, None if it has none.

    Raises
    ------
    InputError
        If one cannot be used, or weighs labels as no fit here does.
    """
    info = {same_name(key): _value(text) for key, text in frame.entries.items() if is_weight(key)}
    arrays = {
        same_name(key): column[:, 0] if column.shape[1] == 1 else column
        for key, column in frame.columns.items()
        if is_weight(key)
    }
    for key, value in {**info, **arrays}.items():
        if key not in WEIGHT_KEYS | REFUSED_KEYS and not changes_nothing(key, value):
            raise InputError(_refusal(key))
    for name, twice in _spellings(frame).items():
        if not all(np.array_equal(twice[0], other) for other in twice[1:]):
            raise InputError(f"{name} is there in several spellings with different values; keep one")
    weights = read_weights(info, arrays)
    return None if weights is None else _in_eV_and_A(weights, frame_units)


def _value(text: str) -> float | np.ndarray | str:
    numbers = numbers_of(text)
    if numbers is None:
        return text
    return float(numbers.ravel()[0]) if numbers.size == 1 else numbers


def _spellings(frame: Frame) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, value in {**frame.entries, **frame.columns}.items():
        if is_weight(key):
            found.setdefault(same_name(key), []).append(_value(value) if isinstance(value, str) else value)
    return found


def _refusal(key: str) -> str:
    return (
        f"{key} weighs labels in a way that no fit here has; gap_fit's weights are used, which are standard "
        "deviations: energy_sigma (eV), force_sigma (eV/Å), virial_sigma (eV) of a frame, force_atom_sigma and "
        "force_mask of atoms; write those, or remove it"
    )


def _in_eV_and_A(weights: LabelWeights, frame_units: FrameUnits) -> LabelWeights:
    factors = {
        "energy_eV": frame_units.energy_eV,
        "force_eV_per_A": frame_units.force_eV_per_A,
        "virial_eV": frame_units.virial_eV,
        "atom_force_eV_per_A": frame_units.force_eV_per_A,
        "component_virial_eV": frame_units.virial_eV,
    }
    values = {name: getattr(weights, name) for name in factors}
    return replace(weights, **{name: value * factors[name] for name, value in values.items() if value is not None})
