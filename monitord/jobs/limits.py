"""The promises of the store in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from monitord.storage.usage import floor_bytes


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How much is kept, and how long.

    `max_total_bytes` counts all that stays in the data directory. Evidence older than `max_age_s` goes; what
    is left of the incident goes after `summary_age_s`. No process name holds more than `process_share` of the
    budget while others hold evidence too. History holds at most `history_share` of the budget, and when room
    is wanted summaries hold no more than theirs. A disk keeps `min_free_disk_bytes` free, see
    `floor_bytes`.
    """

    max_age_s: float = 72 * 3600.0
    max_total_bytes: int = 50_000_000
    summary_age_s: float = 30 * 86400.0
    process_share: float = 0.5
    min_free_disk_bytes: int = 200_000_000
    history_share: float = 0.25
    summary_share: float = 0.25

    def floor_bytes(self, disk_bytes: int) -> int:
        """What must stay free on a disk of this size; 0 stands for a size that is not known."""
        return floor_bytes(self.min_free_disk_bytes, disk_bytes)
