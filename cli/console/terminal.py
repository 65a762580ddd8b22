"""What the commands print to: a terminal of some width, or a pipe, whose reader breaks no lines."""

from __future__ import annotations

from typing import Any

from rich.console import Console

_UNBROKEN_WIDTH = 10_000
_NARROWEST_WIDTH = 40
_USUAL_WIDTH = 80


def make_console(*, stderr: bool = False, **options: Any) -> Console:
    """Return a console: as wide as the terminal; without one lines are not folded, which would break paths."""
    console = Console(stderr=stderr, highlight=False, **options)
    if not console.is_terminal:
        console.width = _UNBROKEN_WIDTH
    elif console.width < _NARROWEST_WIDTH:
        # COLUMNS=0 is what some schedulers and editors say.
        console.width = _USUAL_WIDTH
    return console


def shows_lines(console: Console) -> bool:
    """Return whether what is printed to may hold the characters of drawings."""
    return console.encoding.lower().startswith("utf")
