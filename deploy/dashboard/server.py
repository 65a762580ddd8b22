"""Serving the application on this machine: a thread per request, not more than a set number of them."""

from __future__ import annotations

import threading
from socket import socket
from typing import Any, Final

from flask import Flask
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler

from ...core.errors import InputError
from .settings import DashboardSettings

MAX_THREADS: Final = 64
IDLE_S: Final = 15.0
"""A connection on which nothing moves for so long (s) is closed: who is slow keeps nobody else waiting."""


class _Handler(WSGIRequestHandler):
    """Answers one connection; says nothing, because addresses may hold a token."""

    timeout = IDLE_S
    # One request per connection: viewers that look at a page hold no thread until they ask again.
    protocol_version = "HTTP/1.0"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # named by the class above
        """Say nothing."""

    def version_string(self) -> str:
        """Return the server's name, without versions."""
        return "ionloop"


class _BoundedServer(ThreadedWSGIServer):
    """Threads that take turns where there are too many."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, app: Flask) -> None:
        self._free = threading.BoundedSemaphore(MAX_THREADS)
        super().__init__(host, port, app, handler=_Handler)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Wait for a thread to be free, then answer in one."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Answer, and let the next one in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


def make_server(app: Flask, settings: DashboardSettings) -> BaseWSGIServer:
    """Return a server that listens already; ``serve_forever`` answers, ``port`` tells where (for port 0).

    Raises
    ------
    InputError
        If the port is taken or the address is not this machine's.
    """
    try:
        return _BoundedServer(settings.host.strip("[]"), settings.port, app)
    except (OSError, SystemExit) as error:
        raise InputError(
            f"cannot listen on {settings.host}, port {settings.port}: {getattr(error, 'strerror', None) or 'taken'}; "
            "choose another with --port"
        ) from error
