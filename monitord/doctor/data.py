"""The data directory and what lies in it: ours alone, sound, within its budget, and not from the future."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from monitord import procfs
from monitord.doctor.check import FAILURE, OK, WARNING, Check, Surroundings
from monitord.durable import folder_mode, is_shared
from monitord.errors import MonitordError, SchemaTooNewError
from monitord.model import sized
from monitord.procfs.mounts import NETWORK, mount_points
from monitord.recorder.status import read_status
from monitord.storage.folder import check_data_dir
from monitord.storage.long_wal import long_wal
from monitord.storage.readonly import check_soundness, newest_incident
from monitord.storage.schema import DATABASE_NAME, HEAD
from monitord.storage.usage import floor_bytes, usage_of

_SLACK = timedelta(minutes=2)


def check_data_folder(here: Surroundings) -> Iterator[Check]:
    """A directory of ours, closed to others, on a disk with room."""
    folder = here.data_dir
    try:
        status = folder.stat()
    except FileNotFoundError:
        yield Check("data directory", OK, f"{folder} is made by the first `monitord run`")
        return
    except OSError as error:
        yield Check("data directory", FAILURE, f"{folder}: {error.strerror}", f"sudo ls -ld {folder}")
        return
    yield _folder_check(folder, status, here.uid)
    if (kind := _file_system_of(folder, here.root)) is not None and kind.startswith(NETWORK):
        words = f"{folder} is on {kind}, where file locks and shared memory are unreliable"
        yield Check("file system", WARNING, words, "choose a folder on a local disk with --data-dir")
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return
    floor = floor_bytes(here.min_free_disk_bytes, disk.total)
    if disk.free < max(floor, 1):
        words = (
            f"{sized(disk.free, 'disk_bytes')} free, {sized(floor, 'disk_bytes')} must stay free: no new"
            " evidence is kept"
        )
        yield Check("free disk", WARNING, words, f"df -h {folder}   (then free some space there)")
    else:
        yield Check("free disk", OK, f"{sized(disk.free, 'disk_bytes')} free")


_MOUNTS_CAP_BYTES = 16 << 20  # hosts of containers have thousands of mounts


def _file_system_of(folder: Path, root: Path) -> str | None:
    """The type of the file system that the folder lies on; None where it is not known."""
    place = folder.resolve()
    mounts = mount_points(
        procfs.text(procfs.path("self", "mountinfo", str(root / "proc")), _MOUNTS_CAP_BYTES)
    )
    above = [mount for mount in mounts if place.is_relative_to(mount.point)]
    # The last of those with the same name lies over the others.
    return max(enumerate(above), key=lambda one: (len(one[1].point), one[0]))[1].kind if above else None


def _folder_check(folder: Path, status: os.stat_result, uid: int) -> Check:
    name = "data directory"
    if not stat.S_ISDIR(status.st_mode):
        return Check(name, FAILURE, f"{folder} is not a directory", f"mv {folder} {folder}.old")
    if uid == 0 and status.st_uid != 0 and _trouble(folder) is None:
        return Check(name, OK, f"{folder} belongs to the service's user (uid {status.st_uid})")
    if status.st_uid != uid and is_shared(status):
        trouble = _trouble(folder)
        allowed = f"{folder} is the machine's: you may read what it recorded, as a member of its group"
        return Check(name, FAILURE, trouble) if trouble else Check(name, OK, allowed)
    if status.st_uid != uid:
        owner = f"belongs to uid {status.st_uid}, you are uid {uid}"
        return Check(name, FAILURE, f"{folder} {owner}", f"sudo -u '#{status.st_uid}' monitord doctor")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o777 & ~folder_mode(shared=is_shared(status)):
        outcome = FAILURE if mode & 0o022 else WARNING
        return Check(name, outcome, f"{folder} is open to others (mode {mode:04o})", f"chmod 700 {folder}")
    if (trouble := _trouble(folder)) is not None:
        return Check(name, FAILURE, trouble, f"sudo ls -ld {folder}")
    return Check(name, OK, f"only its owner can use {folder}")


def _trouble(folder: Path) -> str | None:
    """What every command would say of it."""
    try:
        check_data_dir(folder, reads=True)
    except MonitordError as error:
        return str(error)
    return None


def check_database(here: Surroundings) -> Iterator[Check]:
    """The schema is this version's and the file is sound; the whole database is read."""
    database = here.data_dir / DATABASE_NAME
    if not _is_file(database):
        return
    try:
        revision, problems = check_soundness(database)
    except SchemaTooNewError as error:
        yield Check("database", FAILURE, str(error), "install the newer monitord again")
        return
    except MonitordError as error:
        yield Check("database", FAILURE, f"{database} can't be read: {error}", "monitord db check")
        return
    if problems:
        yield Check("database", FAILURE, f"damaged: {problems[0]}", "monitord db check")
    elif revision != HEAD:
        words = f"schema {revision or 'none'}, this version needs {HEAD}"
        yield Check("database", WARNING, words, "monitord db upgrade")
    else:
        yield Check("database", OK, f"schema {revision}, sound")


def check_quota(here: Surroundings) -> Iterator[Check]:
    """All that stays in the data directory against the budget."""
    try:
        total = usage_of(here.data_dir, is_remote=here.is_remote).total_bytes
    except OSError:
        return
    detail = f"{sized(total, 'disk_bytes')} of {sized(here.max_total_bytes, 'disk_bytes')} used"
    if total > here.max_total_bytes:
        yield Check("budget", WARNING, f"{detail}: over the budget", "monitord retention run")
    else:
        yield Check("budget", OK, detail)


def check_wal(here: Surroundings) -> Iterator[Check]:
    """The write-ahead log is as short as the recorder keeps it; else who keeps it long."""
    try:
        reported = read_status(here.data_dir) or {}
    except MonitordError:
        return  # check_daemon says so
    found = long_wal(here.data_dir, reported.get("pid") if reported.get("is_running") else None)
    if found is not None:
        yield Check("write-ahead log", WARNING, found.detail, found.fix)


def check_backups(here: Surroundings) -> Iterator[Check]:
    """How old the last good backup is, where they are configured."""
    if here.backup_folder is None:
        return
    from monitord.storage.backup_folder import BackupFolder, check_age

    found = check_age(BackupFolder(here.backup_folder, here.data_dir), here.backup_every_h, here.now)
    yield Check("backup", OK if found.is_ok else WARNING, found.detail, found.fix)


def check_clock(here: Surroundings) -> Iterator[Check]:
    """An incident from the future means that the clock was wrong then, or is now; ages can't be judged."""
    database = here.data_dir / DATABASE_NAME
    if not _is_file(database):
        return
    try:
        newest = newest_incident(database)
    except MonitordError:
        return  # check_database has said what is wrong with it
    if newest is not None and newest[1] > here.now + _SLACK:
        yield Check(
            "clock",
            WARNING,
            f"the newest incident is dated {newest[1]:%Y-%m-%d %H:%M} UTC, "
            f"the clock says {here.now:%Y-%m-%d %H:%M}: the incident is kept until then",
            f"date -u  # when the clock is right: monitord delete {newest[0]} --yes",
        )
    else:
        yield Check("clock", OK, "no incident is dated in the future")


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_size > 0
    except OSError:
        return False
