"""A fleet's bucket as a question reads it: the files of a table by day and host, listed and never guessed."""

from __future__ import annotations

import fnmatch
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from monitord.analytics.shipped import COMPACTED, LARGEST_FILE_BYTES
from monitord.analytics.tables import Table
from monitord.errors import ConfigError, StorageError
from monitord.fleet import layout
from monitord.model import sized
from monitord.storage.artefacts.errors import MissingArtefactError
from monitord.storage.artefacts.urls import StorageURL
from monitord.storage.objects import ObjectInfo, Objects, check_place, open_objects

_AT_ONCE = 16  # downloads; a request waits most of its time
_GROWN_BYTES = 16 << 20  # since it was listed: its host may replace a file meanwhile
_MOST_FILES = 200_000
_LIKE_OURS = re.compile(r"/(host|date)=")  # whose rows they are would be read from it


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a fleet is asked: days from `since` to `until` (None: any), hosts by name or shell pattern."""

    since: datetime | None = None
    until: datetime | None = None
    host: str = ""

    def has_day(self, day: date) -> bool:
        """Whether rows of this day (UTC) may be wanted."""
        return (self.since is None or self.since.date() <= day) and (
            self.until is None or day <= self.until.date()
        )

    def has_host(self, host_id: str) -> bool:
        """Whether rows of this host are wanted."""
        return not self.host or fnmatch.fnmatchcase(host_id, self.host.lower())


@dataclass(frozen=True, slots=True)
class Shipped:
    """One file of a table."""

    day: date
    host_id: str
    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place of objects below a URL; a question downloads at most so many bytes of it."""

    url: StorageURL
    objects: Objects
    download_bytes: int

    def shipped(self, table: Table, scope: Scope) -> list[Shipped]:
        """Return a table's files of these days and hosts, and what was compacted of these days."""
        found = []
        for folder in self.objects.folders(layout.table_folder(table)):
            day = layout.parse_day(folder)
            if day is None or not scope.has_day(day):
                continue
            for info in self._listed(table, day, scope):
                host_id = _host_of(info.path, table)
                if host_id == COMPACTED or (host_id is not None and scope.has_host(host_id)):
                    found.append(Shipped(day, host_id, info))
            if len(found) > _MOST_FILES:  # before the next day is listed
                raise StorageError(
                    f"cannot read so many files at once: expected at most {_MOST_FILES:,};"
                    " try a shorter --since, --host, or monitord fleet compact"
                )
        return found

    def beyond(self, table: Table, scope: Scope) -> tuple[datetime | None, set[str]]:
        """Return the last day of a table beyond the scope's end, and whose rows of these hosts it has."""
        folders = self.objects.folders(layout.table_folder(table))
        days = [day for day in map(layout.parse_day, folders) if day is not None]
        last = max(days, default=None)
        if last is None or scope.until is None or last <= scope.until.date():
            return None, set()
        found = {_host_of(info.path, table) for info in self._listed(table, last, scope)}
        hosts = {host_id for host_id in found if host_id is not None and scope.has_host(host_id)}
        return datetime.combine(last, time(), UTC), hosts

    def _listed(self, table: Table, day: date, scope: Scope) -> Iterator[ObjectInfo]:
        folder = layout.day_folder(table, day)
        if layout.is_host_id(scope.host):  # one host: two requests, however many there are
            yield from self.objects.list(f"{folder}/host={COMPACTED}")
            yield from self.objects.list(f"{folder}/host={scope.host}")
        else:
            yield from self.objects.list(folder)

    @contextmanager
    def brought(self, files: Sequence[Shipped]) -> Iterator[list[str]]:
        """Yield where the files lie on this machine, for the block, without those that went meanwhile."""
        if self.url.scheme == "file":
            yield [str(Path(self.url.path) / one.info.path) for one in files]
            return
        size = sum(one.info.size_bytes for one in files if one.info.size_bytes <= LARGEST_FILE_BYTES)
        if size > self.download_bytes:
            most = sized(self.download_bytes, "disk_bytes")
            raise StorageError(
                f"cannot download {sized(size, 'disk_bytes')} for one question, expected at most {most};"
                " try a shorter --since, --host, or fleet.download_mb"
            )
        with tempfile.TemporaryDirectory(prefix="monitord-fleet-") as folder:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                brought = pool.map(lambda one: self._bring(one.info, Path(folder)), files)
                paths = [path for path in brought if path is not None]
            yield paths

    def _bring(self, info: ObjectInfo, folder: Path) -> str | None:
        is_fit = info.size_bytes <= LARGEST_FILE_BYTES
        try:
            data = self.objects.read(info.path, info.size_bytes + _GROWN_BYTES)[1] if is_fit else b""
        except MissingArtefactError:
            return None
        path = folder / info.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if not is_fit:
                os.truncate(path, info.size_bytes)  # a hole of its size: it is passed over, and that is said
        except OSError as error:
            raise StorageError(
                f"cannot keep {info.path} in {folder}: {error.strerror}; free space, or set TMPDIR"
            ) from error
        return str(path)

    def close(self) -> None:
        """Let go of files and connections."""
        self.objects.close()


def open_bucket(url: str, *, download_mb: float = 2000.0) -> Bucket:
    """Open the bucket of a URL; raises ConfigError for one that can't be right."""
    where = check_place(url)
    if where.scheme == "file" and _LIKE_OURS.search(where.path):
        raise ConfigError(
            f"invalid URL {where}: a folder on the way is called host=… or date=…, as ours are;"
            " expected other names"
        )
    return Bucket(where, open_objects(where), int(download_mb * 1e6))


def _host_of(path: str, table: Table) -> str | None:
    """Whose file a path is; None for what is not of this table."""
    parts = path.split("/")
    if len(parts) == 5 and parts[3] == f"host={COMPACTED}" and parts[4] == layout.DAY_FILE:
        return COMPACTED
    named = layout.parse(path)
    return named.host_id if isinstance(named, layout.DayFile) and named.table is table else None
