"""State in DynamoDB (extra `dynamodb`): a user is a partition, an item lies under its session and key.

Data over what an item may hold lies beside it in parts, named by the version that they are of. A namespace
that is written to while it is deleted may keep what came meanwhile: a query is not part of a transaction.
Names of attributes have an underscore, which no reserved word has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from monitord.errors import UsageError
from monitord.installation import install_command
from monitord.storage.state.backend import left_s
from monitord.storage.state.errors import StateUnavailableError, StateUnusableError
from monitord.storage.state.items import ANY, Record, Write
from monitord.storage.state.names import Address, Scope

_READ_AT_ONCE, _WRITTEN_AT_ONCE = 100, 100  # of DynamoDB
_PART_BYTES = 350_000  # an item may have 400 KB
_ORPHANED_US = 3_600_000_000  # a writer of parts is done after this
_LIVE = "attribute_not_exists(expires_us) OR expires_us > :now"
_BUSY = {"TransactionConflict", "TransactionInProgress", "ThrottlingError", "ProvisionedThroughputExceeded"}
_PAUSE_S = 0.02
_REGION = re.compile(r"[a-z0-9-]{1,40}")


def dynamodb_backend(url: str) -> DynamoDBBackend:
    """Open `dynamodb://REGION/TABLE?endpoint=URL`; the table is made where there is none.

    Credentials come from where boto3 looks for them.
    """
    region, table, endpoint = parsed(url)
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise StateUnusableError(f"cannot import boto3; install it: {install_command('dynamodb')}") from error
    from monitord.storage.state.aws import send_limited

    with _explained():
        once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
        client = boto3.session.Session().client(
            "dynamodb", region_name=region, endpoint_url=endpoint, config=once
        )
        client.meta.events.register("before-send.dynamodb", send_limited())
        backend = DynamoDBBackend(client, table)
        backend.make_table()
    return backend


def parsed(url: str) -> tuple[str, str, str | None]:
    """Return region, table and endpoint of a URL; raises UsageError."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    table = parts.path.strip("/")
    if not _REGION.fullmatch(parts.netloc) or not table or set(options) - {"endpoint"}:
        raise UsageError("invalid state URL: expected dynamodb://REGION/TABLE, and ?endpoint=URL for another")
    return parts.netloc, table, options.get("endpoint", [None])[0]


class DynamoDBBackend:
    """Records in one table, by a client of boto3's."""

    changes_at_once: int | None = _WRITTEN_AT_ONCE

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def make_table(self) -> None:
        """Make the table unless it is there, and wait until it is."""
        found = self._client.exceptions.ResourceNotFoundException
        try:
            self._client.describe_table(TableName=self._table)
            return
        except found:
            pass
        names = [("user_id", "HASH"), ("item_key", "RANGE")]
        try:
            self._client.create_table(
                TableName=self._table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _kind in names],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names],
            )
        except self._client.exceptions.ResourceInUseException:
            pass  # another made it
        while self._client.describe_table(TableName=self._table)["Table"]["TableStatus"] != "ACTIVE":
            left_s()
            time.sleep(_PAUSE_S)

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """See StateBackend.read."""
        found: dict[tuple[str, str], Record] = {}
        unique = [_key(address) for address in dict.fromkeys(addresses)]
        with _explained():
            for start in range(0, len(unique), _READ_AT_ONCE):
                for item in self._got(unique[start : start + _READ_AT_ONCE]):
                    found[item["user_id"]["S"], item["item_key"]["S"]] = self._record(item)
        records = [found.get((key["user_id"]["S"], key["item_key"]["S"])) for key in map(_key, addresses)]
        return [record if record and record.is_live(now_us) else None for record in records]

    def _got(self, keys: Sequence[Any]) -> Iterator[Any]:
        asked: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
        while asked:
            answer = self._client.batch_get_item(RequestItems=asked)
            yield from answer["Responses"].get(self._table, ())
            asked = answer.get("UnprocessedKeys")

    def _record(self, item: Any) -> Record:
        data = bytes(item["data"]["B"]) if "data" in item else b""
        if count := int(item.get("parts", {"N": 0})["N"]):
            pieces = list(self._asked("user_id = :user", {":user": {"S": "p" + item["version_id"]["S"]}}))
            if len(pieces) != count:
                raise StateUnavailableError("cannot read an item: it was replaced meanwhile; try again")
            data = b"".join(bytes(piece["data"]["B"]) for piece in pieces)
        expires = item.get("expires_us")
        expires_us = None if expires is None else int(expires["N"])
        return Record(data, int(item["created_us"]["N"]), expires_us, item["version_id"]["S"])

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """See StateBackend.write."""
        with _explained():
            changes = [self._change(write, now_us) for write in writes]
            return self._made(changes)

    def _made(self, changes: Sequence[Any]) -> bool:
        """One transaction, again while others are in its way; False when a condition did not hold."""
        while True:
            try:
                self._client.transact_write_items(TransactItems=changes)
                return True
            except self._client.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
                if "ConditionalCheckFailed" in codes:
                    return False
                if not codes & _BUSY:
                    raise
            left_s()
            time.sleep(_PAUSE_S)

    def _change(self, write: Write, now_us: int) -> Any:
        key = _key(Address(write.user_id, write.session_id, write.key))
        condition: dict[str, Any] = {}
        if write.expected is None:
            condition = {"ConditionExpression": "attribute_not_exists(version_id) OR expires_us <= :now"}
        elif write.expected is not ANY:
            condition = {"ConditionExpression": f"version_id = :version AND ({_LIVE})"}
        if condition:
            values = {":now": _number(now_us)}
            if isinstance(write.expected, str):
                values[":version"] = {"S": write.expected}
            condition["ExpressionAttributeValues"] = values
        if write.record is not None:
            item = {**key, **self._stored(write.record)}
            return {"Put": {"TableName": self._table, "Item": item, **condition}}
        kind = "ConditionCheck" if write.expected is None else "Delete"
        return {kind: {"TableName": self._table, "Key": key, **condition}}

    def _stored(self, record: Record) -> Any:
        """The record's attributes; what is too large for them is written before."""
        item = {"created_us": _number(record.created_us), "version_id": {"S": record.version}}
        if record.expires_us is not None:
            item["expires_us"] = _number(record.expires_us)
        if len(record.data) <= _PART_BYTES:
            return {**item, "data": {"B": record.data}}
        starts = range(0, len(record.data), _PART_BYTES)
        for number, start in enumerate(starts):
            piece: dict[str, Any] = {
                "user_id": {"S": "p" + record.version},
                "item_key": {"S": f"{number:04d}"},
            }
            piece |= {
                "created_us": item["created_us"],
                "data": {"B": record.data[start : start + _PART_BYTES]},
            }
            self._client.put_item(TableName=self._table, Item=piece)
        return {**item, "parts": _number(len(starts))}

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """See StateBackend.keys."""
        with _explained():
            found = self._items_of(Scope(user_id, session_id))
            return sorted(
                each["item_key"]["S"].partition("\n")[2] for each in found if _is_live(each, now_us)
            )

    def namespaces(self, now_us: int) -> list[tuple[str, str, int]]:
        """See StateBackend.namespaces; reads the whole table."""
        counts: dict[tuple[str, str], int] = {}
        with _explained():
            for item in self._all():
                if item["user_id"]["S"].startswith("u") and _is_live(item, now_us):
                    at = item["user_id"]["S"][1:], item["item_key"]["S"].partition("\n")[0]
                    counts[at] = counts.get(at, 0) + 1
        return sorted((*at, count) for at, count in counts.items())

    def remove(self, scope: Scope, now_us: int) -> int:
        """See StateBackend.remove; at once up to a hundred items."""
        count = 0
        with _explained():
            while True:
                found = list(self._items_of(scope))
                for start in range(0, len(found), _WRITTEN_AT_ONCE):
                    some = found[start : start + _WRITTEN_AT_ONCE]
                    if not self._made([self._removal(item) for item in some]):
                        break  # one was replaced since: look again
                    count += sum(_is_live(item, now_us) for item in some)
                else:
                    return count
                left_s()

    def _removal(self, item: Any) -> Any:
        condition = {"ConditionExpression": "version_id = :version"}
        values = {":version": item["version_id"]}
        key = {"user_id": item["user_id"], "item_key": item["item_key"]}
        words = {"TableName": self._table, "Key": key, "ExpressionAttributeValues": values}
        return {"Delete": {**words, **condition}}

    def sweep(self, now_us: int) -> int:
        """See StateBackend.sweep; reads the whole table, and takes parts that no item has any more."""
        count, used, parts = 0, set(), []
        refused = self._client.exceptions.ConditionalCheckFailedException
        with _explained():
            for item in self._all():
                key = {"user_id": item["user_id"], "item_key": item["item_key"]}
                if item["user_id"]["S"].startswith("p"):
                    parts.append((item["user_id"]["S"][1:], int(item["created_us"]["N"]), key))
                elif _is_live(item, now_us):
                    used.add(item["version_id"]["S"])
                else:
                    try:
                        self._client.delete_item(
                            TableName=self._table,
                            Key=key,
                            ConditionExpression="expires_us <= :now",
                            ExpressionAttributeValues={":now": _number(now_us)},
                        )
                        count += 1
                    except refused:
                        used.add(item["version_id"]["S"])
            for version, created_us, key in parts:
                if version not in used and created_us < now_us - _ORPHANED_US:
                    self._client.delete_item(TableName=self._table, Key=key)
        return count

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _items_of(self, scope: Scope) -> Iterator[Any]:
        condition, values = "user_id = :user", {":user": {"S": "u" + scope.user_id}}
        if scope.session_id is not None:
            condition += " AND begins_with(item_key, :session)"
            values[":session"] = {"S": f"{scope.session_id}\n"}
        return self._asked(condition, values, bare=True)

    def _asked(self, condition: str, values: Any, *, bare: bool = False) -> Iterator[Any]:
        words = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}
        return self._pages(self._client.query, words, bare=bare)

    def _all(self) -> Iterator[Any]:
        return self._pages(self._client.scan, {}, bare=True)

    def _pages(self, ask: Callable[..., Any], words: dict[str, Any], *, bare: bool) -> Iterator[Any]:
        words = {"TableName": self._table, "ConsistentRead": True, **words}
        if bare:  # everything but the data
            words["ProjectionExpression"] = "user_id, item_key, version_id, created_us, expires_us"
        while True:
            answer = ask(**words)
            yield from filter(_is_ours, answer["Items"])
            if not (after := answer.get("LastEvaluatedKey")):
                return
            words["ExclusiveStartKey"] = after


def _key(address: Address) -> Any:
    """No name has a line's end in it: session and key can't be ambiguous. Keys may not be empty."""
    return {
        "user_id": {"S": "u" + address.user_id},
        "item_key": {"S": f"{address.session_id}\n{address.key}"},
    }


def _number(value: int) -> Any:
    return {"N": str(value)}


def _is_ours(item: Any) -> bool:
    """Whether it has what each of ours has: others may write into the table, too."""
    return (
        item["user_id"]["S"][:1] in ("u", "p")
        and "S" in item.get("item_key", {})
        and "N" in item.get("created_us", {})
        and ("S" in item.get("version_id", {}) or item["user_id"]["S"].startswith("p"))
    )


def _is_live(item: Any, now_us: int) -> bool:
    return "expires_us" not in item or int(item["expires_us"]["N"]) > now_us


@contextmanager
def _explained() -> Iterator[None]:
    """Let errors of boto3 and of the network out as StateUnavailableError."""
    from http.client import HTTPException

    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, HTTPException, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise StateUnavailableError(f"cannot use DynamoDB: {said}") from error
