"""Experts of two materials."""

from __future__ import annotations

from pathlib import Path

import pytest

from .materials import fitted


@pytest.fixture(scope="session")
def sulphide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(tmp_path_factory.mktemp("experts"), "sulphide")


@pytest.fixture(scope="session")
def phosphide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(tmp_path_factory.mktemp("experts"), "phosphide")
