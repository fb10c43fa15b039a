"""Settings as the values that rooms take: rooms read no configuration."""

from __future__ import annotations

from collections.abc import Sequence

from monitord.capture import Consent
from monitord.config import Settings
from monitord.jobs import RetentionLimits
from monitord.jobs.limits import AgeLimit
from monitord.model import CapturePlan


def plan(settings: Settings) -> CapturePlan:
    """How a full profile is taken."""
    return CapturePlan(duration_s=settings.capture.duration_s, rate_hz=settings.capture.rate_hz)


def consent(settings: Settings) -> Consent:
    """Which processes may be profiled."""
    return Consent(settings.capture.consent, settings.capture.allow, settings.capture.deny)


def _ages(texts: Sequence[str]) -> tuple[AgeLimit, ...]:
    from monitord.config.ages import age_of

    return tuple(map(age_of, texts))


def retention_limits(settings: Settings) -> RetentionLimits:
    """How much is kept."""
    kept, archived_h = settings.retention, settings.storage.archive_max_age_h
    return RetentionLimits(
        max_age_s=kept.max_age_h * 3600,
        max_total_bytes=kept.max_total_bytes,
        summary_age_s=kept.summary_days * 86400,
        process_share=kept.process_share,
        max_events=settings.events.max_events,
        event_age_s=settings.events.max_age_h * 3600,
        max_count=kept.max_count,
        max_profiles=kept.max_profiles,
        ages=_ages(kept.ages) if kept.ages else (),
        archive_age_s=archived_h * 3600 if settings.storage.archive_url and archived_h else None,
        # Deleting what is remote would free nothing here: what waits keeps the floor by itself then.
        min_free_disk_bytes=0 if settings.storage.url else kept.min_free_disk_bytes,
    )
