"""`run`: from the command line to the daemon."""

from __future__ import annotations

import os

from monitord.children import own_command
from monitord.cli.context import CliContext
from monitord.errors import ConfigError
from monitord.recorder.notify import Notifier

# One heap for all threads, and big blocks always on pages of their own: what a capture needed for a moment
# goes back to the system. glibc's defaults keep 5 MB more after the first captures; others ignore these.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
# Of where in a line an instruction stands: 0.4 MB. Tracebacks tell files, functions and lines all the same.
LEAN = ("-X", "no_debug_ranges")


def run(context: CliContext) -> None:
    """Record until stopped: watch every process, keep the evidence when one goes wrong."""
    try:
        context.config()  # a mistake in it is one line and exit 6 here, before anything starts
    except ConfigError as error:
        Notifier().status(f"refused: {error}")  # `systemctl status` shows it
        raise
    python, *words = own_command("monitord.daemon")
    command = [python, *LEAN, *words]
    if context.config_path is not None:
        command += ["--config", str(context.config_path.absolute())]
    command += ["--data-dir", str(context.data_dir(records=True).absolute())]
    os.chdir("/")  # no folder of anybody is in use, and none decides what is meant
    # The daemon takes this process over, so that it never carries the command line's libraries.
    os.execve(command[0], command, {**ALLOCATOR, **os.environ})  # noqa: S606 - our own interpreter, no shell
