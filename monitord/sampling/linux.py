"""Every process of a Linux machine, cheaply: one pread per process of a cached descriptor, and no work
at all for a process whose bytes did not change.

* A process of one thread is asked for its schedstat (run time and number of runs) first, a third of the
  price of stat: who has not run has used no CPU, started no thread, moved no byte and touched no page.
* /proc is listed only when the last number given out moved. Exits are noticed by the reads.
* Once a minute a thorough pass takes neither short cut: the kernel can change a sleeping process's RSS
  (swapping, huge pages), and visibility can change without a fork.

A cached descriptor belongs to the process, not to its number: when the number is used again the read
fails (ESRCH), so the old one is never taken for the new one. Measured against C: benchmarks/pass_cost.py.
(More than 400 lines: the short cuts go by what the same passes remember.)
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitord.model import ProcessKey, ProcessSample
from monitord.procfs import (
    STAT_BYTES,
    age_s,
    count_descriptors,
    image_in,
    image_of,
    memory_in,
    memory_of,
    path,
    read_once,
)
from monitord.sampling.entries import (
    CLOSED,
    FORBIDDEN,
    Entry,
    birth_mark,
    kernel_counts_runs,
    raise_descriptor_limit,
    read_stat,
)
from monitord.sampling.process_reader import ProcessReading, ReadRequest, ReadResult, first_reading
from monitord.sampling.rates import io_total
from monitord.sampling.sources import ProcFile, Sources
from monitord.sampling.waiting import MAX_READS

_SPARE_DESCRIPTORS = 256 + MAX_READS
"""Left to the rest of the daemon: database, pipes of profilers, logs; and to the threads of a crowd."""

_IO_BYTES, _STATM_BYTES, _SCHED_BYTES = 256, 128, 64

_SLOTS = {"io": "io_fd", "schedstat": "sched_fd", "statm": "statm_fd"}
"""Where an entry keeps the descriptor of a file of its process."""

_GONE = (errno.ESRCH, errno.ENOENT)

_THOROUGH_S = 60.0  # how long a short cut may be trusted


@dataclass(frozen=True, slots=True)
class _Before:
    """What storage I/O was before this reading, and how long ago."""

    io_bytes: int | None
    over_s: float


class LinuxProcesses:
    """Reads /proc. `descriptor_limit` is how many may be kept open (None: what RLIMIT_NOFILE allows)."""

    def __init__(self, descriptor_limit: int | None = None, root: str = "/proc") -> None:
        self._root = root
        if descriptor_limit is None:
            descriptor_limit = max(0, raise_descriptor_limit() - _SPARE_DESCRIPTORS)
        self._descriptors_left = descriptor_limit
        self._entries: dict[str, Entry] = {}
        self._names: list[str] = []
        self._order: list[Entry] = []
        self._fresh: list[Entry] = []
        self._ran_since_io: set[Entry] = set()
        self._ran_since_count: set[Entry] = set()
        self._complete_at_s: float | None = None
        self._io_complete_at_s = 0.0
        self._thorough_at_s = float("-inf")
        self._birth_mark = b""
        self._loadavg = ProcFile(f"{root}/loadavg")
        self._sources = Sources()
        self._has_schedstat = kernel_counts_runs()

    @property
    def process_count(self) -> int:
        return len(self._order)

    def read_all(self, ask: ReadRequest) -> ReadResult:
        began_s = time.monotonic()
        exited: set[ProcessKey] = set()
        is_thorough = began_s - self._thorough_at_s >= _THOROUGH_S
        if is_thorough:
            self._thorough_at_s = began_s
        newcomers = self._follow_listing(exited) if is_thorough or self._may_be_born() else []
        changed, lost = self._reread(is_thorough or not self._has_schedstat)
        for entry in lost:
            exited.add(entry.key)
            newcomers += self._replace(entry)
        if lost or newcomers:
            self._order = list(self._entries.values())
            self._has_run(newcomers)
        before, news = self._read_dear(ask, is_thorough)
        seen: dict[ProcessKey, ProcessReading] = {}
        for entry in newcomers:
            seen[entry.key] = self._first_sight(entry, ask)
        for entry, raw in changed:
            seen[entry.key] = self._sight(entry, raw, before.get(entry.key))
        for entry in (*news, *self._living(self._fresh), *self._watched(ask)):
            if entry.key not in seen:
                io_before = before.get(entry.key) or (self._unmoved(entry) if ask.wants_io else None)
                seen[entry.key] = self._sight(entry, entry.raw, io_before)
        self._fresh, self._complete_at_s = newcomers, began_s
        if ask.wants_io:
            self._io_complete_at_s = began_s
        return ReadResult(tuple(seen.values()), frozenset(exited))

    def read_some(self, keys: Iterable[ProcessKey], ask: ReadRequest) -> ReadResult:
        seen: list[ProcessReading] = []
        exited: set[ProcessKey] = set()
        for key in keys:
            name = str(key.pid)
            entry = self._entries.get(name)
            is_new = entry is None or entry.key != key
            if is_new:
                entry = self._open(name)
            raw = None if entry is None else read_stat(entry)
            if entry is None or raw is None or entry.key != key:
                exited.add(key)
                if is_new and entry is not None:
                    self._give_back(entry)
                continue
            if is_new:
                if name in self._entries:
                    exited.add(self._forget(self._entries[name]).key)
                self._entries[name] = entry
                self._order = list(self._entries.values())
            before = self._read_io(entry)
            entry.fd_count = count_descriptors(key.pid)
            seen.append(self._first_sight(entry, ask) if is_new else self._sight(entry, raw, before))
        return ReadResult(tuple(seen), frozenset(exited))

    def heaviest(self) -> ProcessSample | None:
        entry = max(self._order, key=lambda one: one.rss_bytes, default=None)
        return None if entry is None else entry.sample()

    fd_count = staticmethod(count_descriptors)

    def image_of(self, pid: int) -> tuple[int, int] | None:
        """As of the stat line last read of it, unless that line is too long."""
        entry = self._entries.get(str(pid))
        if entry is None or len(entry.raw) == STAT_BYTES:
            return image_of(pid)
        return self._sources.take("PID/stat", lambda: image_in(entry.raw), None)

    def turns_of(self, pid: int) -> bytes | None:
        """Read now: what the hot loop read is old where the process had more threads until this pass."""
        entry = self._entries.get(str(pid))
        if entry is None or entry.thread_count != 1 or entry.sched_fd < 0:
            return None
        return self._dear_line(entry, "schedstat", _SCHED_BYTES)

    def memory_of(self, pid: int) -> tuple[int, int | None] | None:
        return self._sources.take("PID/statm", lambda: self._memory_of(pid), None)

    def _memory_of(self, pid: int) -> tuple[int, int] | None:
        """Who is known and runs has its file open; the main thread of a zombie has no memory of its own."""
        entry = self._entries.get(str(pid))
        if entry is None or entry.state == "Z":
            return memory_of(pid, self._root)
        raw = self._dear_line(entry, "statm", _STATM_BYTES)
        return None if raw is None else memory_in(raw)

    @property
    def missing(self) -> Mapping[str, str]:
        return self._sources.missing

    def close(self) -> None:
        for entry in self._entries.values():
            self._give_back(entry)
        self._entries, self._names, self._order, self._fresh = {}, [], [], []
        self._ran_since_io, self._ran_since_count = set(), set()
        self._loadavg.close()

    # ------------------------------------------------------------------------------ who is there

    def _may_be_born(self) -> bool:
        """Whether anybody can have been born since the last listing. Asked before it, so none is missed."""
        mark = self._birth_mark
        self._birth_mark = self._sources.take("loadavg", lambda: birth_mark(self._loadavg.read()), b"")
        return mark != self._birth_mark or not self._names or not mark

    def _follow_listing(self, exited: set[ProcessKey]) -> list[Entry]:
        """Add new processes and drop those that ended. Most passes find the same names: one comparison."""
        names = self._sources.take("the list of processes", lambda: os.listdir(self._root), None)  # noqa: PTH208 - plain names
        if names is None or names == self._names:
            return []  # refused for lack of memory or descriptors: those that are known are read all the same
        self._names = names
        there = set(filter(str.isdecimal, names))
        for name in self._entries.keys() - there:
            exited.add(self._forget(self._entries[name]).key)
        self._order = list(self._entries.values())
        newcomers = []
        for name in sorted(there - self._entries.keys(), key=int):
            entry = self._open(name)
            if entry is None:
                self._names = []  # gone already, or no descriptor left for now: list again next time
                continue
            self._entries[name] = entry
            newcomers.append(entry)
        return newcomers

    def _open(self, name: str) -> Entry | None:
        try:
            fd = os.open(path(name, "stat", self._root), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            entry = Entry(name, fd, os.pread(fd, STAT_BYTES, 0), self._root)
        except (OSError, ValueError, IndexError):
            os.close(fd)
            return None
        if self._descriptors_left > 0:
            self._descriptors_left -= 1
        else:
            os.close(fd)
            entry.fd = CLOSED
        return entry

    def _forget(self, entry: Entry) -> Entry:
        self._give_back(entry)
        self._ran_since_io.discard(entry)
        self._ran_since_count.discard(entry)
        del self._entries[str(entry.key.pid)]
        return entry

    def _give_back(self, entry: Entry) -> None:
        for fd in (entry.fd, entry.io_fd, entry.sched_fd, entry.statm_fd):
            if fd >= 0:
                os.close(fd)
                self._descriptors_left += 1
        entry.fd = entry.io_fd = entry.sched_fd = entry.statm_fd = CLOSED

    def _replace(self, entry: Entry) -> list[Entry]:
        """Its process has gone; somebody may have its number already (or it was reaped in mid-pass)."""
        name = str(entry.key.pid)
        self._forget(entry)
        self._names = []  # what we remember of the listing is no longer true: compare anew next time
        successor = self._open(name)
        if successor is None:
            return []
        self._entries[name] = successor
        return [successor]

    def _living(self, entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if self._entries.get(str(entry.key.pid)) is entry]

    def _watched(self, ask: ReadRequest) -> list[Entry]:
        known = (self._entries.get(str(key.pid)) for key in ask.watched)
        return [entry for entry in known if entry is not None and entry.key in ask.watched]

    # ------------------------------------------------------------------------------- the hot loop

    def _reread(self, is_thorough: bool) -> tuple[list[tuple[Entry, bytes]], list[Entry]]:
        """All whose bytes changed, with the new bytes; all who have gone.

        schedstat is read before stat, so a run between the two is seen by the next pass.
        """
        changed: list[tuple[Entry, bytes]] = []
        lost: list[Entry] = []
        ran: list[Entry] = []
        pread, limit, sched_limit = os.pread, STAT_BYTES, _SCHED_BYTES
        for entry in self._order:
            try:
                if not is_thorough and entry.thread_count == 1:
                    sched_fd = entry.sched_fd
                    if sched_fd >= 0:
                        runs = pread(sched_fd, sched_limit, 0)
                        if runs == entry.sched_raw:
                            continue
                        entry.sched_raw = runs
                    elif sched_fd == CLOSED and self._keep(entry, "schedstat"):
                        entry.sched_raw = pread(entry.sched_fd, sched_limit, 0)
                raw = pread(entry.fd, limit, 0) if entry.fd >= 0 else read_stat(entry)
            except OSError as error:
                if error.errno not in _GONE:
                    continue  # not read this time; it is still there
                raw = None
            if not raw:
                lost.append(entry)
                continue
            ran.append(entry)
            if raw != entry.raw:
                changed.append((entry, raw))
        self._has_run(ran)
        return changed, lost

    def _has_run(self, entries: list[Entry]) -> None:
        self._ran_since_io.update(entries)
        self._ran_since_count.update(entries)

    def _keep(self, entry: Entry, name: str) -> bool:
        """Open a file of a process to be kept, where there is room; FORBIDDEN is kept, too."""
        if self._descriptors_left <= 0:
            return False
        try:
            setattr(entry, _SLOTS[name], os.open(f"{entry.path}/{name}", os.O_RDONLY | os.O_CLOEXEC))
        except PermissionError:
            setattr(entry, _SLOTS[name], FORBIDDEN)
            return False
        except OSError:
            return False  # no descriptor left for now, or gone, which stat will tell
        self._descriptors_left -= 1
        return True

    # ---------------------------------------------------------------------------- dearer readings

    def _read_dear(
        self, ask: ReadRequest, is_thorough: bool
    ) -> tuple[dict[ProcessKey, _Before], list[Entry]]:
        """I/O and descriptors of everybody who ran, or of the watched; and who has news in them.

        Descriptors are counted of everybody in a thorough pass: two processes may share a table of them.
        """
        before: dict[ProcessKey, _Before] = {}
        news: list[Entry] = []
        watched = self._watched(ask)
        for entry in {*self._ran_since_io, *watched} if ask.wants_io else watched:
            raw = entry.io_raw
            before[entry.key] = self._read_io(entry)
            if entry.io_raw != raw:
                news.append(entry)
        if ask.wants_fd_count:
            counted = self._order if is_thorough else list({*self._ran_since_count, *watched})
            self._ran_since_count.clear()
        else:
            counted = watched
        for entry in counted:
            count = count_descriptors(entry.key.pid)
            if count != entry.fd_count:
                entry.fd_count = count
                news.append(entry)
        if ask.wants_io:
            self._ran_since_io.clear()
        return before, news

    def _read_io(self, entry: Entry) -> _Before:
        """Read /proc/PID/io anew; give what was known before, None at the first time."""
        now_s, before = time.monotonic(), self._unmoved(entry)
        raw = self._dear_line(entry, "io", _IO_BYTES)
        if raw:
            entry.io_at_s = now_s
            if raw != entry.io_raw:
                self._sources.take("PID/io", lambda: entry.take_io(raw), None)
        return before

    def _unmoved(self, entry: Entry) -> _Before:
        """A process that has not run since the last reading has moved nothing."""
        over_s = time.monotonic() - max(entry.io_at_s, self._io_complete_at_s)
        return _Before(io_total(entry.read_bytes, entry.write_bytes), over_s)

    def _dear_line(self, entry: Entry, name: str, limit: int) -> bytes | None:
        """A file that not everybody is asked for, kept open from the first time on where there is room."""
        fd = getattr(entry, _SLOTS[name])
        if fd == FORBIDDEN:
            return None
        if fd == CLOSED and not self._keep(entry, name):
            return read_once(f"{entry.path}/{name}", limit)
        try:
            return os.pread(getattr(entry, _SLOTS[name]), limit, 0) or None
        except OSError:
            return None

    # ------------------------------------------------------------------------------ what was seen

    def _sight(self, entry: Entry, raw: bytes, io_before: _Before | None) -> ProcessReading:
        """This reading beside the earlier one, which held until the last pass that found it unchanged."""
        earlier_cpu_s, earlier_children_cpu_s = entry.cpu_s, entry.children_cpu_s
        earlier_at_s = max(entry.read_at_s, self._complete_at_s or 0.0)
        entry.read_at_s = time.monotonic()
        if raw != entry.raw:
            self._sources.take("PID/stat", lambda: entry.take(raw), None)
        return ProcessReading(
            sample=entry.sample(),
            earlier_cpu_s=earlier_cpu_s,
            cpu_over_s=entry.read_at_s - earlier_at_s,
            earlier_io_bytes=None if io_before is None else io_before.io_bytes,
            io_over_s=0.0 if io_before is None else io_before.over_s,
            cpu_used_s=max(0.0, entry.cpu_s - earlier_cpu_s),
            earlier_children_cpu_s=earlier_children_cpu_s,
        )

    def _first_sight(self, entry: Entry, ask: ReadRequest) -> ProcessReading:
        """No rate, unless it was born before a look that was skipped: then since its birth, from nothing."""
        age = age_s(entry.key.start_ticks)
        complete_at_s, previous_s = self._complete_at_s, ask.previous_look_s
        return first_reading(entry.sample(), entry.read_at_s, age, complete_at_s, previous_s)
