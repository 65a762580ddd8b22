"""Candidates from databases that speak OPTIMADE."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from ...core.citations import Citation
from ...core.errors import InputError
from .base import CommonSourceSettings, Findings, Gathered, SourceRequest, SourceUnavailable
from .candidate import Refusal
from .filters import CandidateFilters
from .json_client import ForeignAddress, JsonClient, Limits, Rejected, Unanswered
from .optimade_entries import STANDARD_FIELDS, EntryReader
from .provider_fields import BAND_GAP_FIELDS, ENERGY_ABOVE_HULL_FIELDS, ProviderField, own_field

_FIELD_NAME: Final = r"^_[a-z][a-z0-9_]*(\.[^.\s]+)*$"
_REFUSED_QUESTIONS: Final = frozenset({400, 403, 501})
_NOTHING_THERE: Final = frozenset({404, 501})
_CITATION = Citation(
    "OPTIMADE",
    "M. L. Evans et al., Digital Discovery 2024, 3, 1509",
    "10.1039/D4DD00039K",
)


class OptimadeSource(CommonSourceSettings):
    """A database that speaks OPTIMADE."""

    kind: Literal["optimade"] = Field(default="optimade", description="A database that speaks OPTIMADE.")
    url: str = Field(
        max_length=1024,
        description="Base URL of the database; providers.optimade.org lists them (URL)",
    )
    filter: str = Field(
        default="",
        max_length=4096,
        description="What the database is asked for besides what the survey's filters say (OPTIMADE filter)",
    )
    energy_above_hull_field: str | None = Field(
        default=None,
        pattern=_FIELD_NAME,
        description="The provider's field for the energy above the hull in eV per atom, where ionloop does not know "
        "it; a dot leads into it (name)",
    )
    band_gap_field: str | None = Field(
        default=None,
        pattern=_FIELD_NAME,
        description="The provider's field for the band gap in eV, where ionloop does not know it (name)",
    )
    page_limit: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Structures to ask for at a time; a database that refuses so many chooses itself (number)",
    )
    timeout_s: float = Field(default=60.0, gt=0, description="Longest time for one answer (s)")
    attempts: int = Field(default=5, ge=1, le=20, description="How often one question is asked (number)")
    first_wait_s: float = Field(
        default=1.0, ge=0, description="Wait before the second attempt, doubled before each later one (s)"
    )
    largest_answer_MB: float = Field(default=50.0, gt=0, description="Largest answer that is read (MB, 10⁶ bytes)")

    @field_validator("url")
    @classmethod
    def _is_a_base(cls, value: str) -> str:
        try:
            parts = urllib.parse.urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("must be an address such as https://optimade.example.org/v1")
        if "@" in parts.netloc:
            raise ValueError("must hold no user name and no password")
        if parts.query or parts.fragment:
            raise ValueError("must be the base of the database, without ? and #")
        return value.rstrip("/")

    @property
    def base(self) -> str:
        """Base URL with the version that ionloop speaks."""
        last = self.url.rsplit("/", 1)[-1]
        is_versioned = last.startswith("v") and last[1:].replace(".", "").isdecimal()
        return self.url if is_versioned else f"{self.url}/v1"

    @property
    def limits(self) -> Limits:
        """How long, how often and how much."""
        return Limits(self.timeout_s, self.attempts, self.first_wait_s, int(self.largest_answer_MB * 1e6))


class Optimade:
    """A database that speaks OPTIMADE."""

    name = "optimade"
    rank = 20.0
    settings_type = OptimadeSource
    citations: tuple[Citation, ...] = (_CITATION,)

    def describe(self, settings: OptimadeSource) -> str:
        """Return where candidates come from, in words."""
        return f"the OPTIMADE database {settings.url}"

    def gather(self, request: SourceRequest[OptimadeSource]) -> Gathered:
        """Ask for what the filters allow, page by page.

        Raises
        ------
        InputError
            If the database refuses the question.
        SourceUnavailable
            If not even the first page could be had.
        """
        settings = request.settings
        client = JsonClient(settings.base, settings.limits)
        try:
            search = _Search(client, settings, request.filters)
            search.run()
        except Unanswered as error:
            raise SourceUnavailable(str(error)) from error
        except ForeignAddress as error:
            raise SourceUnavailable(f"{settings.url} sends on to another host: {error}; name that one") from error
        except Rejected as error:
            raise InputError(f"{settings.url} refuses the question: {error}") from error
        return search.findings.gathered()


OPTIMADE = Optimade()


def optimade_filter(filters: CandidateFilters, also: str = "", *, with_exclusions: bool = True) -> str:
    """Return what a database can be asked for of a survey's filters, in OPTIMADE's language.

    Only what every database must know of every structure: to ask for a gap would lose those without one.
    """
    parts = [f'elements HAS "{filters.mobile}"']
    if allowed := filters.element_range:
        low, high = allowed
        parts += [f"nelements={low}"] if low == high else [f"nelements>={low}", f"nelements<={high}"]
    parts.append(f"nsites<={filters.max_atoms}")
    if with_exclusions and filters.excluded:
        parts.append(f"NOT (elements HAS ANY {', '.join(map(_quoted, filters.excluded))})")
    if also.strip():
        parts.append(f"({also.strip()})")
    return " AND ".join(parts)


class _Search:
    """One search: the pages of a database, with guards against those that never end."""

    def __init__(self, client: JsonClient, settings: OptimadeSource, filters: CandidateFilters) -> None:
        self.findings = Findings()
        self._client, self._settings, self._filters = client, settings, filters
        self._host = urllib.parse.urlsplit(settings.url).netloc
        self._seen: set[str] = set()

    def run(self) -> None:
        """Fill the findings."""
        about, known = self._about()
        hull = self._fields(self._settings.energy_above_hull_field, "eV per atom", ENERGY_ABOVE_HULL_FIELDS)
        gap = self._fields(self._settings.band_gap_field, "eV", BAND_GAP_FIELDS)
        reader = EntryReader(self._host, hull, gap, {"url": self._settings.base, **about})
        named = dict.fromkeys(field.name for field in (*hull, *gap))
        asked = [name for name in named if known is None or name in known]
        for what, fields in (("energy above the hull", hull), ("band gap", gap)):
            if known is not None and not any(field.name in known for field in fields):
                self.findings.notes.append(f"{self._host} has no field for the {what} that ionloop knows of.")
        for page in self._pages([] if known is None else asked):
            if not self._take(page, reader):
                return

    def _about(self) -> tuple[dict[str, str], frozenset[str] | None]:
        """Return what the database says of itself, and the properties that its structures have, None if it is mute."""
        try:
            info = self._client.get(f"{self._settings.base}/info")
            about = _about(info)
            properties = self._client.get(f"{self._settings.base}/info/structures")["data"]["properties"]
            return about, frozenset(map(str, properties))
        except Rejected as error:
            if error.status not in _NOTHING_THERE:
                raise
        except (KeyError, TypeError):
            pass
        self.findings.notes.append(f"{self._host} does not say which properties it has: its own choice was taken.")
        return {}, None

    @staticmethod
    def _fields(own: str | None, unit: str, table: tuple[ProviderField, ...]) -> tuple[ProviderField, ...]:
        return table if own is None else (own_field(own, unit), *table)

    def _pages(self, fields: list[str]) -> Iterator[Mapping[str, Any]]:
        """Yield pages until there are no more, or what comes cannot be a next page."""
        address, page = self._first_page(fields)
        visited = {address}
        while True:
            yield page
            following = _next_link(page)
            if following is None:
                return
            try:
                address = self._client.address(following)
                if address in visited:
                    self.findings.incomplete = f"{self._host} leads in a circle: its next page is one that was read"
                    return
                visited.add(address)
                page = self._client.get(address)
            except ForeignAddress as error:
                self.findings.incomplete = f"the next page of {self._host} was not asked for: {error}"
            except (Unanswered, Rejected) as error:
                self.findings.incomplete = f"a later page of {self._host} could not be had: {error}"
            if self.findings.incomplete:
                return

    def _first_page(self, fields: list[str]) -> tuple[str, Mapping[str, Any]]:
        """Ask for large pages with the whole filter, and for less where a database refuses that."""
        ways = [(True, True), (False, True)]
        ways += [(True, False), (False, False)] if self._filters.excluded else []
        for with_page_limit, with_exclusions in ways:
            address = self._question(fields, with_page_limit=with_page_limit, with_exclusions=with_exclusions)
            try:
                page = self._client.get(address)
            except Rejected as error:
                if error.status not in _REFUSED_QUESTIONS or (with_page_limit, with_exclusions) == ways[-1]:
                    raise
                continue
            break
        if not with_exclusions:
            self.findings.notes.append(f"{self._host} cannot exclude elements: they were left out afterwards.")
        return address, page

    def _question(self, fields: list[str], *, with_page_limit: bool, with_exclusions: bool) -> str:
        query = {
            "filter": optimade_filter(self._filters, self._settings.filter, with_exclusions=with_exclusions),
            "response_format": "json",
        }
        if with_page_limit:
            query["page_limit"] = str(min(self._settings.page_limit, self._settings.max_candidates))
        if fields:
            query["response_fields"] = ",".join((*STANDARD_FIELDS, *fields))
        encoded = urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        return self._client.address(f"{self._settings.base}/structures?{encoded}")

    def _take(self, page: Mapping[str, Any], reader: EntryReader) -> bool:
        """Take what is new on a page; whether another one may follow."""
        entries = page.get("data")
        if not isinstance(entries, list):
            self.findings.incomplete = f"a page of {self._host} holds no list of structures"
            return False
        new = 0
        for number, entry in enumerate(entries, start=1):
            identifier = entry.get("id") if isinstance(entry, Mapping) else None
            if isinstance(identifier, str) and identifier in self._seen:
                continue
            if len(self.findings.candidates) >= self._settings.max_candidates:
                self.findings.incomplete = (
                    f"{self._host} has more{_of_all(page)} than the {self._settings.max_candidates} of max_candidates"
                )
                return False
            found = reader.read(entry, f"entry {number} of a page")
            if isinstance(identifier, str):
                self._seen.add(identifier)
                new += 1
            if isinstance(found, Refusal):
                self.findings.refusals.append(found)
            else:
                self.findings.candidates.append(found)
        # A last page may be empty; one that brings nothing new and promises more would do so for ever.
        if not new and _next_link(page) is not None:
            self.findings.incomplete = f"{self._host} promises more and sends nothing new"
            return False
        return True


def _next_link(page: Mapping[str, Any]) -> str | None:
    """Return the address of the next page, which JSON:API writes as a text or as an object with one."""
    links = page.get("links")
    following = links.get("next") if isinstance(links, Mapping) else None
    if isinstance(following, Mapping):
        following = following.get("href")
    return following if isinstance(following, str) and following else None


def _of_all(page: Mapping[str, Any]) -> str:
    meta = page.get("meta")
    count = meta.get("data_returned") if isinstance(meta, Mapping) else None
    return f" ({count} in all)" if isinstance(count, int) else ""


def _about(info: Mapping[str, Any]) -> dict[str, str]:
    """Return provider, version and licence as far as a database names them."""
    getters: dict[str, Callable[[], Any]] = {
        "provider": lambda: info["meta"]["provider"]["name"],
        "prefix": lambda: info["meta"]["provider"]["prefix"],
        "api_version": lambda: info["meta"]["api_version"],
        "license": lambda: _address(info["data"]["attributes"]["license"]),
    }
    about = {}
    for key, get in getters.items():
        try:
            value = get()
        except (KeyError, TypeError):
            continue
        if isinstance(value, str) and value:
            about[key] = value
    return about


def _address(link: Any) -> Any:
    return link.get("href") if isinstance(link, Mapping) else link


def _quoted(symbol: str) -> str:
    return f'"{symbol}"'
