"""Evidence of an incident, as its host shipped it: bounded and checked before it is shown."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from datetime import date

from monitord.errors import NotFoundError, StorageError
from monitord.fleet.bucket import Bucket
from monitord.fleet.layout import ArtefactFile
from monitord.storage.artefacts.errors import MissingArtefactError
from monitord.zstandard import zstd

PACKED_BYTES = 64 << 20
UNPACKED_BYTES = 256 << 20
_MOST_FILES = 64
_MOST_ENTRIES = 1000
_MANIFEST = "MANIFEST.json"
_FOREIGN_ERRORS = (ValueError, LookupError, TypeError, OverflowError, MemoryError, RecursionError)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,60}")


def fetch(bucket: Bucket, day: date, host_id: str, correlation_id: str) -> Mapping[str, bytes]:
    """Return the files of an incident's archive by name, each as its manifest has it.

    Raises NotFoundError where none was shipped, StorageError for one that is damaged or too large.
    """
    try:
        path = ArtefactFile(day, host_id, correlation_id).path
        _info, data = bucket.objects.read(path, PACKED_BYTES)
    except (MissingArtefactError, ValueError) as error:
        raise NotFoundError(f"cannot find evidence of {correlation_id}: {host_id} shipped none") from error
    return unpack(data)


def unpack(data: bytes) -> Mapping[str, bytes]:
    """Return the files of an archive; raises StorageError. Nothing is written, no name leads anywhere."""
    try:
        decompressor = zstd.ZstdDecompressor()
        plain = decompressor.decompress(data, max_length=UNPACKED_BYTES)
        if not decompressor.eof:
            raise StorageError("invalid evidence: it is cut off or larger than 256 MiB")
        files = _files(plain)
        listed = json.loads(files.pop(_MANIFEST))["files"]
        sums = {str(one["name"]): str(one["sha256"]) for one in listed}
    except (zstd.ZstdError, tarfile.TarError, *_FOREIGN_ERRORS) as error:
        raise StorageError("invalid evidence: expected an archive of monitord") from error
    for name, content in files.items():
        if name in sums and hashlib.sha256(content).hexdigest() != sums[name]:
            raise StorageError(f"invalid evidence: {name} is not as its manifest has it")
    return {name: content for name, content in files.items() if name in sums}


def _files(plain: bytes) -> dict[str, bytes]:
    """The regular files below the archive's one folder; links, devices and other names are left out.

    A sparse file is none of ours: its holes take as much memory as its header says.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
        for count, entry in enumerate(tar):
            if count >= _MOST_ENTRIES or len(found) > _MOST_FILES:
                raise ValueError("too many files")
            name = entry.name.rpartition("/")[2]
            is_ours = entry.isreg() and not entry.issparse() and _NAME.fullmatch(name)
            content = tar.extractfile(entry) if is_ours else None
            if content is not None:
                found[name] = content.read()
    return found
