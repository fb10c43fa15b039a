"""py-spy, for Python: one dump (milliseconds) and a recording, measured to be harmless.

Blocking mode slows a target with 50 idle threads to a third of its speed at 100 Hz, so many threads mean
--nonblocking at 20 Hz. Other users' processes are never stopped either. Locals are never asked for.
Words and behaviour: py-spy 0.4.3.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace

from monitord.capture.reading import Reading
from monitord.capture.running import Errand
from monitord.capture.session import Draft, Failure, Session, remove
from monitord.capture.target import Target
from monitord.model import Capture, CaptureStatus

MANY_THREADS = 50
CHEAP_RATE_HZ = 20
IDLE_PERCENT = 10.0
_DUMP_CAP_BYTES = 1024 * 1024
_COUNTS = re.compile(rb"Samples: (\d+) Errors: (\d+)")
_BEHIND = re.compile(rb"([0-9.]+m?s) behind in sampling")


class _PySpy:
    name = "py-spy"
    tool = "py-spy"

    def suits(self, target: Target) -> bool:
        return not target.is_kernel_thread and target.is_python

    def explain(self, stderr: str) -> Failure | None:
        words = stderr.lower()
        if "permission denied" in words or "operation not permitted" in words:
            return CaptureStatus.PERMISSION_DENIED, "not permitted", permission_fix()
        if "failed to find python version" in words or "no python processes found" in words:
            return CaptureStatus.NOT_PYTHON, "py-spy does not find a Python in it", None
        if "unsupported" in words and "version" in words:
            fix = "pip install --upgrade py-spy, into the environment of monitord"
            return CaptureStatus.UNSUPPORTED_VERSION, "py-spy does not know this Python", fix
        if "failed to get process executable name" in words:
            return CaptureStatus.TARGET_GONE, "the process has ended", None
        if "failed to suspend process" in words and "sigstop" in words:
            return CaptureStatus.TARGET_STOPPED, "the process is stopped", None
        return None


class PySpyDump(_PySpy):
    """Every thread's stack at one moment, idle ones included; the target is not stopped for it."""

    role = "dump"
    format = "py-spy-dump"

    def take(self, session: Session) -> Capture:
        draft = Draft(self, session)
        if (obstacle := draft.obstacle()) is not None:
            return obstacle
        path = session.tools.path(self.tool) or ""
        argv = (path, "dump", "--pid", str(session.target.key.pid), "--json", "--nonblocking")
        outcome = session.runner.run(
            Errand(
                argv,
                session.folder,
                session.look_limit_s,
                (0.05, 0.05),
                watch_target=False,
                output_cap_bytes=_DUMP_CAP_BYTES,
                is_hurried=session.is_hurried,
            ),
            session.target,
        )
        draft.heed(outcome)
        draft.cpu_percent = None  # milliseconds say nothing about CPU
        if (failed := draft.fail(outcome)) is not None:
            return failed
        threads = count_threads(outcome.stdout)
        if outcome.exit_status != 0 or threads is None:
            return draft.blame(outcome, "no readable dump")
        draft.reading = Reading(sample_count=threads)
        if threads == 0:
            return draft.end(CaptureStatus.NO_SAMPLES, "no thread of it runs Python code")
        return draft.end(CaptureStatus.OK, payload=outcome.stdout)


class PySpyRecord(_PySpy):
    """Samples over some seconds, as speedscope with full file names."""

    role = "profile"
    format = "speedscope"

    def take(self, session: Session) -> Capture:
        draft = Draft(self, session)
        if (obstacle := draft.obstacle()) is not None:
            return obstacle
        output = session.folder / "py-spy.speedscope.json"
        remove(output)
        draft.rate_hz, flags = harmless_flags(session)
        outcome = session.runner.run(
            Errand(
                record_command(session, draft.rate_hz, flags, str(output)),
                session.folder,
                session.limit_s,
                session.patience_s,
                attached_text="Sampling process",
            ),
            session.target,
        )
        draft.heed(outcome)
        if flags:
            draft.notes["flags"] = " ".join(flags)
        if (behind := _BEHIND.search(outcome.stderr + outcome.stdout)) is not None:
            draft.notes["behind"] = f"py-spy was {behind[1].decode()} behind: shares may be inexact"
        if (counts := _COUNTS.search(outcome.stdout)) is not None:
            draft.notes["samples"], draft.notes["errors"] = counts[1].decode(), counts[2].decode()
        return _with_errors(draft.publish(outcome, output), draft)


def record_command(session: Session, rate_hz: int, flags: tuple[str, ...], output: str) -> tuple[str, ...]:
    """`-d` always: without it py-spy records for ever."""
    seconds = str(max(1, round(session.plan.duration_s)))
    path = session.tools.path("py-spy") or ""
    head = (path, "record", "--pid", str(session.target.key.pid), "-d", seconds, "-r", str(rate_hz))
    return (*head, "-f", "speedscope", "--full-filenames", *flags, "-o", output)


def harmless_flags(session: Session) -> tuple[int, tuple[str, ...]]:
    """Rate and mode by what the target is: see the figures at the top."""
    target, rate_hz, flags = session.target, session.plan.rate_hz, []
    many = target.thread_count > MANY_THREADS
    if many:
        rate_hz = min(rate_hz, CHEAP_RATE_HZ)
    if many or target.is_foreign or target.state == "D" or target.key.pid == os.getpid():
        flags.append("--nonblocking")
    if session.cpu_percent is not None and session.cpu_percent < IDLE_PERCENT:
        flags.append("--idle")  # nothing runs: where it waits is the evidence
    return rate_hz, tuple(flags)


def count_threads(data: bytes) -> int | None:
    """Threads with at least one frame in a dump; None when it is not a dump."""
    try:
        threads = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(threads, list):
        return None
    frames = [thread.get("frames") if isinstance(thread, dict) else None for thread in threads]
    return sum(1 for some in frames if some) if all(isinstance(some, list) for some in frames) else None


def permission_fix() -> str:
    """What to type so that another process may be read, by what this machine forbids."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            scope = file.read().strip()
    except OSError:
        scope = "0"
    grant = "run monitord as root (sudo monitord service install --system) or give it CAP_SYS_PTRACE"
    return f"sudo sysctl kernel.yama.ptrace_scope=0, or {grant}" if scope != "0" else grant


def _with_errors(capture: Capture, draft: Draft) -> Capture:
    """speedscope files do not hold the samples that failed; py-spy's last line does."""
    errors, samples = int(draft.notes.get("errors", 0)), capture.sample_count or 0
    if not capture.status.has_evidence:
        return capture
    if errors > samples and capture.status is CaptureStatus.OK:
        reason = f"{errors} of {errors + samples} samples could not be read"
        return replace(capture, status=CaptureStatus.PARTIAL, reason=reason, error_count=errors)
    return replace(capture, error_count=errors if "errors" in draft.notes else capture.error_count)
