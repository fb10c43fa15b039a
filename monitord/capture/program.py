"""Which program a process runs, and which version of it: one id that changes when what runs was changed.

Made of the executable and, where that is an interpreter, of the script, module or text it was given. Files
count by path, size and time of writing; only a digest of it all is ever kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from monitord.capture import procfs
from monitord.capture.portable import psutil

_INTERPRETERS = re.compile(r"^(python|pypy|ruby|perl|node|php|bash|dash|sh|java|lua)[0-9.]*$")
_WITH_TEXT = ("-c", "-e", "-m", "-jar")
_ID_LENGTH = 24


def program_id(pid: int) -> str | None:
    """The id; None when the process is gone or can't be looked at."""
    try:
        executable, words, folder = _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)
        image = f"/proc/{pid}/exe" if sys.platform == "linux" else executable
        parts = [executable, *_version(Path(image))]
        if _INTERPRETERS.match(Path(executable).name):
            parts += _script(pid, words[1:], folder)
    except OSError:
        return None
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:_ID_LENGTH]


def _from_proc(pid: int) -> tuple[str, list[str], str]:
    """Program, words and folder; psutil would say the same, and stay in memory for it."""
    words = procfs.read(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0")
    return (
        procfs.link(f"/proc/{pid}/exe").removesuffix(" (deleted)"),
        [os.fsdecode(word) for word in words],
        procfs.link(f"/proc/{pid}/cwd"),
    )


def _from_psutil(pid: int) -> tuple[str, list[str], str]:
    try:
        process = psutil.Process(pid)
        return process.exe(), process.cmdline(), process.cwd()
    except psutil.Error as error:
        raise OSError(str(error)) from error


def _script(pid: int, words: Sequence[str], folder: str) -> list[str]:
    """What the interpreter was given: the text or module after an option, or the first file."""
    for index, word in enumerate(words):
        if word in _WITH_TEXT:
            return [word, *words[index + 1 : index + 2]]
        if not word.startswith("-"):
            path = str(Path(folder) / word)
            root = f"/proc/{pid}/root" if sys.platform == "linux" else ""
            return [path, *_version(Path(root + path))]
    return []


def _version(file: Path) -> tuple[str, str]:
    try:
        found = file.stat()
    except OSError:
        return "", ""
    return str(found.st_size), str(found.st_mtime_ns)
