"""What every page asks of the application that answers, and of the address that was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from flask import Response, abort, current_app, render_template, request

from ..reader import Memory, Reader
from ..settings import DashboardSettings
from ..snapshot import Snapshot

READER: Final = "ionloop_reader"
SETTINGS: Final = "ionloop_settings"
PAGES: Final = "ionloop_pages"
"""What an application holds, by these names among its extensions: its reader, settings and the pages it has made."""


def reader() -> Reader:
    """Return the reader of the application that answers."""
    found: Reader = current_app.extensions[READER]
    return found


def page_settings() -> DashboardSettings:
    """Return the settings of the application that answers."""
    found: DashboardSettings = current_app.extensions[SETTINGS]
    return found


def show(template: str, make: Callable[[Snapshot], dict[str, Any]]) -> Response:
    """Return a page, made once per address and revision of the store, and nothing where the browser has it already.

    Parameters
    ----------
    make
        What the template shows, from the newest snapshot.
    """
    snapshot = reader().snapshot()
    pages: Memory = current_app.extensions[PAGES]

    def render() -> tuple[bytes, str]:
        page = render_template(
            template, revision=snapshot.revision, location=reader().location, **make(snapshot)
        ).encode()
        return page, hashlib.sha256(page).hexdigest()[:32]

    page, tag = pages.get((template, request.full_path), snapshot.revision, render)
    response = Response(page, mimetype="text/html")
    response.set_etag(tag)
    response.make_conditional(request)
    return response


def wanted(name: str) -> str:
    """Return a parameter of the address that must be there."""
    value = request.args.get(name, "")
    if not value:
        abort(400, f"the address lacks {name}")
    return value


def wanted_number(name: str, default: int, *, lowest: int = 0, highest: int = 10**9) -> int:
    """Return a whole number from the address.

    Anything else than a number between ``lowest`` and ``highest`` is refused.
    """
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and lowest <= int(text) <= highest):
        abort(400, f"{name} is a whole number from {lowest} to {highest}")
    return int(text)


def missing(what: str, name: str) -> None:
    """Answer that there is no such thing."""
    abort(404, f"there is no {what} {name[:200]!r} in this store")
