from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Protocol

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from ionloop.core import kinds
from ionloop.core.errors import IonloopError
from ionloop.core.kinds import Registry, SettingsOf, UnknownKind

GROUP = "ionloop.flavours"


class Flavour(Protocol):
    @property
    def name(self) -> str: ...

    def taste(self) -> str: ...

    settings_type: type[BaseModel]


MODULE = """
from typing import Literal
from pydantic import BaseModel

class Settings(BaseModel):
    flavour: Literal["{name}"] = "{name}"
    amount_g: float = {amount}

class Kind:
    name = "{name}"
    rank = {rank}
    settings_type = Settings
    def taste(self):
        return "{name}"

KIND = Kind()
"""


class _Distribution:
    def __init__(self, name: str) -> None:
        self.name, self.version = name, "2.0"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry[Flavour]]:
    """Install kinds as (package, name, module text, attribute), and return their registry."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*points: tuple[str, str, str, str]) -> Registry[Flavour]:
        found = []
        for number, (package, name, text, attribute) in enumerate(points):
            module = f"flavour_{tmp_path.name.replace('-', '_')}_{number}"
            (tmp_path / f"{module}.py").write_text(text)
            sys.modules.pop(module, None)
            point = EntryPoint(name, f"{module}:{attribute}", GROUP)
            vars(point)["dist"] = _Distribution(package)
            found.append(point)
        monkeypatch.setattr(kinds, "_entry_points", lambda group: tuple(found))
        return Registry(GROUP, "flavour", Flavour)

    return install


def built_in(name: str, rank: int = 0, amount: float = 1.0) -> tuple[str, str, str, str]:
    return "ionloop", name, MODULE.format(name=name, rank=rank, amount=amount), "KIND"


def of(package: str, name: str) -> tuple[str, str, str, str]:
    return package, name, MODULE.format(name=name, rank=0, amount=1.0), "KIND"


def test_kinds_of_all_packages_are_found_ionloops_first_and_by_rank(installed):
    registry = installed(of("aa", "aniseed"), built_in("sour", 2), built_in("sweet", 1))
    assert registry.names == ("sweet", "sour", "aniseed")
    assert registry.get("aniseed").taste() == "aniseed"
    assert registry.package_of("aniseed") == ("aa", "2.0")
    assert "sour" in registry
    assert "salt" not in registry
    assert not registry.broken


def test_an_unknown_name_is_refused_with_those_that_there_are(installed):
    registry = installed(built_in("sweet"), built_in("sour"))
    with pytest.raises(UnknownKind, match=r"unknown flavour 'swet'; installed are sweet, sour; did you mean sweet\?"):
        registry.get("swet")


@pytest.mark.parametrize(
    ("text", "attribute", "reason"),
    [
        ("import no_such_package_at_all", "KIND", "ModuleNotFoundError: No module named 'no_such_package_at_all'"),
        ("raise SystemExit('licence\\nexpired')", "KIND", "SystemExit: licence expired"),
        ("", "KIND", "AttributeError"),
        ("class K:\n    name = 'mine'\nKIND = K()", "KIND", "is no flavour: it lacks settings_type, taste"),
        (MODULE.format(name="other", rank=0, amount=1.0), "KIND", "calls itself 'other'"),
    ],
)
def test_a_broken_plug_in_breaks_nothing_else_and_is_named(installed, text, attribute, reason):
    registry = installed(built_in("sweet"), ("theirs", "mine", text, attribute))
    assert registry.names == ("sweet",)
    (broken,) = registry.broken
    assert (broken.package, broken.name) == ("theirs", "mine")
    assert reason in broken.reason
    assert "\n" not in broken.reason
    with pytest.raises(UnknownKind, match="theirs cannot be used"):
        registry.get("mine")


def test_nobody_takes_the_place_of_a_built_in_kind_or_of_another_package(installed):
    registry = installed(of("bb", "sweet"), of("cc", "salt"), of("dd", "salt"), built_in("sweet", amount=7.0))
    assert registry.package_of("sweet")[0] == "ionloop"
    assert registry.package_of("salt")[0] == "cc"
    assert [(one.package, one.name) for one in registry.broken] == [("bb", "sweet"), ("dd", "salt")]
    assert "ionloop has one of that name" in registry.broken[0].reason


def test_an_installation_older_than_its_code_is_told_so(installed):
    registry = installed(of("aa", "aniseed"))
    with pytest.raises(IonloopError, match="pip install --editable"):
        _ = registry.kinds


def test_documents_are_validated_with_the_settings_of_the_kind_that_they_name(installed):
    registry = installed(built_in("sweet"), of("aa", "aniseed"))
    adapter = TypeAdapter(Annotated[BaseModel, SettingsOf(lambda: registry, "flavour")])
    found = adapter.validate_python({"flavour": "aniseed", "amount_g": 3})
    assert type(found) is registry.get("aniseed").settings_type
    assert adapter.validate_python(found) == found
    assert adapter.dump_python(found) == {"flavour": "aniseed", "amount_g": 3.0}
    assert {"const": "aniseed", "default": "aniseed", "title": "Flavour", "type": "string"} in [
        one["properties"]["flavour"] for one in adapter.json_schema()["$defs"].values()
    ]
    with pytest.raises(ValidationError, match=r"sweet.*aniseed"):
        adapter.validate_python({"flavour": "salt"})
