"""Expected errors that a frame of a file gives to itself alone, in place of those of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase.data import atomic_numbers
from pydantic import ValidationError

from ..core.errors import InputError
from .settings import Regularisation

_SIGMA_FIELDS = {
    "sigma_energy_per_atom": "energy_eV_per_atom",
    "sigma_force": "force_eV_per_A",
    "sigma_virial_per_atom": "virial_eV_per_atom",
}
_ELEMENT_PREFIX = "sigma_force_"


def regularisation_entries(regularisation: Regularisation) -> list[str]:
    """Return the entries of a frame that give it expected errors of its own."""
    entries = [f"{key}={getattr(regularisation, name)!r}" for key, name in _SIGMA_FIELDS.items()]
    by_element = regularisation.force_by_element_eV_per_A
    return entries + [f"{_ELEMENT_PREFIX}{symbol}={sigma!r}" for symbol, sigma in by_element.items()]


def is_regularisation(key: str) -> bool:
    """Say whether an entry gives its frame an expected error, as `read_regularisation` takes it."""
    element = key.removeprefix(_ELEMENT_PREFIX)
    return key in _SIGMA_FIELDS or (element != key and element in atomic_numbers)


def read_regularisation(info: Mapping[str, Any]) -> Regularisation | None:
    """Return the expected errors that a frame's entries give it alone, None without any.

    Raises
    ------
    InputError
        If they are not usable.
    """
    values: dict[str, Any] = {name: info[key] for key, name in _SIGMA_FIELDS.items() if key in info}
    by_element = {
        key.removeprefix(_ELEMENT_PREFIX): value
        for key, value in info.items()
        if is_regularisation(key) and key not in _SIGMA_FIELDS
    }
    if by_element:
        values["force_by_element_eV_per_A"] = by_element
    if not values:
        return None
    try:
        return Regularisation(**values)
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(f"its regularisation is not usable: {details}") from None
