"""Secrets from where the configuration says: file:/path, credential:name (systemd), environment:NAME."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping

from monitord.errors import ConfigError, PermissionDeniedError
from monitord.storage.artefacts.credentials import credential_path

_LIMIT_BYTES = 4096
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\Z")
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|/)\S+")


def read_source(source: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return what a source holds, at most 4096 bytes.

    Raises ConfigError (no such source), PermissionDeniedError (a file that others may read), OSError.
    """
    kind, _, rest = source.partition(":")
    read = _SOURCES.get(kind)
    if read is None or not rest:
        raise ConfigError(
            f"invalid source {kind!r}: expected file:/path, credential:name or environment:NAME"
        )
    return read(rest, environment)


def is_source(place: str) -> bool:
    """Whether a URL's place names what holds it, and is not the URL (`file:///folder` is one)."""
    kind, _, rest = place.partition(":")
    return kind in _SOURCES and bool(rest) and "://" not in place


def read_url(place: str, whose: str) -> str:
    """Return a URL as it is given, or as the source holds it that is given in its place.

    So no list of processes and no file that others read shows its password. `whose` says what it is of.
    Raises ConfigError, PermissionDeniedError.
    """
    return held_url(place, whose) if is_source(place) else place


def held_url(source: str, whose: str) -> str:
    """Return the URL in the first line of a source; raises as `read_url`, in words without what it holds."""
    try:
        url = read_source(source).split(b"\n")[0].strip().decode()
    except OSError as error:
        raise ConfigError(f"cannot read the URL of {whose} in {source}: {error.strerror}") from error
    except ValueError:  # no text; or a path with a NUL in it
        url = ""
    except ConfigError as error:
        raise ConfigError(f"cannot read the URL of {whose} in {source}: {error}") from error
    if not _URL.fullmatch(url):
        raise ConfigError(f"invalid {source}: expected the URL of {whose} in its first line")
    return url


def _from_file(path: str, _environment: Mapping[str, str]) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("it is not a regular file")
        if status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
            raise PermissionDeniedError(
                f"cannot use the file {path}: others may read it; try chmod 600 {path}"
            )
        return os.read(descriptor, _LIMIT_BYTES)
    finally:
        os.close(descriptor)


def _from_credential(name: str, environment: Mapping[str, str]) -> bytes:
    """systemd guards the folder itself; its files may show an ACL as group bits."""
    if not _NAME.match(name):
        raise ConfigError("invalid name of a systemd credential")
    with credential_path(name, environment).open("rb") as source:
        return source.read(_LIMIT_BYTES)


def _from_environment(name: str, environment: Mapping[str, str]) -> bytes:
    if name not in environment:
        raise ConfigError("this variable is not set")
    return environment[name].encode("ascii", "replace") + b"\n"  # never taken for raw bytes


_SOURCES: dict[str, Callable[[str, Mapping[str, str]], bytes]] = {
    "file": _from_file,
    "credential": _from_credential,
    "environment": _from_environment,
}
