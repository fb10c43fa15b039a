"""The file of a `sqlite:` URL: the same one from whatever folder it is named."""

from __future__ import annotations

from pathlib import Path

from monitord.errors import UsageError


def sqlite_file(url: str, whose: str) -> Path:
    """Return the file of `sqlite:////FOLDER/FILE`; raises UsageError for any other. `whose`: "state"."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path.startswith("/") or path.endswith("/"):
        raise UsageError(
            f"invalid {whose} URL: sqlite://…, expected sqlite:////FOLDER/FILE, an absolute path"
        )
    return Path(path)
