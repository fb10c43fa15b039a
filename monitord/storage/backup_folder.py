"""A folder of backups, one a run, named by their time: which are good, when the next is due, which may go.

A backup gets its name when it has been restored on trial. What is not named so is not ours and stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.errors import (
    BusyError,
    MonitordError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UsageError,
)
from monitord.ownership import why_untrusted
from monitord.storage.artefacts.monitor.health import HealthCheck
from monitord.storage.schema import MANIFEST_NAME

INCOMING, TRIAL = ".incoming", ".trial"  # what a run works in; the next one removes what a killed one left
_LEFT = re.compile(
    rf"\.{re.escape(INCOMING)}\.[0-9a-f]{{16}}\.part|\.{re.escape(TRIAL)}\.[0-9a-f]{{16}}\.part"
)
_NAME = re.compile(r"monitord-(\d{8}T\d{6}Z)(-flawed)?")
_STAMP = "%Y%m%dT%H%M%SZ"
_FIX = "monitord storage backup"
_LOCK_NAME = ".lock"  # it says whose backups are here, too
_CLAIM_AT_MOST = 256
_SLACK = timedelta(hours=1)  # a backup from later than this was made by a wrong clock
_EARLY = timedelta(minutes=10)  # asked every hour, so that a second too early costs no turn


@dataclass(frozen=True, slots=True)
class KeptBackup:
    """One backup by its name. A flawed one is whole, but of a store in which something was damaged."""

    path: Path
    made_at: datetime
    is_flawed: bool


@dataclass(frozen=True, slots=True)
class BackupFolder:
    """A configured folder, and the data directory whose backups it is for: one folder is for one store."""

    path: Path
    data_dir: Path


def next_name(folder: Path, now: datetime, *, is_flawed: bool) -> str:
    """Return a name that is later than all that are there, but for those of a wrong clock."""
    earlier = [each.made_at for each in kept_backups(folder, now) if each.made_at <= now + _SLACK]
    return name_of(max([now, *(at + timedelta(seconds=1) for at in earlier)]), is_flawed=is_flawed)


def name_of(made_at: datetime, *, is_flawed: bool) -> str:
    """Return the name of a backup of this moment."""
    return f"monitord-{made_at.astimezone(UTC).strftime(_STAMP)}{'-flawed' if is_flawed else ''}"


def kept_backups(folder: Path, now: datetime) -> list[KeptBackup]:
    """The backups in the folder, the oldest first; before them any that a wrong clock dated in the future.

    Raises StorageError when the folder can't be read.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise StorageError(f"cannot read the backups in {folder}: {error.strerror}") from error
    found = []
    for name in names:
        with contextlib.suppress(ValueError):
            if (matched := _NAME.fullmatch(name)) and _is_backup(folder / name):
                made_at = datetime.strptime(matched[1], _STAMP).replace(tzinfo=UTC)
                found.append(KeptBackup(folder / name, made_at, matched[2] is not None))
    return sorted(found, key=lambda each: (each.made_at <= now + _SLACK, each.made_at, each.is_flawed))


def _is_backup(path: Path) -> bool:
    """Whether it is a folder with a manifest; a name alone, or a link, does not count."""
    try:
        return path.is_dir() and not path.is_symlink() and (path / MANIFEST_NAME).is_file()
    except OSError:  # not to be looked at
        return False


def last_good(folder: Path, now: datetime) -> KeptBackup | None:
    """The newest sound backup that is not from the future; raises StorageError."""
    return _newest([each for each in kept_backups(folder, now) if not each.is_flawed], now)


def last_made(folder: Path, now: datetime) -> KeptBackup | None:
    """The newest one, flawed or not: damage must not make a whole backup at every try."""
    return _newest(kept_backups(folder, now), now)


def _newest(kept: Sequence[KeptBackup], now: datetime) -> KeptBackup | None:
    return next((each for each in reversed(kept) if each.made_at <= now + _SLACK), None)


def is_due(last: KeptBackup | None, every_h: float, now: datetime) -> bool:
    """Whether so long a time has passed since the last one."""
    return last is None or now - last.made_at >= timedelta(hours=every_h) - min(
        _EARLY, timedelta(hours=every_h / 2)
    )


def check_age(place: BackupFolder, every_h: float, now: datetime) -> HealthCheck:
    """Whether the last good backup is as young as it should be: two turns missed are trouble."""
    folder = place.path
    try:
        last = last_good(folder, now)
        check_whose(place)
    except MonitordError as error:
        return HealthCheck("backup", False, str(error), _FIX)
    if last is None:
        return HealthCheck("backup", False, f"no good backup in {folder}", _FIX)
    age_h = (now - last.made_at).total_seconds() / 3600
    detail = f"the last good one is {last.path.name}, {max(age_h, 0):.0f} h old"
    is_ok = age_h <= 2 * every_h + 1
    return HealthCheck("backup", is_ok, detail, None if is_ok else _FIX)


def rotate(folder: Path, keep: int | None, now: datetime) -> int:
    """Remove all but the newest good ones (None: none of them), and of flawed ones all but the newest.

    How many went.
    """
    kept = kept_backups(folder, now)
    good = [each for each in kept if not each.is_flawed] if keep is not None else []
    flawed = [each for each in kept if each.is_flawed]
    gone = [*good[: max(0, len(good) - (keep or 0))], *flawed[:-1]]
    for each in gone:
        _remove(each.path, folder)
    return len(gone)


def _remove(path: Path, folder: Path) -> None:
    """Take the name away first: half of a backup must not look like one."""
    aside = folder / f".{INCOMING}.{os.urandom(8).hex()}.part"
    path.rename(aside)
    shutil.rmtree(aside)


def remove_left_over(folder: Path) -> None:
    """Remove what a killed run left; the caller holds the folder."""
    for path in list(folder.iterdir()):
        if path.name in (INCOMING, TRIAL) or _LEFT.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextlib.contextmanager
def held(place: BackupFolder) -> Iterator[None]:
    """Hold the folder for one run; raises NotFoundError, PermissionDeniedError, BusyError, UsageError."""
    folder = place.path
    check_folder(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / _LOCK_NAME, flags, 0o600)
    except OSError as error:
        raise PermissionDeniedError(f"cannot write in {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_size:
            os.write(descriptor, _claim_of(place.data_dir))
        check_whose(place)
        yield
    except BlockingIOError as error:
        raise BusyError(f"cannot back up to {folder}: another backup is being made there") from error
    finally:
        os.close(descriptor)


def check_whose(place: BackupFolder) -> None:
    """Refuse the folder of another store: its backups would pass for ours, and rotation remove them."""
    lock = place.path / _LOCK_NAME
    try:
        with open(os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
            found = source.read(_CLAIM_AT_MOST)
    except OSError:  # nobody has made one here yet, or the checks of the folder say what is wrong
        return
    if found and found != _claim_of(place.data_dir):
        raise UsageError(
            f"cannot back up to {place.path}: the backups in it are of another data directory or machine;"
            f" take another folder, or `rm {lock}` when they are of this one and it moved"
        )


def _claim_of(data_dir: Path) -> bytes:
    """What tells stores apart, hashed: the machine, and where on it the data lie."""
    try:
        machine = Path("/etc/machine-id").read_bytes()[:64]
    except OSError:
        machine = b""
    whose = (machine.strip() or os.fsencode(os.uname().nodename)) + b"\0" + os.fsencode(data_dir.resolve())
    return hashlib.sha256(whose).hexdigest().encode() + b"\n"


def check_folder(folder: Path) -> None:
    """Refuse a folder that others could write to, or put another in the place of."""
    try:
        status = folder.lstat()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"cannot find the folder {folder} of [backup]; try `mkdir -m 700 {folder}`"
        ) from error
    except OSError as error:
        raise PermissionDeniedError(f"cannot use {folder}: {error.strerror}") from error
    if not folder.is_dir() or folder.is_symlink():
        raise PermissionDeniedError(f"cannot use {folder}: expected a folder, and not through a link")
    if status.st_uid != os.geteuid():
        raise PermissionDeniedError(
            f"cannot use {folder}: it belongs to uid {status.st_uid}, you are {os.geteuid()};"
            " run as its owner"
        )
    reason = why_untrusted(folder.absolute(), owners=frozenset({os.geteuid()}))
    if reason is not None:
        raise PermissionDeniedError(
            f"cannot use {folder}: {reason}; try `chmod go-w {folder}` or another folder"
        )
