"""Descriptors and threads that a program leaks are named: kind, target, name, function."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitord import procfs
from monitord.causes import OBSERVED_BYTES, fd_growth, thread_growth
from monitord.causes.facts import Facts
from monitord.model import Alert, Cause, ProcessKey, Threshold, TriggerMetric
from monitord.profiles.representation import Frame, Profile, Thread
from tests.causes.conftest import Run, ticks
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def alert(metric: TriggerMetric, gained: float) -> Alert:
    return Alert(
        "r", metric, gained, Threshold(100.0, "count"), 600.0, NOW, NOW, ProcessKey(1, 1), "x", "", 1.0
    )


def look(member: Any, pid: int) -> dict[str, Any]:
    """What it sees, as it comes to the one who explains."""
    text = json.dumps(member.observe(pid, ticks(pid)))
    assert len(text) <= OBSERVED_BYTES
    return json.loads(text)  # type: ignore[no-any-return]


def grow(member: Any, run: Run, code: str, *arguments: str, gained: int = 300) -> list[Cause]:
    """A program that leaks `gained` more after its first line: explained with both looks, and with the last."""
    process, _ = run(code, *arguments)
    before = look(member, process.pid)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{gained}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "grown\n"
    after = look(member, process.pid)
    metric = TriggerMetric.FD_GROWTH if member is fd_growth else TriggerMetric.THREAD_GROWTH
    told = alert(metric, gained)
    return [member.explain(Facts(told, before=before, after=after)), member.explain(Facts(told, after=after))]


_LEAK = """
import os, socket, sys, tempfile, threading, time
kept = []
{setup}
print("ready", flush=True)
for at in range(int(sys.stdin.readline())):
    {leak}
print("grown", flush=True)
time.sleep(600)
"""


def leak(leaking: str, setup: str = "") -> str:
    return _LEAK.format(setup=setup, leak=leaking)


SERVER = "server = socket.create_server(('127.0.0.1', 0), backlog=4000)"
LEAKS = {
    "sockets of a client": (
        leak("kept.append(socket.create_connection(server.getsockname())); kept.append(server.accept()[0])", SERVER),
        "sockets",
    ),
    "pipes": (leak("kept += os.pipe()"), "are pipes; "),
    "files": (
        leak("kept.append(open(f'{sys.argv[1]}/{at % 7}/{at}', 'w'))", "[os.mkdir(f'{sys.argv[1]}/{n}') for n in range(7)]"),
        "are files below FOLDER/; ",
    ),
    "one file": (leak("kept.append(open(f'{sys.argv[1]}/one', 'a'))"), "are files: FOLDER/one, again and again; "),
    "deleted files": (
        leak("kept.append(open(f'{sys.argv[1]}/{at}', 'w')); os.unlink(f'{sys.argv[1]}/{at}')"),
        "are deleted files below FOLDER/; ",
    ),
    "event descriptors": (leak("kept.append(os.eventfd(0))"), "are eventfd descriptors; "),
    "unix sockets": (
        leak("kept += socket.socketpair()"), "are sockets that are not connected, or not TCP; ",
    ),
    "devices": (leak("kept.append(open('/dev/null'))"), "are devices: /dev/null; "),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(LEAKS))
def test_descriptors_that_grew_are_told_by_kind_and_target(what: str, run: Run, tmp_path: Path) -> None:
    """By two looks, and by one alone where nearly all that is there must have grown."""
    code, words = LEAKS[what]
    for cause in grow(fd_growth, run, code, str(tmp_path), gained=300):
        assert words.replace("FOLDER", str(tmp_path)) in cause.sentence, cause
        assert cause.confidence in ("certain", "likely")
        assert len(cause.kind.split()) <= 3


def test_connections_that_the_other_end_closed_are_told_with_it(run: Run) -> None:
    """A client that never closes: the remote end with its port, and that it is this side which forgot."""
    code = leak(
        "one = socket.create_connection(server.getsockname()); server.accept()[0].close(); kept.append(one)",
        SERVER + "; print('ready', server.getsockname()[1], flush=True)",
    ).replace('print("ready", flush=True)\n', "")
    process, (port,) = run(code)
    before = look(fd_growth, process.pid)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("200\n")
    process.stdin.flush()
    assert process.stdout.readline() == "grown\n"
    facts = Facts(alert(TriggerMetric.FD_GROWTH, 200), before=before, after=look(fd_growth, process.pid))
    cause = fd_growth.explain(facts)
    assert (cause.kind, cause.confidence) == ("remote end", "certain")
    assert (
        f"200 of 200 further descriptors are sockets to 127.0.0.1:{port}, closed by the other end"
        in cause.sentence
    )


def test_growth_of_which_no_kind_makes_up_half_is_put_down_to_none(run: Run) -> None:
    code = leak(
        "kept += [open('/dev/null'), os.eventfd(0), os.memfd_create('x'), socket.socket()]; time.sleep(0)"
    )
    measured, _ = grow(fd_growth, run, code, gained=100)
    assert (measured.kind, measured.confidence) == ("unknown", "unknown")


def test_many_there_before_are_not_what_grew(run: Run, tmp_path: Path) -> None:
    """2,000 pipes that stood open, and 300 files that are new: files, or unknown without the first look."""
    code = leak(
        "kept.append(open(f'{sys.argv[1]}/{at}', 'w'))", "[kept.extend(os.pipe()) for _ in range(450)]"
    )
    measured, alone = grow(fd_growth, run, code, str(tmp_path), gained=50)
    assert f"are files below {tmp_path}/" in measured.sentence
    assert (alone.confidence, "pipes" in alone.sentence) in (("unknown", False), ("likely", False))


PYTHON_THREADS = leak(
    "threading.Thread(target=held.wait, daemon=True).start()",
    "held = threading.Event(); threading.stack_size(65536)",
)
NATIVE_THREADS = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *serve(void *none) { pause(); return 0; }
int main(void) {
    pthread_attr_t how; pthread_attr_init(&how); pthread_attr_setstacksize(&how, 65536);
    int count; printf("ready\\n"); fflush(stdout); scanf("%d", &count);
    for (int at = 0; at < count; at++) {
        char name[16]; pthread_t one; pthread_create(&one, &how, serve, 0);
        sprintf(name, "worker-%d", at); pthread_setname_np(one, name);
    }
    printf("grown\\n"); fflush(stdout); pause();
}
"""


def test_threads_that_grew_are_told_by_name_and_wait(run: Run, built: Callable[[str], str]) -> None:
    for cause in grow(thread_growth, run, built(NATIVE_THREADS), gained=200):
        assert cause.kind == "threads that grew"
        assert "of 200 further threads are called worker-#, and wait in pause; 200 live" in cause.sentence


def test_threads_of_python_are_told_by_where_they_wait(run: Run) -> None:
    measured, alone = grow(thread_growth, run, PYTHON_THREADS, gained=200)
    assert measured.confidence == "certain"
    assert "and wait for a lock or condition" in measured.sentence
    assert "at least 200 of 200 further threads" in alone.sentence


def test_the_function_that_threads_began_in_comes_from_their_stacks() -> None:
    """What starts every thread is left out."""
    frames = [
        Frame("Thread._bootstrap", "/usr/lib/python3.11/threading.py"), Frame("run", "/usr/lib/python3.11/threading.py"),
        Frame("serve_one", "/srv/x.py"), Frame("wait", "/srv/x.py"), Frame("main", "/srv/x.py"),
    ]  # fmt: skip
    stacks = {(Thread(None, number), (0, 1, 2, 3)): 1 for number in range(200)} | {
        (Thread("Main", 999), (4,)): 9
    }
    profile = Profile("py-spy", frames, stacks, 209)
    seen = {"count": 201, "looked_at": 201, "kinds": {"python#": 201}, "targets": {"python#": {"sleep": 201}}}
    cause = thread_growth.explain(
        Facts(alert(TriggerMetric.THREAD_GROWTH, 200), after=seen, profiles=(profile,))
    )
    assert "began in serve_one (/srv/x.py), and sleep; 201 live" in cause.sentence
    assert cause.decides is None


@pytest.mark.parametrize("start", ["0x2543b3", "[python3.11]", "function_at_0x1a2b"])
def test_threads_that_began_in_code_without_a_name_began_in_no_function(start: str) -> None:
    """`began in 0x2543b3` was told of Python's threads where eu-stack, not py-spy, looked at them."""
    frames = [Frame("start_thread", None), Frame(start, None), Frame("PyEval_EvalFrame", None)]
    stacks = {(Thread(None, number), (0, 1, 2)): 1 for number in range(200)}
    seen = {"count": 201, "looked_at": 201, "kinds": {"python": 201}, "targets": {"python": {"sleep": 201}}}
    profile = Profile("eu-stack", frames, stacks, 200)
    cause = thread_growth.explain(
        Facts(alert(TriggerMetric.THREAD_GROWTH, 200), after=seen, profiles=(profile,))
    )
    assert "began in" not in cause.sentence


def test_threads_that_all_have_one_name_are_called_by_it() -> None:
    """`python3.11` was told as `python#.#`, which is a pattern for names that differ in their numbers."""
    alike = {
        "count": 201,
        "looked_at": 201,
        "kinds": {"python#.#": 201},
        "names": {"python#.#": "python3.11"},
    }
    cause = thread_growth.explain(Facts(alert(TriggerMetric.THREAD_GROWTH, 200), after=alike))
    assert "further threads are called python3.11; 201 live" in cause.sentence
    assert ("python3.11", "201 live, at least 200 more") in cause.evidence


def test_a_thread_s_whole_name_is_kept_where_all_of_its_kind_have_it(run: Run) -> None:
    process, _ = run(PYTHON_THREADS)
    name = Path(f"/proc/{process.pid}/comm").read_text().strip()
    seen = look(thread_growth, process.pid)
    (pattern,) = seen["kinds"]
    assert seen["names"].get(pattern, pattern) == name


def test_a_folder_that_holds_nothing_but_what_is_told_is_not_told() -> None:
    """Of one file that is open 300 times each folder above it was a row of its own, with the same count."""
    targets = {"/srv/": 300, "/srv/a/": 300, "/srv/a/x": 200, "/srv/a/y": 100}
    seen = {"count": 300, "looked_at": 300, "kinds": {"files": 300}, "targets": {"files": targets}}
    before = {"count": 0, "looked_at": 0, "kinds": {}, "targets": {}}
    cause = fd_growth.explain(Facts(alert(TriggerMetric.FD_GROWTH, 300), before=before, after=seen))
    told = [text for label, text in cause.evidence if label == "files"]
    assert told == ["300 open, 300 more", "/srv/a/: 300", "/srv/a/x: 200", "/srv/a/y: 100"]


@pytest.mark.parametrize("member", [fd_growth, thread_growth])
@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"kinds": {"a": 1}, "count": 1, "names": 3},
        {"kinds": 1},
        {"kinds": {"x": "y", "z": 2}, "count": "n", "targets": 3},
        {"error": "target_gone"},
    ],
)
def test_an_observation_of_any_shape_is_survived(member: Any, seen: dict[str, Any]) -> None:
    facts = Facts(alert(TriggerMetric.FD_GROWTH, 100), before=seen, after=seen)
    assert member.explain(facts).confidence in ("unknown", "likely")


def test_a_look_at_20000_descriptors_with_hostile_names_is_small(run: Run, tmp_path: Path) -> None:
    """Reads are counted by what is kept: the observation stays below its cap, with names that fit."""
    code = leak(
        "kept.append(open(os.path.join(sys.argv[1], '\\x1b[31m' + str(at % 500) + 'n' * 200 + '\\udcff'), 'a'))",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)",
    )
    count = min(20_500, int(os.sysconf("SC_OPEN_MAX")))
    measured, _ = grow(fd_growth, run, code, str(tmp_path), gained=count - 100)
    shown = " ".join((measured.sentence, *(text for _label, text in measured.evidence)))
    assert shown.isprintable()
    assert "below" in measured.sentence


@pytest.mark.parametrize("member", [fd_growth, thread_growth])
def test_of_two_kinds_that_grew_alike_neither_is_sure(member: Any) -> None:
    before = {"count": 20, "looked_at": 20, "kinds": {"files": 10, "pipes": 10}, "targets": {}}
    after = {"count": 420, "looked_at": 420, "kinds": {"files": 220, "pipes": 200}, "targets": {}}
    metric = TriggerMetric.FD_GROWTH if member is fd_growth else TriggerMetric.THREAD_GROWTH
    cause = member.explain(Facts(alert(metric, 400), before=before, after=after))
    assert cause.confidence == "possible"
    assert "pipes" in (cause.runner_up or "")


def test_a_sleep_that_was_interrupted_is_told_in_words(run: Run) -> None:
    """After a stop the kernel goes on with restart_syscall: told was `wait in 219`."""
    process, _ = run("sh", "-c", "echo ready; exec sleep 1000")
    comes_to(process.pid, "S", "sleep")
    os.kill(process.pid, signal.SIGSTOP)
    comes_to(process.pid, "T", "sleep")
    os.kill(process.pid, signal.SIGCONT)
    comes_to(process.pid, "S", "sleep")
    ((wait, count),) = look(thread_growth, process.pid)["targets"]["sleep"].items()
    assert (wait in ("wait in a call that was interrupted and goes on", "sleep"), count) == (True, 1), wait


def comes_to(pid: int, state: str, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (stat := procfs.stat_of(pid)) is None or (stat.state, stat.name) != (state, name):
        assert time.monotonic() < deadline, stat
        time.sleep(0.01)
