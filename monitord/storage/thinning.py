"""History: passes thinned to what looking back needs, packed small, and thinned again with age.

Kept of each pass: the machine, and the processes that lead in CPU, memory, disk or network. Rates are
rounded to 0.1, sizes to 64 KiB, byte rates to 1 B/s (to three digits where passes stand a minute apart),
times to 1 ms. Thinned passes are never `is_complete`. Values of one kind stand in one list, which compresses
to about a third of a list of objects. With age the busiest pass of a step stands for it: each value that is
kept was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates
from monitord.storage.cells import packed_cell, packed_of, time_cell, time_of

FINE_S, COARSE_S, COARSEST_S = 2, 15, 60
"""How far apart passes stand: for minutes, for a day, for the rest."""


@dataclass(frozen=True, slots=True)
class Level:
    """Rows of passes `of_s` apart become, when they are that old, rows of passes `step_s` apart.

    A row then holds `row_s` seconds: many passes compress well, and few are read for one.
    """

    of_s: int
    step_s: int
    age_s: int
    row_s: int


LEVELS = (Level(FINE_S, COARSE_S, 900, 900), Level(COARSE_S, COARSEST_S, 86_400, 3600))

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


@dataclass(frozen=True, slots=True)
class _Packed:
    """One pass as it is stored, before its values are put in columns."""

    taken_at: datetime
    monotonic_ms: int
    interval_ms: int
    process_count: int
    gap: str | None
    is_looked: bool  # at processes: who is not among them was idle, or smaller
    system: Mapping[str, Any]
    processes: Sequence[tuple[tuple[Any, ...], list[Any]]]  # identity, values

    @property
    def rank(self) -> tuple[bool, float]:
        """How much it tells of its step."""
        return self.is_looked, self.system["machine_percent"] or 0.0


def pack(passes: Sequence[Rates]) -> bytes:
    """Passes, oldest first and at least one, as one cell."""
    return _cell([_packed(rates) for rates in passes])


def thinned(cells: Iterable[bytes], step_s: float) -> bytes:
    """Some cells, oldest first, as one: the busiest pass of each step, and those after a gap."""
    kept: list[_Packed] = []
    step = best = None
    for one in (one for cell in cells for one in _records(cell)):
        number = one.taken_at.timestamp() // step_s
        if one.gap is not None or number != step:
            kept += [best] if best else []
            step, best = number, None
        if one.gap is not None:
            kept.append(one)
        elif best is None or one.rank > best.rank:
            best = one
    kept += [best] if best else []
    return _cell([_coarse(one) for one in kept] if step_s >= COARSEST_S else kept)


def _coarse(one: _Packed) -> _Packed:
    """One with byte rates of three digits, which take two thirds of the room."""
    system = dict(one.system)
    for kind in ("disk_bytes_per_s", "network_bytes_per_s"):
        system[kind] = {name: _three_digits(value) for name, value in system[kind].items()}
    processes = [
        (identity, [state, cpu, rss, threads, _three_digits(disk), _three_digits(network), fds])
        for identity, (state, cpu, rss, threads, disk, network, fds) in one.processes
    ]
    return replace(one, system=system, processes=processes)


def _three_digits(value: int | None) -> int | None:
    return value and round(value, min(0, 3 - len(str(abs(value)))))


def _packed(rates: Rates) -> _Packed:
    return _Packed(
        taken_at=rates.taken_at,
        monotonic_ms=_ms(rates.monotonic_s),
        interval_ms=_ms(rates.interval_s),
        process_count=rates.process_count,
        gap=rates.gap,
        is_looked=rates.is_complete or bool(rates.processes),
        system=_system_values(rates.system),
        processes=[_process_values(process) for process in leaders(rates.processes)],
    )


def _cell(passes: Sequence[_Packed]) -> bytes:
    first = passes[0].taken_at
    identities: dict[tuple[Any, ...], int] = {}
    return packed_cell(
        {
            "from": time_cell(first),
            "at_ms": [_ms((one.taken_at - first).total_seconds()) for one in passes],
            "monotonic_ms": [one.monotonic_ms for one in passes],
            "interval_ms": [one.interval_ms for one in passes],
            "process_count": [one.process_count for one in passes],
            "gap": [one.gap for one in passes],
            "looked": [one.is_looked for one in passes],
            "system": _columns([one.system for one in passes]),
            "processes": [
                [
                    [identities.setdefault(identity, len(identities)), *values]
                    for identity, values in one.processes
                ]
                for one in passes
            ],
            "identities": [list(identity) for identity in identities],
        }
    )


class StoredPasses:
    """The passes of one cell, oldest first; each is made when it is asked for."""

    def __init__(self, cell: bytes) -> None:
        self._packed = packed_of(cell)
        first = time_of(self._packed["from"])
        self.times = [first + timedelta(milliseconds=at_ms) for at_ms in self._packed["at_ms"]]
        count = len(self.times)
        self._looked = self._packed.get("looked") or [True] * count  # all of them, before there was a mark

    def looked(self, i: int) -> bool:
        """Whether a pass looked at processes."""
        return bool(self._looked[i])

    def record(self, i: int) -> _Packed:
        """One as it is stored."""
        packed = self._packed
        names = packed["identities"]
        return _Packed(
            taken_at=self.times[i],
            monotonic_ms=packed["monotonic_ms"][i],
            interval_ms=packed["interval_ms"][i],
            process_count=packed["process_count"][i],
            gap=packed["gap"][i],
            is_looked=self.looked(i),
            system=_values_at(packed["system"], i),
            processes=[(tuple(names[row[0]]), row[1:]) for row in packed["processes"][i]],
        )

    def rates(self, i: int) -> Rates:
        """One as values."""
        one = self.record(i)
        return Rates(
            taken_at=one.taken_at,
            monotonic_s=one.monotonic_ms / 1000,
            interval_s=one.interval_ms / 1000,
            system=_system_of(one.system),
            processes=tuple(_process_of(identity, values) for identity, values in one.processes),
            process_count=one.process_count,
            gap=one.gap,
        )


def _records(cell: bytes) -> Iterator[_Packed]:
    passes = StoredPasses(cell)
    return (passes.record(i) for i in range(len(passes.times)))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _grain(size_bytes: int) -> int:
    return round(size_bytes / _GRAIN_BYTES)


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


_DEVICES: Mapping[str, Callable[[float | None], float | None]] = {
    "disk_bytes_per_s": _whole, "network_bytes_per_s": _whole, "pressure_percent": _tenth
}  # fmt: skip


def _system_values(system: SystemRates) -> Mapping[str, Any]:
    devices = {
        kind: {name: rounded(value) for name, value in getattr(system, kind).items()}
        for kind, rounded in _DEVICES.items()
    }
    return {
        "machine_percent": _tenth(system.machine_percent),
        "unattributed_cpu_percent": _tenth(system.unattributed_cpu_percent),
        "load_1": round(system.load_1, 2),
        "cpu_count": system.cpu_count,
        **{name: _grain(getattr(system, name)) for name in _LEVELS[1:]},
        **devices,
    }


def _columns(systems: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """One list a value; of each kind of device one list per device, None where a pass did not have it.

    Devices that never moved cost one list.
    """
    columns: dict[str, object] = {}
    for kind in systems[0]:
        values = [system[kind] for system in systems]
        if kind in _DEVICES:
            names = dict.fromkeys(name for row in values for name in row)
            columns[kind] = {name: [row.get(name) for row in values] for name in names}
        else:
            columns[kind] = values
    return columns


def _values_at(columns: Mapping[str, Any], i: int) -> Mapping[str, Any]:
    return {
        kind: {name: values[i] for name, values in column.items() if values[i] is not None}
        if kind in _DEVICES
        else column[i]
        for kind, column in columns.items()
    }


def _process_values(process: ProcessRates) -> tuple[tuple[Any, ...], list[Any]]:
    key = process.key
    return (key.pid, key.start_ticks, process.name, process.parent_pid, process.uid, process.unit), [
        process.state,
        _tenth(process.cpu_percent),
        _grain(process.rss_bytes),
        process.thread_count,
        _whole(process.disk_bytes_per_s),
        _whole(process.network_bytes_per_s),
        process.fd_count,
    ]


def unpack(cell: bytes, *, every: bool = True) -> list[Rates]:
    """The passes of one cell, oldest first; unless `every`, those that looked at processes."""
    passes = StoredPasses(cell)
    return [passes.rates(i) for i in range(len(passes.times)) if every or passes.looked(i)]


def _system_of(values: Mapping[str, Any]) -> SystemRates:
    return SystemRates(
        machine_percent=values["machine_percent"],
        cpu_count=values["cpu_count"],
        memory_total_bytes=values["memory_total_bytes"] * _GRAIN_BYTES,
        memory_available_bytes=values["memory_available_bytes"] * _GRAIN_BYTES,
        swap_used_bytes=values["swap_used_bytes"] * _GRAIN_BYTES,
        load_1=values["load_1"],
        disk_bytes_per_s=values["disk_bytes_per_s"],
        network_bytes_per_s=values["network_bytes_per_s"],
        pressure_percent=values["pressure_percent"],
        unattributed_cpu_percent=values["unattributed_cpu_percent"],
    )


def _process_of(identity: Sequence[Any], values: Sequence[Any]) -> ProcessRates:
    state, cpu_percent, rss_grains, thread_count, disk, network, fd_count = values
    pid, start_ticks, name, parent_pid, uid, unit = identity
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
