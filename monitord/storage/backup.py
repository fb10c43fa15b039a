"""A copy of the whole store, taken while it is in use: rows and artefacts agree, or there is no backup.

The database is copied first, then the artefacts that its rows name. What retention removed in between is
looked at again in a newer copy of the database, until nothing is missing that should be there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from monitord.durable import synchronise
from monitord.errors import BusyError, NotFoundError, StorageError, UsageError
from monitord.storage.artefact_store import OpenArtefacts, open_folder
from monitord.storage.artefacts import (
    DamagedArtefactError,
    MissingArtefactError,
    StorageProvider,
    is_key,
)
from monitord.storage.artefacts.providers.descriptors import explained as explained_files
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.backup_links import EarlierBackup
from monitord.storage.faults import DamagedError, explained
from monitord.storage.folder import check_data_dir, check_database_file
from monitord.storage.manifest import Manifest, manifest_of, manifest_text
from monitord.storage.readonly import open_readonly
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME, HEAD, MANIFEST_NAME

_ROUNDS = 50
_WRITER_TIMEOUT_S = 10.0
_REFERENCES = (
    "SELECT artefact_key, state, NULL FROM profile_capture WHERE artefact_key IS NOT NULL"
    " UNION ALL"
    " SELECT artefact_key, state, stored_bytes FROM incident WHERE artefact_key IS NOT NULL"
)
_COUNTED = {"incidents": "incident", "captures": "profile_capture", "events": "event", "history": "history"}


def backup(
    data_dir: Path,
    destination: Path,
    *,
    open_artefacts: OpenArtefacts = open_folder,
    earlier: Path | None = None,
) -> Manifest:
    """Copy the store into `destination`, which must not be there or be empty; its manifest.

    The copy gets its name when it is whole and on the disk. Keys that encrypt artefacts are not in it.
    Artefacts that an `earlier` backup has unchanged are hard links to it.
    Raises NotFoundError, UsageError, DiskFullError, DamagedError, BusyError.
    """
    check_data_dir(data_dir)
    database = data_dir / DATABASE_NAME
    if not check_database_file(database):
        raise NotFoundError(f"cannot find a database in {data_dir}: nothing to back up")
    check_destination(destination, data_dir)
    with explained_files(f"cannot back up to {destination}"), staged(destination) as staging:
        (staging / ARTEFACTS_NAME).mkdir(mode=0o700)
        artefact_store = open_artefacts(data_dir / ARTEFACTS_NAME, create=False)
        target = FileStorageProvider(staging / ARTEFACTS_NAME)
        try:
            # As they lie there, compressed and encrypted; what was archived is fetched back.
            source = artefact_store.as_stored
            links = EarlierBackup(earlier) if earlier is not None else None
            missing = _Copy(database, staging, source, target, links).run()
        finally:
            target.close()
            artefact_store.close()
        manifest = manifest_of(staging, checked_counts(staging / DATABASE_NAME), missing)
        write_durably(staging / MANIFEST_NAME, manifest_text(manifest).encode())
    return manifest


def check_destination(destination: Path, data_dir: Path) -> None:
    """Refuse what is in use, or lies where it would be backed up itself."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise UsageError(
            f"invalid destination: {destination} is not a folder, expected one that does not exist yet"
        )
    if destination.is_dir() and any(destination.iterdir()):
        raise UsageError(
            f"invalid destination: {destination} is not empty, expected a folder that does not exist yet"
        )
    if not destination.absolute().parent.is_dir():
        raise UsageError(f"cannot find the folder {destination.absolute().parent}; make it first")
    if destination.resolve().is_relative_to(data_dir.resolve()):
        raise UsageError(
            f"invalid destination: {destination} is in the data directory, expected a folder elsewhere"
        )


@contextlib.contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """A folder beside the destination that takes its name at the end; gone when anything fails."""
    place = destination.absolute()
    staging = place.with_name(f".{place.name}.{secrets.token_hex(8)}.part")
    staging.mkdir(mode=0o700)
    try:
        yield staging
        for folder, _folders, _files in os.walk(staging):
            synchronise_path(Path(folder))
        staging.rename(place)
        synchronise_path(place.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def synchronise_path(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        synchronise(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600, and sync it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        synchronise(out.fileno())


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a row says of its artefact. Only an incident's own is ever rewritten, and its size told then."""

    key: str
    state: str
    stored_bytes: int | None

    def agrees_with(self, copied_bytes: int | None) -> bool:
        """Whether the copy is what this row means. One that is being deleted, or missing, needs none."""
        if self.state != "active":
            return True
        return copied_bytes is not None and self.stored_bytes in (None, copied_bytes)


class _Copy:
    """Rounds of copying until rows and artefacts agree; each round copies only what is new."""

    def __init__(
        self,
        database: Path,
        staging: Path,
        source: StorageProvider,
        target: FileStorageProvider,
        links: EarlierBackup | None,
    ) -> None:
        self._database, self._snapshot = database, staging / DATABASE_NAME
        self._source, self._target = source, target
        self._staging, self._links = staging, links
        self._copied: dict[str, int] = {}  # bytes by key: all else of an artefact may be large

    def run(self) -> tuple[str, ...]:
        """Copy; the keys that rows name and nothing holds.

        What does not agree may be changing at this moment, so every writer is waited for before it is
        looked at again. A row that still says the same is simply so: its artefact was lost or changed.
        """
        before: set[_Reference] = set()
        for _ in range(_ROUNDS):
            copy_database(self._database, self._snapshot)
            references = _references(self._snapshot)
            self._fetch(references)
            disagreeing = {each for each in references if not each.agrees_with(self._copied.get(each.key))}
            if disagreeing <= before:
                self._forget_others(references)
                return tuple(sorted(each.key for each in disagreeing if each.key not in self._copied))
            before = disagreeing
            wait_for_writer(self._database)
        raise BusyError(
            f"cannot back up {self._database.parent}: it changes faster than it is copied; try again later"
        )

    def _fetch(self, references: Sequence[_Reference]) -> None:
        for each in references:
            copied = self._copied.get(each.key)
            if copied is not None and each.agrees_with(copied):
                continue
            try:
                self._copied[each.key] = self._linked(each.key) or self._stored(each.key)
            except (MissingArtefactError, DamagedArtefactError):
                continue  # gone since, or never ours; an older copy of it is as good as none

    def _linked(self, key: str) -> int | None:
        """Take over what the earlier backup has; None where it must be copied, as what changed meanwhile."""
        if self._links is None or key in self._copied:
            return None
        return self._links.link(self._source.get_metadata(key), self._staging)

    def _stored(self, key: str) -> int:
        metadata, chunks = self._source.retrieve(key)
        self._target.store(key, _Passing(chunks), replace(metadata, archived_in=None))
        return metadata.stored_size

    def _forget_others(self, references: Sequence[_Reference]) -> None:
        """What was copied and is named by no row any more."""
        named = {each.key for each in references}
        for key in self._copied.keys() - named:
            self._target.delete(key)


class _Passing:
    """Chunks on their way, as a payload that is read once."""

    def __init__(self, chunks: Generator[bytes]) -> None:
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        with contextlib.closing(self._chunks):
            yield from self._chunks


def copy_database(database: Path, snapshot: Path) -> None:
    """The database as it is at one moment, as one plain file; writers go on meanwhile."""
    source, revision = open_readonly(database)
    try:
        if revision != HEAD:
            raise StorageError(
                f"cannot back up {database}: older schema ({revision}); try `monitord db upgrade` first"
            )
        if not snapshot.exists():
            os.close(os.open(snapshot, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with explained(database), contextlib.closing(sqlite3.connect(snapshot)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
    finally:
        source.close()


def _references(snapshot: Path) -> list[_Reference]:
    with explained(snapshot), contextlib.closing(sqlite3.connect(snapshot)) as connection:
        rows = [_Reference(*row) for row in connection.execute(_REFERENCES)]
    return [each for each in rows if is_key(each.key)]


def checked_counts(snapshot: Path) -> dict[str, int]:
    """Count what is in the copy; raises DamagedError when the copy is of a damaged database."""
    with explained(snapshot), contextlib.closing(sqlite3.connect(snapshot)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
        if found != ["ok"]:
            raise DamagedError(
                f"cannot back up a damaged database ({found[0]}); try `monitord db check` first"
            )
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  our own names
            for name, table in _COUNTED.items()
            if table in tables
        }
    synchronise_path(snapshot)
    return counts


def wait_for_writer(database: Path) -> None:
    """Wait until the present writer is done. On a read-only disk there is none."""
    with contextlib.suppress(sqlite3.OperationalError):
        connection = sqlite3.connect(
            f"file:{quote(str(database))}?mode=rw", uri=True, timeout=_WRITER_TIMEOUT_S, isolation_level=None
        )
        with contextlib.closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
