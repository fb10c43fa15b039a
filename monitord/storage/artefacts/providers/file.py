"""Artefacts as files in one folder: durable when `store` returns, never visible half-written.

The parts of a key become folders and a file, so `a` and `a/b` can't both be kept here. On a file system
that takes `A` for `a` (macOS), neither can keys that differ in nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from monitord.durable import synchronise
from monitord.errors import ConfigError
from monitord.storage.artefacts.envelope import body_chunks, pack_header, read_header, stored
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    ArtefactExistsError,
    DamagedArtefactError,
    MissingArtefactError,
)
from monitord.storage.artefacts.keys import check_key, is_key
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.providers import descriptors
from monitord.storage.artefacts.urls import StorageURL

_PART = re.compile(r"\.[0-9a-f]{16}\.part\Z")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class FileStorageConfig:
    """How a folder is used.

    `quarantine` is where `set_aside` puts damaged artefacts, on the same disk: a sibling of the folder
    when None. With `create` the folder is made (its parent must be there).
    """

    quarantine: Path | None = None
    create: bool = True


def open_file(url: StorageURL) -> FileStorageProvider:
    """Open the provider of `file:///an/absolute/folder`; option: `quarantine`, another absolute folder."""
    url.check_options("quarantine")
    if url.host not in (None, "localhost") or url.port is not None or len(url.path) < 2:
        raise ConfigError(f"invalid URL {url}: expected an absolute folder such as file:///var/lib/artefacts")
    quarantine = url.options.get("quarantine")
    if quarantine is not None and not quarantine.startswith("/"):
        raise ConfigError(f"invalid URL {url}: quarantine, expected an absolute folder")
    config = FileStorageConfig(quarantine=Path(quarantine) if quarantine else None)
    return FileStorageProvider(Path(url.path), config)


class FileStorageProvider:
    """Artefacts in `base_path`, which must belong to us and be writable by nobody else."""

    name = "file"

    def __init__(self, base_path: Path, config: FileStorageConfig | None = None) -> None:
        self.base_path = base_path
        self.config = config or FileStorageConfig()
        self._quarantine = self.config.quarantine or base_path.with_name("quarantine")
        self._root, self._owner = descriptors.open_own_folder(base_path, create=self.config.create)
        self._waiting = threading.local()  # per thread: `together`

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Within, folders are not synchronised at each change but once, at the end: then all is durable."""
        if hasattr(self._waiting, "folders"):
            yield
            return
        self._waiting.folders = {}
        try:
            yield
        finally:
            folders: dict[tuple[int, int], int] = self._waiting.folders
            del self._waiting.folders
            with contextlib.ExitStack() as held:
                for descriptor in folders.values():
                    held.callback(os.close, descriptor)
                for descriptor in folders.values():
                    synchronise(descriptor)

    def _synchronise(self, folder: int) -> None:
        folders: dict[tuple[int, int], int] | None = getattr(self._waiting, "folders", None)
        if folders is None:
            synchronise(folder)
            return
        status = os.fstat(folder)
        if (status.st_dev, status.st_ino) not in folders:
            folders[status.st_dev, status.st_ino] = os.dup(folder)

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        check_key(key)
        if not replace and self._status(key) is not None:
            raise ArtefactExistsError(f"cannot create artefact {key}: it exists already")
        # Still locked when it gets its name: until then, nobody may take it for abandoned.
        return self._write(key, payload, metadata, lambda part: self._publish(part, key, replace=replace))

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        check_key(key)

        def publish(part: str) -> None:
            with descriptors.folder_locked(self._root, alone=True):
                if not self._is_still(key, expected):
                    raise ArtefactChangedError(f"cannot exchange artefact {key}: it was replaced or deleted")
                with self._parent(key) as (folder, name):
                    os.rename(part, name, src_dir_fd=self._root, dst_dir_fd=folder)
                    self._synchronise(folder)

        return self._write(key, payload, metadata, publish)

    def _is_still(self, key: str, expected: StorageMetadata) -> bool:
        try:
            return self.get_metadata(key) == expected
        except (MissingArtefactError, DamagedArtefactError):
            return False

    def _write(
        self, key: str, payload: Payload, metadata: StorageMetadata, publish: Callable[[str], None]
    ) -> StorageMetadata:
        """Write a temporary file, make it durable, and let it be published under its name."""
        header = pack_header(metadata)
        with descriptors.explained(f"cannot store artefact {key}"):
            part, descriptor = descriptors.create_part(self._root, self._owner)
            try:
                with os.fdopen(descriptor, "wb") as out:
                    out.write(header)
                    for chunk in payload.chunks():
                        out.write(chunk)
                    out.flush()
                    descriptors.open_to_readers(out.fileno(), self._root)
                    synchronise(out.fileno())
                    size = out.tell()
                    publish(part)
            except BaseException:
                descriptors.remove(self._root, part)
                raise
        return stored(metadata, size)

    def _publish(self, part: str, key: str, *, replace: bool) -> None:
        """Give a finished temporary file its name, durably."""
        *parts, name = key.split("/")
        for attempt in range(_ATTEMPTS):
            try:
                descriptors.make_folders(self._root, parts, self._owner)
                with descriptors.folders_below(self._root, parts) as held:
                    self._take_name(part, held[-1], name, replace=replace)
                    for descriptor in reversed(held):
                        self._synchronise(descriptor)
                return
            except FileExistsError as error:
                if self._status(key) is not None:
                    raise ArtefactExistsError(f"cannot create artefact {key}: it exists already") from error
                self._make_way(key, error)
            except FileNotFoundError:  # a deletion took an empty folder away between two steps
                if attempt + 1 == _ATTEMPTS:
                    raise
            except (IsADirectoryError, NotADirectoryError) as error:
                self._make_way(key, error)
        raise ArtefactError(f"cannot store artefact {key}: others take its place all the time")

    def _take_name(self, part: str, folder: int, name: str, *, replace: bool) -> None:
        with descriptors.folder_locked(self._root):
            if replace:
                os.rename(part, name, src_dir_fd=self._root, dst_dir_fd=folder)
                return
            os.link(part, name, src_dir_fd=self._root, dst_dir_fd=folder, follow_symlinks=False)
            os.unlink(part, dir_fd=self._root)

    def _make_way(self, key: str, cause: OSError) -> None:
        """Take away an empty folder of this name; raises when something else is in the way."""
        try:
            with self._parent(key) as (folder, name):
                os.rmdir(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError:
            raise ArtefactError(
                f"cannot store artefact {key}: its key begins with another's, or another's with it"
            ) from cause

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        source = self._open(check_key(key))
        try:
            metadata = self._read_header(source, key)
            chunks = _body(source, key)
            next(chunks)
        except BaseException:
            source.close()
            raise
        return metadata, chunks

    def get_metadata(self, key: str) -> StorageMetadata:
        with self._open(check_key(key)) as source:
            return self._read_header(source, key)

    def _read_header(self, source: BinaryIO, key: str) -> StorageMetadata:
        with descriptors.explained(f"cannot read artefact {key}"):
            status = os.fstat(source.fileno())
            changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
            return read_header(source, key, status.st_size, changed_at)

    def _open(self, key: str) -> BinaryIO:
        try:
            with self._parent(key) as (folder, name):
                descriptor = os.open(name, descriptors.READ, dir_fd=folder)
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise MissingArtefactError(f"cannot find artefact {key}") from error
            if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
                raise DamagedArtefactError(f"cannot read artefact {key}: not a regular file") from error
            raise descriptors.explained_error(f"cannot read artefact {key}", error) from error
        if descriptors.is_file_of_its_own(descriptor):
            return os.fdopen(descriptor, "rb")
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        if is_folder:
            raise MissingArtefactError(f"cannot find artefact {key}")
        raise DamagedArtefactError(f"cannot read artefact {key}: not a regular file")

    def delete(self, key: str) -> int:
        status = self._status(check_key(key))
        if status is None:
            return 0
        try:
            with self._parent(key) as (folder, name):
                with descriptors.folder_locked(self._root):
                    os.unlink(name, dir_fd=folder)
                self._synchronise(folder)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return 0
            raise descriptors.explained_error(f"cannot remove artefact {key}", error) from error
        self._remove_empty_folders(key)
        return status.st_size

    def _remove_empty_folders(self, key: str) -> None:
        while "/" in key:
            key = key.rpartition("/")[0]
            try:
                with self._parent(key) as (folder, name):
                    os.rmdir(name, dir_fd=folder)
            except OSError:
                return  # not empty, or somebody else was quicker

    def list(self, prefix: str = "") -> Iterator[str]:
        start, slash, beginning = prefix.rpartition("/")
        if slash and not is_key(start):
            return
        with descriptors.explained(f"cannot list {self.base_path}"):
            try:
                with descriptors.folders_below(self._root, start.split("/") if slash else ()) as held:
                    yield from _keys_below(held[-1], start + slash, beginning)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise

    def set_aside(self, key: str) -> None:
        check_key(key)
        aside = f"{key.replace('/', '_')[-180:]}.{secrets.token_hex(8)}"  # random: overwrites nothing
        if self._status(key) is None:
            raise MissingArtefactError(f"cannot find artefact {key}")
        with descriptors.explained(f"cannot move artefact {key} to {self._quarantine}"):
            target = self.open_quarantine()
            try:
                with self._parent(key) as (folder, name):
                    with descriptors.folder_locked(self._root):
                        os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=target)
                    synchronise(target)
                    synchronise(folder)
            finally:
                os.close(target)
        self._remove_empty_folders(key)

    def open_quarantine(self) -> int:
        """Open the folder where `set_aside` puts artefacts, and make it. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            self._quarantine.mkdir(mode=0o700)
        descriptor = os.open(self._quarantine, descriptors.FOLDER)
        if self._owner is not None and os.fstat(descriptor).st_uid == 0:
            os.fchown(descriptor, *self._owner)
        return descriptor

    def path(self, key: str) -> Path:
        """Where a person finds it."""
        return self.base_path / check_key(key)

    def holds(self, key: str) -> bool:
        """Whether anything lies under this key, damaged or not; nothing is read."""
        return self._status(check_key(key)) is not None

    def stored_bytes(self, key: str) -> int:
        """What one file takes; 0 when there is none."""
        status = self._status(check_key(key))
        return status.st_size if status is not None else 0

    def total_bytes(self) -> int:
        """What all files take, temporary ones too."""
        with descriptors.explained(f"cannot list {self.base_path}"):
            return _bytes_below(self._root)

    def parts(self) -> tuple[str, ...]:
        """Temporary files that nobody is writing any more."""
        with descriptors.explained(f"cannot list {self.base_path}"), os.scandir(self._root) as entries:
            names = [e.name for e in entries if _PART.match(e.name) and e.is_file(follow_symlinks=False)]
        return tuple(name for name in names if descriptors.is_abandoned(self._root, name, removes=False))

    def remove_parts(self) -> int:
        """Remove abandoned temporary files; how many."""
        return sum(descriptors.is_abandoned(self._root, part, removes=True) for part in self.parts())

    def close(self) -> None:
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _status(self, key: str) -> os.stat_result | None:
        """What lies under this name, whatever it is, unless it is a folder."""
        try:
            with self._parent(key) as (folder, name):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise descriptors.explained_error(f"cannot stat artefact {key}", error) from error
        return None if stat.S_ISDIR(status.st_mode) else status

    @contextlib.contextmanager
    def _parent(self, key: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder in which a key's last part lies, and that part."""
        *parts, name = key.split("/")
        with descriptors.folders_below(self._root, parts) as held:
            yield held[-1], name


def _body(source: BinaryIO, key: str) -> Generator[bytes]:
    """The bytes after the header; begun by its maker, so that closing it closes the file in any case."""
    with source, descriptors.explained(f"cannot read artefact {key}"):
        yield b""
        yield from body_chunks(source)


def _keys_below(folder: int, above: str, beginning: str) -> Iterator[str]:
    """Keys of the regular files in a folder and below it, in the order of their characters.

    A folder counts as its name with the slash: then all keys below it stand where they belong.
    """
    with os.scandir(folder) as entries:
        found = sorted(
            name
            for entry in entries
            if (name := _listed(entry, above)) is not None and name.startswith(beginning)
        )
    for name in found:
        if not name.endswith("/"):
            yield above + name
            continue
        with contextlib.suppress(FileNotFoundError), descriptors.folders_below(folder, [name[:-1]]) as held:
            yield from _keys_below(held[-1], above + name, "")


def _listed(entry: os.DirEntry[str], above: str) -> str | None:
    if not is_key(above + entry.name):
        return None
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return entry.name if entry.is_file(follow_symlinks=False) else None


def _bytes_below(folder: int) -> int:
    total, below = 0, []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    below.append(entry.name)
                else:
                    total += status.st_size
    for name in below:
        with contextlib.suppress(FileNotFoundError), descriptors.folders_below(folder, [name]) as held:
            total += _bytes_below(held[-1])
    return total
