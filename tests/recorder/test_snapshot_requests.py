"""Requests for snapshots: whatever lies in their folder, the recorder takes what is one and goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.model import SnapshotRequest
from monitord.recorder.snapshot_requests import put_request, refuse, take_refusal, take_requests, withdraw

NAME = "abcdefgh2345"
REQUEST = SnapshotRequest(NAME, 60.0, "somebody", None, "gcc*")


def folder_of(data_dir: Path) -> Path:
    folder = data_dir / "requests"
    folder.mkdir(exist_ok=True)
    return folder


def test_a_request_is_taken_once(tmp_path: Path) -> None:
    put_request(tmp_path, REQUEST)
    assert take_requests(tmp_path) == [REQUEST]
    assert take_requests(tmp_path) == []
    assert (tmp_path / "requests").stat().st_mode & 0o777 == 0o700


def test_a_refusal_reaches_who_asked_once(tmp_path: Path) -> None:
    put_request(tmp_path, REQUEST)
    take_requests(tmp_path)
    refuse(tmp_path, NAME, "the black box is off")
    assert take_refusal(tmp_path, NAME) == "the black box is off"
    assert take_refusal(tmp_path, NAME) is None


def test_a_withdrawn_request_leaves_nothing(tmp_path: Path) -> None:
    put_request(tmp_path, REQUEST)
    refuse(tmp_path, NAME, "too late")
    withdraw(tmp_path, NAME)
    assert take_requests(tmp_path) == []
    assert list((tmp_path / "requests").iterdir()) == []


def test_a_crowd_of_requests_is_taken_a_few_at_a_time(tmp_path: Path) -> None:
    names = [f"abcdefgh{number:04}" for number in range(10)]
    for name in names:
        put_request(tmp_path, SnapshotRequest(name, 5.0, "somebody"))
    taken: list[str] = []
    for _ in range(10):
        found = take_requests(tmp_path)
        assert len(found) <= 4
        taken += [one.correlation_id for one in found]
    assert sorted(taken) == names


BROKEN = {
    "not json": b"{",
    "a list": b"[]",
    "deep": b"[" * 4000,
    "too long": b'{"correlation_id": "' + b"a" * 10_000,
    "no id": json.dumps({"since_s": 5}).encode(),
    "a path as id": json.dumps({"correlation_id": "../../../x", "since_s": 5, "asked_by": "x"}).encode(),
    "too far back": json.dumps({"correlation_id": NAME, "since_s": 1e9, "asked_by": "x"}).encode(),
    "not a number": b'{"correlation_id": "abcdefgh2345", "since_s": NaN, "asked_by": "x"}',
    "a pid that is none": json.dumps({"correlation_id": NAME, "since_s": 5, "pid": -1}).encode(),
    "a truth as pid": json.dumps({"correlation_id": NAME, "since_s": 5, "pid": True}).encode(),
    "a name that is none": json.dumps({"correlation_id": NAME, "since_s": 5, "process": [1]}).encode(),
    "another id than its file's": json.dumps({"correlation_id": "zzzzzzzz2345", "since_s": 5}).encode(),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_request_is_thrown_away(tmp_path: Path, what: str) -> None:
    path = folder_of(tmp_path) / f"{NAME}.ask"
    path.write_bytes(BROKEN[what])
    assert take_requests(tmp_path) == []
    assert not path.exists()


@given(st.binary(max_size=300))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    data_dir = tmp_path_factory.mktemp("any")
    (folder_of(data_dir) / f"{NAME}.ask").write_bytes(content)
    take_requests(data_dir)


def test_a_pipe_in_its_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(folder_of(tmp_path) / f"{NAME}.ask")
    assert take_requests(tmp_path) == []


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """What somebody put where a request's first bytes go is left alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    (folder_of(tmp_path) / f".{NAME}.ask.{os.getpid()}").symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"File exists|symbolic"):
        put_request(tmp_path, REQUEST)
    assert elsewhere.read_text() == "kept"


def test_answers_that_nobody_waited_for_do_not_stand_in_the_way_of_requests(tmp_path: Path) -> None:
    """Each snapshot that was broken off by hand can leave one."""
    folder = folder_of(tmp_path)
    for n in range(300):
        refuse(tmp_path, f"aaaaaaaa{n}", "nobody reads this")
        if n:
            os.utime(folder / f"aaaaaaaa{n}.why", (1, 1))
    put_request(tmp_path, REQUEST)
    assert take_requests(tmp_path) == [REQUEST]
    assert [one.name for one in folder.iterdir()] == ["aaaaaaaa0.why"]
