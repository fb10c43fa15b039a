"""How long processes waited for a turn on a processor: /proc/PID/task/TID/schedstat, thread by thread.

Asked only while the machine is crowded, and then of those that used the most CPU. The file of the process
itself is of its main thread alone. A thread's waiting counts where it hardly slept: one that sleeps most of
the time and queues at each awakening is late, but it doesn't want a core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from monitord.model import ProcessKey, ProcessRates, SystemRates
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

_Turns = dict[int, tuple[int, int]]  # thread → nanoseconds on a processor, and waiting for one


def is_crowded(system: SystemRates) -> bool:
    """Whether anybody may have waited for a turn long enough to matter."""
    stalled = system.pressure_percent.get("cpu_some")
    if stalled is None:
        return system.machine_percent >= CROWDED_MACHINE_PERCENT
    return stalled >= CROWDED_PERCENT


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    turns: _Turns


class TurnWaits:
    """Remembers the last reading of each process that it was asked about, until the crowd has gone."""

    def __init__(self) -> None:
        self._last: dict[ProcessKey, _Reading] = {}

    def measure(self, processes: Iterable[ProcessRates]) -> dict[ProcessKey, float]:
        """Percent of one core that each waited since it was last asked; who is asked first has none yet."""
        busiest = sorted(
            (one for one in processes if (one.cpu_percent or 0.0) >= LEAST_USED_PERCENT),
            key=lambda one: -(one.cpu_percent or 0.0),
        )
        waited: dict[ProcessKey, float] = {}
        earlier, self._last = self._last, {}
        left = MAX_READS
        for process in busiest:
            if left <= 0:
                break
            reading = _Reading(time.monotonic(), _turns(process, min(left, MAX_THREADS)))
            left -= max(1, len(reading.turns))
            self._last[process.key] = reading
            before = earlier.get(process.key)
            if before is not None and reading.at_s - before.at_s >= SHORTEST_S:
                waited[process.key] = _waited_percent(before, reading)
        return waited

    def forget(self) -> None:
        """The crowd has gone: a later one is not joined with it."""
        self._last.clear()


def _waited_percent(before: _Reading, after: _Reading) -> float:
    """Of the threads that are in both readings; a new one counts from its second on."""
    over_ns = 1e9 * (after.at_s - before.at_s)
    total_ns = 0.0
    for thread, (ran, waited) in after.turns.items():
        known = before.turns.get(thread)
        if known is None or ran < known[0] or waited < known[1]:
            continue
        total_ns += denied_ns(ran - known[0], waited - known[1], over_ns)
    return 100.0 * total_ns / over_ns


def denied_ns(ran_ns: float, waited_ns: float, over_ns: float) -> float:
    """What a thread would have run besides without waits: it runs and sleeps in the same proportion."""
    asleep_ns = max(0.0, (1 - _NOT_SEEN_ASLEEP) * over_ns - ran_ns - waited_ns)
    return waited_ns * ran_ns / (ran_ns + asleep_ns) if ran_ns else 0.0


def _turns(process: ProcessRates, limit: int) -> _Turns:
    """Both counters of at most `limit` threads; those that can't be read are left out."""
    pid = process.key.pid
    folder = f"/proc/{pid}/task"
    if process.thread_count == 1:
        threads = [str(pid)]
    else:
        try:
            threads = os.listdir(folder)[:limit]  # noqa: PTH208 - plain names
        except OSError:
            return {}
    turns: _Turns = {}
    for thread in threads:
        fields = _read(f"{folder}/{thread}/schedstat").split(None, 2)
        if len(fields) > 1 and fields[0].isdigit() and fields[1].isdigit():
            turns[int(thread)] = int(fields[0]), int(fields[1])
    return turns


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 64)
    except OSError:
        return b""
    finally:
        os.close(fd)
