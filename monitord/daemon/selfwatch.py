"""The daemon watches itself and steps back before it becomes the incident.

Limits after osquery's watchdog (10 % of a core, held 12 s; 200 MB), halved for memory.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass

from monitord import procfs
from monitord.model import sized

CPU_LIMIT_PERCENT = 10.0
RSS_LIMIT_BYTES = 100 * 2**20
_HELD_FOR = 3  # readings in a row; one is taken at each heartbeat
_LONGEST_STRETCH = 16
_SHORTEST_S = 5.0  # over less than this a percentage of a core is noise


@dataclass(frozen=True, slots=True)
class OwnCost:
    """What the daemon itself uses: percent of one core since the last reading, and resident bytes.

    `cpu_percent` is None until there is something to speak of: what a start costs says nothing about it.
    """

    cpu_percent: float | None
    rss_bytes: int


class SelfWatch:
    """Reads the own cost and says by how much the interval is to be stretched (1, 2, 4 … 16)."""

    def __init__(self) -> None:
        self._cpu_s = time.process_time()
        self._at_s = time.monotonic()
        self._over = 0
        self._under = 0
        self.stretch = 1
        self.cost = OwnCost(None, own_rss_bytes())

    def begin(self) -> None:
        """The start is over: from now on it counts."""
        self._cpu_s, self._at_s = time.process_time(), time.monotonic()

    def read(self) -> OwnCost:
        """Take a reading and adapt the stretch."""
        cpu_s, now_s = time.process_time(), time.monotonic()
        if now_s - self._at_s < _SHORTEST_S:
            return self.cost
        percent = 100 * (cpu_s - self._cpu_s) / (now_s - self._at_s)
        self._cpu_s, self._at_s = cpu_s, now_s
        self.cost = OwnCost(percent, own_rss_bytes())
        self.judge(self.cost)
        return self.cost

    def judge(self, cost: OwnCost) -> None:
        """Double the interval after three readings above a limit, undo it after three below half of it."""
        if cost.cpu_percent is None:
            return
        is_over = cost.cpu_percent > CPU_LIMIT_PERCENT
        is_under = cost.cpu_percent < CPU_LIMIT_PERCENT / 2
        self._over = self._over + 1 if is_over else 0
        self._under = self._under + 1 if is_under else 0
        if self._over >= _HELD_FOR and self.stretch < _LONGEST_STRETCH:
            self.stretch, self._over = self.stretch * 2, 0
        if self._under >= _HELD_FOR and self.stretch > 1:
            self.stretch, self._under = self.stretch // 2, 0

    def complaints(self) -> list[str]:
        """What is to be said in `status`."""
        found = []
        if self.stretch > 1:
            found.append(
                f"looking {self.stretch} times less often: monitord itself used more than"
                f" {CPU_LIMIT_PERCENT:g} % of a core"
            )
        if self.cost.rss_bytes > RSS_LIMIT_BYTES:
            found.append(f"monitord itself uses {sized(self.cost.rss_bytes, 'bytes')} of memory")
        return found


def own_rss_bytes() -> int:
    """Return the resident bytes now (Linux), elsewhere the highest so far (all the library knows)."""
    memory = procfs.memory_of(os.getpid())
    if memory is not None:
        return memory[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
