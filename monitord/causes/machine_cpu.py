"""Who used the CPU of the whole machine, and who started what used it: a table between two looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitord import procfs
from monitord.causes.facts import Facts
from monitord.causes.frame_classes import STARTS
from monitord.causes.observed import fitting
from monitord.causes.sureness import sureness_of_starter
from monitord.causes.unknown import unknown
from monitord.causes.words import lasting
from monitord.model import Cause, TriggerMetric, counted
from monitord.redaction import redact_name

_PROCESSES = 900  # those that used most so far: 64 KiB of JSON
_SHOWN = 5
_FIRST_PID = 1
"""Collects orphans: what they used is not of its making."""
_ANCESTORS = 8
CROWD, ONE = "many processes", "one process"


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """CPU so far of each process, and of its ended children, in ticks; how many processes were started."""
    rows = [row for other in procfs.pids() if (row := _row(other)) is not None]
    rows.sort(key=lambda row: -(row[3] + row[4]))
    return {
        "at_s": procfs.uptime_s(),
        "started": _number("/proc/stat", "processes"),
        "processes": fitting(rows[:_PROCESSES]),
    }


def _row(pid: int) -> list[Any] | None:
    try:
        name, fields = procfs.split_stat(procfs.read(procfs.path(pid, "stat"), 4096))
        own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        shown = redact_name(name.decode("utf-8", "surrogateescape"))[:32]
        return [pid, int(fields[19]), shown, own, children, int(fields[1])]
    except (OSError, ValueError, IndexError):
        return None


def _number(path: str, word: str) -> int:
    lines = (line.split() for line in procfs.text(path, 1 << 20).split("\n"))
    return next((int(words[1]) for words in lines if len(words) == 2 and words[0] == word), 0)


@dataclass(frozen=True, slots=True)
class _Use:
    """CPU seconds of a process between two looks, and those of its children that ended."""

    pid: int
    name: str
    own_s: float
    children_s: float


def explain(facts: Facts) -> Cause | None:
    """Name who used most, or who started what did; a crowd of equals is said to be one."""
    if facts.alert.metric is TriggerMetric.SPAWN_STORM and (cause := _by_starts(facts)) is not None:
        return cause
    table = _between(facts.before, facts.after)
    if table is None:
        return None
    uses, seconds, started_per_s = table
    if facts.alert.metric in (TriggerMetric.SHORT_LIVED_CPU, TriggerMetric.SPAWN_STORM):
        return _starter(uses, seconds, started_per_s)
    return _crowd(uses, seconds, started_per_s)


@dataclass(frozen=True, slots=True)
class _Starter:
    """A process and what it started, itself or through others that are gone."""

    called: str
    count: int
    ended: int
    programs: str


def _by_starts(facts: Facts) -> Cause | None:
    """Who started most, by the kernel's records of starts; None where there are none."""
    try:
        held = (facts.after or {})["box"]
        whole, seconds = int(held["count"]), float(held["seconds"])
        threads, found = int(held.get("threads", 0)), [_read_starter(row) for row in held["starters"]]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    if not found or whole < 1 or seconds <= 0:
        return None
    shown = [one for one in found[:_SHOWN] if one.count >= 0.01 * whole]
    rows = [
        (one.called, f"{one.count:,} started, {one.ended:,} of them ended: {one.programs}") for one in shown
    ]
    if threads:
        rows.append(("threads", f"{threads:,} were started besides"))
    if not held.get("is_whole"):
        rows.append(("limit", "so much happened at once that some starts were not recorded"))
    best, second = found[0], found[1].count if len(found) > 1 else 0
    sureness = sureness_of_starter(best.count, second, whole, threads, is_whole=bool(held.get("is_whole")))
    if sureness == "unknown":
        others = f"others {threads:,} threads" if threads > best.count else "others about as many"
        why = f"{best.called} started only {best.count:,} of {counted(whole, 'process')}, {others}"
        return replace(unknown(facts, why), evidence=tuple(rows))
    sentence = (
        f"{best.called} started {counted(best.count, 'process')} in {lasting(seconds)}: {best.programs}"
    )
    runner_up = f"what {found[1].called} started" if sureness == "possible" and second else None
    return Cause(STARTS, sentence, sureness, runner_up, None, tuple(rows))


def _read_starter(row: Sequence[Any]) -> _Starter:
    pid, name, count, ended, programs = row
    told = ", ".join(f"{int(many):,} × {str(program)[:32] or 'unknown'}" for program, many in programs[:4])
    return _Starter(f"{str(name)[:32] or 'a process'} (pid {int(pid)})", int(count), int(ended), told)


def _between(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[list[_Use], float, float] | None:
    try:
        first, last = before or {}, after or {}
        seconds = float(last["at_s"]) - float(first["at_s"])
        known = {(int(row[0]), int(row[1])): row for row in first["processes"]}
        if seconds <= 0:
            return None
        uses = [_use(known.get((int(row[0]), int(row[1]))), row) for row in last["processes"]]
        uses = _without_long_lived(uses, known, last["processes"])
        return uses, seconds, (int(last["started"]) - int(first["started"])) / seconds
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError):
        return None


def _without_long_lived(
    uses: list[_Use], before: Mapping[tuple[int, int], Any], after: Sequence[Any]
) -> list[_Use]:
    """Without what children had used before the first look: at their end their parent is charged with it."""
    alive = {(int(row[0]), int(row[1])) for row in after}
    gone = {pid: row for (pid, start), row in before.items() if (pid, start) not in alive}
    charged: Counter[int] = Counter()
    for pid, row in gone.items():
        parent = pid
        for _ in range(_ANCESTORS):
            if parent in gone:
                parent = int(gone[parent][5])
        charged[parent] += int(row[3]) + int(row[4])
    ticks = procfs.TICKS_PER_S
    return [replace(one, children_s=max(0.0, one.children_s - charged[one.pid] / ticks)) for one in uses]


def _use(before: list[Any] | None, row: list[Any]) -> _Use:
    """Of a process that is new all counts."""
    own, children = (int(before[3]), int(before[4])) if before else (0, 0)
    ticks = procfs.TICKS_PER_S
    return _Use(
        int(row[0]), str(row[2]), max(0, int(row[3]) - own) / ticks, max(0, int(row[4]) - children) / ticks
    )


def _starter(uses: list[_Use], seconds: float, started_per_s: float) -> Cause | None:
    """The parent whose ended children used most."""
    ranked = sorted((one for one in uses if one.pid != _FIRST_PID), key=lambda one: -one.children_s)
    whole = sum(one.children_s for one in ranked)
    rows = tuple(_rows(ranked, seconds, started_per_s, "children_s"))
    if not ranked or whole < 0.02 * seconds:
        return None
    best = ranked[0]
    second = ranked[1].children_s if len(ranked) > 1 else 0.0
    share = best.children_s / whole
    sentence = (
        f"{best.name} (pid {best.pid}) starts programs: its ended children used"
        f" {100 * best.children_s / seconds:.0f} % of a core"
    )
    if share >= 0.6:
        return Cause(STARTS, sentence, "certain" if share >= 0.8 else "likely", None, None, rows)
    if best.children_s >= 1.5 * second:
        return Cause(STARTS, sentence, "possible", f"children of {ranked[1].name}", None, rows)
    return None


def _crowd(uses: list[_Use], seconds: float, started_per_s: float) -> Cause | None:
    """One process with most of it, one that starts many, or many alike."""
    whole = sum(one.own_s + one.children_s for one in uses if one.pid != _FIRST_PID)
    if whole < 0.1 * seconds:
        return None
    ranked = sorted((one for one in uses if one.pid != _FIRST_PID), key=lambda one: -one.own_s)
    rows = tuple(_rows(ranked, seconds, started_per_s, "own_s"))
    best = ranked[0]
    starter = max(ranked, key=lambda one: one.children_s)
    if starter.children_s >= 0.5 * whole:
        sentence = f"{starter.name} (pid {starter.pid}) starts programs that used"
        used = f"{100 * starter.children_s / seconds:.0f} % of a core"
        return Cause(STARTS, f"{sentence} {used}", "likely", None, None, rows)
    if best.own_s >= 0.5 * whole:
        used = f"{100 * best.own_s / seconds:.0f} % of a core"
        return Cause(ONE, f"{best.name} (pid {best.pid}) used {used}, more than all others together",
                     "likely", None, f"monitord capture {best.pid}", rows)  # fmt: skip
    count = sum(one.own_s >= 0.25 * best.own_s for one in ranked)
    sentence = f"{counted(count, 'process')} want CPU at once, none of them more than half of what is used"
    return Cause(CROWD, sentence, "likely", None, None, rows) if count > 1 else None


def _rows(ranked: list[_Use], seconds: float, started_per_s: float, by: str) -> Iterator[tuple[str, str]]:
    """Who used what."""
    for one in ranked[:_SHOWN]:
        if getattr(one, by) >= 0.01 * seconds:
            own, children = (100 * used / seconds for used in (one.own_s, one.children_s))
            ended = f", its ended children {children:.0f} %" if children >= 1 else ""
            yield one.name, f"pid {one.pid}: {own:.0f} % of a core{ended}"
    if started_per_s >= 1:
        yield "starts", f"{started_per_s:.0f} a second, of processes or threads"
