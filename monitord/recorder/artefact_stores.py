"""`[storage]` of the configuration as something that keeps artefacts: for the recorder, and for who sees all.

The recorder and whatever deletes or pins open a local store: no client of a remote provider is loaded and no
network is waited for. Readers, checks and the uploader open the full store, where a remote provider is opened
when something is asked of it that is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from monitord.config import LoadedConfig, Settings
from monitord.config.settings import StorageSettings
from monitord.errors import ConfigError, UsageError
from monitord.storage.artefact_store import ArtefactStore, OpenArtefacts
from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider
from monitord.storage.artefacts.wrappers.retried import Patience
from monitord.storage.usage import floor_of

if TYPE_CHECKING:
    from monitord.storage.artefacts.cache import CacheManager, EvictionStrategy
    from monitord.storage.artefacts.keyring import Keyring
    from monitord.storage.artefacts.monitor import StorageMonitor
    from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
    from monitord.storage.artefacts.wrappers.uploading import UploadingProvider

DELETIONS_NAME = "tombstones"  # at `storage.url`; both names are from earlier versions
ARCHIVE_DELETIONS_NAME = "archive-tombstones"
BUILT_IN_EVICTION = ("lru", "fifo", "random")
EVICTION_GROUP, POLICY_GROUP = "monitord.cache_strategies", "monitord.retention_policies"


def check_storage(loaded: LoadedConfig) -> None:
    """Refuse URLs and keys that can't be right, with the line that has them. Nothing is connected to."""
    for name, url in _written(loaded, "storage.url", "storage.archive_url"):
        try:
            _check_url(url)
        except ConfigError as error:
            raise ConfigError(f"{loaded.origin(name)}: invalid {name}{_bare(error)}") from error
    for name, url in _written(loaded, "ship.url", "analytics.cold_url", "fleet.url"):
        _check_place(loaded, name, url)
    _check_plugins(loaded)
    try:
        _check_keys(loaded.settings.storage)
    except ConfigError as error:
        raise ConfigError(f"{loaded.origin('storage.old_encryption_keys')}: {error}") from error


def _written(loaded: LoadedConfig, *names: str) -> Iterator[tuple[str, str]]:
    """The URLs that stand in the configuration itself; sources in their place are read when they are used."""
    for name in names:
        section, _, key = name.partition(".")
        url = getattr(getattr(loaded.settings, section), key)
        if url:  # a recorder without any loads nothing for them
            from monitord.storage.artefacts.secret_sources import is_source

            if not is_source(url):
                yield name, url


def _check_place(loaded: LoadedConfig, name: str, url: str) -> None:
    from monitord.storage.objects import check_place

    try:
        check_place(url)
    except ConfigError as error:
        raise ConfigError(f"{loaded.origin(name)}: invalid {name}{_bare(error)}") from error


def check_state(loaded: LoadedConfig) -> None:
    """Refuse a `state.url` that no backend knows, with the line that has it. Nothing is read."""
    for name, url in _written(loaded, "state.url"):
        from monitord.storage.state.opening import check_url

        try:
            check_url(url)
            if url.startswith("memory:"):
                raise UsageError("invalid state URL: memory:// ends with its process, expected another")
        except UsageError as error:
            raise ConfigError(f"{loaded.origin(name)}: {error}") from error


def check_events(loaded: LoadedConfig) -> None:
    """Refuse an `events.url` that nothing can be copied to, with the line that has it. Nothing is read."""
    for name, url in _written(loaded, "events.url"):
        from monitord.storage.events.far import check_events_url

        try:
            check_events_url(url)
        except UsageError as error:
            raise ConfigError(f"{loaded.origin(name)}: {error}") from error


def _bare(error: ConfigError) -> str:
    """What is wrong with a URL, where what it is for is said already."""
    return str(error).removeprefix("invalid URL")


def _check_keys(storage: StorageSettings) -> None:
    if storage.old_encryption_keys and not storage.encryption_key:
        raise ConfigError("invalid storage.old_encryption_keys: expected with storage.encryption_key")


def _check_url(url: str) -> None:
    from monitord.storage.artefacts.providers import check_scheme
    from monitord.storage.artefacts.urls import StorageType, parse_url

    parsed = parse_url(url)
    check_scheme(parsed)
    if parsed.storage_type is StorageType.MEMORY:
        raise ConfigError(
            f"invalid URL {parsed}: what is kept there ends with its process, expected another,"
            " such as file:///PATH"
        )


def place_of(storage: StorageSettings, folder: Path, key: str) -> str:
    """Where a person finds an artefact: a path, or a URL without options and secrets."""
    path = folder / key
    if path.exists():
        name = _archived_name(folder, key) if storage.archive_url else None
        return str(path) if name is None else _below(storage.archive_url, name)
    return _below(storage.url, key) if storage.url else str(path)


def _archived_name(folder: Path, key: str) -> str | None:
    """What the archive calls it; None when it lies in the folder itself."""
    from monitord.storage.artefacts.wrappers.archiving import copy_name

    with closing(FileStorageProvider(folder, FileStorageConfig(create=False))) as files:
        metadata = files.get_metadata(key)
    return copy_name(metadata) if metadata.archived_in is not None else None


def _below(url: str, key: str) -> str:
    from monitord.storage.artefacts.secret_sources import is_source
    from monitord.storage.artefacts.urls import parse_url

    if is_source(url):  # another user may ask than the one that may read it
        return f"{key}, at the URL in {url}"
    where = parse_url(url)
    host = (where.host or "") + (f":{where.port}" if where.port is not None else "")
    return f"{where.scheme}://{host}{where.path.rstrip('/')}/{key}"


def needs_uploader(settings: Settings) -> bool:
    """Whether artefacts go anywhere but this disk."""
    return bool(settings.storage.url or settings.storage.archive_url)


def keyring_of(storage: StorageSettings) -> Keyring | None:
    """The keys that are configured; raises ConfigError or PermissionDeniedError naming the source."""
    _check_keys(storage)
    if not storage.encryption_key:
        return None
    from monitord.storage.artefacts.keyring import load_keyring

    return load_keyring([storage.encryption_key, *storage.old_encryption_keys])


def keyring_look(storage: StorageSettings) -> Callable[[], Keyring] | None:
    """Read the keys anew, for the health check; None where nothing is encrypted."""
    if not storage.encryption_key:
        return None
    from monitord.storage.artefacts.keyring import load_keyring

    return lambda: load_keyring([storage.encryption_key, *storage.old_encryption_keys])


def open_local_store(settings: Settings, monitor: StorageMonitor | None = None) -> OpenArtefacts:
    """What this disk holds, for the recorder. Raises ConfigError at once when a key can't be had."""
    keyring = keyring_of(settings.storage)
    return _Opener(settings, lambda: keyring, monitor=monitor)


def open_full_store(settings: Settings, cache: CacheManager | None = None) -> OpenArtefacts:
    """Everything there is. `cache` is for who reads the same again: all that it opens share it."""
    storage = settings.storage
    patience = Patience(deadline_s=storage.deadline_s)
    return _Opener(
        settings,
        lambda: keyring_of(storage),
        lambda url: remote_provider(url, patience),
        cache,
    )


def artefact_cache(storage: StorageSettings) -> CacheManager | None:
    """A new cache as configured; None where it has no room."""
    if not storage.cache_mb:
        return None
    from monitord.storage.artefacts.cache import CacheConfig, CacheManager, EvictionPolicy

    is_own = storage.cache_eviction not in BUILT_IN_EVICTION
    policy = EvictionPolicy.CUSTOM if is_own else EvictionPolicy(storage.cache_eviction)
    limit_bytes = max(1, int(storage.cache_mb * 1e6))
    return CacheManager(
        CacheConfig(
            limit_bytes=limit_bytes,
            ttl_s=storage.cache_ttl_s,
            eviction_policy=policy,
            strategy=_own_eviction(storage.cache_eviction) if is_own else None,
        )
    )


def _own_eviction(name: str) -> EvictionStrategy:
    from monitord.plugins import load_plugin

    return cast("EvictionStrategy", load_plugin(EVICTION_GROUP, name)())


def _check_plugins(loaded: LoadedConfig) -> None:
    """Refuse names that no installed package has; none of them is loaded."""
    settings = loaded.settings
    eviction = settings.storage.cache_eviction
    named = (
        [("storage.cache_eviction", EVICTION_GROUP, eviction)] if eviction not in BUILT_IN_EVICTION else []
    )
    named += [("retention.policies", POLICY_GROUP, name) for name in settings.retention.policies]
    if not named:
        return
    from monitord.plugins import check_plugin

    for key, group, name in named:
        try:
            check_plugin(group, name)
        except ConfigError as error:
            built_in = (
                f", expected {', '.join(BUILT_IN_EVICTION)} or a plug-in" if group == EVICTION_GROUP else ""
            )
            raise ConfigError(f"{loaded.origin(key)}: invalid {key} {name!r}{built_in}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens a folder as the settings say; without `open_remote`, nobody is asked who lies elsewhere."""

    settings: Settings
    load_keyring: Callable[[], Keyring | None]
    open_remote: Callable[[str], StorageProvider] | None = None
    cache: CacheManager | None = None
    monitor: StorageMonitor | None = None

    def __call__(self, folder: Path, *, create: bool = True) -> ArtefactStore:
        storage = self.settings.storage
        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        uploading, archiving = self._tiers(files)
        composed = compose(
            uploading or archiving or files,
            compression_level=storage.compression_level or None,
            keyring=self.load_keyring(),
            cache=self.cache,
            recorder=self.monitor,
            patience=Patience(attempts=1) if self.open_remote else None,  # a remote provider has its own
            follows_pointers=archiving is not None,
        )
        manager = StorageManager(composed, self.cache, monitor=self.monitor)
        return ArtefactStore(manager, files, uploading, archiving)

    def _tiers(self, files: FileStorageProvider) -> tuple[UploadingProvider | None, ArchivingProvider | None]:
        """What stands around the files. With both URLs the archive stands behind the other one."""
        url, archive_url = self.settings.storage.url, self.settings.storage.archive_url
        remote, archive = (
            self.open_remote(each) if each and self.open_remote else None for each in (url, archive_url)
        )
        archiving = None
        if archive_url and not url:
            archiving = _archiving(files, files, archive)
        elif remote is not None and archive is not None:
            remote = archiving = _archiving(files, remote, archive)
        return (_uploading(self.settings, files, remote) if url else None), archiving


def _uploading(
    settings: Settings, files: FileStorageProvider, remote: StorageProvider | None
) -> UploadingProvider:
    from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
    from monitord.storage.artefacts.wrappers.uploading import UploadingProvider

    return UploadingProvider(
        files,
        remote,
        PendingDeletions(files.base_path.with_name(DELETIONS_NAME)),
        limit_bytes=int(settings.storage.spool_mb * 1e6),
        free_disk_floor_bytes=floor_of(files.base_path, settings.retention.min_free_disk_bytes),
    )


def _archiving(
    files: FileStorageProvider, inner: StorageProvider, archive: StorageProvider | None
) -> ArchivingProvider:
    from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
    from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions

    pending = PendingDeletions(files.base_path.with_name(ARCHIVE_DELETIONS_NAME))
    return ArchivingProvider(inner, archive, pending)


def remote_provider(url: str, patience: Patience) -> StorageProvider:
    """A remote provider with its tries, opened and its client loaded at the first question.

    `url` may be the source that holds it, which is read then, too.
    """
    from monitord.storage.artefacts.opening import reached
    from monitord.storage.artefacts.providers import open_provider
    from monitord.storage.artefacts.secret_sources import held_url, is_source
    from monitord.storage.artefacts.urls import StorageType, parse_url
    from monitord.storage.artefacts.wrappers.deferred import DeferredProvider

    def open_held() -> StorageProvider:
        held = held_url(url, "the artefacts")
        _check_url(held)
        return open_provider(held)

    if is_source(url):
        return reached(DeferredProvider("remote", open_held), patience=patience)
    where = parse_url(url)
    kind = where.storage_type
    name = where.scheme if kind is StorageType.CUSTOM else kind.value
    return reached(DeferredProvider(name, lambda: open_provider(where)), patience=patience)


@dataclass(frozen=True, slots=True)
class EncryptedPlace:
    """A provider, and under which key an artefact was encrypted that it keeps under this one."""

    provider: StorageProvider
    encrypted_as: Callable[[str], str]


@contextmanager
def encrypted_places(settings: Settings, folder: Path) -> Iterator[list[EncryptedPlace]]:
    """Whatever holds encrypted artefacts, below their encryption: for a change of keys."""
    from monitord.storage.artefacts.wrappers.archiving import key_of_copy

    storage = settings.storage
    patience = Patience(deadline_s=storage.deadline_s)
    files = FileStorageProvider(folder, FileStorageConfig(create=False))
    remote = remote_provider(storage.url, patience) if storage.url else None
    places = [EncryptedPlace(_uploading(settings, files, remote) if remote else files, str)]
    if storage.archive_url:
        places.append(EncryptedPlace(remote_provider(storage.archive_url, patience), key_of_copy))
    try:
        yield places
    finally:
        for place in places:
            place.provider.close()
