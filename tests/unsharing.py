"""Tests that mount or enter namespaces: root runs them as they are, an ordinary user in namespaces of his own.

There he has every right to what was made in them, and to the machine no more than before. Such a test runs
in a pytest of its own, because who entered namespaces can't leave them.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_INSIDE = "MONITORD_TESTS_UNSHARED"
_WORDS = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
NO_EXEC = 8
_READ_ONLY, _REMOUNT, _DETACH = 1, 32, 2
# What is root's belongs to nobody there, and nothing below a folder of nobody's is trusted: so the root folder and
# /tmp are made anew. Whatever is started gets none of these rights, else it would be taken for root.
_ENTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(failed):
    if failed: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
here, folder, BIND, RECURSIVE, DETACH, CAP_AMBIENT, CLEAR_ALL = os.getcwd(), sys.argv[1], 4096, 16384, 2, 47, 4
must(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, b"mode=0755"))
for name in os.listdir("/"):
    old, new = f"/{name}", f"{folder}/{name}"
    if os.path.islink(old): os.symlink(os.readlink(old), new)
    elif os.path.isdir(old):
        os.mkdir(new, 0o755)
        if name != "tmp": must(libc.mount(old.encode(), new.encode(), None, BIND | RECURSIVE, None))
for ours in (here, sys.prefix):
    if ours.startswith("/tmp/"):
        os.makedirs(folder + ours)
        must(libc.mount(ours.encode(), (folder + ours).encode(), None, BIND | RECURSIVE, None))
os.chdir(folder)
must(libc.pivot_root(b".", b"."))
must(libc.umount2(b".", DETACH))
os.chdir(here)
libc.prctl(CAP_AMBIENT, CLEAR_ALL, 0, 0, 0)
import runpy
sys.argv[:2] = ["pytest"]
runpy.run_module("pytest", run_name="__main__", alter_sys=True)
"""


def is_needed() -> bool:
    """Whether we lack here what we would have there."""
    return os.geteuid() != 0 and _INSIDE not in os.environ


@cache
def _why_not() -> str | None:
    """In words, with what to do; None where we are granted them."""
    try:
        done = subprocess.run([*_WORDS, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare is missing: apt-get install util-linux"
    if done.returncode == 0:
        return None
    return f"we are granted no namespaces ({done.stderr.strip()}): sudo sysctl user.max_user_namespaces=1000, or run as root"


def run_there(item: pytest.Item) -> None:
    """Run it, and end as it ends."""
    if why := _why_not():
        pytest.skip(why)
    with TemporaryDirectory(prefix="monitord-unshared-") as folder:
        words = ["-q", "-rs", "-p", "no:cacheprovider", "--basetemp=/tmp/t", item.nodeid]
        done = subprocess.run(
            [*_WORDS, sys.executable, "-c", _ENTER, folder, *words],
            cwd=item.config.rootpath, env={**os.environ, _INSIDE: "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(f"in namespaces of its own: {done.stdout}", pytrace=False)
    if skipped := re.search(r"^SKIPPED \[1\] \S+ (.*)", done.stdout, re.MULTILINE):
        pytest.skip(skipped[1])
    assert "1 passed" in done.stdout, done.stdout


@contextmanager
def mounted(folder: Path, options: str, flags: int = 0) -> Iterator[Path]:
    """A tmpfs in the folder, ours alone, for the block."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _mount(folder, flags, f"mode=0700,{options}")
    try:
        yield folder
    finally:
        if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(folder), _DETACH):
            raise OSError(ctypes.get_errno(), "cannot unmount", str(folder))


def remount(folder: Path, *, is_read_only: bool) -> None:
    _mount(folder, _REMOUNT | (_READ_ONLY if is_read_only else 0), "")


def _mount(folder: Path, flags: int, options: str) -> None:
    """By the call itself: the command asks for user 0, whatever rights we have."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(flags), options.encode()):
        raise OSError(ctypes.get_errno(), "cannot mount", str(folder))
