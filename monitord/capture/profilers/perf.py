"""perf, for native processes: cpu-clock at 99 Hz with frame pointers, folded at once to save space.

cpu-clock is asked for by name: without a PMU (virtual machines) `cycles` silently becomes it. perf.data is
deleted once `perf script`, a child under the same limits, has read it. Words: perf 6.1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from monitord import rights
from monitord.capture.reading import Reading
from monitord.capture.session import CaptureBuilder, Failure, Session, first_words
from monitord.capture.target import Target
from monitord.capture.tool_runner import Outcome, Rights, ToolRun
from monitord.capture.workplace import put, remove, size_of, take
from monitord.children import own_command, own_environment
from monitord.model import Capture, CaptureStatus

RATE_HZ = 99
_DATA, _FOLDED, _FILES = "perf.data", "perf.folded", "perf.files"
_FOLDS = "monitord.capture.perf_fold"
_SCRIPT_LIMIT_S, _HURRIED_SCRIPT_LIMIT_S = 20.0, 1.0
_MOMENT_S = 0.3
_STACK_BYTES = 4096  # of each stack, to unwind it: some thirty frames
_HURRIED_OPENING_S = 0.3
_LOOK_CAP_BYTES = 1024 * 1024
_SCRIPT_MEMORY_BYTES = 2 * 1024 * 1024 * 1024
# CAP_SYSLOG, where monitord is root, shows where the kernel's functions lie; the call itself is refused.
_RECORDS = Rights((rights.CAP_PERFMON, rights.CAP_SYS_PTRACE, rights.CAP_SYSLOG), is_reader=False)
# What it reads, the target chose: it reads what the target's own user may read, and can do nothing else.
_NAMES = Rights((rights.CAP_SYSLOG,), user="target")
_FILE_CAP_BYTES = 80 * 1024 * 1024  # above --max-size: perf ends itself before the kernel kills it


class Perf:
    """On-CPU stacks, user and kernel; blind to what waits."""

    name = "perf"
    tool = "perf"
    role = "profile"
    counts_cpu = True
    format = "folded"
    event: tuple[str, ...] = ("-e", "cpu-clock", "-g")
    nothing_seen = "perf saw no running code: the process waited all the time"

    def suits(self, target: Target) -> bool:
        return sys.platform == "linux"

    def explain(self, stderr: str) -> Failure | None:
        words = stderr.lower()
        if "no such process" in words:
            return CaptureStatus.TARGET_GONE, "the process has ended", None
        if "access to performance monitoring" in words or "permission" in words or "not permitted" in words:
            others = "sudo sysctl kernel.perf_event_paranoid=1, or run monitord as root or with CAP_PERFMON"
            fix = "give monitord CAP_PERFMON (it runs as root without it)" if os.geteuid() == 0 else others
            return CaptureStatus.PERMISSION_DENIED, "not permitted", fix
        return None

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (failed := builder.precheck()) is not None:
            return failed
        data, folded = session.folder / _DATA, session.folder / _FOLDED
        remove(data)
        remove(folded)
        builder.rate_hz = min(RATE_HZ, session.plan.rate_hz)
        from monitord.symbols.opening import opened_code  # a profile's worth of code

        try:
            limit_s = _HURRIED_OPENING_S if session.is_hurried else None
            with opened_code(session.target, limit_s) as files:  # now: it may end before it was profiled
                return self._profile(session, builder, folded, files)
        finally:
            remove(data)

    def _profile(
        self, session: Session, builder: CaptureBuilder, folded: Path, files: Mapping[str, int]
    ) -> Capture:
        from monitord.capture import java  # a profile's worth of code

        recorded = self._record(session, builder)
        builder.record_outcome(recorded)
        failed = builder.check_failure(recorded)
        if failed is None and size_of(session.folder / _DATA) == 0:
            failed = builder.explain_failure(recorded, "perf wrote nothing")
        if failed is not None:
            return failed
        asks = not session.is_hurried and java.is_java(session.target)
        if asks:
            why_not = java.ask_for_names(session.target)
            none = f"names of compiled code could not be had: {why_not}"
            builder.notes["java"] = none if why_not else java.OF_NOW
        script = self._fold(session, files)
        if size_of(folded) == 0:
            return self._without_stacks(builder, recorded, script)
        return self._kept(builder, _as_ended(recorded), folded)

    def _kept(self, builder: CaptureBuilder, recorded: Outcome, folded: Path) -> Capture:
        return builder.publish(recorded, folded)

    def _record(self, session: Session, builder: CaptureBuilder) -> Outcome:
        argv = record_command(
            session.tools.path(self.tool) or "",
            session.target.key.pid,
            builder.rate_hz or RATE_HZ,
            session.plan.duration_s,
            self.event,
        )
        return session.runner.run(
            ToolRun(
                argv,
                session.folder,
                session.limit_s,
                session.grace_periods_s,
                attached_link="perf_event",
                is_hurried=session.is_hurried,
                file_cap_bytes=_FILE_CAP_BYTES,
                rights=_RECORDS,
            ),
            session.target,
        )

    def _fold(self, session: Session, files: Mapping[str, int]) -> Outcome:
        """What the target lacks a name for is looked up in `files`, its own, by a child without rights."""
        from monitord.capture import perf_maps  # a profile's worth of code

        perf = session.tools.path(self.tool) or ""
        argv = own_command(_FOLDS, perf, _DATA, _FOLDED, _FILES, keeps_bytecode=False)
        maps = perf_maps.take_over(session.target, session.folder)
        tool_run = ToolRun(
            argv, session.folder, _HURRIED_SCRIPT_LIMIT_S if session.is_hurried else _SCRIPT_LIMIT_S,
            (0.2, 0.2), watch_target=False, finishes=True,
            memory_cap_bytes=_SCRIPT_MEMORY_BYTES, rights=_NAMES, own_tmp=maps,
            descriptors=tuple(files.values()), environment=own_environment(),
        )  # fmt: skip
        try:
            put(session.folder / _FILES, json.dumps(dict(files)).encode("ascii"))
            with perf_maps.offered(maps, session.folder):
                return session.runner.run(tool_run, session.target)
        finally:
            remove(session.folder / perf_maps.COPY)
            remove(session.folder / _FILES)

    def _without_stacks(self, builder: CaptureBuilder, recorded: Outcome, script: Outcome) -> Capture:
        if script.ended == "exited" and script.exit_status == 0:
            return builder.end(CaptureStatus.NO_SAMPLES, self.nothing_seen)
        if script.ended in ("timeout", "left_behind"):
            return builder.end(CaptureStatus.TIMEOUT, f"perf script did not end within {script.took_s:.0f} s")
        if recorded.ended in ("timeout", "left_behind"):
            return builder.explain_failure(recorded, "")
        return builder.end(
            CaptureStatus.TOOL_ERROR, f"perf script: {first_words(script.stderr) or script.ended}"
        )


class PerfFaults(Perf):
    """Stacks that bring memory in, by the page faults that they cause; blind to what takes in none.

    Unwound from the stack itself (DWARF): allocators and copying functions keep no frame pointers.
    """

    name = "perf-faults"
    counts_cpu = False
    event = ("-e", "page-faults", "--call-graph", f"dwarf,{_STACK_BYTES}")
    nothing_seen = "perf saw no page faults: the process took in no memory meanwhile"

    def suits(self, target: Target) -> bool:
        """Of Python the stacks are those of its interpreter."""
        return super().suits(target) and not target.is_python


class PerfLook(Perf):
    """What a process runs within a moment, kept in memory."""

    role = "dump"

    def take(self, session: Session) -> Capture:
        return super().take(replace(session, plan=replace(session.plan, duration_s=_MOMENT_S)))

    def _kept(self, builder: CaptureBuilder, recorded: Outcome, folded: Path) -> Capture:
        with take(folded) as file:
            text = file.read(_LOOK_CAP_BYTES)
        remove(folded)
        stacks = text[: text.rfind(b"\n") + 1]
        builder.reading = Reading(sum(int(line.rpartition(b" ")[2]) for line in stacks.split(b"\n") if line))
        return builder.check_failure(recorded) or builder.end(CaptureStatus.OK, payload=stacks)


def record_command(
    perf: str, pid: int, rate_hz: int, duration_s: float, event: tuple[str, ...] = Perf.event
) -> tuple[str, ...]:
    """Return the command of a recording, which `sleep` ends; -B opens no file whose name it records."""
    head = (perf, "record", "-q", "-B", "-N", *event, "-F", str(rate_hz), "--max-size=64M")
    return (*head, "-p", str(pid), "-o", _DATA, "--", "/bin/sleep", f"{duration_s:.2f}")


def _as_ended(outcome: Outcome) -> Outcome:
    """perf's status 130 and 143 (its sleep was ended) with readable data are as good as 0."""
    return replace(outcome, exit_status=0) if outcome.exit_status in (130, 143, -2, -15) else outcome
