"""Passes as a recorder sees them, made up: a machine's day, quiet or busy, without waiting for it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
TICK_S, HEARTBEAT_TICKS = 2.0, 7
_NAMES = ("python3", "postgres", "nginx", "java", "node", "gcc", "systemd-journald", "kworker/0:1-events")
_STALLS = ("cpu_some", "memory_some", "memory_full", "io_some", "io_full")


class MadePast:
    """A pass every two seconds, of a busy machine each with processes, of a quiet one at heartbeats."""

    def __init__(self, *, is_busy: bool, seed: int = 7) -> None:
        self._chance = random.Random(seed)
        self._is_busy = is_busy
        self._living = [self._born(pid) for pid in range(300, 340)]

    def passes(self, seconds: float, since: datetime = BEGAN) -> Iterator[Rates]:
        """Yield the passes of so long a time."""
        for number in range(int(seconds / TICK_S)):
            yield self._one(number, since + timedelta(seconds=TICK_S * number))

    def _one(self, number: int, at: datetime) -> Rates:
        chance = self._chance
        is_complete = self._is_busy or number % HEARTBEAT_TICKS == 0
        if is_complete and chance.random() < 0.1:
            self._living[chance.randrange(40)] = self._born(1000 + number)
        load = chance.uniform(60, 100) if self._is_busy else chance.uniform(0.5, 3)
        system = SystemRates(
            machine_percent=load, cpu_count=8, memory_total_bytes=32 << 30, swap_used_bytes=0,
            memory_available_bytes=(20 << 30) + chance.randrange(1 << 30), load_1=load / 12,
            disk_bytes_per_s={"nvme0n1": chance.uniform(0, 4e7 if self._is_busy else 4e4), "sda": 0.0},
            network_bytes_per_s={"lo": chance.uniform(0, 900), "eth0": chance.uniform(0, 2e6)},
            pressure_percent=dict.fromkeys(_STALLS, 0.0),
            unattributed_cpu_percent=chance.uniform(0, 2),
        )  # fmt: skip
        processes = tuple(self._ran(key, name) for key, name in self._living) if is_complete else ()
        return Rates(
            at, 1000.0 + TICK_S * number, TICK_S, system, processes,
            process_count=500, is_complete=is_complete, gap="first sample" if number == 0 else None,
        )  # fmt: skip

    def _born(self, pid: int) -> tuple[ProcessKey, str]:
        return ProcessKey(pid, self._chance.randrange(1 << 24)), self._chance.choice(_NAMES)

    def _ran(self, key: ProcessKey, name: str) -> ProcessRates:
        chance = self._chance
        cpu = chance.uniform(0, 90 if self._is_busy else 1)
        return ProcessRates(
            key, name, 1, "S", 1000, cpu, (20 << 20) + chance.randrange(1 << 28), chance.randrange(1, 40),
            disk_bytes_per_s=chance.uniform(0, 1e6) if self._is_busy else 0.0, unit=f"{name}.service",
        )  # fmt: skip
