"""The only place where two readings become a rate. Pure: given samples, never a clock or a file.

A gap is never a spike: what can't be known is None (or absent from a mapping), and whatever makes a
whole pass untrustworthy is named in `gap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from monitord.model import Pressure, ProcessRates, SystemRates, SystemSample
from monitord.sampling.process_reader import ProcessReading

SUSPEND_S = 0.5
"""Boot time and monotonic time drift apart only in suspend; half a second is far above reading jitter."""

CLOCK_JUMP_S = 1.0
CLOCK_JUMP_SHARE = 0.5
"""Wall and boot time may disagree by 1 s or half the interval, whichever is more: NTP slews by 0.05 %."""

SHORTEST_S = 0.05
"""Below this, one 10 ms clock tick is 20 % of a core: no rate is worth its name."""


def gap_between(before: SystemSample | None, after: SystemSample, longest_s: float) -> str | None:
    """Why nothing may be concluded from these two samples; None in ordinary times.

    `longest_s` is the interval above which an average says nothing about now (a stopped or starved
    daemon). The wall clock is compared with boot time, which goes on in suspend as the wall clock does.
    """
    if before is None:
        return "first sample"
    elapsed_s = after.monotonic_s - before.monotonic_s
    boot_elapsed_s = after.boottime_s - before.boottime_s
    wall_elapsed_s = (after.taken_at - before.taken_at).total_seconds()
    if boot_elapsed_s - elapsed_s > SUSPEND_S:
        return "suspend"
    if abs(wall_elapsed_s - boot_elapsed_s) > max(CLOCK_JUMP_S, CLOCK_JUMP_SHARE * boot_elapsed_s):
        return "clock jump"
    if elapsed_s < SHORTEST_S:
        return "interval too short"
    if elapsed_s > longest_s:
        return "interval too long"
    if after.cpu_busy_s < before.cpu_busy_s - 0.5 * after.cpu_count:
        return "counters ran backwards"
    return None


def per_second(before: float | None, after: float | None, over_s: float) -> float | None:
    """How fast a counter grew; None when it is not known, ran backwards, or no time passed."""
    if before is None or after is None or after < before or over_s < SHORTEST_S:
        return None
    return (after - before) / over_s


def system_rates(before: SystemSample | None, after: SystemSample) -> SystemRates:
    """The machine between two samples. Without a usable earlier one, levels only and no traffic.

    A disk or interface that is in one sample only, or whose counter ran backwards (unplugged and
    plugged again), has no rate. `machine_percent` is of all cores together, never above 100.
    """
    if before is None:
        return _system(after, 0.0, {}, {}, {})
    over_s = after.monotonic_s - before.monotonic_s
    busy_per_s = per_second(before.cpu_busy_s, after.cpu_busy_s, over_s) or 0.0
    return _system(
        after,
        min(100.0, 100.0 * busy_per_s / max(1, after.cpu_count)),
        _traffic(
            {disk.name: disk.read_bytes + disk.write_bytes for disk in before.disks},
            {disk.name: disk.read_bytes + disk.write_bytes for disk in after.disks},
            over_s,
        ),
        _traffic(
            {link.name: link.received_bytes + link.sent_bytes for link in before.interfaces},
            {link.name: link.received_bytes + link.sent_bytes for link in after.interfaces},
            over_s,
        ),
        _pressure(before.pressure, after.pressure, over_s),
        _more(before.oom_kills, after.oom_kills),
        per_second(before.starts, after.starts, over_s),
    )


def _system(
    after: SystemSample,
    machine_percent: float,
    disks: Mapping[str, float],
    network: Mapping[str, float],
    pressure: Mapping[str, float],
    oom_kills: int | None = None,
    starts_per_s: float | None = None,
) -> SystemRates:
    return SystemRates(
        machine_percent=machine_percent,
        cpu_count=after.cpu_count,
        memory_total_bytes=after.memory_total_bytes,
        memory_available_bytes=after.memory_available_bytes,
        swap_used_bytes=after.swap_used_bytes,
        load_1=after.load_1,
        disk_bytes_per_s=disks,
        network_bytes_per_s=network,
        pressure_percent=pressure,
        oom_kills=oom_kills,
        memory_held_bytes=after.memory_held_bytes,
        starts_per_s=starts_per_s,
    )


def _more(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _traffic(before: Mapping[str, int], after: Mapping[str, int], over_s: float) -> dict[str, float]:
    rates = {name: per_second(before.get(name), value, over_s) for name, value in after.items()}
    return {name: rate for name, rate in rates.items() if rate is not None}


def _pressure(before: Pressure | None, after: Pressure | None, over_s: float) -> dict[str, float]:
    """Percent of the interval in which some or all tasks waited, by the names cpu_some … io_full."""
    if before is None or after is None:
        return {}
    shares = {}
    for stall, name in _STALLS:
        share = per_second(getattr(before, stall), getattr(after, stall), over_s)
        if share is not None:
            shares[name] = min(100.0, 100.0 * share)
    return shares


_STALLS = tuple((stall.name, stall.name.removesuffix("_s")) for stall in fields(Pressure))


@dataclass(frozen=True, slots=True)
class LastTick:
    """What bounds a process in the interval since the previous look, when looks were skipped before it.

    `cpu_s` and `io_bytes` are all that the whole machine can have used in it (None: not known);
    `cpu_level_percent` and `io_level_bytes_per_s` are the lowest levels that somebody asks for.
    """

    interval_s: float
    cpu_s: float | None = None
    io_bytes: float | None = None
    cpu_level_percent: float | None = None
    io_level_bytes_per_s: float | None = None


def process_rates(
    seen: ProcessReading, tick: LastTick, rss_bytes: int | None = None, private_bytes: int | None = None
) -> ProcessRates:
    """One process between its last two readings; its memory as of the sample where it is not given.

    Its last reading may lie several skipped looks back. Then the average is given, unless the process
    may have broken a level within the last interval alone: then the most it can have used in that
    interval, so that a spike is not thinned out by the quiet before it. bounds.py keeps the error small.
    """
    sample = seen.sample
    cpu_per_s = _rate_in_tick(
        per_second(seen.earlier_cpu_s, sample.cpu_s, seen.cpu_over_s),
        seen.cpu_over_s,
        tick.interval_s,
        tick.cpu_s,
        None if tick.cpu_level_percent is None else tick.cpu_level_percent / 100.0,
    )
    io_bytes = io_total(sample.read_bytes, sample.write_bytes)
    children_per_s = per_second(seen.earlier_children_cpu_s, sample.children_cpu_s, seen.cpu_over_s)
    return ProcessRates(
        key=sample.key,
        name=sample.name,
        parent_pid=sample.parent_pid,
        state=sample.state,
        uid=sample.uid,
        cpu_percent=None if cpu_per_s is None else 100.0 * cpu_per_s,
        rss_bytes=sample.rss_bytes if rss_bytes is None else rss_bytes,
        thread_count=sample.thread_count,
        disk_bytes_per_s=_rate_in_tick(
            per_second(seen.earlier_io_bytes, io_bytes, seen.io_over_s),
            seen.io_over_s,
            tick.interval_s,
            tick.io_bytes,
            tick.io_level_bytes_per_s,
        ),
        fd_count=sample.fd_count,
        children_cpu_percent=None if children_per_s is None else 100.0 * children_per_s,
        private_bytes=private_bytes,
    )


def io_total(read_bytes: int | None, write_bytes: int | None) -> int | None:
    """Bytes read plus written; None when either was not read."""
    if read_bytes is None or write_bytes is None:
        return None
    return read_bytes + write_bytes


def _rate_in_tick(
    average: float | None, over_s: float, interval_s: float, machine_amount: float | None, level: float | None
) -> float | None:
    """The average, or the most it can have been in the last interval if that reaches the level."""
    if average is None or level is None or machine_amount is None or over_s <= 1.2 * interval_s:
        return average
    most = min(average * over_s, machine_amount) / interval_s if interval_s >= SHORTEST_S else average
    return most if most >= level else average


def unattributed_cpu_percent(busy_s: float, over_s: float, seen: Iterable[ProcessReading]) -> float | None:
    """Machine CPU that no living process accounts for, in percent of one core, never below 0.

    It is the share of processes that came and went between two complete passes, and of interrupts.
    """
    if over_s < SHORTEST_S:
        return None
    return max(0.0, 100.0 * (busy_s - sum(one.cpu_used_s for one in seen)) / over_s)
