"""An uploader is started when something waits, and what is old goes to the archive once an hour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitord import config
from monitord.daemon.upload_supervisor import ARCHIVING_EVERY_S, UploadSupervisor
from monitord.model import Incident
from monitord.recorder.artefact_stores import open_local_store
from monitord.storage import SQLiteProfileStore, open_store
from tests.fakes import a_capture, an_alert
from tests.patience import PATIENCE_S


class Archive:
    """A data directory with an archive beside it, and who looks after it at a time of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_s = folder / "archive", 0.0
        self.folder.mkdir(mode=0o700)
        path, data_dir = folder / "config.toml", folder / "data"
        path.write_text(
            f'[retention]\nmin_free_disk_mb = 0\n[storage]\narchive_url = "file://{self.folder}"\n'
            "archive_after_h = 0\n"
        )
        settings = config.load(path, env={}).settings
        self.store: SQLiteProfileStore = open_store(data_dir, open_artefacts=open_local_store(settings))
        self.uploads = UploadSupervisor(
            data_dir, path, uploads=False, archives=True, clock=lambda: self.now_s
        )

    def save(self, correlation_id: str) -> None:
        self.store.save_incident(Incident(correlation_id, an_alert(), None, captures=(a_capture(),)))

    def settle(self) -> bool:
        """Whether an uploader was started; it has ended then."""
        self.uploads.check()
        self.uploads.poll()
        child = self.uploads._child
        if child is None:
            return False
        assert child.wait(PATIENCE_S) == 0
        self.uploads.poll()
        return True

    def archived(self) -> list[str]:
        return sorted(path.name.split("-")[2] for path in self.folder.iterdir())


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path)
    with closing(made.store):
        yield made
    made.uploads.close(PATIENCE_S)


def test_what_is_old_is_archived_once_an_hour_and_what_was_deleted_goes_at_once(archive: Archive) -> None:
    archive.save("aaaaaaaaaaaa")
    assert archive.settle()
    assert archive.archived() == ["aaaaaaaaaaaa"]
    archive.save("bbbbbbbbbbbb")
    archive.uploads.notify()
    assert not archive.settle()
    archive.store.delete_incident("aaaaaaaaaaaa")
    assert archive.settle()
    assert archive.archived() == []
    archive.now_s += ARCHIVING_EVERY_S
    assert archive.settle()
    assert archive.archived() == ["bbbbbbbbbbbb"]
    assert not archive.settle()
