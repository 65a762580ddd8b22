"""Numbers in words that a person reads: durations, sizes, moments, digits."""

from __future__ import annotations

from datetime import UTC, datetime

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
