"""Pasts as a recorder leaves them: passes on a clock that can sleep, be set, and start anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates

BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
BURNER = 4321


@dataclass
class Past:
    """`passes` grows by what is told of it: `looks` are ordinary ones, the others lie before the next look."""

    at: datetime = BEGAN
    monotonic_s: float = 1000.0
    passes: list[Rates] = field(default_factory=list)
    _gap: str | None = "first sample"

    def looks(self, seconds: float, step_s: float = 15.0, percent: float = 10.0) -> Past:
        for _ in range(int(seconds / step_s)):
            self.passes.append(self._look(step_s, percent))
            self.at += timedelta(seconds=step_s)
            self.monotonic_s += step_s
        return self

    def sleeps(self, seconds: float) -> Past:
        self.at += timedelta(seconds=seconds)
        self._gap = "suspend"
        return self

    def stops(self, seconds: float, *, reboots: bool = False) -> Past:
        self.at += timedelta(seconds=seconds)
        self.monotonic_s = 5.0 if reboots else self.monotonic_s + seconds
        self._gap = "first sample"
        return self

    def sets_clock(self, seconds: float) -> Past:
        self.at += timedelta(seconds=seconds)
        self._gap = "clock jump"
        return self

    def loses(self, seconds: float) -> Past:
        """What was looked at is not stored: a full disk."""
        self.at += timedelta(seconds=seconds)
        self.monotonic_s += seconds
        return self

    def batches(self, count: int = 4) -> Iterator[list[Rates]]:
        """As they are handed to the store."""
        for start in range(0, len(self.passes), count):
            yield self.passes[start : start + count]

    def _look(self, step_s: float, percent: float) -> Rates:
        gap, self._gap = self._gap, None
        system = SystemRates(
            machine_percent=percent, cpu_count=4, memory_total_bytes=16 << 30,
            memory_available_bytes=8 << 30, swap_used_bytes=0, load_1=0.5,
            disk_bytes_per_s={"sda": 1000.0}, network_bytes_per_s={"eth0": 2000.0, "lo": 10.0},
        )  # fmt: skip
        burner = ProcessRates(ProcessKey(BURNER, 7), "burner", 1, "R", 0, 4 * percent, 64 << 20, 4)
        other = replace(burner, key=ProcessKey(99, 1), name="idle", cpu_percent=0.5, rss_bytes=1 << 30)
        return Rates(self.at, self.monotonic_s, step_s, system, (other, burner), process_count=2, gap=gap)
