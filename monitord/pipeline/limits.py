"""Do no harm: when a capture must not be taken, in words a person can act on. Pure; given the time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitord.model import SystemRates, counted


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """The budget of full profiles, and how starved a machine is left alone."""

    max_per_hour: int = 20
    min_available_memory_percent: float = 3.0
    max_load_per_cpu: float = 20.0


@dataclass(slots=True)
class CaptureBudget:
    """Full profiles of the last hour, over all rules; `spent` survives a restart. From any thread."""

    limits: CaptureLimits
    spent: list[datetime] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def refusal(self, now: datetime, system: SystemRates) -> str | None:
        """Why no profile may be taken now, or None."""
        total_bytes = system.memory_total_bytes  # 0: not known here
        available_percent = 100 * system.memory_available_bytes / total_bytes if total_bytes > 0 else 100.0
        if available_percent < self.limits.min_available_memory_percent:
            return (
                f"the machine has only {available_percent:.1f} % of its memory left"
                f" (capture.min_available_memory_percent = {self.limits.min_available_memory_percent:g})"
            )
        if system.load_1 > self.limits.max_load_per_cpu * system.cpu_count:
            return (
                f"the load is {system.load_1:.0f} on {system.cpu_count} CPUs"
                f" (capture.max_load_per_cpu = {self.limits.max_load_per_cpu:g})"
            )
        self._forget(now)
        if len(self.spent) >= self.limits.max_per_hour:
            return f"{counted(len(self.spent), 'profile')} taken in the last hour (capture.max_per_hour)"
        return None

    def spend(self, now: datetime) -> None:
        """One more profile is going to be taken."""
        with self._lock:
            self.spent.append(now)

    def give_back(self, moment: datetime) -> None:
        """The profile that was to be paid for with `spend(moment)` was not taken after all."""
        with self._lock:
            if moment in self.spent:
                self.spent.remove(moment)

    def remember(self) -> list[str]:
        """Return the budget as texts for JSON."""
        with self._lock:
            return [moment.isoformat() for moment in self.spent]

    def restore(self, texts: Sequence[object]) -> None:
        """Take up the budget of an earlier run; values that are not aware times are damaged and left out."""
        for text in texts:
            with contextlib.suppress(ValueError, TypeError):
                moment = datetime.fromisoformat(text)  # type: ignore[arg-type]  # TypeError is damage, too
                self.spent.append(moment.astimezone(UTC))

    def _forget(self, now: datetime) -> None:
        """Only the last hour counts; a moment in the future is a clock that jumped, and counts no more."""
        with self._lock:
            self.spent = [moment for moment in self.spent if now - timedelta(hours=1) < moment <= now]
