"""One owner a lock file, and asking who it is disturbs nobody."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from monitord.daemon.locks import hold, owner
from monitord.errors import BusyError


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
        owner(path)


def test_a_second_owner_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """The lock is held for the block, and free after it."""
    path = tmp_path / "lock"
    with hold(path, "taken"), pytest.raises(BusyError, match=r"again \(pid \d+ holds"), hold(path, "again"):
        pytest.fail("two owners")
    assert owner(path) is None
