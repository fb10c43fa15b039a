"""What can keep artefacts, one file each; a provider knows nothing of caching, compressing or retrying.

To add one: write its file with a function that takes a StorageURL, name it in PROVIDERS, and let
`tests/contracts/test_providers.py` judge it. Other packages add theirs with an entry point in the group
`monitord.storage_providers`: name = the URL's scheme, value = such a function.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

from monitord.errors import ConfigError, MonitordError, StorageError
from monitord.installation import install_command
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.urls import StorageURL, parse_url

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Factory = Callable[[StorageURL], StorageProvider]

ENTRY_POINTS = "monitord.storage_providers"
_HERE = "monitord.storage.artefacts.providers"
PROVIDERS = {
    "file": f"{_HERE}.file:open_file",
    "memory": f"{_HERE}.memory:open_memory",
    "redis": f"{_HERE}.redis:open_redis",
    "rediss": f"{_HERE}.redis:open_redis",
    "s3": f"{_HERE}.s3:open_s3",
    "gs": f"{_HERE}.s3:open_s3",
    "az": f"{_HERE}.s3:open_s3",
}


def open_provider(url: str | StorageURL) -> StorageProvider:
    """Open the bare provider of a URL; nothing is loaded for the others.

    Raises ConfigError for a URL that can't be right, StorageError when what it needs is not installed.
    A server that is down is not an error yet: each use says so.
    """
    where = parse_url(url) if isinstance(url, str) else url
    return _factory(where)(where)


def check_scheme(url: StorageURL) -> None:
    """Refuse a scheme that nothing here keeps artefacts at; nothing is loaded or connected to."""
    if url.scheme not in PROVIDERS:
        _added(url)


def _factory(url: StorageURL) -> Factory:
    if url.scheme in PROVIDERS:
        module, _colon, name = PROVIDERS[url.scheme].partition(":")
        return cast(Factory, getattr(import_module(module), name))
    from monitord.plugins import load_entry

    return cast(Factory, load_entry(_added(url)))


def _added(url: StorageURL) -> EntryPoint:
    """Another package's; nothing of it is loaded."""
    from importlib.metadata import entry_points  # only plug-ins need it

    added = entry_points(group=ENTRY_POINTS)
    for entry in added:
        if entry.name == url.scheme:
            return entry
    from monitord.plugins import known_schemes

    known = known_schemes(PROVIDERS, added.names)
    raise ConfigError(f"invalid URL {url}: unsupported scheme {url.scheme}://, expected one of {known}")


def missing_package(package: str, extra: str) -> MonitordError:
    """The error for a library that an extra brings."""
    return StorageError(f"cannot import {package}; install it: {install_command(extra)}")
