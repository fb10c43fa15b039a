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
