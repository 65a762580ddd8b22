"""A dashboard over the small campaign of the stores' tests, and over one whose every text is hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_client import client_of

__all__ = ["client_of"]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123\n")
    path.chmod(0o600)
    return path
