"""The application: templates, filters, pages and what is the same on all of them."""

from __future__ import annotations

import gzip
import hashlib
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Final

import plotly.graph_objects as go
from flask import Flask, Response, current_app, jsonify, render_template, request
from jinja2 import StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from werkzeug.exceptions import HTTPException

from ... import __version__
from ...analysis import figures
from ...analysis.looks import REFERENCE
from ...core.errors import IonloopError
from ...core.words import duration, moment, size_text, three_digits
from ...store.connection import Store
from ...store.retrying import StoreUnreachable
from ...workflows.analyses.sections import numeric_columns
from .pages import campaigns, compare, configurations, models, results, surveys
from .pages.shared import PAGES, READER, SETTINGS, reader
from .reader import OUTAGES, Memory, Reader, StoreAway
from .security import protect
from .settings import DashboardSettings

MOST_PAGES: Final = 128
_YEAR_S: Final = 31_536_000
_STYLE_ELEMENT: Final = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


def create_app(store: Store, settings: DashboardSettings | None = None) -> Flask:
    """Return the application that shows a store; it never writes to it.

    Parameters
    ----------
    store
        Open for as long as the application is used.
    """
    settings = settings or DashboardSettings()
    app = Flask(__name__, static_folder="static", template_folder="templates")
    app.config.update(MAX_CONTENT_LENGTH=1, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.extensions[READER] = Reader(store, settings.refresh_s)
    app.extensions[SETTINGS] = settings
    app.extensions[PAGES] = Memory(MOST_PAGES)
    app.jinja_options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.autoescape = True
    app.jinja_env.filters.update(
        duration=duration,
        size=size_text,
        moment=moment,
        digits=three_digits,
        model_name=figures.model_name,
        slug=slug,
        figure=figure_json,
        campaign_filter=campaign_filter,
    )
    app.jinja_env.globals.update(
        version=__version__, numeric_columns=numeric_columns, static_tag=_static_tag(app), plotly_styles=plotly_styles
    )
    protect(app, settings)
    for module in (campaigns, configurations, models, results, compare, surveys):
        app.register_blueprint(module.pages)
    app.add_url_rule("/revision", view_func=revision)
    app.add_url_rule("/plotly.js", view_func=plotly)
    app.add_url_rule("/models.css", view_func=model_styles)
    app.register_error_handler(HTTPException, show_error)
    app.register_error_handler(IonloopError, show_problem)
    for error_type in (*OUTAGES, StoreAway):
        app.register_error_handler(error_type, show_outage)
    return app


def warm_up(app: Flask) -> None:
    """Read the store and make what the first viewer would wait for: the list, and plotly takes a second to load."""
    with app.test_request_context("/"):
        app.view_functions["campaigns.campaign_list"]()
    figures.learning_curve([figures.ErrorSeries(REFERENCE, "new", (1, 2), (1.0, 0.5))], "", "").to_json()
    _plotly_body()


def _static_tag(app: Flask) -> str:
    """Return what changes with the static files, so that browsers may keep them."""
    digest = hashlib.sha256(__version__.encode())
    folder = app.static_folder
    assert folder is not None
    for path in sorted(Path(folder).iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def revision() -> Response:
    """Return the store's revision: pages ask for it, and for themselves again when it has changed."""
    return jsonify(revision=reader().snapshot().revision)


def model_styles() -> Response:
    """Return the colours of all models of the store: pages may hold no styles, and kinds come with packages."""
    response = Response(_styles(reader().snapshot().model_names), mimetype="text/css")
    response.add_etag()
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


@cache
def _styles(names: tuple[str, ...]) -> str:
    light: list[str] = []
    dark: list[str] = []
    for name in names:
        colour, place = figures.model_look(name).colour, f"model-{slug(name)}"
        for rules, shown in ((light, colour), (dark, figures.dark_colour(colour))):
            rules.append(f".swatch.{place} {{ background: {shown}; }}")
            rules.append(f".spark .{place} polyline {{ stroke: {shown}; }} .spark .{place} circle {{ fill: {shown}; }}")
    lines = [*light, "@media screen and (prefers-color-scheme: dark) {", *(f"  {rule}" for rule in dark), "}"]
    return "\n".join(lines) + "\n"


@cache
def plotly_styles() -> str:
    """Return the identifiers of style elements that plotly would add for maps, which no page has.

    It leaves them out where an element of that name is there; the content security policy forbids them.
    """
    return " ".join(sorted(set(_STYLE_ELEMENT.findall(get_plotlyjs()))))


@cache
def _plotly_body() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), 6)


def plotly() -> Response:
    """Return plotly's script from its Python package, kept by browsers."""
    body = _plotly_body()
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response = Response(body, mimetype="text/javascript", headers={"Content-Encoding": "gzip"})
    else:
        response = Response(gzip.decompress(body), mimetype="text/javascript")
    response.headers["Cache-Control"] = f"private, max-age={_YEAR_S}, immutable"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def show_error(error: HTTPException) -> tuple[str, int] | Response:
    """Return a page that says what is wrong with the request."""
    if error.response is not None and not isinstance(error.response, str):
        return error.get_response()  # type: ignore[return-value]
    return _error_page(error.name, error.description or "", error.code or 500)


def show_problem(error: IonloopError) -> tuple[str, int]:
    """Return a page with an error that a user can act on."""
    return _error_page("That cannot be shown", str(error), 400)


def show_outage(error: Exception) -> tuple[str, int]:
    """Return a page that says that the store cannot be read now; the log has the cause."""
    if isinstance(error, StoreUnreachable):
        current_app.logger.error("%s", error)
    elif not isinstance(error, StoreAway):
        current_app.logger.error("the store cannot be read", exc_info=error)
    text = "It may be away or busy. What runs takes no notice, and this page comes back by itself when the store does."
    return _error_page("The store cannot be read now", text, 503)


def _error_page(title: str, text: str, status: int) -> tuple[str, int]:
    page = render_template(
        "error.html", title=title, text=text, passing=status == 503, revision=0, location=reader().location
    )
    return page, status


def slug(text: str) -> str:
    """Return lower-case letters, digits and hyphens: for classes and element identifiers."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in text.lower())


def campaign_filter(name: str) -> str:
    """Return the filter for a campaign's records, as one word."""
    return shlex.quote(f"campaign={name}")


def figure_json(figure: go.Figure) -> Markup:
    """Return a figure as JSON that can stand in a page: nothing in it ends the element or begins another."""
    text = figure.to_json().replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(text)  # all characters that HTML knows are escaped above
