"""One look at the machine: the totals always, the processes whenever one of them could matter.

The front of this room. It introduces the readers (what is), the bounds (what may be left out) and the
rates (what two readings give) to each other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from monitord import procfs
from monitord.errors import UsageError
from monitord.model import (
    Demand,
    ProcessDetails,
    ProcessKey,
    ProcessRates,
    Rates,
    SystemSample,
    Traffic,
    changed,
)
from monitord.sampling import details
from monitord.sampling.bounds import EVERYTHING, RSS_LAG_BYTES, Bounds, Need
from monitord.sampling.entries import sees_everybody
from monitord.sampling.groups import GroupKills, Groups
from monitord.sampling.linux import LinuxProcesses
from monitord.sampling.process_reader import ProcessReader, ProcessReading, ReadRequest, ReadResult
from monitord.sampling.rates import (
    LastTick,
    gap_between,
    process_rates,
    system_rates,
    unattributed_cpu_percent,
)
from monitord.sampling.system import system_reader
from monitord.sampling.waiting import TurnWaits, is_crowded


def _portable(_root: str) -> ProcessReader:
    from monitord.sampling.portable import PortableProcesses

    return PortableProcesses()


BACKENDS: dict[str, Callable[[str], ProcessReader]] = {
    "linux": lambda root: LinuxProcesses(root=root),
    "psutil": _portable,
}
"""To add a sampler: a file with a ProcessReader, and a line here; tests/contracts tests it."""

_LONGEST_S = 60.0
"""An interval above this (or four heartbeats) is a gap: its average says nothing about now."""


class Sampler:
    """Looks at the machine. Not thread-safe: it belongs to the sampling loop.

    `heartbeat_s` is the longest time between two complete passes that count descriptors, too. `backend`
    is auto, linux or psutil; `root` is where Linux shows its processes.
    """

    def __init__(self, *, heartbeat_s: float = 15.0, backend: str = "auto", root: str = "/proc") -> None:
        self._processes = _reader(backend, root)
        self._system = system_reader(root)
        self._heartbeat_s = heartbeat_s
        self._bounds = Bounds()
        self._previous: SystemSample | None = None
        self._last_complete: SystemSample | None = None
        self._heartbeat_at_s = float("-inf")
        self._io_was_asked = False
        self._watched_cpu_s = 0.0
        self._waits = TurnWaits()
        self._groups = Groups(root)
        self._group_kills = GroupKills()
        self._sees_everybody = sees_everybody()

    def look(self, demand: Demand) -> Rates:
        """One pass. The first one has `gap="first sample"` and no rate at all."""
        sample, totals = self._system.read()
        previous, self._previous = self._previous, sample
        system = system_rates(previous, sample)
        waits_matter = is_crowded(system) and (demand.cpu_percent is not None or demand.needs_consumers)
        could_matter = self._bounds.judge(totals, demand)
        # The bounds know what can have been used, not who stood in line for it, nor who started what.
        is_storm = demand.starts_per_s is not None and _reaches(system.starts_per_s, demand.starts_per_s)
        if waits_matter or is_storm:
            could_matter = replace(could_matter, cpu=True)
        is_heartbeat = self._is_heartbeat(sample, could_matter)
        need = self._need(could_matter, demand, is_heartbeat)
        seen = self._read(need, demand, previous, is_heartbeat)
        tick = self._last_tick(previous, sample, demand)
        processes = self._processes_in(seen, tick, demand, waits_matter=waits_matter)
        if need is not None:
            system = replace(system, unattributed_cpu_percent=self._unattributed(sample, seen))
        kills, of_groups = self._group_kills.since(system.oom_kills)
        if processes:
            processes = self._groups.with_limits(processes, sample.memory_total_bytes)
            self._group_kills.watch(self._groups.of_memory())
        if kills:
            system = replace(system, oom_kills=kills, oom_kills_in=of_groups)
        return Rates(
            taken_at=sample.taken_at,
            monotonic_s=sample.monotonic_s,
            interval_s=0.0 if previous is None else sample.monotonic_s - previous.monotonic_s,
            system=system,
            processes=processes,
            exited=seen.exited,
            process_count=self._processes.process_count,
            is_complete=need is not None,
            gap=gap_between(previous, sample, max(_LONGEST_S, 4 * self._heartbeat_s)),
        )

    def take_system(self) -> SystemSample:
        """The machine alone, as read now. Does not disturb the rates of `look`."""
        return self._system.read()[0]

    def details(self, key: ProcessKey) -> ProcessDetails | None:
        """Who a suspect is; None when it is gone or its number is somebody else's. argv is redacted."""
        return details.details(key)

    def heaviest(self) -> ProcessRates | None:
        """The process with the most resident memory, as last read: the culprit when memory runs low."""
        sample = self._processes.heaviest()
        if sample is None:
            return None
        memory = self._memory(sample.key.pid, sample.rss_bytes)
        rates = process_rates(ProcessReading(sample), LastTick(0.0), *memory)
        return replace(rates, image=self._processes.image_of(sample.key.pid))

    def traffic(self, over_s: float) -> Traffic:
        """Which process moves the bytes on the network. Takes a little more than `over_s` seconds."""
        from monitord.sampling import network

        return network.traffic(over_s)

    @property
    def missing(self) -> dict[str, str]:
        """Files of /proc that can't be read or make no sense, and why: what the looks go without."""
        return {**self._system.missing, **self._processes.missing}

    def close(self) -> None:
        """Give every descriptor back."""
        self._processes.close()
        self._system.close()
        self._waits.forget()

    # -------------------------------------------------------------------------------- one look

    def _is_heartbeat(self, sample: SystemSample, could_matter: Need) -> bool:
        """Due, or half due in a pass that is complete anyway, so that it costs none of its own."""
        wait_s = self._heartbeat_s / 2 if could_matter.any else self._heartbeat_s
        is_due = sample.monotonic_s - self._heartbeat_at_s >= wait_s
        if is_due:
            self._heartbeat_at_s = sample.monotonic_s
        return is_due

    def _need(self, could_matter: Need, demand: Demand, is_heartbeat: bool) -> Need | None:
        """What a complete pass must read; None when it may be left out."""
        if is_heartbeat:
            return EVERYTHING
        if demand.disk_bytes_per_s is not None and not self._io_was_asked:
            return EVERYTHING  # from now on every process needs an earlier I/O reading
        return could_matter if could_matter.any else None

    def _read(
        self, need: Need | None, demand: Demand, previous: SystemSample | None, is_heartbeat: bool
    ) -> ReadResult:
        ask = ReadRequest(
            watched=demand.watched,
            wants_io=need is not None and need.io and demand.disk_bytes_per_s is not None,
            wants_fd_count=is_heartbeat and demand.needs_fd_count,
            previous_look_s=None if previous is None else previous.monotonic_s,
        )
        if need is None:
            look = self._processes.read_some(demand.watched, ask) if demand.watched else ReadResult()
            self._watched_cpu_s += sum(one.cpu_used_s for one in look.readings)
            return look
        look = self._processes.read_all(ask)
        self._bounds.all_was_read(with_io=ask.wants_io)
        self._io_was_asked = ask.wants_io or self._io_was_asked
        return look

    def _last_tick(self, previous: SystemSample | None, sample: SystemSample, demand: Demand) -> LastTick:
        return LastTick(
            interval_s=0.0 if previous is None else sample.monotonic_s - previous.monotonic_s,
            cpu_s=self._bounds.tick_cpu_s,
            io_bytes=self._bounds.tick_io_bytes,
            cpu_level_percent=demand.cpu_percent,
            io_level_bytes_per_s=demand.disk_bytes_per_s,
        )

    def _unattributed(self, sample: SystemSample, seen: ReadResult) -> float | None:
        """Between this complete pass and the last one; what was seen used in between has its owner too."""
        last, self._last_complete = self._last_complete, sample
        watched_cpu_s, self._watched_cpu_s = self._watched_cpu_s, 0.0
        if last is None or not self._sees_everybody:
            return None  # the machine's counters hold what is hidden from us, too
        busy_s = sample.cpu_busy_s - last.cpu_busy_s - watched_cpu_s
        return unattributed_cpu_percent(busy_s, sample.monotonic_s - last.monotonic_s, seen.readings)

    def _processes_in(
        self, seen: ReadResult, tick: LastTick, demand: Demand, *, waits_matter: bool
    ) -> tuple[ProcessRates, ...]:
        """Their rates, each made complete once: a copy costs more than most readings."""
        every = [self._rates(sighting, tick, demand) for sighting in seen.readings]
        waited: dict[ProcessKey, float] = {}
        if waits_matter:
            waited = self._waits.measure(every, self._processes.turns_of)
        else:
            self._waits.forget()
        return tuple(
            self._complete(one, sighting.sample.rss_bytes, demand, waited.get(one.key))
            for one, sighting in zip(every, seen.readings, strict=True)
        )

    def _rates(self, seen: ProcessReading, tick: LastTick, demand: Demand) -> ProcessRates:
        """The rates of one process, with its exact memory where a rule wants it of all that are as large."""
        pid, resident_bytes = seen.sample.key.pid, seen.sample.rss_bytes
        huge_bytes = procfs.huge_bytes_of(pid) if self._system.has_huge_pages else 0
        private_bytes = None
        if _reaches(resident_bytes + huge_bytes, demand.private_from_bytes):
            resident_bytes, private_bytes = self._memory(pid, resident_bytes)
        return process_rates(seen, tick, resident_bytes + huge_bytes, private_bytes)

    def _complete(
        self, rates: ProcessRates, resident_bytes: int, demand: Demand, waited_percent: float | None
    ) -> ProcessRates:
        """With what it waited for; of suspects also unit, descriptors and exact memory."""
        pid = rates.key.pid
        is_suspect = self._is_suspect(rates, demand)
        more: dict[str, Any] = {} if waited_percent is None else {"waited_percent": waited_percent}
        if is_suspect:
            if not _reaches(rates.rss_bytes, demand.private_from_bytes):
                exact_bytes, private_bytes = self._memory(pid, resident_bytes)
                huge_bytes = rates.rss_bytes - resident_bytes  # no resident set counts them
                more |= {"rss_bytes": exact_bytes + huge_bytes, "private_bytes": private_bytes}
            more |= {
                "fd_count": rates.fd_count if rates.fd_count is not None else self._processes.fd_count(pid),
                "unit": self._groups.unit_of(rates.key),
                "image": self._processes.image_of(pid),
                "is_frozen": rates.state == "D" and self._groups.is_frozen(pid),
            }
        elif demand.needs_unit:
            more["unit"] = self._groups.unit_of(rates.key)
        return changed(rates, **more) if more else rates

    def _memory(self, pid: int, resident_bytes: int) -> tuple[int, int | None]:
        """Exact resident memory and the private part of it; what was known before where it can't be read."""
        memory = self._processes.memory_of(pid)
        return memory if memory is not None and memory[0] else (resident_bytes, None)

    def _is_suspect(self, rates: ProcessRates, demand: Demand) -> bool:
        rss_bytes = rates.rss_bytes + RSS_LAG_BYTES * (self._previous.cpu_count if self._previous else 1)
        return (
            rates.key in demand.watched
            or rates.state == "D"
            or _reaches(rates.cpu_percent, demand.cpu_percent)
            or _reaches(rss_bytes, demand.rss_bytes)
            or _reaches(rates.disk_bytes_per_s, demand.disk_bytes_per_s)
        )


def _reaches(value: float | None, level: float | None) -> bool:
    return value is not None and level is not None and value >= level


def _reader(backend: str, root: str = "/proc") -> ProcessReader:
    name = backend if backend != "auto" else ("linux" if sys.platform == "linux" else "psutil")
    if name not in BACKENDS or (name == "linux" and sys.platform != "linux"):
        raise UsageError(f"invalid sampling.backend {backend!r}: expected auto, psutil or (on Linux) linux")
    return BACKENDS[name](root)


def key_of(pid: int) -> ProcessKey | None:
    """The process that has this pid now; None: no such process."""
    if sys.platform == "linux":
        return procfs.key_of(pid)
    from monitord.sampling import portable

    return portable.key_of(pid)


def observe(pid: int, over_s: float) -> ProcessRates | None:
    """Two looks at one process, `over_s` apart; None when there is no such process, or it went away."""
    key = key_of(pid)
    if key is None:
        return None
    reader = _reader("auto")
    try:
        ask = ReadRequest(watched=frozenset((key,)))
        reader.read_some([key], ask)
        time.sleep(max(0.0, over_s))
        seen = reader.read_some([key], ask).readings
    finally:
        reader.close()
    if not seen:
        return None
    return replace(process_rates(seen[0], LastTick(over_s)), unit=details.unit_of(pid))
