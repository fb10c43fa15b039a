"""What a test loses is found and ended, so that it takes the CPU from no later test."""

from __future__ import annotations

import subprocess

from tests.burners import burn_command, end_orphans, orphans


def test_who_lost_its_parent_is_found_and_killed() -> None:
    """A burner in a session of its own, whose parent has ended; a child of ours is not touched."""
    child = subprocess.Popen(burn_command(60))
    shell = subprocess.run(
        ["sh", "-c", 'setsid "$@" >/dev/null 2>&1 & echo $!', "sh", *burn_command(60)],
        capture_output=True,
        text=True,
    )
    lost = int(shell.stdout)
    assert set(orphans()) == {lost}
    assert "while :" in end_orphans(patience_s=0.0)[lost]
    assert child.poll() is None
    child.kill()
    child.wait()
    assert orphans() == {}
