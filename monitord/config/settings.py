"""The shape of the configuration: every key, its type, its limits, its default.

msgspec checks it (unknown keys are refused by name) and gives the JSON schema. Rules leave this room
as `model.Rule`; every other value leaves it as a plain number or text. More than 400 lines: one table.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitord.config.quantities import KEY_SOURCE, KeySource, KeySourceOrNone, Section, parse_threshold
from monitord.config.telling import MetricsSettings, NotifySettings, OtlpSettings, receiver_without_defaults
from monitord.model import Match, PlannedProfiler, Rule, Threshold, TriggerMetric

Share = Annotated[float, Meta(gt=0, le=1)]
Quantity = Annotated[float, Meta(gt=0)] | str
RuleMetric = Literal[
    "cpu", "memory", "disk_io", "network",
    "memory_growth", "hang", "fd_growth", "thread_growth", "free_memory",
    "cpu_pressure", "memory_pressure", "io_pressure", "short_lived_cpu", "spawn_storm", "short_spike",
    "oom_kill",
]  # fmt: skip


# It may hold a secret, so a source that holds it may stand in its place: `secret_sources.read_url` reads it
# when it is used.
Url = Annotated[str, Meta(pattern=rf"^$|^[a-z][a-z0-9+.-]*://\S*$|^/\S*$|^{KEY_SOURCE}$")]


class SamplingSettings(Section, frozen=True):
    """How often the machine is looked at."""

    interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 2.0
    heartbeat_s: Annotated[float, Meta(ge=1, le=3600)] = 15.0
    ring_s: Annotated[float, Meta(ge=10, le=3600)] = 300.0
    backend: Literal["auto", "linux", "psutil"] = "auto"


class DetectionSettings(Section, frozen=True):
    """Whether the rules that come with monitord apply beside `[[rules]]`; equal names replace them."""

    default_rules: bool = True


class MatchSettings(Section, frozen=True):
    """Which processes a rule is about. Shell patterns, upper and lower case matter."""

    names: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    pids: tuple[Annotated[int, Meta(gt=0)], ...] = ()
    not_names: tuple[str, ...] = ()


class RuleSettings(Section, frozen=True):
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


class CaptureSettings(Section, frozen=True):
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


class BaselineSettings(Section, frozen=True):
    """Short profiles of programs at work while nothing is wrong, to compare incidents with."""

    enabled: bool = True
    per_day: Annotated[int, Meta(ge=0, le=86_400)] = 24
    duration_s: Annotated[float, Meta(ge=0.5, le=30)] = 3.0
    rate_hz: Annotated[int, Meta(ge=1, le=100)] = 20
    max_machine_percent: Annotated[float, Meta(gt=0, le=100)] = 50.0


class BlackBoxSettings(Section, frozen=True):
    """The kernel's rings of what ran lately: stacks from before an alert."""

    enabled: bool = True
    rate_hz: Annotated[int, Meta(ge=1, le=99)] = 19
    kib_per_cpu: Annotated[int, Meta(ge=16, le=512)] = 512

    @property
    def bytes_per_cpu(self) -> int:
        return self.kib_per_cpu << 10


class RetentionSettings(Section, frozen=True):
    """How much may be kept, and for how long."""

    max_age_h: Annotated[float, Meta(gt=0, le=24 * 365)] = 72.0
    max_total_mb: Annotated[float, Meta(ge=1, le=1_000_000)] = 50.0
    summary_days: Annotated[float, Meta(ge=0, le=3650)] = 30.0
    process_share: Share = 0.4
    min_free_disk_mb: Annotated[float, Meta(ge=0)] = 200.0
    max_count: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    max_profiles: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    ages: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ages:
            from monitord.config.ages import check_ages

            check_ages(self.ages, self.max_age_h)

    @property
    def max_total_bytes(self) -> int:
        """MB are 10⁶ bytes."""
        return int(self.max_total_mb * 1e6)

    @property
    def min_free_disk_bytes(self) -> int:
        """What is wanted; `storage.usage.floor_bytes` bounds it on a small disk."""
        return int(self.min_free_disk_mb * 1e6)


class EventSettings(Section, frozen=True):
    """How many events are kept and how long, of those that no incident needs, and where all are copied to.

    0 sets no limit of its own.
    """

    max_events: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    max_age_h: Annotated[float, Meta(ge=0, le=24 * 3650)] = 0.0
    url: Url = ""
    redact: bool = True
    deadline_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0


_ELSEWHERE = 'or where it stands: "file:/PATH", "credential:NAME", "environment:NAME"'
FORMS = {
    "name": 'letters, digits, ".", "_" and "-", and a letter or digit first',
    "to": 'an address such as "you@example.org"',
    "sender": 'an address such as "monitord@example.org", or "" for the default',
    "quiet_hours": 'hours such as "22:00-07:00", or "" for none',
    "url": (
        f'a URL such as "s3://bucket/prefix" or "postgresql://host/database", {_ELSEWHERE}, or "" for none'
    ),
    "cold_url": f'a URL such as "s3://bucket/prefix", {_ELSEWHERE}, or "" for no cold tier',
    "archive_url": f'a URL such as "s3://bucket/prefix", {_ELSEWHERE}, or "" for no archive',
    "folder": 'an absolute path such as "/srv/monitord-backups", or "" for none',
    "duckdb_file": 'an absolute path such as "/srv/analytics/monitord.duckdb", or "" for none',
    "encryption_key": '"file:/PATH", "credential:NAME", "environment:NAME", or "" for no encryption',
    "textfile": 'an absolute path such as "/srv/textfiles/monitord.prom", or "" for none',
    "headers": '"NAME=file:/PATH", "NAME=credential:NAME" or "NAME=environment:NAME"',
    "old_encryption_keys": '"file:/PATH", "credential:NAME" or "environment:NAME"',
}


class StorageSettings(Section, frozen=True):
    """Where artefacts are kept in the end, and how. What a capture leaves is kept here first in any case."""

    url: Url = ""
    compression_level: Annotated[int, Meta(ge=0, le=19)] = 3
    encryption_key: KeySourceOrNone = ""
    old_encryption_keys: tuple[KeySource, ...] = ()
    spool_mb: Annotated[float, Meta(ge=1, le=1_000_000)] = 50.0
    deadline_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    cache_mb: Annotated[float, Meta(ge=0, le=100_000)] = 16.0
    cache_ttl_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    cache_eviction: str = "lru"
    archive_url: Url = ""
    archive_after_h: Annotated[float, Meta(ge=0, le=24 * 365)] = 24.0
    archive_max_age_h: Annotated[float, Meta(ge=0, le=24 * 3650)] = 0.0


class BackupSettings(Section, frozen=True):
    """Backups of the whole store into one folder: how often, and how many stay."""

    folder: Annotated[str, Meta(pattern=r"^$|^/[^\x00-\x1f]+$", max_length=1000)] = ""
    every_h: Annotated[float, Meta(ge=1, le=24 * 365)] = 24.0
    keep: Annotated[int, Meta(ge=1, le=1000)] = 7


class ShipSettings(Section, frozen=True):
    """Whether what was recorded goes to the bucket of a fleet, which of it, and as what."""

    url: Url = ""
    not_tables: tuple[
        Literal["incidents", "events", "hotspots", "process_minutes", "machine_minutes"], ...
    ] = ("events",)
    artefacts: bool = True
    redact: bool = True
    pseudonym: bool = False
    spool_mb: Annotated[float, Meta(ge=1, le=1_000_000)] = 20.0
    deadline_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0

    @property
    def spool_bytes(self) -> int:
        """MB are 10⁶ bytes."""
        return int(self.spool_mb * 1e6)


class StateSettings(Section, frozen=True):
    """Where what several processes share is kept; the recorder's own state is in its database."""

    url: Url = ""
    deadline_s: Annotated[float, Meta(ge=0.1, le=3600)] = 2.0


class AnalyticsSettings(Section, frozen=True):
    """What is kept as Parquet for questions over months: how much here, and where it goes on to."""

    warm_mb: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    warm_days: Annotated[float, Meta(ge=1, le=36_500)] = 365.0
    cold_url: Url = ""
    duckdb_file: Annotated[
        str, Meta(pattern=r"^$|^/[^\x00-\x1f]*[^/\x00-\x1f]\.duckdb$", max_length=1000)
    ] = ""
    duckdb_every_h: Annotated[float, Meta(ge=1, le=24 * 365)] = 24.0

    def __post_init__(self) -> None:
        if self.cold_url and not self.warm_mb:
            raise ValueError("cold_url: expected together with warm_mb, from which it is filled")


class FleetSettings(Section, frozen=True):
    """Which bucket `monitord fleet` asks, and how much of it one question may download."""

    url: Url = ""
    download_mb: Annotated[float, Meta(ge=1, le=1_000_000)] = 2000.0


class LogSettings(Section, frozen=True):
    """Log lines go to stderr, always."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["auto", "logfmt", "json"] = "auto"


class FileSettings(Section, frozen=True):
    """The whole file."""

    sampling: SamplingSettings = SamplingSettings()
    detection: DetectionSettings = DetectionSettings()
    rules: tuple[RuleSettings, ...] = ()
    capture: CaptureSettings = CaptureSettings()
    baselines: BaselineSettings = BaselineSettings()
    black_box: BlackBoxSettings = BlackBoxSettings()
    retention: RetentionSettings = RetentionSettings()
    events: EventSettings = EventSettings()
    storage: StorageSettings = StorageSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    backup: BackupSettings = BackupSettings()
    state: StateSettings = StateSettings()
    notify: NotifySettings = NotifySettings()
    metrics: MetricsSettings = MetricsSettings()
    ship: ShipSettings = ShipSettings()
    otlp: OtlpSettings = OtlpSettings()
    fleet: FleetSettings = FleetSettings()
    log: LogSettings = LogSettings()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The validated configuration: the sections of the file, and the rules that are in force."""

    sampling: SamplingSettings
    capture: CaptureSettings
    baselines: BaselineSettings
    black_box: BlackBoxSettings
    retention: RetentionSettings
    events: EventSettings
    storage: StorageSettings
    analytics: AnalyticsSettings
    backup: BackupSettings
    state: StateSettings
    notify: NotifySettings
    metrics: MetricsSettings
    ship: ShipSettings
    otlp: OtlpSettings
    fleet: FleetSettings
    log: LogSettings
    detection: DetectionSettings
    rules: tuple[Rule, ...]
    rule_settings: tuple[RuleSettings, ...]

    @property
    def bucket_url(self) -> str:
        """The URL of the fleet's bucket, the one asked before the one shipped to; "" for none."""
        return self.fleet.url or self.ship.url

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
