"""History: passes thinned to what looking back needs, packed small.

Kept of each pass: the machine, and the processes that lead in CPU, memory, disk or network. Rates are
rounded to 0.1, sizes to 64 KiB, byte rates to 1 B/s, times to 1 ms. Thinned passes are never `is_complete`.
Values of one kind stand in one list, which compresses to about a third of a list of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates
from monitord.storage.cells import packed_cell, packed_of, time_cell, time_of

LEADERS = 6
_GRAIN_BYTES = 64 << 10
_RANKINGS: tuple[Callable[[ProcessRates], float], ...] = (
    lambda process: process.cpu_percent or 0.0,
    lambda process: float(process.rss_bytes),
    lambda process: process.disk_bytes_per_s or 0.0,
    lambda process: process.network_bytes_per_s or 0.0,
)
_LEVELS = ("cpu_count", "memory_total_bytes", "memory_available_bytes", "swap_used_bytes")


def leaders(processes: Sequence[ProcessRates]) -> tuple[ProcessRates, ...]:
    """Return those that stand among the first in at least one ranking, and above zero in it."""
    chosen: dict[ProcessKey, ProcessRates] = {}
    for ranking in _RANKINGS:
        for process in sorted(processes, key=ranking, reverse=True)[:LEADERS]:
            if ranking(process) > 0:
                chosen[process.key] = process
    return tuple(chosen.values())


def pack(passes: Sequence[Rates]) -> bytes:
    """Passes, oldest first and at least one, as one cell."""
    first = passes[0]
    identities: dict[tuple[Any, ...], int] = {}
    return packed_cell(
        {
            "from": time_cell(first.taken_at),
            "at_ms": [_ms((rates.taken_at - first.taken_at).total_seconds()) for rates in passes],
            "monotonic_ms": [_ms(rates.monotonic_s) for rates in passes],
            "interval_ms": [_ms(rates.interval_s) for rates in passes],
            "process_count": [rates.process_count for rates in passes],
            "gap": [rates.gap for rates in passes],
            "system": _system_columns([rates.system for rates in passes]),
            "processes": [
                [_process_row(process, identities) for process in leaders(rates.processes)]
                for rates in passes
            ],
            "identities": [list(identity) for identity in identities],
        }
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _grain(size_bytes: int) -> int:
    return round(size_bytes / _GRAIN_BYTES)


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _system_columns(systems: Sequence[SystemRates]) -> Mapping[str, Any]:
    return {
        "machine_percent": [_tenth(system.machine_percent) for system in systems],
        "unattributed_cpu_percent": [_tenth(system.unattributed_cpu_percent) for system in systems],
        "load_1": [round(system.load_1, 2) for system in systems],
        "cpu_count": [system.cpu_count for system in systems],
        **{name: [_grain(getattr(system, name)) for system in systems] for name in _LEVELS[1:]},
        "disk_bytes_per_s": _by_name([system.disk_bytes_per_s for system in systems], _whole),
        "network_bytes_per_s": _by_name([system.network_bytes_per_s for system in systems], _whole),
        "pressure_percent": _by_name([system.pressure_percent for system in systems], _tenth),
    }


def _by_name(
    rows: Sequence[Mapping[str, float]], rounded: Callable[[float | None], float | None]
) -> dict[str, list[float | None]]:
    """One list per device; None where a pass did not have it. Devices that never moved cost one list."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [rounded(row.get(name)) for row in rows] for name in names}


def _process_row(process: ProcessRates, identities: dict[tuple[Any, ...], int]) -> list[Any]:
    key = process.key
    identity = (key.pid, key.start_ticks, process.name, process.parent_pid, process.uid, process.unit)
    return [
        identities.setdefault(identity, len(identities)),
        process.state,
        _tenth(process.cpu_percent),
        _grain(process.rss_bytes),
        process.thread_count,
        _whole(process.disk_bytes_per_s),
        _whole(process.network_bytes_per_s),
        process.fd_count,
    ]


def unpack(cell: bytes) -> list[Rates]:
    """The passes of one cell, oldest first."""
    packed = packed_of(cell)
    first = time_of(packed["from"])
    return [
        Rates(
            taken_at=first + timedelta(milliseconds=at_ms),
            monotonic_s=packed["monotonic_ms"][i] / 1000,
            interval_s=packed["interval_ms"][i] / 1000,
            system=_system_of(packed["system"], i),
            processes=tuple(_process_of(row, packed["identities"]) for row in packed["processes"][i]),
            process_count=packed["process_count"][i],
            gap=packed["gap"][i],
        )
        for i, at_ms in enumerate(packed["at_ms"])
    ]


def _system_of(columns: Mapping[str, Any], i: int) -> SystemRates:
    def devices(name: str) -> dict[str, float]:
        return {device: values[i] for device, values in columns[name].items() if values[i] is not None}

    return SystemRates(
        machine_percent=columns["machine_percent"][i],
        cpu_count=columns["cpu_count"][i],
        memory_total_bytes=columns["memory_total_bytes"][i] * _GRAIN_BYTES,
        memory_available_bytes=columns["memory_available_bytes"][i] * _GRAIN_BYTES,
        swap_used_bytes=columns["swap_used_bytes"][i] * _GRAIN_BYTES,
        load_1=columns["load_1"][i],
        disk_bytes_per_s=devices("disk_bytes_per_s"),
        network_bytes_per_s=devices("network_bytes_per_s"),
        pressure_percent=devices("pressure_percent"),
        unattributed_cpu_percent=columns["unattributed_cpu_percent"][i],
    )


def _process_of(row: Sequence[Any], identities: Sequence[Sequence[Any]]) -> ProcessRates:
    index, state, cpu_percent, rss_grains, thread_count, disk, network, fd_count = row
    pid, start_ticks, name, parent_pid, uid, unit = identities[index]
    return ProcessRates(
        key=ProcessKey(pid, start_ticks),
        name=name,
        parent_pid=parent_pid,
        state=state,
        uid=uid,
        cpu_percent=cpu_percent,
        rss_bytes=rss_grains * _GRAIN_BYTES,
        thread_count=thread_count,
        disk_bytes_per_s=disk,
        network_bytes_per_s=network,
        fd_count=fd_count,
        unit=unit,
    )
