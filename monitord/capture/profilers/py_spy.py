"""py-spy, for Python: one dump (milliseconds) and a recording, measured to be harmless.

Never in blocking mode: it slows a target with 50 idle threads to a third of its speed at 100 Hz, and lets
sleeping threads look busy. Nor is py-spy's own flag for idle threads believed alone (in a foreign pid
namespace it is always "busy", so there only threads that hold Python's lock are sampled, which no wait
does): samples are weighed by what the scheduler says their threads ran. Each thread
costs py-spy about 0.3 ms a sample, so many threads mean fewer samples. Frames whose name it can't read it
leaves out without a word, so that is looked at apart (hidden_frames.py). Locals are never asked for. Words:
py-spy 0.4.3.
"""

from __future__ import annotations

import re
from dataclasses import replace

from monitord.capture.dumps import DUMP_CAP_BYTES, Dump, kept_dump, read_dump
from monitord.capture.reading import Reading
from monitord.capture.session import CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.thread_cpu import (
    is_in_pid_namespace,
    of_its_turns,
    read_times,
    shares_between,
    used_between,
    wants_a_turn,
)
from monitord.capture.tool_runner import LOOKS_AT_PROCESSES, Outcome, ToolRun
from monitord.capture.workplace import remove
from monitord.children import own_command, own_environment
from monitord.installation import reinstall_command
from monitord.model import Capture, CaptureStatus

THREAD_LOOKS_PER_S = 1000
IDLE_PERCENT = 10.0
_FEW_THREADS = 32
_NAME_LOOKS = 10
_THREAD_LOOK_S, _CROWD_LOOK_S = 0.001, 4.0  # an incident waits 5 s for its first look
_COUNTS = re.compile(rb"Samples: (\d+) Errors: (\d+)")
_BEHIND = re.compile(rb"(?<![0-9.])([0-9.]{1,20}m?s) behind in sampling")


class _PySpy:
    name = "py-spy"
    tool = "py-spy"
    counts_cpu = False

    def suits(self, target: Target) -> bool:
        return not target.is_kernel_thread and target.is_python

    def explain(self, stderr: str) -> Failure | None:
        words = stderr.lower()
        if "permission denied" in words or "operation not permitted" in words:
            return CaptureStatus.PERMISSION_DENIED, "not permitted", None
        if "failed to find python version" in words or "no python processes found" in words:
            return CaptureStatus.NOT_PYTHON, "py-spy does not find a Python in it", None
        if "unsupported" in words and "version" in words:
            fix = reinstall_command("py-spy", upgrade=True)
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
        builder = CaptureBuilder(self, session)
        if (failed := builder.precheck()) is not None:
            return failed
        capture = self._look(session, builder)
        if capture.status is CaptureStatus.TOOL_ERROR and session.target.is_alive():
            # It reads a process that runs on: a list that changes under it fails once, hardly twice.
            again = CaptureBuilder(self, session)
            again.notes["first_try"] = capture.reason or ""
            capture = self._look(session, again)
        return capture

    def _look(self, session: Session, builder: CaptureBuilder) -> Capture:
        is_crowded = session.target.thread_count > _FEW_THREADS
        outcome, dump = (self._of_crowd if is_crowded else self._of_few)(session)
        if outcome.truncated:
            outcome, dump = self._of_crowd(session)
        builder.record_outcome(outcome)
        builder.cpu_percent = None  # milliseconds say nothing about CPU
        if (failed := builder.check_failure(outcome)) is not None:
            return failed
        if outcome.exit_status != 0 or dump is None:
            return builder.explain_failure(outcome, "no readable dump")
        payload, threads, left_out = dump
        builder.reading = Reading(sample_count=threads)
        if left_out:
            builder.notes["threads"] = f"the {threads - left_out} busiest of {threads} threads were kept"
        if threads == 0:
            return builder.end(CaptureStatus.NO_SAMPLES, "no thread of it runs Python code")
        return builder.end(CaptureStatus.OK, payload=payload)

    def _of_few(self, session: Session) -> tuple[Outcome, Dump | None]:
        """A dump that is small enough to be read here."""
        pid = session.target.key.pid
        path = session.tools.path(self.tool) or ""
        before = read_times(pid)
        argv = (path, "dump", "--pid", str(pid), "--json", "--nonblocking")
        tool_run = self._tool_run(session, argv, session.look_limit_s)
        outcome = session.runner.run(replace(tool_run, output_cap_bytes=DUMP_CAP_BYTES), session.target)
        return outcome, kept_dump(outcome.stdout, shares_between(pid, before, read_times(pid)))

    def _of_crowd(self, session: Session) -> tuple[Outcome, Dump | None]:
        """One of many threads or deep stacks: a child reads it and keeps the busiest."""
        path = session.tools.path(self.tool) or ""
        argv = own_command("monitord.capture.dumps", path, str(session.target.key.pid), keeps_bytecode=False)
        limit_s = min(_CROWD_LOOK_S, session.look_limit_s + _THREAD_LOOK_S * session.target.thread_count)
        tool_run = self._tool_run(session, argv, limit_s)
        outcome = session.runner.run(
            replace(tool_run, output_cap_bytes=3 * DUMP_CAP_BYTES, environment=own_environment()),
            session.target,
        )
        return outcome, read_dump(outcome.stdout)

    def _tool_run(self, session: Session, argv: tuple[str, ...], limit_s: float) -> ToolRun:
        return ToolRun(
            argv,
            session.folder,
            limit_s,
            (0.05, 0.05),
            watch_target=False,
            is_hurried=session.is_hurried,
            rights=LOOKS_AT_PROCESSES,
        )


class PySpyRecord(_PySpy):
    """Samples over some seconds, as speedscope with full file names."""

    role = "profile"
    format = "speedscope"

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (failed := builder.precheck()) is not None:
            return failed
        output = session.folder / "py-spy.speedscope.json"
        remove(output)
        builder.rate_hz, flags = harmless_flags(session)
        pid = session.target.key.pid
        before = read_times(pid)
        outcome = session.runner.run(
            ToolRun(
                record_command(session, builder.rate_hz, flags, output.name),
                session.folder,
                session.limit_s,
                session.grace_periods_s,
                attached_text="Sampling process",
                rights=LOOKS_AT_PROCESSES,
            ),
            session.target,
        )
        builder.record_outcome(outcome)
        use = of_its_turns(pid, used_between(pid, before, read_times(pid)))
        if use is not None:
            builder.use = replace(use, by_lock="--gil" in flags, has_idle="--idle" in flags)
        builder.notes["flags"] = " ".join(flags)
        if (behind := _BEHIND.search(outcome.stderr + outcome.stdout)) is not None:
            builder.notes["behind"] = f"py-spy was {behind[1].decode()} behind: shares may be inexact"
        if (counts := _COUNTS.search(outcome.stdout)) is not None:
            builder.notes["samples"], builder.notes["errors"] = counts[1].decode(), counts[2].decode()
        capture = _with_errors(builder.publish(outcome, output), builder)
        if not capture.status.has_evidence:
            return capture
        from monitord.capture.hidden_frames import hidden_share, with_hidden  # a profile's worth of code

        return with_hidden(capture, hidden_share(session.runner, session.target, session.folder, _NAME_LOOKS))


def record_command(session: Session, rate_hz: int, flags: tuple[str, ...], output: str) -> tuple[str, ...]:
    """Return the command of a recording, always with `-d`: without it py-spy records for ever."""
    seconds = str(max(1, round(session.plan.duration_s)))
    path = session.tools.path("py-spy") or ""
    head = (path, "record", "--pid", str(session.target.key.pid), "-d", seconds, "-r", str(rate_hz))
    return (*head, "-f", "speedscope", "--full-filenames", *flags, "-o", output)


def harmless_flags(session: Session) -> tuple[int, tuple[str, ...]]:
    """Rate and mode by what the target is; never blocking: see the figures at the top."""
    rate_hz = max(1, min(session.plan.rate_hz, THREAD_LOOKS_PER_S // max(1, session.target.thread_count)))
    is_idle = session.cpu_percent is not None and session.cpu_percent < IDLE_PERCENT
    # Where nothing runs, where it waits is the evidence; on a crowded machine little runs of what wants to.
    is_idle = is_idle and not wants_a_turn(session.target.key.pid)
    if is_idle:
        return rate_hz, ("--nonblocking", "--idle")
    is_apart = is_in_pid_namespace(session.target.key.pid)
    return rate_hz, ("--nonblocking", "--gil") if is_apart else ("--nonblocking",)


def _with_errors(capture: Capture, builder: CaptureBuilder) -> Capture:
    """speedscope files do not hold the samples that failed; py-spy's last line does."""
    errors, samples = int(builder.notes.get("errors", 0)), capture.sample_count or 0
    if not capture.status.has_evidence:
        return capture
    if errors > samples and capture.status is CaptureStatus.OK:
        reason = f"{errors} of {errors + samples} samples could not be read"
        return replace(capture, status=CaptureStatus.PARTIAL, reason=reason, error_count=errors)
    return replace(capture, error_count=errors if "errors" in builder.notes else capture.error_count)
