"""What a test loses is found and ended, so that it takes the CPU from no later test."""

from __future__ import annotations

import subprocess

from tests.burners import burn_command, end_orphans, orphans
from tests.servers import wait_until


def test_who_lost_its_parent_is_found_and_killed() -> None:
    """A burner in a session of its own, whose parent has ended; a child of ours is not touched.

    Both programs are waited for: while it is being executed a process has neither environment nor words.
    """
    with subprocess.Popen(burn_command(60)) as child:
        try:
            shell = subprocess.run(
                ["sh", "-c", 'setsid "$@" >/dev/null 2>&1 & echo $!', "sh", *burn_command(60)],
                capture_output=True,
                text=True,
            )
            lost = int(shell.stdout)
            wait_until(lambda: "while :" in orphans().get(lost, ""), "orphan that burns")
            assert set(orphans()) == {lost}
            assert "while :" in end_orphans(patience_s=0.0)[lost]
            assert child.poll() is None
        finally:
            child.kill()
    wait_until(lambda: orphans() == {}, "end of what was killed")
