"""One suite for every backend of the state: in memory, SQLite, PostgreSQL, MariaDB, Redis, DynamoDB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.storage.state import (
    ANY,
    InvalidOptionsError,
    Namespace,
    NamespacedStorage,
    Put,
    Remove,
    SessionNamespace,
    Storage,
    StorageItem,
    UserNamespace,
    open_state,
)
from monitord.storage.state.codec import DATA_LIMIT_BYTES
from monitord.storage.state.opening import open_backend
from tests.mariadb import MariaDBServer
from tests.patience import PATIENCE_S
from tests.postgres import PostgresServer
from tests.servers import RedisServer, dynamodb_url

ADA, BOB = UserNamespace("ada"), UserNamespace("bob")
ADA_1, ADA_2 = SessionNamespace("ada", "1"), SessionNamespace("ada", "2")
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mysql", "redis", "dynamodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A backend with nothing in it."""
    match request.param:
        case "memory":
            return "memory://"
        case "sqlite":
            return f"sqlite:///{tmp_path}/state.db"
        case "postgresql":
            server: PostgresServer = request.getfixturevalue("postgres")
            return server.url()
        case "mysql":
            mysql: MariaDBServer = request.getfixturevalue("mariadb")
            return mysql.url()
        case "dynamodb":
            return dynamodb_url(request)
    redis: RedisServer = request.getfixturevalue("redis_server")
    redis.command("FLUSHALL")
    return redis.url


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, span: timedelta) -> None:
        self.now += span


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(url: str, clock: Clock) -> Iterator[Storage]:
    storage = NamespacedStorage(open_backend(url, within_s=PATIENCE_S), within_s=PATIENCE_S, now=clock)
    yield storage
    storage.close()


def data_of(item: StorageItem | None) -> bytes | None:
    return item.data if item else None


def test_what_was_set_is_there(state: Storage, clock: Clock) -> None:
    """An item comes back with its bytes and the time it was stored."""
    stored = state.set("key", b"\0\xff data")
    assert state.get("key") == stored
    assert stored == StorageItem(b"\0\xff data", stored.created_at, None, stored.version)
    assert abs(stored.created_at - clock.now) < timedelta(microseconds=1)


def test_what_is_not_there_is_none(state: Storage) -> None:
    """A key that nobody set is no error."""
    assert state.get("key") is None
    assert state.get("key", ADA) is None
    assert state.delete(None, "key") == 0
    assert state.delete(ADA) == 0


def test_setting_again_replaces(state: Storage, clock: Clock) -> None:
    """The newer item stands, with its own time and version, and without the older one's time to live."""
    first = state.set("key", b"old", ttl=MINUTE)
    clock.pass_by(timedelta(seconds=1))
    second = state.set("key", b"new")
    assert state.get("key") == second
    assert second.version != first.version
    clock.pass_by(10 * MINUTE)
    assert data_of(state.get("key")) == b"new"


@pytest.mark.parametrize("namespace", [None, ADA, ADA_1])
def test_namespaces_are_apart(state: Storage, namespace: Namespace) -> None:
    """An item of one namespace is in no other."""
    state.set("key", b"mine", namespace)
    for other in {None, ADA, ADA_1, ADA_2, BOB, SessionNamespace("bob", "1")} - {namespace}:
        assert state.get("key", other) is None
    assert data_of(state.get("key", namespace)) == b"mine"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((SessionNamespace("a/b", "c"), "k"), (SessionNamespace("a", "b/c"), "k")),
        ((SessionNamespace("a:b", "c"), "k"), (SessionNamespace("a", "b:c"), "k")),
        ((UserNamespace("a"), "b:k"), (SessionNamespace("a", "b"), "k")),
        ((None, "a:k"), (UserNamespace("a"), "k")),
        ((UserNamespace("*"), "k"), (UserNamespace("a"), "k")),
        ((UserNamespace("%"), "k"), (UserNamespace("a"), "k")),
        ((UserNamespace("_"), "k"), (UserNamespace("a"), "k")),
        ((UserNamespace("a'; DROP TABLE state; --"), "k"), (UserNamespace("a"), "k")),
        ((UserNamespace("A"), "k"), (UserNamespace("a"), "k")),
        ((UserNamespace("a "), "k"), (UserNamespace("a"), "k")),
        ((UserNamespace("é"), "k"), (UserNamespace("e\u0301"), "k")),
        ((UserNamespace("u" * 256), "k" * 256), (UserNamespace("u" * 255), "k" * 256)),
    ],
)
def test_no_two_names_collide(
    state: Storage, one: tuple[Namespace, str], other: tuple[Namespace, str]
) -> None:
    """Whatever ids are made of, they are one namespace each; deleting one leaves the other."""
    state.set(one[1], b"one", one[0])
    assert state.get(other[1], other[0]) is None
    state.set(other[1], b"other", other[0])
    assert data_of(state.get(one[1], one[0])) == b"one"
    state.delete(*one)
    assert data_of(state.get(other[1], other[0])) == b"other"
    state.set(one[1], b"one", one[0])
    if one[0] is not None:
        state.delete(one[0])
        still_there = None if isinstance(one[0], UserNamespace) and _is_within(other[0], one[0]) else b"other"
        assert data_of(state.get(other[1], other[0])) == still_there


def _is_within(namespace: Namespace, user: UserNamespace) -> bool:
    return namespace is not None and namespace.user_id == user.user_id


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\x1b[31m", "\udcff", "x" * 257, "é" * 129, 7, None])
def test_impossible_names_are_refused(state: Storage, name: str) -> None:
    """A key or id that is empty, too long or not printable is refused before anything is done."""
    calls: list[Callable[[], object]] = [
        lambda: state.get(name),
        lambda: state.set(name, b""),
        lambda: state.set("key", b"", UserNamespace(name)),
        lambda: state.set("key", b"", SessionNamespace("ada", name)),
        lambda: state.get("key", SessionNamespace(name, "1")),
        lambda: state.delete(UserNamespace(name)),
        lambda: state.keys(SessionNamespace("ada", name)),
    ]
    for call in calls:
        with pytest.raises(InvalidOptionsError):
            call()
    assert state.keys() == []


def test_impossible_values_are_refused(state: Storage) -> None:
    """Data over the limit, what is no bytes, and times to live that can't be: refused, and what was there stays."""
    state.set("key", b"was there")
    for data in (b"x" * (DATA_LIMIT_BYTES + 1), "text", bytearray(b"x"), None):
        with pytest.raises(InvalidOptionsError):
            state.set("key", data)  # type: ignore[arg-type]  # the subject of the test
    for ttl in (timedelta(0), timedelta(seconds=-1), timedelta(days=100_000)):
        with pytest.raises(InvalidOptionsError):
            state.set("key", b"new", ttl=ttl)
    assert data_of(state.get("key")) == b"was there"


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, DATA_LIMIT_BYTES])
@pytest.mark.parametrize("content", [b"a", None])
def test_any_size_comes_back(state: Storage, size: int, content: bytes | None) -> None:
    """Up to the limit, compressible or not, data comes back as it was."""
    data = content * size if content else (bytes(range(256)) * (size // 256 + 1))[:size]
    state.set("key", data, ADA_1)
    assert data_of(state.get("key", ADA_1)) == data


def test_expired_is_never_seen(state: Storage, clock: Clock) -> None:
    """From the moment its time is over an item is in no answer and counts as absent for every change."""
    state.set("short", b"1", ADA, ttl=MINUTE)
    state.set("long", b"2", ADA, ttl=10 * MINUTE)
    clock.pass_by(MINUTE - timedelta(microseconds=1))
    assert state.keys(ADA) == ["long", "short"]
    clock.pass_by(timedelta(microseconds=1))
    assert state.get("short", ADA) is None
    assert set(state.get_many(["short", "long"], ADA)) == {"long"}
    assert state.keys(ADA) == ["long"]
    assert state.delete(ADA, "short") == 0
    state.set("short", b"1", ADA, ttl=MINUTE)
    clock.pass_by(MINUTE)
    assert state.compare_and_set(Put("short", b"new", ADA, expected=None))
    assert state.delete(ADA) == 2


def test_sweeping_takes_the_expired_only(state: Storage, clock: Clock) -> None:
    """A sweep removes what has expired, in every namespace, and nothing else; a second finds nothing."""
    for n in range(30):
        state.set(f"short-{n}", b"x", SessionNamespace(f"user-{n % 3}", f"{n % 2}"), ttl=MINUTE)
    state.set("renewed", b"x", ADA, ttl=MINUTE)
    state.set("renewed", b"x", ADA, ttl=10 * MINUTE)
    state.set("for ever", b"x", ADA)
    clock.pass_by(2 * MINUTE)
    assert state.sweep() == 30
    assert state.sweep() == 0
    assert state.keys(ADA) == ["for ever", "renewed"]


def test_deleting_a_user_takes_its_sessions(state: Storage) -> None:
    """A user goes with all sessions, a session alone, everybody's items alone; others stay."""
    for namespace in (None, ADA, ADA_1, ADA_2, BOB):
        state.set("a", b"1", namespace)
        state.set("b", b"2", namespace)
    assert state.delete(ADA_1) == 2
    assert state.keys(ADA_1) == []
    assert state.keys(ADA_2) == state.keys(ADA) == ["a", "b"]
    assert state.delete(None) == 2
    assert state.keys() == []
    assert state.delete(ADA) == 4
    assert state.keys(ADA_2) == state.keys(ADA) == []
    assert state.keys(BOB) == ["a", "b"]


def test_many_at_once(state: Storage) -> None:
    """Bulk calls do what single ones do, for more keys than one statement takes."""
    at_once = state.backend.changes_at_once  # type: ignore[attr-defined]  # of the one implementation
    items = {f"key-{n:04d}": str(n).encode() for n in range(min(1500, at_once or 1500))}
    state.apply([Put(key, data, BOB, MINUTE) for key, data in items.items()])
    found = state.get_many([*items, "absent"], BOB)
    assert {key: item.data for key, item in found.items()} == items
    assert state.keys(BOB) == sorted(items)
    half = len(items) // 2
    state.delete_many([*list(items)[:half], "absent"], BOB)
    assert state.keys(BOB) == sorted(items)[half:]
    if at_once is not None:
        with pytest.raises(InvalidOptionsError):
            state.apply([Put(f"k{n}", b"") for n in range(at_once + 1)])
    assert state.get_many([], BOB) == {}


def test_compare_and_set(state: Storage) -> None:
    """A change is made exactly when what it expects is there."""
    assert not state.compare_and_set(Put("key", b"1", ADA, expected="0123456789abcdef"))
    assert state.compare_and_set(Put("key", b"1", ADA, expected=None))
    assert not state.compare_and_set(Put("key", b"2", ADA, expected=None))
    first = state.get("key", ADA)
    assert first is not None
    assert state.compare_and_set(Put("key", b"2", ADA, expected=first.version))
    assert not state.compare_and_set(Put("key", b"3", ADA, expected=first.version))
    state.set("key", b"1", ADA)  # the same bytes again are not the same version
    assert not state.apply([Remove("key", ADA, expected=first.version)])
    assert data_of(state.get("key", ADA)) == b"1"


def test_a_transaction_is_made_whole_or_not_at_all(state: Storage) -> None:
    """When one expectation of several does not hold nothing is changed; else everything is."""
    kept = state.set("kept", b"1", ADA)
    state.set("going", b"1", BOB)
    changes = [Put("new", b"2", ADA_1, expected=None), Remove("going", BOB), Put("kept", b"2", ADA)]
    assert not state.apply([*changes, Remove("absent", expected="f" * 16)])
    assert state.get("kept", ADA) == kept
    assert state.get("new", ADA_1) is None
    assert data_of(state.get("going", BOB)) == b"1"
    assert state.apply([*changes, Remove("absent", expected=None)])
    assert data_of(state.get("new", ADA_1)) == b"2"
    assert state.get("going", BOB) is None
    assert data_of(state.get("kept", ADA)) == b"2"
    with pytest.raises(InvalidOptionsError):
        state.apply([Put("twice", b"1"), Remove("twice")])
    assert state.apply([])


def test_of_many_who_count_none_is_lost(url: str) -> None:
    """Two connections and several threads count with compare-and-set; every step is in the sum."""
    shared = open_state(url, within_s=PATIENCE_S)
    others = shared if url == "memory://" else open_state(url, within_s=PATIENCE_S)

    def count(storage: Storage) -> None:
        done = 0
        while done < 25:
            item = storage.get("count", ADA)
            number = int(item.data) if item else 0
            wanted = item.version if item else None
            done += storage.compare_and_set(Put("count", str(number + 1).encode(), ADA, expected=wanted))

    threads = [
        threading.Thread(target=count, args=(storage,)) for storage in (shared, others, shared, others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert data_of(shared.get("count", ADA)) == b"100"
    shared.close()
    others.close()


def test_a_deleted_session_leaves_nothing_however_busy(url: str) -> None:
    """Beside a writer, deleting a session takes all or nothing of what one transaction wrote."""
    storage = open_state(url, within_s=PATIENCE_S)
    pairs = [Put("left", b"1", ADA_1), Put("right", b"1", ADA_1)]
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            storage.apply(pairs)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(40):
        storage.delete(ADA_1)
        assert storage.keys(ADA_1) in ([], ["left", "right"])
    is_over.set()
    writer.join()
    storage.delete(ADA)
    assert storage.keys(ADA_1) == []
    storage.close()


def test_what_lasts_is_there_for_the_next(url: str) -> None:
    """Every backend but memory gives what another process, or the same one later, stored."""
    first = open_state(url, within_s=PATIENCE_S)
    stored = first.set("key", b"data", ADA_1, ttl=timedelta(days=1))
    first.close()
    later = open_state(url, within_s=PATIENCE_S)
    assert later.get("key", ADA_1) == (None if url == "memory://" else stored)
    later.close()


def test_namespaces_are_counted(state: Storage, clock: Clock) -> None:
    """Every namespace with live items is listed with their number; one that has none is not."""
    assert state.namespaces() == []
    for namespace, count in ((None, 1), (ADA, 3), (ADA_1, 2), (BOB, 1)):
        for n in range(count):
            state.set(f"k{n}", b"x", namespace)
    state.set("short", b"x", ADA, ttl=MINUTE)
    state.set("short", b"x", ADA_2, ttl=MINUTE)
    clock.pass_by(MINUTE)
    assert state.namespaces() == [(None, 1), (ADA, 3), (ADA_1, 2), (BOB, 1)]
    state.delete(ADA)
    assert state.namespaces() == [(None, 1), (BOB, 1)]


def test_expectation_defaults_to_anything() -> None:
    """A plain change expects nothing in particular."""
    assert Put("key", b"").expected is ANY
    assert Remove("key").expected is ANY
