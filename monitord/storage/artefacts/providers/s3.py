"""Artefacts as objects in a bucket: S3 and everything that speaks it, Google Cloud Storage, Azure.

An object appears whole or not at all. What a writer that died leaves, parts of uploads and objects below
`.part/`, is seen by nobody; a lifecycle rule of the bucket removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import threading
from collections.abc import Coroutine, Generator, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC
from itertools import chain
from string import ascii_letters, digits
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from monitord.errors import ConfigError, StorageError
from monitord.storage.artefacts.envelope import PREFIX_BYTES, header_length, pack_header, parse_header, stored
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    DamagedArtefactError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.keys import check_key, is_key
from monitord.storage.artefacts.metadata import CHUNK_BYTES, Payload, StorageMetadata
from monitord.storage.artefacts.providers import missing_package
from monitord.storage.artefacts.providers.feeding import feed
from monitord.storage.artefacts.providers.s3_errors import explained_error, reason_of, status_of
from monitord.storage.artefacts.urls import StorageURL

PART_BYTES = 8 << 20  # what is large is uploaded in parts of this size, two at a time
WHOLE_BYTES = 2 * PART_BYTES  # what is smaller goes in one request, which can be told to replace nothing
TAGS_LIMIT = 10  # of an S3 object
_HEADER_BYTES = 64 << 10  # enough for most headers at the first reading
_LISTED_WITHIN_S = 120.0  # 200,000 names come in less from a bucket far away
_CONNECT_S = 5.0
_READING_S = 3600.0  # a download may take long as long as something comes
_UNFIT_IN_TAG = re.compile(r"[^\w +\-=.:/@]", re.ASCII)
_KEY_LETTERS = sorted("-._" + ascii_letters + digits)
_Told = TypeVar("_Told")
_NOWHERE = "http://127.0.0.1:1"
_OPTIONS = {
    "s3": (
        *("endpoint", "region", "allow_http", "tags", "timeout"),
        *("access_key_id_file", "secret_access_key_file", "session_token_file"),
    ),
    "gs": ("timeout",),
    "az": ("timeout",),
}


def open_s3(url: StorageURL) -> S3StorageProvider:
    """Open the provider of `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.

    Options of s3: `endpoint` (https, or http on this machine, or with `allow_http=true`), `region`,
    `access_key_id_file`, `secret_access_key_file`, `session_token_file`, `tags` (false for servers without),
    `timeout` (30s). Credentials that are not given come from the environment or the machine's role.
    """
    writing, reading, place = open_stores(url)
    return S3StorageProvider(
        writing, reading, place, has_tags=url.scheme == "s3" and url.flag("tags", default=True)
    )


def open_stores(url: StorageURL) -> Stores:
    """Open the bucket of a URL, below its prefix, as `open_s3` describes it."""
    url.check_options(*_OPTIONS[url.scheme])
    if not url.host or url.port is not None or url.user is not None:
        raise ConfigError(
            f"invalid URL {url}: expected {url.scheme}://bucket/prefix; credentials stand in files"
        )
    prefix = url.path.strip("/")
    if prefix and not is_key(prefix):
        raise ConfigError(f"invalid URL {url}: prefix, expected letters, digits, . _ - and / between parts")
    try:
        import obstore.store
    except ImportError as error:
        raise missing_package("obstore", "s3") from error
    timeout_s = url.seconds("timeout", 30.0) or 30.0
    config: Any = _s3_config(url) if url.scheme == "s3" else {}
    client = {"connect_timeout": f"{min(timeout_s, _CONNECT_S)}s", **_client(url, config)}
    place = f"{url.scheme}://{url.host}/{prefix}".rstrip("/")

    def store(**limits: str) -> Any:
        common: Any = {
            "client_options": {**client, **limits},
            "retry_config": {"max_retries": 0},  # who wants to try again has a wrapper for it
        }
        try:
            if url.scheme != "s3":
                return obstore.store.from_url(place, **common)
            return obstore.store.S3Store(url.host, prefix=prefix or None, config=config, **common)
        except (obstore.exceptions.BaseError, ValueError) as error:
            raise ConfigError(f"invalid URL {url}: {reason_of(str(error), None, '')}") from error

    return Stores(
        store(timeout=f"{timeout_s * 2}s", read_timeout=f"{timeout_s}s"),
        store(timeout=f"{_READING_S}s", read_timeout=f"{timeout_s}s"),
        place,
    )


def _s3_config(url: StorageURL) -> dict[str, Any]:
    config: dict[str, Any] = {"disable_bulk_delete": True, "copy_if_not_exists": "multipart"}
    names = ("access_key_id", "secret_access_key", "session_token")
    config |= {name: secret for name in names if (secret := url.secret(name)) is not None}
    if "region" in url.options:
        config["region"] = url.options["region"]
    if "endpoint" in url.options:
        config["endpoint"] = config["aws_endpoint_url_s3"] = url.options["endpoint"]
    return config


def _client(url: StorageURL, config: dict[str, Any]) -> dict[str, Any]:
    """How the endpoint may be spoken to: over TLS, or here; and nobody else may be."""
    endpoint = config.get("endpoint")
    if endpoint is None:
        url.flag("allow_http", default=False)
        return {}
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ConfigError(
            f"invalid URL {url}: endpoint, expected such as https://minio.example:9000, without credentials"
        )
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and not (url.flag("allow_http", default=False) or is_here):
        raise ConfigError(f"invalid URL {url}: endpoint, expected https (or allow_http=true)")
    options: dict[str, Any] = {"allow_http": parts.scheme == "http"}
    has_keys = "access_key_id" in config or "AWS_ACCESS_KEY_ID" in os.environ
    if has_keys and not any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ
    ):
        # obstore follows redirects and takes the session token along: all hosts but this one are behind
        # a proxy that does not exist.
        options |= {"proxy_url": _NOWHERE, "proxy_excludes": parts.hostname}
    return options


class Stores(NamedTuple):
    """The bucket twice: for writing, and with time for long downloads; `place` names it."""

    writing: Any
    reading: Any
    place: str


class _Found(NamedTuple):
    """An object on its way: what its header says, and what follows the header, `body_size` bytes."""

    metadata: StorageMetadata
    body: Iterator[bytes]
    body_size: int
    version: dict[str, str]


class S3StorageProvider:
    """Artefacts in an obstore store; `reading` is the same store with time for long downloads."""

    name = "s3"

    def __init__(self, writing: Any, reading: Any, place: str, *, has_tags: bool = True) -> None:
        self._writing = writing
        self._reading = reading
        self._place = place
        self._has_tags = has_tags

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        check_key(key)
        chunks = _Counted(chain([pack_header(metadata)], payload.chunks()))
        tags = _tags(metadata) if self._has_tags else {}
        with self._using(f"cannot store artefact {key}"):
            first = _take(chunks, WHOLE_BYTES)
            if len(first) < WHOLE_BYTES:
                mode = "overwrite" if replace else "create"
                self._writing.put(key, first, mode=mode, tags=tags, use_multipart=False)
            elif replace:
                self._upload(key, chain([first], chunks), tags)
            else:
                self._upload_new(key, chain([first], chunks), tags)
        return stored(metadata, chunks.size)

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        """In one request, so the object is in memory while it is sent."""
        check_key(key)
        from obstore.exceptions import PreconditionError

        changed = ArtefactChangedError(
            f"cannot exchange artefact {key}: it was replaced or deleted meanwhile"
        )
        tags = _tags(metadata) if self._has_tags else {}
        data = b"".join(chain([pack_header(metadata)], payload.chunks()))
        try:
            with self._using(f"cannot store artefact {key}", key):
                found = self._find(key, _HEADER_BYTES)
                if found.metadata != expected:
                    raise changed
                try:
                    self._writing.put(key, data, mode=found.version, tags=tags, use_multipart=False)
                except PreconditionError as error:
                    raise changed from error
        except (MissingArtefactError, DamagedArtefactError) as error:
            raise changed from error
        return stored(metadata, len(data))

    def _upload(self, path: str, chunks: Iterator[bytes], tags: dict[str, str]) -> None:
        def put(parts: Iterator[bytes]) -> None:
            self._writing.put(
                path, parts, tags=tags, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=2
            )

        feed(put, chunks)

    def _upload_new(self, key: str, chunks: Iterator[bytes], tags: dict[str, str]) -> None:
        """An upload in parts can't be told to replace nothing; a copy can (S3 copies no tags then)."""
        part = f".part/{secrets.token_hex(8)}"
        self._upload(part, chunks, tags)
        try:
            self._writing.copy(part, key, overwrite=False)
        finally:
            with contextlib.suppress(Exception):  # the first error counts, and nobody sees the part
                self._writing.delete(part)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        check_key(key)
        with self._using(f"cannot read artefact {key}", key):
            found = self._find(key, None)
        return found.metadata, self._body(key, found)

    def get_metadata(self, key: str) -> StorageMetadata:
        check_key(key)
        with self._using(f"cannot read artefact {key}", key):
            return self._find(key, _HEADER_BYTES).metadata

    def _find(self, key: str, length: int | None) -> _Found:
        """The object, or only its first bytes, at least to the end of its header."""
        try:
            result = self._reading.get(key, options={} if length is None else {"range": (0, length)})
        except Exception as error:
            if status_of(error) == 416:  # no range of an empty object can be had
                raise DamagedArtefactError(f"cannot read {key}: it is empty") from error
            raise
        size, changed_at = result.meta["size"], result.meta["last_modified"].astimezone(UTC)
        stream = map(bytes, result.stream(min_chunk_size=CHUNK_BYTES))
        data = _take(stream, PREFIX_BYTES)
        end = PREFIX_BYTES + header_length(data, key)
        if length is not None and length < min(end, size):
            return self._find(key, end)
        data += _take(stream, end - len(data))
        if len(data) < min(end, size):
            raise TransientError(f"cannot read artefact {key} from {self._place}: it was cut off on its way")
        metadata = parse_header(data[PREFIX_BYTES:end], key, size, changed_at)
        begun = [data[end:]] if len(data) > end else []
        version = {name: result.meta[name] for name in ("e_tag", "version") if result.meta[name]}
        return _Found(metadata, chain(begun, stream), size - end, version)

    def _body(self, key: str, found: _Found) -> Generator[bytes]:
        missing = found.body_size
        with self._using(f"cannot read artefact {key}", key):
            for chunk in found.body:
                missing -= len(chunk)
                yield chunk
        if missing:
            raise TransientError(f"cannot read artefact {key} from {self._place}: it was cut off on its way")

    def delete(self, key: str) -> int:
        check_key(key)
        try:
            with self._using(f"cannot remove artefact {key}", key):
                size = self._size(key)
                self._writing.delete(key)
        except MissingArtefactError:
            return 0
        return size

    def _size(self, key: str) -> int:
        """Asked for with a first byte: the answer to a HEAD would not say why it is refused."""
        try:
            return int(self._reading.get(key, options={"range": (0, 1)}).meta["size"])
        except Exception as error:
            if status_of(error) == 416:  # no range of an empty object can be had
                return 0
            raise

    def list(self, prefix: str = "") -> Iterator[str]:
        folder, slash, beginning = prefix.rpartition("/")
        if (slash and not is_key(folder)) or (beginning and not is_key(beginning)):
            return  # no key begins so
        offset = folder + slash + _before(beginning) if beginning else None
        with self._using(f"cannot list {self._place}"):
            found = listed(self._names(folder, offset), folder)
        yield from sorted(key for key in found if key.startswith(prefix) and is_key(key))

    async def _names(self, folder: str, offset: str | None) -> Sequence[str]:
        pages = self._reading.list(folder or None, offset=offset, chunk_size=1000)
        return [meta["path"] async for page in pages for meta in page]

    def set_aside(self, key: str) -> None:
        check_key(key)
        aside = f".quarantine/{key}.{secrets.token_hex(8)}"  # random: overwrites nothing
        with self._using(f"cannot set artefact {key} aside", key):
            self._writing.copy(key, aside)
            self._writing.delete(key)

    def close(self) -> None:
        """Let go of the connections, which end with the last reference."""

    @contextlib.contextmanager
    def _using(self, what: str, key: str | None = None) -> Iterator[None]:
        """Let obstore's errors out as ours; what is not found is the artefact `key`, else the bucket."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise explained_error(what, self._place, error, key) from error


class _Counted(Iterator[bytes]):
    """Chunks, and how many bytes they were so far."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self.size += len(chunk)
        return chunk


def _take(chunks: Iterator[bytes], count: int) -> bytes:
    """The next chunks together, until they are at least `count` bytes or there are no more."""
    taken: list[bytes] = []
    while count > 0 and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
        count -= len(chunk)
    return b"".join(taken)


def _before(beginning: str) -> str:
    """A text that comes before all keys that begin so, and as few others as may be."""
    earlier = [letter for letter in _KEY_LETTERS if letter < beginning[-1:]]
    return beginning[:-1] + (earlier[-1] if earlier else "")


def _tags(metadata: StorageMetadata) -> dict[str, str]:
    """The tags as S3 takes them: so many, so long, of such characters."""
    fit: dict[str, str] = {}
    for name, value in sorted(metadata.tags.items()):
        key = _UNFIT_IN_TAG.sub("_", name)[:128]
        if key and not key.lower().startswith("aws:") and len(fit) < TAGS_LIMIT:
            fit.setdefault(key, _UNFIT_IN_TAG.sub("_", value)[:256])
    return fit


def listed(asked: Coroutine[Any, Any, _Told], folder: str) -> _Told:
    """What a list tells, whose pages a bucket may say never end: the client would go on for ever.

    In a thread of its own: a caller may have a loop, and nobody waits for it who was interrupted.
    """
    told: Future[_Told] = Future()

    async def listen() -> _Told:
        async with asyncio.timeout(_LISTED_WITHIN_S):
            return await asked

    def run() -> None:
        try:
            told.set_result(asyncio.run(listen()))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            told.set_exception(error)

    threading.Thread(target=run, name="listing", daemon=True).start()
    try:
        return told.result()
    except TimeoutError as error:
        raise StorageError(
            f"cannot list {folder or 'all'}: no end of it came within {_LISTED_WITHIN_S:g} s;"
            " try one host, fewer days, or remove what is not monitord's"
        ) from error
