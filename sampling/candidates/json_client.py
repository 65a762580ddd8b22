"""JSON from one server over the network: tried again where that may help, within limits of size and time, never from
another host than the one that was named."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any

LONGEST_WAIT_S = 60.0
"""Between two attempts, also where the server asks for longer."""
_CHUNK_BYTES = 1 << 16
_LONGEST_EXCERPT = 200
_TOO_MANY_REQUESTS = 429
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Unanswered(Exception):
    """The server gave no answer that can be used, in any of the attempts."""


class Rejected(Exception):
    """The server understood and refused: asking again would not help.

    Attributes
    ----------
    status
        Its HTTP status.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status}: {reason}" if reason else f"HTTP {status}")
        self.status = status


class ForeignAddress(Exception):
    """An address leads to another host than the one that was named."""


class _TryAgain(Exception):
    """One attempt failed; ``wait_s`` is what the server asks for."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Limits:
    """How long, how often and how much.

    Attributes
    ----------
    timeout_s
        For one answer, whole (s).
    attempts
        For one request (number).
    first_wait_s
        Before the second attempt; doubled before each later one (s).
    largest_answer_bytes
        Of one answer (bytes).
    """

    timeout_s: float = 60.0
    attempts: int = 5
    first_wait_s: float = 1.0
    largest_answer_bytes: int = 50_000_000


class JsonClient:
    """Asks one server.

    Parameters
    ----------
    base_url
        Names the host that every address must lead to.
    limits
        How long, how often and how much.
    sleep
        Waits so many seconds: for tests.
    """

    def __init__(
        self, base_url: str, limits: Limits | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.limits = limits or Limits()
        self._sleep = sleep
        self._opener = urllib.request.build_opener(_SameHost(self))

    def get(self, address: str) -> Mapping[str, Any]:
        """Return the JSON object at an address, relative ones below the base.

        Raises
        ------
        ForeignAddress
            If it lies, or the server sends on, to another host.
        Rejected
            If the server refuses (HTTP 4xx, and 501).
        Unanswered
            If no attempt brought an object.
        """
        url = self.address(address)
        reason, asked_s = "", 0.0
        for attempt in range(self.limits.attempts):
            if attempt:
                wait_s = max(self.limits.first_wait_s * 2 ** (attempt - 1), asked_s)
                self._sleep(min(wait_s, LONGEST_WAIT_S))
            try:
                return self._attempt(url)
            except _TryAgain as failure:
                reason, asked_s = str(failure), failure.wait_s
        times = f"in {self.limits.attempts} attempts" if self.limits.attempts > 1 else "in one attempt"
        raise Unanswered(f"{self.base_url} gave no usable answer {times}: {reason}")

    def address(self, address: str) -> str:
        """Return the full address, below the base and in its scheme.

        Raises
        ------
        ForeignAddress
            If it leads to another host or port.
        """
        base = urllib.parse.urlsplit(self.base_url)
        try:
            target = urllib.parse.urlsplit(urllib.parse.urljoin(f"{self.base_url}/", address))
            host, port = target.hostname, target.port or _DEFAULT_PORTS.get(target.scheme)
        except ValueError:
            raise ForeignAddress(f"{_excerpt(address)!r} is no address") from None
        base_port = base.port or _DEFAULT_PORTS[base.scheme]
        # A server behind a proxy that speaks https for it often takes its own address for http.
        is_behind_a_proxy = (base.scheme, target.scheme) == ("https", "http") and port in (80, base_port)
        is_the_same = target.scheme == base.scheme and port == base_port
        if host != base.hostname or not (is_the_same or is_behind_a_proxy):
            raise ForeignAddress(f"{_excerpt(address)} leads away from {base.netloc}")
        return urllib.parse.urlunsplit(target._replace(scheme=base.scheme, netloc=base.netloc, fragment=""))

    def _attempt(self, url: str) -> Mapping[str, Any]:
        headers = {"Accept": "application/vnd.api+json, application/json", "User-Agent": "ionloop"}
        try:
            with self._opener.open(
                urllib.request.Request(url, headers=headers), timeout=self.limits.timeout_s
            ) as response:
                content = self._read(response)
        except urllib.error.HTTPError as error:
            with error:
                raise self._of_status(error) from None
        except urllib.error.URLError as error:
            raise _TryAgain(f"{error.reason}") from None
        except TimeoutError:
            raise _TryAgain(f"no answer within {self.limits.timeout_s:g} s") from None
        except (http.client.HTTPException, OSError) as error:
            raise _TryAgain(f"{type(error).__name__}: {_excerpt(str(error))}") from None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            raise _TryAgain(f"its answer is no JSON: {_excerpt(content[:1000].decode(errors='replace'))!r}") from None
        if not isinstance(answer, dict):
            raise _TryAgain("its answer is JSON, but no object")
        return answer

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """Read the body whole, as long as it keeps to the limits: a timeout of the socket alone is one per packet."""
        deadline = time.monotonic() + self.limits.timeout_s
        parts, size = [], 0
        while part := response.read1(_CHUNK_BYTES):
            parts.append(part)
            size += len(part)
            if size > self.limits.largest_answer_bytes:
                raise Unanswered(
                    f"{self.base_url} sent an answer of more than {self.limits.largest_answer_bytes / 1e6:g} MB"
                )
            if time.monotonic() > deadline:
                raise TimeoutError
        expected = response.headers.get("Content-Length", "")
        if expected.isdecimal() and int(expected) != size:
            raise http.client.IncompleteRead(b"", int(expected) - size)
        return b"".join(parts)

    def _of_status(self, error: urllib.error.HTTPError) -> Exception:
        """Return what to raise for an HTTP status."""
        status = error.code
        try:
            reason = _reason_in(error.read1(_CHUNK_BYTES)) or _excerpt(str(error.reason))
        except (OSError, http.client.HTTPException, AttributeError):
            reason = _excerpt(str(error.reason))
        if status == _TOO_MANY_REQUESTS or (status >= 500 and status != http.HTTPStatus.NOT_IMPLEMENTED):
            return _TryAgain(f"HTTP {status}: {reason}", _seconds(error.headers.get("Retry-After", "")))
        return Rejected(status, reason)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a server only to itself."""

    def __init__(self, client: JsonClient) -> None:
        self._client = client

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        return super().redirect_request(req, fp, code, msg, headers, self._client.address(newurl))  # type: ignore[arg-type]


def _reason_in(content: bytes) -> str:
    """Return what a JSON:API error says, empty for anything else."""
    try:
        errors = json.loads(content)["errors"]
        return _excerpt(str(errors[0].get("detail") or errors[0].get("title") or ""))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return ""


def _excerpt(text: str) -> str:
    """Return the beginning of a server's words, in one line of printable characters."""
    line = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST_EXCERPT else f"{line[:_LONGEST_EXCERPT]} ..."


def _seconds(text: str) -> float:
    """Return seconds of a Retry-After header; 0 for a date or nonsense."""
    return float(text) if text.strip().isdecimal() else 0.0
