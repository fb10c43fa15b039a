"""What an incident's artefacts say of themselves, and that those of earlier versions go on being read."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from monitord.model import Incident
from monitord.storage import SQLiteProfileStore, StoreReader, open_store
from monitord.storage.artefact_store import open_folder

Maker = Callable[..., Incident]
VERSION_1 = Path(__file__).with_name("samples") / "version1"  # written by monitord before StorageManager


def as_version_1_left_it(data_dir: Path) -> None:
    """The folder of an earlier version, without its database."""
    data_dir.mkdir(mode=0o700)
    (data_dir / "artefacts").mkdir(mode=0o700)
    for path in VERSION_1.iterdir():
        copy = Path(shutil.copy(path, data_dir / "artefacts"))
        copy.chmod(0o600)


def test_artefacts_of_version_1_are_adopted_read_and_rewritten(data_dir: Path) -> None:
    """A database is rebuilt from them, their bytes are checked, and a pin rewrites what has to be."""
    as_version_1_left_it(data_dir)
    store = open_store(data_dir)
    (record,) = store.fetch_recent(9)
    assert (record.correlation_id, record.process_name, record.pid) == ("abcdefghijkl", "web\udcff", 4711)
    reader = StoreReader(data_dir)
    assert reader.artefact(record.artefact_key or "")[1] == b"main;burn 97\n" * 40
    assert [step.profiler for step in reader.incident("abcdefghijkl").not_captured] == ["perf"]
    store.pin("abcdefghijkl")
    assert store.verify() == []
    (data_dir / "monitord.db").unlink()
    store.migrate_if_needed()
    assert [row.pinned for row in store.fetch_recent(9)] == [True]
    assert store.verify() == []
    store.delete_incident("abcdefghijkl")
    assert list((data_dir / "artefacts").iterdir()) == []
    store.close()


def test_rows_of_version_1_agree_with_their_artefacts(data_dir: Path) -> None:
    """They hold the checksum as bare digits; a wrong one is still told."""
    as_version_1_left_it(data_dir)
    store = open_store(data_dir)
    store.migrate_if_needed()
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.execute("UPDATE profile_capture SET checksum = replace(checksum, 'sha256:', '')")
    assert store.verify() == []
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.execute("UPDATE profile_capture SET checksum = 'f' || checksum WHERE role = 'context'")
    assert len(store.verify()) == 1
    store.close()


def test_artefacts_can_be_chosen_by_tags(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """Kind, process, severity, rule, incident and pin, in characters that every provider takes."""
    hostile = "a\x1b]0;\udcff|é" + "x" * 300
    incident = make_incident(name=hostile, rule="hot")
    store.save_incident(incident)
    store.pin(incident.correlation_id)
    artefacts = open_folder(data_dir / "artefacts").artefacts
    found = {key: artefacts.get_metadata(key) for key in artefacts.list()}
    assert sorted(metadata.tags["kind"] for metadata in found.values()) == ["capture", "capture", "incident"]
    for metadata in found.values():
        assert metadata.tags["process"] == ("a_]0___".replace("]", "_") + "_" + "x" * 300)[:128]
        assert (metadata.tags["rule"], metadata.tags["severity"]) == ("hot", "1.08")
        assert metadata.tags["correlation_id"] == incident.correlation_id
    own = next(metadata for metadata in found.values() if metadata.tags["kind"] == "incident")
    assert (own.tags["pinned"], own.content_type) == ("yes", "application/json")
    assert {metadata.content_type for metadata in found.values()} == {"application/json", "text/plain"}
