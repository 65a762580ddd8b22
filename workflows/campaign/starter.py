"""Commented campaign files, written from the models: every key with its meaning, unit and value."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ...core.errors import InputError
from .problems import closest, show_value
from .schema import FieldEntry, field_entries, with_unwritten
from .settings import Campaign
from .yaml_lines import parse_yaml

COMMENT_WIDTH = 100
EXPERT_SECTIONS = frozenset({"contacts", "descriptor", "guard"})
"""Left out of starters unless a template changes them; the reference lists them."""
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_RESERVED = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def template_names() -> list[str]:
    """Return the templates that `ionloop init` knows."""
    folder = resources.files(__package__) / "templates"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def short_text(template: str, others: Sequence[str] = ()) -> str:
    """Return a campaign file that fits on a screen: what everybody sets, with few words.

    Parameters
    ----------
    others
        Templates of other files that whoever asks knows.

    Raises
    ------
    InputError
        If there is no such template.
    """
    names = template_names()
    if template not in names:
        names = [*names, *others]
        near = closest(template, names)
        hint = f"; did you mean {near}?" if near else ""
        raise InputError(f"there is no template {template!r}{hint}\n  available: {', '.join(names)}")
    return (resources.files(__package__) / "templates" / f"{template}.yaml").read_text("utf-8")


def starter_text(template: str, others: Sequence[str] = ()) -> str:
    """Return a campaign file with every key that the template concerns, each with a comment.

    Parameters
    ----------
    others
        Templates of other files that whoever asks knows.

    Raises
    ------
    InputError
        If there is no such template.
    """
    source = short_text(template, others)
    return source if template == "minimal" else full_text(source)


def full_text(source: str) -> str:
    """Return a campaign file with every key that a short one concerns, each with a comment."""
    given = parse_yaml(source).data
    campaign = Campaign.model_validate(given)
    title = itertools.takewhile(lambda line: line.startswith("#"), source.splitlines())
    values = with_unwritten(campaign)
    if campaign.systems is not None:
        # What a system does not say is as for all of them.
        values["systems"] = given["systems"]
    return "\n".join([*title, *_body(values, given)]) + "\n"


def yaml_value(value: Any) -> str:
    """Return a value in YAML's flow style."""
    match value:
        case str():
            plain = _PLAIN_WORD.fullmatch(value) and value.lower() not in _RESERVED
            return value if plain else show_value(value)
        case Mapping():
            return "{" + ", ".join(f"{key}: {yaml_value(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(yaml_value(item) for item in value) + "]"
    return show_value(value)


def _body(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for entry in field_entries():
        found, value = _lookup(values, entry.key)
        if found and not _of_other_variant(entry, values) and not _is_left_out(entry, given):
            lines += _entry_lines(entry, value)
    return lines


def _is_left_out(entry: FieldEntry, given: Mapping[str, Any]) -> bool:
    for length, part in enumerate(entry.key, start=1):
        if part in EXPERT_SECTIONS:
            return not _lookup(given, entry.key[:length])[0]
    return False


def _entry_lines(entry: FieldEntry, value: Any) -> list[str]:
    indent = "  " * (len(entry.key) - 1)
    name = entry.key[-1]
    text = entry.description.rstrip(".")
    if not entry.is_section and any(word in entry.allowed for word in (" | ", " from ", " and ")):
        text += f" [{entry.allowed}]"
    comment = textwrap.wrap(text, COMMENT_WIDTH - len(indent), initial_indent="# ", subsequent_indent="#   ")
    lines = [""] if len(entry.key) == 1 else []
    lines += [indent + line for line in comment]
    if value is None:
        # Nothing is the default here: shown, not set.
        return [*lines, f"{indent}# {name}:"]
    if entry.key == ("systems",):
        return [*lines, f"{name}:", *(f"  {system}: {yaml_value(one)}" for system, one in value.items())]
    if entry.is_section and isinstance(value, Mapping) and value:
        if all(item is None for item in value.values()):
            return [*lines, f"{indent}{name}: {{}}"]
        return [*lines, f"{indent}{name}:"]
    return [*lines, f"{indent}{name}: {yaml_value(value)}"]


def _lookup(values: Any, key: tuple[str, ...]) -> tuple[bool, Any]:
    for part in key:
        if not isinstance(values, Mapping) or part not in values:
            return False, None
        values = values[part]
    return True, values


def _of_other_variant(entry: FieldEntry, values: Mapping[str, Any]) -> bool:
    if entry.variant is None:
        return False
    name, choice = entry.variant.split(": ", 1)
    for length in range(len(entry.key) - 1, 0, -1):
        found, chosen = _lookup(values, (*entry.key[:length], name))
        if found:
            return str(chosen) != choice
    return False
