"""Which backend a URL names.

To add one: its file with a function that takes the URL, its line in BACKENDS, and let
`tests/contracts/test_state.py` judge it. Other packages add theirs with an entry point in the group
`monitord.state_backends`: name = the URL's scheme, value = such a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from monitord.errors import UsageError
from monitord.storage.state.backend import StateBackend, deadline
from monitord.storage.state.items import DEADLINE_S, Storage
from monitord.storage.state.memory import MemoryBackend
from monitord.storage.state.storage import NamespacedStorage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "monitord.state_backends"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,40}")
Factory = Callable[[str], StateBackend]


def _memory(_url: str) -> StateBackend:
    return MemoryBackend()


def _sqlite(url: str) -> StateBackend:
    from monitord.storage.sqlite_urls import sqlite_file
    from monitord.storage.state.sqlite import sqlite_backend

    return sqlite_backend(sqlite_file(url, "state"))


def _postgresql(url: str) -> StateBackend:
    from monitord.storage.state.postgresql import postgresql_backend

    return postgresql_backend(url)


def _mysql(url: str) -> StateBackend:
    from monitord.storage.state.mysql import mysql_backend

    return mysql_backend(url)


def _redis(url: str) -> StateBackend:
    from monitord.storage.state.redis import RedisBackend

    return RedisBackend(url)


def _dynamodb(url: str) -> StateBackend:
    from monitord.storage.state.dynamodb import dynamodb_backend

    return dynamodb_backend(url)


BACKENDS: dict[str, Factory] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
    "redis": _redis,
    "rediss": _redis,
    "keydb": _redis,
    "keydbs": _redis,
    "dynamodb": _dynamodb,
}


def open_state(url: str, *, within_s: float = DEADLINE_S) -> Storage:
    """Open the state that a URL names: memory://, sqlite:////FOLDER/FILE, postgresql://…, and others.

    Opening it and each call may take `within_s`. Raises UsageError for a URL that names none,
    StateUnavailableError when it can't be reached.
    """
    return NamespacedStorage(open_backend(url, within_s=within_s), within_s=within_s)


def open_backend(url: str, *, within_s: float = DEADLINE_S) -> StateBackend:
    """Open what `open_state` stands on: records as they lie there."""
    open_it = factory_of(url)
    with deadline(within_s), _understood(url):
        return open_it(url)


def factory_of(url: str) -> Factory:
    """Return what opens such a URL; nothing is connected to.

    Raises UsageError naming what there is, and for a plug-in as `plugins.load_entry` does.
    """
    found = _found(url)
    if callable(found):
        return found
    from monitord.plugins import load_entry

    return cast("Factory", load_entry(found))


@contextmanager
def _understood(url: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:  # a port of letters, an unknown option
        scheme = url.partition("://")[0]
        raise UsageError(f"invalid state URL: {scheme}://…, what follows can't be read") from error


def check_url(url: str) -> None:
    """Raise UsageError for a URL that no backend takes; nothing is opened, nothing of a plug-in is loaded."""
    found = _found(url)
    with _understood(url):
        if found is _sqlite:
            from monitord.storage.sqlite_urls import sqlite_file

            sqlite_file(url, "state")
        elif found is _dynamodb:
            from monitord.storage.state.dynamodb import parsed

            parsed(url)
        elif callable(found):
            _port = urlsplit(url).port


def _found(url: str) -> Factory | EntryPoint:
    scheme, separator, _rest = url.partition("://")
    if separator and scheme in BACKENDS:
        return BACKENDS[scheme]
    from importlib.metadata import entry_points  # only plug-ins need it

    added = entry_points(group=ENTRY_POINTS)
    for entry in added:
        if separator and entry.name == scheme:
            return entry
    from monitord.plugins import known_schemes

    known = known_schemes(BACKENDS, added.names)
    is_scheme = separator and _SCHEME.fullmatch(scheme)
    shown = f"{scheme}://" if is_scheme else "no scheme"  # all else may hold a password
    raise UsageError(f"invalid state URL: {shown}, expected one of {known}")
