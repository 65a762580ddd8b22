"""What the campaign file allows at every key: read off the models, for errors, starter files and documentation."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from .problems import ANY_ENTRY, Key, closest, dotted, show_value
from .settings import Campaign
from .tuning import TUNE

Schema = Mapping[str, Any]

REQUIRED = "required"
ANY_NAME = "<name>"
"""Stands in a key for names that the file chooses."""


@dataclass(frozen=True)
class FieldEntry:
    """One key of a file.

    ``default`` is the value that a file without this key gets, `REQUIRED` where there is none. ``variant`` names
    the choice under which the key exists ("engine: command"), None where it always does.
    """

    key: tuple[str, ...]
    description: str
    allowed: str
    default: Any
    is_section: bool
    variant: str | None = None


class FileSchema:
    """What a kind of file allows at every key, read off the model of the file.

    Parameters
    ----------
    file_type
        The model of the whole file.
    least
        A value for every key that has no default.
    """

    def __init__(self, file_type: type[BaseModel], least: Mapping[str, Any]) -> None:
        self.file_type = file_type
        self.least = least

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the file."""
        return self.file_type.model_json_schema()

    @functools.cached_property
    def default_values(self) -> dict[str, Any]:
        """Every default as plain data; keys that have none are left out."""
        values = with_unwritten(self.file_type.model_validate(dict(self.least)))
        return {key: value for key, value in values.items() if key not in self.least}

    def resolve(self, schema: Schema) -> Schema:
        """Follow a reference; a description beside the reference wins over the one behind it."""
        while "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self.schema["$defs"][name], **beside}
        return schema

    def variants(self, schema: Schema) -> list[Schema]:
        """Return the alternatives of a union, or the schema itself."""
        schema = self.resolve(schema)
        alternatives = schema.get("oneOf") or schema.get("anyOf")
        if alternatives is None:
            return [schema]
        return [leaf for alternative in alternatives for leaf in self.variants(alternative)]

    def schemas_at(self, key: Key, data: Any) -> list[Schema]:
        """Return what may stand at ``key``, one schema per alternative; ``data`` decides between variants."""
        found: list[Schema] = [self.schema]
        default: Any = self.default_values
        for part in key:
            found = [leaf for schema in self._chosen(found, data, default) for leaf in self._child(schema, part)]
            data, default = _value_at(data, part), _value_at(default, part)
        return [leaf for schema in found for leaf in self.variants(schema)]

    def allowed_at(self, key: Key, data: Any) -> str | None:
        """Return in words what may stand at ``key``, None if no such key exists."""
        phrases = list(dict.fromkeys(self.phrase(schema) for schema in self.schemas_at(key, data)))
        return " or ".join(phrases) or None

    def allowed_keys(self, section: Key, data: Any) -> list[str]:
        """Return the names that may stand below ``section``."""
        value, default = data, self.default_values
        for part in section:
            value, default = _value_at(value, part), _value_at(default, part)
        chosen = self._chosen(self.schemas_at(section, data), value, default)
        return list(dict.fromkeys(name for schema in chosen for name in schema.get("properties", {})))

    def variant_keys(self, section: Key, data: Any) -> list[str]:
        """Return the names of the keys that choose between variants of ``section``: "engine", "method"."""
        constants: dict[str, set[str]] = {}
        for schema in self.schemas_at(section, data):
            for name, field in schema.get("properties", {}).items():
                if "const" in field:
                    constants.setdefault(name, set()).add(str(field["const"]))
        # What has one value in all variants ("functional: pbe") chooses nothing.
        return [name for name, values in constants.items() if len(values) > 1] or list(constants)

    def choices_of_variant(self, section: Key, data: Any) -> list[str]:
        """Return the names of the variants of ``section``."""
        names = self.variant_keys(section, data)
        return [
            str(schema["properties"][name]["const"])
            for schema in self.schemas_at(section, data)
            for name in names
            if "const" in schema.get("properties", {}).get(name, {})
        ]

    def choices_at(self, key: Key, data: Any) -> list[str]:
        """Return the words that may stand at ``key``."""
        schemas = self.schemas_at(key, data)
        return [str(value) for schema in schemas for value in schema.get("enum", [schema.get("const", "")]) if value]

    def suggest_key(self, section: Key, name: str, data: Any) -> str | None:
        """Return the key that was probably meant: a similar one here, else the same name elsewhere in the file."""
        near = closest(name, self.allowed_keys(section, data))
        if near is not None:
            return near
        for entry in self.field_entries():
            if entry.key == (*section, name):
                return f"{dotted(entry.key)} with {entry.variant}"
            if entry.key[-1] == name:
                return dotted(entry.key)
        return None

    def phrase(self, schema: Schema) -> str:
        """Return in words what a schema allows."""
        schema = self.resolve(schema)
        if "allowed" in schema:
            return str(schema["allowed"])
        if "const" in schema:
            return show_value(schema["const"]).strip('"')
        if "enum" in schema:
            return " | ".join(show_value(value).strip('"') for value in schema["enum"])
        alternatives = schema.get("oneOf") or schema.get("anyOf")
        if alternatives:
            return " or ".join(dict.fromkeys(self.phrase(alternative) for alternative in alternatives))
        match schema.get("type"):
            case "integer":
                return "a whole number" + _bounds(schema)
            case "number":
                return "a number" + _bounds(schema)
            case "string":
                return f"text matching {schema['pattern']}" if "pattern" in schema else "text"
            case "boolean":
                return "true | false"
            case "null":
                return "nothing"
            case "array":
                return self._array_phrase(schema)
            case "object":
                return self._object_phrase(schema)
        return "anything"

    def field_entries(self) -> list[FieldEntry]:
        """Return every key of the file, sections before their contents, in the order of the models."""
        return list(self._walk(self.schema, (), self.default_values))

    def _walk(
        self, schema: Schema, prefix: tuple[str, ...], defaults: Any, variant: str | None = None
    ) -> Iterator[FieldEntry]:
        # What chooses a variant goes before what the variant holds.
        for name, field in sorted(schema["properties"].items(), key=lambda item: "const" not in item[1]):
            key = (*prefix, name)
            leaves = self.variants(field)
            sections = [leaf for leaf in leaves if leaf.get("properties")]
            in_defaults = isinstance(defaults, Mapping) and name in defaults
            required = REQUIRED if name in schema.get("required", ()) else {}
            default = defaults[name] if in_defaults else field.get("default", required)
            yield FieldEntry(
                key=key,
                description=str(self.resolve(field).get("description", "")),
                allowed=self.phrase(field),
                default=default,
                is_section=bool(sections),
                variant=variant,
            )
            yield from self._walk_names(leaves, key)
            yield from self._walk_entries(leaves, key)
            for section in sections:
                label = (
                    self._variant_label(section, self.resolve(field)) or _form_label(section)
                    if len(sections) > 1
                    else variant
                )
                chosen = default if label == variant or _is_variant(section, default) else None
                yield from self._walk(section, key, chosen, label)

    def _walk_names(self, leaves: Sequence[Schema], key: tuple[str, ...]) -> Iterator[FieldEntry]:
        """Yield the keys below names that the file chooses: once for each choice, unless another section has them."""
        for leaf in leaves:
            union = _of_any_name(leaf)
            for section in self.variants(union) if isinstance(union, Mapping) else ():
                if section.get("properties") and "documented_in" not in section:
                    yield from self._walk(
                        section, (*key, ANY_NAME), None, self._variant_label(section, self.resolve(union or {}))
                    )

    def _walk_entries(self, leaves: Sequence[Schema], key: tuple[str, ...]) -> Iterator[FieldEntry]:
        """Yield the keys of the entries of lists: once for each choice, not where another list has them."""
        for leaf in leaves:
            union = leaf.get("items")
            for section in self.variants(union) if isinstance(union, Mapping) and "documented_in" not in leaf else ():
                if section.get("properties"):
                    yield from self._walk(
                        section, (*key, ANY_ENTRY), None, self._variant_label(section, self.resolve(union or {}))
                    )

    def _variant_label(self, section: Schema, union: Schema) -> str | None:
        """Return what marks a variant of a union, "engine: command", None for a section that is no variant."""
        properties = section["properties"]
        chooser = union.get("discriminator", {}).get("propertyName")
        for name in (chooser, *properties):
            if name in properties and "const" in properties[name]:
                return f"{name}: {properties[name]['const']}"
        return None

    def _chosen(self, schemas: Sequence[Schema], data: Any, default: Any) -> list[Schema]:
        """Return the variants that ``data`` selects; without a selection, that of the default; else all of them."""
        leaves = [leaf for schema in schemas for leaf in self.variants(schema)]
        for value in (
            data,
            {**default, **data} if isinstance(data, Mapping) and isinstance(default, Mapping) else default,
        ):
            selected = [leaf for leaf in leaves if _is_variant(leaf, value)]
            if selected:
                return selected
        return leaves

    def _child(self, schema: Schema, part: str | int) -> list[Schema]:
        schema = self.resolve(schema)
        if isinstance(part, str):
            if part in schema.get("properties", {}):
                return [schema["properties"][part]]
            extra = _of_any_name(schema)
            return [extra] if isinstance(extra, Mapping) else []
        if part < len(schema.get("prefixItems", ())):
            return [schema["prefixItems"][part]]
        items = schema.get("items")
        return [items] if isinstance(items, Mapping) else []

    def _array_phrase(self, schema: Schema) -> str:
        if "prefixItems" in schema:
            kinds = dict.fromkeys(self.phrase(item) for item in schema["prefixItems"])
            return f"a list of {len(schema['prefixItems'])}, each {' or '.join(kinds)}"
        items = schema.get("items")
        return f"a list, each {self.phrase(items)}" if items else "a list"

    def _object_phrase(self, schema: Schema) -> str:
        if schema.get("properties"):
            return "a mapping"
        extra = _of_any_name(schema)
        return f"a mapping of names to values, each {self.phrase(extra)}" if isinstance(extra, Mapping) else "a mapping"


def with_unwritten(settings: BaseModel) -> dict[str, Any]:
    """Return settings as plain data with what is not written down: the kind of a section that had none once, and that
    nothing is tuned.
    """
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if field.exclude or (name == TUNE and name not in values):
            values[name] = value
        elif isinstance(value, BaseModel) and isinstance(values.get(name), dict):
            values[name] = {**values[name], **with_unwritten(value)}
    return values


def _of_any_name(schema: Schema) -> Any:
    """Return what may stand below a name that the file chooses, which may have to have a certain form."""
    return next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))


def _form_label(section: Schema) -> str | None:
    """Return what marks one of several forms of a section, "engine: ...": the one key that it cannot lack."""
    needed = section.get("required", ())
    return f"{needed[0]}: ..." if len(needed) == 1 else None


def _is_variant(section: Schema, value: Any) -> bool:
    """Whether the constants of this variant are those of the value."""
    constants = {name: field["const"] for name, field in section.get("properties", {}).items() if "const" in field}
    return isinstance(value, Mapping) and bool(constants) and all(value.get(k) == v for k, v in constants.items())


def _value_at(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _bounds(schema: Schema) -> str:
    """Return the limits of a number: a lower one, an upper one, both or none."""
    if "minimum" in schema and "maximum" in schema:
        return f" from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    parts = [f"{word} {_number(schema[name])}" for name, word in words.items() if name in schema]
    return ", " + " and ".join(parts) if parts else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"


CAMPAIGN_FILE: Final = FileSchema(Campaign, {"name": "name", "structure": "structure"})
allowed_keys = CAMPAIGN_FILE.allowed_keys
field_entries = CAMPAIGN_FILE.field_entries
suggest_key = CAMPAIGN_FILE.suggest_key
