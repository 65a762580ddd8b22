"""A durable, multi-process document store in one SQLite file, with MongoDB semantics by mongomock."""

from __future__ import annotations

from .client import EmbeddedClient
from .failures import StoreBusy, StoreError, StoreFull

__all__ = ["EmbeddedClient", "StoreBusy", "StoreError", "StoreFull"]
