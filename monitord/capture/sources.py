"""Reads the source of a process's hottest functions and says what it tells; run as a child, by its path.

A process chooses the file names in its frames. So a file is read only where its own user may read it too,
only inside the target's own root, only a regular one named like Python source, and only so much of it; never
executed. What a file system may make a reader wait for, it makes this child wait for, which has a deadline.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from monitord import procfs
from monitord.model import Hotspot, Statement
from monitord.profiles.identifying import SourceText, identify

_SUFFIXES = (".py", ".pyw")
_MAX_BYTES = 1_000_000
_MAX_FILES = 12
_MAX_LINKS = 40
_SEARCH, _READ = 1, 4
_SLACK_S = 1.0  # a file written while the process started may or may not be what it runs
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Reader:
    """The user for whom files are read: nothing is opened that this user could not open."""

    uid: int
    groups: frozenset[int] = frozenset()

    def may(self, found: os.stat_result, bit: int) -> bool:
        """What the mode of a file grants (path_resolution(7)); access lists grant nothing more here."""
        if self.uid == 0:
            return True
        if found.st_uid == self.uid:
            return bool(found.st_mode >> 6 & bit)
        return bool(found.st_mode >> (3 if found.st_gid in self.groups else 0) & bit)


class Root:
    """The files below one folder, as the process sees them whose root it is: no link leads out of it."""

    def __init__(self, path: str, reader: Reader) -> None:
        self._reader = reader
        self._top = os.open(path, _FOLDER & ~os.O_NOFOLLOW)  # /proc/PID/root is a link of the kernel's

    def close(self) -> None:
        os.close(self._top)

    def read(self, path: str) -> tuple[bytes, os.stat_result, int]:
        """A regular file's bytes, its status, and how many folders above it are packages; raises OSError."""
        folders = [self._top]
        try:
            name = self._walk(path, folders)
            with os.fdopen(os.open(name, _FILE, dir_fd=folders[-1]), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or not self._reader.may(found, _READ):
                    raise PermissionError(name)
                if found.st_size > _MAX_BYTES:
                    raise OSError(f"{name} has more than the {_MAX_BYTES:,} bytes that are read")
                return file.read(_MAX_BYTES), found, _packages(folders)
        finally:
            for folder in folders[1:]:
                os.close(folder)

    def _walk(self, path: str, folders: list[int]) -> str:
        """Open every folder on the way, links resolved by hand, and give the last name, never a link."""
        waiting, links = _parts(path), 0
        while waiting:
            name = waiting.pop()
            if name == "..":
                if len(folders) > 1:
                    os.close(folders.pop())
                continue
            found = os.stat(name, dir_fd=folders[-1], follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError("too many links")
                target = os.readlink(name, dir_fd=folders[-1])
                while target.startswith("/") and len(folders) > 1:
                    os.close(folders.pop())
                waiting += _parts(target)
            elif not waiting:
                return name
            else:
                folders.append(os.open(name, _FOLDER, dir_fd=folders[-1]))
                if not self._reader.may(os.fstat(folders[-1]), _SEARCH):
                    raise PermissionError(name)
        raise IsADirectoryError(path)


def _parts(path: str) -> list[str]:
    """The names of a path, the last one first."""
    return [part for part in path.split("/")[::-1] if part not in ("", ".")]


def _packages(folders: Sequence[int]) -> int:
    """How many of the innermost folders are packages, one inside the other."""
    for count, folder in enumerate(folders[:0:-1]):
        try:
            os.stat("__init__.py", dir_fd=folder, follow_symlinks=False)
        except OSError:
            return count
    return len(folders) - 1


class Sources:
    """Source texts by file name, each read once, so many at most."""

    def __init__(self, root: Root, started_at_s: float) -> None:
        self._root = root
        self._started_at_s = started_at_s
        self._known: dict[str, SourceText | None] = {}

    def get(self, file: str) -> SourceText | None:
        """Return a file's text; None when it is not a source file, or the limit on files is reached."""
        if file not in self._known:
            is_wanted = file.startswith("/") and file.endswith(_SUFFIXES) and "\0" not in file
            enough = sum(text is not None for text in self._known.values()) >= _MAX_FILES
            self._known[file] = self._read(file) if is_wanted and not enough else None
        return self._known[file]

    def _read(self, file: str) -> SourceText:
        from monitord.profiles.locations import module_of

        try:
            raw, found, packages = self._root.read(file)
            text = decoded(raw)
        except (OSError, ValueError, LookupError):
            return SourceText(None)
        is_newer = found.st_mtime > self._started_at_s + _SLACK_S
        return SourceText(text, module_of(file, packages), found.st_mtime_ns, is_newer)


def decoded(raw: bytes) -> str:
    """Decode source bytes by their own declaration (PEP 263); raises ValueError or LookupError."""
    import io
    import tokenize

    if b"\0" in raw:
        raise ValueError("binary")
    try:
        encoding, _lines = tokenize.detect_encoding(io.BytesIO(raw).readline)
    except SyntaxError as error:
        raise ValueError("unknown encoding") from error
    return io.TextIOWrapper(io.BytesIO(raw), encoding).read()


def main(arguments: Sequence[str]) -> int:
    """PID START_TICKS FILE [USERS GROUPS]: print the hotspots in FILE, a JSON list, with what sources tell.

    USERS and GROUPS are the target's as they were when it was opened (Linux): what it becomes while its files
    are read must not matter. Ends with 1 when it has become another, or has ended.
    """
    pid, start_ticks = int(arguments[0]), int(arguments[1])
    given = json.loads(Path(arguments[2]).read_text(encoding="utf-8"))
    spots = [_hotspot(entry) for entry in given]
    on_linux = sys.platform == "linux"
    reader = _reader_of(arguments[3], arguments[4]) if on_linux else _owner_of(pid)
    root = Root(procfs.path(pid, "root") if on_linux else "/", reader)
    sources = Sources(root, _started_at_s(start_ticks))
    found = [asdict(spot) for spot in identify(spots, sources.get)]
    if on_linux and not _is_still(pid, start_ticks, arguments[3]):
        return 1
    print(json.dumps(found))  # noqa: T201 - the child's stdout is its interface
    return 0


def _hotspot(entry: dict[str, object]) -> Hotspot:
    statements = entry.pop("statements", [])
    assert isinstance(statements, list)  # noqa: S101 - our own parent wrote it; tells mypy
    return Hotspot(**entry, statements=tuple(Statement(**one) for one in statements))  # type: ignore[arg-type]  # as above


def _reader_of(users: str, groups: str) -> Reader:
    """Whose files may be read: four ids as in /proc/PID/status; of a setuid program nobody's but root's own.

    Such a program may read what the user who started it may not: raises PermissionError.
    """
    ids = set(map(int, users.split()))
    if len(ids) != 1:
        raise PermissionError("a setuid program's sources are nobody's to read")
    return Reader(ids.pop(), frozenset(map(int, groups.split())))


def _is_still(pid: int, start_ticks: int, users: str) -> bool:
    """Whether it lives, is the same process, and runs as the same users."""
    stat = procfs.stat_of(pid)
    if stat is None or stat.start_ticks != start_ticks or stat.state in "ZX":
        return False
    return procfs.status_of(pid).get("Uid", "").split() == users.split()


def _owner_of(pid: int) -> Reader:
    """Where there is no /proc: by ps, whose first column is the effective user. Not tried on a Mac."""
    import subprocess

    said = subprocess.run(["/bin/ps", "-o", "uid=,gid=", "-p", str(pid)], capture_output=True, check=True)
    uid, gid = map(int, said.stdout.split())
    return Reader(uid, frozenset({gid}))


def _started_at_s(start_ticks: int) -> float:
    """When the process began, since the epoch; `start_ticks` as in ProcessKey."""
    if sys.platform != "linux":
        return start_ticks / 1000
    return time.time() - procfs.age_s(start_ticks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
