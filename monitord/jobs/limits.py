"""The promises of the store in numbers, and how much history has to go for them: it is cut at its old end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitord.storage.usage import floor_bytes
from monitord.storage.views import Usage

# What one incident weighs in the database once its evidence is gone. Only a guide for how many to take in
# one round: RetentionManager measures after each round and comes again.
SUMMARY_BYTES = 4096

# Evidence that goes sooner: of a process, a rule, or from a severity on; which one; at what age in seconds.
AgeLimit = tuple[str, str, float]

# Rounds in which a history that is too long is believed to be the cause; 4**6 times shorter by then.
PATIENCE = 6


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How much is kept, and how long.

    `max_total_bytes` counts all that stays in the data directory. Evidence older than `max_age_s` goes; what
    is left of the incident goes after `summary_age_s`, and so does history. No process name holds more than
    `process_share` of the budget while others hold evidence too. History holds at most `history_share` of the
    budget, and when room is wanted summaries hold no more than theirs. A disk keeps `min_free_disk_bytes`
    free, see `floor_bytes`. Of events that no incident needs the oldest go beyond `max_events` in all, and
    those older than `event_age_s`; 0 of either: they go for no other reason than the others. With an archive
    evidence may stay for `archive_age_s` instead; by `ages` some goes sooner. Of more incidents than
    `max_count`, and profiles of scripts than `max_profiles` (0: no limit), the mild and old ones go.
    """

    max_age_s: float = 72 * 3600.0
    max_total_bytes: int = 50_000_000
    summary_age_s: float = 30 * 86400.0
    process_share: float = 0.5
    min_free_disk_bytes: int = 200_000_000
    max_count: int = 0
    max_profiles: int = 0
    ages: tuple[AgeLimit, ...] = ()
    archive_age_s: float | None = None
    history_share: float = 0.25
    max_events: int = 0
    event_age_s: float = 0.0
    summary_share: float = 0.25

    def event_bounds(self, now: datetime, *, by_age: bool) -> dict[str, Any]:
        """What `prune_events` of the store is to be given; empty where nothing is to go."""
        before = now - timedelta(seconds=self.event_age_s) if self.event_age_s and by_age else None
        bounds = {"max_events": self.max_events or None, "before": before}
        return bounds if any(bounds.values()) else {}

    @property
    def evidence_age_s(self) -> float:
        """How long evidence stays."""
        return self.max_age_s if self.archive_age_s is None else max(self.max_age_s, self.archive_age_s)

    @property
    def history_age_s(self) -> float:
        """How long history stays, where there is room: as long as anything is told of an incident."""
        return max(self.max_age_s, self.summary_age_s)

    def floor_bytes(self, disk_bytes: int) -> int:
        """What must stay free on a disk of this size; 0 stands for a size that is not known."""
        return floor_bytes(self.min_free_disk_bytes, disk_bytes)


@dataclass(frozen=True, slots=True)
class HistoryTrim:
    """How much history has to go for its size; its size is what the database holds beyond the incidents.

    It is trimmed to its share whenever the clock is trusted, or the budget is broken. What the trimming
    will free is credited, so that no evidence goes for a history that has grown too long; after some
    rounds that did not bear it out, the credit is withdrawn. What goes is measured in bytes, for thinned
    history takes less the older it is, and in the order of recording, which no clock can change.
    """

    keep_share: float
    credit_bytes: int
    pressure: int

    @classmethod
    def of(
        cls,
        held_bytes: int,
        usage: Usage,
        limits: RetentionLimits,
        *,
        is_clock_trusted: bool,
        pressure: int,
    ) -> HistoryTrim:
        allowed_bytes = int(limits.history_share * max(0, limits.max_total_bytes))
        excess_bytes = max(0, held_bytes - allowed_bytes)
        if not excess_bytes or not (is_clock_trusted or usage.total_bytes > limits.max_total_bytes):
            return cls(1.0, 0, pressure)
        return cls(allowed_bytes / held_bytes, excess_bytes if pressure < PATIENCE else 0, pressure)

    def left_share(self, *, is_short: bool) -> float:
        """Return how much of its bytes stays, 1 for all: less in each further round that needs it."""
        if is_short:
            return self.keep_share / (2.0 * 4.0**self.pressure)
        return self.keep_share / 4.0**self.pressure if self.keep_share < 1.0 else 1.0
