"""eu-stack, where perf may not be used or sees nothing: ten looks make a poor man's profile.

Each look stops the target for some milliseconds (ptrace); it also sees threads that wait; perf does not.
Words: elfutils 0.188.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace

from monitord import procfs, rights
from monitord.capture.dumps import annotated_text
from monitord.capture.profilers.perf import PerfLook
from monitord.capture.reading import Reading
from monitord.capture.session import CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.thread_cpu import ThreadTimes, read_times, shares_between
from monitord.capture.tool_runner import Outcome, Rights, ToolRun
from monitord.capture.views import strange_file
from monitord.capture.workplace import put, remove
from monitord.model import Capture, CaptureStatus

LOOKS = 10
PAUSE_S = 0.2
_CAP_BYTES = 1024 * 1024
# It opens every file that the target maps: as the target's user where monitord is root, so that it reads what
# that user may read. Where it can't be that user, the files are the target's own, seen before and after.
_RIGHTS = Rights((rights.CAP_SYS_PTRACE, rights.CAP_DAC_READ_SEARCH), user="target", is_reader=False)
_STRANGE = "{} is another file for the process than for monitord (a container, or a root of its own):"
_STRANGE += " eu-stack would take names from the wrong one"
_FRAME = re.compile(rb"^#0 ", re.MULTILINE)


class _EuStack:
    name = "eu-stack"
    tool = "eu-stack"
    counts_cpu = False
    format = "eu-stack"

    def suits(self, target: Target) -> bool:
        return sys.platform == "linux" and not target.is_kernel_thread

    def explain(self, stderr: str) -> Failure | None:
        words = stderr.lower()
        if "permission denied" in words or "operation not permitted" in words:
            return CaptureStatus.PERMISSION_DENIED, "not permitted", None
        if "no such process" in words or ("linux_proc_report" in words and "no such file" in words):
            return CaptureStatus.TARGET_GONE, "the process has ended", None
        return None

    def look(self, session: Session, limit_s: float, before: ThreadTimes) -> tuple[Outcome, ThreadTimes]:
        """One snapshot, headed by what each thread ran since `before`; and the reading after it."""
        outcome = self._run(session, limit_s)
        pid, after = session.target.key.pid, read_times(session.target.key.pid)
        if outcome.stdout:
            text = annotated_text(outcome.stdout, shares_between(pid, before, after))
            outcome = replace(outcome, stdout=text)
        return outcome, after

    def _run(self, session: Session, limit_s: float) -> Outcome:
        argv = (session.tools.path(self.tool) or "", "-p", str(session.target.key.pid), "-m", "-b")
        tool_run = ToolRun(
            argv,
            session.folder,
            limit_s,
            (0.05, 0.05),
            watch_target=False,
            is_hurried=session.is_hurried,
            output_cap_bytes=2 * _CAP_BYTES,
            file_cap_bytes=0,
            rights=_RIGHTS,
        )
        return session.runner.run(tool_run, session.target)

    def strange(self, builder: CaptureBuilder) -> Capture | None:
        """The refusal of a target that lives among other files than we do."""
        name = strange_file(builder.session.target.key.pid)
        return builder.end(CaptureStatus.REFUSED, _STRANGE.format(name)) if name is not None else None


def _with_reason(found: Capture, refused: Capture) -> dict[str, str]:
    return {**found.notes, "eu_stack": refused.reason or ""}


class EuStackLook(_EuStack):
    """Every thread's native stack at one moment; of a process among other files perf tells what it runs."""

    role = "dump"

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (refused := self.strange(builder)) is not None:
            found = PerfLook().take(session)
            return found if found.status.has_evidence else replace(found, notes=_with_reason(found, refused))
        if (failed := builder.precheck()) is not None:
            return failed
        outcome, _ = self.look(session, session.look_limit_s, read_times(session.target.key.pid))
        builder.record_outcome(outcome)
        builder.cpu_percent = None
        if (failed := builder.check_failure(outcome) or self.strange(builder)) is not None:
            return failed
        threads = len(_FRAME.findall(outcome.stdout))
        if threads == 0:
            return builder.explain_failure(outcome, "no stack")
        builder.reading = Reading(sample_count=threads)
        return builder.end(CaptureStatus.OK, payload=outcome.stdout)


class EuStack(_EuStack):
    """Ten looks, 200 ms apart: few samples, but of everything."""

    role = "profile"

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (failed := builder.precheck() or self.strange(builder)) is not None:
            return failed
        output = session.folder / "eu-stack.txt"
        remove(output)
        builder.rate_hz = round(1 / PAUSE_S)
        text, last, before = bytearray(), Outcome("stopped"), _cpu_ticks(session)
        times = read_times(session.target.key.pid)
        wanted = max(1, min(LOOKS, round(session.plan.duration_s / PAUSE_S)))
        for number in range(wanted):
            if number and session.runner.wait(PAUSE_S):
                last = replace(last, ended="stopped")
                break
            last, times = self.look(session, min(session.limit_s, 5.0), times)
            builder.record_outcome(last)
            if not last.target_alive or last.ended != "exited" or not _FRAME.search(last.stdout):
                break
            text += last.stdout
            builder.notes["looks"] = f"{number + 1} of {wanted}"
            if len(text) > 8 * _CAP_BYTES:
                break
        builder.cpu_percent = _percent(before, _cpu_ticks(session), time.monotonic() - builder.begun)
        if (strange := self.strange(builder)) is not None:
            return strange
        put(output, text)
        return builder.publish(replace(last, attached=bool(text)), output)


def _cpu_ticks(session: Session) -> int | None:
    stat = procfs.stat_of(session.target.key.pid)
    return stat.cpu_ticks if stat is not None and stat.start_ticks == session.target.key.start_ticks else None


def _percent(before: int | None, after: int | None, seconds: float) -> float | None:
    """Over all looks and the pauses between them: each look alone is too short to say."""
    if before is None or after is None:
        return None
    return 100.0 * (after - before) / procfs.TICKS_PER_S / seconds
