"""One owner a lock file, and asking who it is disturbs nobody."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitord.actions.reloading import reload_recorder
from monitord.daemon.wiring import _empty_spool
from monitord.errors import BusyError, UnreachableError
from monitord.recorder.locks import CAPTURE_LOCK, DAEMON_LOCK, hold, holder
from monitord.recorder.status import read_status


def test_asking_for_the_owner_refuses_nobody(tmp_path: Path) -> None:
    """`monitord status` in a loop beside a start: the asker's moment with the lock is not an owner."""
    path, ended = tmp_path / "lock", threading.Event()
    askers = [threading.Thread(target=ask_until, args=(path, ended)) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(300):
            with hold(path, "taken"):
                pass
    finally:
        ended.set()
        for asker in askers:
            asker.join()


def ask_until(path: Path, ended: threading.Event) -> None:
    while not ended.is_set():
        holder(path)


def test_a_second_owner_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """The lock is held for the block, and free after it."""
    path = tmp_path / "lock"
    with hold(path, "taken"), pytest.raises(BusyError, match=r"again \(pid \d+ holds"), hold(path, "again"):
        pytest.fail("two owners")
    assert holder(path) is None


def test_a_held_lock_is_held_before_its_pid_is_written(tmp_path: Path) -> None:
    """Or when a full disk takes none: it counts as running, nobody gets a signal, no capture's files go."""
    (tmp_path / "status.json").write_text('{"pid": 4194304, "interval_s": 2}')  # of an earlier recorder
    (tmp_path / "spool/under-way").mkdir(parents=True)
    with held_without_a_pid(tmp_path / DAEMON_LOCK), held_without_a_pid(tmp_path / CAPTURE_LOCK):
        told = read_status(tmp_path)
        assert told is not None
        assert (told["is_running"], told["pid"]) == (True, None)
        with pytest.raises(UnreachableError, match="has not written its pid"):
            reload_recorder(tmp_path, lambda pid: pytest.fail(f"{pid} got a signal"))
        _empty_spool(tmp_path)
        assert (tmp_path / "spool/under-way").exists()
    assert holder(tmp_path / DAEMON_LOCK) is None
    _empty_spool(tmp_path)
    assert not (tmp_path / "spool/under-way").exists()


@contextmanager
def held_without_a_pid(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holder(path) == 0
        yield


_READER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.setgroups([int(sys.argv[3])]); os.setgid(65534); os.setuid(int(sys.argv[2]))
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by(path: Path, uid: int) -> Iterator[None]:
    """Another process has the lock, whose user that is; it opened the file as root, as any reader may."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _READER, str(path), str(uid), "65533"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.communicate()


@pytest.mark.root
@pytest.mark.parametrize("name", [DAEMON_LOCK, CAPTURE_LOCK, "messages.lock"])
def test_a_reader_of_a_shared_store_keeps_nobody_from_a_lock(name: str, tmp_path: Path) -> None:
    """Who can open a file can hold its lock; one whose holder is not the store's excludes nobody.

    The next one is excluded as ever, and the daemon's lock stays open to readers.
    """
    tmp_path.chmod(0o2750)
    path = tmp_path / name
    with hold(path, "once"):
        pass
    with held_by(path, 65534), hold(path, "taken") as lock:
        assert not lock.is_lost()
        assert holder(path) == os.getpid()
        with pytest.raises(BusyError, match="again"), hold(path, "again"):
            pytest.fail("two owners")
    is_open = name == DAEMON_LOCK
    assert stat.S_IMODE(path.stat().st_mode) == (0o640 if is_open else 0o600)
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.root
def test_a_process_of_the_stores_own_user_excludes_others(tmp_path: Path) -> None:
    path = tmp_path / DAEMON_LOCK
    path.touch()
    with held_by(path, 0), pytest.raises(BusyError), hold(path, "again"):
        pytest.fail("two owners")
