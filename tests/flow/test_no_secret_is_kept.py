"""A real recorder at debug level beside processes that hold secrets wherever they can: none is kept or logged."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.storage.cells import packed_of
from tests.flow.recorder import OURS, QUICK, Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc, prctl(2)")

MADE = random.Random(11)
PLACES = ("argv", "environment", "folder", "file", "thread", "source", "local", "module", "socket")
SECRETS = {
    place: place.title()
    + "Zq3v"
    + "".join(MADE.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789abcdefghijkm", k=14))
    for place in PLACES
}
# Everything that the recorder reads of a process has a secret in it, in a shape that gives it away.
PROGRAM = """
import ctypes, os, socket, sys, threading, time
password = "{source}"  # the token is {source}
held = open("api_key={file}", "w")
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0token={socket}")
def burn(credential="{local}"):
    end = time.monotonic() + 300
    while time.monotonic() < end: check(password="{source}")
def check(password):
    return sum(range(2000)) if password != "{source}" else 0
thread = threading.Thread(target=time.sleep, args=(300,)); thread.start()
open(f"/proc/self/task/{{thread.native_id}}/comm", "w").write("pw={thread}"[:15])
burn()
"""
RULES = f"""\
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 3
window_s = 1
clear_below = 1
{OURS}
[log]
level = "debug"
"""


@pytest.fixture
def kept(recorder: Callable[..., Recorder], tmp_path: Path) -> Recorder:
    """A recorder that has caught such a process, profiled it, and ended."""
    daemon = recorder(RULES, settings=QUICK).start()
    folder = tmp_path / f"password={SECRETS['folder']}"
    folder.mkdir()
    script = folder / f"token-{SECRETS['module']}.py"
    script.write_text(PROGRAM.format(**SECRETS))
    words = ["--verbose=told", "--password", SECRETS["argv"], f"mysql://bob:{SECRETS['argv']}@db/x"]
    secret = {"DB_PASSWORD": SECRETS["environment"], "API_TOKEN": SECRETS["environment"]}
    target = daemon.spike(daemon.interpreter, str(script), *words, cwd=folder, env=os.environ | secret)
    incident = daemon.incident(pid=target.pid)
    assert incident["hotspots"]
    assert daemon.stop() == 0
    return daemon


def test_no_secret_is_kept_or_logged(kept: Recorder) -> None:
    """Not in any file of the data directory, nor in the log at debug level.

    The bodies of profiles are as their tools wrote them and redacted where they are read; what is said of them
    (names of keys, metadata), the context record, packed columns and all else are looked through unpacked.
    """
    said: list[tuple[str, bytes]] = [("the log", kept.log.read_bytes())]
    assert b"level=debug" in said[0][1]
    said += [(path.name, path.read_bytes()) for path in kept.data_dir.rglob("*") if path.is_file()]
    said += cells(kept.data_dir / "monitord.db")
    for artefact in kept.ask("storage", "ls"):
        key = artefact["key"]
        said.append((key, kept.command("storage", "stat", key, "-o", "json").stdout.encode()))
        if "-context." in key or "-incident." in key:
            said.append((key, kept.command("storage", "cat", key).stdout.encode()))
    for marker in (b"burn", b"--verbose=told"):  # what stands beside the secrets is there
        assert any(marker in content for _where, content in said)
    assert any(b"VmRSS" in content for where, content in said if "-context." in where)
    assert [(where, place) for where, content in said for place in leaks(content)] == []


def leaks(content: bytes) -> list[str]:
    """Also of names that the kernel cuts: a good part of a secret is one."""
    return [
        place
        for place, secret in SECRETS.items()
        if secret[-14:].encode() in content or secret[:12].encode() in content
    ]


def cells(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every cell of every table, unpacked."""
    connection = sqlite3.connect(database)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608  our own names
            for cell in row:
                yield f"{table}", unpacked(cell)
    connection.close()


def unpacked(cell: Any) -> bytes:
    if isinstance(cell, bytes) and cell[:4] == b"\x28\xb5\x2f\xfd":
        return json.dumps(packed_of(cell)).encode()
    return cell if isinstance(cell, bytes) else str(cell).encode()
