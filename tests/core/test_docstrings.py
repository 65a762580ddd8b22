"""One dialect of docstrings (NumPy's sections, Markdown's ticks), one way to write a unit: in parentheses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_code import CHECKOUT, house, parsed, statements

ROOMS = ("core", "fitting", "sampling", "labelling", "analysis", "store", "tasks", "workflows", "deploy", "cli")
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")

_OTHER_SECTION = re.compile(r"^\s*(Args|Arguments|Attributes|Parameters|Returns|Yields|Raises):\s*$", re.M)
_ROLE = re.compile(r":(class|func|meth|attr|mod|data|const):`|^\s*:(param|returns?|raises?)\b", re.M)
_HEADING = re.compile(rf"^( *)({'|'.join(SECTIONS)})\n\1(-+)$", re.M)
_ENTRY_WITH_TEXT = re.compile(r"^[\w*]+(, [\w*]+)* : ")


def faults(docstring: str) -> Iterator[str]:
    """Yield what is not of the dialect in a docstring."""
    if found := _OTHER_SECTION.search(docstring):
        yield f"{found[0].strip()} is no section of NumPy's"
    if found := _ROLE.search(docstring):
        yield f"{found[0].strip()} is Sphinx's"
    for heading in _HEADING.finditer(docstring):
        if len(heading[2]) != len(heading[3]):
            yield f"{heading[2]} is underlined by {len(heading[3])} hyphens"
        section = docstring[heading.end() :].split("\n\n")[0]
        yield from (
            f"{line.strip()!r}: the text of an entry stands in lines of its own"
            for line in section.splitlines()
            if _ENTRY_WITH_TEXT.match(line.removeprefix(heading[1]))
        )


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in (tree, *statements(tree.body)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_docstrings_are_of_one_dialect():
    told = [
        f"{file.relative_to(CHECKOUT)}: {fault}"
        for file in house(ROOMS).values()
        for text in docstrings(parsed(file))
        for fault in faults(text)
    ]
    assert told == []


@pytest.mark.parametrize(
    ("docstring", "count"),
    [
        ("Do.\n\nParameters\n----------\natoms\n    Copied.", 0),
        ("Do.\n\nArgs:\n    atoms: copied.", 1),
        ("Do.\n\nParameters\n----------\natoms : Atoms\n    Copied.", 1),
        ("Do.\n\nRaises\n-----\nInputError\n    If not.", 1),
        ("Do as :func:`other` does.", 1),
        ("Return x : y pairs.", 0),
    ],
)
def test_other_dialects_are_seen(docstring, count):
    assert len(list(faults(docstring))) == count


def test_constants_are_explained_below_them():
    marked = re.compile(r"^\s*#: ", re.M)
    files = [file for file in house(ROOMS).values() if marked.search(file.read_text(encoding="utf-8"))]
    assert files == []


def descriptions(tree: ast.Module) -> Iterator[str]:
    fields = (one for one in statements(tree.body) if isinstance(one, ast.AnnAssign | ast.Assign))
    for node in (node for field in fields for node in ast.walk(field)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            for keyword in node.keywords:
                if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value)


def test_units_of_settings_stand_in_parentheses():
    def odd(file: Path) -> list[str]:
        return [
            text
            for text in descriptions(parsed(file))
            if re.search(r"\b(no )?unit:? \S+\.?$|; (no )?unit\b|, (eV|Å|K|fs|ps|GPa)\.?$", text)
        ]

    files = [file for file in house(ROOMS).values() if "Field(" in file.read_text(encoding="utf-8")]
    assert sum(1 for file in files for _ in descriptions(parsed(file))) > 200, "the settings were read"
    assert [text for file in files for text in odd(file)] == []
