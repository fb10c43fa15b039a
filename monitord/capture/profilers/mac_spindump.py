"""macOS's `spindump`, for root: user and kernel stacks, where `sample` is not let in or the process hangs.

Written from Apple's manual page and published reports, not run on a Mac by us; tested on re-created output.
It looks at all processes: the reader keeps the target's only.
"""

from __future__ import annotations

import os
import sys

from monitord.capture.session import CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.tool_runner import ToolRun
from monitord.capture.workplace import remove
from monitord.model import Capture, CaptureStatus
from monitord.ownership import line_for_all

INTERVAL_MS = 10


class MacSpindump:
    """Stackshots over some seconds; root only."""

    name = "spindump"
    tool = "spindump"
    role = "profile"
    counts_cpu = False
    format = "spindump"

    def suits(self, target: Target) -> bool:
        return sys.platform == "darwin"

    def explain(self, stderr: str) -> Failure | None:
        if "root" in stderr.lower() or "permission" in stderr.lower():
            return needs_root(self.tool)
        return None

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (failed := precheck_of_root(builder)) is not None:
            return failed
        output = session.folder / "spindump.txt"
        remove(output)
        builder.rate_hz = 1000 // INTERVAL_MS
        path = session.tools.path(self.tool) or ""
        argv = command(path, session.target.key.pid, session.plan.duration_s, str(output))
        outcome = session.runner.run(
            ToolRun(argv, session.folder, session.limit_s, session.grace_periods_s), session.target
        )
        builder.record_outcome(outcome)
        return builder.publish(outcome, output)


def precheck_of_root(builder: CaptureBuilder) -> Capture | None:
    """Return what is in the way of a tool that only root may use, before it is started."""
    failed = builder.precheck()
    return builder.end(*needs_root(builder.profiler.tool)) if failed is None and os.geteuid() != 0 else failed


def needs_root(tool: str) -> Failure:
    return CaptureStatus.PERMISSION_DENIED, f"{tool} needs root", line_for_all()


def command(spindump: str, pid: int, duration_s: float, output: str) -> tuple[str, ...]:
    """Return the command of a recording: PID SECONDS INTERVAL_MS -file OUT."""
    return (spindump, str(pid), str(max(1, round(duration_s))), str(INTERVAL_MS), "-file", output)
