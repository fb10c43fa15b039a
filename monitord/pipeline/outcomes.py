"""What became of a capture, in the words of its row: refused, broken, or taken too late. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from monitord.model import Alert, Capture, CapturePlan, CaptureStatus, ProcessKey, TriggerMetric


def labelled(capture: Capture, alert: Alert) -> Capture:
    """Evidence taken when the spike was over says so: less than half the CPU that fires the rule.

    What was only waited for is no part of it: on a crowded machine a burner gets a fraction of a core.
    Of other metrics a capture doesn't know its own level: what it took is not judged.
    """
    seen = capture.target_cpu_percent
    used_share = 1 - alert.waited_percent / alert.value if alert.value > 0 else 1.0
    is_late = (
        alert.metric is TriggerMetric.CPU
        and capture.role == "profile"
        and seen is not None
        and seen < 0.5 * used_share * alert.threshold.value
    )
    return replace(capture, late=is_late)


def planned(captures: list[Capture], plan: CapturePlan) -> list[Capture]:
    """Captures by a plan set at run time name it."""
    if plan.named is None:
        return captures
    return [replace(capture, notes={**capture.notes, "plan": plan.named}) for capture in captures]


def is_profile_attempt(capture: Capture) -> bool:
    """Whether a profiler was at work; a refused one costs the budget nothing."""
    return capture.role == "profile" and capture.status is not CaptureStatus.REFUSED


def shows_something(capture: Capture) -> bool:
    """Whether it is a profile in which functions were seen."""
    return capture.role == "profile" and capture.status.has_evidence and bool(capture.hotspots)


def refused(role: str, target: ProcessKey, reason: str) -> Capture:
    """Nothing was tried, because."""
    return _without_evidence(role, target, CaptureStatus.REFUSED, reason)


def broken(role: str, target: ProcessKey, error: Exception) -> Capture:
    """It was tried and raised: a bug, or a machine that has no descriptor or memory left."""
    return _without_evidence(role, target, CaptureStatus.TOOL_ERROR, f"{type(error).__name__}: {error}")


def _without_evidence(role: str, target: ProcessKey, status: CaptureStatus, reason: str) -> Capture:
    return Capture(
        role=role,
        profiler="none",
        status=status,
        started_at=datetime.now(UTC),
        duration_s=0.0,
        target=target,
        reason=reason,
    )
