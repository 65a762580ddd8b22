"""The package's own source, parsed once for all tests that read it."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PACKAGE = "ionloop"


def modules_below(folder: Path, package: str) -> dict[str, Path]:
    """Return the files of a package by the names of their modules."""
    found = {package: folder / "__init__.py"}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join((package, *parts))] = file
    return found


def house(rooms: Iterable[str]) -> dict[str, Path]:
    """Return the files of the package by the names of their modules; the rooms are folders of the checkout."""
    modules = {PACKAGE: CHECKOUT / "__init__.py"}
    for room in rooms:
        modules |= modules_below(CHECKOUT / room, f"{PACKAGE}.{room}")
    return modules


@cache
def parsed(file: Path) -> ast.Module:
    """Return a file's syntax tree, which must not be changed."""
    collects = gc.isenabled()
    # A tree is many small objects, none of them garbage: looking for some takes most of the time.
    gc.disable()
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    finally:
        if collects:
            gc.enable()


def statements(block: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the statements (handlers and cases too) of a block and of all blocks inside."""
    for one in block:
        yield one
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(one, field, ())
            yield from statements(inner if isinstance(inner, list) else ())
