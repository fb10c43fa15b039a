"""The bytes that captures leave: written whole or not at all, checked when read, named by validated keys.

Knows no SQL and nothing of the rest of storage.
"""

from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactError,
    ArtefactExistsError,
    DamagedArtefactError,
    DiskFullError,
    InvalidKeyError,
    MissingArtefactError,
    TransientError,
    WrongKeyError,
)
from monitord.storage.artefacts.keys import is_key
from monitord.storage.artefacts.manager import StorageManager
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider

__all__ = [
    "StorageManager",
    "StorageMetadata",
    "StorageProvider",
    "is_key",
    "ArtefactError",
    "InvalidKeyError",
    "MissingArtefactError",
    "ArtefactExistsError",
    "DamagedArtefactError",
    "WrongKeyError",
    "DiskFullError",
    "AccessDeniedError",
    "TransientError",
]
