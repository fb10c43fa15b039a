"""Incidents to ask about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitord.model import (
    Alert,
    Capture,
    CaptureStatus,
    HistoryPoint,
    Hotspot,
    Incident,
    ProcessDetails,
    ProcessKey,
    Threshold,
    TriggerMetric,
)
from monitord.storage import new_correlation_id


def make_incident(
    correlation_id: str | None = None,
    *,
    name: str = "python3",
    words: tuple[str, ...] = ("python3", "app.py"),
) -> Incident:
    """A process that burnt a core for ten seconds a minute ago, profiled."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    key = ProcessKey(4321, 77)
    hotspots = (
        Hotspot("burn", "/srv/app/app.py", 14, 0.97, 0.99),
        Hotspot("main", "/srv/app/app.py", 30, 0.0, 1.0),
    )
    return Incident(
        correlation_id=correlation_id or new_correlation_id(),
        alert=Alert(
            rule="cpu-hog",
            metric=TriggerMetric.CPU,
            value=99.0,
            threshold=Threshold(90, "percent"),
            window_s=10,
            crossed_at=now - timedelta(seconds=10),
            raised_at=now,
            target=key,
            process_name=name,
            reason=f"{name} used 99 % of one core",
            severity=1.1,
        ),
        process=ProcessDetails(key, name, 1, now - timedelta(hours=1), command_line=words),
        history=tuple(
            HistoryPoint(now - timedelta(seconds=2 * n), 50.0, 8 << 30, cpu_percent=99.0, rss_bytes=10 << 20)
            for n in range(30, 0, -1)
        ),
        captures=(
            Capture(
                role="profile",
                profiler="py-spy",
                status=CaptureStatus.OK,
                started_at=now,
                duration_s=10,
                target=key,
                format="folded",
                payload=b"main (/srv/app/app.py:30);burn (/srv/app/app.py:14) 97\nmain (/srv/app/app.py:30) 3\n",
                sample_count=100,
                hotspots=hotspots,
            ),
        ),
    )
