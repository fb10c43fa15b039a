"""Descriptors, locks and sockets as the kernel tells them, beside what the system calls say."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from monitord import procfs
from monitord.procfs import descriptors, holders, locks, sockdiag, tcp_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_descriptor_says_where_it_is_and_what_it_may(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    with path.open("rb") as file:
        os.lseek(file.fileno(), 42, os.SEEK_SET)
        info = descriptors.info_of(os.getpid(), file.fileno())
        assert info is not None
        assert (info.position, info.reads, info.writes) == (42, True, False)
        assert info.inode == os.fstat(file.fileno()).st_ino
        assert dict(descriptors.links(os.getpid()))[file.fileno()] == str(path)
    assert descriptors.info_of(os.getpid(), 1_000_000) is None


@pytest.mark.parametrize(
    ("kind", "number"),
    [("flock", None), ("fcntl", fcntl.F_SETLK), ("OFD", 37)],
)
def test_a_lock_is_told_with_range_and_holder(kind: str, number: int | None, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        if number is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            fcntl.fcntl(file, number, struct.pack("hhqqixxxx", fcntl.F_WRLCK, 0, 100, 10, 0))
        (lock,) = [one for one in locks.read() if one.inode == os.fstat(file.fileno()).st_ino]
        info = descriptors.info_of(os.getpid(), file.fileno())
        assert info is not None
        assert [one and one.kind for one in map(locks.parse_line, info.locks)] == [kind]
    assert (lock.kind, lock.waits, lock.mode) == (kind, False, "write")
    assert lock.pid == (locks.NO_PROCESS if kind == "OFD" else os.getpid())
    assert (lock.begin, lock.end) == ((0, None) if number is None else (100, 109))
    assert lock.device == (tmp_path / "file").stat().st_dev


def test_one_that_waits_is_told_with_the_one_that_keeps_it_waiting() -> None:
    """Recorded: also a second one in the queue, which the kernel indents."""
    text = (
        "1: FLOCK  ADVISORY  WRITE 10 fe:00:77 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF\n"
        "1:  -> FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF\n2: POSIX  ADVISORY  READ 13 fe:00:77 1 2\nnonsense\n"
    )
    found = locks.parse(text)
    waiting = [one for one in found if one.waits]
    assert [one.pid for one in waiting] == [11, 12]
    assert [[holder.pid for holder in locks.blockers(found, one)] for one in waiting] == [[10], [10]]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_has_both_ends_state_and_bytes(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        other, _ = server.accept()
        with client, other:
            client.sendall(b"x" * 1000)
            other.recv(1000, socket.MSG_WAITALL)
            inode = os.fstat(client.fileno()).st_ino
            table = tcp_table.connections(lambda name: procfs.text(procfs.path(os.getpid(), name), 1 << 22))
            (own,) = [row for row in table if row.inode == inode]
            counted = sockdiag.look(sockdiag.open_namespaces().open).tcp[inode]
            assert set(holders.holders([inode])[inode]) == {os.getpid()}
        port = server.getsockname()[1]
    assert own.state == "established"
    assert own.remote.endswith(f":{port}")
    assert own.remote == counted.remote
    assert (counted.sent_bytes, counted.received_bytes) in ((1000, 0), (1001, 0))


def test_a_pipe_has_its_holders() -> None:
    ends = os.pipe()
    inode = os.fstat(ends[0]).st_ino
    assert holders.holders([inode], "pipe") == {inode: {os.getpid(): set(ends)}}
    for end in ends:
        os.close(end)
