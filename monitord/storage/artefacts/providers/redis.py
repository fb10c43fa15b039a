"""Artefacts in a Redis server, 7.0 or newer, one string each, which lives for `ttl` or until it is deleted.

As durable as the server is set up to be: what `store` acknowledged survives its crash with `appendonly yes`
and `appendfsync always`, nothing does without. No cluster: names are changed across slots.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from monitord.errors import ConfigError, StorageError
from monitord.storage.artefacts.envelope import PREFIX_BYTES, header_length, pack_header, parse_header, stored
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactChangedError,
    ArtefactExistsError,
    DamagedArtefactError,
    DiskFullError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.keys import check_key, is_key
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.providers import missing_package
from monitord.storage.artefacts.urls import StorageURL

OLDEST_VERSION = (7, 0)
LIMIT_BYTES = 512 << 20  # of a Redis string
PIECE_BYTES = 1 << 20
PART_LIFE_S = 900  # what a writer that died leaves is gone after this
_HEADER_BYTES = 64 << 10  # enough for most headers at the first reading
_DENIED = {"NOAUTH", "WRONGPASS"}
_FULL = {"MISCONF"}  # it can't write to its disk
_PASSING = {"BUSY", "NOREPLICAS"}


def open_redis(url: StorageURL) -> RedisStorageProvider:
    """Open the provider of `redis://user@host:6379/0`, or `rediss://` for TLS.

    Options: `ttl`, `prefix` (`monitord:`), `timeout` (10s), `password_file`, `ca_file`. The password may
    also be in MONITORD_REDIS_PASSWORD.
    """
    url.check_options("ttl", "prefix", "timeout", "password_file", "ca_file")
    database = url.path.strip("/") or "0"
    if not url.host or not (database.isascii() and database.isdigit()):
        raise ConfigError(f"invalid URL {url}: expected redis://host:6379/0, the path being a number")
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise missing_package("redis", "redis") from error
    timeout_s = url.seconds("timeout", 10.0)
    client = redis.Redis(
        host=url.host,
        port=url.port or 6379,
        db=int(database),
        username=url.user or None,
        password=url.secret("password") or url.password or os.environ.get("MONITORD_REDIS_PASSWORD"),
        ssl=url.scheme == "rediss",
        ssl_ca_certs=url.options.get("ca_file"),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),  # who wants to try again has a wrapper for it
        protocol=2,
    )
    place = f"Redis at {url.host}:{url.port or 6379}"
    ttl_s = url.seconds("ttl", None)
    return RedisStorageProvider(client, place, prefix=url.options.get("prefix", "monitord:"), ttl_s=ttl_s)


class RedisStorageProvider:
    """Artefacts below `prefix` in a redis-py client's database; `place` names the server in messages."""

    name = "redis"

    def __init__(
        self, client: Any, place: str, *, prefix: str = "monitord:", ttl_s: float | None = None
    ) -> None:
        self._client = client
        self._place = place
        self._prefix = prefix
        self._ttl_ms = int(ttl_s * 1000) if ttl_s is not None else None
        self._is_checked = False

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        check_key(key)
        pieces = _pieces(chain([pack_header(metadata)], payload.chunks()))
        with self._using(f"cannot store artefact {key}"):
            first = next(pieces)
            second = next(pieces, None)
            if second is None:
                self._set(key, first, replace=replace)
                return stored(metadata, len(first))
            with self._part(chain([first, second], pieces)) as (part, size):
                self._publish(part, key, replace=replace)
            return stored(metadata, size)

    def _set(self, key: str, data: bytes, *, replace: bool) -> None:
        life = () if self._ttl_ms is None else ("PX", self._ttl_ms)
        only = () if replace else ("NX",)
        if not self._ask("SET", self._named(key), data, *life, *only):
            raise ArtefactExistsError(f"cannot create artefact {key}: it exists already")

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        check_key(key)
        from redis.exceptions import WatchError

        pieces = _pieces(chain([pack_header(metadata)], payload.chunks()))
        with self._using(f"cannot store artefact {key}"), self._part(pieces) as (part, size):
            with self._client.pipeline(transaction=True) as pipeline:
                pipeline.watch(self._named(key))  # what happens to it from here on undoes the rest
                if not self._is_still(key, expected):
                    raise ArtefactChangedError(
                        f"cannot exchange artefact {key}: it was replaced or deleted meanwhile"
                    )
                pipeline.multi()
                pipeline.execute_command(*self._life_of(part))
                pipeline.execute_command("RENAME", part, self._named(key))
                try:
                    pipeline.execute()
                except WatchError as error:
                    raise ArtefactChangedError(
                        f"cannot exchange artefact {key}: it was replaced or deleted meanwhile"
                    ) from error
            return stored(metadata, size)

    def _is_still(self, key: str, expected: StorageMetadata) -> bool:
        try:
            return self.get_metadata(key) == expected
        except (MissingArtefactError, DamagedArtefactError):
            return False

    @contextlib.contextmanager
    def _part(self, pieces: Iterable[bytes]) -> Iterator[tuple[str, int]]:
        """A temporary key that holds all the pieces, and its size; it goes away by itself in any case."""
        from redis.exceptions import ConnectionError as BrokenError
        from redis.exceptions import TimeoutError as LateError

        part = f"{self._prefix}part:{secrets.token_hex(8)}"
        try:
            yield part, self._append_all(part, pieces)
        except (BrokenError, LateError):
            raise  # asking once more would only take as long again
        except BaseException:
            with contextlib.suppress(Exception):  # it is the first error that counts
                self._ask("UNLINK", part)
            raise

    def _append_all(self, part: str, pieces: Iterable[bytes]) -> int:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > LIMIT_BYTES:
                raise DiskFullError(
                    f"cannot store more: Redis takes at most {LIMIT_BYTES >> 20} MiB in one key"
                )
            if size == len(piece):
                self._ask("SET", part, piece, "EX", PART_LIFE_S)
                continue
            length, _expires = self._ask_at_once(("APPEND", part, piece), ("EXPIRE", part, PART_LIFE_S))
            if length != size:
                raise TransientError(
                    f"cannot finish writing to {self._place}: it lost what was written so far"
                )
        return size

    def _publish(self, part: str, key: str, *, replace: bool) -> None:
        """Give a finished temporary key its name. It takes its time to live along, so that comes first."""
        rename = "RENAME" if replace else "RENAMENX"
        again = ("EXPIRE", part, PART_LIFE_S)  # for when it was not renamed
        _life, renamed, _again = self._ask_at_once(
            self._life_of(part), (rename, part, self._named(key)), again
        )
        if not renamed:
            raise ArtefactExistsError(f"cannot create artefact {key}: it exists already")

    def _life_of(self, part: str) -> tuple[object, ...]:
        return ("PERSIST", part) if self._ttl_ms is None else ("PEXPIRE", part, self._ttl_ms)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, data, end = self._head(check_key(key), PIECE_BYTES)
        return metadata, self._body(key, data, end, metadata.stored_size)

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._head(check_key(key), _HEADER_BYTES)[0]

    def _head(self, key: str, length: int) -> tuple[StorageMetadata, bytes, int]:
        """The metadata, the first bytes (`length`, or the whole header if it is more), where the body begins.

        All from one moment: when the header is longer, it is read anew as a whole.
        """
        name = self._named(key)
        while True:
            with self._using(f"cannot read artefact {key}"):
                exists, size, data = self._ask_at_once(
                    ("EXISTS", name), ("STRLEN", name), ("GETRANGE", name, 0, length - 1)
                )
            if not exists:
                raise MissingArtefactError(f"cannot find artefact {key}")
            end = PREFIX_BYTES + header_length(data[:PREFIX_BYTES], key)
            if len(data) >= min(end, size):
                return parse_header(data[PREFIX_BYTES:end], key, size, datetime.now(UTC)), data, end
            length = end

    def _body(self, key: str, data: bytes, end: int, size: int) -> Generator[bytes]:
        """What follows the header; each piece comes with the header's end, which tells artefacts apart."""
        name, position = self._named(key), len(data)
        start = max(0, end - _HEADER_BYTES)
        mark = data[start:end]
        if position > end:
            yield data[end:]
        while position < size:
            with self._using(f"cannot read artefact {key}"):
                current = self._ask_at_once(
                    ("STRLEN", name),
                    ("GETRANGE", name, start, end - 1),
                    ("GETRANGE", name, position, position + PIECE_BYTES - 1),
                )
            if current[:2] != (size, mark):
                raise TransientError(f"cannot read artefact {key}: it was replaced or deleted meanwhile")
            position += len(current[2])
            yield current[2]

    def delete(self, key: str) -> int:
        name = self._named(check_key(key))
        with self._using(f"cannot remove artefact {key}"):
            size, _removed = self._ask_at_once(("STRLEN", name), ("UNLINK", name))
        return int(size)

    def list(self, prefix: str = "") -> Iterator[str]:
        if not prefix.isascii():
            return
        above = self._named("")
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", above + prefix) + "*"
        found: set[str] = set()
        cursor = 0
        with self._using(f"cannot list {self._place}"):
            while True:
                cursor, names = self._ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                found.update(name.decode(errors="replace")[len(above) :] for name in names)
                if int(cursor) == 0:
                    break
        yield from sorted(filter(is_key, found))

    def set_aside(self, key: str) -> None:
        name = self._named(check_key(key))
        aside = f"{self._prefix}aside:{key}.{secrets.token_hex(8)}"  # random: overwrites nothing
        with self._using(f"cannot set artefact {key} aside"):
            try:
                self._ask_at_once(("PERSIST", name), ("RENAME", name, aside))
            except Exception as error:
                if "no such key" in str(error):
                    raise MissingArtefactError(f"cannot find artefact {key}") from error
                raise

    def close(self) -> None:
        self._client.close()

    def _named(self, key: str) -> str:
        return f"{self._prefix}artefact:{key}"

    def _ask(self, *command: object) -> Any:
        return self._client.execute_command(*command)

    def _ask_at_once(self, *commands: tuple[object, ...]) -> tuple[Any, ...]:
        """Several commands with nothing of anybody else's between them."""
        with self._client.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return tuple(pipeline.execute())

    @contextlib.contextmanager
    def _using(self, what: str) -> Iterator[None]:
        """Let redis-py's errors out as ours; the server's version is looked at once."""
        from redis.exceptions import RedisError

        try:
            self._check_server()
            yield
        except (RedisError, OSError) as error:
            raise _explained(f"{what}: {self._place}", error) from error

    def _check_server(self) -> None:
        from redis.exceptions import NoPermissionError

        if self._is_checked:
            return
        try:
            version = str(self._ask("INFO", "server").get("redis_version", ""))
        except NoPermissionError:
            version = ""  # it won't say
        numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdigit())
        if numbers and numbers < OLDEST_VERSION:
            raise StorageError(f"cannot use {self._place}: Redis {version}, expected 7.0 or newer")
        self._is_checked = True


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about PIECE_BYTES."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _explained(what: str, error: Exception) -> StorageError:
    """The error for one of redis-py's: by its class, or by the first word of Redis when there is no class."""
    from redis import exceptions as known

    text = str(error).rpartition("caused error: ")[2]  # a pipeline would also show what it sent
    code = text.partition(" ")[0]
    line = f"{what}: {text}"
    denied = (known.AuthenticationError, known.AuthorizationError, known.NoPermissionError)
    passing = (
        *(known.ConnectionError, known.TimeoutError, known.TryAgainError),
        *(known.ReadOnlyError, known.ClusterDownError),
    )
    if code in _DENIED or isinstance(error, denied):
        return AccessDeniedError(line)
    if code in _FULL or isinstance(error, known.OutOfMemoryError) or "exceeds maximum allowed size" in text:
        return DiskFullError(line)
    if code in _PASSING or isinstance(error, passing) or "no such key" in text:
        return TransientError(line)
    if code == "WRONGTYPE":
        return DamagedArtefactError(line)
    return StorageError(line)
