"""When a per-process pass may be left out: only when the totals of the machine prove that no process
can have broken a level that somebody asked for.

* CPU: the cores' idle time is measured exactly (tickless kernels) while busy time is counted in ticks
  that a process can sleep across. So the bound is elapsed × cores − idle, not the busy counter.
* RSS: every resident page of a process is in AnonPages or Mapped of /proc/meminfo. (A process that maps
  one page twice is counted twice in its RSS and once there: the heartbeat pass finds those.)
* Storage: read_bytes grows where PGPGIN does; write_bytes where nr_dirtied or PGPGOUT does.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitord.model import Demand
from monitord.procfs import PAGE_BYTES

CPU_MARGIN_S = 0.05
"""Five clock ticks: idle, iowait, utime and stime are each rounded to 10 ms, and the two readings of
a process are up to 4 ms behind the running task."""

UNREAD_SHARE = 0.25
"""What may go unread between two passes, as a share of what breaks a level in one interval. It bounds
the error when a process's use is assigned to the last interval (rates.process_rates)."""

RSS_LAG_BYTES = 512 * PAGE_BYTES
STORAGE_LAG_BYTES = 128 * PAGE_BYTES
"""Per core: the kernel's per-CPU counters lag by at most 125 pages each; an RSS and its totals are four
of them, nr_dirtied is one."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the whole machine used, read together with a system sample.

    `idle_s` (all cores, with iowait) and `storage_bytes` count since boot; `mapped_bytes` is a level.
    `storage_bytes` is None where it bounds nothing: a network file system is mounted. None: not known.
    """

    monotonic_s: float
    cpu_count: int
    idle_s: float
    busy_s: float
    mapped_bytes: int | None
    storage_bytes: int | None


@dataclass(frozen=True, slots=True)
class Need:
    """Which readings of every process could matter now."""

    cpu: bool = True
    rss: bool = True
    io: bool = True

    @property
    def any(self) -> bool:
        return self.cpu or self.rss or self.io


EVERYTHING = Need()


class Bounds:
    """Follows the totals from look to look and says what could matter under a demand."""

    def __init__(self) -> None:
        self._previous: Totals | None = None
        self._unread_cpu_s = 0.0
        self._unread_io_bytes = 0.0
        self.tick_cpu_s: float | None = None
        self.tick_io_bytes: float | None = None

    def judge(self, totals: Totals | None, demand: Demand) -> Need:
        """What may matter since the last look. Without totals (other platforms): everything, always."""
        previous, self._previous = self._previous, totals
        self.tick_cpu_s = self.tick_io_bytes = None
        if totals is None or previous is None or totals.cpu_count != previous.cpu_count:
            return EVERYTHING
        interval_s = totals.monotonic_s - previous.monotonic_s
        cpu_s = _most_cpu_s(previous, totals, interval_s)
        io_bytes = _moved_bytes(previous, totals)
        self._unread_cpu_s += cpu_s
        self._unread_io_bytes += io_bytes or 0.0
        self.tick_cpu_s = cpu_s + CPU_MARGIN_S
        self.tick_io_bytes = None if io_bytes is None else io_bytes + STORAGE_LAG_BYTES * totals.cpu_count
        return Need(
            cpu=self._cpu_matters(demand, interval_s),
            rss=_rss_matters(totals, demand),
            io=self._io_matters(totals, demand, interval_s),
        )

    def all_was_read(self, with_io: bool) -> None:
        """A complete pass was made: nothing is unread any more (storage only if it was read too)."""
        self._unread_cpu_s = 0.0
        if with_io:
            self._unread_io_bytes = 0.0

    def _cpu_matters(self, demand: Demand, interval_s: float) -> bool:
        if demand.cpu_percent is None:
            return False
        breaks_s = demand.cpu_percent / 100.0 * interval_s
        return self._unread_cpu_s + CPU_MARGIN_S >= UNREAD_SHARE * breaks_s

    def _io_matters(self, totals: Totals, demand: Demand, interval_s: float) -> bool:
        if demand.disk_bytes_per_s is None:
            return False
        if self.tick_io_bytes is None:
            return True
        most_bytes = self._unread_io_bytes + STORAGE_LAG_BYTES * totals.cpu_count
        return most_bytes >= UNREAD_SHARE * demand.disk_bytes_per_s * interval_s


def _most_cpu_s(before: Totals, after: Totals, interval_s: float) -> float:
    """The most CPU time that all processes together can have used; an idle clock set back counts as none."""
    idle_s = max(0.0, after.idle_s - before.idle_s)
    return max(0.0, interval_s * after.cpu_count - idle_s, after.busy_s - before.busy_s)


def _rss_matters(totals: Totals, demand: Demand) -> bool:
    if demand.rss_bytes is None:
        return False
    if totals.mapped_bytes is None:
        return True
    return totals.mapped_bytes + RSS_LAG_BYTES * totals.cpu_count >= demand.rss_bytes


def _moved_bytes(before: Totals, after: Totals) -> float | None:
    if before.storage_bytes is None or after.storage_bytes is None:
        return None
    return float(max(0, after.storage_bytes - before.storage_bytes))
