"""The data directory: used only when it is ours alone (facts: reliability, A3), and who works in it."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from pathlib import Path

from monitord.durable import is_shared
from monitord.errors import NotFoundError, PermissionDeniedError, StorageError
from monitord.ownership import MACHINE_DATA_DIR, MACHINE_GROUP, make_folder, why_untrusted

DAEMON_LOCK = "lock"
CAPTURE_LOCK = "capture.lock"


def check_data_dir(
    data_dir: Path, *, create: bool = False, owners_alone: str = "", reads: bool = False
) -> None:
    """Refuse a data directory that others could write to, or put another in the place of.

    Root may ask and tidy what a service of another user recorded, if only root could have put the directory
    where it is. `owners_alone` is a command that root may not give: it writes by path in folders below, in
    whose place their owner can put links. Who only `reads` may be of the group that it is shared with.
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
        raise PermissionDeniedError(f"cannot look at {data_dir}: {_why_closed(data_dir, error)}") from error
    if is_link and not is_made_by_systemd(data_dir):
        raise PermissionDeniedError(
            f"cannot use {data_dir}: it is a symbolic link; give the real path with --data-dir"
        )
    if not stat.S_ISDIR(status.st_mode):
        raise StorageError(f"cannot use {data_dir}: it is not a directory; give another one with --data-dir")
    _check_owners(data_dir, status, owners_alone=owners_alone, reads=reads)


def is_made_by_systemd(link: Path) -> bool:
    """Whether it is the link that stands for a dynamic user's state directory, STATE → private/STATE."""
    return link.resolve() == link.parent.resolve() / "private" / link.name


def _where_to_look(data_dir: Path) -> str:
    if os.geteuid() != 0 and data_dir != MACHINE_DATA_DIR and os.path.lexists(MACHINE_DATA_DIR):
        return "the machine's service records: ask it with sudo, or record your own with `monitord run`"
    return "`monitord run` makes it"


def _why_closed(data_dir: Path, error: OSError) -> str:
    """What a machine's service of an earlier version left, which only root can enter."""
    if not isinstance(error, PermissionError) or not os.path.lexists(data_dir):
        return str(error.strerror)
    return (
        "the machine's service records there for root alone; ask with sudo, or have root install the service"
        f" again, which lets the group {MACHINE_GROUP} read"
    )


def _check_owners(data_dir: Path, status: os.stat_result, *, owners_alone: str, reads: bool) -> None:
    is_ours = status.st_uid == os.geteuid()
    is_put_there_by_root = why_untrusted(data_dir.resolve().parent) is None
    is_roots_business = not owners_alone and os.geteuid() == 0 and is_put_there_by_root
    is_shared_with_us = is_put_there_by_root and is_shared(status) and _may_enter(data_dir)
    if not is_ours and not is_roots_business and not (reads and is_shared_with_us):
        raise PermissionDeniedError(
            f"cannot change {data_dir}: you may only read what the machine's service recorded; try sudo"
            if is_shared_with_us and not owners_alone
            else f"cannot use {data_dir}: {_what_to_type(status, owners_alone)}"
        )
    if status.st_mode & 0o022:
        raise PermissionDeniedError(f"cannot use {data_dir}: others can write there; chmod 700 {data_dir}")
    reason = why_untrusted(data_dir, owners=frozenset({status.st_uid}))
    if reason is not None:
        raise PermissionDeniedError(
            f"cannot use {data_dir}: others could exchange it: {reason}; choose another one with --data-dir"
        )


def _may_enter(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _what_to_type(status: os.stat_result, owners_alone: str) -> str:
    """Whose it is, and how to be let in: a group's members read what is shared with it."""
    if owners_alone:
        return (
            f"it belongs to uid {status.st_uid}, and its owner alone may do this;"
            f" try `sudo -u {_login(status.st_uid)} {owners_alone}`"
        )
    if not is_shared(status):
        return f"it belongs to uid {status.st_uid}, you are {os.geteuid()}; run as its owner"
    import grp
    import pwd

    try:
        group = grp.getgrgid(status.st_gid)
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"only members of the group {status.st_gid} may read it; ask with sudo"
    if name in group.gr_mem:
        return f"you are in the group {group.gr_name}, but this session began before; log in again"
    add = f"sudo usermod -aG {group.gr_name} $USER"
    if sys.platform == "darwin":
        add = f"sudo dseditgroup -o edit -a $USER -t user {group.gr_name}"
    return f"only the group {group.gr_name} may read it; type `{add}` and log in again, or ask with sudo"


def _login(uid: int) -> str:
    """How sudo is told who somebody is."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"'#{uid}'"


def _make(data_dir: Path) -> None:
    try:
        make_folder(data_dir)
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
