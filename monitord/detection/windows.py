"""Whether a crossing held: k of n samples from the first crossing on. Counters only, so an hour costs as
much as ten seconds.

The clock of a window starts at the crossing sample, so one sample can never fill it. A gap restarts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil

# A window this long is given up when its share falls below the wanted one after that time, although an
# hour of perfect burning could still mend it: otherwise every blip of 35 % would be followed closely for
# the 12 minutes in which an hour's 80 % stays within reach.
PATIENCE_S = 60.0
# No evidence for this long: the window proves nothing any more.
STALE_S = 60.0
# Ticks are late and early by a little; a tenth of one must not cost a whole further tick.
JITTER_SHARE = 0.1


@dataclass(slots=True)
class Window:
    """One judgement under way. Times in seconds of the detector's own clock."""

    opened_s: float
    opened_at: datetime
    last_s: float
    samples: int = 0
    broken: int = 0
    broken_total: float = 0.0
    waited_total: float = 0.0
    is_restarting: bool = False

    def add(
        self, now_s: float, taken_at: datetime, value: float, is_broken: bool, waited: float = 0.0
    ) -> None:
        if self.is_restarting:
            self.opened_s, self.opened_at, self.is_restarting = now_s, taken_at, False
        self.last_s = now_s
        self.samples += 1
        if is_broken:
            self.broken += 1
            self.broken_total += value
            self.waited_total += waited

    def restart(self) -> None:
        """Start anew after a gap: what was seen before it is not joined with what comes after it."""
        self.samples = self.broken = 0
        self.broken_total = self.waited_total = 0.0
        self.is_restarting = True

    @property
    def share(self) -> float:
        return self.broken / self.samples if self.samples else 0.0

    @property
    def mean(self) -> float:
        """The mean of the samples that broke the rule."""
        return self.broken_total / self.broken if self.broken else 0.0

    @property
    def mean_waited(self) -> float:
        """The part of `mean` that was waited for and not used."""
        return self.waited_total / self.broken if self.broken else 0.0

    def is_held(self, window_s: float, min_share: float, interval_s: float) -> bool:
        """The window has passed, and enough of its samples broke the rule."""
        passed_s = self.last_s - self.opened_s
        if self.samples < 2 or passed_s < window_s - JITTER_SHARE * interval_s:
            return False
        return self.share >= min_share - 1e-9

    def is_lost(self, window_s: float, min_share: float, interval_s: float) -> bool:
        """It can't be held any more (or, past PATIENCE_S, it is not worth the hope)."""
        if self.samples == 0:
            return False
        passed_s = self.last_s - self.opened_s
        if passed_s >= min(window_s, PATIENCE_S) and self.share < min_share - 1e-9:
            return True
        coming = max(0, ceil((window_s - passed_s) / max(interval_s, 1e-3) - 1e-9))
        return (self.broken + coming) / (self.samples + coming) < min_share - 1e-9

    def is_stale(self, now_s: float, interval_s: float) -> bool:
        """Nothing was seen for longer than the passes themselves explain."""
        return now_s - self.last_s > max(STALE_S, 2 * interval_s)
