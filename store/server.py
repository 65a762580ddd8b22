"""A MongoDB server as the store: its address without secrets, its credentials, and what may never be shown.

The address is public: it stands in process lists, logs and scripts. A user's name and password come from the
environment or from a file that only its owner can read, and are handed to the driver alone.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..core.errors import InputError

DATABASE_NAME = "ionloop"
MONGODB_SCHEMES = ("mongodb://", "mongodb+srv://")
USER_VARIABLE = "IONLOOP_STORE_USER"
PASSWORD_VARIABLE = "IONLOOP_STORE_PASSWORD"
KEY_PASSWORD_VARIABLE = "IONLOOP_STORE_TLS_KEY_PASSWORD"
CREDENTIALS_VARIABLE = "IONLOOP_STORE_CREDENTIALS"
SERVER_TIMEOUT_S = 10.0
APPLICATION_NAME = "ionloop"

_VARIABLES = {"user": USER_VARIABLE, "password": PASSWORD_VARIABLE, "tls_key_password": KEY_PASSWORD_VARIABLE}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HIDDEN = "***"
# Up to the last @: in a password that was not escaped anything may come before it.
_AUTHORITY = re.compile(r"(mongodb(?:\+srv)?://)\S*@", re.IGNORECASE)
# Options of an address that are secrets themselves.
_SECRET_OPTION = re.compile(
    r"((?:tlsCertificateKeyFilePassword|ssl_pem_passphrase|proxyPassword|authMechanismProperties)=)[^&\s]*",
    re.IGNORECASE,
)
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def is_server(location: str | os.PathLike[str]) -> bool:
    """Tell whether a store's location is a MongoDB server (else it is a path)."""
    return str(location).lower().startswith(MONGODB_SCHEMES)


def redacted(text: object) -> str:
    """Return a text in which no address of a server shows a user, a password or another secret."""
    # Options first: an @ in one of them would be taken for the end of the credentials.
    return _AUTHORITY.sub(rf"\1{_HIDDEN}@", _SECRET_OPTION.sub(rf"\1{_HIDDEN}", str(text)))


@dataclass(frozen=True)
class Credentials:
    """Who we are to the server. Nothing of it is ever shown, also not by ``repr``."""

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls_key_password: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return any((self.user, self.password, self.tls_key_password))


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is and how it is spoken to, checked and free of secrets.

    Attributes
    ----------
    uri
        The address, as it may be shown, stored and handed to other processes.
    hosts
        The hosts that it names; empty for ``mongodb+srv``, whose hosts the name server tells.
    database
        The database of the store.
    uses_tls
        Whether everything that is sent is encrypted.
    """

    uri: str
    hosts: tuple[str, ...]
    database: str
    uses_tls: bool

    @property
    def is_local(self) -> bool:
        """Whether nothing that is sent leaves this machine."""
        return bool(self.hosts) and all(host in _LOCAL_HOSTS or host.endswith(".sock") for host in self.hosts)


def server_address(location: str) -> ServerAddress:
    """Return the address that ``location`` says, refusing what cannot be one and what holds a secret.

    Raises
    ------
    InputError
        If the address is malformed or holds a password: everybody on a machine can read the arguments of its
        processes, and workers are started with the address as an argument.
    """
    shown = redacted(location)
    if _AUTHORITY.match(location) or _SECRET_OPTION.search(location):
        raise InputError(
            f"store: {shown} holds credentials, which process lists and logs would show: leave them out of the "
            f"address and set {USER_VARIABLE} and {PASSWORD_VARIABLE}, or {CREDENTIALS_VARIABLE} to a file"
        )
    if location.lower().startswith("mongodb+srv://"):
        # Its hosts and options stand in the domain's name server, which the driver asks when it connects.
        name = re.match(r"mongodb\+srv://[^/?]+/?([^?]*)", location, re.IGNORECASE)
        if name is None:
            raise InputError(f"store: {shown} names no host; an address looks like mongodb+srv://example.org/ionloop")
        is_plain = "tls=false" in location.partition("?")[2].lower()
        return ServerAddress(location, (), unquote(name[1]) or DATABASE_NAME, not is_plain)
    # Who uses a file need not wait for its import.
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    try:
        parsed = parse_uri(location, validate=True, warn=False)
    except (PyMongoError, ValueError) as error:
        raise InputError(
            f"store: {shown} is no address of a server: {redacted(error)}; one looks like "
            "mongodb://host:27017/ionloop?tls=true&authSource=admin"
        ) from None
    options = {name.lower(): value for name, value in parsed["options"].items()}
    return ServerAddress(
        uri=location,
        hosts=tuple(host for host, _ in parsed["nodelist"]),
        database=parsed["database"] or DATABASE_NAME,
        uses_tls=bool(options.get("tls") or options.get("ssl")),
    )


def read_credentials(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return the credentials that the environment holds, or the file that it names.

    Raises
    ------
    InputError
        If both hold some, the file cannot be used, or there is a password without a user.
    """
    found = {name: environment[variable] for name, variable in _VARIABLES.items() if environment.get(variable)}
    file = environment.get(CREDENTIALS_VARIABLE)
    if file and found:
        both = ", ".join(_VARIABLES[name] for name in found)
        raise InputError(f"store: {both} and {CREDENTIALS_VARIABLE}={file} are set: unset one, so that it is clear")
    if file:
        found = read_credentials_file(Path(file))
    if found.get("password") and not found.get("user"):
        raise InputError(
            f"store: a password without a user: set {USER_VARIABLE}, or `user:` in the file of credentials"
        )
    return Credentials(**found)


def read_credentials_file(path: Path) -> dict[str, str]:
    """Return what a file of credentials holds: lines ``user: NAME``, ``password: ...``, ``tls_key_password: ...``.

    Everything after the colon counts, without quotes; spaces around it do not.

    Raises
    ------
    InputError
        If the file is not there, others than its owner have any right to it, or a line is not understood.
    """
    named = f"{CREDENTIALS_VARIABLE}={path}"
    try:
        with path.open(encoding="utf-8") as file:
            # The rights of the file that is open, not of what lies under its name a moment later.
            complaint = _complaint_about_rights(path, os.fstat(file.fileno()))
            if complaint:
                raise InputError(f"store: {complaint}")
            lines = file.read().splitlines()
    except OSError as error:
        raise InputError(f"store: {named}: {error.strerror}: name a file that you can read, or unset it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"store: {named}: it is no text in UTF-8") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or name not in _VARIABLES or name in found or not value:
            # The line itself may be the password.
            allowed = ", ".join(f"`{one}: ...`" for one in _VARIABLES)
            raise InputError(f"store: {named}: line {number} is not understood; a line is one of {allowed}, each once")
        found[name] = value
    if "user" not in found and "tls_key_password" not in found:
        raise InputError(f"store: {named}: it names no user; add a line `user: NAME`")
    return found


def complaint_about_file(path: Path) -> str | None:
    """Return what is wrong with the rights of a file of credentials, None if nothing is or it is not there."""
    try:
        return _complaint_about_rights(path, path.stat())
    except OSError:
        return None


def _complaint_about_rights(path: Path, status: os.stat_result) -> str | None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no regular file: name one with {CREDENTIALS_VARIABLE}"
    if mode & _OTHERS:
        return f"{path} can be used by others (mode {mode:04o}): chmod 600 {path}, and change the password"
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user, who can change it: make a file of your own (mode 0600)"
    return None


def client_options(
    address: ServerAddress, credentials: Credentials, *, timeout_s: float = SERVER_TIMEOUT_S
) -> dict[str, Any]:
    """Return the options of ``pymongo.MongoClient`` for a store.

    Writes wait for a majority of a replica set, and for the journal: what a worker was told is stored survives a
    fail-over and a kill of the server.
    """
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": int(1000 * timeout_s),
        "connectTimeoutMS": int(1000 * timeout_s),
        # A server that vanished without a word must not hold a worker for ever.
        "socketTimeoutMS": 60_000,
        "appname": APPLICATION_NAME,
        # A text that is no UTF-8 must not make a collection unreadable.
        "unicode_decode_error_handler": "replace",
        "w": "majority",
        "journal": True,
    }
    chosen = {option.partition("=")[0].lower() for option in re.split("[&;]", address.uri.partition("?")[2])}
    options = {name: value for name, value in options.items() if name.lower() not in chosen}
    if credentials.user:
        options["username"] = credentials.user
    if credentials.password:
        options["password"] = credentials.password
    if credentials.tls_key_password:
        options["tlsCertificateKeyFilePassword"] = credentials.tls_key_password
    return options


def without_authentication(uri: str) -> str:
    """Return an address as a stranger would use it: without the options that say who we are."""
    place, _, options = uri.partition("?")
    kept = [option for option in re.split("[&;]", options) if option and not option.lower().startswith("auth")]
    return f"{place}?{'&'.join(kept)}" if kept else place


def explain_server_error(error: Exception, address: ServerAddress) -> InputError:
    """Return the error that tells a user why a server cannot be used, without any secret."""
    from pymongo.errors import ConfigurationError

    code = getattr(error, "code", None)
    text = redacted(str(error)).split(", Timeout:")[0]
    if code in (13, 18, 8000) or "uthentication" in text:
        advice = f"check {USER_VARIABLE} and {PASSWORD_VARIABLE} (or {CREDENTIALS_VARIABLE}), the roles of the user, "
        advice += "and authSource=... in the address: the database in which the user was made"
    elif "SSL" in text or "certificate" in text.lower():
        advice = "check tls=true, tlsCAFile=... and the host's name in the server's certificate"
    elif isinstance(error, ConfigurationError):
        advice = "check the options of the address"
    else:
        advice = "check that the server runs, the address, and that nothing between here and there blocks it"
    return InputError(f"store: {address.uri} cannot be used: {text}; {advice}")
