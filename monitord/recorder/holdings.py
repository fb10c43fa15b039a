"""`[storage]` of the configuration as something that keeps artefacts: for the recorder, and for who sees all.

The recorder and whatever deletes or pins work on this disk alone; no client of a far provider is loaded and
no network is waited for. Readers, checks and moves of artefacts see the far provider behind it, opened when
something is asked of it that is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.config import LoadedConfig, Settings
from monitord.config.settings import StorageSettings
from monitord.errors import ConfigError
from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider
from monitord.storage.holdings import Holdings, OpenHoldings
from monitord.storage.usage import floor_of

if TYPE_CHECKING:
    from monitord.storage.artefacts.cache import CacheManager
    from monitord.storage.artefacts.keyring import Keyring
    from monitord.storage.artefacts.monitor import StorageMonitor
    from monitord.storage.artefacts.wrappers.archived import ArchivingProvider
    from monitord.storage.artefacts.wrappers.retried import Patience
    from monitord.storage.artefacts.wrappers.spooled import SpooledProvider

CONDEMNED_NAME = "archive-tombstones"


def check_storage(loaded: LoadedConfig) -> None:
    """Refuse URLs that can't be right, with the line that has them. Nothing is connected to."""
    for key in ("url", "archive_url"):
        url = getattr(loaded.settings.storage, key)
        try:
            _check_url(url)
        except ConfigError as error:
            raise ConfigError(f"{loaded.origin(f'storage.{key}')}: storage.{key}: {error}") from error


def _check_url(url: str) -> None:
    if not url:
        return
    from monitord.storage.artefacts.providers import check_scheme
    from monitord.storage.artefacts.urls import StorageType, parse_url

    check_scheme(parse_url(url))
    if parse_url(url).storage_type is StorageType.MEMORY:
        raise ConfigError("memory:// is gone with the process that has it; expected another URL")


def place_of(storage: StorageSettings, folder: Path, key: str) -> str:
    """Where a person finds an artefact: a path, or a URL without options and secrets."""
    path = folder / key
    if path.exists():
        name = _archived_name(folder, key) if storage.archive_url else None
        return str(path) if name is None else _below(storage.archive_url, name)
    return _below(storage.url, key) if storage.url else str(path)


def _archived_name(folder: Path, key: str) -> str | None:
    """What the archive calls it; None when it lies in the folder itself."""
    from monitord.storage.artefacts.wrappers.archived import copy_name

    with closing(FileStorageProvider(folder, FileStorageConfig(create=False))) as files:
        metadata = files.get_metadata(key)
    return copy_name(key, metadata) if metadata.archived_in is not None else None


def _below(url: str, key: str) -> str:
    from monitord.storage.artefacts.urls import parse_url

    where = parse_url(url)
    host = (where.host or "") + (f":{where.port}" if where.port is not None else "")
    return f"{where.scheme}://{host}{where.path.rstrip('/')}/{key}"


def needs_courier(settings: Settings) -> bool:
    """Whether artefacts go anywhere but this disk."""
    return bool(settings.storage.url or settings.storage.archive_url)


def keyring_of(storage: StorageSettings) -> Keyring | None:
    """The keys that are configured; raises ConfigError or PermissionDeniedError naming the source."""
    if not storage.encryption_key:
        if storage.old_encryption_keys:
            raise ConfigError("storage.old_encryption_keys: needs `encryption_key`, which seals what is new")
        return None
    from monitord.storage.artefacts.keyring import load_keyring

    return load_keyring([storage.encryption_key, *storage.old_encryption_keys])


def keyring_look(storage: StorageSettings) -> Callable[[], Keyring] | None:
    """Read the keys anew, for the health check; None where nothing is sealed."""
    if not storage.encryption_key:
        return None
    from monitord.storage.artefacts.keyring import load_keyring

    return lambda: load_keyring([storage.encryption_key, *storage.old_encryption_keys])


def near_holdings(settings: Settings, monitor: StorageMonitor | None = None) -> OpenHoldings:
    """What this disk holds, for the recorder. Raises ConfigError at once when a key can't be had."""
    return _Near(settings, keyring_of(settings.storage), monitor)


def whole_holdings(settings: Settings, *, cached: bool = False) -> OpenHoldings:
    """Everything there is. `cached` is for who reads the same again: all that it opens share one cache."""
    return _Whole(settings, _cache(settings.storage) if cached and settings.storage.cache_mb else None)


def _cache(storage: StorageSettings) -> CacheManager:
    from monitord.storage.artefacts.cache import CacheConfig, CacheManager, EvictionPolicy

    policy = EvictionPolicy(storage.cache_eviction)
    limit_bytes = max(1, int(storage.cache_mb * 1e6))
    return CacheManager(
        CacheConfig(limit_bytes=limit_bytes, ttl_s=storage.cache_ttl_s, eviction_policy=policy)
    )


@dataclass(frozen=True, slots=True)
class SealedPlace:
    """A provider, and under which key an artefact was sealed that it keeps under this one."""

    provider: StorageProvider
    sealed_as: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Near:
    settings: Settings
    keyring: Keyring | None
    monitor: StorageMonitor | None = None

    def __call__(self, folder: Path, *, create: bool = True) -> Holdings:
        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        spool, archive = None, None
        if self.settings.storage.url:
            spool = _spool(self.settings, files, None)
        elif self.settings.storage.archive_url:
            archive = _archive_of(files, None)
        composed = compose(
            spool or archive or files,
            archive=_below_already if archive is not None else None,
            compression_level=self.settings.storage.compression_level or None,
            keyring=self.keyring,
            recorder=self.monitor,
        )
        return Holdings(StorageManager(composed, monitor=self.monitor), files, spool, archive)


@dataclass(frozen=True, slots=True)
class _Whole:
    settings: Settings
    cache: CacheManager | None

    def __call__(self, folder: Path, *, create: bool = True) -> Holdings:
        from monitord.storage.artefacts.wrappers.retried import Patience

        storage = self.settings.storage
        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        patience = Patience(deadline_s=storage.deadline_s)
        far, away = (
            far_provider(url, patience) if url else None for url in (storage.url, storage.archive_url)
        )
        spool, archive = None, None
        if far is not None and away is not None:  # deleting there deletes in the archive, too
            from monitord.storage.artefacts.wrappers.archived import ArchivingProvider

            far = archive = ArchivingProvider(far, away)
        elif away is not None:
            archive = _archive_of(files, away)
        if far is not None:
            spool = _spool(self.settings, files, far)
        composed = compose(
            spool or archive or files,
            archive=_below_already if archive is not None else None,
            compression_level=storage.compression_level or None,
            keyring=keyring_of(storage),
            cache=self.cache,
            patience=Patience(attempts=1),  # what is far away has its own
        )
        return Holdings(StorageManager(composed, self.cache), files, spool, archive)


def _below_already(provider: StorageProvider) -> StorageProvider:
    """The archive stands below: beneath the spool, or around the files themselves."""
    return provider


@contextmanager
def sealed_places(settings: Settings, folder: Path) -> Iterator[list[SealedPlace]]:
    """Whatever holds sealed artefacts, below their encryption: for a change of keys."""
    from monitord.storage.artefacts.wrappers.archived import key_of_copy
    from monitord.storage.artefacts.wrappers.retried import Patience

    storage = settings.storage
    patience = Patience(deadline_s=storage.deadline_s)
    files = FileStorageProvider(folder, FileStorageConfig(create=False))
    own = _spool(settings, files, far_provider(storage.url, patience)) if storage.url else files
    places = [SealedPlace(own, str)]
    if storage.archive_url:
        places.append(SealedPlace(far_provider(storage.archive_url, patience), key_of_copy))
    try:
        yield places
    finally:
        for place in places:
            place.provider.close()


def _spool(settings: Settings, files: FileStorageProvider, far: StorageProvider | None) -> SpooledProvider:
    from monitord.storage.artefacts.wrappers.spooled import SpooledProvider

    return SpooledProvider(
        files,
        far,
        limit_bytes=int(settings.storage.spool_mb * 1e6),
        free_disk_floor_bytes=floor_of(files.base_path, settings.retention.min_free_disk_bytes),
    )


def _archive_of(files: FileStorageProvider, away: StorageProvider | None) -> ArchivingProvider:
    """Files with an archive behind them; what is deleted meanwhile is noted, and goes there later."""
    from monitord.storage.artefacts.wrappers.archived import ArchivingProvider
    from monitord.storage.artefacts.wrappers.tombstones import Tombstones

    return ArchivingProvider(files, away, condemned=Tombstones(files.base_path.with_name(CONDEMNED_NAME)))


def far_provider(url: str, patience: Patience) -> StorageProvider:
    """A far provider with its tries, opened and its client loaded at the first question."""
    from monitord.storage.artefacts.opening import reached
    from monitord.storage.artefacts.providers import open_provider
    from monitord.storage.artefacts.urls import StorageType, parse_url
    from monitord.storage.artefacts.wrappers.deferred import DeferredProvider

    where = parse_url(url)
    kind = where.storage_type
    name = where.scheme if kind is StorageType.CUSTOM else kind.value
    return reached(DeferredProvider(name, lambda: open_provider(where)), patience=patience)
