"""Backups beside a real daemon that captures, and a daemon that goes on from one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.flow.recorder import Recorder

RESTLESS = """\
[sampling]
interval_s = 0.5
heartbeat_s = 2
[detection]
default_rules = false
[capture]
duration_s = 1
max_per_hour = 1000
[retention]
min_free_disk_mb = 0
"""


def test_backups_beside_a_recording_daemon_hold_what_it_had_acknowledged(
    recorder: Callable[..., Recorder], tmp_path: Path
) -> None:
    """Each has every incident that was known before it began, and no deleted one; a daemon starts from it."""
    daemon, restored = recorder(settings=RESTLESS).start(), recorder(settings=RESTLESS)
    for number in range(3):
        burner = daemon.python("burn.py", "50")
        found = daemon.incident(profiled=False, pid=burner.pid)
        known = {row["correlation_id"] for row in daemon.incidents()}
        copy = tmp_path / f"copy{number}"
        made = daemon.command("storage", "backup", str(copy))  # while its profile is taken and saved
        assert made.returncode == 0, made.stderr
        restored.data_dir = tmp_path / f"again{number}"
        done = restored.command("storage", "restore", str(copy))
        assert done.returncode == 0, done.stderr
        assert known <= {row["correlation_id"] for row in restored.incidents()}
        checked = restored.command("storage", "verify")
        assert checked.returncode == 0, checked.stdout
        burner.kill()
        deleted = daemon.command("delete", found["correlation_id"], "--yes")
        assert deleted.returncode == 0, deleted.stderr
    assert daemon.command("storage", "restore", str(tmp_path / "copy0")).returncode == 75
    restored.start()
    assert restored.ask("storage", "status")["running"]
    assert found["correlation_id"] in {row["correlation_id"] for row in restored.incidents()}
