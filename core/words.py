"""Numbers in words that a person reads: durations, sizes, moments, digits."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE_S, _TEN_MINUTES_S, _HOUR_S, _DAY_S = 60, 600, 3600, 86_400
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


def rough_duration(seconds: float) -> str:
    """Return an estimate, good to two digits, as a person reads it: 5 s, 5 min, 2 h, 4.6 d."""
    for limit, length, unit in ((120, 1, "s"), (7200, _MINUTE_S, "min"), (2 * _DAY_S, _HOUR_S, "h")):
        if seconds < limit:
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds / _DAY_S:.1f} d"


def size_text(size_bytes: float) -> str:
    """Return a number of bytes as a person reads it, in the units of the settings: 812 B, 4.2 kB, 12 MB (10⁶ bytes)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(size_bytes) < 1000 or unit == "TB":
            break
        size_bytes /= 1000.0
    return f"{size_bytes:.0f} {unit}" if size_bytes >= 9.95 or unit == "B" else f"{size_bytes:.1f} {unit}"


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
