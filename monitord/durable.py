"""Files that are on the disk when the writer returns, and a reader that neither waits nor reads for ever.

Standard library only and below every room. What goes wrong is an OSError, for the caller to explain.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


_SHARED = stat.S_ISGID | stat.S_IRGRP
READ_LIMIT_BYTES = 16 << 20


def read_regular(path: Path, limit_bytes: int = READ_LIMIT_BYTES) -> bytes:
    """Read all of a regular file, and nothing of /dev/null.

    OSError also where a FIFO, another device or far too much stands in its place.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
        status = os.fstat(source.fileno())
        if os.path.samestat(status, os.stat(os.devnull)):  # noqa: PTH116 - the usual word for an empty file
            return b""
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = source.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {limit_bytes:,} bytes", str(path))
    return content


def durable_write(
    path: Path,
    content: bytes | Iterable[bytes],
    *,
    mode: int = 0o600,
    replace: bool = True,
    keeps_mode: bool = True,
    owner: tuple[int, int] | None = None,
    within: int | None = None,
) -> None:
    """Write the whole file or none of it; on the disk, with its name, when this returns.

    An existing file is replaced and keeps its mode (`keeps_mode`), unless `replace` is False: then
    FileExistsError. A device, a pipe or a name of an open file (/dev/stdout) is written to in place. `owner`
    (uid, gid) gets the file. `within` is the opened folder of `path`: no link is followed then.
    Raises OSError; nothing is left of a failed call.
    """
    chunks = (content,) if isinstance(content, bytes) else content
    place = Path(path.name) if within is not None else path
    stream = _stream_of(path) if within is None else None
    if stream is not None:
        _pour(os.dup(stream), chunks, is_file=False)
        return
    before = _status(place, within)
    if before is not None and not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    is_link = before is not None and stat.S_ISLNK(before.st_mode)
    if before is not None and not stat.S_ISREG(before.st_mode) and not is_link:
        _pour(_special(place, within), chunks, is_file=False)
        return
    draft = place.with_name(f".{secrets.token_hex(8)}.part")
    descriptor = os.open(draft, _NEW, mode, dir_fd=within)
    try:
        if before is not None and keeps_mode and not is_link:
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        if owner is not None:
            os.fchown(descriptor, *owner)
        _pour(descriptor, chunks, is_file=True)
        _publish(draft, place, within, replace=replace)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=within)
        raise
    if within is None:
        synchronise_folder(path.parent)
    else:
        synchronise(within)


def is_shared(folder: os.stat_result) -> bool:
    """Whether a data directory is open to its group for reading: that it gives its group on says it is meant.

    The machine's service is given such a one; a folder of a person's that happens to be open is not.
    """
    return folder.st_mode & _SHARED == _SHARED


def file_mode(*, shared: bool) -> int:
    """The mode of a file that holds what was recorded: its owner's alone, or its group may read it, too."""
    return 0o640 if shared else 0o600


def folder_mode(*, shared: bool) -> int:
    """As `file_mode`, for a folder."""
    return 0o750 if shared else 0o700


def owner_where(status: os.stat_result) -> tuple[int, int] | None:
    """Whose a file becomes that root writes in this folder, or over this file; None: we are not root."""
    return (status.st_uid, status.st_gid) if os.geteuid() == 0 else None


def synchronise(descriptor: int) -> None:
    """Wait until the file, or the folder's list of names, is on the disk itself."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync stops at the drive's cache
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError:
            pass  # not every file system there knows it: fall back to fsync
    os.fsync(descriptor)


def synchronise_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        synchronise(descriptor)
    finally:
        os.close(descriptor)


def _stream_of(path: Path) -> int | None:
    """The descriptor that a name stands for (/dev/stdout, /dev/fd/3): what it leads to has a name of its own.

    To replace the name would take it from the whole machine; opened again, a file would begin anew.
    """
    step = path
    with contextlib.suppress(OSError):
        step = path.parent / path.readlink()
    for each in (path, step):
        if each.name.isdecimal() and os.path.realpath(each.parent) in _descriptor_folders():
            return int(each.name)
    return None


def _descriptor_folders() -> frozenset[str]:
    return frozenset(map(os.path.realpath, ("/proc/self/fd", "/proc/thread-self/fd", "/dev/fd")))


def _status(path: Path, within: int | None) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=within, follow_symlinks=within is None)
    except FileNotFoundError:
        return None


def _special(path: Path, within: int | None = None) -> int:
    """A device or pipe, opened; never a file that has taken its place since it was looked at."""
    unfollowed = os.O_NOFOLLOW if within is not None else 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | unfollowed, dir_fd=within)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EBUSY, "it became another file meanwhile", str(path))
    return descriptor


def _pour(descriptor: int, chunks: Iterable[bytes], *, is_file: bool) -> None:
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        if is_file:
            synchronise(file.fileno())


def _publish(draft: Path, path: Path, within: int | None, *, replace: bool) -> None:
    if replace:
        os.rename(draft, path, src_dir_fd=within, dst_dir_fd=within)
        return
    try:
        os.link(draft, path, src_dir_fd=within, dst_dir_fd=within)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, _NEW, dir_fd=within))  # a file system without links: take the name, replace it
        os.rename(draft, path, src_dir_fd=within, dst_dir_fd=within)
    else:
        os.unlink(draft, dir_fd=within)
