"""The observers of waits, files, sockets and threads as the recorder runs them: in a child of few rights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from monitord.capture.causes import Look
from monitord.capture.fault_watch import Unwatched
from monitord.causes import METRICS, OBSERVED_BYTES
from monitord.model import CapturePlan, Cause, Incident, ProcessKey, TriggerMetric
from tests.causes import hanging
from tests.causes.conftest import Run, ticks, waits_in
from tests.causes.talking import FAR, HEAD, SHARED
from tests.causes.test_disk_io import WRITES
from tests.causes.test_growth import LEAKS
from tests.fakes import an_alert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="observers read /proc")


def cause_of(pid: int, metric: TriggerMetric, folder: Path) -> Cause | None:
    """Observed in one child, and explained in another."""
    member, target, service = METRICS[metric], ProcessKey(pid, ticks(pid)), ProfileCaptureService(Consent())
    look = Look(
        metric.value, target, True, member.limit_s, member.capabilities, OBSERVED_BYTES, member.asks_sockets
    )
    seen = service.observe(look, CapturePlan(), folder)
    assert seen is not None
    return service.explain(Incident("inc", an_alert(metric, target=target), None), (None, seen), folder)


def test_a_holder_of_a_lock_is_found(run: Run, file: Path, tmp_path: Path) -> None:
    holder, _ = run(hanging.HOLDS_A_LOCK, "OFD", str(file))
    waiter, _ = run(hanging.WAITS_FOR_A_LOCK, "OFD", str(file))
    waits_in(waiter.pid, "fcntl")
    cause = cause_of(waiter.pid, TriggerMetric.HANG, tmp_path)
    assert cause is not None
    assert f"(pid {holder.pid})" in cause.sentence


def test_a_file_is_found(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "data.bin"
    process, _ = run(WRITES, str(path))
    cause = cause_of(process.pid, TriggerMetric.DISK_IO, tmp_path / "work")
    assert cause is not None
    assert f"written to {path}" in cause.sentence


def test_a_remote_end_is_found(run: Run, tmp_path: Path) -> None:
    _, (_child, worker, port) = run(HEAD + FAR + SHARED["the parent, whose child sleeps"])
    cause = cause_of(worker, TriggerMetric.NETWORK, tmp_path)
    assert cause is not None
    assert f"to 127.0.0.1:{port}, moved by" in cause.sentence


LEAK = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void *last;
__attribute__((noinline)) void cache_put(int size) { last = malloc(size); memset(last, 1, size); }
int main(void) { puts("ready"); fflush(stdout); getchar(); for (int n = 0; n < 50; n++) cache_put(900000);
  puts("grown"); fflush(stdout); getchar(); return 0; }
"""


def test_the_function_that_brings_memory_in_is_found(
    run: Run, built: Callable[[str], str], tmp_path: Path
) -> None:
    """The rings are opened by one process and read by another, which has given up all rights to open any."""
    process, _ = run(built(LEAK))
    assert process.stdin is not None
    assert process.stdout is not None
    member, service = METRICS[TriggerMetric.MEMORY_GROWTH], ProfileCaptureService(Consent())
    target = ProcessKey(process.pid, ticks(process.pid))
    look = Look("memory_growth", target, True, member.limit_s, member.capabilities, OBSERVED_BYTES)
    watch = service.watch(look, CapturePlan())
    assert watch is not None
    try:
        before = service.observe(look, CapturePlan(), tmp_path)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "grown\n"
        after = service.observe(replace(look, watch=watch), CapturePlan(), tmp_path)
    finally:
        watch.close()
    alert = an_alert(TriggerMetric.MEMORY_GROWTH, target=target)
    cause = service.explain(Incident("inc", alert, None), (before, after), tmp_path)
    assert cause is not None
    if isinstance(watch, Unwatched):
        assert dict(cause.evidence)["page faults"].startswith("not seen: ")
    else:
        assert cause.sentence.startswith(
            "cache_put brings memory in, which is kept; anonymous memory grew by "
        )


def test_of_a_process_that_may_not_be_looked_at_no_page_faults_are_recorded(run: Run) -> None:
    process, _ = run("import time\nprint('ready', flush=True)\ntime.sleep(100)\n")
    target = ProcessKey(process.pid, ticks(process.pid))
    look = Look("memory_growth", target, True, 1.0, (), OBSERVED_BYTES)
    assert ProfileCaptureService(Consent()).watch(look, CapturePlan(consent="never", named="quiet")) is None
    gone = replace(look, target=ProcessKey(process.pid, target.start_ticks + 1))
    assert ProfileCaptureService(Consent()).watch(gone, CapturePlan()) is None


@pytest.mark.parametrize("metric", [TriggerMetric.FD_GROWTH, TriggerMetric.THREAD_GROWTH])
def test_what_grew_is_counted(metric: TriggerMetric, run: Run, tmp_path: Path) -> None:
    process, _ = run(LEAKS["pipes"][0])
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("300\n")
    process.stdin.flush()
    assert process.stdout.readline() == "grown\n"
    cause = cause_of(process.pid, metric, tmp_path)
    assert cause is not None
    assert cause.evidence
