"""What a target ran before its alert, out of the black box, as a capture of the incident."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from monitord.model import BEFORE, Alert, Capture, CapturePlan, CaptureStatus, ProcessKey, counted

if TYPE_CHECKING:
    from monitord.stacks.document import Document

PROFILER, FORMAT = "ring", "ring"
_SPAN_S = 100.0
_LATEST_S = 60.0  # an alert that waited longer than this was raised by another clock


class BlackBoxProtocol(Protocol):
    """What is asked of the black box."""

    def take(
        self, target: ProcessKey, since_ns: int, until_ns: int, crossed_ns: int | None = None
    ) -> Document | None: ...


class NamesProtocol(Protocol):
    """What gives the frames their names."""

    def put_in(self, taken: Capture, folder: Path) -> Capture: ...

    def stop(self) -> None: ...


class Before:
    """Takes the capture `before`; `read` finds its hotspots. For the incident thread; `stop` is for any."""

    def __init__(
        self, box: BlackBoxProtocol, names: NamesProtocol, read: Callable[[Capture, Path], Capture]
    ) -> None:
        self._box = box
        self._names = names
        self._read = read

    def capture(self, alert: Alert, plan: CapturePlan, folder: Path) -> Capture | None:
        """What the alert's target ran before it; None where the box has nothing of it, or may not tell.

        Its names and hotspots take a second, on a busy machine more. `folder` is made where it gets files.
        Raises what the box raises.
        """
        taken = self._taken(alert, plan)
        if taken is None:
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._read(self._names.put_in(taken, folder), folder)

    def _taken(self, alert: Alert, plan: CapturePlan) -> Capture | None:
        target = alert.target
        if target is None or plan.consent == "never":
            return None
        now, now_ns = datetime.now(UTC), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        ago_s = min(_LATEST_S, max(0.0, (now - alert.raised_at).total_seconds()))
        until_ns = now_ns - int(ago_s * 1e9)
        window_s = max(0.0, (alert.raised_at - alert.crossed_at).total_seconds())
        crossed_ns = max(0, until_ns - int(window_s * 1e9))
        found = self._box.take(target, until_ns - int(_SPAN_S * 1e9), until_ns, crossed_ns)
        if found is None:
            return None
        began_at = now - timedelta(seconds=(now_ns - found.began_ns) / 1e9)
        return before_capture(target, found, began_at)

    def stop(self) -> None:
        """End what runs in a child."""
        self._names.stop()


class KeptBySystem:
    """In place of a black box: what the system's own recorder has (macOS), saved in the incident's folder."""

    def __init__(
        self, ask: Callable[[ProcessKey, CapturePlan, Path], Capture], stop: Callable[[], object]
    ) -> None:
        self._ask, self._stop = ask, stop

    def capture(self, alert: Alert, plan: CapturePlan, folder: Path) -> Capture | None:
        """What it kept; None where nobody may be asked about."""
        if alert.target is None or plan.consent == "never":
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._ask(alert.target, plan, folder)

    def stop(self) -> None:
        self._stop()


def before_capture(target: ProcessKey, found: Document, began_at: datetime) -> Capture:
    """What the box gave, as a capture whose native frames have no names yet."""
    notes = {"processes": counted(found.process_count, "process"), "scope": found.scope}
    if found.python_count:
        notes["python"] = f"{found.python_count} of {counted(found.sample_count, 'sample')}"
    return Capture(
        role=BEFORE, profiler=PROFILER, status=CaptureStatus.OK, started_at=began_at,
        duration_s=(found.ended_ns - found.began_ns) / 1e9, target=target, format=FORMAT,
        payload=found.payload, rate_hz=found.rate_hz, sample_count=found.sample_count,
        error_count=found.error_count, notes=notes,
    )  # fmt: skip
