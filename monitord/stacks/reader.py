"""Reads the Python stack of a running thread from outside, of processes that may be profiled.

A thread is believed only while it runs: what one that just fell asleep waits in is not what it did. Who is no
Python, or of a version that is not known, is asked again ever more seldom.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from math import inf

from monitord import procfs
from monitord.procfs.memory import ReadBuffer
from monitord.stacks.cpython import (
    ImpossibleStackError,
    Interpreter,
    NotPythonError,
    UnknownLayoutError,
    UnreadableError,
)
from monitord.stacks.readings import PythonFrame

_ATTACHED_CAP, _ATTACHED_FOR_S = 4, 20.0  # each has a buffer and a table of names
_PROCESSES_CAP = 256
_VERSIONS_CAP = 8
_FAILURES_CAP = 512
_ASKED_AGAIN_S, _ASKED_AT_LEAST_S = 0.1, 60.0
Permits = Callable[[str, str | None], bool]
"""Whether a process of this name and executable may be profiled; both are the process' own words."""


@dataclass(slots=True, eq=False)
class _Process:
    """One program of one process: an exec makes another one. `interpreter` is None in other programs.

    One without is asked again at `due_s`: a program may load one later, and has none while it starts. While
    its memory has the size that it had without one (`size_bytes`), it has loaded none.
    """

    image: tuple[int, int]
    interpreter: Interpreter | None = None
    due_s: float = 0.0
    wait_s: float = _ASKED_AGAIN_S
    size_bytes: int | None = None
    used_s: float = 0.0


class PythonReader:
    """Counts what it could not read: unreadable (torn, gone, no right), impossible (no root), asleep.

    `refused`: pids that are left alone.
    """

    def __init__(
        self,
        permits: Permits,
        attach: Callable[[int], Interpreter] | None = None,
        refused: Collection[int] = (),
    ) -> None:
        self._permits = permits
        self._attach = attach or partial(Interpreter.attach, buffer=ReadBuffer())
        self.refused = frozenset(refused)
        self._processes: OrderedDict[int, _Process] = OrderedDict()
        self._attached: list[_Process] = []
        self.counts: Counter[str] = Counter()
        self.looked_count = 0
        self.failures: deque[tuple[int, int, str]] = deque(maxlen=_FAILURES_CAP)
        self.unknown_versions: list[str] = []

    def is_without_python(self, pid: int) -> bool:
        """Whether it had none that can be read when it was last asked, and is not due to be asked again."""
        known = self._processes.get(pid)
        return known is not None and known.interpreter is None and time.monotonic() < known.due_s

    def stack_of(self, pid: int, tid: int, least_age_s: float) -> tuple[PythonFrame, ...] | None:
        """What the thread runs, root first; None: no Python, not running, or not to be read.

        A process that is younger than `least_age_s` is not attached to: it costs as much as a hundred stacks.
        """
        known = self._processes.get(pid)
        if least_age_s == inf and (known is None or known.interpreter is None):
            return None  # most of those that have one sample: nothing is asked of them
        thread = procfs.stat_of(pid, tid) if pid not in self.refused else None
        if thread is None or thread.is_kernel_thread:
            return None
        process = self._known(pid, thread, least_age_s)
        if process.interpreter is None:
            return None
        if thread.state != "R":
            self.counts["asleep"] += 1
            return None
        try:
            stack = process.interpreter.stack(tid)
        except UnreadableError:
            self._fail(pid, "unreadable")
            return None
        except ImpossibleStackError:
            self._fail(pid, "impossible")
            return None
        if stack:
            self.counts["read"] += 1
        return stack or None

    def _known(self, pid: int, thread: procfs.Stat, least_age_s: float) -> _Process:
        process = self._processes.get(pid)
        if process is None or process.image != thread.image:
            process = self._processes[pid] = _Process(thread.image)
        is_due = process.interpreter is None and time.monotonic() >= process.due_s
        if is_due and procfs.age_s(thread.start_ticks) >= least_age_s:
            self._look_at(pid, process, thread.virtual_bytes)
        self._processes.move_to_end(pid)
        process.used_s = time.monotonic()
        self._let_go(process.used_s)
        return process

    def _let_go(self, now_s: float) -> None:
        """Of those that were not hot for the longest time."""
        while len(self._processes) > _PROCESSES_CAP:
            self._processes.popitem(last=False)
        attached = sorted(self._attached, key=lambda one: -one.used_s)
        kept = [one for one in attached[:_ATTACHED_CAP] if now_s - one.used_s <= _ATTACHED_FOR_S]
        for process in attached:
            if process not in kept:
                process.interpreter = None
        self._attached = kept

    def _look_at(self, pid: int, process: _Process, size_bytes: int) -> None:
        """Attach to it, if it may be profiled; where that fails, say when it is tried again."""
        process.due_s = time.monotonic() + process.wait_s
        if process.size_bytes == size_bytes and process.wait_s < _ASKED_AT_LEAST_S:
            process.wait_s *= 2
            return
        process.wait_s = min(_ASKED_AT_LEAST_S, 2 * process.wait_s)
        self.looked_count += 1
        if not self._permits(*who_is(pid)):
            self.counts["refused"] += 1
            return
        try:
            process.interpreter = self._attach(pid)
            self._attached.append(process)
        except NotPythonError:
            process.size_bytes = size_bytes
        except UnknownLayoutError as error:
            process.size_bytes = size_bytes
            self._note_version(str(error))
        except UnreadableError:
            self.counts["not attached"] += 1

    def _fail(self, pid: int, kind: str) -> None:
        self.counts[kind] += 1
        self.failures.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME), pid, kind))

    def _note_version(self, words: str) -> None:
        if words not in self.unknown_versions and len(self.unknown_versions) < _VERSIONS_CAP:
            self.unknown_versions.append(words)

    def forget(self) -> None:
        """Ask everybody anew: who may be profiled has changed."""
        self._processes.clear()
        self._attached.clear()


def who_is(pid: int) -> tuple[str, str | None]:
    """Name and executable, as consent is asked by them."""
    stat = procfs.stat_of(pid)
    try:
        executable = procfs.link(procfs.path(pid, "exe"))
    except OSError:
        executable = None
    return stat.name if stat else "", executable
