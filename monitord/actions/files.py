"""Files that somebody named: written whole or not at all, and one way to say why not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from monitord.durable import durable_write
from monitord.errors import MonitordError, PermissionDeniedError


def write_file(
    path: Path,
    content: bytes | Iterable[bytes],
    *,
    mode: int = 0o600,
    keeps_mode: bool = True,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write as `durable_write` does; raises PermissionDeniedError, or MonitordError for all else."""
    try:
        durable_write(path, content, mode=mode, keeps_mode=keeps_mode, owner=owner)
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot write {path}: {error.strerror}") from error
    except OSError as error:
        more = "; make its folder first" if isinstance(error, FileNotFoundError) else ""
        raise MonitordError(f"cannot write {path}: {error.strerror}{more}") from error
