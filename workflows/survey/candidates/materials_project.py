"""Candidates from the Materials Project, through its own client (the extra ``materials-project``).

The key is read from the environment where it is used, given to the client, and never stored, printed or logged.
Identifiers are being renamed there: the one that was asked for and the one that answers are both kept, and so is the
structure itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ase import Atoms

from ....core.errors import InputError
from .candidate import Candidate, Found, LeftOut, disorder_reason, partial_occupancies, periodic_problem
from .optimade import ProviderFailed

KEY_VARIABLE: Final = "MP_API_KEY"
SOURCE: Final = "Materials Project"
FIELDS: Final = ("material_id", "structure", "energy_above_hull", "band_gap")


def fetch_materials_project(
    identifiers: Sequence[str] = (),
    *,
    mobile: str,
    elements: int | None = None,
    most_atoms: int | None = None,
    energy_above_hull_eV_per_atom: float | None = None,
    band_gap_eV: float | None = None,
) -> Found:
    """Return crystals of the Materials Project: those named, or all that fit.

    Raises
    ------
    InputError
        If there is no key or no client.
    ProviderFailed
        If the project does not answer.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise InputError(f"candidates.materials_project needs the environment variable {KEY_VARIABLE}")
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        raise InputError("candidates.materials_project needs mp-api: pip install mp-api") from error
    question: dict[str, Any] = {"fields": list(FIELDS)}
    if identifiers:
        question["material_ids"] = list(identifiers)
    else:
        limits = {"energy_above_hull": energy_above_hull_eV_per_atom, "num_sites": most_atoms}
        question |= {name: (0, limit) for name, limit in limits.items() if limit is not None}
        question |= {"elements": [mobile]} | ({} if elements is None else {"num_elements": elements})
        if band_gap_eV is not None:
            question["band_gap"] = (band_gap_eV, None)
    failure = ""
    documents: list[Any] = []
    try:
        with MPRester(key) as client:
            documents = list(client.materials.summary.search(**question))
    except Exception as error:  # the client raises its own and those of what it is built on
        failure = f"{type(error).__name__}: {error}"
    if failure:
        # Not raised from the error itself, whose traceback holds the key.
        raise ProviderFailed(f"the {SOURCE} does not answer ({failure.replace(key, '…')})")
    return _taken(documents, identifiers)


def _taken(documents: Iterable[Any], asked: Sequence[str]) -> Found:
    found = Found()
    answered: set[str] = set()
    for document in documents:
        name = str(getattr(document, "material_id", "") or "a document without id")
        answered.add(name)
        try:
            candidate = _candidate(name, document, asked)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"the document is malformed ({type(error).__name__}: {error})"
            found.left_out.append(LeftOut(SOURCE, name, reason))
            continue
        if isinstance(candidate, LeftOut):
            found.left_out.append(candidate)
        else:
            found.candidates.append(candidate)
    found.notes += [
        f"{SOURCE}: {one} was answered by none of that name; identifiers are being renamed there"
        for one in asked
        if one not in answered
    ]
    return found


def _candidate(name: str, document: Any, asked: Sequence[str]) -> Candidate | LeftOut:
    structure = document.structure
    occupancies = [
        {str(getattr(species, "symbol", species)): float(part) for species, part in site.species.items()}
        for site in structure
    ]
    shared = list(partial_occupancies(occupancies))
    if shared:
        return LeftOut(SOURCE, name, disorder_reason(shared))
    atoms = Atoms(
        [next(iter(one)) for one in occupancies],
        scaled_positions=[list(site.frac_coords) for site in structure],
        cell=structure.lattice.matrix,
        pbc=True,
    )
    if reason := periodic_problem(atoms):
        return LeftOut(SOURCE, name, reason)
    values = {field: _number(document, field) for field in ("energy_above_hull", "band_gap")}
    flags = tuple(
        f"the source says nothing of {one.replace('_', ' ')}" for one, value in values.items() if value is None
    )
    names = (asked[0], name) if len(asked) == 1 and asked[0] != name else (name,)
    return Candidate(SOURCE, names, atoms, values["energy_above_hull"], values["band_gap"], flags)


def _number(document: Any, field: str) -> float | None:
    value = document.get(field) if isinstance(document, Mapping) else getattr(document, field, None)
    return None if value is None else float(value)
