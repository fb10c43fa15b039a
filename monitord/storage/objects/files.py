"""Plain objects as files in one folder: durable when `put` returns, no link followed, none half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from monitord.durable import synchronise
from monitord.errors import ConfigError
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    ArtefactExistsError,
    MissingArtefactError,
)
from monitord.storage.artefacts.providers import descriptors
from monitord.storage.artefacts.urls import StorageURL
from monitord.storage.objects import Expected, ObjectInfo, check_count, check_path, is_path

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_NO_FILE = (errno.ELOOP, errno.ENXIO)  # a link; a socket


def open_files(url: StorageURL, *, create: bool) -> FileObjects:
    """Open `file:///an/absolute/folder`; it takes no options."""
    url.check_options()
    if url.host not in (None, "localhost") or url.port is not None or len(url.path) < 2:
        raise ConfigError(f"invalid URL {url}: expected an absolute folder such as file:///srv/fleet")
    return FileObjects(Path(url.path), create=create)


class FileObjects:
    """Objects below `base_path`, which must belong to us and be writable by nobody else."""

    def __init__(self, base_path: Path, *, create: bool = False) -> None:
        self.base_path = base_path
        self._root, self._owner = descriptors.open_own_folder(base_path, create=create)

    def put(self, path: str, data: bytes, expected: Expected = None) -> None:
        *parts, name = check_path(path).split("/")
        with descriptors.explained(f"cannot write {path} below {self.base_path}"):
            descriptors.make_folders(self._root, parts, self._owner)
            part, descriptor = descriptors.create_part(self._root, self._owner)
            try:
                with os.fdopen(descriptor, "wb") as out:
                    out.write(data)
                    out.flush()
                    descriptors.open_to_readers(out.fileno(), self._root)
                    synchronise(out.fileno())
                    with descriptors.folder_locked(self._root, alone=True):
                        self._check(path, expected)
                        with descriptors.folders_below(self._root, parts) as held:
                            os.rename(part, name, src_dir_fd=self._root, dst_dir_fd=held[-1])
                            for folder in reversed(held):
                                synchronise(folder)
            except BaseException:
                descriptors.remove(self._root, part)
                raise

    def _check(self, path: str, expected: Expected) -> None:
        if expected is None:
            return
        found = self._found(path)
        if isinstance(expected, ObjectInfo) and found != expected:
            raise ArtefactChangedError(f"cannot replace {path}: another one is there, or none any more")
        if not isinstance(expected, ObjectInfo) and found is not None:
            raise ArtefactExistsError(f"cannot write {path}: it exists already")

    def _found(self, path: str) -> ObjectInfo | None:
        try:
            descriptor = self._open(path)
        except MissingArtefactError:
            return None
        try:
            return _info(path, os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def holds(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path, len(data))[1] == data
        except ArtefactError:  # none, or a larger one
            return False

    def read(self, path: str, limit_bytes: int) -> tuple[ObjectInfo, bytes]:
        with (
            descriptors.explained(f"cannot read {path} below {self.base_path}"),
            os.fdopen(self._open(path), "rb") as source,
        ):
            data = source.read(limit_bytes + 1)
            if len(data) > limit_bytes:
                raise ArtefactError(f"cannot read {path}: it is larger than {limit_bytes:,} bytes")
            return _info(path, os.fstat(source.fileno())), data

    def _open(self, path: str) -> int:
        *parts, name = check_path(path).split("/")
        try:
            with descriptors.folders_below(self._root, parts) as held:
                descriptor = os.open(name, descriptors.READ, dir_fd=held[-1])
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise MissingArtefactError(f"cannot find {path} below {self.base_path}") from error
            if error.errno in _NO_FILE:
                raise ArtefactError(f"cannot read {path}: not a regular file") from error
            raise descriptors.explained_error(f"cannot read {path}", error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ArtefactError(f"cannot read {path}: not a regular file")
        return descriptor

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        with self._within(folder) as held:
            names = count(1)
            above = f"{folder}/" if folder else ""
            found = (
                [*_below(held, above, lambda: check_count(next(names), folder))] if held is not None else []
            )
        yield from sorted(found, key=lambda one: one.path)

    def folders(self, folder: str = "") -> tuple[str, ...]:
        with self._within(folder) as held:
            return tuple(sorted(_folders_in(held, folder))) if held is not None else ()

    @contextlib.contextmanager
    def _within(self, folder: str) -> Iterator[int | None]:
        """The descriptor of a folder; None where none is there."""
        parts = check_path(folder).split("/") if folder else []
        with descriptors.explained(f"cannot list {self.base_path}"), contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(descriptors.folders_below(self._root, parts))
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
                yield None
            else:
                yield held[-1]

    def delete(self, path: str) -> None:
        *parts, name = check_path(path).split("/")
        with descriptors.explained(f"cannot remove {path} below {self.base_path}"):
            try:
                with descriptors.folders_below(self._root, parts) as held:
                    os.unlink(name, dir_fd=held[-1])
                    synchronise(held[-1])
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise

    def close(self) -> None:
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def _info(path: str, status: os.stat_result) -> ObjectInfo:
    version = f"{status.st_ino}.{status.st_mtime_ns}"
    changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return ObjectInfo(path, status.st_size, changed_at, version)


def _below(folder: int, above: str, on_name: Callable[[], None]) -> Iterator[ObjectInfo]:
    """All files below a folder; `on_name` hears of each name, and may end it."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            on_name()
            if not is_path(above + entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    yield _info(above + entry.name, entry.stat(follow_symlinks=False))
    for name in inner:
        with contextlib.suppress(FileNotFoundError), descriptors.folders_below(folder, [name]) as held:
            yield from _below(held[-1], f"{above}{name}/", on_name)


def _folders_in(held: int, folder: str) -> Iterator[str]:
    with os.scandir(held) as entries:
        for count, entry in enumerate(entries, 1):
            check_count(count, folder)
            if is_path(entry.name) and entry.is_dir(follow_symlinks=False):
                yield entry.name
