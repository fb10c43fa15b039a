"""Who took the machine's memory, and whom the kernel killed: who grew by half of what went, else unknown."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitord import procfs
from monitord.causes import free_memory, holders, oom_kill
from monitord.causes.facts import Facts
from monitord.model import HistoryPoint, ProcessKey
from tests.causes.programs import facts, python

GIB = 1 << 30


def seen(available: float, processes: list[tuple[int, str, float]], **parts: float) -> dict[str, Any]:
    return {
        "processes": [[pid, 5, name, int(size * GIB)] for pid, name, size in processes],
        "parts": {"MemTotal": 16 * GIB, "MemAvailable": int(available * GIB)}
        | {name: int(size * GIB) for name, size in parts.items()},
    }


def of_nobody(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Facts:
    found = facts(before, after)
    return replace(found, alert=replace(found.alert, target=None))


def test_who_grew_by_half_of_what_went_is_named() -> None:
    cause = free_memory.explain(
        of_nobody(seen(4, [(7, "cache", 2), (8, "web", 3)]), seen(1, [(7, "cache", 4.5), (8, "web", 3)]))
    )
    assert cause is not None
    assert cause.sentence.startswith("cache (pid 7) grew by 2.5 GiB while 3 GiB")
    assert cause.confidence == "likely"


def test_memory_of_no_process_is_named_by_its_part() -> None:
    """Files in /dev/shm, or a kernel that leaks, are nobody's memory."""
    cause = free_memory.explain(
        of_nobody(seen(4, [(7, "web", 2)], Shmem=1), seen(1, [(7, "web", 2)], Shmem=3.9))
    )
    assert cause is not None
    assert "shared memory and tmpfs grew by 2.9 GiB" in cause.sentence


def test_where_nobody_grew_by_half_the_cause_is_unknown_with_the_table() -> None:
    workers = [(pid, f"worker{pid}", 0.5) for pid in range(10)]
    larger = [(pid, name, 0.8) for pid, name, _ in workers]
    cause = free_memory.explain(of_nobody(seen(4, workers), seen(1, larger)))
    assert cause is not None
    assert cause.confidence == "unknown"
    assert "+307 MiB worker" in dict(cause.evidence)["grew"]


def test_where_nobody_grew_who_holds_half_is_named() -> None:
    cause = free_memory.explain(of_nobody(seen(1, [(7, "java", 9)]), seen(1, [(7, "java", 9)])))
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("memory held", "likely")


def test_a_reused_pid_gained_all_that_it_holds() -> None:
    before, after = seen(4, [(7, "old", 3)]), seen(1, [])
    after["processes"] = [[7, 6, "new", 3 * GIB]]
    cause = free_memory.explain(of_nobody(before, after))
    assert cause is not None
    assert cause.sentence.startswith("new (pid 7) grew by 3 GiB")


def climb(rss: list[float], available: list[float]) -> tuple[HistoryPoint, ...]:
    begin = datetime.now(UTC)
    return tuple(
        HistoryPoint(begin + timedelta(seconds=10 * number), 5.0, int(left * GIB), rss_bytes=int(size * GIB))
        for number, (size, left) in enumerate(zip(rss, available, strict=True))
    )


def test_the_minutes_before_tell_who_grew() -> None:
    history = climb([1 + n / 4 for n in range(20)], [8 - n / 4 for n in range(20)])
    found = replace(facts(None, seen(1, [(1, "x", 1)])), history=history)
    cause = free_memory.explain(found)
    assert cause is not None
    assert "grew by 4.8 GiB in 3.2 min" in cause.sentence
    assert "full in" not in dict(cause.evidence)


def test_without_a_look_nothing_is_said() -> None:
    assert free_memory.explain(of_nobody(None, None)) is None


def test_everybody_is_looked_at_and_what_the_suspect_holds() -> None:
    with python("kept = [str(n) * 5 for n in range(200_000)]\n") as program:
        key = procfs.key_of(program.pid)
        assert key is not None
        found = free_memory.observe(key.pid, key.start_ticks)
        nobody = free_memory.observe(0, 0)
    assert program.pid in [row[0] for row in found["processes"]]
    assert found["suspect"]["python"]["types"]["str"][0] > 200_000
    assert "suspect" not in nobody
    assert len(nobody["processes"]) <= 40


@pytest.mark.parametrize(("rss", "confidence"), [([0.2, 0.6, 2.0, 3.9], "likely"), ([3.9] * 4, "possible")])
def test_the_victim_is_told_with_how_it_went(rss: list[float], confidence: str) -> None:
    """One that had not grown may have been killed for what others took."""
    history = climb(rss, [4.0] * 4)
    after = seen(4, [(9, "other", 6)])
    found = replace(facts(None, after), history=history)
    cause = oom_kill.explain(found)
    assert cause is not None
    assert cause.confidence == confidence
    assert cause.sentence.startswith("program (pid ") or "pid" in cause.sentence
    assert "other (pid 9)" in dict(cause.evidence)["holds now"]


@pytest.mark.parametrize(("then", "is_named"), [(1, True), (5.9, False)])
def test_who_grew_meanwhile_is_named_where_the_victim_had_not(then: float, is_named: bool) -> None:
    """What each held when it was first remembered is compared with what it holds after the kill."""
    found = facts(seen(4, [(9, "", then)]), seen(4, [(9, "other", 6), (10, "later", 7)]))
    cause = oom_kill.explain(replace(found, history=climb([3.9] * 4, [4.0] * 4)))
    assert cause is not None
    assert cause.confidence == "possible"
    assert ("while other (pid 9) grew by 5 GiB" in cause.sentence) is is_named
    assert "later" not in cause.sentence
    assert ("grew before" in dict(cause.evidence)) is True


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ({"ended_before_s": 0.8}, "0.8 s before the alert, by the kernel's record"),
        ({"ended_before_s": -0.01}, "0 s before the alert, by the kernel's record"),
        ({"ended_before_s": 30.0}, "unknown"),  # it was seen alive after that: a main thread ended
        ({"ended_before_s": -30.0}, "unknown"),
        *[({"ended_before_s": odd}, "unknown") for odd in ("soon", None, float("nan"), 1e300)],
        ({}, "unknown"),
        (None, "unknown"),
        ([3], "unknown"),
    ],
)
def test_when_the_victim_ended_is_told_where_the_kernel_recorded_it(box: Any, said: str) -> None:
    found = facts(None, seen(4, []) | {"box": box})
    history = climb([1, 2, 3, 4], [4.0] * 4)
    raised_at = history[-1].taken_at + timedelta(seconds=2)
    found = replace(found, history=history, alert=replace(found.alert, raised_at=raised_at))
    cause = oom_kill.explain(found)
    assert cause is not None
    assert dict(cause.evidence)["ended"] == said


def test_a_kill_of_nobody_known_is_unknown() -> None:
    cause = oom_kill.explain(of_nobody(None, seen(4, [(9, "other", 6)])))
    assert cause is not None
    assert "ended" not in dict(cause.evidence)
    assert cause is not None
    assert cause.confidence == "unknown"
    assert cause.decides is not None


def test_the_table_is_of_processes_that_are_there() -> None:
    rows = holders.ranked(None, holders.read())
    assert ProcessKey(os.getpid(), 0).pid in [row.pid for row in rows] or len(rows) >= 40
