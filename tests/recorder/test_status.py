"""The status file: nobody waits for its disk, the newest wins, and a full disk does not make it a lie."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path, PosixPath

import pytest

from monitord.recorder.status import STATUS_FILE, StatusWriter, read_status, write_status
from tests.patience import PATIENCE_S
from tests.unsharing import mounted


class Slow(PosixPath):
    """A value that takes as long to write as a disk may take."""

    is_reached, may_go_on = threading.Event(), threading.Event()

    def __str__(self) -> str:
        self.is_reached.set()
        self.may_go_on.wait(PATIENCE_S)
        return "slow"


def test_of_statuses_that_wait_the_newest_is_written(tmp_path: Path) -> None:
    """The thread hangs in the first; whoever reports goes on, and what was overtaken is never written."""
    slow = Slow("x")
    writer = StatusWriter(tmp_path)
    writer.put({"passes": slow})
    assert slow.is_reached.wait(PATIENCE_S)
    for number in range(100):
        writer.put({"passes": number})
    assert not writer.close(0.05)
    slow.may_go_on.set()
    assert writer.close(PATIENCE_S)
    assert json.loads((tmp_path / STATUS_FILE).read_text()) == {"passes": 99}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 KiB."""
    with mounted(tmp_path / "disk", "size=64k") as folder:
        yield folder


@pytest.mark.unshared
def test_on_a_full_disk_the_status_is_still_true(small_disk: Path) -> None:
    """There is no room for another file: the bytes of the old one are written over."""
    write_status(small_disk, {"passes": 1, "degraded": [], "rules": ["long"] * 100})
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 4096)
        except OSError:
            pass
    write_status(small_disk, {"passes": 2, "degraded": ["the disk is full " * 9], "rules": ["longer"] * 1000})
    status = read_status(small_disk)
    assert status is not None
    assert (status["passes"], status["rules"]) == (2, [])
    assert status["degraded"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_a_status_that_is_damaged_says_nothing(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, whoever asks gets an answer."""
    (tmp_path / STATUS_FILE).write_bytes(content)
    assert read_status(tmp_path) is None


@pytest.mark.parametrize("what", ["pipe", "folder", "link to nothing", "link to itself", "device"])
def test_a_status_that_is_no_file_hangs_nobody(tmp_path: Path, what: str) -> None:
    """Whatever lies under its name."""
    path = tmp_path / STATUS_FILE
    match what:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(tmp_path / ("gone" if what == "link to nothing" else STATUS_FILE))
    assert read_status(tmp_path) is None
