"""A process that uploads and is killed at the step it is told to, as kill -9 does it.

Run: python upload_process.py LOCAL REMOTE STEP     STEP counts calls of all providers from 1, before and after
each of them; prints how many there were when it was not killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from monitord.storage.artefacts.wrappers.uploading import UploadingProvider

STEPS = frozenset({"store", "retrieve", "get_metadata", "delete", "holds"})


class Killer:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        self.count, self._last = 0, last

    def step(self) -> None:
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


def watched(provider: FileStorageProvider, killer: Killer) -> FileStorageProvider:
    """The provider itself, with a step before and after each call."""
    for name in STEPS:
        inner = getattr(provider, name)

        def call(*words: Any, inner: Any = inner, **named: Any) -> Any:
            killer.step()
            result = inner(*words, **named)
            killer.step()
            return result

        setattr(provider, name, call)
    return provider


def main() -> None:
    local, remote, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    killer = Killer(last)
    pending = PendingDeletions(local.with_name("deletions"))
    provider = UploadingProvider(
        watched(FileStorageProvider(local), killer), watched(FileStorageProvider(remote), killer), pending
    )
    watched(pending._made(), killer)
    provider.upload_all()
    print(killer.count)


if __name__ == "__main__":
    main()
