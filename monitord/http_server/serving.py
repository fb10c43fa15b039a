"""A listening socket, and uvicorn on it until SIGINT or SIGTERM."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from monitord.errors import BusyError, UsageError
from monitord.http_server.connections import LARGEST_HEAD_BYTES, LimitedProtocol, most_connections

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = (LOOPBACK, "localhost", "[::1]")
_USUAL_PORT = 80
_FAREWELL_S = 3
_FIRST_PASSED = 3


def hosts_at(names: Iterable[str], port: int) -> list[str]:
    """Names with a port as clients write them in Host and Origin: the usual one is left out."""
    return [name if port == _USUAL_PORT else f"{name}:{port}" for name in names]


def listen(address: str, port: int) -> socket.socket:
    """Return a TCP socket that listens; raises BusyError where it can't."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError as error:
        listener.close()
        words = error.strerror or str(error)
        raise BusyError(
            f"cannot listen on port {port} of {address} ({words}); choose another with --port"
        ) from error
    return listener


def listen_at(path: Path) -> socket.socket:
    """Return a unix socket that listens, for its owner alone; one that nobody listens on is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen()
    except OSError as error:
        listener.close()
        words = error.strerror or str(error)
        raise BusyError(f"cannot listen at {path} ({words}); choose another with --socket") from error
    return listener


def inherited() -> socket.socket | None:
    """Return the listening socket that systemd passed (sd_listen_fds(3)), None where it passed none.

    Raises UsageError for more than one, or for one that does not listen.
    """
    told = {name: os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdecimal():
        return None
    if told["LISTEN_FDS"] != "1":
        raise UsageError(f"invalid LISTEN_FDS {told['LISTEN_FDS'][:10]}, expected one socket")
    try:
        listener = socket.socket(fileno=_FIRST_PASSED)
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            os.set_inheritable(_FIRST_PASSED, False)
            return listener
        listener.close()
    except OSError as error:
        raise UsageError(
            f"invalid descriptor {_FIRST_PASSED} ({error.strerror}), expected a socket"
        ) from error
    raise UsageError(f"invalid descriptor {_FIRST_PASSED}, expected a stream socket that listens")


def _remove_stale(path: Path) -> None:
    """Remove a socket that a server left behind; anything else that lies there stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)


def serve(application: Any, listener: socket.socket, on_end: Callable[[], object] = int) -> None:
    """Serve until SIGINT or SIGTERM, which `on_end` hears of first.

    What is on its way then has some seconds; open streams are ended.
    """
    settings = uvicorn.Config(
        application,
        http=LimitedProtocol,
        ws="none",
        h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
        # So many are accepted between two looks at how many there are.
        backlog=max(1, most_connections() // 2),
        # Malformed requests get no log line each: what is refused is counted.
        log_level="error",
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=_FAREWELL_S,
        proxy_headers=False,
    )

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            on_end()
            super().handle_exit(sig, frame)

    Server(settings).run(sockets=[listener])
