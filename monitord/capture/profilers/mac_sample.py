"""macOS's own `sample`: native stacks of one process.

Written from Apple's manual page and published reports, not run on a Mac by us; tested on re-created output.
The process is suspended at each sample, so 10 ms apart instead of the tool's 1 ms. Python shows only as its
interpreter's functions.
"""

from __future__ import annotations

import sys

from monitord.capture.session import CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.tool_runner import ToolRun
from monitord.capture.workplace import remove, size_of, take
from monitord.model import Capture, CaptureStatus

INTERVAL_MS = 10


class MacSample:
    """A call graph with counts."""

    name = "sample"
    tool = "sample"
    role = "profile"
    counts_cpu = False
    format = "sample"

    def suits(self, target: Target) -> bool:
        return sys.platform == "darwin"

    def explain(self, stderr: str) -> Failure | None:
        words = stderr.lower()
        if "cannot examine process" in words or "permission" in words or "not permitted" in words:
            fix = "run monitord as root; programs signed by Apple or hardened can't be sampled at all"
            return CaptureStatus.PERMISSION_DENIED, "not permitted", fix
        if "no such process" in words or "cannot find" in words:
            return CaptureStatus.TARGET_GONE, "the process has ended", None
        return None

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (failed := builder.precheck()) is not None:
            return failed
        output = session.folder / "sample.txt"
        remove(output)
        builder.rate_hz = 1000 // INTERVAL_MS
        argv = command(
            session.tools.path(self.tool) or "", session.target.key.pid, session.plan.duration_s, str(output)
        )
        outcome = session.runner.run(
            ToolRun(argv, session.folder, session.limit_s, session.grace_periods_s), session.target
        )
        builder.record_outcome(outcome)
        if size_of(output) and not has_call_graph(take(output).read()):
            remove(output)  # a report without "Call graph:" is a refusal
            return builder.explain_failure(outcome, "the report has no call graph")
        return builder.publish(outcome, output)


def command(sample: str, pid: int, duration_s: float, output: str) -> tuple[str, ...]:
    """Return the command of a recording; -mayDie keeps what there is when the process ends."""
    return (sample, str(pid), str(max(1, round(duration_s))), str(INTERVAL_MS), "-mayDie", "-file", output)


def has_call_graph(report: bytes) -> bool:
    """Return whether `sample` could look at the process at all."""
    return b"Call graph:" in report
