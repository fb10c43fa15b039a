"""The machine's values of stored passes as columns: what charts are drawn of, with no object a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.storage.cells import packed_of, time_of

Column = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class HistoryColumns:
    """Lists of one length, a value a pass, oldest first. `at_s` are Unix seconds.

    Rates are None after a gap. `disk_bytes_per_s` is of all disks, `network_bytes_per_s` of the busiest
    interface.
    """

    at_s: Sequence[float]
    machine_percent: Column
    memory_percent: Column
    disk_bytes_per_s: Column
    network_bytes_per_s: Column
    load_1: Column


def columns_of(cell: bytes) -> HistoryColumns:
    """Return the columns of one row of history."""
    packed = packed_of(cell)
    first_s, system = time_of(packed["from"]).timestamp(), packed["system"]
    is_known = [gap is None for gap in packed["gap"]]
    levels = zip(system["memory_total_bytes"], system["memory_available_bytes"], strict=True)
    return HistoryColumns(
        at_s=[first_s + at_ms / 1000 for at_ms in packed["at_ms"]],
        machine_percent=_where(is_known, system["machine_percent"]),
        memory_percent=[round(100 - 100 * free / total, 1) if total else None for total, free in levels],
        disk_bytes_per_s=_where(is_known, _by_pass(system["disk_bytes_per_s"], len(is_known), sum)),
        network_bytes_per_s=_where(is_known, _by_pass(system["network_bytes_per_s"], len(is_known), max)),
        load_1=system["load_1"],
    )


def _where(is_known: Sequence[bool], values: Column) -> Column:
    return [value if known else None for known, value in zip(is_known, values, strict=True)]


def _by_pass(devices: Mapping[str, Column], count: int, joined: Any) -> Column:
    rows = zip(*devices.values(), strict=True) if devices else [()] * count
    known = ([value for value in row if value is not None] for row in rows)
    return [joined(values) if values else None for values in known]
