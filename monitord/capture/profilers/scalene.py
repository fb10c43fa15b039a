"""Scalene, for processes that stand by under it: on for a while, off, and what it saw in between.

Nothing is attached and nothing is stopped; a process that was not registered never hears of it (`standby`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from monitord.capture import procfs
from monitord.capture.reading import own_environment, own_module
from monitord.capture.running import Errand
from monitord.capture.scripts.standby import Standby, switch
from monitord.capture.session import Draft, Failure, Session, remove
from monitord.capture.target import Target
from monitord.model import Capture, CaptureStatus
from monitord.profiles.scalene_document import Names
from monitord.profiles.scalene_kept import ABSOLUTE, KEPT

_WRITES_WITHIN_S = 8.0  # it writes between two bytecodes of the main thread: usually in less than 0.2 s
_AGAIN_S = 0.7
_LOOK_S = 0.05
_READ_LIMIT_S = 15.0
_SILENT = "Scalene did not write within {:.0f} s: the script replaced its handlers, or is in a long call"


class Scalene:
    """One registered process. `suits` is no more than that: everything else is checked when it is
    switched.
    """

    name = "scalene"
    tool = "scalene"
    role = "profile"
    format = "scalene"

    def __init__(self, standby: Standby) -> None:
        self._standby = standby

    def suits(self, target: Target) -> bool:
        return target.key == self._standby.key

    def explain(self, stderr: str) -> Failure | None:
        return None

    def take(self, session: Session) -> Capture:
        draft = Draft(self, session)
        capture = self._record(draft) or self._read(draft)
        remove(session.folder / ABSOLUTE)
        if not capture.status.has_evidence:
            remove(session.folder / KEPT)
        return replace(capture, profiler_version=self._standby.scalene_version or None)

    def _record(self, draft: Draft) -> Capture | None:
        """Switch on, wait, switch off, until it has written; the failure, or None."""
        session, before = draft.session, _stamp(self._standby.profile)
        refusal = switch(self._standby, session.target, on=True)
        if refusal is not None:
            return draft.end(CaptureStatus.REFUSED, f"Scalene was not switched on: {refusal}")
        began_s, began_ticks = time.monotonic(), _ticks(session)
        try:
            session.runner.wait(session.plan.duration_s)
        finally:
            refusal = switch(self._standby, session.target, on=False)
        ticks, elapsed_s = _ticks(session), time.monotonic() - began_s
        if ticks is not None and began_ticks is not None and elapsed_s > 0:
            draft.cpu_percent = 100.0 * (ticks - began_ticks) / procfs.TICKS_PER_S / elapsed_s
        return self._await(draft, before, refusal)

    def _await(self, draft: Draft, before: tuple[int, int], refusal: str | None) -> Capture | None:
        """Until it has written. Scalene under load misses one of three signals (2.4): sent again, one helps."""
        target, started_s = draft.session.target, time.monotonic()
        sent_s = started_s
        while refusal is None:
            if _stamp(self._standby.profile) != before:
                return None
            now_s = time.monotonic()
            if now_s - started_s >= _WRITES_WITHIN_S:
                return draft.end(CaptureStatus.TIMEOUT, _SILENT.format(_WRITES_WITHIN_S))
            if now_s - sent_s >= _AGAIN_S:
                refusal, sent_s = switch(self._standby, target, on=False), now_s
            time.sleep(_LOOK_S)
        status = CaptureStatus.TARGET_REPLACED if target.is_alive() else CaptureStatus.TARGET_GONE
        return draft.end(status, f"Scalene was not switched off: {refusal}")

    def _read(self, draft: Draft) -> Capture:
        """What it wrote, less what it had written before; it may still be writing."""
        session, deadline = draft.session, time.monotonic() + _WRITES_WITHIN_S
        error = self._take_over(session)
        while error is not None and time.monotonic() < deadline and session.target.is_alive():
            time.sleep(_LOOK_S)
            error = self._take_over(session)
        if error is not None:
            return draft.end(CaptureStatus.TOOL_ERROR, f"unreadable output: {error}")
        failed = draft.read(session.folder / ABSOLUTE)
        if failed is not None:
            return failed
        if draft.reading is not None:
            names = Names(self._standby.root, str(Path.home()))
            spots = tuple(
                replace(spot, file=names.path(spot.file) if spot.file else None)
                for spot in draft.reading.hotspots
            )
            draft.reading = replace(draft.reading, hotspots=spots)
        is_early = session.runner.is_stopped
        reason = "ended early: monitord was told to stop" if is_early else None
        status = CaptureStatus.PARTIAL if is_early else CaptureStatus.OK
        return draft.end(status, reason, path=session.folder / KEPT)

    def _take_over(self, session: Session) -> str | None:
        standby, folder = self._standby, session.folder
        places = (standby.profile, standby.earlier, folder, standby.root, Path.home())
        outcome = session.runner.run(
            Errand(
                own_module("monitord.profiles.scalene_kept", *map(str, places)),
                folder,
                _READ_LIMIT_S,
                (0.2, 0.2),
                finishes=True,
                environment=own_environment(),
                memory_cap_bytes=1024 * 1024 * 1024,
            )
        )
        if outcome.exit_status == 0:
            return None
        words = outcome.stderr.decode(errors="replace").strip().splitlines()
        return words[-1][:300] if words else outcome.failure or outcome.ended


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _ticks(session: Session) -> int | None:
    stat = procfs.stat_of(session.target.key.pid)
    return stat.cpu_ticks if stat else None
