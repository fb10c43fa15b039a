"""A backup restored on trial: into a folder of its own, compared, and gone again."""

from __future__ import annotations

import shutil
from pathlib import Path

from monitord.errors import StorageError
from monitord.storage.artefact_store import OpenArtefacts, open_folder
from monitord.storage.backup import checked_counts
from monitord.storage.manifest import Manifest
from monitord.storage.restoring import restore
from monitord.storage.schema import DATABASE_NAME
from monitord.storage.store import open_store


def restore_on_trial(
    backup: Path, place: Path, *, open_artefacts: OpenArtefacts = open_folder
) -> tuple[Manifest, list[str]]:
    """Restore the backup to `place`, compare and remove it; its manifest, and the flaws it has.

    Raises StorageError when it is not what was backed up. A flaw is one that the store had: damaged evidence,
    or evidence whose key is not at hand. What the manifest names as missing is not told again.
    """
    try:
        manifest = restore(backup, place)
        counts = checked_counts(place / DATABASE_NAME)
        if counts != dict(manifest.counts):
            raise StorageError(f"cannot restore {backup}: it came back with {counts}, not {manifest.counts}")
        store = open_store(place, open_artefacts=open_artefacts)
        try:
            store.adopt()  # finishes deletions that had begun
            flaws = [each for each in store.verify() if not any(key in each for key in manifest.missing)]
        finally:
            store.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return manifest, flaws
