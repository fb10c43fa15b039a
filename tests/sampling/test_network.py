"""Who moves the bytes: real sockets on the loopback, and nettop's text as its manual shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from monitord.sampling import Sampler, key_of
from monitord.sampling.network import parse_nettop, parse_rows
from monitord.sampling.sockets import busy, by_process, owners

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
    talkers = sampler.talkers(0.5)
    sampler.close()
    found = {key: rate for key, _, rate in talkers}
    assert found.get(key_of(sender.pid), 0.0) > 100_000
    assert [rate for *_, rate in talkers] == sorted(found.values(), reverse=True)


@pytest.mark.skipif(sys.platform != "linux", reason="INET_DIAG")
def test_the_daemon_never_carries_the_netlink_library() -> None:
    code = (
        "import sys\nfrom monitord.sampling import Sampler\nSampler().talkers(0.1)\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('pyroute2', 'sqlalchemy')])"
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
    assert owners([]) == {}
    assert owners([2**40]) == {}


def test_no_answer_is_unknown() -> None:
    assert parse_rows("") == []
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
