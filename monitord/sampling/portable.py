"""Every process through psutil: the reader for platforms other than Linux, and the second opinion there.

It keeps the same promises as linux.py at 10 to 20 times the price. On macOS the processes of other
users can't be read without root: psutil refuses them, and they are left out. (Not run on a Mac yet.)
"""

# mypy: allow-untyped-calls
# (psutil ships no types)

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from monitord import redaction
from monitord.model import ProcessKey, ProcessSample
from monitord.procfs import TICKS_PER_S, age_s, image_of
from monitord.sampling.process_reader import ProcessReading, ReadRequest, ReadResult, first_reading
from monitord.sampling.rates import io_total

_STATES = {
    "running": "R",
    "sleeping": "S",
    "disk-sleep": "D",
    "stopped": "T",
    "tracing-stop": "t",
    "zombie": "Z",
    "dead": "X",
    "idle": "I",
    "waking": "W",
    "parked": "P",
}
"""psutil's words as the letters of proc_pid_stat(5)."""


class PortableProcesses:
    """Reads processes through psutil."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ProcessSample, float]] = {}
        self._fresh: frozenset[ProcessKey] = frozenset()
        self._complete_at_s: float | None = None

    @property
    def process_count(self) -> int:
        return len(self._known)

    def read_all(self, ask: ReadRequest) -> ReadResult:
        began_s = time.monotonic()
        earlier, self._known = self._known, {}
        seen: list[ProcessReading] = []
        fresh: set[ProcessKey] = set()
        for process in psutil.process_iter():
            before = earlier.get(process.pid)
            sample = _read(process, ask, before)
            if sample is None:
                continue
            is_known = before is not None and before[0].key == sample.key
            sighting = self._sight(sample, before if is_known else None, ask)
            if not is_known:
                fresh.add(sample.key)
            if not is_known or self._is_wanted(before, sample, ask):
                seen.append(sighting)
        gone = {sample.key for sample, _ in earlier.values()} - {one.key for one, _ in self._known.values()}
        self._fresh, self._complete_at_s = frozenset(fresh), began_s
        return ReadResult(tuple(seen), frozenset(gone))

    def read_some(self, keys: Iterable[ProcessKey], ask: ReadRequest) -> ReadResult:
        seen: list[ProcessReading] = []
        exited: set[ProcessKey] = set()
        for key in keys:
            try:
                sample = _read(psutil.Process(key.pid), ReadRequest(watched=frozenset((key,))), None)
            except psutil.Error:
                sample = None
            if sample is None or sample.key != key:
                exited.add(key)
                continue
            before = self._known.get(key.pid)
            is_known = before is not None and before[0].key == key
            seen.append(self._sight(sample, before if is_known else None, ask))
        return ReadResult(tuple(seen), frozenset(exited))

    def image_of(self, pid: int) -> tuple[int, int] | None:
        return image_of(pid)

    def turns_of(self, pid: int) -> bytes | None:
        return None

    def heaviest(self) -> ProcessSample | None:
        return max(
            (sample for sample, _ in self._known.values()), key=lambda one: one.rss_bytes, default=None
        )

    def fd_count(self, pid: int) -> int | None:
        try:
            return int(psutil.Process(pid).num_fds())
        except (psutil.Error, OSError, NotImplementedError):
            return None

    def memory_of(self, pid: int) -> tuple[int, int | None] | None:
        try:
            memory = psutil.Process(pid).memory_info()
            shared = getattr(memory, "shared", None)
            return int(memory.rss), None if shared is None else max(0, memory.rss - shared)
        except (psutil.Error, OSError):
            return None

    @property
    def missing(self) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        self._known = {}

    def _is_wanted(
        self, before: tuple[ProcessSample, float] | None, sample: ProcessSample, ask: ReadRequest
    ) -> bool:
        return before is None or before[0] != sample or sample.key in ask.watched or sample.key in self._fresh

    def _sight(
        self, sample: ProcessSample, before: tuple[ProcessSample, float] | None, ask: ReadRequest
    ) -> ProcessReading:
        now_s = time.monotonic()
        self._known[sample.key.pid] = (sample, now_s)
        if before is None:
            return self._first_sight(sample, now_s, ask)
        earlier, earlier_at_s = before
        return ProcessReading(
            sample=sample,
            earlier_cpu_s=earlier.cpu_s,
            cpu_over_s=now_s - earlier_at_s,
            earlier_io_bytes=io_total(earlier.read_bytes, earlier.write_bytes),
            io_over_s=now_s - earlier_at_s,
            cpu_used_s=max(0.0, sample.cpu_s - earlier.cpu_s),
            earlier_children_cpu_s=earlier.children_cpu_s,
        )

    def _first_sight(self, sample: ProcessSample, now_s: float, ask: ReadRequest) -> ProcessReading:
        """No rate, unless it was born before a look that was skipped: then since its birth, from nothing."""
        return first_reading(sample, now_s, _age_s(sample.key), self._complete_at_s, ask.previous_look_s)


def key_of(pid: int) -> ProcessKey | None:
    """The process that has this pid now."""
    try:
        return _key(psutil.Process(pid))
    except (psutil.Error, OSError, ValueError):
        return None


def _key(process: psutil.Process) -> ProcessKey:
    """On Linux the same key as linux.py has: psutil adds the boot time to field 22, so take it away again."""
    created_s = process.create_time()
    if sys.platform == "linux":
        return ProcessKey(process.pid, round((created_s - psutil.boot_time()) * TICKS_PER_S))
    return ProcessKey(process.pid, int(created_s * 1000))


def _age_s(key: ProcessKey) -> float:
    if sys.platform == "linux":
        return age_s(key.start_ticks)
    return time.time() - key.start_ticks / 1000


def _read(
    process: psutil.Process, ask: ReadRequest, before: tuple[ProcessSample, float] | None
) -> ProcessSample | None:
    """One process; None when it has gone or psutil may not read its CPU time.

    I/O is read every time (an earlier reading is worth more than what it costs); descriptors only when
    asked for, else the last count is carried on.
    """
    try:
        with process.oneshot():
            key = _key(process)
            used = process.cpu_times()
            is_watched = key in ask.watched
            moved = _io(process)
            last_fd_count = before[0].fd_count if before is not None and before[0].key == key else None
            return ProcessSample(
                key=key,
                parent_pid=process.ppid() or 0,
                name=_name(process),
                state=_STATES.get(process.status(), "?"),
                cpu_s=used.user + used.system,
                rss_bytes=process.memory_info().rss,
                thread_count=process.num_threads(),
                uid=process.uids().effective,
                read_bytes=None if moved is None else moved[0],
                write_bytes=None if moved is None else moved[1],
                children_cpu_s=_children_cpu_s(used),
                fd_count=_fds(process) if ask.wants_fd_count or is_watched else last_fd_count,
            )
    except (psutil.Error, OSError, ValueError):
        return None


def _name(process: psutil.Process) -> str:
    """On Linux the kernel's 15 bytes, as linux.py has them; psutil completes a cut name from argv.

    Kernel threads (children of 2) have longer names, and no command line to complete them from.
    """
    name = str(process.name())
    if sys.platform == "linux" and process.ppid() != 2:
        name = os.fsdecode(os.fsencode(name)[:15])
    return redaction.redact_name(name)


def _io(process: psutil.Process) -> tuple[int, int] | None:
    """Storage bytes read and written; None on macOS (psutil has no such call there) or when refused."""
    if not hasattr(process, "io_counters"):
        return None
    try:
        counters = process.io_counters()
    except (psutil.Error, OSError, NotImplementedError):
        return None
    return counters.read_bytes, counters.write_bytes


def _children_cpu_s(used: Any) -> float | None:
    """Of children that ended and were waited for; None where the platform doesn't say (macOS: always 0)."""
    if sys.platform != "linux":
        return None
    return float(used.children_user + used.children_system)


def _fds(process: psutil.Process) -> int | None:
    try:
        return int(process.num_fds())
    except (psutil.Error, OSError, NotImplementedError):
        return None
