"""How the recorder is, in the words of status.json."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import monitord
from monitord.model import Rates

if TYPE_CHECKING:
    from monitord.config import LoadedConfig
    from monitord.daemon.reloading import Reloading
    from monitord.daemon.wiring import Parts
    from monitord.pipeline import Failures

EXPLAINED_EVERY_S = 60.0  # without news, how near the quiet rules are to anybody is told this often


class Reporter:
    """Puts the status together; what it is given may change between two statuses."""

    def __init__(self, data_dir: Path, parts: Parts, reloading: Reloading, failures: Failures) -> None:
        self._data_dir = data_dir
        self._parts = parts
        self._reloading = reloading
        self._failures = failures
        self._started_at = datetime.now(UTC)
        self._explained_s = float("-inf")
        self._standings: dict[str, object] = {}

    def explain_if_due(self, rates: Rates, *, has_news: bool) -> None:
        """How the rules stand: the dearest part of the status, as it goes through every process."""
        if has_news or rates.monotonic_s - self._explained_s >= EXPLAINED_EVERY_S:
            self._standings = {"rules": self._parts.detector.explain(), "rules_taken_at": rates.taken_at}
            self._explained_s = rates.monotonic_s

    def forget_standings(self) -> None:
        """Explain the rules anew with the next status, because they changed."""
        self._explained_s = float("-inf")

    def status(self, loaded: LoadedConfig, interval_s: float, rates: Rates | None) -> dict[str, object]:
        """Everything that is told; `rates` is the last pass that did not fail (None: there was none)."""
        parts, counts = self._parts, self._parts.pipeline.counts
        capture = parts.worker.current
        return {
            "version": monitord.__version__,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "reported_at": datetime.now(UTC),
            "data_dir": str(self._data_dir),
            "config_paths": [str(path) for path in loaded.sources],
            "interval_s": interval_s,
            **_of_pass(rates),
            "passes": counts.passes,
            "lost_passes": self._failures.counts.get("pass", 0),
            "own_cpu_percent": parts.selfwatch.cost.cpu_percent,
            "own_rss_bytes": parts.selfwatch.cost.rss_bytes,
            "missing_sources": parts.sampler.missing,
            "degraded": self.degraded(),
            "reload": self._reloading.outcome,
            "budget_bytes": parts.saving.limits.max_total_bytes,
            "queue_depth": parts.pending.waiting_count,
            "capture": {"correlation_id": capture[0], "since": capture[1]} if capture else None,
            "pending": parts.worker.pending,
            **self._standings,
            "jobs": parts.tidying.table,
            "errands": parts.errands.table(),
            "black_box": parts.box.status(),
            "storage": parts.monitor.as_json(),
            "counts": {
                "alerts": counts.alerts,
                "suppressed": counts.suppressed,
                "folded": counts.folded,
                "by_rule": dict(counts.by_rule),
                "dropped": parts.pending.dropped,
            },
            "last_incident": counts.last_incident,
        }

    def degraded(self) -> list[str]:
        """What does not go well, in words."""
        parts = self._parts
        not_sent = (
            f"artefacts wait here: {parts.uploads.trouble}"
            if parts.uploads and parts.uploads.trouble
            else None
        )
        not_told = f"messages wait: {parts.messages.trouble}" if parts.messages.trouble else None
        troubles = (parts.store.degraded_reason, parts.pending.trouble, not_sent, not_told)
        return [
            *self._failures.complaints(),
            *parts.box_failures.complaints(),
            *self._reloading.complaints(),
            *dict.fromkeys(filter(None, troubles)),
            *parts.monitor.complaints(),
            *parts.errands.complaints(),
            *parts.selfwatch.complaints(),
        ]


def _of_pass(rates: Rates | None) -> dict[str, object]:
    if rates is None:
        return {}
    return {
        "taken_at": rates.taken_at,
        "process_count": rates.process_count,
        "machine_percent": rates.system.machine_percent,
    }
