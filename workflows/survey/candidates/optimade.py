"""Candidates from databases that speak OPTIMADE (Andersen et al., Sci. Data 2021, 8, 217, 10.1038/s41597-021-00974-z).

One request asks for a page of structures; `links.next` leads to the next, by address or by object. What a provider says
of stability and gaps are fields of its own, mapped in `HULL_FIELDS` and `GAP_FIELDS`. One that says nothing loses no
candidate: it is kept and flagged. A server that is busy is asked again; an entry that is none is skipped and told.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import Request, urlopen

import numpy as np
from ase import Atoms

from ....core.errors import InputError, IonloopError
from .candidate import Candidate, Found, LeftOut, disorder_reason, partial_occupancies, periodic_problem

HULL_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "_mp_stability": (
        ("gga_gga+u_r2scan", "energy_above_hull"),
        ("gga_gga+u", "energy_above_hull"),
        ("r2scan", "energy_above_hull"),
    ),
    "_oqmd_stability": ((),),
    "_alexandria_hull_distance": ((),),
    "_gnome_hull_distance": ((),),
    "_jarvis_ehull": ((),),
    "_odbx_hull_distance": ((),),
}
"""Fields of providers that hold the energy above the hull (eV/atom), with the ways into them; the first counts."""
GAP_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "_mp_band_gap": ((),),
    "_oqmd_band_gap": ((),),
    "_alexandria_band_gap": ((),),
    "_gnome_band_gap": ((),),
    "_jarvis_optb88vdw_bandgap": ((),),
    "_mcloud_band_gap": ((),),
}
"""Fields of providers that hold the band gap (eV)."""
STANDARD_FIELDS: Final = (
    "lattice_vectors",
    "cartesian_site_positions",
    "species_at_sites",
    "species",
    "dimension_types",
    "structure_features",
    "immutable_id",
)
PAGE_LIMIT = 50
MOST_PAGES = 2000
ATTEMPTS = 5
FIRST_WAIT_S = 1.0
TIMEOUT_S = 60.0
_BUSY = frozenset({429, 500, 502, 503, 504})
_REFUSED = 400


class ProviderFailed(IonloopError):
    """A provider did not answer, or not as OPTIMADE says."""


def optimade_filter(mobile: str, elements: int | None = None, most_atoms: int | None = None, more: str = "") -> str:
    """Return what is asked of a provider: ``elements HAS "Li" AND nelements=3 AND nsites<=200``."""
    parts = [f'elements HAS "{mobile}"']
    if elements is not None:
        parts.append(f"nelements={elements}")
    if most_atoms is not None:
        parts.append(f"nsites<={most_atoms}")
    if more:
        parts.append(f"({more})")
    return " AND ".join(parts)


def fetch_optimade(
    address: str,
    question: str,
    *,
    page_limit: int = PAGE_LIMIT,
    most: int | None = None,
    wait_s: float = FIRST_WAIT_S,
    tell: Callable[[str], None] | None = None,
) -> Found:
    """Return the crystals that a provider has for a question.

    Parameters
    ----------
    address
        Base address of the provider: ``https://optimade.example.org`` or with ``/v1``.
    question
        A filter in OPTIMADE's language.
    page_limit
        Entries of a page.
    most
        Entries that are looked at at most.
    wait_s
        Wait before a busy server is asked again; doubled every time.
    tell
        Called with what goes on.

    Raises
    ------
    ProviderFailed
        If it does not answer, or not as OPTIMADE says; what came before is lost.
    InputError
        If the address is none.
    """
    base = _structures_address(address)
    source = urlsplit(base).netloc
    found = Found()
    for seen, entry in enumerate(_entries(base, question, page_limit, wait_s, tell, found), start=1):
        _take(entry, source, found)
        if most is not None and seen >= most:
            found.notes.append(f"{source}: only the first {most} entries were looked at")
            break
    return found


def _structures_address(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InputError(f"candidates.optimade: {address!r} is no address (http:// or https://)")
    trimmed = address.rstrip("/").removesuffix("/structures")
    last = trimmed.rsplit("/", 1)[-1]
    versioned = last.startswith("v") and last[1:2].isdigit()
    return f"{trimmed}{'' if versioned else '/v1'}/structures"


def _entries(
    base: str,
    question: str,
    page_limit: int,
    wait_s: float,
    tell: Callable[[str], None] | None,
    found: Found,
) -> Iterator[Any]:
    """Yield the entries of all pages."""
    own = [*HULL_FIELDS, *GAP_FIELDS]
    query = {"filter": question, "page_limit": page_limit}
    first = f"{base}?{urlencode({**query, 'response_fields': ','.join([*STANDARD_FIELDS, *own])})}"
    try:
        page = _get(first, wait_s, tell)
    except _Refused:
        # Some servers refuse fields of providers that they do not know.
        found.notes.append(f"{urlsplit(base).netloc} refuses fields of other providers: asked without any")
        page = _get(f"{base}?{urlencode({**query, 'response_fields': ','.join(STANDARD_FIELDS)})}", wait_s, tell)
    known = {first}
    for _ in range(MOST_PAGES):
        entries = page.get("data")
        if not isinstance(entries, list):
            raise ProviderFailed(f"{base} does not answer as OPTIMADE says: there is no list 'data'")
        yield from entries
        following = _next_address(page, base)
        if following is None:
            return
        if following in known:
            raise ProviderFailed(f"{base} leads in a circle: its next page was there before")
        known.add(following)
        if tell:
            tell(f"{urlsplit(base).netloc}: {len(known)} pages")
        page = _get(following, wait_s, tell)
    found.notes.append(f"{urlsplit(base).netloc}: given up after {MOST_PAGES} pages")


def _next_address(page: Mapping[str, Any], base: str) -> str | None:
    links = page.get("links")
    following = links.get("next") if isinstance(links, Mapping) else None
    if isinstance(following, Mapping):
        following = following.get("href")
    if not isinstance(following, str) or not following:
        return None
    address = urljoin(base, following)
    # A page of another machine was never asked for.
    if urlsplit(address).hostname != urlsplit(base).hostname:
        raise ProviderFailed(f"{base} sends to another machine: {urlsplit(address).hostname}")
    return address


class _Refused(ProviderFailed):
    """The question itself is refused."""


def _get(address: str, wait_s: float, tell: Callable[[str], None] | None) -> dict[str, Any]:
    """Return a page, asked again while the server is busy."""
    server = urlsplit(address).netloc
    for attempt in range(1, ATTEMPTS + 1):
        try:
            request = Request(address, headers={"Accept": "application/vnd.api+json, application/json"})
            with urlopen(request, timeout=TIMEOUT_S) as answer:
                page = json.load(answer)
            if not isinstance(page, dict):
                raise ProviderFailed(f"{server} does not answer as OPTIMADE says: no object")
            return page
        except HTTPError as error:
            if error.code == _REFUSED:
                raise _Refused(f"{server} refuses the question: {_detail(error)}") from error
            reason, again = f"status {error.code}", error.code in _BUSY
        except (URLError, TimeoutError, ConnectionError) as error:
            reason, again = str(getattr(error, "reason", error)), True
        except ValueError as error:
            raise ProviderFailed(f"{server} does not answer as OPTIMADE says: {error}") from error
        if not again or attempt == ATTEMPTS:
            raise ProviderFailed(f"{server} does not answer ({reason}), asked {attempt} times")
        if tell:
            tell(f"{server}: {reason}, asked again")
        time.sleep(wait_s * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _detail(error: HTTPError) -> str:
    try:
        errors = json.load(error)["errors"]
        return "; ".join(str(one.get("detail") or one.get("title")) for one in errors)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return f"status {error.code}"


def _take(entry: Any, source: str, found: Found) -> None:
    name = str(entry.get("id", "an entry without id")) if isinstance(entry, Mapping) else "an entry"
    try:
        found.candidates.append(candidate_of(entry, source))
    except _Unusable as error:
        found.left_out.append(LeftOut(source, name, str(error)))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = f"the entry is malformed ({type(error).__name__}: {error})"
        found.left_out.append(LeftOut(source, name, reason))


class _Unusable(Exception):
    """The entry is what OPTIMADE says, and no crystal that can be computed."""


def candidate_of(entry: Mapping[str, Any], source: str) -> Candidate:
    """Return the crystal of an entry.

    Raises
    ------
    _Unusable
        If it is disordered or not periodic.
    KeyError, TypeError, ValueError
        If the entry is not what OPTIMADE says.
    """
    name, given = str(entry["id"]), entry["attributes"]
    sites = [str(one) for one in given["species_at_sites"]]
    atoms = Atoms(
        _symbols(sites, given.get("species")),
        positions=np.array(given["cartesian_site_positions"], dtype=float),
        cell=np.array(given["lattice_vectors"], dtype=float),
        pbc=True,
    )
    if reason := periodic_problem(atoms):
        raise _Unusable(reason)
    periodic = given.get("dimension_types")
    if periodic is not None and sum(periodic) < 3:
        raise _Unusable("its cell is not periodic in three directions")
    hull, gap = _number(given, HULL_FIELDS), _number(given, GAP_FIELDS)
    flags = tuple(
        f"the provider says nothing of the {what}"
        for what, value in (("energy above the hull", hull), ("band gap", gap))
        if value is None
    )
    other = given.get("immutable_id")
    names = (name,) if other is None or str(other) == name else (name, str(other))
    return Candidate(source, names, atoms, hull, gap, flags)


def _symbols(sites: Sequence[str], species: Any) -> list[str]:
    """Return the symbol of each site; `species` says what their names mean."""
    if species is None:
        return list(sites)
    meaning = {
        str(one["name"]): dict(zip(one["chemical_symbols"], one["concentration"], strict=True)) for one in species
    }
    shared = list(partial_occupancies(meaning[site] for site in sites))
    if shared:
        raise _Unusable(disorder_reason(shared))
    return [next(symbol for symbol, part in meaning[site].items() if part > 0) for site in sites]


def _number(given: Mapping[str, Any], fields: Mapping[str, tuple[tuple[str, ...], ...]]) -> float | None:
    for name, ways in fields.items():
        for way in ways:
            value = given.get(name)
            for step in way:
                value = value.get(step) if isinstance(value, Mapping) else None
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
    return None
