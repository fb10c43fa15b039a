"""`python -m monitord.daemon.uploader`: brings artefacts to the remote providers that are configured; ends.

A child of the recorder, because their clients and waiting for networks have no place in it. May be killed at
any moment: each of its steps leaves everything in one of the two places at least.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from monitord import config, logs, rights
from monitord.children import end_with_parent
from monitord.config import Settings
from monitord.daemon.upload_supervisor import MORE
from monitord.errors import BusyError, MonitordError, StorageError
from monitord.jobs.archiving import archive_job
from monitord.recorder.artefact_stores import open_full_store
from monitord.recorder.uploader_status import UploaderStatus, read_uploader_status, write_uploader_status
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts.keys import has_no_row
from monitord.storage.artefacts.lifecycle import ArtefactInventory
from monitord.storage.artefacts.urls import shown_url
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
from monitord.storage.artefacts.wrappers.tiered import Uploaded
from monitord.storage.artefacts.wrappers.uploading import UploadingProvider
from monitord.storage.queries import StoreReader
from monitord.storage.schema import ARTEFACTS_NAME

LIFE_S = 600.0  # then it ends; the recorder starts another while artefacts wait
_REFUSED_SHOWN = 5


def main() -> int:
    """Settle what waits; the exit code of the trouble when it could not."""
    parser = argparse.ArgumentParser(prog="monitord uploader")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--life", type=float, default=LIFE_S)
    parser.add_argument("--archive", action="store_true", help="archive what is old, too")
    parser.add_argument("--while-stdin", action="store_true", help="end when stdin is closed")
    arguments = parser.parse_args()
    if arguments.while_stdin:
        end_with_parent()
    try:
        loaded = config.load(arguments.config)
        logs.configure(loaded.settings.log.level, loaded.settings.log.style)
        rights.keep_only(())  # from here on it talks to a network
        is_settled = run(loaded.settings, arguments.data_dir, arguments.life, archives=arguments.archive)
    except MonitordError as error:
        print(f"monitord uploader: {error}", file=sys.stderr)  # noqa: T201  the one line a refusal owes
        return error.exit_code
    return 0 if is_settled else MORE


def run(settings: Settings, data_dir: Path, life_s: float = LIFE_S, *, archives: bool = True) -> bool:
    """Upload until nothing is left or life is over, and delete what was deleted here; whether all is settled.

    With `archives` what is old moves to the archive. Raises what a remote provider raises, after it was
    written down; BusyError when another one is at it.
    """
    with closing(open_full_store(settings)(data_dir / ARTEFACTS_NAME)) as store:
        return _Round(store, settings, data_dir).run(time.monotonic() + life_s, archives=archives)


class _Round:
    """What one uploader does in its life, with its file kept in step."""

    def __init__(self, store: ArtefactStore, settings: Settings, data_dir: Path) -> None:
        self._store = store
        self._settings = settings.storage
        self._data_dir = data_dir
        self._trouble: MonitordError | None = None
        self._status = read_uploader_status(data_dir) or UploaderStatus()
        self._status.url = shown_url(self._settings.url) if self._settings.url else ""

    def run(self, until_s: float, *, archives: bool) -> bool:
        uploading, archiving = self._store.uploading, self._store.archiving
        is_settled = True
        if uploading is not None:
            is_settled = self._tried(lambda: self._upload(uploading, until_s)) is True
        if archiving is not None:
            with archiving.pending.only_uploader():
                self._tried(lambda: self._delete_copies(archiving))
                if archives:
                    self._tried(lambda: self._archive(archiving))
        if self._trouble is not None:
            self._status.last_error, self._status.last_error_at = str(self._trouble), _now()
            self._write()
            raise self._trouble
        if archiving is not None:
            self._succeeded()
        return is_settled

    def _tried(self, step: Callable[[], bool | None]) -> bool | None:
        """What the step answers; its trouble stops no other step, and the first is told at the end."""
        try:
            return step()
        except BusyError:
            raise
        except MonitordError as error:
            self._trouble = self._trouble or error
            return None

    def _delete_copies(self, archiving: ArchivingProvider) -> None:
        done = Uploaded()
        try:
            archiving.delete_pending(done)
        finally:
            self._status.deleted += done.deleted

    def _upload(self, uploading: UploadingProvider, until_s: float) -> bool:
        """Again while it leads to something; whether it came to its end."""
        while time.monotonic() < until_s:
            done = Uploaded()
            try:
                uploading.upload_all(until_s - time.monotonic(), done, owned=self._owned)
            finally:
                self._count(done)
            self._succeeded()
            if done.is_nothing:
                return True
        return False

    def _owned(self) -> frozenset[str]:
        """What a row names. A file that the recorder did not live to give a row waits for it to come back and
        adopt it: it looks here, and not at the remote one."""
        with StoreReader(self._data_dir) as reader:
            return reader.artefact_keys()

    def _count(self, done: Uploaded) -> None:
        status = self._status
        status.moved += done.moved
        status.moved_bytes += done.moved_bytes
        status.deleted += done.deleted
        status.refused = done.refused[:_REFUSED_SHOWN]

    def _archive(self, archiving: ArchivingProvider) -> None:
        inventory = ArtefactInventory(archiving, archiver=archiving)
        result = archive_job(inventory, self._settings.archive_after_h * 3600).run(datetime.now(UTC))
        self._status.archiving = result.detail
        if result.outcome != "ok":
            raise StorageError(result.detail)
        self._status.archived_at = _now()

    def _succeeded(self) -> None:
        self._status.last_success_at, self._status.last_error = _now(), None
        self._write()

    def _write(self) -> None:
        status, uploading, folder = self._status, self._store.uploading, self._store.folder
        if uploading is not None:
            sizes = [folder.stored_bytes(key) for key in folder.list() if not has_no_row(key)]
            status.waiting_artefacts, status.waiting_bytes = len(sizes), sum(sizes)
            status.waiting_deletions = len(uploading.pending.list())
        write_uploader_status(self._data_dir, status)


def _now() -> str:
    return datetime.now(UTC).isoformat()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a client's thread that hangs in a network must not hold up the end
