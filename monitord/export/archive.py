"""Files as one tar.zst that every common tool unpacks: plain names, one folder, a manifest with checksums.

USTAR headers alone, names of plain ASCII, no owner, the same bytes for the same files: what Explorer, Finder
and tar agree on.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.export.encoding import iso, json_text
from monitord.zstandard import zstd

FORMAT = "monitord-bundle/1"
MANIFEST, CHECKSUMS = "MANIFEST.json", "SHA256SUMS"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_LEVEL = 9


def archive(folder: str, files: Mapping[str, bytes], made_at: datetime, about: Mapping[str, Any]) -> bytes:
    """Return the archive: `files` by name in `folder`, beside a manifest and what `sha256sum -c` reads."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {
        "format": FORMAT,
        "monitord": __version__,
        "made_at": iso(made_at),
        **about,
        "files": [
            {"name": name, "size_bytes": len(content), "sha256": sums[name]}
            for name, content in files.items()
        ],
    }
    listed = "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items())
    whole = {
        MANIFEST: json_text(manifest).encode("ascii") + b"\n",
        CHECKSUMS: listed.encode("ascii"),
        **files,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755, made_at))
        for name, content in whole.items():
            entry = _entry(f"{folder}/{_checked(name)}", tarfile.REGTYPE, 0o644, made_at)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return zstd.compress(packed.getvalue(), level=_LEVEL)


def _entry(name: str, kind: bytes, mode: int, made_at: datetime) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, int(made_at.timestamp())
    return entry


def _checked(name: str) -> str:
    if name not in (MANIFEST, CHECKSUMS) and not _NAME.fullmatch(name):
        raise ValueError(
            f"invalid name {name!r} in an archive, expected small letters, digits, dots and dashes"
        )
    return name
