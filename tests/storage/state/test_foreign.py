"""What others write where state lies: skipped or one error, and no obstacle to what is ours."""

from __future__ import annotations

from typing import Any

import pytest

from monitord.storage.state import NamespacedStorage, StateUnavailableError, UserNamespace
from monitord.storage.state.dynamodb import DynamoDBBackend
from monitord.storage.state.opening import open_backend
from tests.servers import RedisServer, dynamodb_url


def test_keys_that_only_look_like_ours_are_skipped(redis_server: RedisServer) -> None:
    """In a Redis that others use, too, ours are counted, listed and swept as ever."""
    redis_server.command("FLUSHALL")
    state = NamespacedStorage(open_backend(redis_server.url))
    state.set("k", b"1", UserNamespace("ada"))
    ours = next(key for key in redis_server.command("KEYS", "*").decode().split() if ":m:" in key)
    for name in ("x", "a:b:c", "!:!", "%:", "_w==:"):
        redis_server.command("SADD", f"monitord:state:m:{name}", "y")
    redis_server.command("SADD", ours, "!", "_w==")
    assert state.namespaces() == [(UserNamespace("ada"), 1)]
    assert state.keys(UserNamespace("ada")) == ["k"]
    state.sweep()
    item = state.get("k", UserNamespace("ada"))
    assert item is not None
    assert item.data == b"1"
    state.close()


def test_items_of_others_in_the_table_are_skipped(request: pytest.FixtureRequest) -> None:
    """Whatever attributes they lack or have of another kind."""
    backend = open_backend(dynamodb_url(request))
    assert isinstance(backend, DynamoDBBackend)
    state = NamespacedStorage(backend)
    state.set("k", b"1", UserNamespace("ada"))
    for user, more in (("uada", {}), ("x", {}), ("p1", {}), ("ubob", {"created_us": {"S": "x"}})):
        item = {"user_id": {"S": user}, "item_key": {"S": "\nforeign"}, **more}
        backend._client.put_item(TableName=backend._table, Item=item)
    assert state.namespaces() == [(UserNamespace("ada"), 1)]
    assert state.keys(UserNamespace("ada")) == ["k"]
    assert state.sweep() == 0
    with pytest.raises(StateUnavailableError, match="not what monitord wrote"):
        state.get("foreign", UserNamespace("ada"))
    state.close()


@pytest.mark.parametrize(
    "kind", [ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError]
)
def test_what_a_backend_trips_over_is_one_error(kind: type[Exception]) -> None:
    """Those of other packages as ours: nobody who keeps state hears of anything else."""

    class Tripping:
        changes_at_once = None

        def __getattr__(self, _name: str) -> Any:
            def trip(*_words: Any) -> Any:
                raise kind("x")

            return trip

    state = NamespacedStorage(Tripping())  # type: ignore[arg-type]  # the subject of the test
    calls = (
        lambda: state.get("k"), lambda: state.set("k", b""), lambda: state.delete(None), state.keys,
        state.namespaces, state.sweep,
    )  # fmt: skip
    for call in calls:
        with pytest.raises(StateUnavailableError):
            call()
