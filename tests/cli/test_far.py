"""What the commands say of artefacts that are sent elsewhere."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord import config
from monitord.cli.context import CliContext
from monitord.daemon import uploader
from monitord.errors import StorageError
from monitord.mcp_server.asking import Asking
from monitord.mcp_server.output_filter import fence_of
from monitord.recorder.artefact_stores import artefact_cache
from monitord.storage import SQLiteProfileStore
from monitord.storage.artefacts import StorageMetadata
from monitord.web.answers.recorder import overview as recorder_answer
from monitord.web.question import Question

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def far_config(tmp_path: Path, environment: dict[str, str]) -> Path:
    """A configuration that sends to another folder, in force for every command."""
    (tmp_path / "far").mkdir(mode=0o700)
    path = tmp_path / "far.toml"
    path.write_text(f'[storage]\nurl = "file://{tmp_path / "far"}?quarantine={tmp_path / "q"}"\n')
    environment["MONITORD_CONFIG"] = str(path)
    return path


def test_reveal_prints_where_the_evidence_lies(
    far_config: Path, here, store: SQLiteProfileStore, new_incident, data_dir: Path, tmp_path: Path
) -> None:
    """A path while it is here, the URL without its options when it was sent, exit 3 when there is none."""
    record = next(row for row in store.save_incident(new_incident()) if row.artefact_key)
    near = here("reveal", str(record.id))
    assert (near.code, near.out) == (0, f"{data_dir / 'artefacts' / (record.artefact_key or '')}\n")
    assert Path(near.out.strip()).exists()
    assert uploader.run(config.load(far_config).settings, data_dir)
    there = here("reveal", str(record.id))
    assert there.out == f"file://{tmp_path / 'far' / (record.artefact_key or '')}\n"
    store.drop_evidence([record.correlation_id])
    gone = here("reveal", record.correlation_id)
    assert (gone.code, gone.out) == (3, "")
    assert f"monitord show {record.correlation_id[:8]}" in gone.err
    assert here("reveal", "999").code == 3


def test_status_tells_what_was_sent_and_what_waits(
    far_config: Path, here, store: SQLiteProfileStore, new_incident, data_dir: Path
) -> None:
    store.save_incident(new_incident())
    assert "uploader" not in json.loads(here("status", "-o", "json").out)
    assert uploader.run(config.load(far_config).settings, data_dir)
    told = json.loads(here("status", "-o", "json").out)["uploader"]
    assert told["moved"] > 0
    assert (told["waiting_artefacts"], told["last_error"]) == (0, None)
    assert told["url"].startswith("file://")
    shown = here("storage", "status", "--config", str(far_config)).out
    assert [line for line in shown.splitlines() if line.startswith("remote ")], shown


def test_secrets_in_urls_are_shown_to_nobody(here, tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[storage]\nurl = "redis://:hunter2@host/0?ttl=7d"\narchive_url = "shelf://x?token=hunter2"\n'
    )
    for words in (["config", "show"], ["config", "show", "--origin"], ["config", "show", "--json"]):
        shown = here(*words, "--config", str(path))
        assert shown.code == 0
        assert "hunter2" not in shown.out + shown.err
        assert "redis://***@host/0?ttl=7d" in shown.out
    path.write_text('[storage]\nurl = "redis://:hunter2@host:port/0"\n')
    refused = here("config", "validate", str(path))
    assert refused.code == 6
    assert "hunter2" not in refused.err
    assert f"{path}:2: invalid storage.url redis://***@host:port/0: its port" in refused.err


def test_what_a_process_reads_twice_from_far_away_comes_from_its_cache(
    store: SQLiteProfileStore,
    new_incident,
    data_dir: Path,
    far_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`storage.cache_mb`: a server that is asked again does not ask the remote provider again; 0 switches it off."""
    record = next(row for row in store.save_incident(new_incident()) if row.artefact_key)
    assert uploader.run(config.load(far_config).settings, data_dir)
    key = record.artefact_key or ""
    context = CliContext(config_flag=far_config, data_dir_flag=data_dir)
    with context.workspace.reader() as reader:
        first = reader.payload(key, 1 << 20)
    (tmp_path / "far" / key).unlink()
    with context.workspace.reader() as reader:
        assert reader.payload(key, 1 << 20) == first
    counts = context.workspace.cache_counts()
    assert counts is not None
    assert (counts.hits, counts.misses, counts.entries) == (1, 1, 1)
    assert recorder_answer(Question(context.workspace))["cache"] == asdict(counts)
    assert Asking(context.workspace, fence_of(raw=False)).system_now().cache == asdict(counts)
    far_config.write_text(far_config.read_text() + "cache_mb = 0\n")
    with context.workspace.reader() as reader, pytest.raises(StorageError):
        reader.payload(key, 1 << 20)
    assert context.workspace.cache_counts() is None


def test_the_cache_has_the_room_the_age_and_the_order_of_its_settings(far_config: Path) -> None:
    """What was asked for lately stays under lru and goes under fifo; nothing is older than its time."""
    written = far_config.read_text()

    def still_has_the_first(**wanted: object) -> bool:
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in wanted.items())
        far_config.write_text(written + lines)
        cache = artefact_cache(config.load(far_config).settings.storage)
        assert cache is not None
        for number in range(60):
            cache.set(f"k{number}", b"x" * 500, StorageMetadata(f"k{number}", 500, NOW, NOW, "sha256:0"))
            cache.asked("k0")
            assert cache.counts().size_bytes <= cache.config.limit_bytes
        time.sleep(0.06)
        return cache.get("k0") is not None

    assert still_has_the_first(cache_mb=0.02, cache_eviction="lru")
    assert not still_has_the_first(cache_mb=0.02, cache_eviction="fifo")
    assert still_has_the_first(cache_mb=16, cache_eviction="fifo")
    assert not still_has_the_first(cache_mb=16, cache_eviction="fifo", cache_ttl_s=0.05)
