"""A profiler that was ended in the middle leaves nobody stopped, not even a little later."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.supervision.supervisor import continue_if_stopped
from tests.burners import burn_command
from tests.capture.targets import Targets, stat_fields, state_of, wait_for

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="states and pending signals of threads are Linux's"
)

# Its second thread waits for a child that shares its memory, and takes no signal until that one has ended.
TAKES_SIGNALS_LATER = """
#include <pthread.h>
#include <unistd.h>
volatile unsigned long sink;
static void *waits(void *unused) { if (vfork() == 0) for (;;) pause(); for (;;) pause(); return unused; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, waits, 0);
    for (;;) sink++;
}
"""

ATTACHES = """
import ctypes, sys, time
ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), None, None)  # PTRACE_ATTACH, and never a wait for it
time.sleep(60)
"""


def test_a_stop_that_a_thread_has_still_to_take_is_taken_back(
    targets: Targets, require_tool: Callable[[str], str]
) -> None:
    """On a starved machine that thread's turn comes when nobody looks any more: the whole process would stop."""
    pid = targets.native(require_tool("gcc"), TAKES_SIGNALS_LATER).pid
    tasks = Path(f"/proc/{pid}/task")
    wait_for(lambda: len(list(tasks.iterdir())) == 2, "the second thread")
    (thread,) = [int(task.name) for task in tasks.iterdir() if task.name != str(pid)]
    wait_for(lambda: state_of(thread) == "D", "the thread to wait for its child")
    (child,) = (tasks / str(thread) / "children").read_text().split()
    handle = os.pidfd_open(pid)
    try:
        assert not continue_if_stopped(pid, handle), "nothing stops it yet"
        assert ctypes.CDLL(None).tgkill(pid, thread, signal.SIGSTOP) == 0
        assert state_of(pid) == "R"
        assert continue_if_stopped(pid, handle)
    finally:
        os.close(handle)
    os.kill(int(child), signal.SIGKILL)
    wait_for(lambda: state_of(thread) != "D", "the thread to take signals again")
    before = int(stat_fields(pid)[11])
    wait_for(lambda: int(stat_fields(pid)[11]) > before + 5, "the process to run on")


def test_a_stop_that_a_thread_was_held_at_for_its_tracer_is_taken_back(targets: Targets) -> None:
    """Its tracer was killed in the middle of attaching, and others have its CPU: it will stop at its next turn."""
    cpu = max(os.sched_getaffinity(0))
    target = targets.start(*burn_command(20))
    os.sched_setaffinity(target.pid, {cpu})
    os.sched_setscheduler(target.pid, os.SCHED_IDLE, os.sched_param(0))
    tracer = targets.start(sys.executable, "-c", ATTACHES, str(target.pid))
    wait_for(lambda: state_of(target.pid) == "t", "the target to be held")
    competitor = targets.start(*burn_command(20))
    os.sched_setaffinity(competitor.pid, {cpu})
    wait_for(lambda: int(stat_fields(competitor.pid)[11]) > 0, "the CPU to be taken")
    handle = os.pidfd_open(target.pid)
    try:
        tracer.kill()
        tracer.wait()
        assert continue_if_stopped(target.pid, handle)
    finally:
        os.close(handle)
    competitor.kill()
    before = int(stat_fields(target.pid)[11])
    wait_for(lambda: int(stat_fields(target.pid)[11]) > before + 5, "the target to run on")
