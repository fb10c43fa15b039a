"""What the store answers with, and what it can be asked; plain values for every front room."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from monitord.model import (
    Cause,
    HistoryPoint,
    Hotspot,
    ProcessDetails,
    ProfileRecord,
    Rates,
    Threshold,
    TriggerMetric,
)


@dataclass(frozen=True, slots=True)
class RecentFilter:
    """Which incidents `recent` gives. None means: whatever.

    `process` is a part of the name, or a shell pattern when it holds `*`, `?` or `[`; letter case does not
    matter. `text` is a part of the reason, the process name or the command line. `since` is inclusive,
    `until` exclusive. `cause` is a class ("lock"). `unit` is a part of what it ran in (a unit, container or
    control group), or a shell pattern; so is `function`, of one that was hot in it: the hottest, or with at
    least 5 % of the time. `after_id` gives only rows that were stored after that row (following).
    With `baselines` it gives these alone, else none of them.
    """

    limit: int | None = 20
    since: datetime | None = None
    until: datetime | None = None
    process: str | None = None
    pid: int | None = None
    metric: TriggerMetric | None = None
    status: str | None = None
    rule: str | None = None
    user: str | None = None
    unit: str | None = None
    cause: str | None = None
    function: str | None = None
    text: str | None = None
    pinned: bool | None = None
    baselines: bool = False
    after_id: int | None = None


@dataclass(frozen=True, slots=True)
class NotCaptured:
    """One step of the ladder that left no evidence: why, and what to type so that it works next time."""

    profiler: str
    status: str
    reason: str | None
    fix: str | None


@dataclass(frozen=True, slots=True)
class Note:
    """What a person wrote on an incident."""

    taken_at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class BaselineView:
    """How the same program looked while nothing was wrong."""

    correlation_id: str
    taken_at: datetime
    hotspots: tuple[Hotspot, ...]


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident as stored: why it fired, what stood before it, and every capture with its outcome.

    `record` is its leading row (the best evidence), `captures` has all rows, oldest first. A summary has
    lost its evidence and history to retention; the reason and the hotspots stay. `repeat_count` is how many
    later alerts of the same process a limit kept from becoming incidents of their own.
    """

    correlation_id: str
    record: ProfileRecord
    rule: str
    metric: TriggerMetric
    value: float
    threshold: Threshold | None
    window_s: float
    severity: float
    reason: str
    crossed_at: datetime
    raised_at: datetime
    process_name: str
    process: ProcessDetails | None
    boot_id: str | None
    history: tuple[HistoryPoint, ...]
    captures: tuple[ProfileRecord, ...]
    not_captured: tuple[NotCaptured, ...]
    hotspots: tuple[Hotspot, ...]
    cause: Cause | None = None
    suppressed_by: str | None = None
    late: bool = False
    pinned: bool = False
    is_summary: bool = False
    notes: tuple[Note, ...] = ()
    repeat_count: int = 0
    baseline: BaselineView | None = None


@dataclass(frozen=True, slots=True)
class HotFilter:
    """Which hot functions are asked for. `process` is a part of the name or a shell pattern.

    With `node`, a stmt_id, the shares are of that statement. `since` is inclusive, `until` exclusive.
    `incidents` limits them to those of these incidents (its `limit` and `after_id` say nothing here).
    """

    function: str | None = None
    module: str | None = None
    node: str | None = None
    process: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 20
    incidents: RecentFilter | None = None


@dataclass(frozen=True, slots=True)
class HotFunction:
    """One function (or statement) across captures. Shares are of a profile's samples, 0 to 1.

    `versions` counts how often its code was another one; None where no source was read. `file` and `line` are
    those of the last incident.
    """

    function: str
    module: str | None
    arity: int | None
    node: str | None
    file: str | None
    line: int | None
    incidents: int
    self_share_mean: float
    self_share_max: float
    total_share_max: float | None
    versions: int | None
    last_at: datetime
    last_incident: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store takes, and what the disk has left.

    `artefact_bytes` counts quarantined files too; where artefacts go to a remote provider it is what the rows
    say, wherever the bytes are, and only `free_disk_bytes` of `disk_bytes` is about this disk.
    `set_aside_bytes` are damaged databases and the copy made before a migration. `temporary_bytes`, which
    running captures write and take away again, and `warm_bytes`, which have a budget of their own, count
    against the disk alone; what killed captures left is among `other_bytes`.
    """

    database_bytes: int
    wal_bytes: int
    artefact_bytes: int
    free_disk_bytes: int
    set_aside_bytes: int = 0
    temporary_bytes: int = 0
    other_bytes: int = 0
    disk_bytes: int = 0
    warm_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """What counts against the budget."""
        kept = self.artefact_bytes + self.set_aside_bytes + self.other_bytes
        return self.database_bytes + self.wal_bytes + kept


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is stored."""

    incidents: int
    captures: int
    pinned: int
    summaries: int
    history_rows: int
    last_incident_id: str | None


@dataclass(frozen=True, slots=True)
class NearHistory:
    """The stored passes on both sides of a moment: the last at or before it, and the first after it.

    They stand `step_s` apart as far as nothing is missing. `with_processes` is the last up to `before` that
    looked at processes. `is_twice`: the moment was recorded twice, because the clock was set back between;
    these are of the later recording.
    """

    before: Rates | None
    after: Rates | None
    step_s: float
    with_processes: Rates | None = None
    is_twice: bool = False


@dataclass(frozen=True, slots=True)
class AlikeKeys:
    """What incidents have that may be alike: hot functions, statements; a cause in a process of a name."""

    functions: Collection[str]
    statements: Collection[str]
    causes: Collection[str]
    processes: Collection[str]


@dataclass(frozen=True, slots=True)
class IncidentSpan:
    """An incident as a stretch of time, from its first crossing to the end of its leading evidence."""

    correlation_id: str
    rule: str
    trigger_metric: TriggerMetric
    process_name: str
    pid: int | None
    reason: str
    cause: Cause | None
    crossed_at: datetime
    raised_at: datetime
    ends_at: datetime
    hotspots: tuple[Hotspot, ...] = ()
    profiler: str | None = None
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTally:
    """What one rule made in a period: how many incidents, when the last, how severe the worst."""

    rule: str
    incidents: int
    last_at: datetime
    highest_severity: float


@dataclass(frozen=True, slots=True)
class CauseTally:
    """How many incidents of a rule with this class of cause are stored; None: none was found."""

    rule: str
    cause: str | None
    count: int


@dataclass(frozen=True, slots=True)
class OutcomeTally:
    """How many captures by a profiler that ended so are stored."""

    profiler: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class NewestOfRule:
    """A rule's newest incident."""

    rule: str
    correlation_id: str
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTallies:
    """What is stored, counted; without baselines."""

    incidents: tuple[CauseTally, ...]
    captures: tuple[OutcomeTally, ...]
    newest: tuple[NewestOfRule, ...]
