"""SecantusDB: MongoDB's protocol on MongoDB's own storage engine, with indexes, as one member of a replica set."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from server_process import ServerProcess


@dataclass
class SecantusDB(ServerProcess):
    """SecantusDB's daemon, which the package brings."""

    def command(self) -> list[str]:
        daemon = Path(sys.executable).with_name("secantusd-py")
        if not daemon.exists():
            pytest.skip("SecantusDB is not installed")
        return [str(daemon), f"--port={self.port}", f"--storage-path={self.folder / 'data'}", "--log-level=WARNING"]
