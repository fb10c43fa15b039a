"""Where artefacts are kept, as one URL: read, checked option by option, and shown without its secrets.

`file:///var/lib/x`, `memory://`, `redis://host:6379/0?ttl=7d`, `s3://bucket/prefix?endpoint=https://…`, or a
plug-in's own scheme. Secrets come from files or the environment; a URL only says where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from monitord.durable import read_regular
from monitord.errors import ConfigError
from monitord.storage.artefacts.credentials import credential_path

HIDDEN = "***"
SECRET_LIMIT_BYTES = 64 << 10
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(s|min|h|d|)\Z")
_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}
# Options whose values tell nothing that opens a door; all others are hidden when a URL is shown.
_SHOWN_OPTIONS = frozenset(
    [
        *("endpoint", "region", "prefix", "ttl", "timeout", "allow_http", "tags", "quarantine", "max_bytes"),
        *("password_file", "access_key_id_file", "secret_access_key_file", "session_token_file", "ca_file"),
    ]
)


class StorageType(StrEnum):
    """What kind of thing keeps the artefacts."""

    FILE = "file"
    MEMORY = "memory"
    REDIS = "redis"
    S3 = "s3"
    CUSTOM = "custom"


_TYPES = {
    "file": StorageType.FILE,
    "memory": StorageType.MEMORY,
    "redis": StorageType.REDIS,
    "rediss": StorageType.REDIS,
    "s3": StorageType.S3,
    "gs": StorageType.S3,
    "az": StorageType.S3,
}


@dataclass(frozen=True, slots=True)
class StorageURL:
    """A URL taken apart; `path` and the rest are decoded. `str()` shows it without its secrets."""

    scheme: str
    host: str | None = None
    port: int | None = None
    path: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        place = (self.host or "") + (f":{self.port}" if self.port is not None else "")
        account = f"{HIDDEN}@" if self.user is not None or self.password is not None else ""
        shown = "&".join(f"{name}={_shown_option(name, value)}" for name, value in self.options.items())
        return f"{self.scheme}://{account}{place}{quote(self.path)}{'?' if shown else ''}{shown}"

    @property
    def storage_type(self) -> StorageType:
        """The kind of storage; whatever is not built in is custom."""
        return _TYPES.get(self.scheme, StorageType.CUSTOM)

    def check_options(self, *known: str) -> None:
        """Refuse options that this kind of provider does not have."""
        for name in self.options:
            if name not in known:
                raise ConfigError(f"invalid URL {self}: option {name!r}, expected {_listed(known)}")

    def flag(self, name: str, *, default: bool) -> bool:
        """An option that is `true` or `false`."""
        value = self.options.get(name)
        if value not in (None, "true", "false"):
            raise ConfigError(f"invalid URL {self}: {name}, expected true or false")
        return default if value is None else value == "true"

    def seconds(self, name: str, default: float | None) -> float | None:
        """An option that is a length of time above 0: `90`, `90s`, `15min`, `12h`, `7d`."""
        value = self.options.get(name)
        if value is None:
            return default
        match = _DURATION.match(value)
        if match is None or float(match[1]) == 0:
            raise ConfigError(
                f"invalid URL {self}: {name}, expected a length of time above 0 such as 90s, 15min, 12h or 7d"
            )
        return float(match[1]) * _SECONDS[match[2]]

    def secret(self, name: str) -> str | None:
        """What the file holds that `<name>_file` names (without a slash: a systemd credential)."""
        file = self.options.get(f"{name}_file")
        return None if file is None else read_secret(file)


def parse_url(text: str) -> StorageURL:
    """Take a URL apart; a plain path means `file://`. Raises ConfigError with what was expected."""
    if "://" not in text and text.startswith(("/", "./", "../", "~")) and not text.startswith("//"):
        return StorageURL("file", path=str(Path(text).expanduser().absolute()))
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ConfigError(
            "invalid URL: expected no spaces or control characters; write them as %20 and so on"
        )
    scheme, separator, rest = text.partition("://")
    if not separator or _SCHEME.match(scheme) is None:
        raise ConfigError(f"invalid URL {shown_url(text)}: expected one such as file:///var/lib/artefacts")
    try:
        parts = urlsplit(f"storage://{rest}")  # all schemes are read alike
        port = parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError as error:
        raise ConfigError(f"invalid URL {shown_url(text)}: {_reason(error)}") from None
    if "#" in text or (parts.netloc and "@" in parts.path):
        raise ConfigError(
            f"invalid URL {shown_url(text)}: expected %23 %2F %40 for # / @ in user, password and path"
        )
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigError(f"invalid URL {shown_url(text)}: an option is given twice, expected once")
    return StorageURL(
        scheme=scheme,
        host=_host(parts),
        port=port,
        path=unquote(parts.path),
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        options=options,
    )


def shown_url(text: str) -> str:
    """Return a URL for messages and logs, without user info and values of options that might be secret.

    What stands in its place and says where it is, is shown as it is.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        from monitord.storage.artefacts.secret_sources import is_source  # which the recorder need not load

        if "@" in text or "=" in text:  # `file:user:password@host` is a slip of the pen, not a file's name
            return repr(HIDDEN)
        return text if is_source(text) else repr(text[:80])
    place, _question, query = rest.partition("?")
    authority, slash, path = place.partition("/")
    if "@" in place:
        authority, slash, path = f"{HIDDEN}@{place.rpartition('@')[2]}", "", ""
    shown = [
        f"{n}={_shown_option(n, v)}" for n, _equals, v in (o.partition("=") for o in query.split("&")) if n
    ]
    return f"{scheme}://{authority}{slash}{path}{'?' if shown else ''}{'&'.join(shown)}"


def _shown_option(name: str, value: str) -> str:
    if name not in _SHOWN_OPTIONS:
        return HIDDEN
    return shown_url(value) if "://" in value else value if "@" not in value else HIDDEN


def read_secret(file: str) -> str:
    """What a file, or the systemd credential of this name, holds, without the newline at its end."""
    path = Path(file) if "/" in file else credential_path(file)
    if not path.is_absolute():
        raise ConfigError(
            f"invalid file of a secret {file}: expected an absolute path or the name of a systemd credential"
        )
    try:
        data = read_regular(path)
        secret = data.decode().rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"cannot read the secret in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"invalid secret in {path}: expected UTF-8 text") from None
    if not secret or len(data) > SECRET_LIMIT_BYTES:
        raise ConfigError(f"invalid secret in {path}: it is {'too long' if secret else 'empty'}")
    return secret


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Where artefacts are kept and how: what a person decides about storage.

    `max_size` is in bytes, None for no limit.
    """

    url: StorageURL
    max_size: int | None = None
    compression: bool = True
    encryption: bool = False

    @property
    def provider_type(self) -> StorageType:
        return self.url.storage_type

    @property
    def base_path(self) -> Path:
        """The folder, for files; else the path within the server or bucket."""
        return Path(self.url.path)


def _host(parts: SplitResult) -> str | None:
    return unquote(parts.hostname) if parts.hostname else None


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text is not None else None


def _reason(error: ValueError) -> str:
    """urllib's words, without the text that it read: it may be a secret."""
    return (
        "its port is not a number from 0 to 65535"
        if "ort" in str(error)
        else "its host or its options can't be read"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
