"""The fixtures of the cluster's test-bed, each kind in a file of its own beside this one."""

from __future__ import annotations

import sys
from pathlib import Path

# Tests are no packages: what they share is found beside them.
sys.path.insert(0, str(Path(__file__).parent))

from dashboard_client import client_of
from server import database_server, secured_server, server_process, stoppable_server
from slurm import slurm

__all__ = ["client_of", "database_server", "secured_server", "server_process", "slurm", "stoppable_server"]
