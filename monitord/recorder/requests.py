"""How the running recorder is asked: over a socket in its data directory, one short request a connection.

Who may read the store may ask what the black box holds; only the recorder's own user and root may have it
stored. Nothing is left of a request when either side ends. One is answered at a time, a few seconds at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitord.durable import is_shared
from monitord.errors import MonitordError, PermissionDeniedError
from monitord.logs import get_logger
from monitord.model import SnapshotRequest

SOCKET = "recorder.sock"
SHORTEST_S, LONGEST_S = 1.0, 100.0
ANSWER_BYTES = 16 << 20
"""The longest answer: what profiles/ring_document.py reads."""
_LINE_BYTES = 4096
REASON = 300
_WAITING = 8  # that are not heard yet
_OF_ONE_USER, _OF_OTHERS = 8, 32  # heard at once; the owner's are answered first
_LET_IN_AT_ONCE, _NEXT_WITHIN_MS = 256, 2
_HEARD_WITHIN_S, _SENT_WITHIN_S = 0.5, 3.0
# After an answer nobody gets one for this long, or ten times the CPU that it took: about a tenth of a core.
_REST_S, _REST_TIMES, _LONGEST_REST_S = 1.0, 10.0, 5.0
_NO_DESCRIPTORS_S = 1.0
_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
IS_LINUX = sys.platform == "linux"
_PEER: int | None = getattr(socket, "SO_PEERCRED", None)  # None: only the owner may connect


class RequestServer:
    """Answers on a thread of its own. `take` stores a snapshot; `document` gives the bytes of a span.

    Both raise MonitordError with the reason why not; whatever else they raise is logged, and told who asked.
    """

    def __init__(
        self,
        data_dir: Path,
        take: Callable[[SnapshotRequest], object],
        document: Callable[[int, int], bytes],
    ) -> None:
        self._data_dir = data_dir
        self._take, self._document = take, document
        self._listener: socket.socket | None = None
        self._closing = threading.Event()
        self._rests_until_s = 0.0

    def open(self) -> None:
        """Listen, in the place of a socket that an earlier run left. Raises OSError, RuntimeError."""
        self.close()
        listener, closing = _listen(self._data_dir), threading.Event()
        self._listener, self._closing = listener, closing
        threading.Thread(target=self._serve, args=(listener, closing), name="requests", daemon=True).start()

    def close(self) -> None:
        """Hear nobody any more."""
        listener, self._listener = self._listener, None
        self._closing.set()
        if listener is not None:  # its name stays, as the lock's: by now it may be another recorder's
            with contextlib.suppress(OSError):
                # Ends the wait for the next one; its thread closes it: else its number may be another file's
                # while that waits at it, for ever.
                listener.shutdown(socket.SHUT_RDWR)

    def _serve(self, listener: socket.socket, closing: threading.Event) -> None:
        counted_s, callers = time.thread_time(), list[_Caller]()
        while not closing.is_set():
            try:
                _hear(listener, callers, self._rests_until_s)
            except (OSError, ValueError):  # closed, or there are no descriptors left
                closing.wait(_NO_DESCRIPTORS_S)
                continue
            heard = [one for one in callers if one.is_heard and self._rests_until_s <= time.monotonic()]
            if caller := min(heard, key=lambda one: not one.is_owner, default=None):
                callers.remove(caller)
                with caller.connection as connection, contextlib.suppress(OSError):  # who asked may be gone
                    self._answer(caller.said.partition(b"\n")[0], connection)
            # After what is refused, or hangs up, too: else a loop of such keeps a core busy. What accepting
            # and resting take counts with the next one.
            used_s = time.thread_time() - counted_s
            counted_s += used_s
            closing.wait(min(_REST_TIMES * used_s, _LONGEST_REST_S))
        for one in callers:
            one.connection.close()
        listener.close()

    def _answer(self, head: bytes, connection: socket.socket) -> None:
        refused, answer = None, None
        try:
            answer = self._answer_to(head, connection)
        except MonitordError as error:
            refused = str(error)
        except Exception as error:  # noqa: BLE001 - around one request: who asked is told why
            get_logger().exception("request.failed")
            refused = f"{type(error).__name__}: {error}"
        connection.settimeout(_SENT_WITHIN_S)
        if refused is not None:
            connection.sendall(json.dumps({"refused": refused[:REASON]}).encode() + b"\n")
        elif answer is not None:
            connection.sendall(json.dumps({"bytes": len(answer)}).encode() + b"\n" + answer)

    def _answer_to(self, head: bytes, connection: socket.socket) -> bytes | None:
        """None: nobody waits for it any more."""
        request = read_request(head)
        if isinstance(request, SnapshotRequest):
            _require_owner(connection)
        if _is_gone(connection):
            return None
        used_s = _used_s()
        try:
            if isinstance(request, SnapshotRequest):
                self._take(request)
                return b""
            return self._document(*request)
        finally:
            rest_s = max(_REST_S, _REST_TIMES * (_used_s() - used_s))
            self._rests_until_s = time.monotonic() + min(rest_s, _LONGEST_REST_S)


def _used_s() -> float:
    """CPU of this thread and of children that ended."""
    children = os.times()
    return time.thread_time() + children.children_user + children.children_system


def read_request(line: bytes) -> SnapshotRequest | tuple[int, int]:
    """What is wanted: a snapshot, or the span between two moments of CLOCK_BOOTTIME in nanoseconds."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    request = _span(told) or _snapshot(told) if isinstance(told, Mapping) else None
    if request is None:
        raise MonitordError("it is not a request that this version of monitord knows")
    return request


def _span(told: Mapping[str, Any]) -> tuple[int, int] | None:
    since_ns, until_ns = told.get("since_ns"), told.get("until_ns")
    if type(since_ns) is not int or type(until_ns) is not int or not 0 <= since_ns < until_ns < 1 << 62:
        return None
    return since_ns, until_ns


def _snapshot(told: Mapping[str, Any]) -> SnapshotRequest | None:
    name, since_s, pid, process = (told.get(key) for key in ("correlation_id", "since_s", "pid", "process"))
    if not isinstance(name, str) or not _ID.fullmatch(name):
        return None
    if not isinstance(since_s, int | float) or not SHORTEST_S <= since_s <= LONGEST_S:
        return None
    if not (pid is None or (type(pid) is int and 0 < pid < 1 << 31)):
        return None
    if not (process is None or isinstance(process, str)):
        return None
    return SnapshotRequest(name, float(since_s), str(told.get("asked_by"))[:64], pid, process)


def first_line(
    connection: socket.socket, deadline_s: float, goes_on: Callable[[], bool] = lambda: True
) -> tuple[bytes, bytes]:
    """The first line, and what came with it; what ends or is too long before its end is a line, too."""
    found = b""
    while b"\n" not in found and len(found) <= _LINE_BYTES:
        piece = some_bytes(connection, _LINE_BYTES, deadline_s, goes_on)
        if not piece:
            break
        found += piece
    line, _newline, rest = found.partition(b"\n")
    return line, rest


def some_bytes(connection: socket.socket, most: int, deadline_s: float, goes_on: Callable[[], bool]) -> bytes:
    """Some bytes, b"" at the end. Raises TimeoutError."""
    while time.monotonic() < deadline_s and goes_on():
        with contextlib.suppress(TimeoutError):
            return connection.recv(most)
    raise TimeoutError("it took too long")


# ------------------------------------------------------------------------------------------ the socket


def _listen(data_dir: Path) -> socket.socket:
    """Readable is writable here: who may read the store may connect. Nobody can before its mode is set."""
    with opened(data_dir, os.O_RDONLY | os.O_DIRECTORY) as folder:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=folder)
        listener = socket.socket(socket.AF_UNIX)
        try:
            # By the descriptor: a path may be longer than an address.
            listener.bind(f"/proc/self/fd/{folder}/{SOCKET}" if IS_LINUX else str(data_dir / SOCKET))
            is_groups = is_shared(os.fstat(folder)) and _PEER is not None
            os.chmod(SOCKET, 0o660 if is_groups else 0o600, dir_fd=folder)
            listener.listen(_WAITING)
        except BaseException:
            listener.close()
            raise
    return listener


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(slots=True, eq=False)
class _Caller:
    """Who has connected, and what was said so far: a line, or all there is, if it `is_heard`."""

    connection: socket.socket
    user: int
    until_s: float
    said: bytes = b""
    is_heard: bool = False

    @property
    def is_owner(self) -> bool:
        return self.user in (0, os.geteuid())

    def hear(self) -> None:
        try:
            piece = self.connection.recv(_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self.said += piece
        self.is_heard = not piece or b"\n" in self.said or len(self.said) > _LINE_BYTES


def _hear(listener: socket.socket, callers: list[_Caller], rests_until_s: float) -> None:
    """Wait for somebody new, a word, or the end of a rest that somebody waits for. Raises OSError.

    All who stand in line are let in, so that nobody stands behind others while they are answered. Who is
    silent goes in time, and before that where he, or all, are too many: the oldest first.
    """
    silent = {one.connection.fileno(): one for one in callers if not one.is_heard}
    ends_s = [one.until_s for one in silent.values()]
    ends_s += [rests_until_s] if len(silent) < len(callers) else []
    poller = select.poll()
    for descriptor in (listener.fileno(), *silent):
        poller.register(descriptor, select.POLLIN)
    wait_ms = max(0.0, min(ends_s) - time.monotonic()) * 1000 if ends_s else None
    for descriptor, _events in poller.poll(wait_ms):
        if descriptor in silent:
            silent[descriptor].hear()
        else:
            _let_in(listener, callers)
    now_s = time.monotonic()
    _hang_up(callers, [one for one in callers if not one.is_heard and one.until_s <= now_s])


def _let_in(listener: socket.socket, callers: list[_Caller]) -> None:
    line = select.poll()
    line.register(listener, select.POLLIN)
    for _number in range(_LET_IN_AT_ONCE):
        connection, _address = listener.accept()
        connection.setblocking(False)
        callers.append(_Caller(connection, _user_of(connection), time.monotonic() + _HEARD_WITHIN_S))
        callers[-1].hear()
        gone = [one for one in callers if one.user == callers[-1].user][:-_OF_ONE_USER]
        gone += [one for one in callers if not one.is_owner][:-_OF_OTHERS]
        _hang_up(callers, gone)
        if not line.poll(_NEXT_WITHIN_MS):
            return


def _hang_up(callers: list[_Caller], gone: Sequence[_Caller]) -> None:
    for one in gone:
        if one in callers:
            callers.remove(one)
            one.connection.close()


def _user_of(connection: socket.socket) -> int:
    if _PEER is None:
        return os.geteuid()
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, _PEER, 12))
    return int(uid)


def _require_owner(connection: socket.socket) -> None:
    """Raise PermissionDeniedError for who may only read: of a snapshot an incident is stored."""
    if _user_of(connection) not in (0, os.geteuid()):
        raise PermissionDeniedError("it is another user's; try sudo")


def _is_gone(connection: socket.socket) -> bool:
    """Whether who asked has hung up: nothing is read for nobody."""
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))  # there is nothing more to be said but the end
