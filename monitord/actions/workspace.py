"""Where an action works: its configuration, its data directory, and who is told what it meets on the way.

Rooms are imported where they are used, so that asking stays fast: no question loads SQLAlchemy, psutil or
APScheduler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.children import own_command
from monitord.errors import BusyError, ConfigError, MonitordError, NotFoundError
from monitord.storage.queries import StoreReader
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME, HEAD

if TYPE_CHECKING:
    from monitord.config import LoadedConfig, Settings
    from monitord.storage import SQLiteProfileStore
    from monitord.storage.artefact_store import ArtefactStore
    from monitord.storage.artefacts import StorageManager
    from monitord.storage.artefacts.cache import CacheCounts, CacheManager
    from monitord.storage.past import PastReader


def ignore(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """`config_path` is the one file that was named; None: the usual places.

    `tell` gets lines for people: damage that was passed over, what is waited for.
    """

    data_dir: Path
    config_path: Path | None = None
    tell: Callable[[str], object] = ignore

    def config(self) -> LoadedConfig:
        """Load the configuration in force; raises ConfigError."""
        from monitord.config import load

        return load(self.config_path, os.environ)

    @property
    def settings(self) -> Settings:
        """What the configuration in force says; raises ConfigError."""
        return self.config().settings

    @property
    def has_fleet(self) -> bool:
        """Whether there is a fleet to ask; a configuration that can't be read names no bucket."""
        try:
            return bool(self.settings.bucket_url)
        except ConfigError:
            return False

    def command(self, *words: str) -> list[str]:
        """Return monitord's own command line for this data directory and configuration file."""
        command = [*own_command("monitord"), "--data-dir", str(self.data_dir.absolute())]
        command += ["--config", str(self.config_path.absolute())] if self.config_path else []
        return [*command, *words]

    def reader(self) -> StoreReader:
        """Return the store, read-only; it opens at the first question.

        The configuration is read, and a remote provider asked, only for an artefact's bytes.
        """
        return StoreReader(self.data_dir, self.open_full_store, lambda words: self.tell(f"monitord: {words}"))

    def past(self) -> PastReader:
        """Return the store, read-only, for questions about moments."""
        from monitord.storage.past import PastReader

        return PastReader(self.data_dir, self.open_full_store, lambda words: self.tell(f"monitord: {words}"))

    def open_full_store(self, folder: Path, *, create: bool = True) -> ArtefactStore:
        """Open what is kept in and behind this folder, as configured."""
        from monitord.recorder.artefact_stores import open_full_store

        settings = self.settings
        if not (settings.storage.url or settings.storage.archive_url):
            return open_full_store(settings)(folder, create=create)
        return open_full_store(settings, _cache_of(settings))(folder, create=create)

    def cache_counts(self) -> CacheCounts | None:
        """Return what this process read again from memory; None where it keeps nothing there."""
        try:
            cache = _CACHES.get(repr(self.settings.storage))
        except ConfigError:
            return None
        return cache.counts() if cache is not None else None

    @contextmanager
    def store(self, *, create: bool = False, whole: bool = False) -> Iterator[SQLiteProfileStore]:
        """Open the store to write to, for the block. Remote artefacts are seen only when it is to be `whole`.

        Unless it may `create` one, something must be there already: a database, even a damaged one, or
        artefacts to rebuild it from. Raises BusyError while an older recorder runs, which would save nothing
        into a newer schema.
        """
        from monitord.recorder.artefact_stores import open_local_store
        from monitord.storage import open_store

        log_trouble()
        self._leave_to_recorder()
        settings = self.settings
        store = open_store(
            self.data_dir,
            create=create or (whole and bool(settings.storage.url)) or self._holds_data(),
            open_artefacts=self.open_full_store if whole else open_local_store(settings),
            budget_bytes=settings.retention.max_total_bytes,
        )
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def artefacts(self) -> Iterator[StorageManager]:
        """Open what keeps artefacts, here and remotely, for the block."""
        from monitord.storage.folder import check_data_dir

        folder = self.data_dir / ARTEFACTS_NAME
        check_data_dir(folder.parent, reads=True)
        is_data_remote = bool(self.settings.storage.url)
        if not is_data_remote and not folder.exists():
            raise NotFoundError(f"cannot find artefacts in {folder.parent}; `monitord run` stores them")
        opened = self.open_full_store(folder, create=is_data_remote)
        try:
            yield opened.artefacts
        finally:
            opened.close()

    def _leave_to_recorder(self) -> None:
        """Refuse to change the schema under a recorder that runs: it would save nothing from then on."""
        from monitord.recorder.locks import DAEMON_LOCK, holder
        from monitord.storage.readonly import stored_revision

        pid = holder(self.data_dir / DAEMON_LOCK)
        database = self.data_dir / DATABASE_NAME
        if pid is None or not database.is_file():
            return
        try:
            revision = stored_revision(database)
        except MonitordError:
            return  # opening it reports what is wrong
        if revision not in (None, HEAD):
            raise BusyError(
                f"cannot upgrade: an older monitord records (pid {pid or 'unknown'}), and would save nothing"
                f" into schema {HEAD}: `monitord service restart` upgrades both"
            )

    def _holds_data(self) -> bool:
        try:
            return any((self.data_dir / name).exists() for name in (DATABASE_NAME, ARTEFACTS_NAME))
        except PermissionError:
            return False  # the store says whose it is


# What reads remote artefacts in this process shares one cache (storage.cache_mb): a server asks again.
_CACHES: dict[str, CacheManager | None] = {}


def _cache_of(settings: Settings) -> CacheManager | None:
    """The cache of these settings; that of settings which are in force no more goes."""
    from monitord.recorder.artefact_stores import artefact_cache

    key = repr(settings.storage)
    if key not in _CACHES:
        made = artefact_cache(settings.storage)
        _CACHES.clear()
        _CACHES[key] = made
    return _CACHES.get(key)


def log_trouble() -> None:
    """Rooms that write also log; who asked wants to hear of trouble only."""
    from monitord import logs

    logs.configure("warning")
