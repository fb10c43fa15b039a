"""How a process asks the running recorder: the other end of `monitord/recorder/requests.py`.

A module of its own, so that the recorder does not carry what only others use.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitord.errors import MonitordError, PermissionDeniedError, UnreachableError
from monitord.model import SnapshotRequest
from monitord.recorder.requests import ANSWER_BYTES, IS_LINUX, REASON, SOCKET, first_line, opened, some_bytes

_POLL_S = 0.1


def ask_snapshot(
    data_dir: Path, request: SnapshotRequest, within_s: float, goes_on: Callable[[], bool] = lambda: True
) -> None:
    """Have a snapshot stored; as `ask_span`."""
    _ask(data_dir, asdict(request), within_s, goes_on)


def ask_span(data_dir: Path, since_ns: int, until_ns: int, within_s: float) -> bytes:
    """What everybody ran between two moments of CLOCK_BOOTTIME, as the black box's document with names.

    Raises MonitordError with the recorder's reason, UnreachableError where it does not answer in time,
    PermissionDeniedError where this user may not ask it.
    """
    return _ask(data_dir, {"since_ns": since_ns, "until_ns": until_ns}, within_s, lambda: True)


def _ask(data_dir: Path, words: Mapping[str, Any], within_s: float, goes_on: Callable[[], bool]) -> bytes:
    deadline_s = time.monotonic() + within_s
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            with _reached(data_dir) as address:
                _connect(connection, address, deadline_s, goes_on)
            connection.settimeout(within_s)
            connection.sendall(json.dumps(words).encode() + b"\n")
            connection.settimeout(_POLL_S)
            return _received(connection, deadline_s, goes_on)
    except PermissionError as error:
        raise PermissionDeniedError("it is another user's") from error
    except FileNotFoundError as error:
        raise UnreachableError("it takes no requests; `monitord service restart` may help") from error
    except OSError as error:
        raise UnreachableError(f"it does not answer: {error.strerror or error}") from error


def _connect(connection: socket.socket, address: str, deadline_s: float, goes_on: Callable[[], bool]) -> None:
    """Stand in line where others wait to be heard: a connect that may not block is refused at once then."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))  # struct timeval
    while True:
        try:
            connection.connect(address)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline_s or not goes_on():
                raise


def _received(connection: socket.socket, deadline_s: float, goes_on: Callable[[], bool]) -> bytes:
    head, found = first_line(connection, deadline_s, goes_on)
    try:
        told = json.loads(head)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, Mapping):
        raise UnreachableError("it ended before it had answered")
    if "refused" in told:
        raise MonitordError(str(told["refused"])[:REASON])
    size = told.get("bytes")
    if type(size) is not int or not 0 <= size <= ANSWER_BYTES:
        raise UnreachableError("its answer is of another version")
    pieces = bytearray(found)
    while len(pieces) < size:
        piece = some_bytes(connection, min(1 << 20, size - len(pieces)), deadline_s, goes_on)
        if not piece:
            raise UnreachableError("it ended before it had answered")
        pieces += piece
    return bytes(pieces[:size])


@contextmanager
def _reached(data_dir: Path) -> Iterator[str]:
    """Its address; no link is followed. Raises FileNotFoundError where there is no socket."""
    if not IS_LINUX:
        if not stat.S_ISSOCK((data_dir / SOCKET).lstat().st_mode):
            raise FileNotFoundError(SOCKET)
        yield str(data_dir / SOCKET)
        return
    with opened(data_dir / SOCKET, os.O_PATH | os.O_NOFOLLOW) as descriptor:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(SOCKET)
        yield f"/proc/self/fd/{descriptor}"
