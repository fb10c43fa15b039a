"""One POST after another to an OTLP/HTTP endpoint: few tries, each bounded; no redirect, no proxy.

What is retried and what never stands in the protocol: opentelemetry.io/docs/specs/otlp, "Failures".
"""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from monitord import __version__
from monitord.errors import MonitordError

_RETRIED = frozenset({429, 502, 503, 504})
_TRIES = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 10.0
_ANSWER_AT_MOST = 64 << 10
_BAD_DATA = frozenset({400, 413, 422})
_NONE: Mapping[str, str] = {}


class NotTakenError(MonitordError):
    """The endpoint did not take it, in words that hold no header.

    `status` is what it answered, None where it answered nothing. `pause_s`: it may take them after so long;
    None: not soon.
    """

    def __init__(self, words: str, *, status: int | None = None, pause_s: float | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.pause_s = pause_s

    @property
    def is_bad_data(self) -> bool:
        """Whether it will never take these bytes."""
        return self.status in _BAD_DATA


class OtlpClient:
    """Posts to one endpoint; each try takes at most `deadline_s`. `pause` waits between two."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        deadline_s: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._parts = urlsplit(endpoint)
        self._headers = {
            **headers,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"monitord/{__version__}",
        }
        self._deadline_s = deadline_s
        self._pause = pause

    def post(self, path: str, message: bytes, headers: Mapping[str, str] = _NONE) -> bytes:
        """Post a message below the endpoint, and return what was answered; raises NotTakenError."""
        body = gzip.compress(message, 6, mtime=0)
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._try(self._parts.path.rstrip("/") + path, body, {**self._headers, **headers})
            except NotTakenError as error:
                if error.pause_s is None or not tries_left:
                    raise
                backoff_s = _FIRST_PAUSE_S * 2 ** (_TRIES - 1 - tries_left)
                self._pause(min(max(error.pause_s, backoff_s), _LONGEST_PAUSE_S))
        raise AssertionError

    def _try(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        connection, ends_s = self._connection(), time.monotonic() + self._deadline_s
        # A timeout of sockets is of each read: who sends a byte a second would hold us without end.
        late = threading.Event()
        ending = threading.Timer(self._deadline_s, _end, (connection, late))
        ending.daemon = True
        ending.start()
        try:
            connection.connect()
            if late.is_set() or time.monotonic() >= ends_s:  # it was not to be ended during its handshake
                raise TimeoutError
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            _judge(answer.status, answer.headers.get("Retry-After"))
            said = answer.read(_ANSWER_AT_MOST)
            if late.is_set():
                raise TimeoutError
            return said
        except ssl.SSLCertVerificationError as error:
            raise NotTakenError(f"its certificate is not accepted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:  # a chunk of -5 bytes
            is_late = isinstance(error, TimeoutError) or late.is_set()
            words = f"did not answer within {self._deadline_s:g} s" if is_late else _reason(error)
            raise NotTakenError(words, pause_s=0.0) from error
        finally:
            ending.cancel()
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._deadline_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._deadline_s)


def _end(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()  # before the reader wakes up
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is over already


def _judge(status: int, retry_after: str | None) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise NotTakenError(f"answered {status}, a redirect, which is not followed", status=status)
    if status not in _RETRIED:
        raise NotTakenError(f"answered {status}", status=status)
    seconds = (retry_after or "").strip()
    pause_s = float(seconds) if seconds.isdecimal() and len(seconds) < 6 else 0.0
    raise NotTakenError(f"answered {status}", status=status, pause_s=pause_s)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or 'the handshake failed'}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be reached: {error.strerror}"
    return f"answered no HTTP ({type(error).__name__})"
