"""The token of a server: in a file for its owner alone, made when there is none."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from monitord.durable import durable_write
from monitord.errors import PermissionDeniedError, StorageError
from monitord.ownership import make_folder


def read_or_make_token(path: Path) -> str:
    """The token in a file of mode 0600, made when there is none; refuses one that others could read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _new_token(path)
    except OSError as error:
        raise PermissionDeniedError(f"cannot read the token {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "r", encoding="ascii", errors="replace") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise PermissionDeniedError(
                f"cannot use the token {path}: others may read it; try chmod 600 {path}, or delete it"
            )
        token = file.read(256).strip()
    if len(token) < 32:
        raise PermissionDeniedError(f"cannot read a token from {path}; delete it, and a new one is made")
    return token


def _new_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    try:
        make_folder(path.parent)
        durable_write(path, f"{token}\n".encode("ascii"), replace=False)
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot make the token {path}: {error.strerror}") from error
    except OSError as error:
        raise StorageError(f"cannot make the token {path}: {error.strerror}") from error
    return token
