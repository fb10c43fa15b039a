"""What the service manager hears: over a real datagram socket, named and abstract."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.recorder.notify import Notifier
from tests.patience import PATIENCE_S


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening manager and the NOTIFY_SOCKET that leads to it."""
    if request.param == "abstract" and not Path("/proc/self").exists():
        pytest.skip("abstract sockets exist on Linux only")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(PATIENCE_S)
        name = f"monitord-test-{os.getpid()}"
        listener.bind(str(tmp_path / "n") if request.param == "path" else "\0" + name)
        yield listener, str(tmp_path / "n") if request.param == "path" else "@" + name


def test_each_word_arrives_as_one_datagram(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("watching 3 processes")
    notifier.status("a\nb=\udcff")
    notifier.watchdog()
    notifier.reloading()
    notifier.stopping()
    notifier.extend_timeout(1.5)
    heard = [listener.recv(4096).decode() for _ in range(6)]
    assert heard[:3] == ["READY=1\nSTATUS=watching 3 processes", "STATUS=a b= ", "WATCHDOG=1"]
    assert heard[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[3].rpartition("=")[2].isdigit()
    assert heard[4:] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=1500000"]


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).watchdog()


@pytest.mark.parametrize(
    ("env", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(env: dict[str, str], interval_s: float | None) -> None:
    assert Notifier(env).watchdog_interval_s == interval_s
