"""A backup becomes a data directory: every byte checked on its way, and nothing there before all of it is."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from monitord.durable import is_shared, synchronise
from monitord.errors import StorageError, UsageError
from monitord.storage.artefacts.providers.descriptors import explained as explained_files
from monitord.storage.backup import staged
from monitord.storage.folder import check_data_dir
from monitord.storage.manifest import BackedUpFile, Manifest, read_manifest
from monitord.storage.opening import check_integrity
from monitord.storage.readonly import stored_revision
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME, MIGRATION_LOCK_NAME
from monitord.storage.sharing import share_with_group

_CHUNK_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEEPS_NOTHING = ("lock", "capture.lock", MIGRATION_LOCK_NAME, "status.json", "recorder.sock")


def restore(source: Path, data_dir: Path) -> Manifest:
    """Make `data_dir` what the backup holds; nobody may record there meanwhile (the caller holds its lock).

    The directory must not be there, or keep nothing. Raises NotFoundError, SchemaTooNewError, UsageError,
    DiskFullError; StorageError when a file is missing or not what was backed up: then nothing is restored.
    """
    manifest = read_manifest(source)
    check_restorable(data_dir)
    owner = _owner_of(data_dir)
    with explained_files(f"cannot restore to {data_dir}"), staged(data_dir) as staging:
        (staging / ARTEFACTS_NAME).mkdir(mode=0o700)
        for file in manifest.files:
            _copy(source, file, staging)
        check_integrity(staging / DATABASE_NAME)
        stored_revision(staging / DATABASE_NAME)
        _hand_over(staging, owner)
        if owner is not None and is_shared(data_dir.stat()):
            share_with_group(staging, *owner)
        _clear(data_dir)
    return manifest


def check_restorable(data_dir: Path) -> None:
    """Refuse a directory that keeps anything, or is not ours."""
    if not data_dir.exists() and not data_dir.is_symlink():
        return
    check_data_dir(data_dir)
    for path in data_dir.iterdir():
        is_empty_folder = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
        if path.name not in _KEEPS_NOTHING and not is_empty_folder:
            raise UsageError(
                f"cannot restore into {data_dir}: it holds {path.name}; move it away or take another"
            )


def _owner_of(data_dir: Path) -> tuple[int, int] | None:
    """To whom root hands over what it restores: whose directory it was."""
    if os.geteuid() != 0 or not data_dir.exists():
        return None
    status = data_dir.stat()
    return status.st_uid, status.st_gid


def _clear(data_dir: Path) -> None:
    """What keeps nothing goes, so that the new directory can take the name.

    Somebody may have begun to record there while the backup was copied: that is looked at again, and stays.
    """
    check_restorable(data_dir)
    for path in list(data_dir.iterdir()) if data_dir.exists() else ():
        path.unlink() if path.name in _KEEPS_NOTHING and not path.is_dir() else path.rmdir()


def _copy(source: Path, file: BackedUpFile, staging: Path) -> None:
    """Copy one file and check it on the way; the folders above it are made."""
    target = staging / file.path
    for folder in reversed(target.relative_to(staging).parents[:-1]):
        (staging / folder).mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(source / file.path, _READ)
    except FileNotFoundError as error:
        raise StorageError(f"cannot find {file.path} in {source}; nothing was restored") from error
    with open(descriptor, "rb") as held:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StorageError(
                f"cannot restore {source / file.path}: it is not a regular file; nothing was restored"
            )
        with open(os.open(target, _NEW, 0o600), "wb") as out:
            size, sha = 0, hashlib.sha256()
            while (chunk := held.read(_CHUNK_BYTES)) and size <= file.size_bytes:
                size += len(chunk)
                sha.update(chunk)
                out.write(chunk)
            out.flush()
            synchronise(out.fileno())
    if (size, sha.hexdigest()) != (file.size_bytes, file.sha256):
        raise StorageError(
            f"cannot restore {source / file.path}: it is not what was backed up; nothing was restored"
        )


def _hand_over(staging: Path, owner: tuple[int, int] | None) -> None:
    """The folder above all others last: until then its new owner reaches nothing, and puts no link there."""
    if owner is None:
        return
    for folder, _folders, files in os.walk(staging, topdown=False):
        for path in [*(Path(folder) / name for name in files), Path(folder)]:
            os.chown(path, *owner, follow_symlinks=False)
