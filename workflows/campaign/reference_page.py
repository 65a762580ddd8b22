"""The reference of the campaign file as a Markdown page, written from the models.

``python -m ionloop.workflows.campaign.reference_page [FILE]`` writes it (to the standard output without a file).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .changes import Effect, rule_of
from .problems import dotted
from .schema import REQUIRED, FieldEntry, field_entries
from .starter import yaml_value

_LATER = {Effect.FREE: "free", Effect.MORE: "more", Effect.ADDED: "more", Effect.FIXED: ""}
HEADER = """# The campaign file

<!-- By `python -m ionloop.workflows.campaign.reference_page docs/campaign-file.md`: change the models, not this. -->

A campaign file is YAML: keys and values, nothing else (no anchors, no aliases, no tags). The shortest one is

```yaml
name: minimal
structure: li7p3s11
```

`ionloop init` writes a starter that fits on a screen, `ionloop init --from FILE` one for a structure of yours; with
`--full` both have every key. `ionloop schema` writes the JSON schema by which editors complete and check; `init` puts
it beside the campaign file, whose first line names it. `ionloop check` reports every error at once, each with its line,
key, value and what is allowed, draws what will run, and tells what the campaign will cost. Unknown keys are errors. A
number is written without quotes and without its unit: units are part of the names (`temperature_K`, `timestep_fs`,
`cutoff_A` in Å).

`structure` is a built-in name or a file that ASE reads; a relative path starts at the folder of the campaign file.
`initial` and `explore` may be lists of samplers, each `{kind: ...}` with the keys of its kind below `explore[n]`;
[sampling](sampling.md) tells what each kind is for.

The column *later* tells what may become of a value once the campaign is in a store: *free*, it may change at any time
and holds from then on; *more*, it may only grow, and what is added is done, also after the end; nothing, it stays,
unless no job has used it yet. The path of the structure may change, the structure may not. A whole analysis may be
added, or taken out (its results stay).
"""


def reference_page() -> str:
    """Return the page: one table per section, sections with variants once per variant."""
    heads = ("key", "default", "allowed", "meaning", "later")
    return "\n".join([HEADER, *key_tables(field_entries(), heads, _cells)])


def key_tables(
    entries: Iterable[FieldEntry], heads: Sequence[str], cells: Callable[[FieldEntry], Sequence[str]]
) -> list[str]:
    """Return a heading and a table of keys for every section, sections with variants once per variant."""
    tables: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for entry in entries:
        row = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells(entry)) + " |"
        tables.setdefault((entry.key[:-1], entry.variant or ""), []).append(row)
    # Variants share sub-sections: one table, all their names.
    merged: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (section, variant), lines in tables.items():
        # Entries of several kinds have the same forms.
        merged.setdefault((section, tuple(dict.fromkeys(lines))), []).append(variant)
    top = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    parts = []
    for (section, rows), names in merged.items():
        variants = ", ".join(f"`{name}`" for name in names if name)
        title = f"`{dotted(section)}`" if section else "Top level"
        parts.append(f"## {title}" + (f" with {variants}" if variants else "") + "\n")
        parts.append("\n".join([*top, *rows]) + "\n")
    return parts


def _cells(entry: FieldEntry) -> tuple[str, ...]:
    engine = (entry.variant or "").partition("engine: ")[2]
    later = _LATER[rule_of(entry.key, engine).effect] if not entry.is_section else ""
    return (*cells_of_key(entry), later)


def cells_of_key(entry: FieldEntry) -> tuple[str, str, str, str]:
    """Return what a table says of a key: its name, default, what is allowed and what it means."""
    if entry.default == REQUIRED:
        default = "**required**"
    elif entry.is_section and not isinstance(entry.default, str):
        default = "see below"
    elif entry.default is None:
        default = ""
    else:
        default = f"`{yaml_value(entry.default)}`"
    return f"`{entry.key[-1]}`", default, entry.allowed, entry.description.rstrip(".")


def main(arguments: Sequence[str]) -> None:
    """Write the page to the file named, or to the standard output."""
    if arguments:
        Path(arguments[0]).write_text(reference_page(), "utf-8")
    else:
        sys.stdout.write(reference_page())


if __name__ == "__main__":
    main(sys.argv[1:])
