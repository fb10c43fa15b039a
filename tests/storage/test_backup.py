"""A backup beside whoever writes and deletes holds what was acknowledged, and gives all of it back or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitord.errors import NotFoundError, SchemaTooNewError, StorageError, UsageError
from monitord.model import Incident
from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader, open_store
from monitord.storage.backup import backup
from monitord.storage.manifest import read_manifest
from monitord.storage.restoring import restore
from monitord.storage.schema import MANIFEST_NAME
from tests.patience import PATIENCE_S

Maker = Callable[..., Incident]
ROUNDS = int(os.environ.get("MONITORD_BACKUPS", "6"))


def stored(data_dir: Path) -> set[str]:
    with StoreReader(data_dir) as reader:
        return {record.correlation_id for record in reader.recent(RecentFilter(limit=None))}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def filled(store: SQLiteProfileStore, make_incident: Maker) -> SQLiteProfileStore:
    for _ in range(3):
        store.save_incident(make_incident(payload=os.urandom(2000)))
    return store


class Writing:
    """The writer process, and what it has said so far."""

    def __init__(self, script: Path, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(data_dir), "--delete-every", "2", "--size", "3000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()

    def said(self, word: str) -> set[str]:
        with self.news:
            return {line[len(word) + 1 :] for line in self.lines if line.startswith(f"{word} ")}

    def wait_for_more(self, count: int) -> None:
        with self.news:
            wanted = len(self.lines) + count
            assert self.news.wait_for(lambda: len(self.lines) >= wanted, timeout=PATIENCE_S)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """It waits, wherever it is, so that the store does not grow while a copy is looked at."""
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def writing(data_dir: Path, writer_script: Path) -> Iterator[Writing]:
    process = Writing(writer_script, data_dir)
    process.wait_for_more(5)
    yield process
    process.stop()


@pytest.mark.timeout(900)
def test_backup_and_restore_in_a_loop_beside_a_writer_lose_nothing(
    writing: Writing, data_dir: Path, tmp_path: Path
) -> None:
    """Saves, deletions, summaries and pins go on: each backup is restored, sound, and has what was acknowledged."""
    for number in range(ROUNDS):
        acknowledged = writing.said("ACK")
        copy, again = tmp_path / f"copy{number}", tmp_path / f"again{number}"
        manifest = backup(data_dir, copy)
        assert manifest.missing == ()
        gone = writing.said("GONE")
        with writing.held():
            restore(copy, again)
            assert acknowledged - gone <= stored(again), f"round {number}"
            store = open_store(again)
            store.adopt()  # finishes deletions that had begun
            assert store.verify() == [], f"round {number}"
            assert not (again / "quarantine").exists()
            (again / "monitord.db").unlink()  # and the artefacts alone tell the same
            kept = stored_after_rebuild(store, again)
            assert acknowledged - gone <= kept
        shutil.rmtree(copy)
        shutil.rmtree(again)
        writing.wait_for_more(3)
    assert len(writing.said("ACK")) > ROUNDS
    assert not [line for line in writing.lines if line.startswith("ERR")]


def stored_after_rebuild(store: SQLiteProfileStore, data_dir: Path) -> set[str]:
    store.close()
    with contextlib.closing(open_store(data_dir)):
        return stored(data_dir)


def test_what_comes_back_is_what_was_there(filled: SQLiteProfileStore, tmp_path: Path) -> None:
    """Rows, artefacts byte for byte, modes; and the source is as it was."""
    before = files_of(filled.data_dir / "artefacts")
    manifest = backup(filled.data_dir, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    assert files_of(filled.data_dir / "artefacts") == before == files_of(tmp_path / "again" / "artefacts")
    assert stored(tmp_path / "again") == stored(filled.data_dir)
    assert manifest.counts["incidents"] == 3
    assert {file.path for file in manifest.files} == {"monitord.db", *(f"artefacts/{key}" for key in before)}
    for folder in (tmp_path / "copy", tmp_path / "again"):
        for path in [folder, *folder.rglob("*")]:
            wanted = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "copy", "data"]


def test_a_row_whose_artefact_is_lost_is_told_and_does_not_stop_the_backup(
    filled: SQLiteProfileStore, tmp_path: Path
) -> None:
    """What nothing holds any more is named in the manifest; all the rest is there."""
    lost = sorted((filled.data_dir / "artefacts").glob("*profile*"))[0]
    lost.unlink()
    assert backup(filled.data_dir, tmp_path / "copy").missing == (lost.name,)
    assert read_manifest(tmp_path / "copy").missing == (lost.name,)
    restore(tmp_path / "copy", tmp_path / "again")
    assert stored(tmp_path / "again") == stored(filled.data_dir)


def test_a_destination_in_use_is_refused(filled: SQLiteProfileStore, tmp_path: Path) -> None:
    """Nothing is written over, into, or inside what is backed up; an empty folder will do."""
    used = tmp_path / "used"
    used.mkdir()
    (used / "letter").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        backup(filled.data_dir, used)
    with pytest.raises(UsageError, match="in the data directory"):
        backup(filled.data_dir, filled.data_dir / "copy")
    with pytest.raises(UsageError, match=r"cannot find the folder .*; make it first"):
        backup(filled.data_dir, tmp_path / "a" / "b")
    with pytest.raises(UsageError, match="not a folder"):
        backup(filled.data_dir, used / "letter")
    assert files_of(used) == {"letter": b"mine"}
    (used / "letter").unlink()
    backup(filled.data_dir, used)
    assert read_manifest(used).counts["incidents"] == 3


def test_a_backup_that_breaks_off_leaves_nothing(filled: SQLiteProfileStore, tmp_path: Path) -> None:
    """A damaged database is said so, and no folder, half or whole, is left."""
    filled.close()
    with (filled.data_dir / "monitord.db").open("r+b") as database:
        database.seek(8192)
        database.write(os.urandom(4096))
    with pytest.raises(StorageError, match="db check"):
        backup(filled.data_dir, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    with pytest.raises(NotFoundError):
        backup(tmp_path / "nowhere", tmp_path / "copy")


def damage_a_byte(copy: Path) -> None:
    path = sorted((copy / "artefacts").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def cut_the_database(copy: Path) -> None:
    path = copy / "monitord.db"
    path.write_bytes(path.read_bytes()[:-4096])


def lose_an_artefact(copy: Path) -> None:
    sorted((copy / "artefacts").iterdir())[0].unlink()


def link_an_artefact(copy: Path) -> None:
    path = sorted((copy / "artefacts").iterdir())[0]
    path.unlink()
    path.symlink_to("/etc/hostname")


def garble_the_manifest(copy: Path) -> None:
    (copy / MANIFEST_NAME).write_text('{"version": 1}')


def lose_the_manifest(copy: Path) -> None:
    (copy / MANIFEST_NAME).unlink()


def make_the_manifest_a_pipe(copy: Path) -> None:
    (copy / MANIFEST_NAME).unlink()
    os.mkfifo(copy / MANIFEST_NAME)


def make_the_manifest_a_link(copy: Path) -> None:
    (copy / MANIFEST_NAME).rename(copy / "elsewhere")
    (copy / MANIFEST_NAME).symlink_to(copy / "elsewhere")


def leave_the_folder(copy: Path) -> None:
    held = json.loads((copy / MANIFEST_NAME).read_text())
    held["files"][1]["path"] = "artefacts/../../evil"
    (copy / MANIFEST_NAME).write_text(json.dumps(held))


def come_from_the_future(copy: Path) -> None:
    held = json.loads((copy / MANIFEST_NAME).read_text())
    (copy / MANIFEST_NAME).write_text(json.dumps({**held, "schema": "9999"}))


def lie_about_the_schema(copy: Path) -> None:
    """The manifest is right about every byte, and the database is newer than it says."""
    with contextlib.closing(sqlite3.connect(copy / "monitord.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    from monitord.storage.manifest import manifest_of, manifest_text

    (copy / MANIFEST_NAME).write_text(manifest_text(manifest_of(copy, {}, ())))


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (damage_a_byte, StorageError),
        (cut_the_database, StorageError),
        (lose_an_artefact, StorageError),
        (link_an_artefact, StorageError),
        (garble_the_manifest, StorageError),
        (lose_the_manifest, NotFoundError),
        (make_the_manifest_a_pipe, StorageError),
        (make_the_manifest_a_link, StorageError),
        (leave_the_folder, StorageError),
        (come_from_the_future, SchemaTooNewError),
        (lie_about_the_schema, SchemaTooNewError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_harmed_backup_restores_nothing(
    filled: SQLiteProfileStore, tmp_path: Path, harm: Callable[[Path], None], error: type[Exception]
) -> None:
    """One wrong byte, a lost file, a link, a path that leads out, a newer schema: refused, and nothing is there."""
    backup(filled.data_dir, tmp_path / "copy")
    harm(tmp_path / "copy")
    with pytest.raises(error):
        restore(tmp_path / "copy", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "data"]


def test_restore_overwrites_nothing(filled: SQLiteProfileStore, tmp_path: Path) -> None:
    """A directory that keeps anything stays as it is; one that holds only a stopped daemon's lock is used."""
    backup(filled.data_dir, tmp_path / "copy")
    before = files_of(filled.data_dir / "artefacts")
    with pytest.raises(UsageError, match="cannot restore into"):
        restore(tmp_path / "copy", filled.data_dir)
    assert files_of(filled.data_dir / "artefacts") == before
    empty = tmp_path / "empty"
    (empty / "spool").mkdir(mode=0o700, parents=True)
    empty.chmod(0o700)
    (empty / "lock").write_text("1\n")
    restore(tmp_path / "copy", empty)
    assert stored(empty) == stored(filled.data_dir)
    assert not (empty / "lock").exists()


@pytest.mark.parametrize("is_there", [False, True])
def test_what_is_recorded_while_a_backup_is_copied_stays(
    filled: SQLiteProfileStore, tmp_path: Path, make_incident: Maker, is_there: bool
) -> None:
    """Somebody stores an incident in the directory after it was found empty: refused, and theirs is there."""
    backup(filled.data_dir, tmp_path / "copy")
    fresh = tmp_path / "fresh"
    if is_there:
        fresh.mkdir(mode=0o700)
    theirs = make_incident(payload=b"theirs")
    pid = os.fork()
    if pid == 0:
        has_begun = False

        def hook(event: str, words: tuple[object, ...]) -> None:
            nonlocal has_begun
            if event == "open" and str(words[0]).endswith(".part/monitord.db") and not has_begun:
                has_begun = True
                with closing(open_store(fresh)) as store:
                    store.save_incident(theirs)

        sys.addaudithook(hook)
        try:
            restore(tmp_path / "copy", fresh)
        except UsageError as error:
            os._exit(17 if "cannot restore into" in str(error) and has_begun else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 17
    assert stored(fresh) == {theirs.correlation_id}
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.root
def test_root_restores_for_whom_the_directory_belongs_to(filled: SQLiteProfileStore, tmp_path: Path) -> None:
    """A service's empty directory is the service's afterwards, all of it."""
    backup(filled.data_dir, tmp_path / "copy")
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65534, 65534)
    restore(tmp_path / "copy", theirs)
    assert {path.stat().st_uid for path in [theirs, *theirs.rglob("*")]} == {65534}
