"""Small state by key: get and set per backend beside the raw client; a million items in 10,000 sessions.

    python benchmarks/state.py --rounds 300
    python benchmarks/state.py --only memory,sqlite

The raw client has one key and one value, and is as durable: a dict, sqlite3, psycopg, pymysql, redis-py,
boto3 on the same server. Every call of ours has a deadline of 5 s. Calls take turns, so that
whatever else runs meets all of them alike; the figures are medians.

More than 400 lines: each backend's client is told here what ours does.
"""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recording import ROOT, Row, command_of, load, memory_of, parser, show

from monitord.storage.state import NamespacedStorage, Put, SessionNamespace, UserNamespace, open_state
from monitord.storage.state.codec import encode
from monitord.storage.state.memory import MemoryBackend
from monitord.storage.state.sqlite import sqlite_backend

DATA = b'{"filters": {"pid": 4711, "since": "24h"}, "last_query": "top_functions", "cursor": "d1a2b3c4"}'
USERS, SESSIONS, KEYS = 1_000, 10, 100  # a million items
EXPIRING_USERS = 100  # 100,000 items with a time to live
TTL = timedelta(hours=1)
ASKED = 2_000
DELETED = 20
START = datetime(2026, 1, 1, tzinfo=UTC)
FILLED = "INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Pair:
    """A backend of ours and the client that it stands on."""

    url: str
    get: Callable[[str], object]
    set: Callable[[str, bytes], object]
    peer: str


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=300, help="of each get and set")
    options.add_argument("--only", default=",".join([*PAIRS, *MILLIONS]), help="which parts, by comma")
    arguments = options.parse_args()
    asked = arguments.only.split(",")
    print(f"load {load()}", flush=True)
    rows: list[Row] = []
    (ROOT / ".bench").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".bench") as folder:  # on a disk: /tmp may be memory
        for name, opened in PAIRS.items():
            if name in asked:
                with opened(Path(folder)) as pair:
                    rows += compared(name, pair, arguments.rounds)
        for name, measure in MILLIONS.items():
            if name in asked:
                rows += measure(Path(folder))
    show(rows, arguments.rows)


# -------------------------------------------------------------------------------------- one by one


@contextmanager
def memory_pair(_folder: Path) -> Iterator[Pair]:
    kept: dict[str, bytes] = {}
    yield Pair("memory://", kept.get, kept.__setitem__, "a dict")


@contextmanager
def sqlite_pair(folder: Path) -> Iterator[Pair]:
    raw = raw_sqlite(folder / "raw.db")
    raw.execute("CREATE TABLE item (key TEXT PRIMARY KEY, data BLOB)")
    yield Pair(
        f"sqlite:///{folder}/own.db",
        lambda key: raw.execute("SELECT data FROM item WHERE key = ?", (key,)).fetchone(),
        lambda key, data: raw.execute("INSERT OR REPLACE INTO item VALUES (?, ?)", (key, data)),
        "sqlite3",
    )
    raw.close()


@contextmanager
def postgresql_pair(_folder: Path) -> Iterator[Pair]:
    import psycopg

    from tests.postgres import postgres_server

    with postgres_server() as server, psycopg.connect(server.url(), autocommit=True) as raw:
        raw.execute("CREATE TABLE item (key text PRIMARY KEY, data bytea)")
        put = "INSERT INTO item VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET data = excluded.data"
        yield Pair(
            server.url(),
            lambda key: raw.execute("SELECT data FROM item WHERE key = %s", (key,)).fetchone(),
            lambda key, data: raw.execute(put, (key, data)),
            "psycopg (the server's fsync is off)",
        )


@contextmanager
def redis_pair(folder: Path) -> Iterator[Pair]:
    import redis

    from tests.servers import RedisServer

    server = RedisServer(folder)
    try:
        with redis.Redis(port=server.port, protocol=2) as raw:
            yield Pair(server.url, raw.get, raw.set, "redis-py (every write is on the disk)")
    finally:
        server.stop()


@contextmanager
def mysql_pair(_folder: Path) -> Iterator[Pair]:
    from tests.mariadb import mariadb_server

    with mariadb_server() as server:
        url = server.url()
        with server.connect(url.partition("?")[0].rpartition("/")[2]) as raw, raw.cursor() as cursor:
            cursor.execute("CREATE TABLE item (`key` varbinary(256) PRIMARY KEY, data longblob)")

            def get(key: str) -> object:
                cursor.execute("SELECT data FROM item WHERE `key` = %s", (key,))
                return cursor.fetchone()

            def put(key: str, data: bytes) -> object:
                return cursor.execute("REPLACE INTO item VALUES (%s, %s)", (key, data))

            yield Pair(url, get, put, "pymysql (the server's fsync is off)")


@contextmanager
def dynamodb_pair(folder: Path) -> Iterator[Pair]:
    import boto3

    from tests.servers import S3Server

    server = S3Server(folder)
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
    try:
        raw = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=server.endpoint)
        names = [{"AttributeName": "item_key", "AttributeType": "S"}]
        keys = [{"AttributeName": "item_key", "KeyType": "HASH"}]
        raw.create_table(
            TableName="raw", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=names, KeySchema=keys
        )

        def get(key: str) -> object:
            return raw.get_item(TableName="raw", Key={"item_key": {"S": key}}, ConsistentRead=True)

        def put(key: str, data: bytes) -> object:
            return raw.put_item(TableName="raw", Item={"item_key": {"S": key}, "data": {"B": data}})

        url = f"dynamodb://us-east-1/own?endpoint={server.endpoint}"
        yield Pair(url, get, put, "boto3 (moto's server)")
    finally:
        server.stop()


PAIRS = {
    "memory": memory_pair,
    "sqlite": sqlite_pair,
    "postgresql": postgresql_pair,
    "mysql": mysql_pair,
    "redis": redis_pair,
    "dynamodb": dynamodb_pair,
}


def raw_sqlite(path: Path) -> sqlite3.Connection:
    """As durable as ours."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def compared(name: str, pair: Pair, rounds: int) -> list[Row]:
    """One row for set, one for get; every round in another order, the first ten not counted."""
    with ExitStack() as stack:
        state = open_state(pair.url)
        stack.callback(state.close)
        session = SessionNamespace("user", "session")
        calls: dict[str, Callable[[str], object]] = {
            "set": lambda key: state.set(key, DATA, session),
            "set with a ttl": lambda key: state.set(f"{key}-ttl", DATA, session, TTL),
            "raw set": lambda key: pair.set(key, DATA),
            "get": lambda key: state.get(key, session),
            "raw get": pair.get,
        }
        taken: dict[str, list[float]] = {kind: [] for kind in calls}
        order = random.Random(1)
        for number in range(-10, rounds):
            for kind in order.sample(list(calls), len(calls)):
                took_s = seconds(lambda kind=kind, number=number: calls[kind](f"key-{number % 50}"))
                if number >= 0:
                    taken[kind].append(took_s)
    return [
        _unjudged(
            f"state: set {len(DATA)} bytes, {name}",
            f"{spread(taken['set'])}; with a ttl {spread(taken['set with a ttl'])}",
            f"{pair.peer} {spread(taken['raw set'])}",
        ),
        _unjudged(
            f"state: get {len(DATA)} bytes, {name}",
            spread(taken["get"]),
            f"{pair.peer} {spread(taken['raw get'])}",
        ),
    ]


def _unjudged(what: str, measured: str, peer: str) -> Row:
    return Row(what, measured, peer, "–", None, command_of(__file__))


def seconds(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def spread(taken_s: Sequence[float]) -> str:
    """The median, and what 95 % stay below."""
    return f"{_said(statistics.median(taken_s))} (p95 {_said(sorted(taken_s)[int(len(taken_s) * 0.95)])})"


def _said(took_s: float) -> str:
    """With three digits, in µs or ms."""
    return f"{1e6 * took_s:.3g} µs" if took_s < 0.9995e-3 else f"{1e3 * took_s:.3g} ms"


# ---------------------------------------------------------------------------------- a million items


def a_place(user: int, session: int, key: int) -> tuple[str, str, str]:
    """Sessions have the same keys, and users the same sessions: only the namespace tells them apart."""
    return f"user-{user:04d}", f"session-{session}", f"key-{key:03d}"


def its_data(user: int, session: int, key: int) -> bytes:
    return b"%d/%d/%d " % (user, session, key) + DATA


def places() -> Iterator[tuple[int, int, int]]:
    return (
        (user, session, key) for user in range(USERS) for session in range(SESSIONS) for key in range(KEYS)
    )


class Clock:
    """What time it is for a store, so that an hour need not be waited for."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def memory_million(_folder: Path) -> list[Row]:
    """Beside a dict of the same addresses, which is searched for what belongs to a session."""
    before = resident_bytes()
    plain = {a_place(*place): its_data(*place) for place in places()}
    plain_bytes = resident_bytes() - before
    clock = Clock()
    backend = MemoryBackend(max_bytes=4 << 30, max_items=2_000_000)
    state = NamespacedStorage(backend, now=clock)
    before, began_s = resident_bytes(), time.perf_counter()
    for user in range(USERS):
        for session in range(SESSIONS):
            namespace = SessionNamespace(*a_place(user, session, 0)[:2])
            items = {a_place(user, session, key)[2]: its_data(user, session, key) for key in range(KEYS)}
            ttl = TTL if user < EXPIRING_USERS else None
            state.apply([Put(key, data, namespace, ttl) for key, data in items.items()])
    filled_s, own_bytes = time.perf_counter() - began_s, resident_bytes() - before
    count = len(plain)
    size = _unjudged(
        f"state in memory, {count:,} items: bytes an item, of which {len(its_data(1, 1, 1))} are data",
        f"{own_bytes / count:.0f} ({own_bytes / 1e6:.0f} MB; counted as {backend.used_bytes / count:.0f});"
        f" filled in {filled_s:.0f} s by changes of {KEYS} at once",
        f"a dict by the same names {plain_bytes / count:.0f}",
    )

    def remove(user: str, session: str | None) -> None:
        for place in [at for at in plain if at[0] == user and session in (None, at[1])]:
            del plain[place]

    def sweep() -> None:
        limit = f"user-{EXPIRING_USERS:04d}"
        for place in [at for at in plain if at[0] < limit]:
            del plain[place]

    return [size, *asked_and_removed("memory", state, clock, Raw("a dict", plain.get, remove, sweep))]


def sqlite_million(folder: Path) -> list[Row]:
    """Filled past the store, which takes a minute longer; beside the same statements on a copy."""
    clock, paths = Clock(), (folder / "million.db", folder / "million-raw.db")
    for path in paths:
        sqlite_backend(path).close()
        fill(path)
    count = USERS * SESSIONS * KEYS
    size = _unjudged(
        f"state in SQLite, {count:,} items: bytes an item, of which {len(its_data(1, 1, 1))} are data",
        f"{paths[0].stat().st_size / count:.0f} (key, times, version and the index of expiry)",
        "–",
    )
    state = NamespacedStorage(sqlite_backend(paths[0]), now=clock)
    raw = raw_sqlite(paths[1])
    gone_us = _us(START + 2 * TTL)

    def get(place: tuple[str, str, str]) -> object:
        sql = "SELECT data FROM state WHERE user_id = ? AND session_id = ? AND key = ?"
        return raw.execute(sql, place).fetchone()

    def remove(user: str, session: str | None) -> None:
        only = "" if session is None else " AND session_id = ?"
        values = (user,) if session is None else (user, session)
        raw.execute(f"DELETE FROM state WHERE user_id = ?{only}", values)  # noqa: S608  fixed words only

    def sweep() -> None:
        raw.execute("DELETE FROM state WHERE expires_us <= ?", (gone_us,))

    rows = asked_and_removed("SQLite", state, clock, Raw("sqlite3", get, remove, sweep))
    state.close()
    raw.close()
    return [size, *rows]


MILLIONS = {"memory-million": memory_million, "sqlite-million": sqlite_million}


def fill(path: Path) -> None:
    connection = raw_sqlite(path)
    created_us, expires_us = _us(START), _us(START + TTL)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        FILLED,
        (
            (
                *a_place(*place),
                encode(its_data(*place)),
                created_us,
                expires_us if place[0] < EXPIRING_USERS else None,
                f"{number:016x}",
            )
            for number, place in enumerate(places())
        ),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


@dataclass(frozen=True, slots=True)
class Raw:
    """The same without namespaces, times and versions."""

    name: str
    get: Callable[[tuple[str, str, str]], object]
    remove: Callable[[str, str | None], object]
    sweep: Callable[[], object]


def asked_and_removed(name: str, state: NamespacedStorage, clock: Clock, raw: Raw) -> list[Row]:
    """Gets, deletions and the sweep among a million items; asserts that each touches its own items alone."""
    chance = random.Random(3)
    gets: list[float] = []
    raw_gets: list[float] = []
    for _ in range(ASKED):
        place = chance.randrange(USERS), chance.randrange(SESSIONS), chance.randrange(KEYS)
        user, session, key = a_place(*place)
        assert state.get(key, SessionNamespace(user, session)).data == its_data(*place)  # type: ignore[union-attr]  # None fails here as well
        gets.append(seconds(lambda at=(user, session, key): state.get(at[2], SessionNamespace(*at[:2]))))
        raw_gets.append(seconds(lambda at=(user, session, key): raw.get(at)))
    sessions, raw_sessions = _removed(state, raw, [(500 + at, 3) for at in range(DELETED)], KEYS)
    users, raw_users = _removed(state, raw, [(600 + at, None) for at in range(DELETED)], KEYS * SESSIONS)
    clock.now = START + 2 * TTL
    began_s = time.perf_counter()
    swept = state.sweep()
    swept_s = time.perf_counter() - began_s
    assert swept == EXPIRING_USERS * SESSIONS * KEYS, swept
    assert state.get("key-000", SessionNamespace("user-0999", "session-0")) is not None
    among = f"state in {name}, among {USERS * SESSIONS * KEYS:,} items"
    return [
        _unjudged(f"{among}: get of one session", spread(gets), f"{raw.name} {spread(raw_gets)}"),
        _unjudged(
            f"{among}: deleting a session of {KEYS}", spread(sessions), f"{raw.name} {spread(raw_sessions)}"
        ),
        _unjudged(
            f"{among}: deleting a user with {SESSIONS} sessions, {KEYS * SESSIONS:,} items",
            spread(users),
            f"{raw.name} {spread(raw_users)}",
        ),
        _unjudged(
            f"{among}: sweeping {swept:,} expired",
            f"{swept_s:.2f} s",
            f"{raw.name} {seconds(raw.sweep):.2f} s",
        ),
    ]


def _removed(
    state: NamespacedStorage, raw: Raw, doomed: Sequence[tuple[int, int | None]], expected: int
) -> tuple[list[float], list[float]]:
    """Namespaces deleted one after the other; a neighbour with the same keys is whole afterwards."""
    own: list[float] = []
    beside: list[float] = []
    for user, session in doomed:
        names = a_place(user, session or 0, 0)
        namespace = UserNamespace(names[0]) if session is None else SessionNamespace(*names[:2])
        began_s = time.perf_counter()
        gone = state.delete(namespace)
        own.append(time.perf_counter() - began_s)
        assert gone == expected, gone
        beside.append(
            seconds(
                lambda names=names, all_=session is None: raw.remove(names[0], None if all_ else names[1])
            )
        )
        neighbour = SessionNamespace(*a_place(user + 100, 3, 0)[:2])
        assert len(state.keys(neighbour)) == KEYS
    return own, beside


def resident_bytes() -> int:
    return memory_of(os.getpid())["Rss"]


if __name__ == "__main__":
    main()
