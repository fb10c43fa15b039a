"""A machine that stands still for memory or disks: who took them between two looks, and who waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitord import procfs
from monitord.causes import words
from monitord.causes.facts import Facts
from monitord.causes.observed import fitting
from monitord.model import Cause, TriggerMetric, sized
from monitord.redaction import redact_name

_PROCESSES = 600  # the largest, and who moved most: 64 KiB of JSON
_SHOWN = 4
_LEAST_BYTES = 16 << 20
GREW, MOVED, SWAPS = "process that grew", "disk traffic", "page faults"


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """Of each process its memory, pages read back from disk, bytes moved; and who waits for a disk now."""
    rows = [row for other in procfs.pids() if (row := _row(other)) is not None]
    waiting = Counter(row[2] for row in rows if row[3] == "D")
    rows.sort(key=lambda row: -(row[4] + (row[6] or 0)))
    kept = fitting(rows[:_PROCESSES])
    return {"at_s": procfs.uptime_s(), "waiting": waiting.most_common(_SHOWN), "processes": kept}


def _row(pid: int) -> list[Any] | None:
    """Pid, start, name, state, RSS in bytes, pages from disk, bytes moved (None: not permitted)."""
    try:
        name, fields = procfs.split_stat(procfs.read(procfs.path(pid, "stat"), 4096))
        shown = redact_name(name.decode("utf-8", "surrogateescape"))[:32]
        state, rss = fields[0].decode("ascii", "replace"), int(fields[21]) * procfs.PAGE_BYTES
        return [pid, int(fields[19]), shown, state, rss, int(fields[9]), _moved(pid)]
    except (OSError, ValueError, IndexError):
        return None


def _moved(pid: int) -> int | None:
    counts = procfs.numbers(procfs.text(procfs.path(pid, "io")))
    return counts["read_bytes"] + counts["write_bytes"] if "read_bytes" in counts else None


@dataclass(frozen=True, slots=True)
class _Took:
    """What a process took between two looks: bytes of memory, pages from disk, bytes moved."""

    pid: int
    name: str
    grown: int
    pages: int
    moved: int


def explain(facts: Facts) -> Cause | None:
    """Name who took most of what all wait for; nobody, where no one stands out."""
    before, after = facts.before or {}, facts.after or {}
    try:
        known = {(int(row[0]), int(row[1])): row for row in before["processes"]}
        seconds = float(after["at_s"]) - float(before["at_s"])
        took = [_took(known.get((int(row[0]), int(row[1]))), row) for row in after["processes"]]
        waiting = [(str(name), int(count)) for name, count in after["waiting"]]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    if seconds <= 0:
        return None
    if facts.alert.metric is TriggerMetric.IO_PRESSURE:
        return _by_traffic(took, seconds, waiting)
    return _by_growth(took, seconds, waiting) or _by_faults(took, seconds, waiting)


def _took(before: Sequence[Any] | None, row: Sequence[Any]) -> _Took:
    """Of a process that is new all counts."""
    rss, pages, moved = (before[4], before[5], before[6]) if before else (0, 0, 0)
    return _Took(
        int(row[0]), str(row[2]), int(row[4]) - int(rss), max(0, int(row[5]) - int(pages)),
        max(0, int(row[6] or 0) - int(moved or 0)),
    )  # fmt: skip


def _by_traffic(took: list[_Took], seconds: float, waiting: list[tuple[str, int]]) -> Cause | None:
    ranked = sorted(took, key=lambda one: -one.moved)
    whole = sum(one.moved for one in ranked)
    best = ranked[0] if ranked else None
    if best is None or best.moved < _LEAST_BYTES or best.moved < 0.5 * whole:
        return None
    movers = [one for one in ranked[:_SHOWN] if one.moved]
    rows = [(one.name, f"pid {one.pid}: {sized(one.moved / seconds, 'bytes_per_s')}") for one in movers]
    sentence = (
        f"{best.name} (pid {best.pid}) moved {sized(best.moved / seconds, 'bytes_per_s')} to and from disks"
    )
    return _cause(MOVED, f"{sentence}, more than all others together", rows, waiting)


def _by_growth(took: list[_Took], seconds: float, waiting: list[tuple[str, int]]) -> Cause | None:
    ranked = sorted((one for one in took if one.grown > 0), key=lambda one: -one.grown)
    whole = sum(one.grown for one in ranked)
    if not ranked or ranked[0].grown < _LEAST_BYTES or ranked[0].grown < 0.5 * whole:
        return None
    best = ranked[0]
    rows = [(one.name, f"pid {one.pid}: {words.size(one.grown)} more") for one in ranked[:_SHOWN]]
    sentence = f"{best.name} (pid {best.pid}) took {words.size(best.grown)} of memory in {seconds:.0f} s"
    return _cause(GREW, f"{sentence}, more than all others together", rows, waiting)


def _by_faults(took: list[_Took], seconds: float, waiting: list[tuple[str, int]]) -> Cause | None:
    ranked = sorted((one for one in took if one.pages), key=lambda one: -one.pages)
    whole = sum(one.pages for one in ranked)
    if not ranked or whole < 100 * seconds or ranked[0].pages < 0.5 * whole:
        return None
    best = ranked[0]
    rows = [(one.name, f"pid {one.pid}: {one.pages / seconds:,.0f} a second") for one in ranked[:_SHOWN]]
    sentence = f"{best.name} (pid {best.pid}) reads back from disk what memory has no room for"
    return _cause(SWAPS, sentence, rows, waiting)


def _cause(
    kind: str, sentence: str, rows: list[tuple[str, str]], waiting: Sequence[tuple[str, int]]
) -> Cause:
    waits = [(name, f"waits for a disk ({count} of that name)") for name, count in waiting]
    return Cause(kind, sentence, "likely", None, None, (*rows, *waits))
