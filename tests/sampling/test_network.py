"""Who moves the bytes: real sockets on the loopback, and nettop's text as its manual shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.procfs.holders import Owners, holders, owners
from monitord.sampling import Sampler, key_of
from monitord.sampling.network import parse_answer, parse_nettop
from monitord.sampling.sockets import busy, by_process
from tests.strangers import unshared, without

Start = Callable[..., "subprocess.Popen[str]"]

SEND = """
import socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
other, _ = server.accept()
def drain():
    while other.recv(65536): pass
threading.Thread(target=drain, daemon=True).start()
client.sendall(b"x")
print("ready")
while True:
    client.sendall(b"x" * 65536)
    time.sleep(0.005)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
def test_the_sender_is_named_with_its_bytes(start: Start) -> None:
    sender = start(SEND)
    sampler = Sampler()
    talkers = sampler.traffic(0.5).talkers
    sampler.close()
    found = {key: rate for key, _, rate in talkers}
    assert found.get(key_of(sender.pid), 0.0) > 100_000
    assert [rate for *_, rate in talkers] == sorted(found.values(), reverse=True)


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
def test_the_daemon_never_carries_what_reads_sockets() -> None:
    code = (
        "import sys\nfrom monitord.sampling import Sampler\nSampler().traffic(0.1)\n"
        "print([name for name in sys.modules if name.rpartition('.')[2] in ('sockdiag', 'holders', 'sqlalchemy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_socket_opened_in_between_counts_from_nothing_and_a_reused_inode_never_negative() -> None:
    assert busy({1: 1000, 2: 9_000_000}, {1: 3_001_000, 2: 10, 3: 2_000_000}, 2.0) == {
        1: 1_500_000.0,
        3: 1_000_000.0,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sockets_of_one_process_are_added_up_and_ownerless_ones_left_out() -> None:
    rows = by_process({1: 10.0, 2: 20.0, 3: 40.0}, {1: os.getpid(), 2: os.getpid()})
    assert [(pid, rate) for pid, _, _, rate in rows] == [(os.getpid(), 30.0)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nobody_owns_a_socket_that_is_not_there() -> None:
    assert owners(holders([]), dict) == owners(holders([2**40]), dict) == Owners()


def test_no_answer_is_unknown() -> None:
    assert (parse_answer("").talkers, parse_answer("").blamed) == ((), None)
    assert "unknown" in parse_answer("").said
    assert parse_nettop("", 1.0) == []
    assert parse_nettop(",bytes_in,bytes_out,\nlaunchd.1,5,5,\n", 1.0) == []


def test_nettop_gives_the_growth_between_its_two_samples() -> None:
    """Re-created from nettop's documentation; a recorded one must replace it."""
    pid = os.getpid()
    text = (
        ",bytes_in,bytes_out,\n"
        f"launchd.1,500,500,\nGoogle Chrome He.{pid},1000,2000,\n"
        ",bytes_in,bytes_out,\n"
        f"launchd.1,500,500,\nGoogle Chrome He.{pid},5000,4000,\n"
    )
    assert [(key.pid, name, rate) for key, name, rate in parse_nettop(text, 2.0)] == [
        (pid, "Google Chrome He", 3000.0)
    ]


def test_nettop_with_a_time_column_is_read_by_its_header() -> None:
    pid = os.getpid()
    sample = "time,,bytes_in,bytes_out,\n12:00:0{}.000001,a.b.{},{},0,\n"
    text = sample.format(0, pid, 0) + sample.format(1, pid, 700)
    assert [(name, rate) for _, name, rate in parse_nettop(text, 1.0)] == [("a.b", 700.0)]


# ------------------------------------------------------------------------- who of those that hold it

CONNECTED = """
import os, signal, socket, sys, threading, time
signal.alarm(60)
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
other, _ = server.accept()
def drain():
    while other.recv(1 << 20): pass
def send():
    while True: client.sendall(b"x" * (1 << 18)); time.sleep(0.002)
def spin():
    while True: pass
def say(pid): print("ready", pid, flush=True)
def both_ends():
    threading.Thread(target=drain, daemon=True).start()
    send()
"""
WHO_WORKS = {
    "a child of a parent that waits for it": """
child = os.fork()
if child == 0: both_ends()
say(child); os.waitpid(child, 0)
""",
    "a child of a parent that burns CPU": """
child = os.fork()
if child == 0: both_ends()
say(child); spin()
""",
    "a parent, the child sleeps": """
child = os.fork()
if child == 0: time.sleep(60)
say(os.getpid()); both_ends()
""",
    "one of four forked workers": """
say(os.getpid())
workers = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        both_ends() if number == 2 else time.sleep(60)
    workers.append(pid)
say(workers[2]); os.waitpid(workers[2], 0)
""",
}


@pytest.fixture
def lines() -> Iterator[Callable[[str], list[int]]]:
    """Start Python text; give the pids in its last "ready" line. It and its children are gone at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, readies: int = 1) -> list[int]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(readies)][-1].split()
        assert said[0] == "ready"
        return [int(word) for word in said[1:]]

    yield run
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
@pytest.mark.parametrize("who", sorted(WHO_WORKS))
def test_of_several_that_hold_a_socket_the_one_that_works_is_named(
    who: str, lines: Callable[..., list[int]]
) -> None:
    """A parent in waitpid, even one that burns CPU at something else, did not move its child's bytes."""
    (worker,) = lines(CONNECTED + WHO_WORKS[who], readies=2 if "four" in who else 1)
    found = Sampler().traffic(0.5)
    rates = {key.pid: rate for key, _, rate in found.talkers}
    is_undecided = "burns" in who and "which one moved it is unknown" in found.said
    assert is_undecided or rates.get(worker, 0.0) > 1e6
    assert relatives(worker) & rates.keys() == set(), "no byte is attributed to one that only holds it"


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
def test_whose_doing_it_is_stays_undecided_between_two_that_send(lines: Callable[..., list[int]]) -> None:
    """Parent and child work on one connection: both are said, and neither is blamed for the other's part."""
    parent, child = lines(
        CONNECTED
        + """
child = os.fork()
if child: print("ready", os.getpid(), child, flush=True)
both_ends()
"""
    )
    found = Sampler().traffic(0.5)
    assert "which one moved it is unknown" in found.said, found
    assert str(parent) in found.said
    assert str(child) in found.said


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
def test_the_other_end_is_named(lines: Callable[..., list[int]]) -> None:
    """The peer of the blamed process, as address and port."""
    (port, _) = lines(
        CONNECTED
        + """
print("ready", server.getsockname()[1], os.getpid(), flush=True)
both_ends()
"""
    )
    said = Sampler().traffic(0.5).said
    assert f"127.0.0.1:{port}" in said, said


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
def test_datagrams_have_no_bytes_and_their_sender_is_told_all_the_same(
    lines: Callable[..., list[int]],
) -> None:
    """UDP can't be counted by process; who is met sending it can be told, and that it is no count is said."""
    sender, _ = lines(
        CONNECTED
        + """
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("127.0.0.1", 0))
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", os.getpid(), 0, flush=True)
while True: there.sendto(b"x" * 60000, here.getsockname())
"""
    )
    found = Sampler().traffic(0.5)
    assert "can't be counted" in found.said, found
    assert f"pid {sender}" in found.said


@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces")
def test_traffic_in_another_network_namespace_has_its_owner(
    lines: Callable[..., list[int]], require_tool: Callable[[str], str]
) -> None:
    """A container's sockets are read in its own namespace, and ours is what we are in afterwards."""
    unshare, up = require_tool("unshare"), require_tool("ip")
    code = f"""
import os
text = {CONNECTED!r} + "say(os.getpid()); both_ends()"
os.execv({unshare!r}, [{unshare!r}, "--net", "sh", "-c", '{up} link set lo up && exec {sys.executable} -c "$0"', text])
"""
    (worker,) = lines(code)
    found = Sampler().traffic(0.5)
    assert {key.pid: rate for key, _, rate in found.talkers}.get(worker, 0.0) > 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces")
def test_a_namespace_that_may_not_be_entered_is_named_with_the_reason(
    lines: Callable[..., list[int]], require_tool: Callable[[str], str]
) -> None:
    """Without CAP_SYS_ADMIN: how much it carried, whose it is, and what to type."""
    up, unshare = require_tool("ip"), unshared("--net")
    code = f"""
import os
text = {CONNECTED!r} + "say(os.getpid()); both_ends()"
os.execvp("unshare", [*{unshare!r}, "sh", "-c", '{up} link set lo up && exec {sys.executable} -c "$0"', text])
"""
    (worker,) = lines(code)
    done = subprocess.run(
        [*without("sys_admin"), sys.executable, "-m", "monitord.sampling.sockets", "0.5"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = parse_answer(done.stdout).said
    assert f"pid {worker}" in said, said
    assert "CAP_SYS_ADMIN" in said
    assert f"nsenter --net --target {worker}" in said


def relatives(pid: int) -> set[int]:
    """The parent of a process and that one's other children."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:
            continue
    parent = parents[pid]
    kin = {parent} | {one for one, its in parents.items() if its in (parent, pid)}
    return kin - {pid, os.getpid()}
