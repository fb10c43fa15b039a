"""Requests of botocore's sent within the deadline of the call, over connections that are kept."""

from __future__ import annotations

import io
import ssl
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from monitord.storage.state.sockets import LimitedTLSSocket, connect_tcp

_ANSWER_LIMIT_BYTES = 32 << 20  # of DynamoDB 16 MB


class _Connection(HTTPConnection):
    """Over a socket that keeps to the deadline."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._tls = tls

    def connect(self) -> None:
        made: Any = connect_tcp(self.host, self.port)
        self.sock = made if self._tls is None else self._tls.wrap_socket(made, server_hostname=self.host)


class _Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_words: Any) -> Iterator[bytes]:
        yield self.read()


def send_limited() -> Callable[..., Any]:
    """Return a handler of botocore's event `before-send`: what it returns is the answer."""
    from botocore.awsrequest import AWSResponse

    kept = threading.local()

    def send(request: Any, **_words: Any) -> Any:
        parts = urlsplit(request.url)
        is_tls = parts.scheme == "https"
        at = (parts.hostname or "", parts.port or (443 if is_tls else 80), is_tls)
        path = parts.path or "/"
        if (connection := getattr(kept, "connection", None)) is not None and kept.at == at:
            try:
                return answered(connection, request, path)
            except TimeoutError:
                connection.close()
                raise
            except (HTTPException, OSError):
                connection.close()  # the server had closed it: a transaction's token lets it be sent again
        kept.at, kept.connection = at, _Connection(at[0], at[1], _tls_context() if is_tls else None)
        try:
            return answered(kept.connection, request, path)
        except BaseException:
            kept.connection.close()
            raise

    def answered(connection: HTTPConnection, request: Any, path: str) -> Any:
        headers = {name: _text(value) for name, value in request.headers.items()}
        connection.request(request.method, path, request.body, headers)
        answer = connection.getresponse()
        body = answer.read(_ANSWER_LIMIT_BYTES)
        return AWSResponse(request.url, answer.status, dict(answer.getheaders()), _Raw(body))

    return send


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = LimitedTLSSocket
    return context
