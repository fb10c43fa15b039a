"""A real group of processes that may hold little memory: of version 1, whose controller most test machines have."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """Yield its folder; whoever was in it must have been collected by the end."""
    folder = Path("/sys/fs/cgroup/memory", f"monitord-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"no memory group of version 1 can be made: {error}")
    yield folder
    deadline = time.monotonic() + PATIENCE_S
    while True:  # a killed process leaves its group a moment after it is collected
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
