"""Plain objects below a URL, for engines of others to read: nothing stands before or around the bytes.

An artefact (`monitord/storage/artefacts/`) describes itself, compressed and encrypted; an object is a path
and its bytes. `tests/contracts/test_objects.py` is the suite of every member.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Protocol, cast

from monitord.errors import ConfigError, StorageError
from monitord.storage.artefacts.errors import ArtefactChangedError, ArtefactExistsError, InvalidKeyError
from monitord.storage.artefacts.urls import StorageURL, parse_url
from monitord.storage.artefacts.wrappers.retried import Patience, Tries

PATH_LIMIT = 900
LISTED_AT_MOST = 200_000
"""Names below one folder, ours or not, that a list goes through: some minutes, some hundred megabytes."""
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._=-]{0,199}\Z")
_HERE = "monitord.storage.objects"
PLACES = {
    "file": f"{_HERE}.files:open_files",
    "s3": f"{_HERE}.bucket:open_bucket",
    "gs": f"{_HERE}.bucket:open_bucket",
    "az": f"{_HERE}.bucket:open_bucket",
}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: how large, when it was written by the clock of its place, and which version it is."""

    path: str
    size_bytes: int
    changed_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class Absent:
    """In the place of the version that `put` expects: none is there."""


Expected = ObjectInfo | Absent | None


class Objects(Protocol):
    """A place of objects; paths are checked (InvalidKeyError), errors are those of artefacts."""

    def put(self, path: str, data: bytes, expected: Expected = None) -> None:
        """Write the whole object or nothing; durable when this returns.

        `expected`: only in the place of that version, or of none. ArtefactChangedError, ArtefactExistsError.
        """
        ...

    def holds(self, path: str, data: bytes) -> bool:
        """Whether exactly these bytes are there: read, or by their sum where a bucket tells it."""
        ...

    def read(self, path: str, limit_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return the object; MissingArtefactError, and ArtefactError for one that is larger."""
        ...

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        """All objects below a folder, in the order of their paths; names that are not paths are left out.

        StorageError where more than LISTED_AT_MOST names lie there, of whatever kind.
        """
        ...

    def folders(self, folder: str = "") -> tuple[str, ...]:
        """Names of the folders right below a folder, in order; StorageError for too many, as `list`."""
        ...

    def delete(self, path: str) -> None:
        """Remove the object; nothing happens when none is there."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def open_objects(url: str | StorageURL, patience: Patience | None = None, *, create: bool = False) -> Objects:
    """Open a place; each call is tried again within `patience`. `create` makes a folder that is not there.

    Raises ConfigError for a URL that can't be right; StorageError without its extra, or where we may not.
    """
    where = check_place(url)
    module, _colon, name = PLACES[where.scheme].partition(":")
    factory = cast(Callable[..., Objects], getattr(import_module(module), name))
    return RetriedObjects(factory(where, create=create), patience or Patience())


def check_place(url: str | StorageURL) -> StorageURL:
    """Refuse a URL where no plain objects can lie; nothing is loaded or connected to."""
    where = parse_url(url) if isinstance(url, str) else url
    if where.scheme not in PLACES:
        known = ", ".join(f"{scheme}://" for scheme in PLACES)
        raise ConfigError(f"invalid URL {where}: expected a folder or a bucket: one of {known}")
    return where


def is_path(path: str) -> bool:
    """Whether it can name an object: as a key of an artefact, and `=` within."""
    return 0 < len(path) <= PATH_LIMIT and all(map(_PART.match, path.split("/")))


def check_path(path: str) -> str:
    """Return the path itself; raises InvalidKeyError."""
    if not is_path(path):
        raise InvalidKeyError(
            f"invalid path {path[:80]!r}: expected letters, digits, . _ - = and / between parts"
        )
    return path


def check_count(count: int, folder: str) -> None:
    """Refuse to go on listing a folder; raises StorageError."""
    if count > LISTED_AT_MOST:
        raise StorageError(
            f"cannot list {folder or 'all'}: more than {LISTED_AT_MOST:,} names lie there;"
            " try one host, fewer days, or remove what is not monitord's"
        )


class RetriedObjects:
    """Tries again what may go better a moment later."""

    def __init__(self, inner: Objects, patience: Patience) -> None:
        self._inner, self._patience = inner, patience

    def put(self, path: str, data: bytes, expected: Expected = None) -> None:
        tries = Tries(self._patience)

        def attempt() -> None:
            try:
                self._inner.put(path, data, expected)
            except (ArtefactChangedError, ArtefactExistsError):
                # An earlier try whose answer was lost may have written just this.
                if not (tries.unclear and self._inner.holds(path, data)):
                    raise

        tries.run(attempt)

    def holds(self, path: str, data: bytes) -> bool:
        return Tries(self._patience).run(lambda: self._inner.holds(path, data))

    def read(self, path: str, limit_bytes: int) -> tuple[ObjectInfo, bytes]:
        return Tries(self._patience).run(lambda: self._inner.read(path, limit_bytes))

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        yield from Tries(self._patience).run(lambda: [*self._inner.list(folder)])

    def folders(self, folder: str = "") -> tuple[str, ...]:
        return Tries(self._patience).run(lambda: self._inner.folders(folder))

    def delete(self, path: str) -> None:
        Tries(self._patience).run(lambda: self._inner.delete(path))

    def close(self) -> None:
        self._inner.close()
