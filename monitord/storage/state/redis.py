"""State in Redis (server 7.0 or newer, extra `redis`) or KeyDB, which speaks the same: a string an item.

Every change is one script, so it happens whole or not at all. Names go into Redis' keys as base64url,
which holds no separator: no two addresses share a key. Redis drops what has expired by itself; a moment's
difference between its clock and ours never shows, because ours decides (`now_us`).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from monitord.errors import UsageError
from monitord.installation import install_command
from monitord.storage.state.errors import StateFullError, StateUnavailableError, StateUnusableError
from monitord.storage.state.items import ANY, Record, Write
from monitord.storage.state.names import Address, Scope

_PREFIX = "monitord:state:"
_BATCH = 500
_HEADER_BYTES = 48  # version 16, created 16, expires 16 (digits; all zeros: never)
_NEVER = "0" * 16
_GRACE_MS = 1000  # Redis' own clock may run behind or ahead of ours

# KEYS: for each write the item, its namespace's members, the user's sessions.
# ARGV: now, then for each write: expectation ("any", "none" or a version), record ("" removes), ttl in ms
# ("" never), the key's name, the session's name.
_WRITE = """
local now = ARGV[1]
local n = (#ARGV - 1) / 5
for i = 0, n - 1 do
  local expected = ARGV[2 + i * 5]
  if expected ~= 'any' then
    local head = redis.call('GETRANGE', KEYS[1 + i * 3], 0, 47)
    local version = 'none'
    if #head == 48 then
      local expires = string.sub(head, 33, 48)
      if expires == '0000000000000000' or now < expires then version = string.sub(head, 1, 16) end
    end
    if version ~= expected then return 0 end
  end
end
for i = 0, n - 1 do
  local item, members, sessions = KEYS[1 + i * 3], KEYS[2 + i * 3], KEYS[3 + i * 3]
  local record, ttl, key, session = ARGV[3 + i * 5], ARGV[4 + i * 5], ARGV[5 + i * 5], ARGV[6 + i * 5]
  if record == '' then
    redis.call('DEL', item)
    redis.call('SREM', members, key)
    if redis.call('EXISTS', members) == 0 then redis.call('SREM', sessions, session) end
  else
    if ttl == '' then redis.call('SET', item, record) else redis.call('SET', item, record, 'PX', ttl) end
    redis.call('SADD', members, key)
    redis.call('SADD', sessions, session)
  end
end
return 1
"""

# KEYS: the user's sessions. ARGV: now, prefix of items, prefix of members, the session or "*".
_REMOVE = """
local count = 0
local wanted = ARGV[4]
local sessions = wanted == '*' and redis.call('SMEMBERS', KEYS[1]) or {wanted}
for _, session in ipairs(sessions) do
  local members = ARGV[3] .. session
  for _, key in ipairs(redis.call('SMEMBERS', members)) do
    local item = ARGV[2] .. session .. ':' .. key
    local head = redis.call('GETRANGE', item, 0, 47)
    if #head == 48 then
      local expires = string.sub(head, 33, 48)
      if expires == '0000000000000000' or ARGV[1] < expires then count = count + 1 end
    end
    redis.call('UNLINK', item)
  end
  redis.call('UNLINK', members)
  redis.call('SREM', KEYS[1], session)
end
return count
"""

# KEYS: members, the user's sessions. ARGV: now, prefix of items, the session, then names of keys.
# Takes expired items, and names whose item Redis has dropped already.
_SWEEP = """
local count = 0
for i = 4, #ARGV do
  local item = ARGV[2] .. ARGV[i]
  local head = redis.call('GETRANGE', item, 0, 47)
  local expires = string.sub(head, 33, 48)
  if #head < 48 or (expires ~= '0000000000000000' and ARGV[1] >= expires) then
    redis.call('UNLINK', item)
    count = count + redis.call('SREM', KEYS[1], ARGV[i])
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[3]) end
return count
"""


class RedisBackend:
    """Records in one Redis server (no cluster: a user's items must lie together)."""

    changes_at_once: int | None = None

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise StateUnusableError(
                f"cannot import redis; install it: {install_command('redis')}"
            ) from error
        self._errors: Any = redis.exceptions
        try:
            pool = _limited_pool(url)
        except ValueError as error:
            expected = "expected redis://USER:PASSWORD@HOST:PORT/NUMBER; / is %2F in a password"
            raise UsageError(f"invalid state URL: {expected}") from error  # its words hold a part of it
        self._client = redis.Redis(connection_pool=pool)
        with self._understood():
            self._client.ping()
        self._write = self._client.register_script(_WRITE)
        self._remove = self._client.register_script(_REMOVE)
        self._sweep = self._client.register_script(_SWEEP)

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """See StateBackend.read."""
        if not addresses:
            return []
        with self._understood():
            found: Any = self._client.mget([_item_key(address) for address in addresses])
        records = [None if value is None else _record(value) for value in found]
        return [record if record and record.is_live(now_us) else None for record in records]

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """See StateBackend.write."""
        keys: list[str] = []
        words: list[str | bytes] = [_digits(now_us)]
        for write in writes:
            address = Address(write.user_id, write.session_id, write.key)
            keys += [_item_key(address), _members_key(address), _sessions_key(address.user_id)]
            words += [_expectation(write), *_value(write, now_us), _name(write.key), _name(write.session_id)]
        with self._understood():
            return bool(self._write(keys=keys, args=words) == 1)

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """See StateBackend.keys."""
        with self._understood():
            names: Any = self._client.smembers(_members_key(Address(user_id, session_id, "")))
        keys = sorted(key for name in names if (key := _text(name)) is not None)
        found = self.read([Address(user_id, session_id, key) for key in keys], now_us)
        return [key for key, record in zip(keys, found, strict=True) if record is not None]

    def namespaces(self, now_us: int) -> list[tuple[str, str, int]]:
        """See StateBackend.namespaces."""
        found = []
        with self._understood():
            members = list(self._client.scan_iter(match=f"{_PREFIX}m:*", count=_BATCH))
        for name in dict.fromkeys(members):  # a scan may give one twice
            if (at := _namespace(name)) is not None and (count := len(self.keys(*at, now_us))):
                found.append((*at, count))
        return sorted(found)

    def remove(self, scope: Scope, now_us: int) -> int:
        """See StateBackend.remove."""
        user = _name(scope.user_id)
        wanted = "*" if scope.session_id is None else _name(scope.session_id)
        with self._understood():
            count = self._remove(
                keys=[_sessions_key(scope.user_id)],
                args=[_digits(now_us), f"{_PREFIX}i:{user}:", f"{_PREFIX}m:{user}:", wanted],
            )
        return int(count)

    def sweep(self, now_us: int) -> int:
        """See StateBackend.sweep; a batch at a time, so that nobody waits long."""
        count = 0
        with self._understood():
            for members in self._client.scan_iter(match=f"{_PREFIX}m:*", count=_BATCH):
                if (at := _namespace(members)) is None:
                    continue
                user, session = map(_name, at)
                items, batch = f"{_PREFIX}i:{user}:{session}:", []
                for name in self._client.sscan_iter(members, count=_BATCH):
                    batch.append(name)
                    if len(batch) >= _BATCH:
                        count += self._sweep_batch(members, user, session, items, batch, now_us)
                        batch = []
                count += self._sweep_batch(members, user, session, items, batch, now_us)
        return count

    def _sweep_batch(
        self, members: bytes, user: str, session: str, items: str, batch: list[bytes], now_us: int
    ) -> int:
        keys: list[str | bytes] = [members, f"{_PREFIX}s:{user}"]
        return int(self._sweep(keys=keys, args=[_digits(now_us), items, session, *batch]))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except self._errors.OutOfMemoryError as error:
            raise StateFullError(f"cannot store in Redis: it is at its maxmemory: {error}") from error
        except self._errors.RedisError as error:
            if "OOM" in str(error):
                raise StateFullError(f"cannot store in Redis: it is at its maxmemory: {error}") from error
            raise StateUnavailableError(f"cannot use Redis: {error}") from error
        except OSError as error:
            raise StateUnavailableError(f"cannot use Redis: {error}") from error

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self._client.connection_pool.disconnect()


def _limited_pool(url: str) -> Any:
    """Connections that wait no longer than the call in progress may take, and never try again."""
    from redis.backoff import NoBackoff
    from redis.connection import Connection, ConnectionPool, SSLConnection
    from redis.retry import Retry

    from monitord.storage.state.sockets import LimitedTLSSocket, connect_tcp

    class Limited(Connection):
        def _connect(self) -> Any:
            return connect_tcp(self.host, self.port)

    class LimitedTLS(SSLConnection):
        def _connect(self) -> Any:
            wrapped: Any = self._wrap_socket_with_ssl(connect_tcp(self.host, self.port))  # type: ignore[no-untyped-call]  # redis-py's
            wrapped.__class__ = LimitedTLSSocket  # redis-py makes the context that would say so
            return wrapped

    scheme, _separator, rest = url.partition("://")
    is_tls = scheme in ("rediss", "keydbs")
    pool = ConnectionPool.from_url(f"{'rediss' if is_tls else 'redis'}://{rest}", retry=Retry(NoBackoff(), 0))
    pool.connection_class = LimitedTLS if is_tls else Limited
    return pool


def _name(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


def _text(name: str | bytes) -> str | None:
    """The name that lies there; None for what we never wrote: the server is not ours alone."""
    try:
        return urlsafe_b64decode(name).decode()
    except ValueError:
        return None


def _namespace(members: bytes) -> tuple[str, str] | None:
    """User and session of a key with members; None for another's key that only looks like one."""
    parts = members.removeprefix(f"{_PREFIX}m:".encode()).split(b":")
    names = [_text(part) for part in parts]
    if len(names) != 2 or names[0] is None or names[1] is None:
        return None
    return names[0], names[1]


def _item_key(address: Address) -> str:
    return f"{_PREFIX}i:" + ":".join(_name(part) for part in address)


def _members_key(address: Address) -> str:
    return f"{_PREFIX}m:{_name(address.user_id)}:{_name(address.session_id)}"


def _sessions_key(user_id: str) -> str:
    return f"{_PREFIX}s:{_name(user_id)}"


def _digits(us: int) -> str:
    """Sixteen digits: comparing them as text is comparing the numbers, until the year 2286."""
    return f"{us:016d}"


def _expectation(write: Write) -> str:
    if write.expected is ANY:
        return "any"
    return write.expected if isinstance(write.expected, str) and write.expected else "none"


def _value(write: Write, now_us: int) -> tuple[bytes, str]:
    """The record as it lies in Redis, and its time to live in milliseconds."""
    record = write.record
    if record is None:
        return b"", ""
    expires = _NEVER if record.expires_us is None else _digits(record.expires_us)
    head = f"{record.version}{_digits(record.created_us)}{expires}".encode()
    ttl = "" if record.expires_us is None else str((record.expires_us - now_us) // 1000 + _GRACE_MS)
    return head + record.data, ttl


def _record(value: bytes) -> Record | None:
    if len(value) < _HEADER_BYTES:
        return None
    head = value[:_HEADER_BYTES].decode("ascii", "replace")
    expires = head[32:]
    return Record(
        value[_HEADER_BYTES:], int(head[16:32]), None if expires == _NEVER else int(expires), head[:16]
    )
