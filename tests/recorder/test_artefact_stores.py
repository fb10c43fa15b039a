"""What `[storage]` turns into: what the recorder holds, what readers see, what a start refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord import config
from monitord.config import LoadedConfig
from monitord.daemon import uploader
from monitord.errors import ConfigError, PermissionDeniedError, UsageError
from monitord.model import CaptureStatus, Incident
from monitord.plugins import FORGETS
from monitord.recorder.artefact_stores import check_storage, open_full_store, open_local_store, place_of
from monitord.recorder.uploader_status import read_uploader_status
from monitord.storage import StoreReader, open_store
from monitord.storage.artefacts import WrongKeyError
from monitord.storage.artefacts.errors import AccessDeniedError
from monitord.storage.artefacts.keyring import new_key
from monitord.storage.artefacts.providers import PROVIDERS, open_provider
from monitord.storage.state.opening import BACKENDS, open_backend
from tests.fakes import a_capture, an_alert

Load = Callable[..., LoadedConfig]
LARGE = replace(a_capture("profile"), payload=os.urandom(1_500_000))
INCIDENT = Incident("abcdefabcdef", an_alert(), None, captures=(a_capture("dump"), LARGE))


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A configuration from the lines of its [storage] section."""

    def make(*lines: str) -> LoadedConfig:
        path = tmp_path / "config.toml"
        path.write_text("\n".join(["[retention]", "min_free_disk_mb = 0", "[storage]", *lines, ""]))
        return config.load(path, env={})

    return make


@pytest.fixture
def far(tmp_path: Path) -> str:
    """A line that sends artefacts to another folder."""
    (tmp_path / "far").mkdir(mode=0o700)
    return f'url = "file://{tmp_path / "far"}"'


@pytest.mark.parametrize(
    ("open_it", "table"), [(open_backend, BACKENDS), (open_provider, PROVIDERS)], ids=["state", "artefacts"]
)
def test_what_ends_with_its_process_is_offered_by_no_message(open_it: Any, table: dict[str, Any]) -> None:
    """A scheme that nobody has is refused with those that a configuration may name: all others there are."""
    with pytest.raises((ConfigError, UsageError)) as refused:
        open_it("nope://x")
    offered = str(refused.value).partition("expected one of ")[2].split(", ")
    assert offered == sorted(f"{scheme}://" for scheme in table if scheme != FORGETS)
    assert FORGETS in table


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('url = "nonsense"', "expected a URL such as"),
        ('url = "redis://h:port/0"', "its port is not a number from 0 to 65535"),
        ('url = "memory://"', "ends with its process"),
        *(
            (f'url = "{scheme}://h/x"', f"unsupported scheme {scheme}://, expected one of az://, file://")
            for scheme in ("mysql", "dynamodb", "firestore", "keydb", "http", "postgresql")
        ),
        ('archive_url = "ftp://h"', "unsupported scheme ftp://"),
        ('archive_url = "s3://b/x?a=1&a=2"', "given twice"),
        ('encryption_key = "secret"', 'expected "file:/PATH"'),
        ('old_encryption_keys = ["secret"]', 'expected "file:/PATH"'),
        ('old_encryption_keys = ["file:/key"]', "expected with storage.encryption_key"),
        ("compression_level = 20", "a whole number of at most 19"),
        ("spool_mb = 0", "a number of at least 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(load: Load, line: str, words: str) -> None:
    """File, line, key and what was expected; never the secret that somebody put in the wrong place."""
    with pytest.raises(ConfigError) as refusal:
        check_storage(load(line))
    assert f"config.toml:4: invalid storage.{line.split()[0]}" in str(refusal.value)
    assert str(refusal.value).count("invalid") == 1
    assert words in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_the_recorder_does_not_start_with_a_key_that_can_not_be_had(load: Load, tmp_path: Path) -> None:
    """Nothing would be encrypted as asked: said at the start, not at the first capture."""
    with pytest.raises(ConfigError, match="NOT_SET_HERE"):
        open_local_store(load('encryption_key = "environment:NOT_SET_HERE"').settings)
    key = tmp_path / "key"
    key.write_text(new_key())
    key.chmod(0o644)
    with pytest.raises(PermissionDeniedError, match="chmod 600"):
        open_local_store(load(f'encryption_key = "file:{key}"').settings)
    with pytest.raises(ConfigError, match="encryption_key"):
        open_local_store(load(f'old_encryption_keys = ["file:{key}"]').settings)


def test_encrypted_evidence_is_encrypted_here_and_there_and_read_with_the_key(
    load: Load, far: str, tmp_path: Path
) -> None:
    """On this disk, on its way and far away; without the key it says so."""
    key = tmp_path / "key"
    key.write_text(new_key())
    key.chmod(0o600)
    secret = b"the secret function 97\n" * 50
    incident = replace(INCIDENT, captures=(replace(a_capture("profile"), payload=secret),))
    settings = load(far, f'encryption_key = "file:{key}"', "compression_level = 0").settings
    with closing(open_store(tmp_path / "data", open_artefacts=open_local_store(settings))) as store:
        (record,) = store.save_incident(incident)

    def all_files() -> bytes:
        folders = (tmp_path / "data" / "artefacts", tmp_path / "far")
        return b"".join(path.read_bytes() for folder in folders for path in folder.iterdir())

    assert b"secret function" not in all_files()
    assert uploader.run(settings, tmp_path / "data")
    assert list((tmp_path / "data" / "artefacts").iterdir()) == []
    assert b"secret function" not in all_files()
    reader = StoreReader(tmp_path / "data", open_full_store(settings))
    assert reader.artefact(record.artefact_key or "")[1] == secret
    with pytest.raises(WrongKeyError):
        StoreReader(tmp_path / "data", open_full_store(load(far).settings)).artefact(
            record.artefact_key or ""
        )


def test_evidence_that_finds_no_room_on_its_way_leaves_the_incident_and_the_reason(
    load: Load, far: str, tmp_path: Path
) -> None:
    """What is small is kept all the same; the refusal says what to look at."""
    settings = load(far, "spool_mb = 1").settings
    with closing(open_store(tmp_path / "data", open_artefacts=open_local_store(settings))) as store:
        store.save_incident(INCIDENT)
        assert store.verify() == []
    with StoreReader(tmp_path / "data") as reader:
        view = reader.incident("abcdefabcdef")
    dump, profile = sorted(view.captures, key=lambda record: record.role)
    assert (dump.status, bool(dump.artefact_key)) == (CaptureStatus.OK, True)
    assert (profile.status, profile.artefact_key) == (CaptureStatus.REFUSED, None)
    assert "storage.spool_mb" in (profile.failure_reason or "")
    assert profile.fix == "monitord status"
    assert view.record == dump
    assert [step.status for step in view.not_captured] == ["refused"]


def test_what_was_sent_is_not_missing_and_counts_in_the_budget(load: Load, far: str, tmp_path: Path) -> None:
    """The recorder, which does not see it, says neither that it is lost nor that it takes no room."""
    settings = load(far, "spool_mb = 10").settings
    with closing(open_store(tmp_path / "data", open_artefacts=open_local_store(settings))) as store:
        store.save_incident(INCIDENT)
        before = store.usage().artefact_bytes
        assert before > 1_500_000
        assert uploader.run(settings, tmp_path / "data")
        assert store.usage().artefact_bytes == before
        assert store.adopt() == 0
        assert [record.failure_reason for record in store.fetch_recent(9)] == [None]
        store.drop_evidence(["abcdefabcdef"])
        assert store.usage().artefact_bytes < 10_000
    assert uploader.run(settings, tmp_path / "data")
    assert len(list((tmp_path / "far").iterdir())) == 1, "the summary alone"
    with closing(open_store(tmp_path / "data", open_artefacts=open_full_store(settings))) as store:
        assert store.verify() == []
    told = read_uploader_status(tmp_path / "data")
    assert told is not None
    assert (told.moved, told.deleted, told.waiting_artefacts, told.last_error) == (4, 2, 0, None)


def test_a_far_artefact_that_is_gone_is_found_out_by_who_can_see(
    load: Load, far: str, tmp_path: Path
) -> None:
    settings = load(far, "spool_mb = 10").settings
    with closing(open_store(tmp_path / "data", open_artefacts=open_local_store(settings))) as store:
        store.save_incident(INCIDENT)
    assert uploader.run(settings, tmp_path / "data")
    next((tmp_path / "far").glob("*-profile.*")).unlink()
    with closing(open_store(tmp_path / "data", open_artefacts=open_full_store(settings))) as store:
        assert len(store.verify()) == 1
        store.adopt()
        assert [record.failure_reason is None for record in store.fetch_recent(9)] == [False]
        assert store.verify() == []


@pytest.mark.parametrize("sends", [False, True])
def test_old_captures_move_to_the_archive_and_are_read_and_deleted_there(
    load: Load, far: str, tmp_path: Path, sends: bool
) -> None:
    """From this disk, or from the remote provider; the recorder deletes without looking into the archive."""
    (tmp_path / "archive").mkdir(mode=0o700)
    lines = [f'archive_url = "file://{tmp_path / "archive"}"', "archive_after_h = 0", "spool_mb = 10"]
    settings = load(*lines, *([far] if sends else [])).settings
    data_dir = tmp_path / "data"
    with closing(open_store(data_dir, open_artefacts=open_local_store(settings))) as store:
        record = next(row for row in store.save_incident(INCIDENT) if row.role == "profile")
        assert uploader.run(settings, data_dir)
        archived = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
        assert len(archived) == 2, "both captures, not what the incident says of itself"
        told = read_uploader_status(data_dir)
        assert told is not None
        assert told.archiving == "archived 2 and deleted 0"
        kept = tmp_path / "far" if sends else data_dir / "artefacts"
        assert sum(path.stat().st_size for path in kept.iterdir()) < 10_000
        reader = StoreReader(data_dir, open_full_store(settings))
        assert reader.artefact(record.artefact_key or "")[1] == LARGE.payload
        with closing(open_store(data_dir, open_artefacts=open_full_store(settings))) as whole:
            assert whole.verify() == []
        store.adopt()
        store.settle()
        assert [row.failure_reason for row in store.fetch_recent(9)] == [None]
        where = place_of(settings.storage, data_dir / "artefacts", record.artefact_key or "")
        assert where.startswith(f"file://{tmp_path / ('far' if sends else 'archive')}/")
        store.delete_incident("abcdefabcdef")
    assert uploader.run(settings, data_dir)
    assert [path for path in (tmp_path / "archive").rglob("*") if path.is_file()] == []
    assert list(kept.iterdir()) == []


def test_a_lost_database_comes_back_although_captures_are_archived(load: Load, tmp_path: Path) -> None:
    """By the recorder itself, which sees only their pointers."""
    (tmp_path / "archive").mkdir(mode=0o700)
    settings = load(f'archive_url = "file://{tmp_path / "archive"}"', "archive_after_h = 0").settings
    data_dir = tmp_path / "data"
    with closing(open_store(data_dir, open_artefacts=open_local_store(settings))) as store:
        before = [row.role for row in store.save_incident(INCIDENT)]
    assert uploader.run(settings, data_dir)
    (data_dir / "monitord.db").unlink()
    open_store(data_dir, open_artefacts=open_local_store(settings)).close()
    with StoreReader(data_dir) as reader:
        assert [row.role for row in reader.incident("abcdefabcdef").captures] == before
    with closing(open_store(data_dir, open_artefacts=open_full_store(settings))) as store:
        assert store.verify() == []
    assert not (data_dir / "quarantine").exists()


def test_a_recorder_without_a_url_loads_no_client_and_no_cipher() -> None:
    """And with one, still no client: only its uploader has that."""
    code = (
        "import sys, tempfile, pathlib\n"
        "import monitord.daemon.__main__, monitord.daemon.loop\n"
        "from monitord import config\n"
        "from monitord.recorder.artefact_stores import open_local_store\n"
        "from monitord.storage import open_store\n"
        "folder = pathlib.Path(tempfile.mkdtemp())\n"
        "settings = config.load(pathlib.Path('/dev/null')).settings\n"
        "open_store(folder / 'data', open_artefacts=open_local_store(settings)).close()\n"
        "plain = set(sys.modules)\n"
        "(folder / 'config').write_text('[storage]\\nurl = \"s3://bucket/prefix\"\\n')\n"
        "settings = config.load(folder / 'config').settings\n"
        "open_store(folder / 'data', open_artefacts=open_local_store(settings)).close()\n"
        "print(*sorted(plain & {'cachetools', 'monitord.daemon.upload_supervisor', 'monitord.storage.artefacts.keyring',"
        " 'monitord.storage.artefacts.wrappers.spooled'}))\n"
        "print(*sorted({'redis', 'obstore', 'cryptography'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


KEEPS_ALL = """
from pathlib import Path
from monitord.storage.artefacts.errors import AccessDeniedError
from monitord.storage.artefacts.providers.file import FileStorageProvider

class KeepsAll(FileStorageProvider):
    def delete(self, key):
        raise AccessDeniedError("it may be written, and not deleted from")

def open_it(url):
    return KeepsAll(Path(url.path))
"""


@pytest.mark.parametrize("url", ["url", "archive_url"])
def test_where_nothing_may_be_deleted_everything_arrives_all_the_same(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A deletion that is refused is told, and holds up no upload."""
    site, data = tmp_path / "site", tmp_path / "data"
    (site / "keeps_all-1.dist-info").mkdir(parents=True)
    (site / "keeps_all.py").write_text(KEEPS_ALL)
    (site / "keeps_all-1.dist-info" / "METADATA").write_text("Name: keeps-all\nVersion: 1\n")
    (site / "keeps_all-1.dist-info" / "entry_points.txt").write_text(
        "[monitord.storage_providers]\nkeepsall = keeps_all:open_it\n"
    )
    monkeypatch.syspath_prepend(site)
    (tmp_path / "there").mkdir(mode=0o700)
    lines = [f'{url} = "keepsall://{tmp_path / "there"}"']
    settings = load(*lines, *(["archive_after_h = 0"] if url == "archive_url" else [])).settings
    with closing(open_store(data, open_artefacts=open_local_store(settings))) as store:
        first = store.save_incident(INCIDENT)
        assert uploader.run(settings, data)
        store.delete_incident(INCIDENT.correlation_id)
        second = store.save_incident(replace(INCIDENT, correlation_id="bcdefabcdefa"))
    with pytest.raises(AccessDeniedError, match="not deleted from"):
        uploader.run(settings, data)
    there = {path.name for path in (tmp_path / "there").iterdir()} | {
        path.parent.name for path in (tmp_path / "there").glob("*/*")
    }
    assert {record.artefact_key for record in (*first, *second)} <= there
    told = read_uploader_status(data)
    assert told is not None
    assert "not deleted from" in (told.last_error or "")


def test_a_file_without_a_row_waits_until_it_is_adopted(load: Load, far: str, tmp_path: Path) -> None:
    """kill -9 between an artefact and its row: an uploader that is still alive must not send it where the next
    recorder doesn't look, or nobody would ever own it."""
    settings = load(far).settings
    with closing(open_store(tmp_path / "killed")) as store:
        store.save_incident(replace(INCIDENT, correlation_id="bcdefabcdefa"))
    with closing(open_store(tmp_path / "data", open_artefacts=open_local_store(settings))) as store:
        store.save_incident(INCIDENT)
        shutil.copytree(
            tmp_path / "killed" / "artefacts", tmp_path / "data" / "artefacts", dirs_exist_ok=True
        )
        assert uploader.run(settings, tmp_path / "data")
        waiting = {path.name for path in (tmp_path / "data" / "artefacts").iterdir()}
        assert waiting == {path.name for path in (tmp_path / "killed" / "artefacts").iterdir()}
        assert store.adopt() > 0
    assert uploader.run(settings, tmp_path / "data")
    assert list((tmp_path / "data" / "artefacts").iterdir()) == []
    with closing(open_store(tmp_path / "data", open_artefacts=open_full_store(settings))) as store:
        assert store.verify() == []
        assert len(store.fetch_recent(9)) == 2
