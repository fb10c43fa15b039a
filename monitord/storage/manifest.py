"""What a backup holds: its manifest, written last and read with distrust."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitord import __version__
from monitord.errors import NotFoundError, SchemaTooNewError, StorageError
from monitord.storage.artefacts import is_key
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME, HEAD, MANIFEST_NAME, REVISIONS

_VERSION = 1
_LIMIT_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class BackedUpFile:
    """One file, by its path within the backup."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup as a whole. `missing` are artefacts that rows name and nothing holds (any more)."""

    created_at: datetime
    schema: str
    monitord: str
    counts: Mapping[str, int]
    files: tuple[BackedUpFile, ...]
    missing: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def manifest_of(folder: Path, counts: Mapping[str, int], missing: tuple[str, ...]) -> Manifest:
    """Describes what lies in the folder: the database and the artefacts."""
    paths = [folder / DATABASE_NAME, *sorted((folder / ARTEFACTS_NAME).rglob("*"))]
    files = tuple(_described(path, folder) for path in paths if path.is_file())
    return Manifest(datetime.now(UTC).replace(microsecond=0), HEAD, __version__, counts, files, missing)


def _described(path: Path, folder: Path) -> BackedUpFile:
    size, sha = 0, hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            size += len(chunk)
            sha.update(chunk)
    return BackedUpFile(path.relative_to(folder).as_posix(), size, sha.hexdigest())


def manifest_text(manifest: Manifest) -> str:
    """As it is written: for people to read, too."""
    held = {
        "version": _VERSION,
        "monitord": manifest.monitord,
        "schema": manifest.schema,
        "created_at": manifest.created_at.isoformat(),
        "counts": dict(manifest.counts),
        "missing": list(manifest.missing),
        "files": [
            {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}
            for file in manifest.files
        ],
    }
    return json.dumps(held, indent=1) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises NotFoundError when there is none, SchemaTooNewError, or StorageError when it makes no sense.
    """
    path = folder / MANIFEST_NAME
    try:
        with open(os.open(path, _READ), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise StorageError(f"cannot read {path}: it is not a regular file; nothing was restored")
            text = source.read(_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"cannot restore from {folder}: it has no {MANIFEST_NAME}, so it is not a backup"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        if len(text) > _LIMIT_BYTES:
            raise ValueError("too long")
        return _parsed(text, path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(
            f"cannot read {path}: it is damaged or not monitord's; nothing was restored"
        ) from error


def _parsed(text: bytes, path: Path) -> Manifest:
    held = json.loads(text)
    if held["version"] != _VERSION or held["schema"] not in REVISIONS:
        raise SchemaTooNewError(
            f"cannot read {path}: monitord {held['monitord']} wrote it, newer than this one;"
            " upgrade, then restore"
        )
    files = tuple(
        BackedUpFile(_safe(each["path"]), int(each["size_bytes"]), str(each["sha256"]))
        for each in held["files"]
    )
    names = [file.path for file in files]
    if len(set(names)) != len(names) or DATABASE_NAME not in names:
        raise ValueError("not one database, each file once")
    return Manifest(
        datetime.fromisoformat(held["created_at"]),
        held["schema"],
        str(held["monitord"]),
        {str(name): int(count) for name, count in held["counts"].items()},
        files,
        tuple(map(str, held["missing"])),
    )


def _safe(path: str) -> str:
    """A path that can't leave the folder: the database, or an artefact by its key."""
    if path == DATABASE_NAME:
        return path
    above, slash, key = path.partition("/")
    if above != ARTEFACTS_NAME or not slash or not is_key(key):
        raise ValueError("not a file of a backup")
    return path
