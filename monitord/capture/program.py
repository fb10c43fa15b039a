"""Which program a process runs, and which version of it: one id that changes when what runs was changed.

Made of the executable and, where that is an interpreter, of the script, module or text it was given. Files
count by path, size and time of writing; only a digest of it all is ever kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from monitord import procfs
from monitord.capture.target import psutil
from monitord.interpreters import Started, started

_ID_LENGTH = 24


def program_id(pid: int) -> str | None:
    """Return the id of the program that a process runs; None when it is gone or can't be looked at."""
    try:
        executable, words, folder = _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)
        image = procfs.path(pid, "exe") if sys.platform == "linux" else executable
        parts = [executable, *_version(Path(image))]
        if (command := started(Path(executable).name, words)) is not None:
            parts += _command_parts(pid, command, folder)
    except OSError:
        return None
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:_ID_LENGTH]


def _from_proc(pid: int) -> tuple[str, Sequence[str], str]:
    """Program, words and folder; psutil would say the same, and stay in memory for it."""
    return (
        procfs.link(procfs.path(pid, "exe")).removesuffix(" (deleted)"),
        procfs.arguments(procfs.read(procfs.path(pid, "cmdline"))),
        procfs.link(procfs.path(pid, "cwd")),
    )


def _from_psutil(pid: int) -> tuple[str, Sequence[str], str]:
    try:
        process = psutil.Process(pid)
        return process.exe(), process.cmdline(), process.cwd()
    except psutil.Error as error:
        raise OSError(str(error)) from error


def _command_parts(pid: int, command: Started, folder: str) -> list[str]:
    """What the interpreter was given. Modules and classes are looked for from the folder it runs in."""
    if command.kind in ("file", "jar"):
        path = str(Path(folder) / command.what)
        root = procfs.path(pid, "root") if sys.platform == "linux" else ""
        return [*command.through, path, *_version(Path(root + path))]
    searched = [folder, command.search] if command.kind in ("module", "class") else []
    return [*command.through, command.kind, command.what, *searched]


def _version(file: Path) -> tuple[str, str]:
    try:
        found = file.stat()
    except OSError:
        return "", ""
    return str(found.st_size), str(found.st_mtime_ns)
