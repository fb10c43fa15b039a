"""Runs tools under a supervisor (`monitord.supervision`): in bounded time, ended early by stop()."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from monitord import rights, supervision
from monitord.capture import cgroups
from monitord.capture.target import Target
from monitord.ownership import closed_to_others, why_untrusted
from monitord.supervision.supervisor import SWEEP_S

_MIB = 1024 * 1024
_STOP_BUDGET_S = 1.7
_SUPERVISOR_S = 2 * SWEEP_S + 2.0  # beyond the tool's own time: to give it up, to sweep, to report
_NO_LIMIT = 1 << 30
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Rights:
    """What a tool may do. Nothing of this is given: it is what remains of monitord's own rights.

    `user`, where monitord is root: "stranger", a user who owns nothing, "target", the one whose process it
    is, or "same". A reader writes nothing outside its folder and reaches no other process and no network.
    `asks_sockets`: it may ask the kernel for the sockets of a network namespace.
    """

    capabilities: tuple[int, ...] = ()
    user: str = "stranger"
    is_reader: bool = True
    asks_sockets: bool = False


LOOKS_AT_PROCESSES = Rights((rights.CAP_DAC_READ_SEARCH, rights.CAP_SYS_PTRACE), is_reader=False)


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One run of one tool. Its stop begins at `limit_s`; `grace_periods_s` are the waits after INT and TERM.

    `attached_text` (on stdout) or `attached_link` (among the tool's descriptors) is what proves that the tool
    holds the target. `finishes` marks work on what was taken already: it goes on, briefly, after stop().
    `is_hurried`: the tool need not wait until it is in its cgroup. `own_tmp`: what the tool finds in
    /tmp under these names, where that can be had: files of the folder, or nothing (""). `descriptors` of
    ours, above 63, that it inherits under their numbers.
    """

    argv: tuple[str, ...]
    folder: Path
    limit_s: float
    grace_periods_s: tuple[float, float] = (3.0, 2.0)
    watch_target: bool = True
    attached_text: str = ""
    attached_link: str = ""
    finishes: bool = False
    is_hurried: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: _ENVIRONMENT)
    output_cap_bytes: int = 256 * 1024
    file_cap_bytes: int = 64 * _MIB
    folder_cap_bytes: int = 128 * _MIB
    memory_cap_bytes: int = 4096 * _MIB
    rights: Rights = Rights()
    own_tmp: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()

    @property
    def caps(self) -> dict[str, int]:
        """Limits that follow from the others: seconds of CPU, open files."""
        seconds = math.ceil(self.limit_s + sum(self.grace_periods_s))
        is_reader = self.rights.is_reader
        return {
            "cpu_cap_s": seconds + 1 if is_reader else 2 * seconds + 10,
            "open_files_cap": 256 if is_reader else _NO_LIMIT,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool's run went.

    `ended`: exited, timeout, stopped, target_gone, output_limit_exceeded, left_behind or broken.
    `failure` is why it could not be started. `cpu_ticks` is what the target used within `cpu_window_s`.
    """

    ended: str
    exit_status: int | None = None
    failure: str | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False
    attached: bool = False
    target_alive: bool = True
    target_woken: bool = False
    left_behind: int = 0
    took_s: float = 0.0
    cpu_ticks: int | None = None
    cpu_window_s: float = 0.0


class Runner:
    """Starts supervisors; `stop` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tool: supervision.Supervised | None = None
        self._busy = False
        self._stopped_at: float | None = None
        self._stop = threading.Event()
        supervision.compiled()  # made before it is needed in a hurry

    def begin(self) -> None:
        """A capture starts: an earlier stop() was not meant for it."""
        with self._lock:
            self._busy, self._stopped_at = True, None
            self._stop.clear()

    def end(self) -> None:
        """The capture is over, and with it a stop() that was meant for it."""
        with self._lock:
            self._busy, self._stopped_at = False, None
            self._stop.clear()

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not through a stop(): True when it was stopped."""
        return self._stop.wait(seconds)

    def stop(self) -> None:
        """End what runs now; nothing happens when nothing runs."""
        with self._lock:
            if not self._busy:
                return
            self._stopped_at = self._stopped_at or time.monotonic()
            self._stop.set()
            if self._tool is not None:
                self._tool.stop()

    def run(self, tool_run: ToolRun, target: Target | None = None) -> Outcome:
        """Run one tool to its end; never raises for anything the tool does."""
        limit_s = self._limit(tool_run)
        if limit_s <= 0:
            return Outcome("stopped")
        cgroup = cgroups.make_cgroup() if sys.platform == "linux" else None
        try:
            return self._supervise(tool_run, target, cgroup, limit_s)
        except OSError as error:
            return Outcome("broken", failure=f"the supervisor can't be started: {error.strerror}")
        finally:
            if cgroup is not None:
                cgroups.end_cgroup(cgroup)

    def _limit(self, tool_run: ToolRun) -> float:
        with self._lock:
            if self._stopped_at is None:
                return tool_run.limit_s
            left = self._stopped_at + _STOP_BUDGET_S - time.monotonic()
            return min(tool_run.limit_s, left) if tool_run.finishes else 0.0

    def _supervise(
        self, tool_run: ToolRun, target: Target | None, cgroup: Path | None, limit_s: float
    ) -> Outcome:
        target_fd = target.fd if target is not None and target.fd is not None else -1
        order = _order(tool_run, target) | {
            "cgroup": str(cgroup) if cgroup else "", "limit_s": limit_s, "target_fd": target_fd,
        }  # fmt: skip
        inherits = (*tool_run.descriptors, *((target_fd,) if target_fd >= 0 else ()))
        with supervision.Supervised("tool", order, inherits) as tool:
            self._hold(tool, tool_run)
            try:
                for _ in tool.messages(limit_s=limit_s + sum(tool_run.grace_periods_s) + _SUPERVISOR_S):
                    pass
            finally:
                self._let_go()
        if tool.report is None:
            failure = tool.complaint or "the supervisor died before it could report"
            return Outcome("broken", failure=failure)
        return Outcome(**tool.report)

    def _hold(self, tool: supervision.Supervised, tool_run: ToolRun) -> None:
        with self._lock:
            if not tool_run.finishes:
                self._tool = tool
                if self._stopped_at is not None:
                    tool.stop()

    def _let_go(self) -> None:
        with self._lock:
            self._tool = None


def _order(tool_run: ToolRun, target: Target | None) -> dict[str, Any]:
    """What the supervisor must know, but for what is new with each run."""
    user = _user(tool_run, target)
    return asdict(tool_run) | asdict(tool_run.rights) | tool_run.caps | {
        "user": user,
        # Root without its capabilities can't look into the folder of the one before.
        "capabilities": tool_run.rights.capabilities + _to_start(tool_run.argv[0], user),
        "folder_owner": (user or (os.geteuid(), os.getegid())) if rights.may_change_user() else None,
        "folder": str(tool_run.folder), "target_pid": target.key.pid if target else -1,
    }  # fmt: skip


def _user(tool_run: ToolRun, target: Target | None) -> tuple[int, int] | None:
    """Who the tool becomes (uid, gid) when we are root; None: it stays who we are."""
    wanted = tool_run.rights.user
    if not rights.may_change_user() or wanted == "same" or not _is_for_everybody(tool_run.argv[0]):
        return None
    if wanted == "target" and target is not None:
        return target.owner
    return rights.STRANGER, rights.STRANGER


def _to_start(program: str, user: tuple[int, int] | None) -> tuple[int, ...]:
    """Root without capabilities can't come where another user keeps a program (`sudo monitord capture`)."""
    is_needed = user is None and rights.may_change_user() and why_untrusted(Path(program)) is not None
    return (rights.CAP_DAC_READ_SEARCH,) if is_needed else ()


@cache
def _is_for_everybody(program: str) -> bool:
    """Whether another user can execute it; for our interpreter also read what it imports."""
    needed = [program]
    if program == sys.executable:
        needed += [rights.__file__, os.__file__]
    return all(closed_to_others(Path(one)) is None for one in needed)
