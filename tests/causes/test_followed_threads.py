"""A target that is followed while it starts threads without end, runs as somebody else, or dies: nothing of the recorder
grows or stays open, nobody else is followed, and no function is named that did not bring the memory in.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord import procfs
from monitord.capture import fault_watch
from monitord.causes import memory
from monitord.model import Cause
from monitord.perf_events import faults
from tests.causes.programs import Program, compiled, facts, grown_while_watched, observed, running
from tests.strangers import let_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="perf_event_open is Linux's")
THREADS = """
#include <pthread.h>
#include <unistd.h>
static void *rests(void *none) { for (;;) pause(); }
static char *volatile kept;
static void *ends(void *none) { kept = malloc(200000); memset(kept, 1, 200000); return 0; }
static pthread_t begun(void *(*run)(void *)) {
  pthread_t one; pthread_attr_t how; pthread_attr_init(&how); pthread_attr_setstacksize(&how, 65536);
  if (pthread_create(&one, &how, run, 0)) _exit(1);
  return one; }
int main(void) { step(); for (int n = 0; n < COUNT; n++) LOOP; step(); }
"""
LOOPS = {
    "4,000 that stay": (4000, "begun(rests)"),
    "500 that end at once": (500, "pthread_join(begun(ends), 0)"),
}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number, of a folder that changes


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() == before


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def grown(program: Program) -> Cause:
    cause = grown_while_watched(program)
    if cause is None:
        pytest.skip(
            "the kernel grants no page faults: sudo sysctl kernel.perf_event_paranoid=2, or run as root"
        )
    return cause


@pytest.mark.parametrize("kind", LOOPS)
def test_threads_without_end_take_no_descriptor_and_nobody_is_blamed_for_them(
    kind: str, tmp_path: Path
) -> None:
    count, loop = LOOPS[kind]
    program = compiled(tmp_path, THREADS.replace("COUNT", str(count)).replace("LOOP", loop))
    with running([str(program)]) as started:
        assert started.said == "ready\n"
        cause = grown(started)
        assert started.said == "ready\n"
    assert cause.kind != "allocation", cause
    assert dict(cause.evidence)["page faults"]


def test_a_thread_that_is_another_process_by_now_is_not_followed(sleeper: int) -> None:
    """Its number came back between the list of threads and the opening of its event."""

    def is_ours(thread: int) -> bool:
        return procfs.stat_of(os.getpid(), thread) is not None

    for cpus in (procfs.online_cpus(), tuple(range(64))):
        with pytest.raises(OSError, match=r"No such process|No such device|not permitted"):
            faults.Watch([sleeper], cpus, is_ours)


def test_where_descriptors_run_out_what_was_opened_is_closed(sleeper: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    threads = [sleeper] * 16
    before = open_files()
    try:
        for more in (0, 1, 2, 3, 5, 8, 20, 40, 64):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, 64) + more, hard))
            try:
                watch = faults.Watch(threads, procfs.online_cpus())
            except OSError:
                continue
            watch.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_target_that_dies_while_it_is_followed_leaves_nothing_open() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        watch = fault_watch.watch(process.pid)
        process.kill()
        process.wait()
        watch.close()


RAISED = """
#include <unistd.h>
int main(int count, char **words) {
  if (geteuid()) { step(); execl(words[1], "raised", (char *)0); return 1; }
  step(); for (int n = 0; n < 60; n++) memset(malloc(700000), 1, 700000); step(); }
"""


@pytest.mark.root
def test_a_program_of_another_user_is_not_followed_into(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """The target execs one with the setuid bit: from then on no page fault of it is told, and nobody is named."""
    folder = let_in(tmp_path)
    program, raised = folder / "plain", folder / "raised"
    shutil.copy(compiled(tmp_path, RAISED), program)
    shutil.copy(program, raised)
    program.chmod(0o755)
    raised.chmod(0o4755)
    words = [
        require_tool("setpriv"),
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        str(program),
        str(raised),
    ]
    with running(words) as started:
        watch = fault_watch.watch(started.pid)
        before = observed(started.pid)
        started.go_on()
        if procfs.status_of(started.pid)["Uid"].split()[1] != "0":
            pytest.skip("setuid programs are not run as their owner here")
        started.go_on()
        seen = observed(started.pid, watch)
        watch.close()
    assert seen["faults"].get("stacks", []) == []
    cause = memory.explain(facts(before, seen))
    assert cause is not None
    assert cause.kind != "allocation", cause


def test_another_program_at_the_same_addresses_is_told_apart(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Without random addresses an exec may begin where the one before did: what was seen of that has other names."""
    is_one = "char *me = (char *)getauxval(AT_EXECFN); if (me[strlen(me) - 1] == 'e')"
    text = RAISED.replace("if (geteuid())", is_one).replace(
        'execl(words[1], "raised", (char *)0)', "execv(words[1], words)"
    )
    one = compiled(tmp_path, "#include <sys/auxv.h>\n" + text).rename(tmp_path / "one")
    two = tmp_path / "two"
    shutil.copy(one, two)
    with running([require_tool("setarch"), "-R", str(one), str(two)]) as started:
        watch = fault_watch.watch(started.pid)
        before = observed(started.pid)
        started.go_on()
        started.go_on()
        after = observed(started.pid, watch)
        watch.close()
    assert before["image"][:2] == after["image"][:2], "or nothing is tested"
    cause = memory.explain(facts(before, after))
    assert cause is not None
    assert dict(cause.evidence)["page faults"] == "another program runs in it since"
