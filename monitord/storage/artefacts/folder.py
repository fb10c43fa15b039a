"""Artefacts as files in one folder: durable when `put` returns, never visible half-written.

The folder is held by a descriptor since start and every name is opened relative to it without
following links, so a swapped folder or a planted link leads nowhere (facts: reliability, A3).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from monitord.errors import PermissionDeniedError, StorageError
from monitord.storage.artefacts.layout import (
    CHUNK_BYTES,
    ArtefactError,
    DiskFullError,
    digest,
    payload_chunks,
    read_metadata,
    write_frames,
)

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\Z")
_PART = re.compile(r"\.[0-9a-f]{16}\.part\Z")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Artefact:
    """One stored artefact. `size_bytes` and `checksum` (sha256, hex) are of the plain payload."""

    key: str
    path: Path
    size_bytes: int
    stored_bytes: int
    checksum: str


def is_key(text: str) -> bool:
    """Whether `text` may name an artefact: letters, digits, `.`, `_`, `-`; no leading dot; at most 200."""
    return _KEY.match(text) is not None


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


class ArtefactStore:
    """Artefacts by key. Errors of the disk come as StorageError, of an artefact as ArtefactError."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    folder.mkdir(mode=0o700)
            self._descriptor = os.open(folder, _FOLDER)
        except OSError as error:
            raise _refusal(f"can't open the artefact folder {folder}", error) from error
        status = os.fstat(self._descriptor)
        # Root may tidy what a service recorded; what it writes here then belongs to the service.
        self._owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
        if (status.st_uid != os.geteuid() and self._owner is None) or status.st_mode & 0o022:
            self.close()
            raise PermissionDeniedError(
                f"{folder} must belong to you and be writable by nobody else: chmod 700"
            )

    def put(
        self, key: str, payload: bytes | Path, metadata: Mapping[str, Any], *, replace: bool = False
    ) -> Artefact:
        """Store a payload (bytes, or a regular file's content); durable when this returns."""
        name = _checked(key)
        if not replace and self.exists(name):
            raise ArtefactError(f"artefact {name} exists already")
        part = f".{secrets.token_hex(8)}.part"
        try:
            with _opened_payload(payload) as source:
                expected = digest(_chunks(source))
                with os.fdopen(self._create_part(part), "wb") as out:
                    write_frames(out, _chunks(source), metadata, expected)
                    out.flush()
                    synchronise(out.fileno())
                    stored = out.tell()
                    # Still locked: until it has its name, nobody may take it for abandoned.
                    os.rename(part, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            synchronise(self._descriptor)
        except OSError as error:
            self._discard(part)
            raise _refusal(f"can't store artefact {name}", error) from error
        except ArtefactError:
            self._discard(part)
            raise
        return Artefact(name, self.path(name), expected[0], stored, expected[1])

    def _create_part(self, part: str) -> int:
        """A locked temporary file: recovery in another process removes only what it can lock.

        It may have locked and removed ours before we could lock it; then we make it again.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            descriptor = os.open(part, flags, 0o600, dir_fd=self._descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._owner is not None:
                os.fchown(descriptor, *self._owner)
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)

    def _discard(self, part: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=self._descriptor)

    def open(self, key: str) -> BinaryIO:
        """The file as stored (zstd with its skippable metadata frame), for reading."""
        name = _checked(key)
        try:
            descriptor = os.open(name, _READ, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise ArtefactError(f"artefact {name} is missing") from error
            raise ArtefactError(f"artefact {name} can't be read: {error.strerror}") from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            os.close(descriptor)
            raise ArtefactError(f"artefact {name} is not a regular file of its own")
        return os.fdopen(descriptor, "rb")

    def metadata(self, key: str) -> dict[str, Any]:
        """What the artefact says of itself (the payload is not read)."""
        with self.open(key) as source:
            return read_metadata(source, key)

    def read(self, key: str) -> tuple[dict[str, Any], bytes]:
        """Metadata and whole payload, checked against its checksum."""
        with self.open(key) as source:
            metadata = read_metadata(source, key)
            return metadata, b"".join(payload_chunks(source, metadata, key))

    def describe(self, key: str) -> Artefact:
        """Check the whole payload piece by piece, and say what it is."""
        with self.open(key) as source:
            metadata = read_metadata(source, key)
            for _chunk in payload_chunks(source, metadata, key):
                pass
            own, stored = metadata["artefact"], os.fstat(source.fileno()).st_size
        return Artefact(key, self.path(key), own["size_bytes"], stored, own["checksum"])

    def list(self) -> list[str]:
        """Keys of all regular files, in name order. What is not one, or has no valid name, is not listed."""
        with self._entries() as entries:
            return sorted(e.name for e in entries if is_key(e.name) and e.is_file(follow_symlinks=False))

    def exists(self, key: str) -> bool:
        """Whether something lies under this name."""
        try:
            os.stat(_checked(key), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def delete(self, key: str) -> int:
        """Remove an artefact and give the bytes it took; 0 when there was none."""
        name = _checked(key)
        try:
            size = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_size
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _refusal(f"can't remove artefact {name}", error) from error
        return size

    def path(self, key: str) -> Path:
        """Where a person finds it."""
        return self.folder / _checked(key)

    def stored_bytes(self, key: str) -> int:
        """What one file takes; 0 when there is none."""
        try:
            return os.stat(_checked(key), dir_fd=self._descriptor, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def total_bytes(self) -> int:
        """What all files in the folder take, temporary ones too."""
        total = 0
        with self._entries() as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def sync(self) -> None:
        """Make removals and renames durable."""
        synchronise(self._descriptor)

    def parts(self) -> tuple[str, ...]:
        """Temporary files that nobody is writing any more."""
        with self._entries() as entries:
            names = [e.name for e in entries if _PART.match(e.name) and e.is_file(follow_symlinks=False)]
        return tuple(name for name in names if self._is_abandoned(name, removes=False))

    def remove_parts(self) -> int:
        """Remove abandoned temporary files; how many."""
        return sum(self._is_abandoned(part, removes=True) for part in self.parts())

    def _is_abandoned(self, part: str, *, removes: bool) -> bool:
        try:
            with os.fdopen(os.open(part, _READ, dir_fd=self._descriptor), "rb") as source:
                fcntl.flock(source, (fcntl.LOCK_EX if removes else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                if removes:  # while we hold the lock, so that its writer notices
                    self._discard(part)
        except OSError:
            return False  # being written now, or gone already
        return True

    def move_to(self, key: str, folder: Path) -> None:
        """Put a file aside, into another folder of the same disk; nothing there is overwritten."""
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        target = os.open(folder, _FOLDER)
        try:
            name = _checked(key)
            aside = f"{name[:180]}.{secrets.token_hex(4)}"
            os.rename(name, aside, src_dir_fd=self._descriptor, dst_dir_fd=target)
            synchronise(target)
        finally:
            os.close(target)

    @contextlib.contextmanager
    def _entries(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        try:
            with os.scandir(self._descriptor) as entries:
                yield entries
        except OSError as error:
            raise _refusal(f"can't list {self.folder}", error) from error

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _checked(key: str) -> str:
    if not is_key(key):
        raise ArtefactError(f"{key!r} can't name an artefact")
    return key


@contextlib.contextmanager
def _opened_payload(payload: bytes | Path) -> Iterator[BinaryIO]:
    if isinstance(payload, bytes):
        yield io.BytesIO(payload)
        return
    try:
        descriptor = os.open(payload, _READ)
    except OSError as error:
        raise ArtefactError(f"the evidence {payload} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArtefactError(f"the evidence {payload} is not a regular file")
    with os.fdopen(descriptor, "rb") as source:
        yield source


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    source.seek(0)
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _refusal(what: str, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{what}: {error.strerror}; free space, or run `monitord retention run`")
    return StorageError(f"{what}: {error.strerror or error}")
