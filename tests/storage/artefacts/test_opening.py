"""The wrappers stand in their order, and who does not use one does not pay for it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import monitord.storage.artefacts as artefacts
from monitord.errors import ConfigError, StorageError
from monitord.storage.artefacts import CacheManager, Keyring, compose, new_key, open_storage
from monitord.storage.artefacts.errors import WrongKeyError
from monitord.storage.artefacts.keyring import EncryptionKey
from monitord.storage.artefacts.monitor import StorageMonitor
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from tests.contracts.test_providers import KEY
from tests.storage.artefacts.test_measured import Told


class Tiered(PassThrough):
    pass


def names(provider: StorageProvider) -> list[str]:
    found = [type(provider).__name__]
    while isinstance(provider, PassThrough):
        provider = provider.inner
        found.append(type(provider).__name__)
    return found


def test_the_order_of_all_wrappers() -> None:
    everything = compose(
        Tiered(MemoryStorageProvider()),
        keyring=Keyring(EncryptionKey(os.urandom(32))),
        cache=CacheManager(),
        recorder=Told(),
        follows_pointers=True,
    )
    assert names(everything) == [
        "Cached", "Checked", "Compressed", "Encrypted", "Retried", "Measured", "Tiered",
        "MemoryStorageProvider",
    ]  # fmt: skip


def test_what_is_always_there() -> None:
    """Checked and tried again, told what is compressed, encrypted or archived, whatever is switched on for storing."""
    least = compose(MemoryStorageProvider(), compression_level=None)
    assert names(least) == [
        "Checked", "Compressed", "Unkeyed", "Unarchived", "Retried", "MemoryStorageProvider",
    ]  # fmt: skip


def test_a_folder_by_its_url(tmp_path: Path) -> None:
    """With other switches on, what was stored before is read, except without the key."""
    url = f"file://{tmp_path}/artefacts"
    keyring = artefacts.load_keyring(["environment:KEY"], {"KEY": new_key()})
    with closing(open_storage(url)) as manager:
        manager.store_data("plain", b"evidence " * 1000)
    with closing(open_storage(url, keyring=keyring, cache=CacheManager(), compression_level=None)) as manager:
        manager.store_data("encrypted", b"evidence " * 1000, attributes={"pid": 1})
        assert manager.retrieve_data("plain") == manager.retrieve_data("encrypted")
        assert list(manager.list()) == ["encrypted", "plain"]
    with closing(open_storage(url)) as manager:
        assert manager.retrieve_data("plain") == b"evidence " * 1000
        with pytest.raises(WrongKeyError):
            manager.retrieve_data("encrypted")
        assert manager.exists("encrypted")


def test_the_monitor_is_told_of_what_the_manager_does() -> None:
    monitor = StorageMonitor(provider="memory")
    manager = open_storage("memory://", monitor=monitor, cache=CacheManager())
    stored = manager.store_data(KEY, b"evidence " * 1000)
    manager.retrieve_data(KEY)
    told = monitor.metrics
    assert manager.monitor is monitor
    assert (told.writes, told.write_bytes, told.reads) == (1, stored.stored_size, 0)
    assert manager.cache is not None
    assert (manager.cache.counts().hits, manager.cache.counts().misses) == (1, 0)


def test_a_url_that_is_none_is_refused() -> None:
    for url in ("", "nowhere", "gopher://x"):
        with pytest.raises((ConfigError, StorageError)):
            open_storage(url)


def test_every_public_name_is_there() -> None:
    for name in artefacts.__all__:
        assert getattr(artefacts, name) is not None
    with pytest.raises(AttributeError):
        _ = artefacts.nothing  # type: ignore[attr-defined]  # that is the point


LOADED = """
import sys
from monitord.storage.artefacts import open_storage
manager = open_storage("memory://")
manager.store_data("key", b"evidence " * 1000)
assert manager.retrieve_data("key") == b"evidence " * 1000
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""
HEAVY = ("cachetools", "cryptography", "redis", "obstore", "boto3", "sqlalchemy", "urllib3", "ssl", "asyncio")


def test_nothing_heavy_is_loaded_unless_it_is_used() -> None:
    """The daemon carries for months what it imports: 7 MB of cryptography, 8 MB of redis."""
    told = subprocess.run([sys.executable, "-c", LOADED, *HEAVY], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []


def test_a_manager_closes_its_provider() -> None:
    class Closable(MemoryStorageProvider):
        closed = False

        def close(self) -> None:
            self.closed = True

    provider = Closable()
    manager = artefacts.StorageManager(compose(provider, cache=CacheManager()))
    manager.store_data(KEY, b"x")
    manager.close()
    assert provider.closed
