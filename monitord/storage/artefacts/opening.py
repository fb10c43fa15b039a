"""What stands around a provider, and in which order: the one place that knows all wrappers.

A wrapper is loaded when it is asked for: who does not encrypt pays for no cryptography.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.storage.artefacts.manager import StorageManager
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers import open_provider
from monitord.storage.artefacts.wrappers.checked import Checked
from monitord.storage.artefacts.wrappers.compressed import Compressed
from monitord.storage.artefacts.wrappers.retried import Patience, Retried
from monitord.storage.artefacts.wrappers.unarchived import Unarchived
from monitord.storage.artefacts.wrappers.unkeyed import Unkeyed

if TYPE_CHECKING:
    from monitord.storage.artefacts.cache import CacheManager
    from monitord.storage.artefacts.keyring import Keyring
    from monitord.storage.artefacts.lifecycle import LifecycleManager
    from monitord.storage.artefacts.monitor import StorageMonitor
    from monitord.storage.artefacts.wrappers.measured import Recorder

DEFAULT_LEVEL = 3


def open_storage(
    url: str,
    *,
    compression_level: int | None = DEFAULT_LEVEL,
    keyring: Keyring | None = None,
    cache: CacheManager | None = None,
    lifecycle: LifecycleManager | None = None,
    monitor: StorageMonitor | None = None,
    deadline_s: float = Patience().deadline_s,
) -> StorageManager:
    """What keeps artefacts at a URL: file:///folder, memory://, redis://host/0, s3://bucket/prefix …

    `compression_level` None stores everything as it is; without `keyring` nothing is encrypted; `deadline_s`
    bounds each call with all its tries. Raises ConfigError, AccessDeniedError, StorageError.
    """
    provider = compose(
        open_provider(url),
        compression_level=compression_level,
        keyring=keyring,
        cache=cache,
        recorder=monitor,
        patience=Patience(deadline_s=deadline_s),
    )
    return StorageManager(provider, cache, lifecycle, monitor)


def compose(
    provider: StorageProvider,
    *,
    compression_level: int | None = DEFAULT_LEVEL,
    keyring: Keyring | None = None,
    cache: CacheManager | None = None,
    recorder: Recorder | None = None,
    patience: Patience | None = None,
    follows_pointers: bool = False,
) -> StorageProvider:
    """Wrap the provider, outermost last: each sees bytes as the one after it gives them.

    `follows_pointers`: the provider itself brings what lies in an archive.
    """
    wrapped = reached(provider, recorder=recorder, patience=patience)
    if not follows_pointers:
        wrapped = Unarchived(wrapped)
    wrapped = _encrypted(wrapped, keyring)
    wrapped = Compressed(wrapped, compression_level)
    wrapped = Checked(wrapped)
    return wrapped if cache is None else _cached(wrapped, cache)


def reached(
    provider: StorageProvider, *, recorder: Recorder | None = None, patience: Patience | None = None
) -> StorageProvider:
    """Wrap the provider to be measured and tried again, artefacts as they lie there: for key rotation."""
    if recorder is not None:
        from monitord.storage.artefacts.wrappers.measured import Measured

        provider = Measured(provider, recorder)
    return Retried(provider, patience or Patience())


def _encrypted(provider: StorageProvider, keyring: Keyring | None) -> StorageProvider:
    if keyring is None:
        return Unkeyed(provider)
    from monitord.storage.artefacts.wrappers.encrypted import Encrypted

    return Encrypted(provider, keyring)


def _cached(provider: StorageProvider, cache: CacheManager) -> StorageProvider:
    from monitord.storage.artefacts.wrappers.cached import Cached

    return Cached(provider, cache)
