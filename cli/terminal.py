"""What the commands print to: a terminal of some width, or a pipe, whose reader breaks no lines."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console

_UNBROKEN_WIDTH = 10_000
_NARROWEST_WIDTH = 40


def make_console(*, stderr: bool = False, **options: Any) -> Console:
    """Return a console: as wide as the terminal; without one lines are not folded, which would break paths."""
    console = Console(stderr=stderr, highlight=False, **options)
    if console.is_terminal:
        # COLUMNS=0 is what some schedulers and editors say.
        width = console.width if console.width >= _NARROWEST_WIDTH else 80
    else:
        width = _asked_width() or _UNBROKEN_WIDTH
    console.width = width
    return console


def _asked_width() -> int:
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() and int(asked) >= _NARROWEST_WIDTH else 0
