"""Somebody else on this machine: an ordinary user without our rights, who may enter a test's folder.

Where the tests run as an ordinary user that is who runs them, and others are who has the processes of the system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

NOBODY = 65_534
_UNSHARE = ["unshare"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]


def let_in(folder: Path) -> Path:
    """Let everybody enter a folder of a test and those above it that are ours; /tmp stays as it is."""
    for one in (folder, *folder.parents):
        status = one.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & 0o001:
            one.chmod(status.st_mode | 0o055)
    return folder


def without(capabilities: str = "all") -> list[str]:
    """The beginning of a command that lacks these (`setpriv`'s word); an ordinary user has none to begin with."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: apt-get install util-linux")
    return ["setpriv", f"--bounding-set=-{capabilities}", f"--inh-caps=-{capabilities}"]


@cache
def may_unshare() -> bool:
    """Whether we are granted namespaces."""
    return not subprocess.run(
        [*_UNSHARE, "--mount", "true"], stderr=subprocess.DEVNULL, check=False
    ).returncode


def unshared(*namespaces: str) -> list[str]:
    """The beginning of a command in namespaces of its own: an ordinary user's belong, as his containers' do, to one of users."""
    if not may_unshare():
        pytest.skip("we are granted no namespaces: sudo sysctl user.max_user_namespaces=1000, or run as root")
    return [*_UNSHARE, *namespaces]


@contextmanager
def ordinary() -> Iterator[None]:
    """This process is an ordinary user's for the block."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextmanager
def process_of_another() -> Iterator[int]:
    """The number of a process that an ordinary user may not look into: root's beside nobody, the first one beside us."""
    if os.geteuid() == 0:
        with subprocess.Popen(["sleep", "600"]) as process:
            try:
                yield process.pid
            finally:
                process.kill()
        return
    if Path("/proc/1").stat().st_uid == os.geteuid():
        pytest.skip("every process here is ours: run outside of the container, or as root")
    yield 1
