"""How long processes waited for a turn on a processor: /proc/PID/task/TID/schedstat, thread by thread.

Asked only while the machine is crowded, and then of those that used the most CPU, by files that stay open.
The file of the process itself is of its main thread alone. A thread's waiting counts where it hardly slept:
one that sleeps most of the time and queues at each awakening is late, but it doesn't want a core.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator

from monitord.model import ProcessKey, ProcessRates, SystemRates
from monitord.procfs import entries, path
from monitord.sampling.rates import SHORTEST_S

CROWDED_PERCENT = 10.0
"""Pressure stall ("some" of cpu) below which nobody can have waited for more than a tenth of the time."""
CROWDED_MACHINE_PERCENT = 85.0
"""Where the kernel has no pressure stall information: how busy all cores together are then."""

LEAST_USED_PERCENT = 0.1
MAX_THREADS = 64
MAX_READS = 256
"""Threads read of one process and in one pass; a pass of all of them costs some milliseconds."""
_NOT_SEEN_ASLEEP = 0.1
"""Of the time; the wait that lasts at a reading is counted at its end, and looks like sleep until then."""


def is_crowded(system: SystemRates) -> bool:
    """Whether anybody may have waited for a turn long enough to matter."""
    stalled = system.pressure_percent.get("cpu_some")
    if stalled is None:
        return system.machine_percent >= CROWDED_MACHINE_PERCENT
    return stalled >= CROWDED_PERCENT


class TurnWaits:
    """Remembers the last reading of each process that it was asked about, until the crowd has gone."""

    def __init__(self) -> None:
        self._known: dict[ProcessKey, _Threads] = {}

    def measure(
        self, processes: Iterable[ProcessRates], turns_of: Callable[[int], bytes | None] = lambda _pid: None
    ) -> dict[ProcessKey, float]:
        """Percent of one core that each waited since it was last asked; who is asked first has none yet.

        `turns_of` gives the line of a process' only thread where somebody has read it already.
        """
        busiest = sorted(
            (one for one in processes if (one.cpu_percent or 0.0) >= LEAST_USED_PERCENT),
            key=lambda one: -(one.cpu_percent or 0.0),
        )
        waited: dict[ProcessKey, float] = {}
        earlier, self._known = self._known, {}
        left = MAX_READS
        for process in busiest:
            if left <= 0:
                break
            threads = earlier.pop(process.key, None)
            if threads is None:
                threads = _Threads(process.key.pid)
            line = turns_of(process.key.pid) if process.thread_count == 1 else None
            percent = threads.measure(min(process.thread_count, left, MAX_THREADS), line)
            left -= max(1, len(threads.turns))
            self._known[process.key] = threads
            if percent is not None:
                waited[process.key] = percent
        _close(earlier.values())
        return waited

    def forget(self) -> None:
        """The crowd has gone: a later one is not joined with it."""
        _close(self._known.values())
        self._known.clear()


class _Threads:
    """The files of one process's threads, kept open, and what was last read of each."""

    __slots__ = ("_at_s", "_files", "_pid", "turns")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files: dict[int, int] = {}
        self.turns: dict[int, tuple[int, int]] = {}  # nanoseconds on a processor, and waiting for one
        self._at_s: float | None = None

    def measure(self, count: int, line: bytes | None = None) -> float | None:
        """Percent of one core that `count` threads were denied; a new one counts from its second time on."""
        earlier, earlier_s, self._at_s = self.turns, self._at_s, time.monotonic()
        self.turns = self._read(count) if line is None else dict(_turns_in([(self._pid, line)]))
        if earlier_s is None or self._at_s - earlier_s < SHORTEST_S:
            return None
        over_ns = 1e9 * (self._at_s - earlier_s)
        total_ns = 0.0
        for thread, (ran, waited) in self.turns.items():
            ran_before, waited_before = earlier.get(thread, (ran, waited))
            if ran >= ran_before and waited > waited_before:
                total_ns += denied_ns(ran - ran_before, waited - waited_before, over_ns)
        return 100.0 * total_ns / over_ns

    def _read(self, count: int) -> dict[int, tuple[int, int]]:
        """A thread's end is noticed by the read, its successor by the number of threads."""
        if len(self._files) == count and len(turns := self._read_files()) == count:
            return turns
        self._follow(count)
        return self._read_files()

    def _read_files(self) -> dict[int, tuple[int, int]]:
        lines = []
        for thread, fd in self._files.items():
            with contextlib.suppress(OSError):  # it has ended
                lines.append((thread, os.pread(fd, 64, 0)))
        return dict(_turns_in(lines))

    def _follow(self, count: int) -> None:
        """Open the files of those that are new, close those of ended threads."""
        earlier, self._files = self._files, {}
        for thread in self._list(count):
            fd = earlier.pop(thread, None)
            if fd is None:
                try:
                    fd = os.open(path(self._pid, f"task/{thread}/schedstat"), os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    continue
            self._files[thread] = fd
        for fd in earlier.values():
            os.close(fd)

    def _list(self, count: int) -> list[int]:
        if count == 1:
            return [self._pid]
        try:
            return [int(name) for name in entries(path(self._pid, "task"))[:count]]
        except OSError:
            return []

    def close(self) -> None:
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()


def _turns_in(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Nanoseconds that each thread ran and waited, but for what the kernel does not count."""
    for thread, line in lines:
        with contextlib.suppress(ValueError):
            ran, waited, _ = line.split(None, 2)
            yield thread, (int(ran), int(waited))


def _close(every: Iterable[_Threads]) -> None:
    for threads in every:
        threads.close()


def denied_ns(ran_ns: float, waited_ns: float, over_ns: float) -> float:
    """What a thread would have run besides without waits: it runs and sleeps in the same proportion."""
    asleep_ns = max(0.0, (1 - _NOT_SEEN_ASLEEP) * over_ns - ran_ns - waited_ns)
    return waited_ns * ran_ns / (ran_ns + asleep_ns) if ran_ns else 0.0
