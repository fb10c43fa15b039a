"""`[storage]` of the configuration as something that keeps artefacts: for the recorder, and for who sees all.

The recorder and whatever deletes or pins work on this disk alone; no client of a far provider is loaded and
no network is waited for. Who reads, checks or moves artefacts sees the far provider behind it, opened when
something is asked of it that is not here.
"""

from __future__ import annotations

from collections.abc import Callable
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

if TYPE_CHECKING:
    from monitord.storage.artefacts.cache import CacheManager
    from monitord.storage.artefacts.keyring import Keyring
    from monitord.storage.artefacts.monitor import StorageMonitor


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
    from monitord.storage.artefacts.urls import StorageType, parse_url

    if parse_url(url).storage_type is StorageType.MEMORY:
        raise ConfigError("memory:// is gone with the process that has it; expected another URL")


def place_of(storage: StorageSettings, folder: Path, key: str) -> str:
    """Where a person finds an artefact: a path, or a URL without options and secrets."""
    from monitord.storage.artefacts.urls import parse_url

    path = folder / key
    if path.exists() or not storage.url:
        return str(path)
    where = parse_url(storage.url)
    host = (where.host or "") + (f":{where.port}" if where.port is not None else "")
    return f"{where.scheme}://{host}{where.path.rstrip('/')}/{key}"


def needs_courier(settings: Settings) -> bool:
    """Whether artefacts go anywhere but this disk."""
    return bool(settings.storage.url)


def keyring_of(storage: StorageSettings) -> Keyring | None:
    """The keys that are configured; raises ConfigError or PermissionDeniedError naming the source."""
    if not storage.encryption_key:
        if storage.old_encryption_keys:
            raise ConfigError("storage.old_encryption_keys: needs `encryption_key`, which seals what is new")
        return None
    from monitord.storage.artefacts.keyring import load_keyring

    return load_keyring([storage.encryption_key, *storage.old_encryption_keys])


def keyring_look(storage: StorageSettings) -> Callable[[], Keyring] | None:
    """For the health check: reads the keys anew. None where nothing is sealed."""
    if not storage.encryption_key:
        return None
    from monitord.storage.artefacts.keyring import load_keyring

    return lambda: load_keyring([storage.encryption_key, *storage.old_encryption_keys])


def near_holdings(settings: Settings, monitor: StorageMonitor | None = None) -> OpenHoldings:
    """What this disk holds, for the recorder. Raises ConfigError at once when a key can't be had."""
    return _Near(settings, keyring_of(settings.storage), monitor=monitor)


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
class _Near:
    settings: Settings
    keyring: Keyring | None
    cache: CacheManager | None = None
    monitor: StorageMonitor | None = None

    def __call__(self, folder: Path, *, create: bool = True) -> Holdings:
        storage = self.settings.storage
        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        if not storage.url:
            return Holdings(self._managed(files), files)
        from monitord.storage.artefacts.wrappers.spooled import SpooledProvider

        spool = SpooledProvider(files, None, **_limits(self.settings))
        return Holdings(self._managed(spool), files, spool)

    def _managed(self, provider: StorageProvider) -> StorageManager:
        composed = compose(
            provider,
            compression_level=self.settings.storage.compression_level or None,
            keyring=self.keyring,
            cache=self.cache,
            recorder=self.monitor,
        )
        return StorageManager(composed, self.cache, monitor=self.monitor)


@dataclass(frozen=True, slots=True)
class _Whole:
    settings: Settings
    cache: CacheManager | None

    def __call__(self, folder: Path, *, create: bool = True) -> Holdings:
        storage = self.settings.storage
        keyring = keyring_of(storage)
        if not storage.url:
            return _Near(self.settings, keyring, self.cache)(folder, create=create)
        from monitord.storage.artefacts.wrappers.retried import Patience
        from monitord.storage.artefacts.wrappers.spooled import SpooledProvider

        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        spools: list[SpooledProvider] = []

        def spool(far: StorageProvider) -> StorageProvider:
            spools.append(SpooledProvider(files, far, **_limits(self.settings)))
            return spools[0]

        composed = compose(
            far_provider(storage.url),
            compression_level=storage.compression_level or None,
            keyring=keyring,
            cache=self.cache,
            spool=spool,
            patience=Patience(deadline_s=storage.deadline_s),
        )
        return Holdings(StorageManager(composed), files, spools[0])


def far_provider(url: str) -> StorageProvider:
    """The bare provider of a URL, opened and its client loaded at the first question."""
    from monitord.storage.artefacts.providers import open_provider
    from monitord.storage.artefacts.urls import parse_url
    from monitord.storage.artefacts.wrappers.deferred import DeferredProvider

    where = parse_url(url)
    return DeferredProvider(where.scheme, lambda: open_provider(where))


def _limits(settings: Settings) -> dict[str, int]:
    return {
        "limit_bytes": int(settings.storage.spool_mb * 1e6),
        "free_disk_floor_bytes": int(settings.retention.min_free_disk_mb * 1e6),
    }
