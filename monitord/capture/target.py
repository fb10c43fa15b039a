"""The process a capture looks at: pid, start time *and* an open pidfd, so that it can't be another one.

Opened before anything is read; asked again after every profiler whether it is still the same process, running
the same program for the same user. macOS has no pidfd: there the start time alone has to do.
"""

from __future__ import annotations

import importlib
import os
import re
import select
import signal
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from monitord import interpreters, procfs, redaction
from monitord.model import CaptureStatus, Levels, ProcessKey

ON_LINUX = sys.platform == "linux"
psutil: Any = importlib.import_module("psutil")  # for platforms without /proc; it has no annotations
_LIBPYTHON = re.compile(rb"/libpython[23]\.[0-9]+[a-z]*\.(so|dylib)|/python[23]\.[0-9]+[a-z]*$", re.MULTILINE)
_UNKNOWN_START = -1
_MAPS_CAP = 2 * 1024 * 1024
_NET_CAP_BYTES = 256 * 1024


class TargetError(Exception):
    """The target can't be looked at; carries the status and the reason for the capture's row."""

    def __init__(self, status: CaptureStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """What must not change while evidence is taken."""

    start_ticks: int
    executable: str | None
    users: str
    image: tuple[int, int]
    groups: str = ""

    @property
    def program(self) -> str | None:
        """One word that names what runs: another one after every exec. None: it may not be known."""
        if self.executable is None:
            return None
        where = ":".join(f"{address:x}" for address in self.image) if any(self.image) else ""
        return f"{_undeleted(self.executable)} {where}".rstrip()


class Target:
    """An open target. Use as a context manager; raises TargetError when it is gone or another process."""

    def __init__(self, key: ProcessKey) -> None:
        self.key = key
        self.fd: int | None = None
        if ON_LINUX:
            try:
                self.fd = os.pidfd_open(key.pid)
            except (ProcessLookupError, OverflowError) as error:
                raise TargetError(CaptureStatus.TARGET_GONE, f"cannot find process {key.pid}") from error
            except OSError as error:  # EMFILE, ENOMEM: it says nothing of the target
                reason = f"process {key.pid} can't be opened: {error.strerror}"
                raise TargetError(CaptureStatus.TOOL_ERROR, reason) from error
        try:
            self._check_start()
            self.name = self._read_name()
            self.identity = self.identify()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def _check_start(self) -> None:
        found = start_of(self.key.pid)
        if found is None:
            raise TargetError(CaptureStatus.TARGET_GONE, f"cannot find process {self.key.pid}")
        if abs(found - self.key.start_ticks) > (0 if ON_LINUX else 1):
            raise TargetError(
                CaptureStatus.TARGET_REPLACED,
                f"pid {self.key.pid} is another process now: it started at tick {found}, the one meant at"
                f" {self.key.start_ticks}",
            )
        if not self.is_alive():
            self._raise_end()

    def _raise_end(self) -> None:
        stat = procfs.stat_of(self.key.pid)
        zombie = " (a zombie, not yet collected by its parent)" if stat and stat.state == "Z" else ""
        raise TargetError(CaptureStatus.TARGET_GONE, f"process {self.key.pid} has ended{zombie}")

    def _read_name(self) -> str:
        if ON_LINUX:
            stat = procfs.stat_of(self.key.pid)
            return redaction.redact_name(stat.name) if stat else ""
        try:
            return redaction.redact_name(str(psutil.Process(self.key.pid).name()))
        except psutil.Error:
            return ""

    def identify(self) -> Identity:
        """Who the target is at this moment."""
        pid = self.key.pid
        if not ON_LINUX:
            return Identity(self.key.start_ticks, _executable_by_psutil(pid), "", (0, 0))
        stat, status = procfs.stat_of(pid), procfs.status_of(pid)
        return Identity(
            start_ticks=stat.start_ticks if stat else _UNKNOWN_START,
            executable=executable_of(pid),
            users=status.get("Uid", ""),
            image=stat.image if stat else (0, 0),
            groups=" ".join([*status.get("Gid", "").split()[3:], status.get("Groups", "")]),
        )

    def is_alive(self) -> bool:
        """Return whether it has neither ended nor become a zombie."""
        if self.fd is not None:
            poller = select.poll()  # select() refuses descriptors above 1023, and the sampler holds thousands
            poller.register(self.fd, select.POLLIN)
            return not poller.poll(0)
        return start_of(self.key.pid) is not None

    def was_replaced(self) -> str | None:
        """Why evidence taken since the target was opened must be thrown away; None when it need not."""
        now, before = self.identify(), self.identity
        if not self.is_alive():
            return self._who_took_the_pid()
        if now.start_ticks == _UNKNOWN_START:
            return None  # it is ending at this very moment
        if now.start_ticks != before.start_ticks:
            return "the pid belongs to another process"
        if now.users != before.users and before.users and now.users:
            return "the process changed its user while it was profiled (setuid?)"
        # A process that ends has no program any more, before it is seen to have ended.
        if now.executable is not None and _undeleted(now.executable) != _undeleted(before.executable):
            change = f"{before.executable} → {now.executable}"
            return f"the process executed another program while it was profiled: {change}"
        if now.image != before.image and any(before.image) and any(now.image):
            return "the process executed itself anew while it was profiled"
        return None

    def _who_took_the_pid(self) -> str | None:
        """A pid is free for others once its zombie is collected; then pidfd says so."""
        if self.fd is None or start_of(self.key.pid) is None:
            return None
        try:
            signal.pidfd_send_signal(self.fd, 0)
        except ProcessLookupError:
            return "the process ended while it was profiled, and its pid belongs to another one now"
        except PermissionError:
            return None
        return None

    @property
    def is_python(self) -> bool:
        """Whether it runs Python, by its executable or what it maps, never by its name."""
        executable = (_undeleted(self.identity.executable) or "").rpartition("/")[2]
        if interpreters.is_python(executable):
            return True
        if not ON_LINUX:
            return executable == "Python"  # the framework build's binary
        maps = procfs.read_within(procfs.path(self.key.pid, "maps"), 0.3, _MAPS_CAP)
        return bool(maps and _LIBPYTHON.search(maps))

    @property
    def is_kernel_thread(self) -> bool:
        stat = procfs.stat_of(self.key.pid) if ON_LINUX else None
        return bool(stat and stat.is_kernel_thread)

    @property
    def is_foreign(self) -> bool:
        """Whether it runs as another user than monitord."""
        return self.identity.users.split()[:1] not in ([], [str(os.geteuid())])

    @property
    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) that it opens files as; None: it is root's, or it can't be known."""
        users, groups = self.identity.users.split(), procfs.status_of(self.key.pid).get("Gid", "").split()
        if len(users) < 4 or len(groups) < 4 or int(users[3]) == 0:
            return None
        return int(users[3]), int(groups[3])

    @property
    def thread_count(self) -> int:
        stat = procfs.stat_of(self.key.pid) if ON_LINUX else None
        return stat.thread_count if stat else 1

    @property
    def state(self) -> str:
        """One letter of /proc/PID/stat ("R", "S", "D", "T", "Z"…); empty when it is not known."""
        if ON_LINUX:
            stat = procfs.stat_of(self.key.pid)
            return stat.state if stat else ""
        try:
            return "T" if psutil.Process(self.key.pid).status() == psutil.STATUS_STOPPED else ""
        except psutil.Error:
            return ""


def _undeleted(path: str | None) -> str | None:
    """An upgrade that replaces the file on disk is not an exec."""
    return path.removesuffix(" (deleted)") if path else None


def start_of(pid: int) -> int | None:
    """Start time as in ProcessKey: ticks since boot on Linux, milliseconds since the epoch elsewhere."""
    if ON_LINUX:
        stat = procfs.stat_of(pid)
        return stat.start_ticks if stat else None
    try:
        return int(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return None


def executable_of(pid: int) -> str | None:
    """Return where /proc/PID/exe points; None for a kernel thread, or when it may not be read."""
    try:
        return procfs.link(procfs.path(pid, "exe"))
    except OSError:
        return None


def _executable_by_psutil(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).exe()) or None
    except psutil.Error:
        return None


def read_levels(pid: int) -> Levels | None:
    """How much a process holds and moves right now: read before and after evidence, to judge its time.

    A level is None where it may not be read; None off Linux, or when the process is gone.
    """
    stat = procfs.stat_of(pid) if ON_LINUX else None
    if stat is None:
        return None
    memory, io = procfs.memory_of(pid), procfs.numbers(procfs.text(procfs.path(pid, "io")))
    return Levels(
        at_s=time.monotonic(),
        rss_bytes=memory[0] if memory is not None else None,
        disk_bytes=io["read_bytes"] + io["write_bytes"]
        if {"read_bytes", "write_bytes"} <= io.keys()
        else None,
        network_bytes=_network_bytes(procfs.text(procfs.path(pid, "net/dev"), _NET_CAP_BYTES)),
        fd_count=procfs.count_descriptors(pid),
        thread_count=stat.thread_count,
    )


def _network_bytes(text: str) -> int | None:
    """Received and sent in its network namespace, by everybody there: never too little."""
    counted = [fields for line in text.splitlines()[2:] if len(fields := line.rpartition(":")[2].split()) > 8]
    return sum(int(fields[0]) + int(fields[8]) for fields in counted) if counted else None
