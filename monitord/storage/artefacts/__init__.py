"""The bytes that captures leave: written whole or not at all, checked when read, named by validated keys.

Knows no SQL and nothing of the rest of storage. What not everybody needs (opening, cache, keys) is loaded
when its name is first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArchivedElsewhereError,
    ArtefactError,
    ArtefactExistsError,
    DamagedArtefactError,
    DiskFullError,
    InvalidKeyError,
    MissingArtefactError,
    SpoolFullError,
    TransientError,
    WrongKeyError,
)
from monitord.storage.artefacts.keys import PLANS_KEY, has_no_row, is_key, is_probe
from monitord.storage.artefacts.manager import StorageManager
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider

if TYPE_CHECKING:
    from monitord.storage.artefacts.cache import CacheConfig, CacheManager, EvictionPolicy
    from monitord.storage.artefacts.keyring import Keyring, load_keyring, new_key
    from monitord.storage.artefacts.opening import compose, open_storage, reached
    from monitord.storage.artefacts.rotation import rotate

_HOMES = {
    "CacheConfig": "cache",
    "CacheManager": "cache",
    "EvictionPolicy": "cache",
    "Keyring": "keyring",
    "load_keyring": "keyring",
    "new_key": "keyring",
    "compose": "opening",
    "open_storage": "opening",
    "reached": "opening",
    "rotate": "rotation",
}

__all__ = [
    "open_storage",
    "compose",
    "reached",
    "CacheConfig",
    "CacheManager",
    "EvictionPolicy",
    "Keyring",
    "load_keyring",
    "new_key",
    "rotate",
    "StorageManager",
    "StorageMetadata",
    "StorageProvider",
    "is_key",
    "has_no_row",
    "is_probe",
    "PLANS_KEY",
    "ArtefactError",
    "InvalidKeyError",
    "MissingArtefactError",
    "ArtefactExistsError",
    "DamagedArtefactError",
    "WrongKeyError",
    "DiskFullError",
    "SpoolFullError",
    "AccessDeniedError",
    "ArchivedElsewhereError",
    "TransientError",
]

__getattr__ = names_from(__name__, _HOMES)
