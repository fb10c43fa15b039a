"""Scalene, for processes that stand by under it: on for a while, off, and what it saw in between.

Nothing is attached and nothing is stopped; a process that was not registered never hears of it (`standby`).
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from monitord import procfs, rights
from monitord.capture.session import MAIN_THREAD_SLEPT, CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.thread_cpu import slept_share, wanted_by_main_ns
from monitord.capture.tool_runner import Rights, ToolRun
from monitord.capture.workplace import remove
from monitord.children import own_command, own_environment
from monitord.model import Capture, CaptureStatus
from monitord.profiles.scalene_document import Names
from monitord.profiles.scalene_kept import ABSOLUTE, KEPT, NOW
from monitord.scripts.standby import Standby, switch

MOST_SLEPT = 0.2
_ENDS_WITHIN_S = 10.0  # it writes between two bytecodes of the main thread: usually in less than 0.2 s
_AGAIN_S = 0.7
_BETWEEN_S = 0.3
_LOOK_S = 0.05
_READ_LIMIT_S = 15.0
_SILENT = "Scalene did not write within {:.0f} s: the script replaced its handlers, or is in a long call"


class StandbyProfiler:
    """A profiler for one registered process, all that `suits` asks; the rest is checked at the switch."""

    name = "scalene"
    tool = "scalene"
    role = "profile"
    counts_cpu = False
    format = "scalene"

    def __init__(self, standby: Standby) -> None:
        self._standby = standby

    def suits(self, target: Target) -> bool:
        return target.key == self._standby.key

    def explain(self, stderr: str) -> Failure | None:
        return None

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        capture = self._record(builder) or self._publish(builder)
        remove(session.folder / ABSOLUTE)
        remove(session.folder / NOW)
        if not capture.status.has_evidence:
            remove(session.folder / KEPT)
        return replace(capture, profiler_version=self._standby.scalene_version or None)

    def _record(self, builder: CaptureBuilder) -> Capture | None:
        """Switch on, wait, switch off and read; the failure, or None."""
        session = builder.session
        refusal = switch(self._standby, session.target, on=True)
        if refusal is not None:
            return builder.end(CaptureStatus.REFUSED, f"Scalene was not switched on: {refusal}")
        began_s, began_ticks = time.monotonic(), _ticks(session)
        wanted_ns = wanted_by_main_ns(session.target.key.pid)
        session.runner.wait(session.plan.duration_s)
        ticks, elapsed_s = _ticks(session), time.monotonic() - began_s
        if ticks is not None and began_ticks is not None and elapsed_s > 0:
            slept = slept_share(wanted_ns, wanted_by_main_ns(session.target.key.pid), elapsed_s)
            if slept > MOST_SLEPT:
                builder.notes[MAIN_THREAD_SLEPT] = f"{slept:.2f}"
            builder.cpu_percent = 100.0 * (ticks - began_ticks) / procfs.TICKS_PER_S / elapsed_s
        return self._end(builder, elapsed_s)

    def _end(self, builder: CaptureBuilder, elapsed_s: float) -> Capture | None:
        """Off, until two readings say the same.

        The signal may reach Scalene 2.4 while it takes a sample: then it goes on sampling, or never writes.
        """
        session, deadline_s = builder.session, time.monotonic() + _ENDS_WITHIN_S
        last: int | None = None
        error: str | None = None
        while time.monotonic() < deadline_s:
            failure = self._switch_off(builder, deadline_s)
            if failure is not None:
                return failure if last is None else None
            before = last
            last, error = self._take_over(session, elapsed_s)
            if last is not None and (last == before or session.runner.is_stopped):
                return None
            time.sleep(_BETWEEN_S)
        if last is None:
            return builder.end(CaptureStatus.TOOL_ERROR, f"unreadable output: {error}")
        builder.notes["still_on"] = "Scalene goes on sampling in it: it ignored the signal to stop"
        return None

    def _switch_off(self, builder: CaptureBuilder, deadline_s: float) -> Capture | None:
        """Send the signal, again if need be, until Scalene has written; the failure, or None."""
        target, before, sent_s = builder.session.target, _stamp(self._standby.profile), 0.0
        while _stamp(self._standby.profile) == before:
            now_s = time.monotonic()
            if now_s >= deadline_s:
                return builder.end(CaptureStatus.TIMEOUT, _SILENT.format(_ENDS_WITHIN_S))
            if now_s - sent_s >= _AGAIN_S:
                refusal, sent_s = switch(self._standby, target, on=False), now_s
                if refusal is not None:
                    alive = target.is_alive()
                    status = CaptureStatus.TARGET_REPLACED if alive else CaptureStatus.TARGET_GONE
                    return builder.end(status, f"Scalene was not switched off: {refusal}")
            time.sleep(_LOOK_S)
        return None

    def _publish(self, builder: CaptureBuilder) -> Capture:
        """What was read, with what its sources say, under names that are kept."""
        session = builder.session
        failed = builder.read(session.folder / ABSOLUTE)
        shutil.copyfile(session.folder / NOW, self._standby.earlier)
        if failed is not None:
            return failed
        if builder.reading is not None:
            names = Names(self._standby.root, str(Path.home()))
            spots = builder.reading.hotspots
            spots = tuple(replace(one, file=names.path(one.file) if one.file else None) for one in spots)
            builder.reading = replace(builder.reading, hotspots=spots)
        is_early = session.runner.is_stopped
        reason = "ended early: monitord was told to stop" if is_early else None
        status = CaptureStatus.PARTIAL if is_early else CaptureStatus.OK
        return builder.end(status, reason, path=session.folder / KEPT)

    def _take_over(self, session: Session, elapsed_s: float) -> tuple[int | None, str | None]:
        """How many samples Scalene has counted in all, or why that can't be read: it may still be writing."""
        standby, folder = self._standby, session.folder
        places = (standby.profile, standby.earlier, folder, standby.root, Path.home(), elapsed_s)
        outcome = session.runner.run(
            ToolRun(
                own_command("monitord.profiles.scalene_kept", *map(str, places), keeps_bytecode=False),
                folder,
                _READ_LIMIT_S,
                (0.2, 0.2),
                finishes=True,
                environment=own_environment(),
                memory_cap_bytes=1024 * 1024 * 1024,
                rights=Rights((rights.CAP_DAC_READ_SEARCH,), user="same"),
            )
        )
        if outcome.exit_status == 0 and outcome.stdout.strip().isdigit():
            return int(outcome.stdout), None
        words = outcome.stderr.decode(errors="replace").strip().splitlines()
        return None, words[-1][:300] if words else outcome.failure or outcome.ended


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _ticks(session: Session) -> int | None:
    stat = procfs.stat_of(session.target.key.pid)
    return stat.cpu_ticks if stat else None
