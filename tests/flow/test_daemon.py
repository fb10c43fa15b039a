"""How the daemon starts, reloads, refuses and ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from monitord.storage.schema import MIGRATION_LOCK_NAME
from tests.flow.recorder import CPU_RULE, FAST, Recorder
from tests.patience import PATIENCE_S

Make = Callable[..., Recorder]


@pytest.fixture
def recorder(recorder: Make) -> Make:
    """Nothing here needs a longer look."""
    return partial(recorder, settings=FAST)


TOO_HEAVY = {
    "alembic", "typer", "rich.table", "mcp", "duckdb", "pyarrow", "boto3", "redis", "starlette", "uvicorn",
    "pydantic", "cryptography", "obstore", "cachetools", "prometheus_client", "psycopg", "scalene",
    "sqlalchemy.orm", "sqlalchemy.dialects.postgresql",
    "ctypes", "_ssl", "_hashlib", "asyncio.events", "psutil._common",
}  # fmt: skip


def test_the_daemon_imports_nothing_heavy() -> None:
    """Everything heavy is imported where it is used, never in the process that runs all day."""
    code = (
        "import sys, json, monitord.daemon.__main__, monitord.daemon.loop;"
        "print(json.dumps([name for name, module in sys.modules.items() if module]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert TOO_HEAVY & set(json.loads(done.stdout)) == set()


def test_sigterm_in_mid_capture_ends_soon_with_nothing_lost(recorder: Make) -> None:
    """The capture under way is ended, what it has is saved, the exit is clean and leaves no process."""
    settings = FAST.replace("duration_s = 1", "duration_s = 60")
    daemon = recorder(settings=settings).start()
    burner = daemon.python("burn.py", "50")
    daemon.wait_for(lambda: (daemon.ask("status") or {}).get("capture"), "the capture to begin")
    began = time.monotonic()
    assert daemon.stop(signal.SIGTERM) == 0
    took_s = time.monotonic() - began
    incident = daemon.incident(profiled=False, pid=burner.pid)
    assert any(capture["status"] in ("ok", "partial") for capture in incident["captures"])
    assert daemon.left_behind() == []
    assert took_s < 30, "a hang, not slowness: the promise of 5 s is measured by the benchmarks"
    assert "daemon.stopped" in daemon.log_text()
    last = json.loads((daemon.data_dir / "status.json").read_text())
    assert last["capture"] is None, "the last status speaks of no capture under way"


def test_a_second_daemon_is_refused_with_the_owners_pid(recorder: Make) -> None:
    """Exit 75, the first one's pid in the line, no traceback."""
    daemon = recorder().start()
    second = daemon.command("run")
    assert daemon.daemon is not None
    assert second.returncode == 75
    assert f"pid {daemon.daemon.pid}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_restart_in_the_middle_of_a_cooldown_does_not_fire_again(recorder: Make) -> None:
    """Limits are persisted: the same burner, a new daemon, still one incident."""
    daemon = recorder().start()
    burner = daemon.python("burn.py", "100")  # half a core, and waiting for the rest, would be an escalation
    daemon.incident(pid=burner.pid)
    assert daemon.stop() == 0
    daemon.start()
    daemon.wait_for_passes(14)
    assert len(daemon.incidents(pid=burner.pid)) == 1
    (status,) = daemon.ask("explain", "--pid", str(burner.pid))
    assert status["state"] == "firing", "the episode that was captured before the restart still lasts"


def test_sighup_takes_a_good_config_and_refuses_a_bad_one(recorder: Make) -> None:
    """The old configuration stays in force until a good one comes."""
    high = CPU_RULE.replace("above = 10", "above = 5000")
    daemon = recorder(high).start()
    burner = daemon.python("burn.py", "50")
    daemon.config.write_text(FAST.replace("interval_s", "intervall_s"))
    assert daemon.daemon is not None
    daemon.daemon.send_signal(signal.SIGHUP)
    daemon.wait_for(lambda: "config.refused" in daemon.log_text(), "the refusal")
    daemon.wait_for_passes(8)
    assert "the last reload was refused" in daemon.command("status").stdout
    assert "intervall_s" in daemon.command("status").stdout
    again = daemon.command("service", "reload")
    assert (again.returncode, again.stdout) == (6, "")
    assert "sampling.intervall_s: unknown key" in again.stderr
    assert daemon.incidents(pid=burner.pid) == []
    daemon.config.write_text(FAST + CPU_RULE)
    taken = daemon.command("service", "reload")
    assert (taken.returncode, taken.stdout) == (0, "reloaded\n"), taken.stderr
    assert "config.reloaded" in daemon.log_text(), "it answers when it is done"
    assert "refused" not in daemon.command("status").stdout
    daemon.incident(pid=burner.pid, profiled=False)


def test_what_only_a_restart_can_change_is_said(recorder: Make) -> None:
    """A reload that takes up less than it was given names the keys that wait."""
    daemon = recorder().start()
    daemon.config.write_text(FAST.replace("heartbeat_s = 1", "heartbeat_s = 1\nring_s = 60") + CPU_RULE)
    assert daemon.daemon is not None
    for _ in range(50):  # a storm of reloads is one reload
        daemon.daemon.send_signal(signal.SIGHUP)
    daemon.wait_for(lambda: "config.needs_restart" in daemon.log_text(), "the warning")
    assert "keys=sampling.ring_s" in daemon.log_text()
    daemon.wait_for_passes(2)
    again = daemon.command("service", "reload")
    assert (again.returncode, again.stdout) == (0, "reloaded\n")
    assert "only a restart takes up: sampling.ring_s" in again.stderr
    daemon.config.write_text(FAST + CPU_RULE)
    back = daemon.command("service", "reload")
    assert (back.returncode, back.stderr) == (0, ""), "what runs is what was asked for: nothing waits"
    assert daemon.ask("status")["reload"]["needs_restart"] == []


def test_a_pass_that_hangs_can_be_ended(recorder: Make, tmp_path: Path) -> None:
    """Told to end, a daemon that hears nothing is ended by the kernel's alarm, whatever it hangs in."""
    daemon = recorder()
    daemon.start(wait=False, prefix=(sys.executable, "-c", HANGING_PASS, "--"))
    daemon.wait_for(lambda: "the pass hangs" in daemon.log_text(), "the pass to hang")
    assert daemon.stop(signal.SIGTERM) == -signal.SIGALRM
    assert daemon.left_behind() == []


# The daemon on a machine whose list of processes never comes, however often it is interrupted.
HANGING_PASS = """
import os, sys
from monitord.daemon.__main__ import main
list_files = os.listdir
def hang(path="."):
    if path != "/proc":
        return list_files(path)
    print("the pass hangs", file=sys.stderr, flush=True)
    while True:
        pass
os.listdir = hang
sys.argv[1:] = sys.argv[sys.argv.index("run") + 1:]
main()
"""


def test_a_slow_start_survives_sighup_and_ends_on_sigterm(recorder: Make) -> None:
    """While another process builds or migrates the database the daemon waits, and can be told to end."""
    daemon = recorder()
    daemon.data_dir.mkdir(mode=0o700)
    with (daemon.data_dir / MIGRATION_LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        daemon.start(wait=False)
        daemon.wait_for(lambda: lock_waiters(lock.fileno()), "the daemon to wait for its turn")
        assert daemon.daemon is not None
        daemon.daemon.send_signal(signal.SIGHUP)
        daemon.daemon.send_signal(signal.SIGTERM)
        assert daemon.daemon.wait(PATIENCE_S) == 0
    assert "daemon.stopped" in daemon.log_text()


def lock_waiters(descriptor: int) -> bool:
    """Whether somebody waits for this lock; /proc/locks shows them by `->` (proc(5))."""
    inode = f":{os.fstat(descriptor).st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_a_bad_config_starts_nothing(recorder: Make) -> None:
    """Exit 6 with file and line; no data directory, no daemon."""
    daemon = recorder("[sampling]\nspeed = 1\n", settings="")
    done = daemon.command("run")
    assert done.returncode == 6
    assert f"{daemon.config}:2: invalid sampling.speed: unknown key" in done.stderr
    assert not daemon.data_dir.exists()


@pytest.mark.parametrize("trouble", ["symlink", "group-writable", "file"])
def test_a_data_directory_that_is_not_safe_is_refused(recorder: Make, tmp_path: Path, trouble: str) -> None:
    """The reason is said; nothing is written there."""
    daemon = recorder()
    elsewhere = tmp_path / "elsewhere"
    if trouble == "symlink":
        elsewhere.mkdir(mode=0o700)
        daemon.data_dir.symlink_to(elsewhere)
    elif trouble == "group-writable":
        daemon.data_dir.mkdir()
        daemon.data_dir.chmod(0o770)
    else:
        daemon.data_dir.write_text("mine")
    done = daemon.command("run")
    assert done.returncode in (1, 4)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_a_locked_database_is_survived(recorder: Make) -> None:
    """Somebody holds the write lock at the start: the daemon watches, says it, and recovers alone."""
    daemon = recorder().start()
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.data_dir / "monitord.db", isolation_level=None) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        daemon.start()
        burner = daemon.python("burn.py", "50")
        daemon.wait_for(lambda: (daemon.ask("status") or {}).get("degraded"), "the daemon to say it")
        blocker.execute("ROLLBACK")
        daemon.incident(pid=burner.pid, profiled=False)
    blocker.close()


def test_the_files_are_private(recorder: Make) -> None:
    """0700 for the directories, 0600 for every file, whatever the umask."""
    daemon = recorder().start()
    burner = daemon.python("burn.py", "50")
    daemon.incident(pid=burner.pid)
    for path in [daemon.data_dir, *daemon.data_dir.rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 == wanted, path


# Takes the terminal whose name it gets as its own and becomes the rest of its words, as login does for a shell.
ON_TERMINAL = (
    "import os, sys; terminal = os.open(sys.argv[1], os.O_RDWR);"
    "[os.dup2(terminal, number) for number in (0, 1, 2)];"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


def test_it_ends_cleanly_when_its_terminal_is_closed(recorder: Make) -> None:
    """A closed window is the end of a daemon in the foreground: no traceback, exit 0, nothing left."""
    ours, its = os.openpty()
    daemon = recorder().start(prefix=(sys.executable, "-c", ON_TERMINAL, os.ttyname(its)))
    os.close(its)
    os.close(ours)  # the kernel hangs up: SIGHUP, and every write fails from now on
    assert daemon.daemon is not None
    assert daemon.daemon.wait(PATIENCE_S) == 0
    assert daemon.left_behind() == []


def test_who_ignores_sighup_outlives_the_terminal(recorder: Make) -> None:
    """As under nohup: it goes on and reloads; a lost stderr costs log lines, no passes."""
    ours, its = os.openpty()
    deaf = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")  # as nohup does, which would redirect stderr too
    daemon = recorder().start(prefix=(sys.executable, "-c", ON_TERMINAL, os.ttyname(its), *deaf))
    os.close(its)
    os.close(ours)
    daemon.wait_for_passes(8)
    daemon.config.write_text(FAST + CPU_RULE.replace("cpu-hog", "renamed"))
    assert daemon.daemon is not None
    daemon.daemon.send_signal(signal.SIGHUP)
    daemon.wait_for(lambda: daemon.ask("status")["rules"][0]["rule"] == "renamed", "the new rules")
    assert daemon.stop() == 0


def test_a_quiet_daemon_explains_its_rules_once_a_minute_not_at_every_heartbeat(recorder: Make) -> None:
    """It is the dearest part of the status; nothing crosses here, so the first explanation stands."""
    daemon = recorder().start()
    reports: dict[str, str] = {}

    def has_reported_thrice() -> bool:
        status = daemon.ask("status")
        reports[status["taken_at"]] = status["rules_taken_at"]
        return len(reports) >= 3

    daemon.wait_for(has_reported_thrice, "three heartbeats")
    ages = [
        datetime.fromisoformat(taken) - datetime.fromisoformat(explained)
        for taken, explained in reports.items()
    ]
    assert all(age < timedelta(seconds=75) for age in ages)
    assert len(set(reports.values())) == 1 or max(ages) > timedelta(seconds=55)
