"""Who used the machine's CPU, and who started what did: between two looks at all processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from monitord import procfs
from monitord.causes import OBSERVED_BYTES
from monitord.causes.facts import Facts
from monitord.causes.machine_cpu import _between, explain, observe
from monitord.causes.observed import fitting
from monitord.model import Cause, TriggerMetric
from tests.fakes import an_alert

TICKS = procfs.TICKS_PER_S


def look(at_s: float, *rows: tuple[int, str, float, float], started: int = 0) -> dict[str, Any]:
    """Seconds of CPU of each process, and of its ended children."""
    processes = [[pid, 7, name, int(own * TICKS), int(ended * TICKS), 40] for pid, name, own, ended in rows]
    return {"at_s": at_s, "started": started, "processes": processes}


def told(before: Any, after: Any, metric: TriggerMetric = TriggerMetric.CPU_PRESSURE) -> Cause | None:
    return explain(Facts(an_alert(metric, target=None), before=before, after=after))


def test_the_parent_of_what_used_most_is_named_and_the_reaper_of_orphans_is_not() -> None:
    before = look(0, (1, "init", 1, 50), (40, "make", 1, 10), (50, "cron", 0, 2))
    after = look(10, (1, "init", 1, 59), (40, "make", 1.2, 18), (50, "cron", 0, 2.5), started=4000)
    cause = told(before, after, TriggerMetric.SHORT_LIVED_CPU)
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("process starts", "certain")
    assert "make (pid 40)" in cause.sentence
    assert "80 % of a core" in cause.sentence
    assert cause.evidence[-1] == ("starts", "400 a second, of processes or threads")


@pytest.mark.parametrize("metric", [TriggerMetric.SHORT_LIVED_CPU, TriggerMetric.CPU_PRESSURE])
def test_what_a_child_had_used_before_is_not_charged_to_its_parent_at_its_end(metric: TriggerMetric) -> None:
    """The parent of a build that ended after an hour started nothing; who starts programs meanwhile did."""
    before = look(0, (40, "shell", 0, 0), (50, "cron", 0, 0), (60, "build", 3600, 900), (70, "cc", 50, 0))
    before["processes"][3][5] = 60
    after = look(10, (40, "shell", 0, 4550), (50, "cron", 0, 9))
    cause = told(before, after, metric)
    assert cause is not None
    assert "cron (pid 50)" in cause.sentence
    assert all("shell" not in label for label, _text in cause.evidence)


def test_names_of_any_bytes_leave_room_for_the_look() -> None:
    """In JSON each byte that is no text takes six; a look that is too long would be thrown away."""
    rows = [[4_000_000 + pid, 10**10, "\udcff" * 15, 10**6, 10**6, 4_000_000] for pid in range(900)]
    assert len(json.dumps(rows)) > OBSERVED_BYTES
    kept = fitting(rows)
    assert kept == rows[: len(kept)]
    assert 0.8 * OBSERVED_BYTES < len(json.dumps(kept)) < OBSERVED_BYTES - 200


def test_of_two_that_start_as_much_none_is_blamed() -> None:
    before = look(0, (40, "make", 0, 0), (50, "ninja", 0, 0))
    after = look(10, (40, "make", 0, 4), (50, "ninja", 0, 4))
    assert told(before, after, TriggerMetric.SHORT_LIVED_CPU) is None


def test_one_that_uses_more_than_all_others_is_told_apart_from_a_crowd() -> None:
    before = look(0, (10, "a", 0, 0), (11, "b", 0, 0), (12, "c", 0, 0))
    one = told(before, look(10, (10, "a", 15, 0), (11, "b", 2, 0), (12, "c", 1, 0)))
    crowd = told(before, look(10, (10, "a", 6, 0), (11, "b", 5, 0), (12, "c", 5, 0)))
    assert one is not None
    assert crowd is not None
    assert (one.kind, crowd.kind) == ("one process", "many processes")
    assert one.sentence.startswith("a (pid 10) used 150 % of a core")
    assert [label for label, _text in crowd.evidence] == ["a", "b", "c"]


def test_a_pid_that_went_to_another_process_counts_from_its_start() -> None:
    before, after = look(0, (10, "old", 90, 0)), look(10, (10, "new", 8, 0))
    after["processes"][0][1] = 8
    cause = told(before, after)
    assert cause is not None
    assert cause.sentence.startswith("new (pid 10) used 80 % of a core")


@pytest.mark.parametrize(
    "garbage", [None, {}, {"processes": [[1]]}, {"at_s": "x"}, {"at_s": 1, "processes": 3}]
)
def test_without_two_looks_nothing_is_told(garbage: Any) -> None:
    assert told(garbage, look(10, (10, "a", 8, 0))) is None
    assert told(look(0, (10, "a", 0, 0)), garbage) is None


@pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")
def test_a_real_starter_is_named() -> None:
    """A shell that starts programs for as long as it takes to start 150 of them."""
    before = observe(0, 0)
    script = "i=0; while [ $i -lt 150 ]; do /bin/echo x >/dev/null; i=$((i+1)); done; read line"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE) as shell:
        after = before
        while _children_ticks(after, shell.pid) < 5:
            assert shell.poll() is None
            after = observe(0, 0)
        found = _between(before, after)
        assert shell.stdin is not None
        shell.stdin.close()
    assert found is not None
    uses, seconds, started_per_s = found
    assert {use.pid: use.children_s for use in uses}[shell.pid] == pytest.approx(
        _children_ticks(after, shell.pid) / TICKS
    )
    assert started_per_s * seconds > 20


def _children_ticks(seen: dict[str, Any], pid: int) -> int:
    return next((row[4] for row in seen["processes"] if row[0] == pid), 0)


def by_box(
    *starters: tuple[int, str, int, str], count: int = 0, is_whole: bool = True, threads: int = 0
) -> Cause | None:
    rows = [[pid, name, many, many, [[program, many]]] for pid, name, many, program in starters]
    told_by_box = {
        "threads": threads, "seconds": 20.0, "count": count or sum(row[2] for row in starters), "is_whole": is_whole, "starters": rows,
    }  # fmt: skip
    after = look(10, (50, "cron", 0, 9)) | {"box": told_by_box}
    return told(look(0, (50, "cron", 0, 0)), after, TriggerMetric.SPAWN_STORM)


def test_a_storm_is_told_by_who_started_what_and_not_by_whose_children_used_most() -> None:
    cause = by_box((40, "sh", 4100, "true"), (50, "cron", 90, "backup"))
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("process starts", "certain")
    assert cause.sentence == "sh (pid 40) started 4,100 processes in 20 s: 4,100 × true"
    assert cause.evidence[0] == ("sh (pid 40)", "4,100 started, 4,100 of them ended: 4,100 × true")


def test_of_two_that_start_as_many_none_is_blamed_and_both_are_shown() -> None:
    cause = by_box((40, "sh", 2000, "true"), (60, "dash", 1900, "sed"))
    assert cause is not None
    assert cause.confidence == "unknown"
    assert [label for label, _text in cause.evidence] == ["sh (pid 40)", "dash (pid 60)"]


def test_where_starts_were_lost_nothing_is_certain() -> None:
    cause = by_box((40, "sh", 4100, "true"), is_whole=False)
    assert cause is not None
    assert cause.confidence == "likely"
    assert cause.evidence[-1][0] == "limit"


def test_who_began_threads_by_the_thousand_is_not_hidden_behind_a_process_that_started_a_few() -> None:
    """The kernel counts threads as starts; their number alone may have raised the storm."""
    cause = by_box((40, "make", 20, "cc"), threads=50_000)
    assert cause is not None
    assert cause.confidence == "unknown"
    assert "make (pid 40) started only 20 of 20 processes, others 50,000 threads" in cause.sentence
    assert ("threads", "50,000 were started besides") in cause.evidence


@pytest.mark.parametrize("garbage", [3, {}, {"count": "x"}, {"count": 5, "seconds": 1, "starters": [[1]]}])
def test_without_records_of_starts_the_cpu_of_ended_children_tells(garbage: Any) -> None:
    after = look(10, (50, "cron", 0, 9)) | {"box": garbage}
    cause = told(look(0, (50, "cron", 0, 0)), after, TriggerMetric.SPAWN_STORM)
    assert cause is not None
    assert "cron (pid 50) starts programs" in cause.sentence
