"""Settings as a file that `ionloop fit --settings` and campaigns read: what differs from the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ...core.files import write_whole
from ..settings import GapSettings


def write_tuned_settings(path: Path, settings: GapSettings) -> None:
    """Write the section ``gap`` with everything that is not as by default."""
    section = _beside(settings.model_dump(mode="json"), GapSettings().model_dump(mode="json"))
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # the order of the settings stays
    yaml.dump({"gap": section}, text)
    write_whole(path, f"# Chosen by left-out errors: ionloop fit --tune\n{text.getvalue()}")


def _beside(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        default = defaults.get(name)
        if value == default:
            continue
        both = isinstance(value, Mapping) and isinstance(default, Mapping) and bool(default)
        found[name] = _beside(value, default or {}) if both else value
    return found
