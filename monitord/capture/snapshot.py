"""Takes the context record: always first, without a tool, and never kept waiting by a hung target."""

from __future__ import annotations

import json
from dataclasses import replace

from monitord import rights
from monitord.capture.consent import unread_fix
from monitord.capture.session import CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.tool_runner import Rights, ToolRun
from monitord.children import own_command, own_environment
from monitord.model import Capture, CaptureStatus

_LIMIT_S = 4.0
# The last one for the kernel's own stacks of threads, where monitord is root.
_RIGHTS = Rights((rights.CAP_DAC_READ_SEARCH, rights.CAP_SYS_PTRACE, rights.CAP_SYS_ADMIN), is_reader=False)
_CAP_BYTES = 300 * 1024


class Context:
    """The profiler without a tool."""

    name = "context"
    tool = "context"
    role = "context"
    counts_cpu = False
    format = "context-json"

    def suits(self, target: Target) -> bool:
        return True

    def explain(self, stderr: str) -> Failure | None:
        return None

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        key = session.target.key
        argv = own_command(
            "monitord.capture.context", str(key.pid), str(key.start_ticks), keeps_bytecode=False
        )
        tool_run = ToolRun(
            argv,
            session.folder,
            _LIMIT_S,
            (0.2, 0.2),
            watch_target=False,
            environment=own_environment(),
            output_cap_bytes=_CAP_BYTES,
            file_cap_bytes=0,
            memory_cap_bytes=1024 * 1024 * 1024,
            rights=_RIGHTS,
        )
        outcome = session.runner.run(tool_run, session.target)
        if outcome.exit_status != 0:
            return builder.explain_failure(outcome, "no context record")
        problem = _problem(outcome.stdout)
        if problem is not None:
            return builder.end(problem, "the process ended, or its pid went to another, while it was read")
        replaced = session.target.was_replaced()
        if replaced is not None:
            builder.notes["target"] = replaced
        builder.cpu_percent = cpu_of(outcome.stdout)
        from monitord.capture.context_text import render_context  # a capture's worth of words

        record = json.loads(outcome.stdout)
        builder.notes |= render_context(record)
        if fix := unread_fix(key.pid, record["not_readable"]):
            builder.notes["unread"] += f" (to change that: {fix})"
        return replace(builder.end(CaptureStatus.OK, payload=outcome.stdout), profiler_version=None)


def cpu_of(payload: bytes | None) -> float | None:
    """What the target used while the record was taken, in percent of one core."""
    value = json.loads(payload).get("cpu_percent") if payload else None
    return float(value) if isinstance(value, int | float) else None


def _problem(payload: bytes) -> CaptureStatus | None:
    try:
        error = json.loads(payload).get("error")
    except (ValueError, AttributeError):
        return CaptureStatus.TOOL_ERROR
    words = {"target_gone": CaptureStatus.TARGET_GONE, "target_replaced": CaptureStatus.TARGET_REPLACED}
    return words.get(error, CaptureStatus.TOOL_ERROR) if error else None
