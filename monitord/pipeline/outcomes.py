"""What became of a capture, in the words of its row: refused, broken, or taken too late. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from monitord.model import BEFORE, Capture, CapturePlan, CaptureStatus, Incident, ProcessKey
from monitord.pipeline.lateness import is_late


def labelled(captures: Sequence[Capture], incident: Incident) -> list[Capture]:
    """Evidence taken when the spike was over says so; a dump is as late as the look around it was.

    What the black box held is of the time before: it can't be late.
    """
    context_cpu = next((one.target_cpu_percent for one in captures if one.role == "context"), None)
    found = []
    for capture in captures:
        seen = context_cpu if capture.role == "dump" else capture.target_cpu_percent
        is_judged = capture.role not in ("context", BEFORE)
        late = is_judged and is_late(replace(capture, target_cpu_percent=seen), incident)
        found.append(replace(capture, late=late))
    return found


def of_same_program(
    captures: Sequence[Capture], earlier: Sequence[Capture], armed: tuple[int, int] | None = None
) -> list[Capture]:
    """Discard evidence of another program than the one that crossed the threshold.

    `armed` is the image that detection saw; where it is not known, that of the first look stands in.
    """
    image = next((one.image for one in earlier if one.image and one.status.has_evidence), None)
    if armed is not None and any(armed):
        image = " {:x}:{:x}".format(*armed)
    return [_checked(capture, image) if image else capture for capture in captures]


def _checked(capture: Capture, image: str) -> Capture:
    if capture.image is None or capture.image == image or not _differ(capture.image, image):
        return capture
    was, now = image.partition(" ")[0], (capture.image or "").partition(" ")[0]
    change = f"{was or 'unknown'} → {now}" if was != now else f"{was}, anew"
    reason = (
        f"discarded, because the process executed another program since it crossed the threshold: {change}"
    )
    return replace(
        capture, status=CaptureStatus.TARGET_REPLACED, reason=reason, fix=None, format=None, payload=None,
        path=None, hotspots=(),
    )  # fmt: skip


def _differ(one: str, other: str) -> bool:
    """Addresses differ after every exec; where either has none (no right to see them), paths must do."""
    (path, _, where), (other_path, _, other_where) = one.partition(" "), other.partition(" ")
    if where and other_where:
        return where != other_where
    return bool(path and other_path) and path != other_path


def planned(captures: list[Capture], plan: CapturePlan) -> list[Capture]:
    """Name the plan set at run time in the captures that it had a say in."""
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
