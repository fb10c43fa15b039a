"""Real interpreters of every version that can be had, and programs that say themselves where they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.strangers import may_unshare, unshared

VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
OTHERS = ("3.13t", "3.14t", "3.15t")
"""Free-threaded ones: no package has them, so they are tried where somebody built them (CONTRIBUTING.md says how)."""
FROM_DEBIAN = Path(os.environ.get("MONITORD_PYTHONS", "/opt/monitord-pythons"))
"""A root folder of Debian's newer interpreters, which .ci/pythons makes: root's, or an ordinary user's own."""

TOLD = """
import json, sys
def told(frame):
    frames = []
    while frame:
        frames.append([frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return frames[::-1]
def hold():
    print(json.dumps(told(sys._getframe())), flush=True); sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Python:
    """How an interpreter is started. `root`: where it has its own libraries."""

    version: str
    words: tuple[str, ...]
    root: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        return [*self.words, *arguments]

    def place(self, folder: Path, name: str, text: str) -> tuple[Path, str]:
        """A file that it can read: where it is for us, and for it."""
        path = folder / name
        path.write_text(text, encoding="utf-8")
        if self.root is None:
            return path, str(path)
        inside = self.root / "tmp" / f"{os.getpid()}-{folder.name}-{name}"
        shutil.copy(path, inside)
        return inside, f"/tmp/{inside.name}"


@cache
def found() -> dict[str, Python]:
    """One interpreter of each version."""
    pythons = {}
    for version in (*VERSIONS, *OTHERS):
        if words := from_debian(version):
            pythons[version] = Python(version, words, FROM_DEBIAN)
        elsewhere = None if version in OTHERS else "/usr/bin:/usr/local/bin"  # no shim
        for path in (*_in_pyenv(version), shutil.which(f"python{version}", path=elsewhere)):
            if path is not None and version not in pythons:
                pythons[version] = Python(version, (path,))
    return pythons


def from_debian(version: str) -> tuple[str, ...]:
    """How one of that folder is started where we may write its programs; else nothing."""
    name = f"/usr/bin/python{version}"
    if not Path(f"{FROM_DEBIAN}{name}").exists() or not os.access(FROM_DEBIAN / "tmp", os.W_OK):
        return ()
    if not may_unshare():
        return ()
    chroot = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "chroot"
    return (*(() if os.geteuid() == 0 else unshared()), chroot, str(FROM_DEBIAN), name)


def _in_pyenv(version: str) -> Iterator[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in sorted(root.glob(f"versions/{version.rstrip('t')}.*/bin/python{version}")):
        yield str(path)


def python(version: str) -> Python:
    """Or the reason why there is none."""
    if version in found():
        return found()[version]
    pytest.skip(f"Python {version} is missing: run .ci/pythons FOLDER, or install it with pyenv")


@contextmanager
def started(command: Sequence[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose input stays open for the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    """The next line that it says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it ended"
    return line


def until_it_waits(pid: int) -> None:
    """Until its main thread sleeps."""
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"S":
        assert time.monotonic() < deadline, "it does not wait"
        time.sleep(0.01)


@contextmanager
def holding(
    python: Python, folder: Path, program: str, **options: object
) -> Iterator[tuple[subprocess.Popen[bytes], list[tuple[str, str, int]]]]:
    """A program that has called `hold`, and its frames by its own word."""
    path, name = python.place(folder, "program.py", TOLD + program)
    try:
        with started(python.command(name), **options) as process:
            told = [tuple(frame) for frame in json.loads(line_of(process))]
            until_it_waits(process.pid)
            yield process, told
    finally:
        if python.root is not None:
            path.unlink()


OURS = Python(f"{sys.version_info[0]}.{sys.version_info[1]}", (sys.executable,))
