"""Plain objects in a bucket: S3 and everything that speaks it, Google Cloud Storage, Azure."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.providers.s3 import listed, open_stores
from monitord.storage.artefacts.providers.s3_errors import explained_error
from monitord.storage.artefacts.urls import StorageURL
from monitord.storage.objects import Expected, ObjectInfo, check_count, check_path, is_path

_MD5 = re.compile(r'"?([0-9a-f]{32})"?\Z')


def open_bucket(url: StorageURL, *, create: bool) -> BucketObjects:
    """Open a bucket that is there; `create` makes none."""
    return BucketObjects(*open_stores(url))


class BucketObjects:
    """Objects in an obstore store; `reading` is the same store with time for long downloads."""

    def __init__(self, writing: Any, reading: Any, place: str) -> None:
        self._writing, self._reading, self._place = writing, reading, place

    def put(self, path: str, data: bytes, expected: Expected = None) -> None:
        from obstore.exceptions import PreconditionError

        mode: Any = "overwrite" if expected is None else "create"
        if isinstance(expected, ObjectInfo):
            mode = json.loads(expected.version)
        changed = ArtefactChangedError(f"cannot replace {path}: another one is there, or none any more")
        try:
            with self._using(f"cannot write {check_path(path)}", path if isinstance(mode, dict) else None):
                try:
                    self._writing.put(path, data, mode=mode, use_multipart=False)
                except PreconditionError as error:
                    raise changed from error
        except MissingArtefactError as error:
            raise changed from error

    def holds(self, path: str, data: bytes) -> bool:
        try:
            found = self._about(path)
        except MissingArtefactError:
            return False
        if found.size_bytes != len(data):
            return False
        told = _MD5.match(json.loads(found.version).get("e_tag", ""))
        sums = hashlib.md5(data, usedforsecurity=False).hexdigest()
        # Azure's sums up nothing, S3's with a key of KMS something else: then only the bytes tell.
        return (told is not None and told[1] == sums) or self._reads_as(path, data)

    def _reads_as(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path, len(data))[1] == data
        except MissingArtefactError:
            return False

    def _about(self, path: str) -> ObjectInfo:
        """Asked for with a first byte: the answer to a HEAD would not say why it is refused."""
        with self._using(f"cannot read {check_path(path)}", path):
            return _info(self._reading.get(path, options={"range": (0, 1)}).meta)

    def read(self, path: str, limit_bytes: int) -> tuple[ObjectInfo, bytes]:
        with self._using(f"cannot read {check_path(path)}", path):
            result = self._reading.get(path)
            found = _info(result.meta)
            if found.size_bytes > limit_bytes:
                raise ArtefactError(f"cannot read {path}: it is larger than {limit_bytes:,} bytes")
            data = bytes(result.bytes())
        if len(data) != found.size_bytes:
            raise TransientError(f"cannot read {path} from {self._place}: it was cut off on its way")
        return found, data

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        with self._using(f"cannot list {self._place}"):
            found = listed(self._listed(folder), folder)
        yield from sorted(found, key=lambda one: one.path)

    async def _listed(self, folder: str) -> Sequence[ObjectInfo]:
        found, count = [], 0
        async for page in self._reading.list(folder or None, chunk_size=1000):
            count += len(page)
            check_count(count, folder)
            found += [_info(meta) for meta in page if is_path(meta["path"])]
        return found

    def folders(self, folder: str = "") -> tuple[str, ...]:
        with self._using(f"cannot list {self._place}"):
            found = listed(self._folders(folder), folder)
        check_count(len(found), folder)
        names = (path.rstrip("/") for path in found)
        return tuple(sorted(name.rpartition("/")[2] for name in names if is_path(name)))

    async def _folders(self, folder: str) -> Sequence[str]:
        found = await self._reading.list_with_delimiter_async(folder or None)
        return tuple(found["common_prefixes"])

    def delete(self, path: str) -> None:
        with (
            contextlib.suppress(MissingArtefactError),
            self._using(f"cannot remove {check_path(path)}", path),
        ):
            self._writing.delete(path)

    def close(self) -> None:
        """Let go of the connections, which end with the last reference."""

    @contextlib.contextmanager
    def _using(self, what: str, path: str | None = None) -> Iterator[None]:
        """Let obstore's errors out as ours; what is not found is the object `path`, else the bucket."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise explained_error(what, self._place, error, path) from error


def _info(meta: Any) -> ObjectInfo:
    version = {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}
    changed_at = meta["last_modified"].astimezone(UTC)
    return ObjectInfo(meta["path"], int(meta["size"]), changed_at, json.dumps(version))
