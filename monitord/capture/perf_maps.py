"""The names that a JIT writes for perf, `/tmp/perf-PID.map`: taken over only when they are the target's own.

perf itself opens whatever has that name. So the target's file is looked for in the target's root, must be a
plain file of the target's user with one name and a bounded size, and perf is given a copy in the place of
whatever lies in /tmp (supervisor.py). Where that can't be had, it has no right that the target's user lacks.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from monitord import procfs
from monitord.capture.target import Target

MAX_BYTES = 32 * 1024 * 1024
LINE_CAP_BYTES = 2048
COPY = "perf.map"
_LIMIT_S = 2.0
_SHARED = Path("/tmp")  # noqa: S108 - where perf looks
_LONG_LINE = re.compile(rb"([^\n]{%d})[^\n]+" % LINE_CAP_BYTES)
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def take_over(target: Target, folder: Path) -> dict[str, str]:
    """Copy the target's map into `folder` (name: COPY) if it has one that is its own.

    Gives the names in /tmp under which perf looks for it, each with the copy's, or "": there is none for it.
    """
    pid = target.key.pid
    inner = procfs.status_of(pid).get("NSpid", str(pid)).split()[-1]
    try:
        uid = int(target.identity.users.split()[1])
        is_taken = _copy_in_time(pid, f"perf-{int(inner)}.map", uid, folder) and target.is_alive()
    except (OSError, ValueError, IndexError):
        is_taken = False
    return {f"perf-{number}.map": COPY if is_taken else "" for number in (pid, int(inner))}


def _copy_in_time(pid: int, name: str, uid: int, folder: Path) -> bool:
    """A file system of the target's may hold up its reader; what comes too late is nobody's copy."""
    part, done = folder / f"{COPY}.{secrets.token_hex(4)}", list[bool]()

    def copy() -> None:
        with suppress(OSError):
            done.append(_copy(pid, name, uid, part))

    procfs.try_for(_LIMIT_S, copy, "capture-perf-map")
    if done != [True]:
        return False
    part.replace(folder / COPY)
    return True


def _copy(pid: int, name: str, uid: int, path: Path) -> bool:
    with ExitStack() as opened:
        root = os.open(procfs.path(pid, "root"), _FOLDER & ~os.O_NOFOLLOW)  # a link of the kernel's
        opened.callback(os.close, root)
        shared = os.open("tmp", _FOLDER, dir_fd=root)
        opened.callback(os.close, shared)
        source = opened.enter_context(os.fdopen(os.open(name, _FILE, dir_fd=shared), "rb", buffering=0))
        found = os.fstat(source.fileno())
        is_own = found.st_uid == uid and found.st_nlink == 1
        if not stat.S_ISREG(found.st_mode) or not is_own or not 0 < found.st_size <= MAX_BYTES:
            return False
        path.unlink(missing_ok=True)
        copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        made = opened.enter_context(os.fdopen(copy, "wb"))
        left, begun = MAX_BYTES, 0
        while left and (piece := source.read(min(left, 1 << 20))):
            left -= len(piece)
            kept, begun = short_lines(piece, begun)
            made.write(kept)
    return True


def short_lines(piece: bytes, begun: int) -> tuple[bytes, int]:
    """A piece of a text with its lines cut, as perf prints a name once for each frame of each sample.

    `begun` is how much of its first line came before; so much of the last one is given for the next piece.
    """
    head, end, rest = piece.partition(b"\n")
    kept = head[: max(0, LINE_CAP_BYTES - begun)] + end + _LONG_LINE.sub(rb"\1", rest)
    last = piece.rpartition(b"\n")[2]
    return kept, len(last) if end else begun + len(piece)


@contextmanager
def offered(maps: Mapping[str, str], folder: Path) -> Iterator[None]:
    """For the block, the copy lies in our /tmp, where perf has none of its own; what is there stays as it is.

    Only an ordinary user needs this. perf runs without rights then, and reads no map of another user.
    """
    made: list[Path] = []
    try:
        for name, copy in maps.items() if os.geteuid() != 0 else ():
            if not copy:
                continue
            path = _SHARED / name
            try:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            except OSError:
                continue
            made.append(path)
            with os.fdopen(file, "wb") as shared:
                shared.write((folder / copy).read_bytes())
        yield
    finally:
        for path in made:
            path.unlink(missing_ok=True)
