"""Runs a tool, or a script of the user's, in a supervisor process: what it leaves running ends with it.

The owner's side of `supervisor.py`: it writes the order, waits, and reads the report. Should the supervisor
itself die or hang, its group and what it started are killed from here.
"""

from __future__ import annotations

import marshal
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from importlib.machinery import SourceFileLoader
from types import TracebackType
from typing import Any, Literal

from monitord import rights
from monitord.supervision import supervisor

_END_LIMIT_S = supervisor.LAST_END_S + 2.0
_START = """\
# the supervisor of a command that monitord runs
import marshal, os, sys
fd = int(sys.argv[1])
data, size = b"", int.from_bytes(os.read(fd, 4), "big")
while len(data) < size:
    data += os.read(fd, size - len(data)) or os._exit(1)
names = {"__name__": "__main__"}
for code in marshal.loads(data):
    exec(code, names)
"""


class Supervised:
    """One command under its supervisor, from its start until both are gone; use as a context manager.

    `mode` "tool": `order` has the fields of `capture`'s ToolRun, and more; the supervisor, and what it runs,
    get nothing of ours but the descriptors of `inherits`. "script": the streams and the environment are ours.
    Raises OSError when the supervisor can't be started.
    """

    def __init__(
        self, mode: Literal["tool", "script"], order: Mapping[str, Any], inherits: Sequence[int] = ()
    ) -> None:
        self.leader: int | None = None
        self.report: dict[str, Any] | None = None
        self.complaint: str | None = None
        self._lock = threading.Lock()
        is_tool = mode == "tool"
        with ExitStack() as theirs, ExitStack() as ours:
            lifeline, self._lifeline = _pipe(theirs, ours)
            self._reports, reports = _pipe(ours, theirs)
            os.set_blocking(self._lifeline, False)
            report = 1 if is_tool else reports
            self._unsent = compiled() + supervisor.packed({**order, "mode": mode, "report": report})
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(0 if is_tool else lifeline)],
                stdin=lifeline if is_tool else None, stdout=reports if is_tool else None,
                stderr=subprocess.STDOUT if is_tool else None, cwd="/" if is_tool else None,
                env={} if is_tool else None, start_new_session=True,
                pass_fds=inherits if is_tool else (lifeline, reports),
            )  # fmt: skip
            self._pipes = ours.pop_all()
        self._send()

    def __enter__(self) -> Supervised:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipes.close()  # without its owner the supervisor ends what it runs
        if not self._has_ended():
            _kill_group(self._process.pid)
        if self.report is None:
            _kill_group(self.leader)
            self._has_ended()

    def stop(self) -> None:
        """Have it ended; each further time sooner. From any thread, but not after the context's end."""
        self._send(b"end\n")

    def _send(self, more: bytes = b"") -> None:
        """As much as the pipe takes; the order is larger, and a supervisor that hangs reads nothing."""
        with self._lock:
            self._unsent += more
            try:
                while self._unsent:
                    self._unsent = self._unsent[os.write(self._lifeline, self._unsent) :]
            except BlockingIOError:
                pass  # `messages` goes on with it
            except OSError:
                self._unsent = b""  # it has ended already; its report says how

    def messages(self, tick_s: float = 3600.0, limit_s: float = math.inf) -> Iterator[dict[str, Any] | None]:
        """Yield what the supervisor says, and None after each `tick_s`, until it ends or `limit_s` is over.

        It is sent its order meanwhile, so it starts when it is listened to. The first message has "started"
        (a pid), the last one is kept as `report`; `complaint` is what a supervisor says that fails.
        """
        end, data = time.monotonic() + limit_s, bytearray()
        poller = select.poll()  # select() refuses descriptors above 1023, and the sampler holds thousands
        poller.register(self._reports, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            if self._unsent:
                poller.register(self._lifeline, select.POLLOUT)
            ready = dict(poller.poll(min(left, tick_s) * 1000))
            if self._lifeline in ready:
                poller.unregister(self._lifeline)
                self._send()
            if self._reports in ready:
                piece = os.read(self._reports, 64 << 10)  # as much as a pipe holds
                if not piece:
                    return
                data += piece
                if b"\n" in piece:
                    *lines, data = data.split(b"\n")
                    yield from filter(None, map(self._read, lines))
            yield None

    def _read(self, line: bytearray) -> dict[str, Any] | None:
        try:
            message = supervisor.unpacked(bytes(line))
        except ValueError:
            self.complaint = line.decode(errors="replace")[:200]
            return None
        if "leader" in message:
            self.leader = message["leader"]
            return None
        self.report = message if "ended" in message else None
        return message

    def _has_ended(self) -> bool:
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return False  # if it hangs in the kernel, Popen's own list reaps it later
        return True


@cache
def compiled() -> bytes:
    """The supervisor as compiled code behind its length: 3 ms faster than its source."""
    modules = (rights, supervisor)
    codes = [SourceFileLoader(one.__name__, str(one.__file__)).get_code(one.__name__) for one in modules]
    code = marshal.dumps(codes)
    return len(code).to_bytes(4, "big") + code


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with their readers' and writers' other descriptors."""
    read_end, write_end = os.pipe()
    reader.callback(os.close, read_end)
    writer.callback(os.close, write_end)
    return read_end, write_end


def _kill_group(leader: int | None) -> None:
    try:
        if leader:
            os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass  # nobody is left in it
