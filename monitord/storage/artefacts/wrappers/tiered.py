"""Two places for an artefact: `local` takes everything at once, an uploader brings it to `remote` later.

Nothing here is let go before the copy there was read back and found the same. A deletion waits for no
network: what is to go there is noted, durably, and goes with `delete_pending`. Two members: `uploading.py`
moves artefacts whole (`storage.url`), `archiving.py` leaves a pointer (`storage.archive_url`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions


@dataclass(slots=True)
class Uploaded:
    """What one round did. `refused` says why unreadable artefacts stay; they hold up no other."""

    moved: int = 0
    moved_bytes: int = 0
    deleted: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        return not self.moved and not self.deleted


class TieredProvider(PassThrough, ABC):
    """What both members share; `inner` is the local provider.

    Without `remote` (it is not to be asked from here) storing and deleting work all the same. Processes with
    and without it may use the same folder at the same time.
    """

    def __init__(
        self, local: StorageProvider, remote: StorageProvider | None, pending: PendingDeletions
    ) -> None:
        super().__init__(local)
        self.remote = remote
        self.pending = pending

    def delete_pending(self, done: Uploaded | None = None, until_s: float = float("inf")) -> int:
        """Delete remotely what was deleted here, until that time of the monotonic clock; how many.

        Raises what the remote provider raises; `done` has what went before.
        """
        done = done if done is not None else Uploaded()
        if self.remote is None:
            return 0
        before = done.deleted
        for name in self.pending.list():
            if time.monotonic() >= until_s:
                break
            if not self._is_wanted(name):
                self.remote.delete(name)
                self.pending.remove(name)
                done.deleted += 1
        return done.deleted - before

    @abstractmethod
    def _is_wanted(self, name: str) -> bool:
        """Whether what the remote provider has under this name must stay after all."""

    def close(self) -> None:
        self.pending.close()
        self.inner.close()
        if self.remote is not None:
            self.remote.close()
