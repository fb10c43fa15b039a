"""What every profiler is given, and what it must prove before its bytes count as evidence.

Exit codes of profilers lie: evidence is a file that exists, is not empty, parses and has samples, of a
process that is provably still the one that was meant. Everything else is deleted, with the reason kept.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from monitord.capture.consent import permission_fix
from monitord.capture.reading import Reading, read_evidence, with_sources
from monitord.capture.target import Target, read_levels
from monitord.capture.thread_cpu import ThreadUse, name_of
from monitord.capture.tool_runner import Outcome, Runner
from monitord.capture.tools import INSTALL, Toolbox
from monitord.capture.workplace import remove, size_of
from monitord.model import Capture, CapturePlan, CaptureStatus, Hotspot, Levels, counted
from monitord.procfs import TICKS_PER_S
from monitord.procfs.cgroups import FROZEN, is_frozen

_LOOK_S = 0.8
MAIN_THREAD_SLEPT = "main_thread_slept_share"  # a note of a profiler that counts sleep as work
LEAST_EXPLAINED = 0.5  # of the CPU used: evidence of less is doubted, and the ladder goes on
_OUTDONE = 1.5
_LEAST_CPU_S = 0.2  # below that a share of it says nothing
Failure = tuple[CaptureStatus, str, str | None]


@dataclass(frozen=True, slots=True)
class Session:
    """One capture of one target. `cpu_percent` is what it used just before, of one core; None: unknown."""

    target: Target
    folder: Path
    plan: CapturePlan
    runner: Runner
    tools: Toolbox
    grace_s: float
    cpu_percent: float | None = None
    is_hurried: bool = False
    reads_sources: bool = True

    @property
    def look_limit_s(self) -> float:
        """When the escalation of a single look begins: a hurried one is over within a second."""
        return _LOOK_S if self.is_hurried else _LOOK_S + self.grace_s * 0.4

    @property
    def limit_s(self) -> float:
        """When the escalation of a recording begins, so that the tree is gone at duration + grace."""
        return self.plan.duration_s + (_LOOK_S if self.is_hurried else self.grace_s * 0.4)

    @property
    def grace_periods_s(self) -> tuple[float, float]:
        """Waits after SIGINT and SIGTERM: the rest of the grace, at most 3 s and 2 s."""
        return (
            (0.05, 0.05) if self.is_hurried else (min(3.0, self.grace_s * 0.3), min(2.0, self.grace_s * 0.2))
        )


class Profiler(Protocol):
    """One way to look at a process. `name` is what a rule asks for, `tool` the program behind it.

    `counts_cpu`: each of its samples stands for CPU used, so they must add up to what the process used.
    """

    name: str
    tool: str
    role: str
    format: str
    counts_cpu: bool

    def suits(self, target: Target) -> bool:
        """Whether this profiler, on this platform, can say something about such a process."""
        ...

    def take(self, session: Session) -> Capture:
        """Take evidence or say why not; never raises for what tool or target do."""
        ...

    def explain(self, stderr: str) -> Failure | None:
        """What the tool's own words mean; None when they mean nothing known."""
        ...


@dataclass(slots=True)
class CaptureBuilder:
    """A Capture in the making: opened before the tool runs, ended once."""

    profiler: Profiler
    session: Session
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: float = field(default_factory=time.monotonic)
    notes: dict[str, str] = field(default_factory=dict)
    rate_hz: int | None = None
    reading: Reading | None = None
    cpu_percent: float | None = None
    use: ThreadUse | None = None
    levels: Levels | None = None
    explained_share: float | None = None

    def __post_init__(self) -> None:
        self.levels = read_levels(self.session.target.key.pid)

    def precheck(self) -> Capture | None:
        """Return what is in the way before anything is started: clearer than any tool's own error."""
        target, tools, tool = self.session.target, self.session.tools, self.profiler.tool
        if tools.path(tool) is None:
            return self.end(CaptureStatus.TOOL_MISSING, tools.missing(tool), INSTALL.get(tool))
        replaced = target.was_replaced()
        if replaced is not None:
            return self.end(CaptureStatus.TARGET_REPLACED, f"nothing was taken: {replaced}")
        if not target.is_alive():
            return self.end(CaptureStatus.TARGET_GONE, f"process {target.key.pid} has ended")
        if target.state == "T":
            return self.end(
                CaptureStatus.TARGET_STOPPED,
                "the process is stopped (SIGSTOP)",
                f"kill -CONT {target.key.pid}",
            )
        if target.state == "t":
            return self.end(
                CaptureStatus.TARGET_STOPPED, "the process is held by a debugger", "detach the debugger"
            )
        if is_frozen(target.key.pid):
            return self.end(
                CaptureStatus.TARGET_STOPPED,
                f"the process can't run: {FROZEN}",
                "docker unpause CONTAINER, or systemctl thaw UNIT",
            )
        return None

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep what the run says besides its result: the target's CPU, and what had to be repaired."""
        if outcome.cpu_ticks is not None and outcome.cpu_window_s >= 0.05:
            self.cpu_percent = 100.0 * outcome.cpu_ticks / TICKS_PER_S / outcome.cpu_window_s
        if outcome.target_woken:
            self.notes["continued"] = f"{self.profiler.tool} left the process stopped; it was continued"
        if outcome.left_behind:
            self.notes["left_behind"] = (
                f"can't be killed: {counted(outcome.left_behind, 'process')} of {self.profiler.tool}"
            )
        if outcome.exit_status not in (0, None):
            self.notes["exit_status"] = str(outcome.exit_status)

    def check_failure(self, outcome: Outcome) -> Capture | None:
        """End a run that can't have evidence, whatever it wrote; None when there may be some."""
        replaced = self.session.target.was_replaced()
        if replaced is not None:
            return self.end(CaptureStatus.TARGET_REPLACED, f"discarded, because {replaced}")
        if outcome.failure is not None:
            return self.end(CaptureStatus.TOOL_ERROR, f"{self.profiler.tool}: {outcome.failure}")
        if not (outcome.target_alive or outcome.attached):
            return self.end(
                CaptureStatus.TARGET_GONE, f"the process ended before {self.profiler.tool} had hold of it"
            )
        return None

    def explain_failure(self, outcome: Outcome, missing: str) -> Capture:
        """End a run without evidence: the reason is in the tool's own words, else what was `missing`."""
        words = first_words(outcome.stderr)
        if outcome.ended in ("timeout", "left_behind"):
            limit = f"{self.profiler.tool} did not end within {outcome.took_s:.1f} s and was killed"
            return self.end(CaptureStatus.TIMEOUT, limit)
        if outcome.ended == "stopped":
            return self.end(CaptureStatus.TIMEOUT, "ended early: monitord was told to stop")
        if outcome.ended == "output_limit_exceeded":
            return self.end(
                CaptureStatus.TOOL_ERROR, f"{self.profiler.tool} flooded its output and was killed"
            )
        known = self.profiler.explain(outcome.stderr.decode(errors="replace"))
        if known is not None:
            status, meaning, fix = known
            if status is CaptureStatus.PERMISSION_DENIED and fix is None:
                fix = permission_fix(self.session.target.key.pid)
            return self.end(status, words or meaning, fix)
        if not self.session.target.is_alive():
            return self.end(CaptureStatus.TARGET_GONE, f"process {self.session.target.key.pid} has ended")
        return self.end(CaptureStatus.TOOL_ERROR, words or f"{missing} (exit status {outcome.exit_status})")

    def publish(self, outcome: Outcome, path: Path) -> Capture:
        """Prove the evidence of a tool that wrote a file: ok, partial, or the file deleted and the reason."""
        failed = self.check_failure(outcome)
        if failed is None and size_of(path) == 0:
            failed = self.explain_failure(outcome, f"{self.profiler.tool} wrote nothing")
        if failed is None:
            failed = self.read(path)
        replaced = None if failed else self.session.target.was_replaced()
        if replaced is not None:
            failed = self.end(CaptureStatus.TARGET_REPLACED, f"discarded, because {replaced}")
        if failed is not None:
            remove(path)
            return failed
        self._explain_cpu(outcome)
        shortfall = self._shortfall(outcome)
        fix = self._name_what_is_unnamed()
        status = CaptureStatus.PARTIAL if shortfall else CaptureStatus.OK
        return self.end(status, shortfall, fix, path=path)

    def _name_what_is_unnamed(self) -> str | None:
        """Note how much of the code has no names; what to type to have them."""
        if self.profiler.name == "py-spy" or self.reading is None:
            return None
        from monitord.capture.unresolved import advice, without_interpreter  # only native code needs it

        found = advice(self.reading.hotspots, self.session.target.identity.executable)
        self.reading = replace(self.reading, hotspots=without_interpreter(self.reading.hotspots))
        if found is None:
            return None
        self.notes["unnamed"] = found[0]
        return found[1]

    def read(self, path: Path) -> Capture | None:
        """Parse the evidence in a child, then the sources it names; None when it has samples."""
        session = self.session
        pid = session.target.key.pid
        use = None
        if self.use is not None and self.rate_hz:
            use = {**asdict(self.use), "period_s": 1 / self.rate_hz}
        self.reading = read_evidence(session.runner, self.profiler.format, path, pid, use)
        self.explained_share = self.reading.explained_share
        if self.reading.error is not None:
            return self.end(CaptureStatus.TOOL_ERROR, f"unreadable output: {self.reading.error}")
        if self.reading.sample_count == 0:
            return self.end(
                CaptureStatus.NO_SAMPLES, self._doubt() or f"{self.profiler.tool} saw no running code"
            )
        if session.reads_sources:
            spots = with_sources(session.runner, session.target, session.folder, self.reading.hotspots)
            self.reading = replace(self.reading, hotspots=spots)
        return None

    def _explain_cpu(self, outcome: Outcome) -> None:
        """Compare on-CPU samples with the CPU that the process used while they were taken."""
        if self.explained_share is not None or not self.profiler.counts_cpu or not self.rate_hz:
            return
        # The window has the tool's start in it, when it did not sample yet.
        window_s = max(outcome.cpu_window_s, 0.01)
        sampled_share = min(1.0, self.session.plan.duration_s / window_s)
        used_s = (outcome.cpu_ticks or 0) / TICKS_PER_S * sampled_share
        if self.reading is not None and used_s >= _LEAST_CPU_S:
            self.explained_share = min(1.0, self.reading.sample_count / self.rate_hz / used_s)

    def _doubt(self) -> str | None:
        """Why the samples can't be what the process was busy with; None when they account for its CPU."""
        share = self.explained_share
        if share is None or share >= LEAST_EXPLAINED:
            return None
        words = f"explains {share:.0%} of the CPU that the process used".replace("%", " %")
        hidden = self.reading.hidden_threads if self.reading else ()
        names = [name_of(self.session.target.key.pid, one) or str(one) for one in hidden[:3]]
        if not hidden:
            return words
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        seen_by = f"threads that {self.profiler.tool} does not see"
        return f"{words}: the rest was used by {seen_by} ({', '.join(names)}{more})"

    def _shortfall(self, outcome: Outcome) -> str | None:
        errors, samples = (
            (self.reading.error_count or 0, self.reading.sample_count) if self.reading else (0, 0)
        )
        if outcome.ended == "stopped":
            return "ended early: monitord was told to stop"
        if not outcome.target_alive or not self.session.target.is_alive():
            return "the process ended while it was profiled"
        if outcome.ended != "exited":
            return f"{self.profiler.tool} had to be ended ({outcome.ended})"
        if outcome.exit_status not in (0, None):
            return (
                f"{self.profiler.tool} ended with status {outcome.exit_status}: {first_words(outcome.stderr)}"
            )
        if errors > samples:
            return f"{errors} of {errors + samples} samples could not be read"
        doubt = self._doubt()
        if doubt is None or self._is_hidden_busier():
            return doubt
        self.notes["explained"] = doubt
        return None

    def _is_hidden_busier(self) -> bool:
        """Whether an unseen thread outdid every seen one; a library's helpers keep step with their caller."""
        used, hidden = (
            (self.use.threads if self.use else {}),
            set(self.reading.hidden_threads if self.reading else ()),
        )
        unseen = max((used.get(one, 0.0) for one in hidden), default=0.0)
        seen = max((used_s for one, used_s in used.items() if one not in hidden), default=0.0)
        return not hidden or unseen > _OUTDONE * seen

    def end(
        self,
        status: CaptureStatus,
        reason: str | None = None,
        fix: str | None = None,
        *,
        path: Path | None = None,
        payload: bytes | None = None,
    ) -> Capture:
        """Make the capture."""
        reading = self.reading if status.has_evidence else None
        hotspots: tuple[Hotspot, ...] = reading.hotspots if reading else ()
        now = read_levels(self.session.target.key.pid)
        return Capture(
            role=self.profiler.role,
            profiler=self.profiler.name,
            status=status,
            started_at=self.started_at,
            duration_s=time.monotonic() - self.begun,
            target=self.session.target.key,
            profiler_version=self.session.tools.version(self.profiler.tool),
            reason=reason,
            fix=fix,
            format=self.profiler.format if status.has_evidence else None,
            payload=payload,
            path=path,
            rate_hz=self.rate_hz,
            sample_count=self.reading.sample_count if self.reading else None,
            error_count=self.reading.error_count if self.reading else None,
            target_cpu_percent=self.cpu_percent,
            explained_share=self.explained_share,
            levels=(self.levels, now) if self.levels and now else None,
            image=self.session.target.identity.program,
            hotspots=hotspots,
            notes=self._notes(),
        )

    def _notes(self) -> dict[str, str]:
        notes = self.reading.with_waiting(self.notes) if self.reading else dict(self.notes)
        if self.explained_share is None:
            return notes
        return {**notes, "explained_share": f"{self.explained_share:.2f}"}


def first_words(stderr: bytes) -> str:
    """Return a tool's first line and its "Caused by", without the backtrace; at most 300 characters.

    A heading alone ("Error:", as perf has it) says nothing: then the line under it.
    """
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].lower() in ("error:", "warning:"):
        lines = lines[1:]
    words = lines[:1]
    if "Caused by:" in lines:
        cause = lines[lines.index("Caused by:") + 1 :][:1]
        words += [
            f"caused by {line.partition(':')[2].strip() or line}"
            if line[:1].isdigit()
            else f"caused by {line}"
            for line in cause
        ]
    return "; ".join(words)[:300]
