"""One owner a lock file, and asking who it is disturbs nobody."""

from __future__ import annotations

import fcntl
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
