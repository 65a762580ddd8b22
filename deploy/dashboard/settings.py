"""Where the dashboard listens, who may look, and how much one request may ask for."""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError

TOKEN_VARIABLE = "IONLOOP_DASHBOARD_TOKEN"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8484
SHORTEST_TOKEN = 16
"""A token is asked for wherever others reach the port; what can be guessed is none."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class DashboardSettings:
    """Settings of the dashboard.

    Attributes
    ----------
    token
        What a viewer must show; None on loopback where everybody on this machine may look.
    max_url_length, max_filters
        Of one request (characters, conditions).
    page_rows
        Rows of a table's page.
    refresh_s
        The store is asked for changes at most once in this time, however many look.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    token: str | None = field(default=None, repr=False)
    max_url_length: int = 4000
    max_filters: int = 12
    page_rows: int = 100
    refresh_s: float = 1.0

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise InputError(
                f"the token has {len(self.token)} characters, at least {SHORTEST_TOKEN} are needed; "
                "make one with `openssl rand -hex 24`"
            )
        if self.token is None and not is_loopback(self.host):
            raise InputError(
                f"--host {self.host} can be reached from other machines: that needs a token, from the file that "
                f"--token-file names or from {TOKEN_VARIABLE}. To look from elsewhere without one, keep "
                f"{DEFAULT_HOST} and use a tunnel: ssh -L {self.port}:127.0.0.1:{self.port} HOST"
            )


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only; names other than localhost are not trusted."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None) -> str | None:
    """Return the token from ``file``, else from the environment, else None.

    Raises
    ------
    InputError
        If the file cannot be read, holds no token, or others may read it.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        mode = file.stat().st_mode
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--token-file {file}: cannot be read ({error})") from error
    if mode & _OTHERS:
        raise InputError(f"--token-file {file}: others may read it; run `chmod 600 {file}`")
    if not token:
        raise InputError(f"--token-file {file}: it is empty; put a token into it, such as of `openssl rand -hex 24`")
    return token
