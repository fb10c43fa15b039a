"""On a crowded machine a process shows what it waited for; on a quiet one nothing is asked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from monitord.model import Demand, ProcessKey, ProcessRates, SystemRates
from monitord.sampling import Sampler
from monitord.sampling.waiting import MAX_READS, TurnWaits, denied_ns, is_crowded
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="schedstat is Linux's")

Start = Callable[..., "subprocess.Popen[str]"]

BURN_ON_ONE_CORE = """
import os, sys, threading
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
parent = os.getpid()
def burn():
    while parent in (os.getpid(), os.getppid()): pass
for _ in range(3):
    if os.fork() == 0:
        os.close(1)
        burn()
        os._exit(0)
print("ready", flush=True)
if sys.argv[1] == "thread":
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
burn()
"""


def system(machine_percent: float = 5.0, **pressure: float) -> SystemRates:
    return SystemRates(machine_percent, 2, 1 << 30, 1 << 29, 0, 0.1, pressure_percent=pressure)


@pytest.mark.parametrize(
    ("rates", "crowded"),
    [
        (system(100.0, cpu_some=3.0), False),
        (system(20.0, cpu_some=40.0), True),
        (system(95.0), True),
        (system(50.0), False),
    ],
)
def test_pressure_tells_whether_anybody_waited_else_how_busy_the_cores_are(
    rates: SystemRates, crowded: bool
) -> None:
    """Full cores without a queue are not crowded, where the kernel tells of queues."""
    assert is_crowded(rates) is crowded


@pytest.mark.parametrize("kind", ["fork", "thread"])
def test_burners_that_share_a_core_want_all_of_it(start: Start, kind: str) -> None:
    """Used and waited together come near a whole core, also when a second thread is the one that burns."""
    child = start(BURN_ON_ONE_CORE, kind)
    sampler = Sampler(heartbeat_s=0.0)
    demand = Demand(cpu_percent=60.0)
    seen: list[ProcessRates] = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not seen:
        time.sleep(1.0)
        rates = sampler.look(demand)
        seen = [
            one
            for one in rates.processes
            if one.key.pid == child.pid and (one.waited_percent or 0) > 20 and (one.cpu_percent or 0) < 75
        ]
    sampler.close()
    assert seen, "it never waited"
    assert (seen[0].wanted_cpu_percent or 0) > 80


@pytest.mark.parametrize(
    ("ran", "waited", "wanted"),
    [
        (20, 80, 100),  # it never slept: it wants a core
        (5, 87, 92),  # starved, and the wait that lasts is not counted yet
        (10, 50, 22.5),  # a worker of a tenth of a core that queues at each awakening
        (10, 20, 13),
        (50, 25, 69),
        (0, 99, 0),  # it never ran, and nothing is known of what it wants
        (30, 0, 30),
    ],
)
def test_waiting_counts_as_far_as_a_thread_did_not_sleep(ran: float, waited: float, wanted: float) -> None:
    """With a core of its own it would run and sleep in the same proportion."""
    assert ran + denied_ns(ran, waited, 100) == pytest.approx(wanted, abs=0.5)


WORK_A_TENTH = """
import time
print("ready", flush=True)
while True:
    until = time.process_time() + 0.01
    while time.process_time() < until: pass
    time.sleep(0.09)
"""


def test_a_moderate_worker_in_a_crowd_does_not_want_a_core(start: Start) -> None:
    """It queues behind four burners at each awakening, and wants what it wants without them."""
    start(BURN_ON_ONE_CORE, "fork")
    core = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    worker = start(core + WORK_A_TENTH)
    sampler = Sampler(heartbeat_s=0.0)
    seen: list[float] = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and len(seen) < 5:
        time.sleep(1.0)
        rates = sampler.look(Demand(cpu_percent=60.0))
        seen += [
            one.wanted_cpu_percent or 0 for one in rates.processes
            if one.key.pid == worker.pid and one.waited_percent is not None
        ]  # fmt: skip
    sampler.close()
    assert len(seen) >= 5, "it was never asked"
    assert sorted(seen)[len(seen) // 2] < 50


def test_nobody_is_asked_while_no_rule_wants_it() -> None:
    """A crowd alone costs nothing."""
    sampler = Sampler(heartbeat_s=0.0)
    for _ in range(3):
        rates = sampler.look(Demand())
        assert all(one.waited_percent is None for one in rates.processes)
        time.sleep(0.1)
    sampler.close()


def test_the_processes_that_are_asked_are_bounded_whatever_the_machine_has() -> None:
    """Thousands of busy processes cost no more than the bound."""
    crowd = [
        ProcessRates(
            key=ProcessKey(10_000_000 + pid, 1), name="x", parent_pid=1, state="R", uid=0,
            cpu_percent=50.0, rss_bytes=0, thread_count=1,
        )
        for pid in range(5000)
    ]  # fmt: skip
    waits = TurnWaits()
    waits.measure(crowd)
    time.sleep(0.1)
    assert len(waits.measure(crowd)) == MAX_READS
