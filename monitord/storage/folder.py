"""The data directory: used only when it is ours alone (facts: reliability, A3), and who works in it."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from monitord.durable import make_folder
from monitord.errors import NotFoundError, PermissionDeniedError, StorageError
from monitord.ownership import why_untrusted

DAEMON_LOCK = "lock"
CAPTURE_LOCK = "capture.lock"
_OF_THE_MACHINE = Path("/var/lib/monitord")  # where the system service records


def check_data_dir(data_dir: Path, *, create: bool = False, root_may: bool = True) -> None:
    """Refuse a data directory that others could write to, or put another in the place of.

    With `root_may`, root may ask and tidy what a service of another user recorded, if only root could have
    put the directory where it is. A daemon never records into somebody else's directory.
    Raises NotFoundError when there is none and none is to be made, PermissionDeniedError when it is not
    ours, StorageError when it can't be made. Its own mode is 0700 when it is made here.
    """
    if create:
        _make(data_dir)
    try:
        is_link = data_dir.is_symlink()
        status = data_dir.stat()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"cannot find the data directory {data_dir}; {_where_to_look(data_dir)}"
        ) from error
    except OSError as error:
        raise PermissionDeniedError(f"cannot look at {data_dir}: {error.strerror}") from error
    if is_link and not is_made_by_systemd(data_dir):
        raise PermissionDeniedError(
            f"cannot use {data_dir}: it is a symbolic link; give the real path with --data-dir"
        )
    if not stat.S_ISDIR(status.st_mode):
        raise StorageError(f"cannot use {data_dir}: it is not a directory; give another one with --data-dir")
    _check_owners(data_dir, status, root_may=root_may)


def is_made_by_systemd(link: Path) -> bool:
    """Whether it is the link that stands for a dynamic user's state directory, STATE → private/STATE."""
    return link.resolve() == link.parent.resolve() / "private" / link.name


def _where_to_look(data_dir: Path) -> str:
    if os.geteuid() != 0 and data_dir != _OF_THE_MACHINE and os.path.lexists(_OF_THE_MACHINE):
        return "the machine's service records: ask it with sudo, or record your own with `monitord run`"
    return "`monitord run` makes it"


def _check_owners(data_dir: Path, status: os.stat_result, *, root_may: bool) -> None:
    is_ours = status.st_uid == os.geteuid()
    is_roots_business = root_may and os.geteuid() == 0 and why_untrusted(data_dir.resolve().parent) is None
    if not is_ours and not is_roots_business:
        raise PermissionDeniedError(
            f"cannot use {data_dir}: it belongs to uid {status.st_uid}, you are {os.geteuid()};"
            " run as its owner"
        )
    if status.st_mode & 0o022:
        raise PermissionDeniedError(f"cannot use {data_dir}: others can write there; chmod 700 {data_dir}")
    reason = why_untrusted(data_dir, owners=frozenset({status.st_uid}))
    if reason is not None:
        raise PermissionDeniedError(
            f"cannot use {data_dir}: others could exchange it: {reason}; choose another one with --data-dir"
        )


def _make(data_dir: Path) -> None:
    try:
        make_folder(data_dir.parent)
        data_dir.mkdir(mode=0o700)
    except FileExistsError:
        return
    except PermissionError as error:
        raise PermissionDeniedError(
            f"cannot make {data_dir}: {error.strerror}; choose another with --data-dir"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot make {data_dir}: {error.strerror}") from error


def check_database_file(database: Path) -> bool:
    """Whether there is a database with anything in it; refuses what is not a plain file of ours."""
    try:
        status = database.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PermissionDeniedError(f"cannot look at {database}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise StorageError(
            f"cannot use {database}: it is a link or not a regular file; move it away and start again"
        )
    if status.st_uid not in (os.geteuid(), database.parent.stat().st_uid):
        raise PermissionDeniedError(
            f"cannot use {database}: it belongs to uid {status.st_uid}; run as its owner"
        )
    return status.st_size > 0


def hand_over(descriptor: int, folder: Path) -> None:
    """What root makes in a service's directory belongs to the service, which must be able to use it."""
    if os.geteuid() == 0:
        status = folder.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)


def holder(path: Path) -> int | None:
    """The pid that holds the lock, 0 when it is held and no pid is written yet, None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return pid_in(descriptor) or 0
    else:
        return None
    finally:
        os.close(descriptor)


def pid_in(descriptor: int) -> int | None:
    """The number that a lock file holds."""
    text = os.pread(descriptor, 32, 0).split()
    return int(text[0]) if text and text[0].isdigit() else None
