"""How full the store is, is one number: by whichever way it is asked for, wherever its artefacts lie."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord import config
from monitord.daemon import uploader
from monitord.daemon.storage_health import watch
from monitord.doctor import Surroundings
from monitord.doctor.data import check_quota
from monitord.errors import StorageError
from monitord.jobs import RetentionLimits, RetentionManager
from monitord.model import Incident
from monitord.recorder.artefact_stores import open_local_store
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.readonly import stored_bytes
from monitord.storage.schema import DATABASE_NAME
from monitord.storage.usage import usage_of
from tests.cli.conftest import Cli
from tests.cli.test_acting import status_of
from tests.mcp_server.talking import over_stdio

QUARANTINED_BYTES = 60_000_000
Maker = Callable[..., Incident]


@pytest.fixture(params=["here", "far"])
def filled(
    request: pytest.FixtureRequest,
    store: SQLiteProfileStore,
    new_incident: Maker,
    tmp_path: Path,
    environment: dict[str, str],
) -> Path:
    """A directory with everything that counts: incidents, 60 MB in quarantine, what lies aside or was left."""
    for number in range(3):
        store.save_incident(new_incident(name=f"python{number}"))
    store.close()
    data_dir, context = store.data_dir, tmp_path / "config.toml"
    context.write_text("")
    if request.param == "far":
        (tmp_path / "far").mkdir(mode=0o700)
        context.write_text(f'[storage]\nurl = "file://{tmp_path / "far"}?quarantine={tmp_path / "q"}"\n')
        assert uploader.run(config.load(context).settings, data_dir)
        assert list((data_dir / "artefacts").glob("*profile*")) == []
    environment["MONITORD_CONFIG"] = str(context)
    sizes = {"quarantine/x": QUARANTINED_BYTES, "monitord.db.damaged-1": 50_000, "spool/dump": 9000}
    for name, size in sizes.items():
        (data_dir / name).parent.mkdir(exist_ok=True, mode=0o700)
        with (data_dir / name).open("wb") as file:
            file.truncate(size)
    return data_dir


def metrics_of(text: str) -> int:
    found = re.findall(r"^monitord_store_bytes\{part=\"\w+\"\} (\S+)$", text, re.MULTILINE)
    return int(sum(map(float, found)))


def doctors(data_dir: Path, *, is_remote: bool) -> int:
    """Found by trying: the doctor says whether a budget is kept, in MB."""

    def is_kept(budget_bytes: int) -> bool:
        here = Surroundings(data_dir=data_dir, version="x", max_total_bytes=budget_bytes, is_remote=is_remote)
        (check,) = check_quota(here)
        return check.outcome == "ok"

    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_kept(middle) else (middle + 1, high)
    return low


def test_every_way_in_tells_the_same_bytes(filled: Path, here: Cli, environment: dict[str, str]) -> None:
    """status, storage status, doctor, metrics and retention agree to the byte."""
    settings = config.load(Path(environment["MONITORD_CONFIG"])).settings
    store = open_store(filled, open_artefacts=open_local_store(settings))
    usage = store.usage()
    answers = [
        json.loads(here(*words, "-o", "json").out)["usage"] for words in (["status"], ["storage", "status"])
    ]
    limits = RetentionLimits(min_free_disk_bytes=0)
    dry = RetentionManager(store, limits).purge_expired(datetime.now(UTC), dry_run=True)
    told = {
        "status": answers[0]["total_bytes"],
        "storage status": answers[1]["total_bytes"],
        "metrics": metrics_of(here("storage", "metrics").out),
        "doctor": doctors(filled, is_remote=bool(settings.storage.url)),
        "retention": dry.bytes_before,
    }
    store.close()
    assert told == dict.fromkeys(told, usage.total_bytes)
    assert usage.total_bytes > QUARANTINED_BYTES
    assert usage.temporary_bytes == 0, "nobody captures: what lies in the spool was left there"
    for answer in answers:
        assert {**answer, "free_disk_bytes": 0, "budget_bytes": 0} == {
            **{
                name: getattr(replace(usage, free_disk_bytes=0), name)
                for name in answer
                if name != "budget_bytes"
            },
            "budget_bytes": 0,
        }


def test_where_all_lies_here_it_is_what_lies_here(
    filled: Path, here: Cli, environment: dict[str, str]
) -> None:
    """And where it lies far away, what the rows say of it counts in its place."""
    used = json.loads(here("storage", "status", "-o", "json").out)["usage"]
    lying = sum(path.stat().st_size for path in filled.rglob("*") if path.is_file())
    if config.load(Path(environment["MONITORD_CONFIG"])).settings.storage.url:
        assert used["artefact_bytes"] > QUARANTINED_BYTES
        assert used["total_bytes"] > lying
    else:
        assert used["total_bytes"] == lying
    assert "set aside" in here("storage", "status").out


def test_what_an_assistant_is_told_is_what_the_recorder_counted(
    filled: Path, environment: dict[str, str]
) -> None:
    """The recorder counts once for its own look at the storage; the server passes that on."""
    settings = config.load(Path(environment["MONITORD_CONFIG"])).settings
    store = open_store(filled, open_artefacts=open_local_store(settings))
    monitor = watch(filled, store.usage, 0, print)
    monitor.check_storage()
    with hold(filled / DAEMON_LOCK, "test"):
        told = status_of(os.getpid(), storage=monitor.as_json())
        (filled / "status.json").write_text(json.dumps(told, default=str))
        with over_stdio(filled) as asker:
            answer = asker.told("system_now")
    assert answer["status"]["storage"]["counters"]["storage_used_bytes"] == store.usage().artefact_bytes
    store.close()


def test_a_recorder_that_has_no_database_yet_is_told_all_the_same(tmp_path: Path) -> None:
    """Between its lock and its database there is a moment, in which `status` may ask how much lies far away."""
    with pytest.raises(StorageError, match="cannot open"):
        stored_bytes(tmp_path / DATABASE_NAME)
    tmp_path.chmod(0o700)
    assert usage_of(tmp_path, is_remote=True).artefact_bytes == 0
