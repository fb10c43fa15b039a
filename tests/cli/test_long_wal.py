"""A write-ahead log that somebody keeps long: status, doctor and the page say how long, who, and what to do."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from monitord.actions.recorder import overview
from monitord.actions.workspace import Workspace
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.storage import open_store
from monitord.storage.long_wal import LONG_BYTES, long_wal
from tests.cli.conftest import Cli

READER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN")
held.execute("SELECT count(*) FROM incident").fetchall()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def reading(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that has a transaction open."""
    words = [sys.executable, "-c", READER, str(database)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        yield program
        program.communicate("")


def grow(data_dir: Path) -> None:
    """Write as much as the recorder does in an hour, and as it does it."""
    with closing(open_store(data_dir)) as store:
        for number in range(4 * LONG_BYTES // 8_000):
            store.set_state("detection.memory", f"{number:08d}" * 1_000)


@contextmanager
def written_and_left(data_dir: Path) -> Iterator[None]:
    """A WAL that was not folded back and that nobody reads."""
    with closing(sqlite3.connect(data_dir / "monitord.db")) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("CREATE TABLE filler (word)")
        writer.execute("INSERT INTO filler VALUES (zeroblob(?))", (2 * LONG_BYTES,))
        writer.commit()
        yield


def shown(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.skipif(sys.platform != "linux", reason="who reads is known from /proc/locks")
def test_a_long_reader_is_named_with_what_to_do(here: Cli, incident: object, data_dir: Path) -> None:
    """While it lasts; what it kept is given back by the next writes after it."""
    database = data_dir / "monitord.db"
    with reading(database) as program:
        grow(data_dir)
        assert database.with_name("monitord.db-wal").stat().st_size > LONG_BYTES
        who = f"pid {program.pid}, python"
        for words in (("status",), ("doctor",)):
            said = shown(here(*words).out)
            assert re.search(r"the write-ahead log \(WAL\) is [0-9.]+ MB long: pid", said)
            assert who in said
            assert f"ps -fp {program.pid} # let it finish or end it" in said
        told = json.loads(here("status", "-o", "json").out)["long_wal"]
        assert (told["holders"], told["bytes"] > LONG_BYTES) == ([program.pid], True)
        page = overview(Workspace(data_dir)).as_json()["long_wal"]
        assert page is not None
        assert who in page["detail"]
    grow(data_dir)
    assert long_wal(data_dir) is None
    assert json.loads(here("status", "-o", "json").out)["long_wal"] is None
    assert "WAL" not in here("status").out + here("doctor").out


def test_who_is_not_seen_is_unknown_and_of_a_store_that_nobody_tends_it_is_said(
    here: Cli, incident: object, data_dir: Path
) -> None:
    with written_and_left(data_dir):
        said = shown(here("status").out)
        assert "nobody records, and so nobody folds it back; monitord service start" in said
        write_status(data_dir, {"taken_at": "2026-01-01T00:00:00+00:00"})
        with hold(data_dir / DAEMON_LOCK, "taken"):
            said = shown(here("doctor").out)
    assert "who keeps it from being folded back is unknown" in said
    assert f"sudo fuser -v {data_dir}/monitord.db" in said
