"""What stands where no archive is configured: a pointer is told as what it is, and not taken for damage."""

from __future__ import annotations

from collections.abc import Generator

from monitord.storage.artefacts.errors import ArchivedElsewhereError
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.wrappers.passing import PassThrough


class Unarchived(PassThrough):
    """Raises ArchivedElsewhereError for what lies in an archive. Deleting that deletes the pointer only."""

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = self.inner.retrieve(key)
        if metadata.archived_in is not None:
            chunks.close()
            raise not_here(metadata)
        return metadata, chunks


def not_here(pointer: StorageMetadata) -> ArchivedElsewhereError:
    """The refusal to give or delete what only an archive has."""
    where = f"the archive {pointer.archived_in!r}, which is not configured here"
    return ArchivedElsewhereError(f"{pointer.key} lies in {where} (storage.archive_url)")
