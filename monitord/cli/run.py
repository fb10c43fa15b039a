"""`run`: from the command line to the daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import monitord
from monitord.cli.place import Place

# One heap for all threads, and big blocks always on pages of their own: what a capture needed for a moment
# goes back to the system. glibc's defaults keep 5 MB more after the first captures; others ignore these.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


def run(place: Place) -> None:
    """Record until stopped: watch every process, keep the evidence when one goes wrong."""
    place.config()  # a mistake in it is one line and exit 6 here, before anything starts
    command = [sys.executable, *_path_flags(), "-m", "monitord.daemon"]
    if place.config_path is not None:
        command += ["--config", str(place.config_path)]
    command += ["--data-dir", str(place.data_dir())]
    # The daemon takes this process over, so that it never carries the command line's libraries.
    os.execve(command[0], command, {**_ALLOCATOR, **os.environ})  # noqa: S606 - our own interpreter, no shell


def _path_flags() -> list[str]:
    """`-m` would put the current folder first on the module path, and with it whatever lies there."""
    try:
        here = Path.cwd()
    except OSError:  # the current folder was deleted
        return ["-P"]
    return [] if Path(monitord.__file__).parent.parent == here else ["-P"]
