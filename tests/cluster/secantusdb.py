"""SecantusDB: MongoDB's protocol on MongoDB's own storage engine, with indexes, as one member of a replica set.

Run as a script, this is its daemon with one change. As released (0.7.0b3), what ``findAndModify`` returns may be older
than what it modifies: in 800 calls of ``find_one_and_update`` with ``$inc``, four clients drew 749 different numbers,
and FireWorks numbers its launches so. Here commands on data are carried out one after the other.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess

_ON_DATA = frozenset(
    {"find", "getMore", "insert", "update", "delete", "findAndModify", "count", "aggregate", "distinct"}
)


def run_daemon() -> int:
    from secantus import cli, server

    one_at_a_time = threading.Lock()
    dispatch = server.dispatch

    def dispatch_in_turn(body: Mapping[str, Any], context: Any) -> Any:
        if next(iter(body), None) not in _ON_DATA:
            # A driver's watch of the server waits for seconds.
            return dispatch(body, context)
        with one_at_a_time:
            return dispatch(body, context)

    server.dispatch = dispatch_in_turn
    return int(cli.main())


@dataclass
class SecantusDB(ServerProcess):
    """SecantusDB with its data in WiredTiger's files."""

    def command(self) -> list[str]:
        if importlib.util.find_spec("secantus") is None:
            pytest.skip("SecantusDB is not installed")
        data = self.folder / "data"
        # It does not write its journal when a client asks for it, but always or never.
        journal = "--sync-on-commit"
        return [sys.executable, str(Path(__file__)), f"--port={self.port}", f"--storage-path={data}", journal]


if __name__ == "__main__":
    sys.exit(run_daemon())
