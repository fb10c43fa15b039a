"""Files that somebody named: written whole or not at all, and one way to say why not.

With rights that others lack it writes only where nobody else decides what is there: no link is followed
that somebody else could have put on the way, and nothing of somebody else's is written into.
"""

from __future__ import annotations

import os
import pwd
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from monitord.durable import durable_write
from monitord.errors import MonitordError, PermissionDeniedError
from monitord.ownership import belongs_to, is_privileged, open_folder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(
    path: Path,
    content: bytes | Iterable[bytes],
    *,
    mode: int = 0o600,
    keeps_mode: bool = True,
    for_caller: bool = False,
) -> None:
    """Write as `place_file` does; raises PermissionDeniedError, or MonitordError for all else.

    `for_caller`: who typed sudo gets the file, in a folder where they could have made it themselves.
    """
    try:
        with _no_half_file_at_the_end():
            place_file(path, content, mode=mode, keeps_mode=keeps_mode, for_caller=for_caller)
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot write {path}: {error.strerror}") from error
    except OSError as error:
        more = "; make its folder first" if isinstance(error, FileNotFoundError) else ""
        raise MonitordError(f"cannot write {path}: {error.strerror}{more}") from error


def place_file(
    path: Path,
    content: bytes | Iterable[bytes],
    *,
    mode: int,
    keeps_mode: bool = True,
    replace: bool = True,
    for_caller: bool = False,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write as `durable_write` does; with rights only where nobody else decides what is there."""
    write = partial(durable_write, path, content, mode=mode, keeps_mode=keeps_mode, replace=replace)
    if not is_privileged():
        write(owner=owner)
        return
    caller = calling_user()
    trusted = frozenset({caller[0]} if caller else ())
    folder = _opened_above(path)
    try:
        before = _checked(folder, path.name, trusted)
        if before is not None and stat.S_ISLNK(before.st_mode) and belongs_to(folder, trusted):
            write(owner=owner)  # /dev/stdout
            return
        if for_caller and caller is not None and _could_make(caller[0], folder, before):
            owner = caller
        write(owner=owner, within=folder)
    finally:
        os.close(folder)


@contextmanager
def new_folder(folder: Path) -> Iterator[int]:
    """Make a folder for its owner alone and yield it opened: a link that takes its place leads nowhere.

    Raises OSError; FileExistsError for whatever is there.
    """
    above = _opened_above(folder)
    try:
        os.mkdir(folder.name, 0o700, dir_fd=above)
        held = os.open(folder.name, _FOLDER, dir_fd=above)
    finally:
        os.close(above)
    try:
        yield held
    finally:
        os.close(held)


def _opened_above(path: Path) -> int:
    if not is_privileged():
        return os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    caller = calling_user()
    return open_folder(path.parent.absolute(), frozenset({caller[0]} if caller else ()))


class _EndedError(BaseException):
    """A signal that ends the process came."""


@contextmanager
def _no_half_file_at_the_end() -> Iterator[None]:
    """SIGTERM and SIGHUP (a closed terminal) undo what the block began, as Ctrl-C does, and then end us.

    Where somebody else obeys or ignores them they are left alone.
    """

    def end(number: int, _frame: object) -> None:
        raise _EndedError(number)

    is_main = threading.current_thread() is threading.main_thread()
    ours = [
        one for one in (signal.SIGTERM, signal.SIGHUP) if is_main and signal.getsignal(one) is signal.SIG_DFL
    ]
    for one in ours:
        signal.signal(one, end)
    try:
        yield
    except _EndedError as ended:
        signal.signal(ended.args[0], signal.SIG_DFL)
        os.kill(os.getpid(), ended.args[0])
        raise
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


def calling_user() -> tuple[int, int] | None:
    """Return the uid and gid of who typed sudo; None where nobody did, or its words contradict each other."""
    uid, gid, name = (os.environ.get(f"SUDO_{word}", "") for word in ("UID", "GID", "USER"))
    if os.geteuid() != 0 or not uid.isdecimal() or not gid.isdecimal() or int(uid) == 0:
        return None
    try:
        known = pwd.getpwuid(int(uid))
    except (KeyError, OverflowError):
        return None if name or int(uid) >= 1 << 32 - 1 else (int(uid), int(gid))
    return (int(uid), known.pw_gid) if name in ("", known.pw_name) else None


def _could_make(uid: int, folder: int, before: os.stat_result | None) -> bool:
    """Whether a user could put this file there without us: in a folder of theirs, or in one for everybody."""
    status = os.fstat(folder)
    is_for_everybody = status.st_mode & stat.S_IWOTH and status.st_mode & stat.S_ISVTX
    return status.st_uid == uid or bool(is_for_everybody and (before is None or before.st_uid == uid))


def _checked(folder: int, name: str, trusted: frozenset[int]) -> os.stat_result | None:
    """What is there already; PermissionError for a pipe or a device of somebody else's making."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    if not is_plain and status.st_uid not in trusted | {0}:
        raise PermissionError(1, "it is a pipe or a device of another user")
    return status
