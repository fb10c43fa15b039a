"""Who holds an RLock of Python is named, in every version; of a plain lock nobody is."""

from __future__ import annotations

import os
import sys

import pytest

from monitord.causes import rlocks
from monitord.procfs.memory import Memory
from tests.causes.conftest import Run
from tests.causes.programs import interpreters
from tests.causes.test_hang import cause_of
from tests.strangers import unshared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="futexes and /proc are Linux's")
PYTHONS = interpreters()
HELD = """
import threading, time
lock = threading.{0}()
def holds():
    with lock:
        time.sleep(1000)
def wants():
    with lock: pass
threading.Thread(target=holds, daemon=True).start()
time.sleep(0.2)
for _ in range(3): threading.Thread(target=wants, daemon=True).start()
time.sleep(0.3)
print("ready", *(one.native_id for one in threading.enumerate()), flush=True)
time.sleep(1000)
"""
RING = """
import threading, time
locks = [threading.RLock() for _ in range(3)]
gate = threading.Barrier(4)
def run(number):
    with locks[number], locks[number]:
        gate.wait()
        locks[(number + 1) % 3].acquire()
for number in range(3): threading.Thread(target=run, args=(number,), daemon=True).start()
gate.wait()
time.sleep(0.3)
print("ready", *(one.native_id for one in threading.enumerate()), flush=True)
time.sleep(1000)
"""
TIMED = """
import threading, time
lock, done = threading.RLock(), threading.Event()
threading.Thread(target=lambda: (lock.acquire(), done.set(), time.sleep(1000)), daemon=True).start()
done.wait()
threading.Thread(target=lambda: lock.acquire(timeout=1000), daemon=True).start()
time.sleep(0.3)
print("ready", *(one.native_id for one in threading.enumerate()), flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("version", PYTHONS)
def test_the_holder_is_named_and_its_waiters_are_counted(version: str, run: Run) -> None:
    process, (_main, holder, *_waiters) = run(*PYTHONS[version], "-c", HELD.format("RLock"))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("held lock", "certain"), cause
    assert cause.sentence.startswith("3 threads wait for an RLock that thread "), cause
    assert f"({holder}) holds; it " in cause.sentence


@pytest.mark.parametrize("version", PYTHONS)
def test_a_ring_of_them_is_a_deadlock(version: str, run: Run) -> None:
    """Also of those that were taken twice."""
    process, (_main, *ring) = run(*PYTHONS[version], "-c", RING)
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("deadlock", "certain"), cause
    assert "deadlock of 3 threads: each waits for an RLock: " in cause.sentence
    assert all(cause.sentence.count(f"({one})") == 2 for one in ring)


def test_a_wait_with_a_limit_has_its_holder_as_well(run: Run) -> None:
    process, (_main, holder, _waiter) = run(sys.executable, "-c", TIMED)
    cause = cause_of(process.pid)
    assert f"({holder}) holds" in cause.sentence, cause


@pytest.mark.parametrize("version", PYTHONS)
def test_of_a_plain_lock_nobody_is_named(version: str, run: Run) -> None:
    process, (_main, holder, *_waiters) = run(*PYTHONS[version], "-c", HELD.format("Lock"))
    cause = cause_of(process.pid)
    assert cause.confidence == "unknown", cause
    assert f"({holder})" not in cause.sentence


def test_the_holder_is_found_in_another_pid_namespace(run: Run) -> None:
    words = [*unshared("--pid", "--fork", "--mount-proc"), sys.executable, "-c"]
    process, _ = run(*words, HELD.format("RLock"))
    (child,) = _children(process.pid)
    cause = cause_of(child)
    assert (cause.kind, cause.confidence) == ("held lock", "certain"), cause


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as names:
        return [int(name) for name in names.read().split()]


def test_what_is_planted_on_a_stack_is_no_lock() -> None:
    """The type's name, the owner's own address and its thread must all fit; else there is no holder."""
    memory = Memory(_OWN)
    for awaited, stack_at in ((0, 0), (8, 1 << 46), (1 << 60, 1 << 60), (id(memory), id(memory))):
        assert rlocks.held(memory, awaited, stack_at, {_OWN}) is None


_OWN = os.getpid()
