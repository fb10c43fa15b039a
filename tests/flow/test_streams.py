"""What a daemon inherits does not matter: streams nobody reads, full or closed ones, blocked signals, a folder that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flow.recorder import CPU_RULE, QUICK, Recorder
from tests.patience import PATIENCE_S

Make = Callable[..., Recorder]
CHATTY = QUICK + '[log]\nlevel = "debug"\n'


def start_by_shell(daemon: Recorder, words: str, **options: object) -> None:
    """Start the daemon as a shell would, with these redirections."""
    command = ["sh", "-c", f'exec "$@" {words}', "sh", *daemon.words("run")]
    daemon.daemon = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    daemon.wait_for(daemon.is_watching, "the daemon to watch")


@pytest.mark.parametrize("words", ["2>&-", "0<&- 1>&- 2>&-", "2>/dev/full", ">/dev/full 2>&1"])
def test_closed_and_full_streams_cost_nothing_but_the_log(recorder: Make, words: str) -> None:
    """It records, and ends when told; no file of ours took the number of a stream."""
    daemon = recorder()
    start_by_shell(daemon, words)
    assert daemon.daemon is not None
    for number in range(3):
        opened = Path(f"/proc/{daemon.daemon.pid}/fd/{number}").readlink()
        assert not opened.is_relative_to(daemon.data_dir)
    daemon.wait_for_passes(3)
    assert daemon.stop() == 0


def test_nobody_reads_the_log_and_recording_goes_on(recorder: Make) -> None:
    """A full pipe without a reader: passes are made, spikes are kept, SIGTERM is obeyed."""
    daemon = recorder(settings=CHATTY)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    start_by_shell(daemon, "", stderr=writer)
    burner = daemon.python("burn.py", "50")
    daemon.incident(pid=burner.pid)
    daemon.wait_for_passes(3)
    assert daemon.stop() == 0
    os.close(reader)
    os.close(writer)


def test_a_blocked_sigterm_is_heard_all_the_same(recorder: Make) -> None:
    """Whoever starts it had blocked its signals, and children inherit that."""
    daemon = recorder()
    blocked = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        daemon.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert daemon.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in use can be removed on Linux")
def test_a_start_in_a_folder_that_is_gone_is_refused_in_one_line(recorder: Make, tmp_path: Path) -> None:
    """The current folder was deleted: what to type, and no traceback."""
    daemon, gone = recorder(), tmp_path / "gone"
    gone.mkdir()
    words = ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), *daemon.words("run")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=PATIENCE_S)
    assert done.returncode != 0
    assert "cd /" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_a_data_directory_that_goes_away_takes_the_lock_not_the_recorder(recorder: Make, how: str) -> None:
    """It says so, holds the lock of the new folder, records there, and no second daemon starts."""
    daemon = recorder().start()
    if how == "renamed":
        daemon.data_dir.rename(daemon.folder / "elsewhere")
    else:
        subprocess.run(["rm", "-r", daemon.data_dir], check=True)
    daemon.wait_for(lambda: "lock.taken_again" in daemon.log_text(), "the lock")
    daemon.wait_for(daemon.is_watching, "the daemon to watch")
    assert daemon.command("run").returncode == 75
    burner = daemon.python("burn.py", "50")
    daemon.incident(pid=burner.pid)
    assert daemon.stop() == 0


def test_where_another_daemon_took_the_place_the_first_one_ends_in_one_line(recorder: Make) -> None:
    """Two never record into one folder."""
    daemon = recorder().start()
    assert daemon.daemon is not None
    other = Recorder(daemon.folder, QUICK + CPU_RULE)
    daemon.daemon.send_signal(signal.SIGSTOP)
    daemon.data_dir.rename(daemon.folder / "elsewhere")
    try:
        other.log = daemon.folder / "other.log"
        other.start()
        daemon.daemon.send_signal(signal.SIGCONT)
        assert daemon.daemon.wait(PATIENCE_S) == 75
        assert f"cannot record into {daemon.data_dir}" in daemon.log_text()
        assert "Traceback" not in daemon.log_text()
        assert other.stop() == 0
    finally:
        other.close()
