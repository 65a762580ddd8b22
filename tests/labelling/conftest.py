"""Fixtures of the labelling tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms

from ionloop.labelling import CommandSettings

ENGINES_FOR_TESTS = Path(__file__).parent / "engines_for_tests"


@pytest.fixture
def engines_for_tests(monkeypatch) -> Path:
    """The folder of calculators and executables for tests, importable here too."""
    monkeypatch.syspath_prepend(str(ENGINES_FOR_TESTS))
    return ENGINES_FOR_TESTS


@pytest.fixture
def lithium_thiophosphate() -> Atoms:
    """Four atoms without symmetry."""
    return Atoms(
        "LiPS2",
        positions=[[0.05, -0.02, 0.01], [2.41, 0.03, 0.3], [3.48, 1.62, 0.17], [0.23, 2.31, 0.42]],
        cell=[5.0, 5.2, 5.6],
        pbc=True,
    )


@pytest.fixture
def misbehaving() -> Callable[..., CommandSettings]:
    """Settings of a calculator that does some harm."""

    def settings(harm: str, recovery: tuple[dict[str, Any], ...] = (), **options: Any) -> CommandSettings:
        limits = {name: options.pop(name) for name in tuple(options) if name in CommandSettings.model_fields}
        return CommandSettings(
            calculator="misbehaving_calculators:Misbehaving",
            arguments={"harm": harm, **options},
            recovery=recovery,
            environment={"PYTHONPATH": str(ENGINES_FOR_TESTS)},
            **limits,
        )

    return settings


@pytest.fixture
def executable() -> Callable[..., CommandSettings]:
    """Settings of the executable for tests, with the content of its arguments.json."""

    def settings(**arguments: Any) -> CommandSettings:
        script = ENGINES_FOR_TESTS / "extxyz_executable.py"
        return CommandSettings(executable=f"{sys.executable} {script}", arguments=arguments)

    return settings
