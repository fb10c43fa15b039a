"""Settings as the values that rooms take: rooms read no configuration."""

from __future__ import annotations

from monitord.capture import Consent
from monitord.config import Settings
from monitord.jobs import RetentionLimits
from monitord.model import CapturePlan


def plan(settings: Settings) -> CapturePlan:
    """How a full profile is taken."""
    return CapturePlan(duration_s=settings.capture.duration_s, rate_hz=settings.capture.rate_hz)


def consent(settings: Settings) -> Consent:
    """Which processes may be profiled."""
    return Consent(settings.capture.consent, settings.capture.allow, settings.capture.deny)


def retention_limits(settings: Settings) -> RetentionLimits:
    """How much is kept."""
    kept = settings.retention
    return RetentionLimits(
        max_age_s=kept.max_age_h * 3600,
        max_total_bytes=kept.max_total_bytes,
        summary_age_s=kept.summary_days * 86400,
        process_share=kept.process_share,
        max_events=settings.events.max_events,
        event_age_s=settings.events.max_age_h * 3600,
        # Deleting what is remote would free nothing here: what waits keeps the floor by itself then.
        min_free_disk_bytes=0 if settings.storage.url else kept.min_free_disk_bytes,
    )
