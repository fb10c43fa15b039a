"""What only DynamoDB has: data in parts, which go when nothing has them any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitord.errors import UsageError
from monitord.storage.state import NamespacedStorage, open_state
from monitord.storage.state.dynamodb import DynamoDBBackend, dynamodb_backend
from monitord.storage.state.opening import open_backend
from tests.servers import dynamodb_url


def _rows(backend: DynamoDBBackend) -> int:
    return sum(1 for _item in backend._all())


def test_parts_that_no_item_has_are_swept(request: pytest.FixtureRequest) -> None:
    """Large data that was replaced goes an hour later; what an item still has stays, and is whole."""
    backend = open_backend(dynamodb_url(request))
    assert isinstance(backend, DynamoDBBackend)
    now = [datetime.now(UTC)]
    state = NamespacedStorage(backend, now=lambda: now[0])
    noise = bytes(range(256)) * 4000
    noise = b"".join(hash((n, "x")).to_bytes(8, "big", signed=True) for n in range(125_000))
    state.set("large", noise)
    state.set("large", noise[::-1])
    state.set("other", noise)
    before = _rows(backend)
    state.sweep()
    assert _rows(backend) == before  # who wrote them may be at it still
    now[0] += timedelta(hours=2)
    state.sweep()
    assert _rows(backend) == before - 3
    item = state.get("large")
    assert item is not None
    assert item.data == noise[::-1]
    state.close()


@pytest.mark.parametrize("url", ["dynamodb://", "dynamodb://us-east-1", "dynamodb://us-east-1/t?strange=1"])
def test_a_url_without_region_or_table_is_refused(url: str) -> None:
    """Both are named, and no option is unknown."""
    with pytest.raises(UsageError):
        dynamodb_backend(url)


def test_missing_rights_are_said(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials it is one error of the state."""
    url = dynamodb_url(request)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    from monitord.storage.state import StateUnavailableError

    with pytest.raises(StateUnavailableError, match="redentials"):
        open_state(url)
