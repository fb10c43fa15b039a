"""Who takes what a whole machine waits for, and who waits: between two looks at all processes."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from monitord.causes.facts import Facts
from monitord.causes.stalls import explain, observe
from monitord.model import Cause, TriggerMetric
from tests.fakes import an_alert

MIB = 1 << 20
IO, MEMORY = TriggerMetric.IO_PRESSURE, TriggerMetric.MEMORY_PRESSURE


def look(
    at_s: float, *rows: tuple[int, str, int, int, int], waiting: tuple[tuple[str, int], ...] = ()
) -> Any:
    """MiB of memory, pages from disk, MiB moved."""
    processes = [[pid, 7, name, "S", rss * MIB, pages, moved * MIB] for pid, name, rss, pages, moved in rows]
    return {"at_s": at_s, "waiting": [list(one) for one in waiting], "processes": processes}


def told(metric: TriggerMetric, before: Any, after: Any) -> Cause | None:
    return explain(Facts(an_alert(metric, target=None), before=before, after=after))


def test_who_grew_most_is_named_for_memory_with_who_waits() -> None:
    before = look(0, (1, "hog", 100, 0, 0), (2, "shell", 10, 0, 0))
    after = look(10, (1, "hog", 900, 0, 0), (2, "shell", 20, 500, 0), waiting=(("shell", 3),))
    cause = told(MEMORY, before, after)
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("process that grew", "likely")
    assert cause.sentence.startswith("hog (pid 1) took 800 MiB of memory in 10 s")
    assert cause.evidence[-1] == ("shell", "waits for a disk (3 of that name)")


def test_where_nobody_grew_who_reads_back_from_disk_is_named() -> None:
    before = look(0, (1, "thrash", 500, 0, 0), (2, "shell", 10, 0, 0))
    cause = told(MEMORY, before, look(10, (1, "thrash", 500, 90_000, 0), (2, "shell", 10, 100, 0)))
    assert cause is not None
    assert cause.kind == "page faults"
    assert "thrash (pid 1)" in cause.sentence


def test_who_moved_most_is_named_for_disks() -> None:
    before = look(0, (1, "backup", 9, 0, 100), (2, "mail", 9, 0, 5))
    cause = told(IO, before, look(10, (1, "backup", 9, 0, 2100), (2, "mail", 9, 0, 105)))
    assert cause is not None
    assert cause.sentence.startswith("backup (pid 1) moved 210 MB/s to and from disks")


@pytest.mark.parametrize("metric", [IO, MEMORY])
def test_of_many_alike_nobody_is_blamed(metric: TriggerMetric) -> None:
    before = look(0, *((pid, "worker", 10, 0, 0) for pid in range(1, 9)))
    after = look(10, *((pid, "worker", 100, 50, 100) for pid in range(1, 9)))
    assert told(metric, before, after) is None


@pytest.mark.parametrize("metric", [IO, MEMORY])
def test_an_idle_machine_and_a_single_look_tell_nothing(metric: TriggerMetric) -> None:
    still = look(0, (1, "a", 10, 0, 0))
    assert told(metric, still, {**still, "at_s": 10.0}) is None
    assert told(metric, None, still) is None


@pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")
def test_a_real_look_has_this_process_in_it() -> None:
    import os

    seen = observe(0, 0)
    (row,) = [row for row in seen["processes"] if row[0] == os.getpid()]
    assert row[4] > MIB
    assert row[3] in "RS"
