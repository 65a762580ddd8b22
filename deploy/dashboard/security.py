"""What every request must pass and every answer carries: reading only, who may look, limits, headers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlencode

from flask import Flask, Request, Response, abort, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from .settings import DashboardSettings, is_loopback

COOKIE: Final = "ionloop_dashboard"
TOKEN_FIELD: Final = "token"
_READING: Final = ("GET", "HEAD")

PLOTLY_STYLES: Final = ("font-size:70%", "font-weight:bold", "font-style:italic")
"""The only style attributes that may be set: what plotly makes of sub, sup, b and i in titles."""


def style_hash(style: str) -> str:
    """Return the source expression that allows one style attribute, word for word."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        f"style-src-attr 'unsafe-hashes' {' '.join(map(style_hash, PLOTLY_STYLES))}",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def protect(app: Flask, settings: DashboardSettings) -> None:
    """Let only requests pass that read, are short, and come from who may look."""

    @app.before_request
    def check() -> AnyResponse | None:
        if request.method not in _READING:
            response = Response("the dashboard only reads: GET and HEAD are answered\n", 405, mimetype="text/plain")
            response.headers["Allow"] = ", ".join(_READING)
            return response
        if request.content_length or "Transfer-Encoding" in request.headers:
            abort(413)
        if len(request.environ.get("QUERY_STRING", "")) + len(request.path) > settings.max_url_length:
            abort(414)
        if request.endpoint == "static":
            # Nothing of the store: the page that asks for the token looks like the others.
            return None
        if settings.token is None:
            return None if _names_loopback(request) else _refusal("this host name is not the dashboard's", 421)
        return _admitted(settings.token)

    @app.after_request
    def seal(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response


def _names_loopback(asked: Request) -> bool:
    """Whether the browser was told to come here by a name of this machine.

    A page from elsewhere whose host name was pointed at 127.0.0.1 could otherwise read what is shown here.
    """
    host = asked.headers.get("Host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return is_loopback(name)


def cookie_value(token: str) -> str:
    """Return what a browser keeps instead of the token itself."""
    return hmac.new(token.encode(), b"ionloop dashboard cookie", hashlib.sha256).hexdigest()


def _admitted(token: str) -> AnyResponse | None:
    if _is_same(request.cookies.get(COOKIE, ""), cookie_value(token)):
        return None
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer ") and _is_same(header.removeprefix("Bearer ").strip(), token):
        return None
    given = request.args.get(TOKEN_FIELD, "")
    if not _is_same(given, token):
        return _login(wrong=bool(given))
    # The token must not stay in the address: histories and proxies keep addresses.
    others = [(name, value) for name, value in request.args.items(multi=True) if name != TOKEN_FIELD]
    path = "/" + request.path.lstrip("/\\")
    response = redirect(path + ("?" + urlencode(others) if others else ""))
    response.set_cookie(
        COOKIE, cookie_value(token), httponly=True, samesite="Strict", secure=request.is_secure, max_age=30 * 86400
    )
    return response


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _login(*, wrong: bool) -> Response:
    said = "<p>That is not the token.</p>" if wrong else ""
    return Response(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>ionloop</title><link rel=stylesheet href=/static/dashboard.css><main class=login><h1>ionloop</h1>"
        f"{said}<form method=get><label for=token>Token of this dashboard</label>"
        "<input id=token name=token type=password autocomplete=current-password required>"
        "<button>Look</button></form></main></html>",
        401,
        mimetype="text/html",
    )


def _refusal(text: str, status: int) -> Response:
    return Response(f"{text}\n", status, mimetype="text/plain")
