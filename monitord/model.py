"""The words of monitord as plain values. Standard library only; every room may import it.

Units stand at the end of a name. Times are aware UTC. `cpu_percent` is always of one core;
`machine_percent` is of all cores together. Names that come from a process are kept without loss as
`str` with surrogateescape; `redaction.printable` makes them fit to show.
(More than 400 lines: a dictionary, read by the word, is looked up in one place.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal


class TriggerMetric(StrEnum):
    """What a rule watches. The first four are the requirement's; MANUAL is a capture asked for by hand."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK_IO = "disk_io"
    NETWORK = "network"
    MEMORY_GROWTH = "memory_growth"
    HANG = "hang"
    FD_GROWTH = "fd_growth"
    THREAD_GROWTH = "thread_growth"
    FREE_MEMORY = "free_memory"
    CPU_PRESSURE = "cpu_pressure"
    MEMORY_PRESSURE = "memory_pressure"
    IO_PRESSURE = "io_pressure"
    SHORT_LIVED_CPU = "short_lived_cpu"
    SPAWN_STORM = "spawn_storm"
    SHORT_SPIKE = "short_spike"
    OOM_KILL = "oom_kill"
    MANUAL = "manual"

    @property
    def is_machine_wide(self) -> bool:
        """Whether it is measured of the whole machine: a rule about it can't be narrowed to processes."""
        return self in _MACHINE_WIDE

    @property
    def is_about_memory(self) -> bool:
        """Whether what brings memory in tells more of it than what runs."""
        return self in _ABOUT_MEMORY


_MACHINE_WIDE = frozenset(
    (
        TriggerMetric.NETWORK, TriggerMetric.FREE_MEMORY, TriggerMetric.CPU_PRESSURE,
        TriggerMetric.MEMORY_PRESSURE, TriggerMetric.IO_PRESSURE,
        TriggerMetric.SHORT_LIVED_CPU, TriggerMetric.SPAWN_STORM, TriggerMetric.OOM_KILL,
    )
)  # fmt: skip

BASELINE_RULE = "baseline"
"""The rule of a baseline's row: a profile taken automatically while nothing was wrong (metric manual)."""

_ABOUT_MEMORY = (TriggerMetric.MEMORY, TriggerMetric.MEMORY_GROWTH, TriggerMetric.FREE_MEMORY)

SNAPSHOT = "snapshot"
"""The rule of an incident that `monitord snapshot` made (metric manual)."""

WHOLE_MACHINE = "(whole machine)"
"""What stands for a process in a snapshot of everybody."""

NO_SINGLE_PROCESS = "no single process"
"""The process name of an alert that is the sum of many, or whose maker is not certain."""

METRIC_UNITS: Mapping[TriggerMetric, tuple[str, ...]] = {
    TriggerMetric.CPU: ("percent",),
    TriggerMetric.MEMORY: ("percent", "bytes"),
    TriggerMetric.DISK_IO: ("bytes_per_s",),
    TriggerMetric.NETWORK: ("bytes_per_s",),
    TriggerMetric.MEMORY_GROWTH: ("bytes",),
    TriggerMetric.HANG: ("seconds",),
    TriggerMetric.FD_GROWTH: ("count",),
    TriggerMetric.THREAD_GROWTH: ("count",),
    TriggerMetric.FREE_MEMORY: ("percent", "bytes"),
    TriggerMetric.CPU_PRESSURE: ("percent",),
    TriggerMetric.MEMORY_PRESSURE: ("percent",),
    TriggerMetric.IO_PRESSURE: ("percent",),
    TriggerMetric.SHORT_LIVED_CPU: ("percent",),
    TriggerMetric.SPAWN_STORM: ("count",),
    TriggerMetric.SHORT_SPIKE: ("seconds",),
    TriggerMetric.OOM_KILL: ("count",),
    TriggerMetric.MANUAL: ("percent",),
}
"""The units that a metric is judged in; the first is what a bare number means."""


# ---------------------------------------------------------------------------------------- processes


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """Which process, not just which number: pid and start.

    `start_ticks` is field 22 of /proc/PID/stat on Linux (clock ticks since boot) and milliseconds
    since the epoch elsewhere. Good enough to notice reuse between two looks; the capture room holds
    a pidfd besides, because pid and start can be forged (facts: reliability, finding 3).
    """

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class ProcessDetails:
    """What is read of a suspect only: who it is, where it belongs. The command line is redacted already."""

    key: ProcessKey
    name: str
    parent_pid: int
    started_at: datetime
    uid: int | None = None
    user: str | None = None
    executable: str | None = None
    command_line: tuple[str, ...] = ()
    cgroup: str | None = None
    unit: str | None = None
    container_id: str | None = None
    thread_count: int | None = None
    fd_count: int | None = None


# ------------------------------------------------------------------------------------------ samples


@dataclass(frozen=True, slots=True)
class DiskCounters:
    """One block device since boot."""

    name: str
    read_bytes: int
    write_bytes: int


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """One network interface since boot."""

    name: str
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """Pressure stall information: seconds since boot in which some, or all, tasks waited."""

    cpu_some_s: float
    memory_some_s: float
    memory_full_s: float
    io_some_s: float
    io_full_s: float


@dataclass(frozen=True, slots=True)
class SystemSample:
    """One raw reading of the machine: counters and levels as read.

    `monotonic_s` stands still while the machine sleeps and `boottime_s` does not: where they drift
    apart, the machine was suspended.
    """

    taken_at: datetime
    monotonic_s: float
    boottime_s: float
    cpu_count: int
    cpu_busy_s: float
    memory_total_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    load_1: float
    load_5: float
    load_15: float
    disks: tuple[DiskCounters, ...] = ()
    interfaces: tuple[InterfaceCounters, ...] = ()
    pressure: Pressure | None = None
    oom_kills: int | None = None
    memory_held_bytes: Mapping[str, int] = field(default_factory=dict)
    starts: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One raw reading of one process. None means: not read this time, or not permitted."""

    key: ProcessKey
    parent_pid: int
    name: str
    state: str
    cpu_s: float
    rss_bytes: int
    thread_count: int
    uid: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    fd_count: int | None = None
    children_cpu_s: float | None = None


# -------------------------------------------------------------------------------------------- rates


@dataclass(frozen=True, slots=True)
class SystemRates:
    """The machine between two samples. `oom_kills` counts those in between; None: not known here.

    `oom_kills_in` are those among them whose control group is known, by its name.
    `memory_held_bytes` says where memory is that can't simply be taken back, in words. `starts_per_s` counts
    processes and threads that were started.
    """

    machine_percent: float
    cpu_count: int
    memory_total_bytes: int
    memory_available_bytes: int
    swap_used_bytes: int
    load_1: float
    disk_bytes_per_s: Mapping[str, float] = field(default_factory=dict)
    network_bytes_per_s: Mapping[str, float] = field(default_factory=dict)
    pressure_percent: Mapping[str, float] = field(default_factory=dict)
    unattributed_cpu_percent: float | None = None
    oom_kills: int | None = None
    oom_kills_in: Mapping[str, int] = field(default_factory=dict)
    memory_held_bytes: Mapping[str, int] = field(default_factory=dict)
    starts_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProcessRates:
    """One process between two samples. A rate is None when it is not known, never 0 instead.

    `waited_percent` is how long its busy threads stood in line for a processor, in percent of one core;
    read only while the machine is crowded, and only of processes that used CPU. `children_cpu_percent` is
    what its children that ended in between had used in their lives. `private_bytes` is the resident memory
    that is neither a file's nor shared; read of what is large, and only if a rule asks for it. `image` is
    where code and stack begin, other ones after every exec; of suspects only, None without the right.
    `throttled_percent` is how long the quota of its control group (`cpu_limit_percent`) held it back, in
    percent of one core; `memory_limit_bytes` is its group's, where that is less than the machine has, and
    `memory_group` that group's name.
    `is_frozen`: its group is paused.
    """

    key: ProcessKey
    name: str
    parent_pid: int
    state: str
    uid: int | None
    cpu_percent: float | None
    rss_bytes: int
    thread_count: int
    disk_bytes_per_s: float | None = None
    network_bytes_per_s: float | None = None
    fd_count: int | None = None
    unit: str | None = None
    waited_percent: float | None = None
    children_cpu_percent: float | None = None
    private_bytes: int | None = None
    image: tuple[int, int] | None = None
    throttled_percent: float | None = None
    cpu_limit_percent: float | None = None
    memory_limit_bytes: int | None = None
    memory_group: str | None = None
    is_frozen: bool = False

    @property
    def denied_cpu_percent(self) -> float:
        """What others and its group's quota kept it from using; never more than its threads can want.

        Before Linux 6.18 the time that a quota holds back is in the time that was waited, too.
        """
        denied = (self.waited_percent or 0.0) + (self.throttled_percent or 0.0)
        return min(denied, max(0.0, 100.0 * self.thread_count - (self.cpu_percent or 0.0))) if denied else 0.0

    @property
    def wanted_cpu_percent(self) -> float | None:
        """What it would have used on a machine of its own."""
        if self.cpu_percent is None or (self.waited_percent is None and self.throttled_percent is None):
            return self.cpu_percent
        return self.cpu_percent + self.denied_cpu_percent


_OF_PROCESS = ProcessRates.__slots__
_values_of = attrgetter(*_OF_PROCESS)


def changed(process: ProcessRates, **changes: Any) -> ProcessRates:
    """What dataclasses.replace gives, in half its time: of every busy process in every pass."""
    return ProcessRates(**{**dict(zip(_OF_PROCESS, _values_of(process), strict=True)), **changes})


@dataclass(frozen=True, slots=True)
class Rates:
    """What one pass gives.

    `processes` holds those that did something, are new, or were demanded; a process that is not in
    it was unchanged (no CPU used, same memory) or, when `is_complete` is False, was soundly skipped.
    `exited` holds those seen before and gone now. `gap` says why nothing may be concluded from this
    pass ("first sample", "suspend", "clock jump", …); None in ordinary times.
    """

    taken_at: datetime
    monotonic_s: float
    interval_s: float
    system: SystemRates
    processes: tuple[ProcessRates, ...] = ()
    exited: frozenset[ProcessKey] = frozenset()
    process_count: int = 0
    is_complete: bool = False
    gap: str | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What detection needs to see: below these levels no rule about one process can be broken.

    None means no rule asks for it. `watched` processes are read every pass. `needs_unit`: a rule that any
    process can break at any level (growth) is limited to some units. `needs_consumers`: a rule about the
    whole machine's CPU must be told who uses it while the machine is crowded. For processes
    of at least `private_from_bytes` a rule about growth wants the private part. While so many processes
    are started a second as `starts_per_s` says, their parents must be told. The sampler may skip
    what can't matter under this demand, and only that.
    """

    cpu_percent: float | None = None
    rss_bytes: int | None = None
    disk_bytes_per_s: float | None = None
    needs_fd_count: bool = False
    needs_unit: bool = False
    needs_consumers: bool = False
    private_from_bytes: int | None = None
    starts_per_s: float | None = None
    watched: frozenset[ProcessKey] = frozenset()


# -------------------------------------------------------------------------------- rules and alerts


@dataclass(frozen=True, slots=True)
class Match:
    """Which processes a rule is about; an empty match means all. Names and units are shell patterns."""

    names: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    not_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number and its unit: `percent`, `bytes`, `bytes_per_s`, `seconds` or `count`.

    A memory threshold is in percent of RAM or in bytes; CPU in percent of one core.
    """

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Match + condition + window + limits: what counts as abnormal.

    The condition holds for one sample when the value is at least `above` (or at most `below`) and, where
    `times_baseline` is given, also (or instead, with `baseline_alone`) at least that many times the
    process's own baseline. It holds for the window when at least `min_share` of the samples of
    `window_s` seconds broke it. `captures_per_hour` bounds this rule, `cooldown_s` each target.
    """

    name: str
    metric: TriggerMetric
    above: Threshold | None = None
    below: Threshold | None = None
    times_baseline: float | None = None
    baseline_alone: bool = False
    window_s: float = 10.0
    min_share: float = 0.8
    clear_level: Threshold | None = None
    cooldown_s: float = 600.0
    escalation_factor: float = 1.5
    captures_per_hour: int = 6
    match: Match = Match()
    profiler: str = "auto"
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Arming:
    """A rule was crossed for the first time: take a cheap look at the target now.

    `image` is the target's ProcessRates.image: evidence of another one is of another program.
    """

    rule: str
    metric: TriggerMetric
    target: ProcessKey | None
    process_name: str
    value: float
    crossed_at: datetime
    image: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule's condition held for its window.

    `target` is None when no process can be blamed (yet): a machine-wide rule, or "unattributed".
    `severity` is value ÷ threshold (inverted for `below`): what keeps the worst before the mild.
    `waited_percent` is the part of a CPU value that was waited for and not used. `image`: see Arming.
    `suppressed_by` is None when a profile is to be taken, else the limit that forbids it, in words;
    `is_repeat` says that the limit is the cooldown of what the same process was captured for before.
    `counts_with` names the rule about the whole machine whose incident this alert is a part of.
    """

    rule: str
    metric: TriggerMetric
    value: float
    threshold: Threshold
    window_s: float
    crossed_at: datetime
    raised_at: datetime
    target: ProcessKey | None
    process_name: str
    reason: str
    severity: float
    profiler: str = "auto"
    suppressed_by: str | None = None
    is_repeat: bool = False
    counts_with: str | None = None
    waited_percent: float = 0.0
    image: tuple[int, int] | None = None

    @classmethod
    def unraised(cls, rule: str, target: ProcessKey, name: str, cpu_percent: float, at: datetime) -> Alert:
        """Return the alert of a capture that no rule asked for: it weighs nothing, and has no reason yet."""
        nothing = Threshold(0.0, "percent")
        return cls(
            rule=rule, metric=TriggerMetric.MANUAL, value=cpu_percent, threshold=nothing, window_s=0.0,
            crossed_at=at, raised_at=at, target=target, process_name=name, reason="", severity=0.0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Traffic:
    """The process that moves the bytes on the network, as far as it can be told.

    `talkers` are (process, name, bytes per second), busiest first. `blamed` is the one that it is put down
    to, None when that is not known. `said` is a clause: with whom, or why nobody is blamed.
    """

    talkers: tuple[tuple[ProcessKey, str, float], ...] = ()
    blamed: tuple[ProcessKey, str] | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """What detection made of one pass."""

    armed: tuple[Arming, ...] = ()
    disarmed: tuple[Arming, ...] = ()
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule as it stands for one target (or for nobody yet): what `monitord explain` prints.

    `state` is one of quiet, armed, firing, cooling_down, disabled. `last_values` has the newest last,
    in the threshold's unit. `distance` is how far the last value is from breaking the rule (≤ 0: broken).
    """

    rule: str
    metric: TriggerMetric
    threshold: Threshold | None
    window_s: float
    state: str
    target: ProcessKey | None = None
    process_name: str | None = None
    last_values: tuple[float, ...] = ()
    share_above: float | None = None
    distance: float | None = None
    baseline: float | None = None
    suppressed_by: str | None = None
    seen_at: datetime | None = None


# ------------------------------------------------------------------------------ captures, incidents


class CaptureStatus(StrEnum):
    """How a capture ended. Exit codes of profilers lie; this word is what was verified."""

    OK = "ok"
    PARTIAL = "partial"
    NO_SAMPLES = "no_samples"
    TARGET_GONE = "target_gone"
    TARGET_REPLACED = "target_replaced"
    TARGET_STOPPED = "target_stopped"
    NOT_PYTHON = "not_python"
    UNSUPPORTED_VERSION = "unsupported_version"
    PERMISSION_DENIED = "permission_denied"
    TOOL_MISSING = "tool_missing"
    TIMEOUT = "timeout"
    TOOL_ERROR = "tool_error"
    REFUSED = "refused"

    @property
    def has_evidence(self) -> bool:
        return self in (CaptureStatus.OK, CaptureStatus.PARTIAL)


def in_words(word: str) -> str:
    """Say a metric, or how a capture ended, as a person reads it; programs get the word itself."""
    return word.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of a function with its share of the profile; `stmt_id` names the statement on it."""

    line: int
    self_share: float
    stmt_id: str | None = None


BEFORE = "before"
"""The role of what the black box held of the time before an alert; the others: context, dump, profile."""

FEW_SAMPLES = 5
"""Evidence of fewer samples tells less than a look from inside the spike."""

ONLY_WAITED = "only_waited"
"""The note of a capture in which no thread ran: its functions are where it waited, and took no CPU."""

BY_PY_SPY = "by py-spy"
BEFORE_THE_ALERT = "before the alert"
DURING_THE_ALERT = "during the alert"


@dataclass(frozen=True, slots=True)
class Hotspot:
    """One function's share of a profile, 0 to 1 of its samples. `line` is its hottest line.

    `module` is a native function's binary, or a Python function's module. `share_error` is how far the self
    share may be off because samples are few (±, 95 %). `func_id` names the function wherever its lines are;
    the rest comes from its source text: `stmt_id` names the statement on `line`, `func_hash` changes with
    the code, both as `ast_version` (of Python's grammar) sees it. `source_state` is same, changed (since the
    process started, or not what ran), unreadable, unparsable, or None: nobody looked. `seen` says when or by
    whom, where that is another than the leading profile: BEFORE_THE_ALERT, DURING_THE_ALERT, BY_PY_SPY.
    """

    function: str
    file: str | None
    line: int | None
    self_share: float
    total_share: float
    kind: str = "python"
    module: str | None = None
    share_error: float | None = None
    func_id: str | None = None
    stmt_id: str | None = None
    func_hash: str | None = None
    arity: int | None = None
    ast_version: str | None = None
    source_state: str | None = None
    source_line: str | None = None
    seen: str | None = None
    statements: tuple[Statement, ...] = ()


PYTHON_NOT_READ = "[Python, not read]"
"""Stands for code of an interpreter: what Python function ran was not read in time."""
_MUCH_NOT_READ = 0.1  # of the time


def not_read_share(hotspots: Iterable[Hotspot]) -> float:
    """The part of the time whose Python functions are not known, and may be any; 0 where it is little."""
    shares = (spot.self_share for spot in hotspots if spot.function == PYTHON_NOT_READ and not spot.seen)
    share = sum(shares)
    return share if share >= _MUCH_NOT_READ else 0.0


ProfilerName = Literal["auto", "py-spy", "perf-faults", "perf", "eu-stack", "sample", "spindump"]
"""Which tool is to take a profile; auto takes the first of the ladder that works."""

PlannedProfiler = Literal[ProfilerName, "none"]
"""The same in a rule or plan, where none takes only the context."""

PlannedConsent = Literal["always", "never"]
"""Whether a plan's processes may be profiled, whatever the configuration says."""


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """How a capture is to be taken: by which profiler ("auto": the ladder), how long, how often.

    `named` is the plan set at run time that had a say in it; its `consent` ("always" or "never") stands in
    for the configured one, but for the deny list. None: as configured. `is_about_memory`: what brings memory
    in is asked for before what runs.
    """

    profiler: str = "auto"
    duration_s: float = 10.0
    rate_hz: int = 100
    consent: str | None = None
    named: str | None = None
    is_about_memory: bool = False


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """A capture plan set at run time: for which processes, and what differs from the configuration."""

    name: str
    match: Match = Match()
    profiler: str | None = None
    duration_s: float | None = None
    rate_hz: int | None = None
    consent: str | None = None

    def applied_to(self, plan: CapturePlan) -> CapturePlan:
        """Return the plan as this one changes it."""
        return CapturePlan(
            profiler=self.profiler or plan.profiler,
            duration_s=self.duration_s or plan.duration_s,
            rate_hz=self.rate_hz or plan.rate_hz,
            consent=self.consent,
            named=self.name,
            is_about_memory=plan.is_about_memory,
        )


CONTEXT_LABELS = (
    *("state", "waits", "threads", "memory", "files", "sockets", "disk", "group", "pressure", "machine"),
    *("place", "unread"),
)
"""What the context record tells, as notes of its capture; in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What a process held and had moved at one moment; None: not read or not permitted.

    Bytes of disk and network are counted since it began; the network's are those of its whole namespace.
    """

    at_s: float
    rss_bytes: int | None = None
    disk_bytes: int | None = None
    network_bytes: int | None = None
    fd_count: int | None = None
    thread_count: int | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """One run of one profiler on one process, and how it ended.

    `role` is before (what the black box held), context (no tool), dump (one look at the first crossing) or
    profile. The evidence is
    `payload` (small, in memory) or `path` (a file in the folder the capture was given), or neither.
    `format` names the parser: context-json, ring, py-spy-dump, speedscope, folded, eu-stack, sample or
    spindump.
    `late` means taken when the spike was over. `fix` says what to type so that it works next time.
    `explained_share` is the part of the CPU used meanwhile that the samples account for; None: not known.
    `levels` were read before and after it. `image` is the program that the target ran: an exec changes it.
    """

    role: str
    profiler: str
    status: CaptureStatus
    started_at: datetime
    duration_s: float
    target: ProcessKey
    profiler_version: str | None = None
    reason: str | None = None
    fix: str | None = None
    format: str | None = None
    payload: bytes | None = None
    path: Path | None = None
    rate_hz: int | None = None
    sample_count: int | None = None
    error_count: int | None = None
    target_cpu_percent: float | None = None
    late: bool = False
    explained_share: float | None = None
    levels: tuple[Levels, Levels] | None = None
    image: str | None = None
    hotspots: tuple[Hotspot, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """The last `since_s` seconds of the machine as an incident of this id, wanted by `asked_by`.

    Of one process with its descendants (`pid`), or of those with a name like `process` (a shell pattern);
    neither: of everybody.
    """

    correlation_id: str
    since_s: float
    asked_by: str
    pid: int | None = None
    process: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The target and the machine at one moment before the alert; None where it was not read.

    `unattributed_cpu_percent` is what the machine used beyond the sum of its processes: mostly of
    processes that lived shorter than a look.
    """

    taken_at: datetime
    machine_percent: float
    memory_available_bytes: int
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    disk_bytes_per_s: float | None = None
    network_bytes_per_s: float | None = None
    thread_count: int | None = None
    fd_count: int | None = None
    unattributed_cpu_percent: float | None = None


Confidence = Literal["certain", "likely", "possible", "unknown"]
"""How sure a cause is; unknown: nothing is named, only what would decide."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What an incident is attributed to.

    `kind` is a class of at most three words ("tight loop", "unknown"), `sentence` names function, file, peer
    or holder. `runner_up` is the class that it may be instead (None where `confidence` is "certain"),
    `decides` what would settle it. `evidence` are rows of (label, text). Texts hold names that processes gave
    themselves.
    """

    kind: str
    sentence: str
    confidence: Confidence
    runner_up: str | None = None
    decides: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.confidence == "certain":
            object.__setattr__(self, "runner_up", None)


UNKNOWN_CAUSE = "unknown"
NOT_KNOWN = "the cause is not known: "
"""How its sentence begins."""


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert with its history, its captures, what could not be captured and why, and its cause."""

    correlation_id: str
    alert: Alert
    process: ProcessDetails | None
    history: tuple[HistoryPoint, ...] = ()
    captures: tuple[Capture, ...] = ()
    boot_id: str | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """One row of `profile_capture`: the requirement's columns, then what the design adds.

    `duration_seconds` is the length of the profiling in whole seconds; `profile_path` is where the
    artefact lies, as a path a person can open. `notes` is stored as JSON.
    """

    process_name: str
    pid: int
    trigger_metric: TriggerMetric
    trigger_value: float
    captured_at: datetime
    profile_path: str
    duration_seconds: int
    notes: Mapping[str, str] | None = None
    id: int | None = None
    correlation_id: str = ""
    role: str = "profile"
    rule: str | None = None
    started_ticks: int | None = None
    user: str | None = None
    command_line: tuple[str, ...] = ()
    profiler: str | None = None
    profiler_version: str | None = None
    status: CaptureStatus = CaptureStatus.OK
    failure_reason: str | None = None
    fix: str | None = None
    format: str | None = None
    sample_count: int | None = None
    target_cpu_percent: float | None = None
    late: bool = False
    severity: float = 0.0
    artefact_key: str | None = None
    size_bytes: int = 0
    checksum: str | None = None
    pinned: bool = False
    raised_at: datetime | None = None
    # Of the incident and read along with the row: two readings of one row are the same record without them.
    reason: str | None = field(default=None, compare=False)
    hottest_function: str | None = field(default=None, compare=False)
    cause: str | None = field(default=None, compare=False)
    times_this_week: int | None = field(default=None, compare=False)
    times_this_week_at_least: int | None = field(default=None, compare=False)


# ------------------------------------------------------------------------------------------- events


class EventType(StrEnum):
    """What an event is about. Names of types are an interface; numbers in the store never change."""

    SAMPLE = "sample"
    ALERT = "alert"
    CAPTURE = "capture"
    HOTSPOT = "hotspot"
    NOTE = "note"
    STORAGE = "storage"
    JOB = "job"
    DAEMON = "daemon"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class Event:
    """Anything that happened. What an event has nothing to say about is None.

    `ast_node_id` is the statement's id (`stmt_id` of a hotspot); module, function and arity name the
    function. `payload` holds whatever else, JSON-able. `id` is given by the store, and sorts by time.
    """

    event_type: EventType
    taken_at: datetime
    pid: int | None = None
    start_ticks: int | None = None
    process_name: str | None = None
    module: str | None = None
    function: str | None = None
    arity: int | None = None
    correlation_id: str | None = None
    ast_node_id: str | None = None
    payload: Mapping[str, object] = field(default_factory=dict)
    id: int | None = None


def short_id(correlation_id: str) -> str:
    """What an incident is called wherever people read: the beginning of its id, which every command takes."""
    return correlation_id[:8]  # 39 bits: among 10,000 incidents two begin alike once in ten thousand stores


def counted(number: int, noun: str) -> str:
    """`noun` is the singular, its last word regular: "further alert", "process", "branch", "entry"."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "ch", "sh", "x")):
        return f"{number:,} {noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}s"


_SCALES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "bytes": (1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB")),
    "disk_bytes": (1000, ("B", "kB", "MB", "GB", "TB", "PB")),
    "bytes_per_s": (1000, ("B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s")),
}


def scaled(value: float, unit: str) -> tuple[float, str]:
    """Return a size in the largest unit that it fills, and that unit's name.

    Memory (`bytes`) is counted in 1024s (MiB); what lies on disks or goes over wires (`disk_bytes`,
    `bytes_per_s`) in 1000s (MB), as its limits.
    """
    step, names = _SCALES[unit]
    index = 0
    while abs(value) >= step * 0.9995 and index < len(names) - 1:
        value /= step
        index += 1
    return value, names[index]


def sized(value: float, unit: str) -> str:
    """Write a size, of a unit that `scaled` knows, as a person reads it: "1.2 GiB", "80.0 MB/s", "512 B"."""
    number, name = scaled(value, unit)
    digits = 0 if name == _SCALES[unit][1][0] or abs(number) >= 99.95 else 1
    return f"{number:.{digits}f} {name}"
