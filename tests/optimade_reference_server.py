"""Serves structures with OPTIMADE's own reference server: python optimade_reference_server.py CONFIG ENTRIES PORT.

A program of its own: it runs with the interpreter that has ``optimade[server]``, which need not be that of the tests.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(config: str, entries: str, port: str) -> None:
    os.environ["OPTIMADE_CONFIG_FILE"] = config
    import uvicorn
    from optimade.server.config import ServerConfig
    from optimade.server.create_app import create_app
    from optimade.server.entry_collections import create_entry_collections

    settings = ServerConfig()
    collections = create_entry_collections(settings)
    app = create_app(settings)
    collections = getattr(app.state, "entry_collections", collections)
    collections["structures"].insert(json.loads(Path(entries).read_text()))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
