"""Weights of single labels, as gap_fit reads them from a file: standard deviations of a frame, of atoms, and masks.

They go before those of the settings, and are absolute: nothing is multiplied by the number of atoms. Names and
meanings are gap_fit's (version 0.10.3), in any case of letters. Where gap_fit uses the absolute value of a negative
number, passes over an integer, or divides by zero, the number is used as it was meant, or refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np

from ..core.errors import InputError

ENERGY_SIGMA: Final = "energy_sigma"
FORCE_SIGMA: Final = "force_sigma"
VIRIAL_SIGMA: Final = "virial_sigma"
FORCE_ATOM_SIGMA: Final = "force_atom_sigma"
FORCE_COMPONENT_SIGMA: Final = "force_component_sigma"
VIRIAL_COMPONENT_SIGMA: Final = "virial_component_sigma"
FORCE_MASK: Final = "force_mask"
_FRAME_KEYS = {ENERGY_SIGMA: "energy_eV", FORCE_SIGMA: "force_eV_per_A", VIRIAL_SIGMA: "virial_eV"}
WEIGHT_KEYS = frozenset({*_FRAME_KEYS, FORCE_ATOM_SIGMA, FORCE_COMPONENT_SIGMA, VIRIAL_COMPONENT_SIGMA, FORCE_MASK})
"""Entries and columns of a file that are weights."""
_UNUSABLE = {
    "hessian_sigma": "second derivatives are not fitted",
    "local_property_sigma": "local properties are not fitted",
    "local_property_mask": "local properties are not fitted",
    "hessian_component_sigma": "second derivatives are not fitted",
}
_LOSS_WEIGHTS = frozenset(
    {
        "config_weight",
        *(f"{name}_weight" for name in ("energy", "force", "forces", "stress", "virial", "virials")),
        *(f"config_{name}_weight" for name in ("energy", "force", "forces", "stress", "virial", "virials")),
    }
)
REFUSED_KEYS = _LOSS_WEIGHTS | frozenset(_UNUSABLE)
"""Entries and columns that weigh labels elsewhere, and that `read_weights` refuses with the reason."""


@dataclass(frozen=True, eq=False)
class LabelWeights:
    """Standard deviations of the labels of one configuration; arrays are copied and made read-only.

    Parameters
    ----------
    energy_eV
        Of the total energy (eV); None takes the settings'.
    force_eV_per_A
        Of a force component (eV/Å); None takes the settings'.
    virial_eV
        Of a virial component (eV); None takes the settings'.
    atom_force_eV_per_A
        Of every force component (eV/Å), shape [n_atoms, 3]; goes before ``force_eV_per_A``.
    component_virial_eV
        Of every virial component (eV), shape [3, 3]; goes before ``virial_eV``. Those of xy and yx
        count with their mean, as in gap_fit.
    unfitted_forces
        Shape [n_atoms], true where the force on an atom is not fitted; its standard deviation means
        nothing, and becomes 1.

    Raises
    ------
    InputError
        If a number is not positive and finite, or an array has another shape.
    """

    energy_eV: float | None = None
    force_eV_per_A: float | None = None
    virial_eV: float | None = None
    atom_force_eV_per_A: np.ndarray | None = None
    component_virial_eV: np.ndarray | None = None
    unfitted_forces: np.ndarray | None = None

    def __post_init__(self) -> None:
        for key, name in _FRAME_KEYS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, float(value))
                _check_positive(key, np.array([float(value)]))
        mask = self.unfitted_forces
        if mask is not None:
            mask = np.array(mask, dtype=bool)
            _check_shape(FORCE_MASK, mask, mask.ndim == 1, "one per atom")
            self._keep("unfitted_forces", mask)
        sigmas = self.atom_force_eV_per_A
        if sigmas is not None:
            sigmas = np.array(sigmas, dtype=np.float64)
            _check_shape(FORCE_COMPONENT_SIGMA, sigmas, sigmas.ndim == 2 and sigmas.shape[1] == 3, "[n_atoms, 3]")
            if mask is not None:
                _check_shape(FORCE_MASK, mask, len(mask) == len(sigmas), f"({len(sigmas)},)")
                sigmas[mask] = 1.0
            _check_positive("force_atom_sigma or force_component_sigma", sigmas)
            self._keep("atom_force_eV_per_A", sigmas)
        virial = self.component_virial_eV
        if virial is not None:
            virial = np.array(virial, dtype=np.float64)
            _check_shape(VIRIAL_COMPONENT_SIGMA, virial, virial.shape == (3, 3), "(3, 3)")
            _check_positive(VIRIAL_COMPONENT_SIGMA, virial)
            self._keep("component_virial_eV", (virial + virial.T) / 2)

    def _keep(self, name: str, array: np.ndarray) -> None:
        array.setflags(write=False)
        object.__setattr__(self, name, array)

    @property
    def n_atoms(self) -> int | None:
        """Number of atoms that the arrays are for; None without any."""
        for array in (self.atom_force_eV_per_A, self.unfitted_forces):
            if array is not None:
                return len(array)
        return None

    def content(self) -> bytes:
        """Return all of it as bytes, equal for equal weights."""
        parts = []
        for value in (self.energy_eV, self.force_eV_per_A, self.virial_eV):
            parts.append(b"" if value is None else np.float64(value).astype("<f8").tobytes())
        for array in (self.atom_force_eV_per_A, self.component_virial_eV):
            parts.append(b"" if array is None else array.astype("<f8").tobytes())
        parts.append(b"" if self.unfitted_forces is None else self.unfitted_forces.tobytes())
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)

    def to_document(self) -> dict[str, Any]:
        """Return the weights that there are as JSON values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the weights that `to_document` wrote."""
        return cls(**document)


def _check_positive(key: str, values: np.ndarray) -> None:
    wrong = values[~(np.isfinite(values) & (values > 0.0))]
    if len(wrong):
        raise InputError(
            f"{key} is {wrong.flat[0]:g}: a standard deviation is positive and finite; what is not to be fitted is "
            "masked (force_mask) or left out"
        )


def _check_shape(key: str, values: np.ndarray, fits: bool, needed: str) -> None:
    if not fits:
        raise InputError(f"{key} has the shape {values.shape}; needed is {needed}")


def weight_entries(weights: LabelWeights) -> list[str]:
    """Return the entries of a frame's comment line."""
    entries = [
        f"{key}={getattr(weights, name)!r}" for key, name in _FRAME_KEYS.items() if getattr(weights, name) is not None
    ]
    if weights.component_virial_eV is not None:
        numbers = " ".join(map(repr, weights.component_virial_eV.ravel().tolist()))
        entries.append(f'{VIRIAL_COMPONENT_SIGMA}="{numbers}"')
    return entries


def weight_columns(weights: LabelWeights) -> dict[str, np.ndarray]:
    """Return the columns of a frame, each of shape [n_atoms] or [n_atoms, 3]; the mask is of booleans."""
    columns: dict[str, np.ndarray] = {}
    sigmas = weights.atom_force_eV_per_A
    if sigmas is not None and (sigmas == sigmas[:, :1]).all():
        columns[FORCE_ATOM_SIGMA] = sigmas[:, 0]
    elif sigmas is not None:
        columns[FORCE_COMPONENT_SIGMA] = sigmas
    if weights.unfitted_forces is not None:
        columns[FORCE_MASK] = weights.unfitted_forces
    return columns


def read_weights(info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LabelWeights | None:
    """Return the weights of a frame from its entries and columns; None if it has none.

    Raises
    ------
    InputError
        If one of them cannot be used; the message names it.
    """
    _refuse_others({**info, **arrays})
    entries, columns = _in_lower_case(info), _in_lower_case(arrays)
    misplaced = [*(set(columns) & {*_FRAME_KEYS, VIRIAL_COMPONENT_SIGMA})]
    misplaced += [*(set(entries) & {FORCE_ATOM_SIGMA, FORCE_COMPONENT_SIGMA, FORCE_MASK})]
    if misplaced:
        raise InputError(
            f"{misplaced[0]} is {'a column' if misplaced[0] in columns else 'an entry'} of the frame; it must be "
            f"{'an entry' if misplaced[0] in columns else 'a column'}"
        )
    values: dict[str, Any] = {name: _number(key, entries[key]) for key, name in _FRAME_KEYS.items() if key in entries}
    if VIRIAL_COMPONENT_SIGMA in entries:
        numbers = _numbers(VIRIAL_COMPONENT_SIGMA, entries[VIRIAL_COMPONENT_SIGMA])
        _check_shape(VIRIAL_COMPONENT_SIGMA, numbers, numbers.size == 9, "nine numbers")
        values["component_virial_eV"] = numbers.reshape(3, 3)
    if FORCE_COMPONENT_SIGMA in columns:
        values["atom_force_eV_per_A"] = _numbers(FORCE_COMPONENT_SIGMA, columns[FORCE_COMPONENT_SIGMA])
    elif FORCE_ATOM_SIGMA in columns:
        sigmas = _numbers(FORCE_ATOM_SIGMA, columns[FORCE_ATOM_SIGMA])
        _check_shape(FORCE_ATOM_SIGMA, sigmas, sigmas.ndim == 1, "one per atom")
        values["atom_force_eV_per_A"] = np.repeat(sigmas[:, None], 3, axis=1)
    if FORCE_MASK in columns:
        if columns[FORCE_MASK].dtype != bool:
            raise InputError(
                f"{FORCE_MASK} is not a logical column (L, with T where a force is not fitted), and gap_fit passes "
                "over it; write it so, or remove it"
            )
        values["unfitted_forces"] = columns[FORCE_MASK]
    return LabelWeights(**values) if values else None


def _in_lower_case(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights among some values under their names in lower case."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        lower = key.lower()
        if lower not in WEIGHT_KEYS:
            continue
        if lower in found and not np.array_equal(found[lower], value):
            raise InputError(f"{lower} is there twice, in different spellings and with different numbers; keep one")
        found[lower] = value
    return found


def _refuse_others(values: Mapping[str, Any]) -> None:
    """Refuse what weighs labels in other programs or for other quantities, unless it changes nothing."""
    for key, value in values.items():
        lower = key.lower()
        if lower in _UNUSABLE:
            raise InputError(f"{key} cannot be used: {_UNUSABLE[lower]}; remove it")
        if lower in _LOSS_WEIGHTS and not changes_nothing(lower, value):
            raise InputError(
                f"{key} is a factor in the loss of another program; here standard deviations weigh labels: write "
                f"{ENERGY_SIGMA} (eV), {FORCE_SIGMA} (eV/Å), {VIRIAL_SIGMA} (eV), or remove it"
            )


def changes_nothing(key: str, value: Any) -> bool:
    """Say whether a factor in the loss of another program is one everywhere; masks always say something."""
    if not key.endswith(("weight", "weights")):
        return False
    try:
        return bool(np.all(np.asarray(value, dtype=np.float64) == 1.0))
    except (TypeError, ValueError):
        return False


def _number(key: str, value: Any) -> float:
    array = _numbers(key, value)
    if array.size != 1:
        raise InputError(f"{key} has {array.size} values; needed is one number")
    return float(array.ravel()[0])


def _numbers(key: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{key} is {value!r}; needed are numbers")
    return array.astype(np.float64)
