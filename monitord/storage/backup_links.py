"""What an earlier backup has unchanged is taken over by a hard link, and not copied again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from monitord.errors import MonitordError
from monitord.storage.artefacts import StorageMetadata
from monitord.storage.artefacts.envelope import read_header
from monitord.storage.manifest import BackedUpFile, read_manifest
from monitord.storage.schema import ARTEFACTS_NAME

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


class EarlierBackup:
    """The artefacts of a finished backup. One without a readable manifest has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BackedUpFile] = {}
        with contextlib.suppress(MonitordError):
            self._files = {file.path: file for file in read_manifest(folder).files}

    def link(self, metadata: StorageMetadata, staging: Path) -> int | None:
        """Let `staging` have the artefact that says this of itself; its size, or None: it must be copied.

        Its bytes are read and compared with the manifest, so that what rotted is not handed on.
        """
        file = self._files.get(f"{ARTEFACTS_NAME}/{metadata.key}")
        if file is None:
            return None
        source, target = self._folder / file.path, staging / file.path
        try:
            with open(os.open(source, _READ), "rb") as held:
                status = os.fstat(held.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
                    return None
                if not _says(held, metadata, file.size_bytes) or _sha256(held) != file.sha256:
                    return None
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.link(source, target, follow_symlinks=False)
        except OSError:  # gone, or a file system without hard links
            return None
        return file.size_bytes


def _says(held: BinaryIO, metadata: StorageMetadata, size_bytes: int) -> bool:
    """Whether the file's header is this metadata, wherever the artefact lies by now."""
    try:
        found = read_header(held, metadata.key, size_bytes, datetime.fromtimestamp(0, UTC))
    except MonitordError:
        return False
    return found == replace(metadata, stored_size=size_bytes, archived_in=None)


def _sha256(held: BinaryIO) -> str:
    held.seek(0)
    sha = hashlib.sha256()
    while chunk := held.read(_CHUNK_BYTES):
        sha.update(chunk)
    return sha.hexdigest()
