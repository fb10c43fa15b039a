"""What has to go so that the store keeps its promises: pure, given rows, usage, limits and the time.

Pinned incidents stay. Among the others the mild go before the bad, and the old before the new where
they are equally bad. Evidence (big) goes before the summary that remembers it (small).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

# What one incident weighs in the database once its evidence is gone. Only a guide for how many to take in
# one round: RetentionManager measures after each round and comes again.
SUMMARY_BYTES = 4096

# Rounds in which a history that is too long is believed to be the cause; 4**6 times shorter by then.
PATIENCE = 6


class RetentionRow(Protocol):
    """One incident as retention sees it; `artefact_bytes` lies in its files, the summary's own included."""

    @property
    def correlation_id(self) -> str: ...
    @property
    def process_name(self) -> str: ...
    @property
    def raised_at(self) -> datetime: ...
    @property
    def severity(self) -> float: ...
    @property
    def pinned(self) -> bool: ...
    @property
    def artefact_bytes(self) -> int: ...
    @property
    def is_summary(self) -> bool: ...


class Usage(Protocol):
    """What the store takes on disk, and what the disk has left, in bytes."""

    @property
    def database_bytes(self) -> int: ...
    @property
    def wal_bytes(self) -> int: ...
    @property
    def artefact_bytes(self) -> int: ...
    @property
    def free_disk_bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """The promises in numbers.

    `max_total_bytes` counts database, WAL and artefacts. Evidence older than `max_age_s` goes; what is
    left of the incident goes after `summary_age_s`. No process name holds more than `process_share` of the
    budget while others hold evidence too. History holds at most `history_share` of the budget.
    """

    max_age_s: float = 72 * 3600.0
    max_total_bytes: int = 50_000_000
    summary_age_s: float = 30 * 86400.0
    process_share: float = 0.5
    min_free_disk_bytes: int = 200_000_000
    history_share: float = 0.25


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What is to go. `reasons` maps each correlation id to age, process quota, budget or free disk.

    `share_of_all` is how much of everything deletable goes *because of age*, the greater of the share by
    count and by bytes; it is what a clock jump would make large. `shortfall_bytes` is what is missing even
    when all evidence that may go is gone. `age_skipped` says why no age was judged.
    """

    drop_evidence: tuple[str, ...] = ()
    delete_incidents: tuple[str, ...] = ()
    drop_history_before: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    share_of_all: float = 0.0
    shortfall_bytes: int = 0
    age_skipped: str | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.drop_evidence or self.delete_incidents or self.drop_history_before)


def plan_retention(
    rows: Sequence[RetentionRow],
    usage: Usage,
    limits: RetentionLimits,
    now: datetime,
    *,
    by_age: bool = True,
    pressure: int = 0,
) -> RetentionPlan:
    """Decide what goes: by age, then by process quota, then by total size, then for the free-disk floor.

    `by_age=False` judges no age (the clock can't be trusted, or only room is wanted). `pressure` counts
    the rounds before this one that did not free enough: each keeps a quarter of the history before.

    Order of whatever goes for room: among the unpinned incidents of one process that hold evidence, the
    lower (severity, raised_at) goes first; for total size and free disk the same holds among all processes.
    A clock behind the newest incident was set back: then nothing goes by age.
    """
    skipped = _why_not_by_age(rows, now) if by_age else "not asked for"
    draft = _Draft(rows)
    if skipped is None:
        draft.drop_old(limits, now)
    share = draft.share_gone()
    draft.trim_processes(int(limits.process_share * limits.max_total_bytes))
    history = _HistoryTrim.of(rows, usage, limits, is_clock_trusted=skipped is None, pressure=pressure)
    over_bytes = usage.total_bytes - history.credit_bytes - limits.max_total_bytes
    draft.free(over_bytes, "budget")
    draft.restore_floor(limits.min_free_disk_bytes - usage.free_disk_bytes)
    shortfall = max(0, over_bytes - draft.freed_bytes)
    if pressure and not history.credit_bytes:
        draft.delete_summaries(shortfall)
    aged = now - timedelta(seconds=limits.max_age_s) if skipped is None else None
    sized = history.cutoff(now, limits.max_age_s, is_short=shortfall > 0)
    return RetentionPlan(
        drop_evidence=tuple(sorted(draft.dropped - draft.deleted)),
        delete_incidents=tuple(sorted(draft.deleted)),
        drop_history_before=max((when for when in (aged, sized) if when), default=None),
        reasons=dict(draft.reasons),
        share_of_all=share,
        shortfall_bytes=shortfall,
        age_skipped=skipped if by_age else None,
    )


def mild_first(row: RetentionRow) -> tuple[float, datetime, str]:
    """The order in which incidents go for room: the mild before the bad, then the old before the new."""
    return (row.severity, row.raised_at, row.correlation_id)


def evidence_bytes(row: RetentionRow) -> int:
    """What dropping its evidence frees: nothing when only the summary is left, which stays."""
    return 0 if row.is_summary else row.artefact_bytes


class _Draft:
    """A plan while it is being made: what goes so far, why, and how many bytes that frees."""

    def __init__(self, rows: Sequence[RetentionRow]) -> None:
        self._free_to_go = sorted((row for row in rows if not row.pinned), key=mild_first)
        self._rows = rows
        self.dropped: set[str] = set()
        self.deleted: set[str] = set()
        self.reasons: dict[str, str] = {}
        self.freed_bytes = 0

    def drop_old(self, limits: RetentionLimits, now: datetime) -> None:
        """Evidence past its age goes; an incident past the age of summaries goes whole."""
        summary_age_s = max(limits.max_age_s, limits.summary_age_s)
        for row in self._free_to_go:
            age_s = (now - row.raised_at).total_seconds()
            if age_s > summary_age_s:
                self._delete(row, "age")
            elif age_s > limits.max_age_s and not row.is_summary:
                self._drop(row, "age")

    def share_gone(self) -> float:
        """Of everything that may go at all, the share that goes so far: by count or bytes, the greater."""
        gone = len(self.dropped | self.deleted)
        held_bytes = sum(evidence_bytes(row) for row in self._free_to_go)
        by_count = gone / len(self._free_to_go) if gone else 0.0
        by_bytes = self.freed_bytes / held_bytes if held_bytes else 0.0
        return max(by_count, by_bytes)

    def trim_processes(self, quota_bytes: int) -> None:
        """No process name holds more than the quota while another holds evidence; pins count but stay."""
        held: defaultdict[str, int] = defaultdict(int)
        for row in self._rows:
            if not self._is_gone(row) and evidence_bytes(row):
                held[row.process_name] += row.artefact_bytes
        if len(held) < 2:
            return
        for row in self._holders():
            if held[row.process_name] > quota_bytes:
                held[row.process_name] -= row.artefact_bytes
                self._drop(row, "process quota")

    def free(self, wanted_bytes: int, reason: str) -> None:
        """Drop evidence, mildest first, until `wanted_bytes` in all are freed or nothing is left to drop."""
        for row in self._holders():
            if self.freed_bytes >= wanted_bytes:
                return
            self._drop(row, reason)

    def restore_floor(self, missing_bytes: int) -> None:
        """Give bytes back to a full disk, but only when that restores the floor.

        Somebody else may fill the disk faster than we could ever empty it; evidence is not thrown
        after that in vain. New captures are then refused for want of room instead.
        """
        if missing_bytes <= self.freed_bytes + sum(row.artefact_bytes for row in self._holders()):
            self.free(missing_bytes, "free disk")

    def delete_summaries(self, missing_bytes: int) -> None:
        """The last resort: whole incidents, mildest first, at a guessed weight each."""
        for row in self._free_to_go:
            if missing_bytes <= 0:
                return
            if row.correlation_id not in self.deleted:
                self._delete(row, "budget")
                missing_bytes -= SUMMARY_BYTES + row.artefact_bytes

    def _holders(self) -> list[RetentionRow]:
        return [row for row in self._free_to_go if evidence_bytes(row) and not self._is_gone(row)]

    def _is_gone(self, row: RetentionRow) -> bool:
        return row.correlation_id in self.dropped or row.correlation_id in self.deleted

    def _drop(self, row: RetentionRow, reason: str) -> None:
        if not self._is_gone(row):
            self.freed_bytes += evidence_bytes(row)
        self.dropped.add(row.correlation_id)
        self.reasons[row.correlation_id] = reason

    def _delete(self, row: RetentionRow, reason: str) -> None:
        if not self._is_gone(row):
            self.freed_bytes += row.artefact_bytes
        self.deleted.add(row.correlation_id)
        self.reasons[row.correlation_id] = reason


def _why_not_by_age(rows: Sequence[RetentionRow], now: datetime) -> str | None:
    newest = max((row.raised_at for row in rows), default=None)
    if newest is not None and now < newest:
        return f"the clock ({now:%Y-%m-%d %H:%M}) is behind the newest incident ({newest:%Y-%m-%d %H:%M})"
    return None


@dataclass(frozen=True, slots=True)
class _HistoryTrim:
    """How much history has to go for its size; its size is what the database holds beyond the incidents.

    It is trimmed to its share whenever the clock is trusted, or the budget is broken. What the trimming
    will free is credited, so that no evidence goes for a history that has grown too long; after some
    rounds that did not bear it out, the credit is withdrawn.
    """

    keep_share: float
    credit_bytes: int
    pressure: int

    @classmethod
    def of(
        cls,
        rows: Sequence[RetentionRow],
        usage: Usage,
        limits: RetentionLimits,
        *,
        is_clock_trusted: bool,
        pressure: int,
    ) -> _HistoryTrim:
        held_bytes = max(0, usage.database_bytes - len(rows) * SUMMARY_BYTES)
        allowed_bytes = int(limits.history_share * max(0, limits.max_total_bytes))
        excess_bytes = max(0, held_bytes - allowed_bytes)
        if not excess_bytes or not (is_clock_trusted or usage.total_bytes > limits.max_total_bytes):
            return cls(1.0, 0, pressure)
        return cls(allowed_bytes / held_bytes, excess_bytes if pressure < PATIENCE else 0, pressure)

    def cutoff(self, now: datetime, window_s: float, *, is_short: bool) -> datetime | None:
        """From when on history stays, taking it to be spread evenly over its window; None: all of it."""
        share = self.keep_share
        if is_short:
            share /= 2.0 * 4.0**self.pressure
        elif share < 1.0:
            share /= 4.0**self.pressure
        return now - timedelta(seconds=window_s * share) if share < 1.0 else None
