"""A disk that fills up: the daemon goes on watching, says so, loses nothing it acknowledged, recovers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.storage import open_store
from tests.faults.test_kill9 import RESTLESS, acknowledged, stored
from tests.flow.recorder import Recorder
from tests.unsharing import mounted, remount

Make = Callable[..., Recorder]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 6 MB."""
    with mounted(tmp_path / "disk", "size=6m") as folder:
        yield folder


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return ballast


@pytest.mark.unshared
def test_a_disk_that_fills_up_while_it_runs_is_survived(recorder: Make, small_disk: Path) -> None:
    """Full: degraded and said. Room again: what waited in memory is saved, and verify() finds nothing."""
    daemon = recorder(RESTLESS, settings="")
    daemon.data_dir = small_disk / "data"
    daemon.start()
    daemon.python("pulse.py", "0.6", "0.7")
    daemon.wait_for(lambda: acknowledged(daemon.log_text()), "a first incident")
    ballast = fill(small_disk)
    daemon.wait_for(lambda: "store.failing" in daemon.log_text(), "the trouble to be said")
    assert (daemon.ask("recent") or []) != [], "reading goes on"
    ballast.unlink()
    daemon.wait_for(lambda: "store.recovered" in daemon.log_text(), "recovery without help")
    assert daemon.stop() == 0
    check(daemon)


@pytest.mark.unshared
def test_a_start_on_a_full_disk_is_degraded_and_recovers(recorder: Make, small_disk: Path) -> None:
    """No room for a database at the start: it watches in memory and stores when there is room."""
    daemon = recorder(RESTLESS, settings="")
    daemon.data_dir = small_disk / "data"
    daemon.data_dir.mkdir(mode=0o700)
    ballast = fill(small_disk)
    daemon.start(wait=False)
    daemon.python("pulse.py", "0.6", "0.7")
    daemon.wait_for(lambda: "store.degraded" in daemon.log_text(), "the degraded start to be said")
    daemon.wait_for(lambda: "alert.raised" in daemon.log_text(), "an alert although nothing can be stored")
    ballast.unlink()
    daemon.wait_for(lambda: acknowledged(daemon.log_text()), "the incident to be stored")
    assert daemon.stop() == 0
    check(daemon)


@pytest.mark.unshared
def test_a_start_on_a_read_only_disk_is_degraded_and_recovers(recorder: Make, small_disk: Path) -> None:
    """Nothing can be written, not even the status: it watches, and stores when the disk takes it again."""
    daemon = recorder(RESTLESS, settings="")
    daemon.data_dir = small_disk / "data"
    daemon.data_dir.mkdir(mode=0o700)
    remount(small_disk, is_read_only=True)
    daemon.start(wait=False)
    daemon.python("pulse.py", "0.6", "0.7")
    daemon.wait_for(lambda: "store.degraded" in daemon.log_text(), "the degraded start to be said")
    daemon.wait_for(lambda: "alert.raised" in daemon.log_text(), "an alert although nothing can be stored")
    remount(small_disk, is_read_only=False)
    daemon.wait_for(lambda: acknowledged(daemon.log_text()), "the incident to be stored")
    assert daemon.stop() == 0
    check(daemon)


def check(daemon: Recorder) -> None:
    assert acknowledged(daemon.log_text()) <= stored(daemon.data_dir)
    store = open_store(daemon.data_dir)
    try:
        assert store.verify() == []
    finally:
        store.close()
