"""Real groups of processes with limits: of version 2 where its controllers are, else of version 1."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path("/sys/fs/cgroup")


def memory_group(limit_bytes: int) -> AbstractContextManager[Path]:
    """Yield a group's folder with this limit of memory. The caller waits for its processes before the block ends."""
    return _group("memory", "memory.max", "memory.limit_in_bytes", limit_bytes)


def cpu_group(percent: int) -> AbstractContextManager[Path]:
    """Yield the folder of one that may use so much of a core."""
    return _group("cpu", "cpu.max", "cpu.cfs_quota_us", 1000 * percent)


@contextmanager
def _group(controller: str, name: str, name_in_version_1: str, value: int) -> Iterator[Path]:
    is_version_2 = (ROOT / "cgroup.controllers").exists()
    folder = (ROOT if is_version_2 else ROOT / controller) / f"monitord-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / (name if is_version_2 else name_in_version_1)).write_text(str(value))
    except OSError as error:
        pytest.skip(f"no group with a limit of its {controller} can be made: {error}")
    yield folder
    deadline = time.monotonic() + PATIENCE_S
    while True:  # a killed process leaves its group a moment after it is collected
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
