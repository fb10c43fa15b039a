"""A folder for temporary files is one pytest's alone: two would delete each other's, and read each other's."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from pathlib import Path

import pytest


def hold(folder: Path) -> socket.socket | None:
    """Hold the folder until what is returned is closed, or this process ends; raises UsageError when it is held.

    A name of a socket is held, no file: nothing is left behind. None where the system has no such names.
    """
    if sys.platform != "linux":
        return None
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0monitord-tests-{name}")
    except OSError as error:
        held.close()
        raise pytest.UsageError(
            f"another pytest uses --basetemp {folder}, expected a folder of its own"
        ) from error
    os.register_at_fork(after_in_child=held.close)  # a child that outlives us holds nobody up
    return held
