"""What a lifecycle is applied to: things that can be looked over, archived and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from monitord.storage.artefacts.errors import ArtefactError
from monitord.storage.artefacts.lifecycle.policy import Item, Stock
from monitord.storage.artefacts.provider import StorageProvider


class Inventory(Protocol):
    """Where the items are. Errors are MonitordErrors and OSErrors."""

    def stock(self) -> Stock:
        """Everything there is, now."""
        ...

    def archive(self, keys: Sequence[str]) -> None:
        """Move these to the archive. One that is there already, or gone, is skipped."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete these. One that is gone already is skipped: after an error all may be asked for again."""
        ...


class Archiver(Protocol):
    """What can move an artefact's bytes elsewhere: ArchivingProvider."""

    def upload(self, key: str) -> object: ...


class ArtefactInventory:
    """The artefacts of a provider whose keys begin with `prefix`.

    Damaged artefacts are not among them: nobody knows their age, and they are somebody's to look at.
    """

    def __init__(
        self,
        provider: StorageProvider,
        *,
        prefix: str = "",
        archiver: Archiver | None = None,
        free_disk_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._provider = provider
        self._prefix = prefix
        self._archiver = archiver
        self._free_disk_bytes = free_disk_bytes

    def stock(self) -> Stock:
        items = tuple(self._items())
        free = self._free_disk_bytes() if self._free_disk_bytes else None
        return Stock.of(items, sum(item.stored_size for item in items), free)

    def _items(self) -> Iterator[Item]:
        for key in self._provider.list(self._prefix):
            try:
                yield Item.of(self._provider.get_metadata(key))
            except ArtefactError:  # damaged, or gone since it was listed
                continue

    def archive(self, keys: Sequence[str]) -> None:
        if self._archiver is None:
            raise ArtefactError(f"cannot archive: the {self._provider.name} storage has no archive")
        for key in keys:
            self._archiver.upload(key)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._provider.delete(key)
