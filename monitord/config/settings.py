"""The shape of the configuration: every key, its type, its limits, its default.

msgspec checks it (unknown keys are refused by name) and gives the JSON schema. Rules leave this room
as `model.Rule`; every other value leaves it as a plain number or text. More than 400 lines: one table.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitord.config.quantities import parse_threshold
from monitord.model import Match, PlannedProfiler, Rule, Threshold, TriggerMetric

Share = Annotated[float, Meta(gt=0, le=1)]
Quantity = Annotated[float, Meta(gt=0)] | str
RuleMetric = Literal[
    "cpu", "memory", "disk_io", "network",
    "memory_growth", "hang", "fd_growth", "thread_growth", "free_memory",
    "cpu_pressure", "memory_pressure", "io_pressure", "short_lived_cpu", "spawn_storm", "short_spike",
    "oom_kill",
]  # fmt: skip


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; a key it does not know is an error."""


class SamplingSettings(_Section, frozen=True):
    """How often the machine is looked at."""

    interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 2.0
    heartbeat_s: Annotated[float, Meta(ge=1, le=3600)] = 15.0
    ring_s: Annotated[float, Meta(ge=10, le=3600)] = 300.0
    backend: Literal["auto", "linux", "psutil"] = "auto"


class DetectionSettings(_Section, frozen=True):
    """Whether the rules that come with monitord apply beside `[[rules]]`; equal names replace them."""

    default_rules: bool = True


class MatchSettings(_Section, frozen=True):
    """Which processes a rule is about. Shell patterns, upper and lower case matter."""

    names: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    pids: tuple[Annotated[int, Meta(gt=0)], ...] = ()
    not_names: tuple[str, ...] = ()


class RuleSettings(_Section, frozen=True):
    """One `[[rules]]` table."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    metric: RuleMetric
    above: Quantity | None = None
    below: Quantity | None = None
    times_baseline: Annotated[float, Meta(gt=1, le=1000)] | None = None
    baseline_alone: bool = False
    window_s: Annotated[float, Meta(gt=0, le=86_400)] = 10.0
    min_share: Share = 0.8
    clear_below: Quantity | None = None
    clear_above: Quantity | None = None
    cooldown_s: Annotated[float, Meta(ge=0, le=86_400 * 7)] = 600.0
    escalation_factor: Annotated[float, Meta(gt=1, le=1000)] = 1.5
    captures_per_hour: Annotated[int, Meta(ge=0, le=1000)] = 6
    match: MatchSettings = MatchSettings()
    profiler: PlannedProfiler = "auto"
    enabled: bool = True

    def to_rule(self) -> Rule:
        """Return it as a Rule; raises ValueError naming the key and what was expected."""
        metric = TriggerMetric(self.metric)
        self._check_keys(metric)

        def threshold(key: str) -> Threshold | None:
            value = getattr(self, key)
            try:
                return None if value is None else parse_threshold(value, metric)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None

        above, below = threshold("above"), threshold("below")
        clear = threshold("clear_below" if below is None else "clear_above")
        limit = above or below
        if clear is not None and limit is not None and clear.unit != limit.unit:
            raise ValueError("clear level: expected the unit of the threshold")
        if above and clear and clear.value > above.value:
            raise ValueError("clear_below: expected a level at or below `above`")
        if below and clear and clear.value < below.value:
            raise ValueError("clear_above: expected a level at or above `below`")
        return Rule(
            name=self.name,
            metric=metric,
            above=above,
            below=below,
            times_baseline=self.times_baseline,
            baseline_alone=self.baseline_alone,
            window_s=self.window_s,
            min_share=self.min_share,
            clear_level=clear,
            cooldown_s=self.cooldown_s,
            escalation_factor=self.escalation_factor,
            captures_per_hour=self.captures_per_hour,
            match=Match(**{key: getattr(self.match, key) for key in self.match.__struct_fields__}),
            profiler=self.profiler,
            is_enabled=self.enabled,
        )

    def _check_keys(self, metric: TriggerMetric) -> None:
        wants_below = metric is TriggerMetric.FREE_MEMORY
        wrong, right = ("above", "below") if wants_below else ("below", "above")
        if getattr(self, wrong) is not None:
            raise ValueError(f"{wrong}: expected `{right}` in a {metric} rule")
        if metric.is_machine_wide and self.match != MatchSettings():
            raise ValueError(f"match: expected none in a {metric} rule, which watches the whole machine")
        if self.baseline_alone and self.times_baseline is None:
            raise ValueError("baseline_alone: expected together with `times_baseline`")
        if getattr(self, right) is None and not self.baseline_alone:
            raise ValueError(f"{right}: missing, a {metric} rule needs it")


class CaptureSettings(_Section, frozen=True):
    """Whether, of which processes and how profiles are taken. Budgets are small on purpose."""

    consent: Literal["auto", "listed", "never"] = "auto"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    duration_s: Annotated[float, Meta(ge=0.5, le=300)] = 10.0
    rate_hz: Annotated[int, Meta(ge=1, le=1000)] = 100
    grace_s: Annotated[float, Meta(ge=1, le=120)] = 10.0
    max_per_hour: Annotated[int, Meta(ge=0, le=1000)] = 20
    first_look: bool = True
    read_sources: bool = True
    min_available_memory_percent: Annotated[float, Meta(ge=0, le=90)] = 3.0
    max_load_per_cpu: Annotated[float, Meta(gt=0, le=10_000)] = 20.0


class BaselineSettings(_Section, frozen=True):
    """Short profiles of programs at work while nothing is wrong, to compare incidents with."""

    enabled: bool = True
    per_day: Annotated[int, Meta(ge=0, le=86_400)] = 24
    duration_s: Annotated[float, Meta(ge=0.5, le=30)] = 3.0
    rate_hz: Annotated[int, Meta(ge=1, le=100)] = 20
    max_machine_percent: Annotated[float, Meta(gt=0, le=100)] = 50.0


class BlackBoxSettings(_Section, frozen=True):
    """The kernel's rings of what ran lately: stacks from before an alert."""

    enabled: bool = True
    rate_hz: Annotated[int, Meta(ge=1, le=99)] = 19
    kib_per_cpu: Annotated[int, Meta(ge=16, le=512)] = 512

    @property
    def bytes_per_cpu(self) -> int:
        return self.kib_per_cpu << 10


class RetentionSettings(_Section, frozen=True):
    """How much may be kept, and for how long."""

    max_age_h: Annotated[float, Meta(gt=0, le=24 * 365)] = 72.0
    max_total_mb: Annotated[float, Meta(ge=1, le=1_000_000)] = 50.0
    summary_days: Annotated[float, Meta(ge=0, le=3650)] = 30.0
    process_share: Share = 0.4
    min_free_disk_mb: Annotated[float, Meta(ge=0)] = 200.0

    @property
    def max_total_bytes(self) -> int:
        """MB are 10⁶ bytes."""
        return int(self.max_total_mb * 1e6)

    @property
    def min_free_disk_bytes(self) -> int:
        """What is wanted; `storage.usage.floor_bytes` bounds it on a small disk."""
        return int(self.min_free_disk_mb * 1e6)


Url = Annotated[str, Meta(pattern=r"^$|^[a-z][a-z0-9+.-]*://\S*$|^/\S*$")]
_KEY_SOURCE = r"(file:/.+|credential:[A-Za-z0-9_-][A-Za-z0-9._-]*|environment:[A-Za-z_][A-Za-z0-9_]*)"
KeySource = Annotated[str, Meta(pattern=f"^{_KEY_SOURCE}$")]
KeySourceOrNone = Annotated[str, Meta(pattern=f"^$|^{_KEY_SOURCE}$")]
FORMS = {
    "name": 'letters, digits, ".", "_" and "-", and a letter or digit first',
    "to": 'an address such as "you@example.org"',
    "sender": 'an address such as "monitord@example.org", or "" for the default',
    "quiet_hours": 'hours such as "22:00-07:00", or "" for none',
    "url": 'a URL such as "s3://bucket/prefix", or "" for the data directory',
    "archive_url": 'a URL such as "s3://bucket/prefix", or "" for no archive',
    "folder": 'an absolute path such as "/srv/monitord-backups", or "" for none',
    "encryption_key": '"file:/PATH", "credential:NAME", "environment:NAME", or "" for no encryption',
    "old_encryption_keys": '"file:/PATH", "credential:NAME" or "environment:NAME"',
}


class StorageSettings(_Section, frozen=True):
    """Where artefacts are kept in the end, and how. What a capture leaves is kept here first in any case."""

    url: Url = ""
    compression_level: Annotated[int, Meta(ge=0, le=19)] = 3
    encryption_key: KeySourceOrNone = ""
    old_encryption_keys: tuple[KeySource, ...] = ()
    spool_mb: Annotated[float, Meta(ge=1, le=1_000_000)] = 50.0
    deadline_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    cache_mb: Annotated[float, Meta(ge=0, le=100_000)] = 16.0
    cache_ttl_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    cache_eviction: Literal["lru", "fifo", "random"] = "lru"
    archive_url: Url = ""
    archive_after_h: Annotated[float, Meta(ge=0, le=24 * 365)] = 24.0


class BackupSettings(_Section, frozen=True):
    """Backups of the whole store into one folder: how often, and how many stay."""

    folder: Annotated[str, Meta(pattern=r"^$|^/[^\x00-\x1f]+$", max_length=1000)] = ""
    every_h: Annotated[float, Meta(ge=1, le=24 * 365)] = 24.0
    keep: Annotated[int, Meta(ge=1, le=1000)] = 7


_BY_HTTP = frozenset({"webhook", "slack", "mattermost", "ntfy"})
_SCHEMES = {**dict.fromkeys(_BY_HTTP, ("https", "http")), "mail": ("smtps", "smtp"), "apprise": ()}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TIME_OF_DAY = r"([01]\d|2[0-3]):[0-5]\d"


class ReceiverSettings(_Section, frozen=True):
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
        return re.fullmatch(_KEY_SOURCE, self.url) is not None

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


class NotifySettings(_Section, frozen=True):
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


class LogSettings(_Section, frozen=True):
    """Log lines go to stderr, always."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["auto", "logfmt", "json"] = "auto"


class FileSettings(_Section, frozen=True):
    """The whole file."""

    sampling: SamplingSettings = SamplingSettings()
    detection: DetectionSettings = DetectionSettings()
    rules: tuple[RuleSettings, ...] = ()
    capture: CaptureSettings = CaptureSettings()
    baselines: BaselineSettings = BaselineSettings()
    black_box: BlackBoxSettings = BlackBoxSettings()
    retention: RetentionSettings = RetentionSettings()
    storage: StorageSettings = StorageSettings()
    backup: BackupSettings = BackupSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The validated configuration: the sections of the file, and the rules that are in force."""

    sampling: SamplingSettings
    capture: CaptureSettings
    baselines: BaselineSettings
    black_box: BlackBoxSettings
    retention: RetentionSettings
    storage: StorageSettings
    backup: BackupSettings
    notify: NotifySettings
    log: LogSettings
    detection: DetectionSettings
    rules: tuple[Rule, ...]
    rule_settings: tuple[RuleSettings, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, in the shape of the file."""
        sections = tuple(name for name in FileSettings.__struct_fields__ if name != "rules")
        shown: dict[str, object] = {name: msgspec.to_builtins(getattr(self, name)) for name in sections}
        shown["rules"] = [rule_without_defaults(rule) for rule in self.rule_settings]
        receivers = [receiver_without_defaults(one) for one in self.notify.receivers]
        return {**shown, "notify": {**msgspec.to_builtins(self.notify), "receivers": receivers}}


_BUILT_IN = {
    "sampling": ("heartbeat_s", "ring_s", "backend"),
    "capture": ("first_look", "grace_s", "read_sources"),
    "storage": (
        *("url", "compression_level", "encryption_key", "old_encryption_keys", "spool_mb", "archive_url"),
    ),
}


def needs_restart(before: Settings, after: Settings) -> list[str]:
    """The keys that changed and that only a new daemon takes up: what was built with them stays."""
    return [
        f"{section}.{key}"
        for section, keys in _BUILT_IN.items()
        for key in keys
        if getattr(getattr(before, section), key) != getattr(getattr(after, section), key)
    ]


def rule_without_defaults(rule: RuleSettings) -> dict[str, object]:
    """Return a rule as a file would have it: name, metric, and what is not the default."""
    full = msgspec.to_builtins(rule)
    bare = msgspec.to_builtins(RuleSettings(name=rule.name, metric=rule.metric))
    return {key: value for key, value in full.items() if key in ("name", "metric") or value != bare[key]}


def receiver_without_defaults(receiver: ReceiverSettings) -> dict[str, object]:
    """Return a receiver as a file would have it: name, kind, and what is not the default."""
    full = msgspec.to_builtins(receiver)
    defaults = dict(zip(receiver.__struct_fields__[::-1], receiver.__struct_defaults__[::-1], strict=False))
    return {key: held for key, held in full.items() if getattr(receiver, key) != defaults.get(key, ...)}
