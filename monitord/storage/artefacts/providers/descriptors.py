"""Folders and files reached by descriptors only: each name is opened below a held one, no link followed.

A swapped folder or a planted link therefore leads nowhere, however late it is put there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitord.durable import file_mode, folder_mode, is_shared, owner_where
from monitord.errors import StorageError
from monitord.storage.artefacts.errors import AccessDeniedError, DiskFullError, TransientError

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
LOCK_NAME = ".lock"  # no key begins so
_TWO_NAMES_S = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_PASSING = (errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT)

Owner = tuple[int, int]


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Let what the operating system complains of out as one of our errors; `what` begins the message."""
    try:
        yield
    except OSError as error:
        raise explained_error(what, error) from error


def explained_error(what: str, error: OSError) -> StorageError:
    """Return the StorageError for an OSError."""
    line = f"{what}: {error.strerror or error}"
    if error.errno in _FULL:
        return DiskFullError(f"{line}; free space, or run `monitord retention run`")
    if error.errno in _DENIED:
        return AccessDeniedError(line)
    if error.errno in _PASSING:
        return TransientError(line)
    return StorageError(line)


def open_own_folder(folder: Path, *, create: bool) -> tuple[int, Owner | None]:
    """A descriptor of a folder that only its owner may write to; whom root hands over what it writes there.

    Without `create` it may be another's, who lets our group read it.
    """
    with explained(f"cannot open the artefact folder {folder}"):
        if create:
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=folder_mode(shared=is_shared(folder.parent.stat())))
        descriptor = os.open(folder, FOLDER)
    status = os.fstat(descriptor)
    # Root may tidy what a service recorded; what it writes here then belongs to the service.
    owner = owner_where(status)
    is_stranger = status.st_uid != os.geteuid() and owner is None
    if (is_stranger and (create or not is_shared(status))) or status.st_mode & 0o022:
        os.close(descriptor)
        raise AccessDeniedError(
            f"cannot use {folder}: others may write there, or it is not yours; try chmod 700"
        )
    return descriptor, owner


@contextlib.contextmanager
def folders_below(root: int, parts: Sequence[str]) -> Iterator[list[int]]:
    """Open `root` and each folder on the way down for the block; the last descriptor is the last folder's."""
    held = [root]
    try:
        for part in parts:
            held.append(os.open(part, FOLDER, dir_fd=held[-1]))
        yield held
    finally:
        for descriptor in held[1:]:
            os.close(descriptor)


def make_folders(root: int, parts: Sequence[str], owner: Owner | None) -> None:
    """Make what is missing of the way down, each folder as open as the one above it."""
    for depth in range(len(parts)):
        with folders_below(root, parts[:depth]) as held:
            make_folder(held[-1], parts[depth], owner)


def make_folder(parent: int, name: str, owner: Owner | None) -> None:
    """Make one folder unless it is there; root hands it over."""
    try:
        os.mkdir(name, folder_mode(shared=is_shared(os.fstat(parent))), dir_fd=parent)
    except FileExistsError:
        return
    if owner is not None:
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)


@contextlib.contextmanager
def folder_locked(folder: int, *, alone: bool = False) -> Iterator[None]:
    """Held while names change: by all who change one without looking, or by one who looks first, `alone`.

    The lock belongs to a descriptor of its own, so it holds between threads as it does between processes.
    """
    descriptor = _lock_of(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _lock_of(folder: int) -> int:
    """What is locked: the folder itself, or a file in it where others may open the folder, and so lock it."""
    status = os.fstat(folder)
    if is_shared(status):
        with contextlib.suppress(OSError):  # a disk that takes no further file
            descriptor = os.open(LOCK_NAME, _LOCK, 0o600, dir_fd=folder)
            if os.geteuid() == 0:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            return descriptor
    return os.open(".", FOLDER, dir_fd=folder)


def create_part(folder: int, owner: Owner | None) -> tuple[str, int]:
    """Create a locked temporary file; tidying up removes only those that can be locked.

    One may have locked and removed ours before we could lock it; then we make another. Until it is finished
    it is its owner's alone: who can open a file can hold its lock.
    """
    while True:
        part = f".{secrets.token_hex(8)}.part"
        descriptor = os.open(part, _NEW, 0o600, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if owner is not None:
                os.fchown(descriptor, *owner)
            if os.fstat(descriptor).st_nlink:
                return part, descriptor
        except BaseException:
            os.close(descriptor)
            remove(folder, part)
            raise
        os.close(descriptor)


def open_to_readers(descriptor: int, folder: int) -> None:
    """Let the group of a shared folder read a finished file."""
    if is_shared(os.fstat(folder)):
        os.fchmod(descriptor, file_mode(shared=True))


def is_abandoned(folder: int, part: str, *, removes: bool) -> bool:
    """Whether nobody is writing this temporary file any more; with `removes` it is gone afterwards."""
    try:
        descriptor = os.open(part, READ, dir_fd=folder)
    except OSError:
        return False  # gone already
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if removes else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        if removes:  # while we hold the lock, so that its writer notices
            remove(folder, part)
    except OSError:
        return False  # being written now
    finally:
        os.close(descriptor)
    return True


def is_file_of_its_own(descriptor: int) -> bool:
    """Whether it is a regular file with one name.

    It has two for a moment when its writer takes a name that must not be replaced, so we look again for a
    while. No lock is waited for: any reader may hold it.
    """
    status, until = os.fstat(descriptor), time.monotonic() + _TWO_NAMES_S
    while stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and time.monotonic() < until:
        time.sleep(0.005)
        status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def remove(folder: int, name: str) -> None:
    """Remove a file if it is there and can be removed."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
