"""A durable, multi-process document store in one SQLite file, with MongoDB semantics by mongomock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .failures import StoreBusy, StoreError, StoreFull

if TYPE_CHECKING:
    from .client import EmbeddedClient

__all__ = ["EmbeddedClient", "StoreBusy", "StoreError", "StoreFull"]


def __getattr__(name: str) -> Any:
    if name != "EmbeddedClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Who only reads need not wait for the import of mongomock, which takes pymongo's with it.
    from .client import EmbeddedClient

    return EmbeddedClient
