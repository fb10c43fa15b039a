"""The last minutes in memory, and the profiles of the last hour."""

from __future__ import annotations

from datetime import timedelta

from monitord.model import ProcessKey
from monitord.pipeline import CaptureBudget, CaptureLimits, Ring
from tests.fakes import KEY, START, a_process, some_rates


def test_the_ring_forgets_what_is_older_than_its_span() -> None:
    """Five minutes mean five minutes."""
    ring = Ring(10)
    for second in range(0, 30, 2):
        ring.add(some_rates(second, [a_process()]))
    assert [point.taken_at for point in ring.points(KEY)] == [
        START + timedelta(seconds=second) for second in range(18, 30, 2)
    ]


def test_the_ring_tells_idle_from_unknown() -> None:
    """On a complete pass an unreported process was idle; on a skipped one nothing is known of it."""
    ring = Ring(100)
    ring.add(some_rates(0, [a_process(cpu_percent=40.0)]))
    ring.add(some_rates(2, []))
    ring.add(some_rates(4, [], is_complete=False))
    assert [point.cpu_percent for point in ring.points(KEY)] == [40.0, 0.0, None]


def test_the_ring_keeps_what_nobody_could_be_blamed_for() -> None:
    """CPU of processes too short-lived to be seen is its own row, with and without a target in sight."""
    ring = Ring(100)
    ring.add(some_rates(0, [a_process()], unattributed_cpu_percent=35.0))
    seen = [point.unattributed_cpu_percent for target in (KEY, None) for point in ring.points(target)]
    assert seen == [35.0, 35.0]


def test_the_ring_keeps_the_busiest_and_the_biggest() -> None:
    """A thousand processes in a pass don't make a thousand in memory, and none that matters is lost."""
    crowd = [a_process(ProcessKey(pid, 1), cpu_percent=0.1, rss_bytes=1000) for pid in range(1, 1000)]
    busy = a_process(ProcessKey(5000, 1), cpu_percent=99.0, rss_bytes=1)
    big = a_process(ProcessKey(5001, 1), cpu_percent=0.0, rss_bytes=1 << 40)
    ring = Ring(100)
    ring.add(some_rates(0, [*crowd, busy, big]))
    everybody = [process.key for process in (*crowd, busy, big)]
    kept = {key.pid for key in everybody if ring.points(key)[0].rss_bytes is not None}
    assert {5000, 5001} <= kept
    assert len(kept) == 30


def test_the_ring_gives_back_every_level_as_it_was_seen() -> None:
    """Big numbers stay exact, and what was not known stays unknown; a pid that came again is a stranger."""
    levels = {"rss_bytes": (1 << 50) + 1, "thread_count": 4096, "disk_bytes_per_s": 0.1, "fd_count": None}
    ring = Ring(100)
    ring.add(some_rates(0, [a_process(cpu_percent=None, network_bytes_per_s=7.5, **levels)]))
    (point,) = ring.points(KEY)
    assert {name: getattr(point, name) for name in levels} == levels
    assert (point.cpu_percent, point.network_bytes_per_s) == (None, 7.5)
    assert ring.points(ProcessKey(KEY.pid, KEY.start_ticks + 1))[0].rss_bytes is None


def test_the_budget_survives_a_restart_and_a_clock_that_jumps_back() -> None:
    """Profiles of the last hour count in the next run; moments in the future don't count for ever."""
    budget = CaptureBudget(CaptureLimits(max_per_hour=1))
    budget.spend(START)
    later = CaptureBudget(CaptureLimits(max_per_hour=1))
    later.restore(budget.remember())
    system = some_rates(0).system
    assert later.refusal(START + timedelta(minutes=59), system) is not None
    assert (
        CaptureBudget(CaptureLimits(max_per_hour=1), [START]).refusal(START - timedelta(days=1), system)
        is None
    )
    assert later.refusal(START + timedelta(minutes=61), system) is None


def test_the_ring_knows_nothing_of_a_process_before_its_birth() -> None:
    """Before it was born a process was not idle: it was not."""
    ring = Ring(100)
    ring.add(some_rates(0, []))
    ring.add(some_rates(2, [a_process(cpu_percent=40.0)]))
    points = ring.points(KEY, START + timedelta(seconds=1))
    assert [point.cpu_percent for point in points] == [None, 40.0]
