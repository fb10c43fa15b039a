"""The look that leaves processes out reports everything that a full look would have seen above a level."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from monitord.model import Demand, Rates
from monitord.procfs import TICKS_PER_S
from monitord.sampling import Sampler, key_of
from monitord.sampling.bounds import Bounds
from monitord.sampling.system import LinuxSystemReader
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives totals that bound a process"
)

Start = Callable[..., "subprocess.Popen[str]"]

# Sleeps over every clock tick and works in between, so that tick accounting charges it little or nothing:
# the coarse clock steps at the tick and shows where the edges are.
DODGE = """
import time
COARSE, FINE = 6, time.CLOCK_MONOTONIC  # CLOCK_MONOTONIC_COARSE has no name in Python
step = time.clock_getres(COARSE)
def edge():
    last = time.clock_gettime(COARSE)
    while time.clock_gettime(COARSE) == last: pass
    return time.clock_gettime(FINE)
print("ready")
while True:
    begin = edge()
    for period in range(50):
        end = begin + (period + 1) * step
        while time.clock_gettime(FINE) < end - 0.12 * step: pass
        time.sleep(max(0.0, end + 0.08 * step - time.clock_gettime(FINE)))
"""

BURN_WHEN_TOLD = """
import sys, time
print("ready")
for line in sys.stdin:
    end = time.process_time() + float(line)
    while time.process_time() < end: pass
"""


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@pytest.mark.parametrize("code", [DODGE, "print('ready')\nwhile True: pass"], ids=["dodges ticks", "burns"])
def test_the_cpu_bound_contains_what_any_process_really_used(start: Start, code: str) -> None:
    """In every interval: the bound from the idle clock is no less than the process's own exact time."""
    child = start(code)
    system, bounds = LinuxSystemReader(), Bounds()
    number, deadline = 0, time.monotonic() + PATIENCE_S
    while number < 12 or (cpu_s(child.pid) <= 0.3 and time.monotonic() < deadline):
        before_s = cpu_s(child.pid)  # outside: read before the first and after the second total
        if number == 0:
            bounds.judge(system.read()[1], Demand())
        time.sleep(0.25)
        used_s = cpu_s(child.pid) - before_s
        bounds.judge(system.read()[1], Demand())
        assert bounds.tick_cpu_s is not None
        assert bounds.tick_cpu_s >= used_s
        number += 1
    assert cpu_s(child.pid) > 0.3, "the child got no CPU: nothing was shown"
    system.close()


CORES = os.cpu_count() or 1


def above(rates: Rates, level: float) -> dict[object, float]:
    return {one.key: one.cpu_percent for one in rates.processes if (one.cpu_percent or 0.0) >= level}


def go_first(pid: int = 0) -> None:
    """Before everybody else on a busy machine, where we may: bursts are to be above a level, looks at one moment."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


def test_nothing_above_the_level_is_missed(start: Start) -> None:
    """A full sampler and a skipping one look at the same moments, while a worker bursts and a dodger works."""
    level, burst_s = 30.0, 1.4
    worker = start(BURN_WHEN_TOLD)
    assert worker.stdin is not None
    go_first(worker.pid)
    full, skipping = Sampler(heartbeat_s=0.0), Sampler(heartbeat_s=1e9)
    demand = Demand(cpu_percent=level)
    caught = number = 0
    was_apart_s, deadline = 0.0, time.monotonic() + PATIENCE_S
    while number < 9 or (not caught and time.monotonic() < deadline):
        go_first()
        begin_s = time.monotonic()
        everything, some = full.look(demand), skipping.look(demand)
        apart_s = time.monotonic() - begin_s
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        reported = above(some, level)
        # Between the two looks, and between the two before them, a process may use every core for one of them alone.
        margin = 5 + (100 * CORES + level) * (apart_s + was_apart_s) / max(everything.interval_s, 1e-3)
        for key, percent in above(everything, 1.05 * level + margin).items():
            assert key in reported, f"{key} at {percent:.0f} % was missed by look {number}"
            caught += key == key_of(worker.pid)
        was_apart_s = apart_s
        number += 1
        if number % 3 == 0:
            worker.stdin.write(f"{burst_s}\n")
            worker.stdin.flush()
        time.sleep(1.0)
    assert caught >= 1, "no burst was above the level: nothing was shown"
    full.close()
    skipping.close()


def test_a_tick_dodger_is_caught_by_the_sampler_that_skips(start: Start) -> None:
    """Whatever it really uses is reported, although the busy counter may not show it."""
    sampler = Sampler(heartbeat_s=1e9)
    demand = Demand(cpu_percent=20.0)
    sampler.look(demand)
    child = start(DODGE)
    go_first(child.pid)
    key = key_of(child.pid)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(1.0)
        if key in above(sampler.look(demand), 20.0):
            sampler.close()
            return
    pytest.fail("it was never reported")


def test_a_process_born_in_a_skipped_interval_has_its_rate_at_first_sight(start: Start) -> None:
    """A full sampler would have met it one look earlier, so the skipping one counts from its birth."""
    sampler = Sampler(heartbeat_s=1e9)
    sampler.look(Demand())
    child = start(BURN_WHEN_TOLD)
    time.sleep(0.5)
    assert not sampler.look(Demand()).is_complete
    assert child.stdin is not None
    child.stdin.write("600\n")
    child.stdin.flush()
    before_s = cpu_s(child.pid)
    deadline = time.monotonic() + PATIENCE_S
    while cpu_s(child.pid) < before_s + 0.6 and time.monotonic() < deadline:
        time.sleep(0.02)
    rates = sampler.look(Demand(cpu_percent=1.0))
    assert rates.is_complete
    seen = next(one for one in rates.processes if one.key == key_of(child.pid))
    assert seen.cpu_percent is not None
    assert seen.cpu_percent >= 100 * 0.5 / (rates.interval_s + 0.1)
    sampler.close()


def test_a_leaker_is_seen_as_soon_as_the_totals_allow_it(start: Start) -> None:
    """The level lies above all that is mapped now; the look after the allocation reports it."""
    sampler = Sampler(heartbeat_s=1e9)
    reader = LinuxSystemReader()
    totals = reader.read()[1]
    assert totals is not None
    level = totals.mapped_bytes + (256 << 20)
    demand = Demand(rss_bytes=level)
    sampler.look(demand)
    child = start(
        "import sys, time\nblock = b'x' * int(sys.argv[1])\nprint('ready'); time.sleep(300)",
        str(level + (8 << 20)),
    )
    rates = sampler.look(demand)
    assert rates.is_complete
    seen = next(one for one in rates.processes if one.key == key_of(child.pid))
    assert seen.rss_bytes >= level
    sampler.close()
    reader.close()


def test_a_writer_is_seen_as_soon_as_the_totals_allow_it(start: Start, tmp_path: object) -> None:
    level = 20e6
    writer = start(
        "import sys\nprint('ready')\n"
        "for line in sys.stdin:\n"
        "  with open(sys.argv[1], 'wb') as f: f.write(b'x' * (96 << 20))\n"
        "  print('done')\n",
        f"{tmp_path}/written",
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    sampler = Sampler(heartbeat_s=1e9)
    demand = Demand(disk_bytes_per_s=level)
    for _ in range(3):
        sampler.look(demand)
        time.sleep(0.3)
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "done\n"
    rates = sampler.look(demand)
    assert rates.is_complete
    seen = next(one for one in rates.processes if one.key == key_of(writer.pid))
    assert seen.disk_bytes_per_s is not None
    assert seen.disk_bytes_per_s * rates.interval_s >= (96 << 20) * 0.8 or seen.disk_bytes_per_s >= level
    sampler.close()


def test_the_heartbeat_reads_everybody_however_quiet_it_is() -> None:
    for heartbeat_s, is_due in ((1e9, False), (0.1, True)):
        sampler = Sampler(heartbeat_s=heartbeat_s)
        assert sampler.look(Demand()).is_complete
        time.sleep(0.1)
        assert sampler.look(Demand()).is_complete is is_due
        sampler.close()


def test_what_a_watched_process_used_between_complete_looks_is_not_unattributed(start: Start) -> None:
    """A sampler that looked at the watched alone in between finds as much unattributed as one that did not."""
    child = start("print('ready')\nwhile True: pass")
    key = key_of(child.pid)
    assert key is not None
    watching = Sampler(heartbeat_s=1e9)
    samplers = (watching, Sampler(heartbeat_s=1e9))
    began_s = time.monotonic()
    for sampler in samplers:
        sampler.look(Demand())
    apart_s = time.monotonic() - began_s
    used_before_s, begin_s = cpu_s(child.pid), time.monotonic()
    while cpu_s(child.pid) < used_before_s + 1.5 and time.monotonic() < begin_s + PATIENCE_S:
        time.sleep(0.2)
        assert not watching.look(Demand(watched=frozenset((key,)))).is_complete
    found, ended_s = [], time.monotonic()
    for sampler in samplers:
        rates = sampler.look(Demand(cpu_percent=0.01))
        assert rates.is_complete
        assert rates.system.unattributed_cpu_percent is not None
        found.append(rates.system.unattributed_cpu_percent)
        sampler.close()
    # In percent of one core; between the looks of the one and of the other every core may have been used.
    apart_s += time.monotonic() - ended_s
    over_s = time.monotonic() - begin_s
    assert abs(found[0] - found[1]) * over_s / 100 < 0.5 + CORES * apart_s
