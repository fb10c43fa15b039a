"""The remote end is named, and the process that moved the bytes: never one that only holds the socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitord.causes import OBSERVED_BYTES, network
from monitord.causes.facts import Facts
from monitord.model import Alert, Cause, ProcessKey, Threshold, TriggerMetric
from tests.causes.conftest import Run, ticks
from tests.causes.talking import BOTH_SEND, FAR, HEAD, HIDDEN, LOOK_ALIKES, PREFORK, SHARED, SPLIT
from tests.patience import PATIENCE_S
from tests.strangers import unshared, without

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")
BURNS = "a child of a parent that burns CPU"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def alert(pid: int) -> Alert:
    return Alert(
        "network-flood", TriggerMetric.NETWORK, 2e8, Threshold(1e8, "bytes_per_s"), 20.0, NOW, NOW,
        ProcessKey(pid, 1), "python", "", 2.0,
    )  # fmt: skip


_IN_A_CHILD = (
    "import json, sys; from monitord.causes import network; pid, ticks = map(int, sys.argv[1:]);"
    " print(json.dumps(network.observe(pid, ticks)))"
)


def look(pid: int, *before: str) -> dict[str, Any]:
    """In a child, as ever: it gives up rights for good."""
    done = subprocess.run(
        [*before, sys.executable, "-c", _IN_A_CHILD, str(pid), str(ticks(pid))],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert len(done.stdout) <= OBSERVED_BYTES
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def cause_of(pid: int) -> Cause:
    return network.explain(Facts(alert(pid), after=look(pid)))


@pytest.mark.parametrize("who", sorted(SHARED))
def test_the_process_that_moved_the_bytes_is_named_whoever_is_blamed(who: str, run: Run) -> None:
    """Looked at from the one that only holds the socket, and from the one that works."""
    _, (holder, worker, port) = run(HEAD + FAR + SHARED[who])
    for pid in (holder, worker):
        cause = cause_of(pid)
        assert cause.kind == "remote end", cause
        if who == BURNS and cause.confidence == "possible":
            assert "moved by" not in cause.sentence, "undecided is allowed there, the parent's name is not"
            continue
        assert cause.confidence in ("certain", "likely")
        assert f"to 127.0.0.1:{port}, moved by {called(worker)}" in cause.sentence
        assert (f"(pid {holder}) only holds the sockets" in cause.sentence) == (pid == holder)


def test_between_two_that_send_it_stays_unknown(run: Run) -> None:
    """Both work on one connection: the remote end is told, and neither is blamed for the other's part."""
    _, (parent, child, port) = run(BOTH_SEND)
    cause = cause_of(parent)
    assert cause.confidence == "possible", cause
    assert f"127.0.0.1:{port}" in cause.sentence
    assert f"(pid {parent})" in cause.sentence
    assert f"(pid {child})" in cause.sentence
    assert "which of" in cause.sentence


def moved(*parts: tuple[int, tuple[int, ...]]) -> dict[str, Any]:
    rows = [
        {"remote": f"10.0.0.{at}:80", "sent": sent, "received": 0, "by": [[pid, "python"] for pid in by], "is_sure": True}
        for at, (sent, by) in enumerate(parts)
    ]  # fmt: skip
    return {"moved": rows, "over_s": 1.0, "sockets": len(rows), "is_sampled": True}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (((60_000, (7,)), (40_000, (8,))), "python (pid 7) moved 60 %, python (pid 8) moved 40 %"),
        (((60_000, (7,)), (40_000, ())), "python (pid 7) moved 60 %, who moved the rest can't be seen"),
        (
            ((60_000, (7,)), (40_000, (8, 9))),
            "python (pid 7) moved 60 %, which of python (pid 8) and python (pid 9) moved the rest is unknown",
        ),
        (((99_000, (8, 9)),), "which of python (pid 8) and python (pid 9) moved them is unknown"),
        (((99_000, ()),), "who moved them can't be seen"),
        (
            tuple((25_000, (pid,)) for pid in range(7, 11)),
            "python (pid 7) moved 25 %, python (pid 8) moved 25 %, python (pid 9) moved 25 %, others moved the rest",
        ),
    ],
)
def test_who_moved_which_part_is_said_and_one_alone_is_no_choice(
    parts: tuple[tuple[int, tuple[int, ...]], ...], said: str
) -> None:
    """ "Which of python (pid 7) moved them is unknown" was said of one that moved more than half."""
    cause = network.explain(Facts(alert(7), after=moved(*parts)))
    assert cause.confidence == "possible"
    assert cause.sentence.endswith(f"; {said}"), cause.sentence


@pytest.mark.parametrize("who", sorted(LOOK_ALIKES))
def test_a_holder_that_looks_like_the_one_that_moves_bytes_is_not_named(who: str, run: Run) -> None:
    _, (holder, worker) = run(HEAD + LOOK_ALIKES[who])
    cause = cause_of(holder)
    assert f"moved by {called(holder)}" not in cause.sentence
    assert "moved by" not in cause.sentence or f"moved by {called(worker)}" in cause.sentence


@pytest.mark.root
@pytest.mark.parametrize("who", [BURNS, "the holder is blocked in a receive and burns CPU"])
def test_who_is_always_running_is_named_by_samples_and_without_them_nobody(
    who: str, run: Run, require_tool: Callable[[str], str]
) -> None:
    """It shows no system call in /proc. Who starved while it was watched is looked at again."""
    _, (holder, worker, *_) = run(HEAD + (LOOK_ALIKES.get(who) or FAR + SHARED[who]))
    less = (require_tool("setpriv"), "--bounding-set=-perfmon,-sys_admin", "--inh-caps=-perfmon,-sys_admin")
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) > 0:
        blind = network.explain(Facts(alert(holder), after=look(holder, *less)))
        assert blind.confidence == "possible", blind
        assert f"which of {called(holder)} and {called(worker)} moved them is unknown" in blind.sentence
        assert "CAP_PERFMON" in str(blind.decides)
    end_s, cause = time.monotonic() + PATIENCE_S, cause_of(holder)
    while "moved by" not in cause.sentence and time.monotonic() < end_s:
        cause = cause_of(holder)
    assert f"moved by {called(worker)}" in cause.sentence
    assert f"(pid {holder}) only holds the sockets" in cause.sentence
    assert cause.confidence == "certain"


def called(pid: int) -> str:
    """As `explain` names it."""
    return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"


@pytest.mark.parametrize("does", ["sleep()", "spin()"])
def test_who_seems_to_hold_a_socket_alone_is_not_said_to_have_moved_its_bytes_for_certain(
    does: str, run: Run
) -> None:
    """One who hides has his victim inherit the socket. Only samples meet him; the victim need not have moved anything."""
    _, (hidden, victim, port) = run(HIDDEN.format(does=does))
    assert not any("socket:" in link for link in links_of(hidden)), "it is hidden"
    cause = cause_of(victim)
    assert f"127.0.0.1:{port}" in cause.sentence
    if f"moved by {called(hidden)}" in cause.sentence:
        return
    assert cause.confidence in ("possible", "likely"), cause
    if does == "sleep()":
        assert "moved by" not in cause.sentence, "who did not run can't have"


def links_of(pid: int) -> list[str]:
    return [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]  # noqa: PTH115 - of a socket


def test_who_waits_for_answers_did_not_send(run: Run) -> None:
    """It is met in a read of that socket in each look, and the sender in none: it sleeps in between."""
    _, (sender, reader) = run(SPLIT)
    for pid in (sender, reader):
        cause = cause_of(pid)
        assert " to 127.0.0.1:" in cause.sentence, cause
        mover = cause.sentence.partition("moved by")[2].partition(";")[0]
        assert mover == "" or f"(pid {sender})" in mover


def test_of_a_prefork_server_the_worker_that_received_is_named(run: Run) -> None:
    """All share the listening socket; the connection is one worker's. The parent moved nothing."""
    _, (parent, *workers) = run(PREFORK)
    causes = {pid: cause_of(pid) for pid in workers}
    busy = [pid for pid, cause in causes.items() if cause.kind == "remote end"]
    assert len(busy) == 1, causes
    assert f"(pid {busy[0]})" in causes[busy[0]].sentence
    assert "from 127.0.0.1:" in causes[busy[0]].sentence
    assert cause_of(parent).confidence == "unknown"


def test_bytes_are_told_by_remote_end_and_direction(run: Run) -> None:
    _, (_holder, worker, port) = run(HEAD + FAR + SHARED["the parent, whose child sleeps"])
    cause = cause_of(worker)
    (label, row) = cause.evidence[0]
    assert label == f"127.0.0.1:{port}"
    assert float(row.split(" MB sent")[0]) > 1.0
    assert " 0 B received" in row


def test_datagrams_are_said_to_be_uncounted(run: Run) -> None:
    code = (
        HEAD
        + """
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); here.bind(("127.0.0.1", 0))
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", os.getpid(), flush=True)
while True: there.sendto(b"x" * 60000, here.getsockname())
"""
    )
    _, (sender,) = run(code)
    cause = cause_of(sender)
    assert "2 UDP sockets, whose bytes are not counted" in cause.sentence
    assert "tcpdump" in str(cause.decides)


def test_a_process_that_moves_nothing_is_blamed_for_nothing(run: Run) -> None:
    process, _ = run(HEAD + "kept = socket.socketpair()\nprint('ready', flush=True)\nsleep()\n")
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("unknown", "unknown")


@pytest.mark.parametrize("may_enter", [pytest.param(True, marks=pytest.mark.root), False])
def test_another_network_namespace_is_entered_or_said(
    may_enter: bool, run: Run, require_tool: Callable[[str], str]
) -> None:
    """With CAP_SYS_ADMIN the remote end is named there, too; without it the reason and what to type."""
    up, unshare = require_tool("ip"), unshared("--net")
    text = HEAD + FAR + SHARED["the parent, whose child sleeps"]
    code = f"""
import os
os.execvp("unshare", [*{unshare!r}, "sh", "-c", '{up} link set lo up && exec {sys.executable} -c "$0"', {text!r}])
"""
    _, (_child, worker, port) = run(code)
    less = () if may_enter else without("sys_admin")
    cause = network.explain(Facts(alert(worker), after=look(worker, *less)))
    if may_enter:
        assert f"to 127.0.0.1:{port}, moved by" in cause.sentence, cause
    else:
        assert "can't be entered without CAP_SYS_ADMIN" in cause.sentence
        assert f"nsenter --net --target {worker}" in str(cause.decides)


@pytest.mark.parametrize(
    "seen",
    [{}, {"moved": 3}, {"moved": [{}, {"sent": 5, "received": 1, "by": "x"}], "over_s": "a", "udp": 1}],
)
def test_an_observation_of_any_shape_is_survived(seen: dict[str, Any]) -> None:
    assert network.explain(Facts(alert(1), after=seen)).confidence in ("unknown", "possible")
