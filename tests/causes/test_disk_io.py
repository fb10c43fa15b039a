"""Files that a busy disk is about are named, read or written is said only when it is sure, blind spots are said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitord.causes import OBSERVED_BYTES, disk_io
from monitord.causes.facts import Facts
from monitord.model import Alert, Cause, ProcessKey, Threshold, TriggerMetric
from tests.causes.conftest import Run, ticks
from tests.strangers import without

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NOW = datetime(2026, 11, 26, tzinfo=UTC)
ALERT = Alert(
    "disk-flood", TriggerMetric.DISK_IO, 2e8, Threshold(1e8, "bytes_per_s"), 30.0, NOW, NOW,
    ProcessKey(1, 1), "x", "", 2.0,
)  # fmt: skip
_HEAD = """
import mmap, os, signal, sys, time
signal.alarm(120)
path = sys.argv[1]
block = bytes(1 << 18)
"""
WRITES = (
    _HEAD
    + """
file = os.open(path, os.O_WRONLY | os.O_CREAT)
print("ready", flush=True)
while True:
    os.write(file, block[:1 << 16]); time.sleep(0.002)
    if os.lseek(file, 0, os.SEEK_CUR) > 1 << 29: os.ftruncate(file, 0); os.lseek(file, 0, os.SEEK_SET)
"""
)
APPENDS = (
    _HEAD
    + """
file = os.open(path, os.O_RDWR | os.O_CREAT)
print("ready", flush=True)
for _ in range(2000): os.write(file, block[:1 << 16]); time.sleep(0.005)
"""
)
READS = (
    _HEAD
    + """
with open(path, "wb") as made: made.truncate(1 << 32)
file = os.open(path, os.O_RDONLY)
print("ready", flush=True)
while os.read(file, 1 << 18): time.sleep(0.002)
"""
)
PWRITES = (
    _HEAD
    + """
file = os.open(path, os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 1 << 24)
print("ready", flush=True)
while True: os.pwrite(file, block, 4096); time.sleep(0.002)
"""
)
MAPS = (
    _HEAD
    + """
file = os.open(path, os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 1 << 22)
held = mmap.mmap(file, 1 << 22)
os.close(file)
print("ready", flush=True)
at = 0
while True: held[at:at + 4096] = block[:4096]; at = (at + 4096) % (1 << 22); time.sleep(0.001)
"""
)
OPENS_AND_CLOSES = (
    _HEAD
    + """
os.chdir(path)
print("ready", flush=True)
at = 0
while True:
    at += 1
    with open(f"{path}/{at % 50}", "wb") as file: file.write(block)
    time.sleep(0.002)
"""
)
HAS_A_CHILD = (
    _HEAD
    + """
print("ready", flush=True)
os.chdir(os.path.dirname(path))
while True: os.spawnvp(os.P_WAIT, "dd", ["dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=20", "status=none"])
"""
)
SLEEPS = (
    _HEAD
    + """
file = os.open(path, os.O_RDWR | os.O_CREAT)
print("ready", flush=True)
time.sleep(600)
"""
)


def look(pid: int) -> dict[str, Any]:
    text = json.dumps(disk_io.observe(pid, ticks(pid)))
    assert len(text) <= OBSERVED_BYTES
    return json.loads(text)  # type: ignore[no-any-return]


def without_events(seen: dict[str, Any]) -> dict[str, Any]:
    return seen | {"seen": None}


def cause_of(pid: int) -> Cause:
    return disk_io.explain(Facts(ALERT, after=look(pid)))


def explain_of(seen: dict[str, Any]) -> Cause:
    return disk_io.explain(Facts(ALERT, after=seen))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "data.bin")


@pytest.mark.parametrize(
    ("code", "how"), [(WRITES, "written to"), (APPENDS, "written to"), (READS, "read from")]
)
def test_a_file_whose_position_moves_is_named_with_its_direction(
    code: str, how: str, run: Run, path: str
) -> None:
    """By one look, which takes a second, and without a right that an ordinary user lacks."""
    process, _ = run(code, path)
    cause = disk_io.explain(Facts(ALERT, after=without_events(look(process.pid))))
    assert (cause.kind, cause.confidence) == ("file", "certain"), cause
    assert f"{how} {path}, on " in cause.sentence


def test_two_looks_far_apart_are_compared(run: Run, path: str) -> None:
    process, _ = run(APPENDS, path)
    before, after = (without_events(look(process.pid)) for _ in range(2))
    both = disk_io.explain(Facts(ALERT, before=before, after=after))
    assert f"written to {path}" in both.sentence
    assert both.confidence == "certain"


def test_read_or_written_is_only_said_when_it_is_sure() -> None:
    """A position moves for both: a file open for both that did not grow may have been either."""
    file = {
        "fd": 3,
        "inode": 7,
        "path": "/x",
        "position": 9_000_000,
        "size": 10,
        "mode": "rw",
        "was": [0, 10],
    }
    io = {"io": {"rchar": 9_000_000, "wchar": 0}, "io_before": {"rchar": 0, "wchar": 0}}
    cause = disk_io.explain(Facts(ALERT, after={"files": [file], **io}))
    assert "were read or written at /x" in cause.sentence


JUMPS = """
import os, signal, sys, time
signal.alarm(120)
index = os.open(sys.argv[-1] + ".index", os.O_RDWR | os.O_CREAT)
os.ftruncate(index, 8 << 30)
journal = os.open(sys.argv[-1], os.O_RDWR | os.O_CREAT)
os.ftruncate(journal, 16 << 20)  # from the beginning: what grows while it is looked at has been written to
block, number = b"x" * (1 << 20), 0
print("ready", os.getpid(), flush=True)
while True:
    number += 1
    os.lseek(index, number * 0x9E3779B1 % (8 << 30), os.SEEK_SET)
    os.read(index, 4096)
    os.pwrite(journal, block, number % 16 << 20)
    time.sleep(0.02)
"""


def test_a_position_that_was_set_is_no_bytes(run: Run, path: str) -> None:
    """It jumps through gigabytes of an index and reads little; what it writes elsewhere has no position."""
    _, (pid,) = run(JUMPS, path)
    seen = look(pid)
    assert ".index" not in explain_of(without_events(seen)).sentence
    assert explain_of(without_events(seen)).confidence == "unknown"


@pytest.mark.parametrize("later", [(9 << 20, 4 << 20), (4 << 20, 8 << 30)])
def test_a_position_that_goes_back_or_further_than_calls_moved_is_left_out(later: tuple[int, int]) -> None:
    was, position = later
    file = {"fd": 3, "inode": 5, "path": "/srv/data", "position": position, "size": 1 << 40, "mode": "r",
            "mount": "", "was": [was, 1 << 40]}  # fmt: skip
    seen = {"over_s": 1.0, "io_before": {"rchar": 0}, "io": {"rchar": 40 << 20}, "files": [file]}
    assert explain_of(seen).confidence == "unknown"
    assert explain_of({**seen, "files": [{**file, "position": was + (39 << 20)}]}).confidence == "certain"
    assert (
        explain_of({**seen, "io": {}, "files": [{**file, "position": was + (39 << 20)}]}).confidence
        == "likely"
    )


@pytest.mark.root
@pytest.mark.parametrize("code", [PWRITES, OPENS_AND_CLOSES], ids=["pwrite", "open, write, close"])
def test_what_has_no_position_is_seen_by_fanotify(code: str, run: Run, path: str, tmp_path: Path) -> None:
    where = path if code is PWRITES else str(tmp_path)
    process, _ = run(code, where)
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("file", "likely"), cause
    assert (path if code is PWRITES else f"50 files below {tmp_path}") in cause.sentence
    assert "written" in cause.sentence
    seen = look(process.pid)["seen"]
    assert seen["events"] <= 8000


@pytest.mark.root
def test_a_childs_file_is_put_down_to_the_child(run: Run, path: str) -> None:
    """A shell around dd gets its bytes when dd has ended: the child and its file are named."""
    process, _ = run(HAS_A_CHILD, path)
    cause = cause_of(process.pid)
    assert path in cause.sentence, cause
    assert re.search(r" by (its child (dd \(pid |pid )|\d+ of its children)", cause.sentence), cause


def seen_events(path: str, events: int, by: object = None, *, is_write: bool = True) -> dict[str, Any]:
    return {"path": path, "is_write": is_write, "events": events, "by": by}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([seen_events("/d/a", 50, [7, "head"]), seen_events("/d/a", 40, [8, "head"])],
         "/d/a was written by 2 of its children (head): 100 % of 90 events"),
        ([seen_events("/d/a", 50, [7, "head"]), seen_events("/d/a", 40)], "/d/a was written: 100 % of 90 events"),
        ([seen_events("/d/a", 30), seen_events("/d/b", 30, is_write=False), seen_events("/d/c", 20)],
         "3 files below /d were read and written: 80 events"),
        ([seen_events("/d/a", 40, [7, "dd"]), seen_events("/e/b", 30), seen_events("/f/c", 30)],
         "/d/a was written most often by its child dd (pid 7): 40 % of 100 events"),
        ([seen_events("/d/a", 40, [7, "dd"]), seen_events("/d/b", 41)], "/d/b was written: 51 % of 81 events"),
    ],
)  # fmt: skip
def test_events_are_put_down_to_the_files_and_processes_that_had_them(
    files: list[dict[str, Any]], said: str
) -> None:
    """4,934 events of three children were told as those of one of them, and a file that was read as written."""
    cause = explain_of({"seen": {"events": 99, "is_cut": False, "files": files}})
    assert cause.sentence == f"in the second that was watched {said}"


@pytest.mark.parametrize("code", [PWRITES, MAPS, SLEEPS], ids=["pwrite", "mmap", "nothing"])
def test_what_can_not_be_seen_is_said(code: str, run: Run, path: str) -> None:
    """Without fanotify pwrite is not seen, and a mapping never: files unknown, with the blind spots."""
    process, _ = run(code, path)
    cause = disk_io.explain(Facts(ALERT, after=without_events(look(process.pid))))
    assert cause.confidence in ("unknown", "possible"), cause
    assert "files unknown:" in cause.sentence
    assert cause.decides is not None
    assert (path in cause.sentence) == (code is MAPS)


@pytest.mark.root
def test_others_on_the_same_mount_are_not_told(run: Run, tmp_path: Path) -> None:
    """Another process writes beside it: its file is in no observation of the idle one."""
    run(PWRITES, str(tmp_path / "others.bin"))
    process, _ = run(SLEEPS, str(tmp_path / "own.bin"))
    seen = look(process.pid)
    assert "others.bin" not in json.dumps(seen)
    assert seen["seen"] == {"events": 0, "is_cut": False, "files": []}


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"files": 3, "io": 1, "seen": 5, "mapped": None},
        {"files": [{"path": 1, "was": "x"}], "seen": {"files": [{}]}},
    ],
)
def test_an_observation_of_any_shape_is_survived(seen: dict[str, Any]) -> None:
    assert disk_io.explain(Facts(ALERT, before=seen, after=seen)).kind


def test_who_may_not_use_fanotify_is_told_how(run: Run, path: str) -> None:
    process, _ = run(PWRITES, path)
    words = [*without("sys_admin"), sys.executable, "-c"]
    code = (
        "import json, sys; from monitord.causes import disk_io; pid, ticks = map(int, sys.argv[1:]);"
        " print(json.dumps(disk_io.observe(pid, ticks)))"
    )
    done = subprocess.run(
        [*words, code, str(process.pid), str(ticks(process.pid))],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    cause = disk_io.explain(Facts(ALERT, after=json.loads(done.stdout)))
    assert ("not used", "fanotify, which takes CAP_SYS_ADMIN") in cause.evidence
    assert "record as root, or with CAP_SYS_ADMIN" in str(cause.decides)
