"""Candidates from the Materials Project, through its own client (``pip install 'ionloop[materials-project]'``).

The user's key is read from the environment where it is used. It is in no settings, record or message: whatever the
client says or writes into logs while it has it is freed of it first.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from ...core.citations import Citation
from ...core.errors import InputError
from ..structures.crystals import OCCUPANCY_TOLERANCE, check_crystal
from .base import CommonSourceSettings, Findings, Gathered, SourceRequest, SourceUnavailable
from .candidate import Candidate, Refusal, crystal_of
from .filters import CandidateFilters

KEY_VARIABLE: Final = "MP_API_KEY"
"""Environment variable that holds the user's key."""
_SOURCE: Final = "the Materials Project"
_FIELDS: Final = ("material_id", "structure", "energy_above_hull", "band_gap", "theoretical", "last_updated")
_HIDDEN: Final = "(key)"
_LONGEST_MESSAGE: Final = 300

MaterialsProjectId = Annotated[str, Field(pattern=r"^[a-z]+-[A-Za-z0-9-]+$", max_length=60)]


class MaterialsProjectSource(CommonSourceSettings):
    """The Materials Project."""

    kind: Literal["materials-project"] = Field(
        default="materials-project",
        description="The Materials Project, with the key in the environment variable MP_API_KEY.",
    )
    ids: tuple[MaterialsProjectId, ...] = Field(
        default=(),
        description="Materials to take instead of all that the filters allow; old and new names both do (names)",
    )
    include_gnome: bool = Field(
        default=False, description="Also take structures of GNoME, which may not be used commercially."
    )

    @model_validator(mode="before")
    @classmethod
    def _holds_no_key(cls, data: Any) -> Any:
        # The value is not shown: what stands at such a place is likely to be one.
        if isinstance(data, dict) and any("key" in str(name).lower() for name in data):
            raise ValueError(
                f"holds a key: remove it from the file, keys are read from the environment variable {KEY_VARIABLE}"
            )
        return data


class MaterialsProject:
    """The Materials Project."""

    name = "materials-project"
    rank = 30.0
    settings_type = MaterialsProjectSource
    citations: tuple[Citation, ...] = (
        Citation("Materials Project", "A. Jain et al., APL Materials 2013, 1, 011002", "10.1063/1.4812323"),
    )

    def describe(self, settings: MaterialsProjectSource) -> str:
        """Return where candidates come from, in words."""
        return f"{len(settings.ids)} materials of {_SOURCE}" if settings.ids else _SOURCE

    def gather(self, request: SourceRequest[MaterialsProjectSource]) -> Gathered:
        """Ask for what the filters allow, or for the materials that are named, one by one.

        Raises
        ------
        InputError
            If there is no key, or the client is not installed.
        SourceUnavailable
            If the client fails.
        """
        key, rester = _key(), _rester()
        findings = Findings()
        failure = ""
        with _nowhere_in_logs(key):
            try:
                with rester(api_key=key, mute_progress_bars=True) as client:
                    _search(client, request.settings, request.filters, findings)
            except Exception as error:  # boundary: the client raises what its own libraries do
                failure = f"{type(error).__name__}: {error}"
        # Outside the except clause: the error that is raised here carries none with a key in it.
        if failure:
            message = " ".join(failure.replace(key, _HIDDEN).split())
            if len(message) > _LONGEST_MESSAGE:
                message = f"{message[:_LONGEST_MESSAGE]} ..."
            if not findings.candidates and not findings.refusals:
                raise SourceUnavailable(f"{_SOURCE} could not be asked: {message}")
            findings.incomplete = f"{_SOURCE} could not be asked for the rest: {message}"
        return findings.gathered()


MATERIALS_PROJECT = MaterialsProject()


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise InputError(
            f"{_SOURCE} answers those who have a key only: put yours into the environment variable {KEY_VARIABLE}"
        )
    return key


def _rester() -> Any:
    """Return the class of the Materials Project's client."""
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise InputError(
            f"{_SOURCE} is asked through its own client, which is not installed: "
            "pip install 'ionloop[materials-project]'"
        ) from None
    return MPRester


def _search(client: Any, settings: MaterialsProjectSource, filters: CandidateFilters, findings: Findings) -> None:
    """Fill the findings; what the client raises passes through."""
    search = client.materials.summary.search
    common = {"fields": list(_FIELDS), "all_fields": False, "include_gnome": settings.include_gnome}
    if settings.ids:
        # One by one: an old name is answered by a new one, and nothing else says which of them.
        for identifier in settings.ids:
            documents = search(material_ids=[identifier], **common)
            if not documents:
                findings.refusals.append(Refusal(identifier, _SOURCE, "there is no such material"))
            _take(documents, settings, findings, asked=identifier)
        return
    query: dict[str, Any] = {"elements": [filters.mobile], "num_sites": (1, filters.max_atoms), "deprecated": False}
    if filters.element_range:
        query["num_elements"] = filters.element_range
    if filters.excluded:
        query["exclude_elements"] = list(filters.excluded)
    _take(sorted(search(**query, **common), key=_identifier), settings, findings)


def _take(documents: Sequence[Any], settings: MaterialsProjectSource, findings: Findings, asked: str = "") -> None:
    for document in documents:
        if len(findings.candidates) >= settings.max_candidates:
            findings.incomplete = f"{_SOURCE} has more than the {settings.max_candidates} of max_candidates"
            return
        try:
            findings.candidates.append(_candidate(document, asked))
        except InputError as error:
            findings.refusals.append(Refusal(_identifier(document), _SOURCE, str(error).rstrip(".")))


def _identifier(document: Any) -> str:
    return str(document.material_id)


def _candidate(document: Any, asked: str) -> Candidate:
    """Return the candidate of a summary.

    Raises
    ------
    InputError
        If its structure cannot be computed.
    """
    structure = document.structure
    if structure is None:
        raise InputError("it comes without a structure")
    partial = [
        ", ".join(f"{element.symbol} {float(share):g}" for element, share in site.species.items())
        for site in structure
        if len(site.species) != 1 or abs(sum(map(float, site.species.values())) - 1) > OCCUPANCY_TOLERANCE
    ]
    if partial:
        raise InputError(f"it has partly occupied sites ({'; '.join(dict.fromkeys(partial))}): order it first")
    symbols = [next(iter(site.species)).symbol for site in structure]
    atoms = crystal_of(symbols, [site.coords for site in structure], structure.lattice.matrix)
    check_crystal(atoms, "it")
    theoretical, updated = getattr(document, "theoretical", None), getattr(document, "last_updated", None)
    provenance = {"database": _SOURCE}
    if theoretical is not None:
        provenance["origin"] = "computed only" if theoretical else "known from experiment"
    if updated is not None:
        provenance["last_modified"] = str(updated)
    return Candidate(
        atoms=atoms,
        source=_SOURCE,
        identifier=_identifier(document),
        energy_above_hull_eV_per_atom=_number(document.energy_above_hull),
        band_gap_eV=_number(document.band_gap),
        is_ordered=True,
        provenance=provenance,
    ).with_identifiers([asked] if asked else [])


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


@contextlib.contextmanager
def _nowhere_in_logs(secret: str) -> Iterator[None]:
    """Replace a secret in everything that is logged meanwhile."""
    factory = logging.getLogRecordFactory()

    def without_secret(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        if secret in message or record.exc_info or record.stack_info:
            # Tracebacks may quote it as well, and are written by whoever handles the record.
            record.msg, record.args = message.replace(secret, _HIDDEN), ()
            record.exc_info, record.exc_text, record.stack_info = None, None, None
        return record

    logging.setLogRecordFactory(without_secret)
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
