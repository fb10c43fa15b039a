"""Requests to the recorder: who may ask gets what it has, and whatever else connects costs it nothing.

More than 400 lines: one server, and everything that may connect to it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.errors import MonitordError, UnreachableError
from monitord.model import SnapshotRequest
from monitord.recorder.requesting import ask_snapshot, ask_span
from monitord.recorder.requests import (
    ANSWER_BYTES,
    SOCKET,
    RequestServer,
    read_request,
)
from tests.patience import PATIENCE_S

NAME = "abcdefgh2345"
REQUEST = SnapshotRequest(NAME, 60.0, "somebody", None, "gcc*")
SERVER = """
import sys, time
from pathlib import Path
from monitord.recorder.requests import RequestServer

def document(since_ns, until_ns):
    print("asked", flush=True)
    time.sleep(float(sys.argv[2]))
    return b"x" * 100

RequestServer(Path(sys.argv[1]), print, document).open()
print("open", flush=True)
time.sleep(600)
"""


def nothing_taken(_request: SnapshotRequest) -> None:
    raise MonitordError("the black box is off")


class Box:
    """Gives the bytes it is told to, after `takes_s` and not while it is held; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer, self.takes_s, self.burns = b"document", 0.0, False
        self.free = threading.Event()
        self.free.set()

    def document(self, since_ns: int, until_ns: int) -> bytes:
        self.asked.append((since_ns, until_ns))
        began_s = time.thread_time()
        if self.burns:
            while time.thread_time() - began_s < self.takes_s:
                pass
        time.sleep(0 if self.burns else self.takes_s)
        assert self.free.wait(PATIENCE_S)
        return self.answer


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def folder(tmp_path: Path, box: Box) -> Iterator[Path]:
    server = RequestServer(tmp_path, nothing_taken, box.document)
    server.open()
    yield tmp_path
    server.close()


def words_to(folder: Path, words: bytes) -> bytes:
    """What comes back for words of somebody who does not keep to the protocol."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(folder / SOCKET))
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


def test_a_span_is_answered_with_its_document_whole(folder: Path, box: Box) -> None:
    box.answer = os.urandom(ANSWER_BYTES)
    assert ask_span(folder, 5, 9, PATIENCE_S) == box.answer
    assert box.asked == [(5, 9)]


def test_a_longer_answer_than_anybody_reads_is_refused(folder: Path, box: Box) -> None:
    box.answer = b"x" * (ANSWER_BYTES + 1)
    with pytest.raises(UnreachableError, match="another version"):
        ask_span(folder, 5, 9, PATIENCE_S)


def test_a_snapshot_reaches_who_takes_it(tmp_path: Path) -> None:
    taken: list[SnapshotRequest] = []
    server = RequestServer(tmp_path, taken.append, Box().document)
    server.open()
    ask_snapshot(tmp_path, REQUEST, PATIENCE_S)
    server.close()
    assert taken == [REQUEST]


def test_a_refusal_comes_with_its_reason(folder: Path) -> None:
    with pytest.raises(MonitordError, match="the black box is off"):
        ask_snapshot(folder, REQUEST, PATIENCE_S)


def test_who_gives_up_waits_no_longer(folder: Path, box: Box) -> None:
    box.free.clear()  # it answers only when the caller is back
    with pytest.raises(UnreachableError, match="too long"):
        ask_span(folder, 5, 9, 0.3)
    box.free.set()


BROKEN = {
    "not json": b"{",
    "a list": b"[]",
    "deep": b"[" * 4000,
    "nothing": b"",
    "too long": b'{"correlation_id": "' + b"a" * 3000,
    "no id": json.dumps({"since_s": 5}).encode(),
    "a path as id": json.dumps({"correlation_id": "../../../x", "since_s": 5, "asked_by": "x"}).encode(),
    "too far back": json.dumps({"correlation_id": NAME, "since_s": 1e9, "asked_by": "x"}).encode(),
    "not a number": b'{"correlation_id": "abcdefgh2345", "since_s": NaN, "asked_by": "x"}',
    "a pid below 1": json.dumps({"correlation_id": NAME, "since_s": 5, "pid": -1}).encode(),
    "a truth as pid": json.dumps({"correlation_id": NAME, "since_s": 5, "pid": True}).encode(),
    "a name that is no text": json.dumps({"correlation_id": NAME, "since_s": 5, "process": [1]}).encode(),
    "a span backwards": b'{"since_ns": 9, "until_ns": 5}',
    "a span of truths": b'{"since_ns": false, "until_ns": true}',
    "a span without an end": b'{"since_ns": 9}',
    "an endless number": b'{"since_ns": 1, "until_ns": ' + b"9" * 3000 + b"}",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_request_is_refused_in_one_line(folder: Path, box: Box, what: str) -> None:
    told = json.loads(words_to(folder, BROKEN[what] + b"\n"))
    assert "not a request" in told["refused"]
    assert box.asked == []


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    try:
        read_request(content)
    except MonitordError:
        return
    raise AssertionError("random bytes made a request")


@pytest.mark.parametrize(
    "words", [b"\x00\xff\n", b"[]\n", b'{"bytes": -1}\n', b'{"bytes": 1e3}\n', b"", b"x" * 9000]
)
def test_an_answer_of_somebody_else_is_none(tmp_path: Path, words: bytes) -> None:
    """What listens there may be anything."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET))
        listener.listen()

        def answer() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachableError):
            ask_span(tmp_path, 5, 9, PATIENCE_S)
        thread.join()


# --------------------------------------------------------------------------------------- what it costs


def timed(call: Callable[[], object]) -> float:
    began_s = time.monotonic()
    call()
    return time.monotonic() - began_s


def test_it_answers_once_a_second_at_most_and_a_tenth_of_the_time(folder: Path, box: Box) -> None:
    def ask() -> object:
        return ask_span(folder, 5, 9, PATIENCE_S)

    assert timed(ask) < 0.9
    assert 0.9 < timed(ask) < 3
    box.takes_s, box.burns = 0.2, True
    assert timed(ask) > 1.1
    assert timed(ask) > 2


def test_for_who_has_gone_nothing_is_read(folder: Path, box: Box) -> None:
    ask_span(folder, 5, 9, PATIENCE_S)
    with pytest.raises(UnreachableError):
        ask_span(folder, 6, 9, 0.2)  # while it rests
    ask_span(folder, 7, 9, PATIENCE_S)
    assert box.asked == [(5, 9), (7, 9)]


FLOOD = """
import socket, sys, time
ends_s = time.monotonic() + 3
while time.monotonic() < ends_s:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        try:
            connection.sendall(sys.argv[2].encode() + b"\\n")
            connection.recv(400)
        except OSError:
            pass
"""


@pytest.mark.parametrize("words", ["[" * 4000, ""])
def test_what_is_refused_gets_a_tenth_of_a_core_too_however_fast_it_comes(folder: Path, words: str) -> None:
    began_s, used_s = time.monotonic(), time.process_time()
    subprocess.run([sys.executable, "-c", FLOOD, str(folder / SOCKET), words], check=True)
    assert time.process_time() - used_s < 0.13 * (time.monotonic() - began_s)


def test_who_connects_and_is_silent_keeps_the_others_waiting_for_moments_alone(folder: Path) -> None:
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for one in crowd:
        one.connect(str(folder / SOCKET))
    assert timed(lambda: ask_span(folder, 5, 9, PATIENCE_S)) < 6
    for one in crowd:
        one.close()


CROWD = """
import os, socket, sys, threading, time
os.setgroups([4343]); os.setgid(4242); os.setuid(4242)

def crowd():
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(sys.argv[1])
                connection.sendall(sys.argv[2].encode())
                print("in", flush=True)
                time.sleep(5)
            except OSError:
                pass

for _ in range(100):
    threading.Thread(target=crowd, daemon=True).start()
time.sleep(600)
"""


@pytest.mark.root
@pytest.mark.parametrize("words", ["", '{"since_ns": 1, "until_ns": 2}\n'])
def test_a_crowd_of_the_stores_group_keeps_its_owner_waiting_for_moments_alone(
    tmp_path_factory: pytest.TempPathFactory, box: Box, words: str
) -> None:
    """A hundred at once that are silent, or ask and never read, connect again and again."""
    top = tmp_path_factory.getbasetemp()
    for above in (top, top.parent):
        above.chmod(0o755)
    data_dir = tmp_path_factory.mktemp("crowded")
    os.chown(data_dir, 0, 4343)
    data_dir.chmod(0o2750)
    box.answer = b"x" * ANSWER_BYTES
    server = RequestServer(data_dir, lambda _request: None, box.document)
    server.open()
    crowd = [sys.executable, "-c", CROWD, str(data_dir / SOCKET), words]
    with subprocess.Popen(crowd, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for _ in range(20):
                process.stdout.readline()
            for _ in range(2):
                assert timed(lambda: ask_snapshot(data_dir, REQUEST, PATIENCE_S)) < 60
        finally:
            process.kill()
    server.close()


def test_who_does_not_read_its_answer_keeps_the_others_waiting_for_moments_alone(
    folder: Path, box: Box
) -> None:
    box.answer = b"x" * ANSWER_BYTES
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(folder / SOCKET))
        deaf.sendall(b'{"since_ns": 1, "until_ns": 2}\n')
        while not box.asked:
            time.sleep(0.01)
        assert timed(lambda: ask_span(folder, 5, 9, PATIENCE_S)) < 20


# -------------------------------------------------------------------------------------- what is left


def started(folder: Path, takes_s: float) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder), str(takes_s)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "open\n"
    return server


def test_a_recorder_killed_over_a_request_leaves_its_socket_alone_and_the_next_one_takes_it(
    tmp_path: Path,
) -> None:
    server = started(tmp_path, 60)
    said: list[str] = []

    def ask() -> None:
        with pytest.raises(UnreachableError) as told:
            ask_span(tmp_path, 5, 9, PATIENCE_S)
        said.append(str(told.value))

    asker = threading.Thread(target=ask)
    asker.start()
    assert server.stdout is not None
    assert server.stdout.readline() == "asked\n"
    server.send_signal(signal.SIGKILL)
    asker.join(PATIENCE_S)
    server.wait()
    server.stdout.close()
    assert said in (["it ended before it had answered"], ["it does not answer: Connection reset by peer"])
    assert [one.name for one in tmp_path.iterdir()] == [SOCKET]
    with pytest.raises(UnreachableError, match="does not answer"):
        ask_span(tmp_path, 5, 9, PATIENCE_S)
    box = Box()
    next_one = RequestServer(tmp_path, nothing_taken, box.document)
    next_one.open()
    assert ask_span(tmp_path, 5, 9, PATIENCE_S) == b"document"
    next_one.close()
    assert [one.name for one in tmp_path.iterdir()] == [SOCKET]


def test_askers_that_are_killed_leave_nothing_and_the_next_one_is_answered(folder: Path, box: Box) -> None:
    code = "import sys; from pathlib import Path; from monitord.recorder.requesting import ask_span\n"
    code += "ask_span(Path(sys.argv[1]), 1, 2, 60)"
    box.takes_s = 0.1
    for number in range(2):
        asker = subprocess.Popen([sys.executable, "-c", code, str(folder)])
        while len(box.asked) <= number:
            time.sleep(0.01)
        asker.kill()
        asker.wait()
    assert ask_span(folder, 5, 9, PATIENCE_S) == b"document"
    assert [one.name for one in folder.iterdir()] == [SOCKET]


def test_after_its_end_nobody_is_heard(tmp_path: Path, box: Box) -> None:
    """Whenever that comes, also just before its thread waits, and others open files then."""
    server = RequestServer(tmp_path, nothing_taken, box.document)
    for _ in range(200):
        server.open()
        server.close()
        with pytest.raises(UnreachableError):
            ask_span(tmp_path, 5, 9, PATIENCE_S)
    while "requests" in {thread.name for thread in threading.enumerate()}:  # its thread ends, too
        time.sleep(0.05)


# --------------------------------------------------------------------------------------- who may ask


def test_where_nobody_listens_it_says_what_may_help(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="service restart"):
        ask_span(tmp_path, 5, 9, PATIENCE_S)


@pytest.mark.parametrize(("mode", "socket_mode"), [(0o700, 0o600), (0o755, 0o600), (0o2750, 0o660)])
def test_who_may_read_the_store_may_connect(tmp_path: Path, box: Box, mode: int, socket_mode: int) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(mode)
    server = RequestServer(data_dir, nothing_taken, box.document)
    server.open()
    assert (data_dir / SOCKET).stat().st_mode & 0o777 == socket_mode
    server.close()


AS_SOMEBODY = """
import os, sys
from pathlib import Path
from monitord.model import SnapshotRequest
from monitord.recorder.requesting import ask_snapshot, ask_span
groups = [int(word) for word in sys.argv[2:]]
os.setgroups(groups); os.setgid(4242); os.setuid(4242)
for ask in (lambda: ask_span(Path(sys.argv[1]), 5, 9, 60),
            lambda: ask_snapshot(Path(sys.argv[1]), SnapshotRequest("abcdefgh2345", 60.0, "x"), 60)):
    try: print(ask())
    except Exception as error: print(type(error).__name__, error)
"""


@pytest.mark.root
def test_the_stores_group_asks_and_stores_nothing_and_a_stranger_does_not_even_ask(
    tmp_path_factory: pytest.TempPathFactory, box: Box
) -> None:
    top = tmp_path_factory.getbasetemp()
    for above in (top, top.parent):
        above.chmod(0o755)  # of the test run: pytest makes them for its user alone
    data_dir = top / "shared"
    data_dir.mkdir()
    os.chown(data_dir, 0, 4343)
    data_dir.chmod(0o2750)
    taken: list[SnapshotRequest] = []
    server = RequestServer(data_dir, taken.append, box.document)
    server.open()

    def said(*groups: str) -> list[str]:
        words = [sys.executable, "-c", AS_SOMEBODY, str(data_dir), *groups]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    assert said("4343") == ["b'document'", "MonitordError it is another user's; try sudo"]
    assert said() == ["PermissionDeniedError it is another user's"] * 2
    assert len(box.asked) == 1
    assert taken == []
    server.close()


def test_a_link_in_its_place_is_neither_followed_nor_written_through(tmp_path: Path, box: Box) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = RequestServer(elsewhere, nothing_taken, box.document)
    other.open()
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / SOCKET).symlink_to(elsewhere / SOCKET)
    with pytest.raises(UnreachableError):
        ask_span(data_dir, 5, 9, PATIENCE_S)
    assert box.asked == []
    own = RequestServer(data_dir, nothing_taken, box.document)
    own.open()
    assert not (data_dir / SOCKET).is_symlink()
    assert ask_span(data_dir, 5, 9, PATIENCE_S) == ask_span(elsewhere, 5, 9, PATIENCE_S) == b"document"
    own.close()
    other.close()


def test_a_file_in_its_place_is_no_socket_and_gives_way(tmp_path: Path, box: Box) -> None:
    os.mkfifo(tmp_path / SOCKET)
    with pytest.raises(UnreachableError):
        ask_span(tmp_path, 5, 9, PATIENCE_S)
    server = RequestServer(tmp_path, nothing_taken, box.document)
    server.open()
    assert ask_span(tmp_path, 5, 9, PATIENCE_S) == b"document"
    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an address is a path, of 104 bytes")
def test_the_directorys_path_may_be_longer_than_an_address(tmp_path: Path, box: Box) -> None:
    data_dir = tmp_path / ("d" * 120) / ("e" * 120)
    data_dir.mkdir(parents=True)
    server = RequestServer(data_dir, nothing_taken, box.document)
    server.open()
    assert ask_span(data_dir, 5, 9, PATIENCE_S) == b"document"
    server.close()
