"""How far long work is: a bar on a terminal that redraws lines, a line now and then in a log, nothing if it is quick.

It goes to the error output: what a command prints stays what a script reads.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from .terminal import make_console, redraws, shows_lines

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from rich.console import Console

LINE_INTERVAL_S = 10.0
"""Between two lines of a log, and before the first one."""
_QUICK_S = 0.5
_BETWEEN_S = 0.1


class Tell(Protocol):
    """Told how far the work is: ``done`` of ``total``, where that is known, and what is done now."""

    def __call__(self, done: int | None = None, total: int | None = None, stage: str = "") -> None:
        """Show it, unless it was shown a moment ago."""


@contextmanager
def progress(what: str) -> Iterator[Tell]:
    """Yield a function that shows how far ``what`` is.

    A terminal that is closed, or a reader that goes away, ends nothing.
    """
    console = make_console(stderr=True)
    if redraws(console):
        with _bar(console, what) as tell:
            yield tell
    else:
        yield _lines(console, what)


def _text(what: str, stage: str) -> str:
    return f"{what}: {stage}" if stage else what


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Tell]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn("dots" if shows_lines(console) else "line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Redrawn from here: a thread of rich's own would meet a closed terminal by itself.
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = bar.add_task(what, total=None)
    begun = last = time.monotonic()
    is_over = False

    def tell(done: int | None = None, total: int | None = None, stage: str = "") -> None:
        nonlocal last
        if is_over:
            return
        bar.update(task, description=_text(what, stage), completed=done or 0, total=total)
        moment = time.monotonic()
        if moment - begun < _QUICK_S or moment - last < _BETWEEN_S:
            return
        last = moment
        with suppress(OSError):
            bar.start()
            bar.refresh()

    try:
        yield tell
    finally:
        is_over = True
        with suppress(OSError):
            bar.stop()


def _lines(console: Console, what: str) -> Tell:
    last = time.monotonic()

    def tell(done: int | None = None, total: int | None = None, stage: str = "") -> None:
        nonlocal last
        moment = time.monotonic()
        if moment - last < LINE_INTERVAL_S:
            return
        last = moment
        of = "" if done is None else f", {done}" if total is None else f", {done} of {total}"
        with suppress(OSError):
            console.print(f"{_text(what, stage)}{of}", markup=False, soft_wrap=True)

    return tell


def counting(calculator: Calculator, tell: Tell) -> Calculator:
    """Let a calculator tell how often it was asked, and return it."""
    calculate, asked = calculator.calculate, itertools.count(1)

    def told(*given: Any, **options: Any) -> None:
        tell(next(asked), stage="evaluations")
        calculate(*given, **options)

    setattr(calculator, "calculate", told)  # noqa: B010 - of this one object
    return calculator
