"""The sections about who is told: people by messages, Prometheus by figures, OpenTelemetry by both."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitord.config.quantities import KEY_SOURCE, Section

_BY_HTTP = frozenset({"webhook", "slack", "mattermost", "ntfy"})
_SCHEMES = {**dict.fromkeys(_BY_HTTP, ("https", "http")), "mail": ("smtps", "smtp"), "apprise": ()}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TIME_OF_DAY = r"([01]\d|2[0-3]):[0-5]\d"


class ReceiverSettings(Section, frozen=True):
    """One `[[notify.receivers]]` table: whom to tell, and of which rules. Its URL may hold a secret."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
    kind: Literal[
        "webhook", "slack", "mattermost", "ntfy", "mail", "apprise", "command", "desktop", "journald"
    ]
    url: Annotated[str, Meta(max_length=2000)] = ""
    to: tuple[Annotated[str, Meta(pattern=r"^[^\s@,<>]+@[^\s@,<>]+$", max_length=254)], ...] = ()
    sender: Annotated[str, Meta(pattern=r"^$|^[^\s@,<>]+@[^\s@,<>]+$", max_length=254)] = ""
    command: tuple[str, ...] = ()
    rules: tuple[str, ...] = ("*",)
    not_rules: tuple[str, ...] = ()
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't be right; the words never hold the URL."""
        wanted = {"url": self.kind in _SCHEMES, "command": self.kind == "command", "to": self.kind == "mail"}
        for key, is_wanted in wanted.items():
            if bool(getattr(self, key)) != is_wanted:
                raise ValueError(f"{key}: expected {'one' if is_wanted else 'none'} for kind {self.kind!r}")
        if self.sender and self.kind != "mail":
            raise ValueError(f"sender: expected none for kind {self.kind!r}")
        if self.command and not self.command[0].startswith("/"):
            raise ValueError("command: expected the absolute path of a program, then its arguments")
        if self.url and not self.is_url_elsewhere:
            check_receiver_url(self.kind, self.url)

    @property
    def is_url_elsewhere(self) -> bool:
        """Whether `url` only says where the URL is: in a file, a systemd credential or the environment."""
        return re.fullmatch(KEY_SOURCE, self.url) is not None

    @property
    def shown_url(self) -> str:
        """Where it leads, without anything that opens a door: a path of Slack's is a secret, too."""
        is_plain = not self.url or self.is_url_elsewhere
        return self.url if is_plain else shown_receiver_url(self.url)


def check_receiver_url(kind: str, url: str) -> None:
    """Raise ValueError for a URL that a receiver of this kind can't have; the words never hold it."""
    from urllib.parse import urlsplit  # by receivers with a URL alone: it would stay in the daemon

    schemes = _SCHEMES[kind]
    forms = " or ".join(f"{each}://HOST…" for each in schemes) or "SCHEME://…"
    expected = f"url: expected {forms}, or file:/PATH, credential:NAME, environment:NAME"
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]+", url):
        raise ValueError(expected)
    if not schemes:
        return
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(expected) from None  # its own words may hold a part of it
    if parts.scheme not in schemes or not is_whole:
        raise ValueError(expected)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:  # anybody on the way could read it
        raise ValueError("url: expected https://… (http://… only to this machine itself)")


def shown_receiver_url(url: str) -> str:
    """Return a receiver's URL without user, password, path and options."""
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not separator or scheme not in ("https", "http", "smtps", "smtp"):
        return f"{scheme}://***" if separator else "***"
    more = len(rest) > len(authority)
    return f"{scheme}://{authority.rpartition('@')[2]}{'/***' if more else ''}"


class NotifySettings(Section, frozen=True):
    """Messages about incidents and trouble with the storage: when, how many, and to whom."""

    receivers: Annotated[tuple[ReceiverSettings, ...], Meta(max_length=16)] = ()
    after_s: Annotated[float, Meta(ge=1, le=600)] = 30.0
    fold_s: Annotated[float, Meta(ge=0, le=86_400)] = 1800.0
    daily_limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    quiet_hours: Annotated[str, Meta(pattern=f"^$|^{_TIME_OF_DAY}-{_TIME_OF_DAY}$")] = ""
    deadline_s: Annotated[float, Meta(ge=1, le=60)] = 10.0

    def __post_init__(self) -> None:
        names = [one.name for one in self.receivers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"receivers: {twice!r} is the name of two, expected a name of its own")
        start, _, end = self.quiet_hours.partition("-")
        if start and start == end:  # it would be quiet for ever
            raise ValueError("quiet_hours: expected an end that is not the start; enabled = false silences")

    @property
    def enabled_receivers(self) -> tuple[ReceiverSettings, ...]:
        return tuple(one for one in self.receivers if one.enabled)


class MetricsSettings(Section, frozen=True):
    """Figures for Prometheus that are laid down in a file; served ones need no setting."""

    textfile: Annotated[str, Meta(pattern=r"^$|^/.*[^/]\.prom$", max_length=1000)] = ""


_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"


class OtlpSettings(Section, frozen=True):
    """Incidents, figures and profiles for OpenTelemetry: where to, with which headers, and which of them."""

    endpoint: Annotated[str, Meta(max_length=2000)] = ""
    headers: Annotated[
        tuple[Annotated[str, Meta(pattern=f"^{_HEADER}={KEY_SOURCE}$")], ...], Meta(max_length=16)
    ] = ()
    signals: tuple[Literal["logs", "metrics", "profiles"], ...] = ("logs", "metrics")
    deadline_s: Annotated[float, Meta(ge=1, le=15)] = 10.0

    def __post_init__(self) -> None:
        if self.endpoint and not re.fullmatch(KEY_SOURCE, self.endpoint):
            check_endpoint(self.endpoint)


def check_endpoint(endpoint: str) -> None:
    """Raise ValueError for an endpoint that would not do; the words never hold it."""
    from urllib.parse import urlsplit  # where there is one alone: it would stay in the daemon

    expected = (
        "endpoint: expected https://HOST:PORT (http://… only to this machine), no user or options;"
        " or file:/PATH, credential:NAME, environment:NAME"
    )
    try:
        parts = urlsplit(endpoint)
        is_whole = bool(parts.hostname) and parts.port != 0 and endpoint.isascii() and " " not in endpoint
    except ValueError:
        raise ValueError(expected) from None
    if not is_whole or parts.username is not None or parts.query or parts.fragment:
        raise ValueError(expected)
    if parts.scheme != "https" and (parts.scheme, parts.hostname in LOOPBACK) != ("http", True):
        raise ValueError(expected)


def receiver_without_defaults(receiver: ReceiverSettings) -> dict[str, object]:
    """Return a receiver as a file would have it: name, kind, and what is not the default."""
    full = msgspec.to_builtins(receiver)
    defaults = dict(zip(receiver.__struct_fields__[::-1], receiver.__struct_defaults__[::-1], strict=False))
    return {key: held for key, held in full.items() if getattr(receiver, key) != defaults.get(key, ...)}
