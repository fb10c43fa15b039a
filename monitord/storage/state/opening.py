"""Which backend a URL names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitord.errors import UsageError
from monitord.storage.state.backend import StateBackend
from monitord.storage.state.items import Storage
from monitord.storage.state.memory import MemoryBackend
from monitord.storage.state.storage import NamespacedStorage


def _memory(_url: str) -> StateBackend:
    return MemoryBackend()


def _sqlite(url: str) -> StateBackend:
    from monitord.storage.state.sql import sqlite_backend

    path = url.removeprefix("sqlite:///")
    if not path or path == url:
        raise UsageError(f"invalid state URL: {url}, expected sqlite:///FILE")
    return sqlite_backend(Path(path))


def _postgresql(url: str) -> StateBackend:
    from monitord.storage.state.sql import postgresql_backend

    return postgresql_backend("postgresql+psycopg://" + url.partition("://")[2])


def _redis(url: str) -> StateBackend:
    from monitord.storage.state.redis import RedisBackend

    return RedisBackend(url)


BACKENDS: dict[str, Callable[[str], StateBackend]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "redis": _redis,
    "rediss": _redis,
}


def open_state(url: str) -> Storage:
    """Open the state that a URL names: memory://, sqlite:///FILE, postgresql://…, redis://….

    Raises UsageError for a URL that names none, StateUnavailableError when it can't be reached.
    """
    scheme = url.partition("://")[0]
    backend = BACKENDS.get(scheme)
    if backend is None or "://" not in url:
        raise UsageError(f"invalid state URL: {scheme or url!r}, expected one of {', '.join(BACKENDS)}")
    return NamespacedStorage(backend(url))
