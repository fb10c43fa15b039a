"""The bytes that captures leave: written whole or not at all, checked when read, named by validated keys.

Knows no SQL and nothing of the rest of storage.
"""

from monitord.storage.artefacts.folder import Artefact, ArtefactStore, is_key
from monitord.storage.artefacts.layout import ArtefactError, DiskFullError

__all__ = ["Artefact", "ArtefactError", "ArtefactStore", "DiskFullError", "is_key"]
