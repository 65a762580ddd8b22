"""The page about records, from their models: ``python -m ionloop.store.queries.record_reference docs/records.md``."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from .record_kinds import RECORD_KINDS, RecordKind

INTRODUCTION = """\
# Records

What a store holds, kind by kind. `ionloop query KIND` shows the columns marked with ●; `--columns` takes any of
them, filters ask for any of them, and `--format json` prints whole records with all fields. Units are in
parentheses. This page is written from the code.

Every record has `id` (a prefix that says what it is, and a hash of what it derives from), `schema_version`,
`campaign`, `generation`, `created` (UTC) and `code_version`.
"""

COMMON = frozenset({"id", "schema_version", "campaign", "generation", "created", "code_version"})


def reference_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([INTRODUCTION, *(_section(kind) for kind in RECORD_KINDS.values())])


def _section(kind: RecordKind) -> str:
    record_type = kind.record_type
    units = dict(kind.units)
    lines = [f"## {kind.name}", "", inspect.cleandoc(record_type.__doc__ or ""), ""]
    if kind.states:
        lines += [f"States: {', '.join(kind.states)}.", ""]
    columns = ", ".join(f"{'●' if column.shown else ''}`{column.name}`{_unit(column.unit)}" for column in kind.columns)
    lines += [f"Columns: {columns}.", "", "| field | type | unit |", "|---|---|---|"]
    schema = record_type.model_json_schema(by_alias=False)
    for name, field in schema["properties"].items():
        if name not in COMMON:
            lines.append(f"| `{name}` | {_type(field)} | {units.get(name, '')} |")
    return "\n".join(lines) + "\n"


def _unit(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1].lower()
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        return " or ".join(map(str, schema.get("enum", [schema.get("const")])))
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema['items'])}" if "items" in schema else "list"
        case "object":
            extra = schema.get("additionalProperties")
            return f"mapping to {_type(extra)}" if isinstance(extra, dict) and extra else "mapping"
        case "null":
            return "nothing"
        case "string":
            return "time" if schema.get("format") == "date-time" else "text"
        case str(name):
            return name
    return "anything"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_page(), encoding="utf-8")
