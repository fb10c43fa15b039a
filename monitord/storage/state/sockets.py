"""Sockets that never wait longer than the call in progress may take, for clients that can be given one.

A client's own timeout counts anew with every piece that comes; a server that sends a byte a second would
keep it for ever.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from monitord.storage.state.backend import left_s
from monitord.storage.state.errors import StateUnavailableError


class _Limited:
    """Before each wait the timeout becomes what is left, or the client's own where that is shorter."""

    _own_s: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._own_s = value
        super().settimeout(value)  # type: ignore[misc]  # a socket's

    def _limit(self) -> None:
        try:
            left = left_s()
        except StateUnavailableError as error:
            raise TimeoutError(str(error)) from None  # clients know it, and give the connection up
        own = self._own_s
        super().settimeout(left if own is None else min(own, left))  # type: ignore[misc]  # a socket's

    def recv(self, *args: Any) -> bytes:
        self._limit()
        return super().recv(*args)  # type: ignore[misc, no-any-return]  # a socket's

    def recv_into(self, *args: Any) -> int:
        self._limit()
        return super().recv_into(*args)  # type: ignore[misc, no-any-return]  # a socket's

    def send(self, *args: Any) -> int:
        self._limit()
        return super().send(*args)  # type: ignore[misc, no-any-return]  # a socket's

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest) :]


class LimitedSocket(_Limited, socket.socket):
    """A socket within the deadline."""


class LimitedTLSSocket(_Limited, ssl.SSLSocket):
    """The same for TLS: for `SSLContext.sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        self._limit()
        super().do_handshake(block)


def connect_tcp(host: str, port: int) -> LimitedSocket:
    """Connect to the first address of a host that answers; raises OSError. Finding them is not limited."""
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _name, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            return _connected(LimitedSocket(family, kind, protocol), where)
        except OSError as error:
            failed = error
    raise failed


def connect_unix(path: str) -> LimitedSocket:
    """Connect to a Unix socket; raises OSError."""
    return _connected(LimitedSocket(socket.AF_UNIX, socket.SOCK_STREAM), path)


def _connected(made: LimitedSocket, where: Any) -> LimitedSocket:
    try:
        made.settimeout(left_s())
        if made.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect(where)
        made._own_s = None  # the timeout itself stays: a TLS handshake begins with it
    except BaseException:
        made.close()
        raise
    return made
