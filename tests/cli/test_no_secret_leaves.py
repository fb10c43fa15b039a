"""The same secrets planted wherever a process can put a text, and looked for in everything that is written."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.cli.export import ExportFormat
from monitord.model import CaptureStatus, Incident, ProcessKey
from monitord.procfs import start_ticks
from monitord.profiles import hotspots, parse
from monitord.profiles.identifying import SourceText, identify
from monitord.sampling.details import details
from monitord.zstandard import zstd
from tests.analytics.companions import tables_of
from tests.mcp_server.talking import SUBJECTS, over_stdio
from tests.redaction.command_lines import with_secret

MADE = random.Random(7)


def _secret(name: str) -> str:
    return f"{name}Zq3v" + "".join(MADE.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789abcdefghijkm", k=9))


PLACES = (
    "argv",
    "source",
    "comment",
    "multiline",
    "frame",
    "file",
    "thread",
    "module",
    "folder",
    "environment",
    "title",
    "waits",
)
SECRETS = {context: _secret(context.title()) for context in PLACES}
TYPED = {
    "note": _secret("Note"),
    "details": _secret("Details"),
}  # by a person, or by a profiler: stored as they are
S = SECRETS
FILE = f"/mnt/bob:{S['file']}@nas/app.py"
SOURCE_FILE = "/srv/app/work.py"
SOURCE = f'''def check(password):
    return password == "{S["source"]}"  # the old one was {S["comment"]}

def query(run):
    return run("""
        insert {S["multiline"]} into users
    """)
'''
FOLDED = (
    f'thread (11): "conn postgres://bob:{S["thread"]}@db";main (/srv/app/main.py:1);check ({SOURCE_FILE}:2) 500\n'
    f"thread (11);main (/srv/app/main.py:1);query ({SOURCE_FILE}:6) 400\n"
    f"thread (12);run password={S['frame']} ({FILE}:3) 300\n"
    f"thread (13);native_call (/srv/password-{S['module']}/lib.so) 200\n"
)


def _argv() -> list[str]:
    """What a real process is started with: an interpreter that waits for a file, and then the words."""
    words = [
        "--password",
        S["argv"],
        f"DB_PASSWORD={S['environment']}",
        f"worker: login bob password={S['title']}",
    ]
    waits = f"import os; os.mkfifo('session-{S['waits']}'); pipe = os.open('session-{S['waits']}', os.O_RDWR)"
    return [sys.executable, "-c", f"{waits}; print('ready', flush=True); os.read(pipe, 1)", *words]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[ProcessKey]:
    """A real process with secrets in its arguments and in its folder's name."""
    folder = tmp_path / f"password-{S['folder']}"
    folder.mkdir()
    with subprocess.Popen(_argv(), stdout=subprocess.PIPE, cwd=folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield ProcessKey(process.pid, start_ticks(Path(f"/proc/{process.pid}/stat").read_bytes()))
        process.kill()


@pytest.fixture
def planted(store, new_incident: Callable[..., Incident], target: ProcessKey, here) -> Incident:
    """An incident made by the rooms that read a process, from texts that all hold a secret."""
    found = details(target)
    assert found is not None
    context = subprocess.run(
        [sys.executable, "-P", "-m", "monitord.capture.context", str(target.pid), str(target.start_ticks), "0.05"],
        capture_output=True, check=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    ).stdout  # fmt: skip
    spots = identify(hotspots(parse("folded", FOLDED.encode())), {SOURCE_FILE: SourceText(SOURCE)}.get)
    assert {spot.source_state for spot in spots} >= {"same"}
    incident = new_incident(notes={"said": f"password={TYPED['details']}"})
    captures = tuple(
        replace(one, format="folded", payload=FOLDED.encode(), hotspots=spots, sample_count=1400)
        if one.status is CaptureStatus.OK and one.role == "profile"
        else replace(one, payload=context)
        if one.role == "context"
        else one
        for one in incident.captures
    )
    incident = replace(incident, captures=captures, process=replace(found, name="python3"))
    store.save_incident(incident)
    assert here("note", "1", f"they said the password is {TYPED['note']}").code == 0
    return incident


def _leaks(content: bytes, *, typed: bool) -> list[str]:
    secrets = SECRETS | (TYPED if typed else {})
    return [context for context, secret in secrets.items() if secret.encode() in content]


def test_the_database_and_the_context_hold_none(planted: Incident, store) -> None:
    """What is kept of a process is redacted when it is read; only the evidence file is as its tool wrote it."""
    kept = b"".join(file.read_bytes() for file in store.data_dir.glob("*.db*"))
    assert planted.correlation_id.encode() in kept
    assert _leaks(kept, typed=False) == []
    context = next(one.payload for one in planted.captures if one.role == "context")
    assert isinstance(context, bytes)
    assert _leaks(context, typed=False) == []


SHOWN = [
    ("recent",), ("recent", "-o", "json"), ("recent", "-o", "csv"), ("show", "1"), ("show", "1", "-o", "json"), ("explain", "1"),
    ("explain", "1", "-o", "json"), ("hot",), ("hot", "-o", "json"), ("hot", "-o", "csv"), ("events",), ("events", "-o", "json"),
    ("compare", "1", "1"), ("compare", "1", "1", "-o", "json"),
]  # fmt: skip


def test_no_command_shows_one(planted: Incident, here) -> None:
    """Every command that shows what was recorded, as a table and for programs."""
    for words in SHOWN:
        answer = here(*words)
        assert answer.code == 0, (words, answer.err)
        assert len(answer.out) > 20, words
        assert _leaks((answer.out + answer.err).encode(), typed=False) == [], words


FORMS = [*ExportFormat]


def unpacked(content: bytes) -> bytes:
    """All files of a bundle, one behind the other, those that are compressed again too."""
    with tarfile.open(fileobj=io.BytesIO(zstd.decompress(content))) as tar:
        files = [tar.extractfile(entry) for entry in tar.getmembers() if entry.isfile()]
        found = [file.read() for file in files if file is not None]
    return b"".join(gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in found)


def test_no_summary_holds_one(planted: Incident, here) -> None:
    for form in ("text", "markdown"):
        answer = here("summary", "1", "-o", form)
        assert answer.code == 0, answer.err
        assert "python3" in answer.out
        assert _leaks((answer.out + answer.err).encode(), typed=True) == []


def test_no_export_holds_one(planted: Incident, here, tmp_path: Path) -> None:
    """Every format, by the real command line; what people and profilers wrote is redacted here too."""
    for form in FORMS:
        file = tmp_path / form
        named = () if form is ExportFormat.DUCKDB else ("1",)
        answer = here("export", *named, "--format", form, "-o", str(file))
        assert answer.code == 0, (form, answer.err)
        content = tables_of(file) if form is ExportFormat.DUCKDB else file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        content = unpacked(content) if form == "bundle" else content
        assert len(content) > 100, form
        assert _leaks(content + answer.err.encode(), typed=True) == [], form


def test_an_export_keeps_what_a_receiver_needs(planted: Incident, here, tmp_path: Path) -> None:
    file = tmp_path / "out"
    assert here("export", "1", "-o", str(file)).code == 0
    incident = json.loads(file.read_text())["incidents"][0]
    lines = {spot["function"]: spot["source_line"] for spot in incident["hotspots"]}
    assert lines["check"] == 'return password == "***HIDDEN***"'
    assert incident["process"]["command_line"][3] == "--password"
    assert "native_call" in lines


def test_no_assistant_is_told_one(planted: Incident, store) -> None:
    """Every tool that reads, asked for this incident or for everything there is."""
    with over_stdio(store.data_dir) as asker:
        said = []
        for name, tool in asker.tools().items():
            known = tool.input_schema.get("properties", {})
            given = {word: "1" for word in SUBJECTS if word in known}
            said.append((name, str(asker.call(name, given))))
    assert any("check" in text for _name, text in said)
    assert [(name, found) for name, text in said if (found := _leaks(text.encode(), typed=True))] == []


def test_command_lines_of_every_kind_leave_no_export(store, new_incident, here, tmp_path: Path) -> None:
    """As they are read of a process, and as an older version may have stored them: with everything in them."""
    lines = with_secret(11)
    for line in lines[::12]:
        store.save_incident(new_incident(command_line=line[2]))
    file = tmp_path / "out"
    assert here("export", "-S", "1d", "-o", str(file)).code == 0
    text = file.read_text()
    left = [line for line, planted, _argv in lines[::12] if any(secret in text for secret in planted)]
    print(f"{len(left)} of {len(lines[::12])} command lines leak in an export")
    assert left == []
