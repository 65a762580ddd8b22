"""Clients of a dashboard that is not served: requests go straight into the application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ionloop.deploy.dashboard import DashboardSettings, create_app
from ionloop.deploy.dashboard.pages.shared import READER
from ionloop.store.connection import Store

ClientOf = Callable[..., FlaskClient]


class ReadingClient(FlaskClient):
    """Reads every answer to its end, so that no file stays open."""

    def open(self, *args: Any, **settings: Any) -> TestResponse:
        settings.setdefault("buffered", True)
        return super().open(*args, **settings)


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Make a client of the dashboard of a store; changes show at once."""
    readers = []

    def make(store: Store, **settings: object) -> FlaskClient:
        app = create_app(store, DashboardSettings(**{"refresh_s": 0.0, **settings}))
        app.testing = True
        app.test_client_class = ReadingClient
        readers.append(app.extensions[READER])
        client = app.test_client()
        client.environ_base["HTTP_HOST"] = "127.0.0.1:8484"
        return client

    yield make
    for reader in readers:
        reader.close()
