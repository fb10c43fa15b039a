"""Every call ends within its deadline, whatever the backend does; afterwards it works, and no thread is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from monitord.errors import StorageError
from monitord.storage import open_store
from monitord.storage.state import (
    InvalidOptionsError,
    NamespacedStorage,
    Put,
    Remove,
    StateUnavailableError,
    Storage,
    open_state,
)
from monitord.storage.state.memory import MemoryBackend
from tests.mariadb import MariaDBServer
from tests.patience import PATIENCE_S
from tests.postgres import PostgresServer
from tests.servers import FaultProxy, RedisServer, dynamodb_url, wait_until

WITHIN_S = 0.15
SERVER_ANSWERS_WITHIN_S = 5.0  # a fifth of it is left to a server that gave up by itself, to say so


@dataclass
class Blocked:
    """A state, and how to make its backend answer nothing to writers until the block ends."""

    state: Storage
    blocked: Callable[[], contextlib.AbstractContextManager[object]]
    readers_wait: bool


def has_stopped(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((each / "stat").read_text().rpartition(")")[2].split()[0] == "T" for each in threads)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Each thread of it: on a crowded machine one may go on for a while, and answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: has_stopped(pid), f"stop of process {pid}")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def behind_a_lock(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    backend = MemoryBackend()
    return Blocked(NamespacedStorage(backend), lambda: backend._lock, True)


def behind_a_writer(path: Path, state: Storage) -> Blocked:
    @contextlib.contextmanager
    def blocked() -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            yield

    return Blocked(state, blocked, False)


def sqlite_file(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    return behind_a_writer(tmp_path / "s.db", open_state(f"sqlite:///{tmp_path}/s.db", within_s=PATIENCE_S))


def recorders_own(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    store = open_store(tmp_path / "data")
    request.addfinalizer(store.close)
    return behind_a_writer(store.database, store.state)


def locked_postgresql(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    url = request.getfixturevalue("postgres").url()
    state = open_state(url, within_s=PATIENCE_S)

    @contextlib.contextmanager
    def blocked() -> Iterator[None]:
        with psycopg.connect(url) as holder:
            holder.execute("SELECT 1 FROM state FOR UPDATE")
            yield
            holder.rollback()

    return Blocked(state, blocked, False)


def stopped_postgresql(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    """The servers' processes of our connections do nothing any more; the postmaster makes new ones."""
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url()
    state = open_state(url, within_s=PATIENCE_S)

    @contextlib.contextmanager
    def blocked() -> Iterator[None]:
        with psycopg.connect(url) as looking:
            others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
            pids = [row[0] for row in looking.execute(others, [looking.info.backend_pid])]
        assert pids
        with stopped(server.process.pid), contextlib.ExitStack() as stack:
            for pid in pids:
                stack.enter_context(stopped(pid))
            yield

    return Blocked(state, blocked, True)


def locked_mariadb(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    server: MariaDBServer = request.getfixturevalue("mariadb")
    url = server.url()
    state = open_state(url, within_s=PATIENCE_S)

    @contextlib.contextmanager
    def blocked() -> Iterator[None]:
        with contextlib.closing(server.connect(url.partition("?")[0].rpartition("/")[2])) as holder:
            cursor = holder.cursor()
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM monitord_state FOR UPDATE")
            yield
            cursor.execute("ROLLBACK")

    return Blocked(state, blocked, False)


def stopped_mariadb(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    server: MariaDBServer = request.getfixturevalue("mariadb")
    return Blocked(open_state(server.url(), within_s=PATIENCE_S), lambda: stopped(server.process.pid), True)


def stopped_redis(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    server: RedisServer = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    assert server.process
    pid = server.process.pid
    return Blocked(open_state(server.url, within_s=PATIENCE_S), lambda: stopped(pid), True)


def silent_redis(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    """What is between us and the server swallows everything."""
    server: RedisServer = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    proxy: FaultProxy = request.getfixturevalue("proxy_to")(server.port)

    @contextlib.contextmanager
    def blocked() -> Iterator[None]:
        proxy.mode = "blackhole"
        yield
        proxy.mode = "pass"

    return Blocked(open_state(f"keydb://127.0.0.1:{proxy.port}/0", within_s=PATIENCE_S), blocked, True)


def silent_dynamodb(tmp_path: Path, request: pytest.FixtureRequest) -> Blocked:
    proxy: FaultProxy = request.getfixturevalue("proxy_to")(request.getfixturevalue("s3_server").port)

    @contextlib.contextmanager
    def blocked() -> Iterator[None]:
        proxy.mode = "blackhole"
        yield
        proxy.mode = "pass"

    url = dynamodb_url(request, proxy.port)
    return Blocked(open_state(url, within_s=PATIENCE_S), blocked, True)


BLOCKED = [
    behind_a_lock,
    sqlite_file,
    recorders_own,
    locked_postgresql,
    stopped_postgresql,
    locked_mariadb,
    stopped_mariadb,
    stopped_redis,
    silent_redis,
    silent_dynamodb,
]


@pytest.fixture(params=BLOCKED, ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blocked]:
    made = request.param(tmp_path, request)
    yield made
    made.state.close()


def calls_of(state: Storage) -> dict[str, Callable[[], object]]:
    """Every call that there is."""
    swap = Put("k", b"2", expected="0" * 16)
    return {
        "set": lambda: state.set("k", b"2"),
        "delete": lambda: state.delete(None, "k"),
        "delete all": lambda: state.delete(None),
        "delete_many": lambda: state.delete_many(["k"]),
        "apply": lambda: state.apply([Put("k", b"2"), Remove("other")]),
        "sweep": state.sweep,
        "compare_and_set": lambda: state.compare_and_set(swap),
        "get": lambda: state.get("k"),
        "get_many": lambda: state.get_many(["k"]),
        "keys": state.keys,
        "namespaces": state.namespaces,
    }


def threads() -> set[threading.Thread]:
    """Those that run, but for the proxy's, which come and go with connections."""
    proxys = ("(_ask)", "(_answer)", "(_accept)")
    return {one for one in threading.enumerate() if not one.name.endswith(proxys)}


READING = ("get", "get_many", "keys", "namespaces")
# A sweep that finds nothing expired touches no row; a swap of a version that is not there likewise.
MAY_PASS = ("sweep", "compare_and_set")


def test_no_call_waits_longer(case: Blocked) -> None:
    """What can't be done in time is said, while the other side stays silent; then all of it works again."""
    patient = case.state.within(PATIENCE_S)
    patient.set("k", b"1")
    before = threads()
    with case.blocked():
        if not case.readers_wait:
            for name in READING:
                calls_of(patient)[name]()
        for name, call in calls_of(case.state.within(WITHIN_S)).items():
            if name in READING and not case.readers_wait:
                continue  # on a crowded machine they may take longer than that by themselves
            with contextlib.suppress(StorageError) if name in MAY_PASS else pytest.raises(StorageError):
                call()
    assert threads() <= before
    item = patient.get("k")
    assert item is None or item.data in (b"1", b"2")
    for call in calls_of(patient).values():
        call()
    patient.set("k", b"3")
    after = patient.get("k")
    assert after is not None
    assert after.data == b"3"


def test_a_server_that_waits_for_a_row_keeps_the_connection(postgres: PostgresServer) -> None:
    """PostgreSQL ends the statement itself: the same connection serves the next call."""
    url = postgres.url()
    state = open_state(url, within_s=PATIENCE_S)
    state.set("k", b"1")
    with psycopg.connect(url) as holder:
        count = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
        before = holder.execute(count, [holder.info.backend_pid]).fetchone()
        holder.execute("SELECT 1 FROM state FOR UPDATE")
        with pytest.raises(StateUnavailableError, match="statement timeout"):
            state.within(SERVER_ANSWERS_WITHIN_S).set("k", b"2")
        holder.rollback()
        state.set("k", b"3")
        assert holder.execute(count, [holder.info.backend_pid]).fetchone() == before
    state.close()


@contextlib.contextmanager
def peer(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does to each connection what it is told; ends with the block."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []
    is_over = False

    def accept() -> None:
        while not is_over:
            with contextlib.suppress(OSError):
                connection, _address = server.accept()
                kept.append(connection)
                serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    yield int(server.getsockname()[1])
    is_over = True
    for each in (*kept, server):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def silence(_connection: socket.socket) -> None:
    """Nothing, ever."""


def trickle(connection: socket.socket) -> None:
    """A byte a moment, for ever: the client's own timeouts begin anew with each."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"+")
                time.sleep(0.05)

    threading.Thread(target=send, daemon=True).start()


URLS = [
    "postgresql://somebody@127.0.0.1:{port}/x",
    "mysql://somebody:secret@127.0.0.1:{port}/x",
    "redis://127.0.0.1:{port}/0",
    "rediss://127.0.0.1:{port}/0",
    "keydb://127.0.0.1:{port}/0",
    "dynamodb://us-east-1/x?endpoint=http://127.0.0.1:{port}",
]


@pytest.mark.parametrize("serve", [silence, trickle])
@pytest.mark.parametrize("url", URLS)
def test_opening_ends_in_time(url: str, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and then says nothing, or nothing to the end, holds nobody up."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with peer(serve) as port, pytest.raises(StateUnavailableError) as raised:
        open_state(url.format(port=port), within_s=WITHIN_S)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("within_s", [0, -1, float("nan"), float("inf"), 1e9])
def test_impossible_deadlines_are_refused(within_s: float) -> None:
    """Only a time above nothing and up to an hour is one."""
    state = open_state("memory://").within(within_s)
    for call in calls_of(state).values():
        with pytest.raises(InvalidOptionsError):
            call()
