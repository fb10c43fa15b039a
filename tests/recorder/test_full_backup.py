"""Backups, key rotation and the probe where artefacts are encrypted, sent far away and archived."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from monitord import config
from monitord.cli import main
from monitord.config import Settings
from monitord.daemon import uploader
from monitord.model import Incident
from monitord.recorder.artefact_stores import open_full_store, open_local_store
from monitord.storage import StoreReader, open_store
from monitord.storage.artefacts.keyring import new_key
from monitord.storage.backup import backup
from monitord.storage.restoring import restore
from tests.fakes import a_capture, an_alert
from tests.servers import RedisServer, S3Server

LARGE = replace(a_capture("profile"), payload=os.urandom(1_500_000))
INCIDENT = Incident("abcdefabcdef", an_alert(), None, captures=(a_capture("dump"), LARGE))


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / f"{name}-key" for name in ("old", "new")}
    for path in made.values():
        path.write_text(new_key())
        path.chmod(0o600)
    return made


@pytest.fixture(params=["archive", "redis", "s3", "redis+archive"])
def lines(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Where artefacts go, as lines of [storage]."""
    found = ["spool_mb = 10"]
    if "redis" in request.param:
        redis: RedisServer = request.getfixturevalue("redis_server")
        found.append(f'url = "{redis.url}?prefix={tmp_path.name}:"')
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3_server")
        found.append(f'url = "s3://{s3.new_bucket()}/evidence?{s3.options(tmp_path)}"')
    if "archive" in request.param:
        (tmp_path / "archive").mkdir(mode=0o700)
        found += [f'archive_url = "file://{tmp_path / "archive"}"', "archive_after_h = 0"]
    return found


def load(tmp_path: Path, *lines: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text("\n".join(["[retention]", "min_free_disk_mb = 0", "[storage]", *lines, ""]))
    return config.load(path, env={}).settings


def sent(settings: Settings, data_dir: Path) -> str:
    """Save the incident and have it sent, and archived; the key of its profile."""
    with closing(open_store(data_dir, open_artefacts=open_local_store(settings))) as store:
        record = next(row for row in store.save_incident(INCIDENT) if row.role == "profile")
    assert uploader.run(settings, data_dir)
    return record.artefact_key or ""


def test_what_is_encrypted_far_or_archived_comes_back_from_a_backup_alone(
    tmp_path: Path, keys: dict[str, Path], lines: list[str]
) -> None:
    """Restored where there is neither the remote provider nor the archive: with the key, everything is there."""
    encrypted = f'encryption_key = "file:{keys["old"]}"'
    settings, data_dir = load(tmp_path, encrypted, *lines), tmp_path / "data"
    key = sent(settings, data_dir)
    manifest = backup(data_dir, tmp_path / "copy", open_artefacts=open_full_store(settings))
    assert manifest.missing == ()
    restore(tmp_path / "copy", tmp_path / "again")
    alone = load(tmp_path, encrypted)
    with StoreReader(tmp_path / "again", open_full_store(alone)) as reader:
        assert reader.artefact(key)[1] == LARGE.payload
    with closing(open_store(tmp_path / "again", open_artefacts=open_full_store(alone))) as store:
        store.adopt()
        assert store.verify() == []
        assert [row.failure_reason for row in store.fetch_recent(9)] == [None]


@pytest.fixture
def monitord(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The command line with this configuration: exit code and stdout."""

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*words, "--config", str(tmp_path / "config.toml"), "--data-dir", str(tmp_path / "data")])
        return int(end.value.code or 0), capfd.readouterr().out

    return run


def test_after_a_rotation_the_new_key_opens_everything_wherever_it_lies(
    tmp_path: Path, keys: dict[str, Path], lines: list[str], monitord: Callable[..., tuple[int, str]]
) -> None:
    """Near, far and archived; then the old key may be lost."""
    key = sent(load(tmp_path, f'encryption_key = "file:{keys["old"]}"', *lines), tmp_path / "data")
    both = [
        f'encryption_key = "file:{keys["new"]}"',
        f'old_encryption_keys = ["file:{keys["old"]}"]',
    ]
    load(tmp_path, *both, *lines)
    code, said = monitord("storage", "rotate-key")
    assert code == 0
    assert not said.startswith("0 of")
    assert monitord("storage", "rotate-key")[1].startswith("0 of")
    keys["old"].unlink()
    settings = load(tmp_path, both[0], *lines)
    with StoreReader(tmp_path / "data", open_full_store(settings)) as reader:
        assert reader.artefact(key)[1] == LARGE.payload
    assert monitord("storage", "verify")[0] == 0


def test_status_probes_every_place_and_leaves_nothing_there(
    tmp_path: Path, lines: list[str], monitord: Callable[..., tuple[int, str]]
) -> None:
    """This disk, the remote provider, the archive: each is written to, read and deleted from."""
    settings = load(tmp_path, *lines)
    sent(settings, tmp_path / "data")

    def listed() -> list[str]:
        with closing(open_full_store(settings)(tmp_path / "data" / "artefacts").artefacts) as artefacts:
            return list(artefacts.list())

    before = listed()
    code, said = monitord("storage", "status", "--json")
    told = json.loads(said)
    assert (code, all(check["ok"] for check in told["checks"])) == (0, True)
    assert len(told["places"]) == 1 + sum("url = " in line for line in lines)
    assert listed() == before
