"""Words and numbers of the report: durations, sizes, the verdict, what to cite."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...core.states import State

if TYPE_CHECKING:
    from .data import ReportData


@dataclass(frozen=True)
class Citation:
    """A work to cite: what for, the reference, its DOI, and when (always, an engine, a kind of model, an analysis)."""

    what: str
    reference: str
    doi: str
    when: str = "always"


CITATIONS: tuple[Citation, ...] = (
    Citation(
        "ES-GAP",
        "C. G. Staacke, H. H. Heenen, C. Scheurer, G. Csányi, K. Reuter, J. T. Margraf, "
        "ACS Appl. Energy Mater. 2021, 4, 12562",
        "10.1021/acsaem.1c02363",
        "es-gap",
    ),
    Citation(
        "GAP",
        "A. P. Bartók, M. C. Payne, R. Kondor, G. Csányi, Phys. Rev. Lett. 2010, 104, 136403",
        "10.1103/PhysRevLett.104.136403",
    ),
    Citation(
        "SOAP",
        "A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 2013, 87, 184115",
        "10.1103/PhysRevB.87.184115",
    ),
    Citation(
        "GFN1-xTB",
        "S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 2017, 13, 1989",
        "10.1021/acs.jctc.7b00118",
        "gfn1-xtb",
    ),
    Citation(
        "Locality tests",
        "V. L. Deringer, G. Csányi, Phys. Rev. B 2017, 95, 094203",
        "10.1103/PhysRevB.95.094203",
        "locality",
    ),
    Citation(
        "Climbing nudged elastic band",
        "G. Henkelman, B. P. Uberuaga, H. Jónsson, J. Chem. Phys. 2000, 113, 9901",
        "10.1063/1.1329672",
        "barriers",
    ),
    Citation(
        "Langevin integrator",
        "B. Leimkuhler, C. Matthews, J. Chem. Phys. 2013, 138, 174102",
        "10.1063/1.4802990",
    ),
    Citation(
        "FireWorks",
        "A. Jain et al., Concurrency Computat.: Pract. Exper. 2015, 27, 5037",
        "10.1002/cpe.3505",
    ),
    Citation(
        "ASE",
        "A. Hjorth Larsen et al., J. Phys.: Condens. Matter 2017, 29, 273002",
        "10.1088/1361-648X/aa680e",
    ),
)

_MINUTE_S, _TEN_MINUTES_S, _HOUR_S, _DAY_S = 60, 600, 3600, 86400
_KIBI = 1024.0
_LARGE = 1e5


def duration(seconds: float) -> str:
    """Return seconds as a person reads them: 0.4 s, 42 s, 3 min 05 s, 12 min, 2 h 10 min, 3 d 4 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _TEN_MINUTES_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def bytes_text(size: float) -> str:
    """Return a number of bytes as a person reads it: 812 B, 4.1 KiB, 12 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < _KIBI:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= _KIBI
    return f"{size:.1f} GiB"


def moment(time: datetime | None) -> str:
    """Return a time in UTC to the minute; a database's times without a zone are UTC."""
    if time is None:
        return "–"
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def three_digits(value: float | None) -> str:
    """Return a number with three significant digits, no exponent for ordinary sizes; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if 100 <= abs(value) < _LARGE else f"{value:.3g}"


def verdict(data: ReportData) -> str:
    """Return in one sentence where the campaign stands and why."""
    if data.conclusion is not None:
        return str(data.conclusion.values["reason"])
    if data.status.reason:
        return data.status.reason
    if data.status.state is State.RUNNING:
        return "jobs are running; this report shows what there is so far"
    return "the campaign waits for a worker; this report shows what there is so far"
