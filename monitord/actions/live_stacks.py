"""Who runs now, second by second, and on which stacks: a black box of the caller's own; nothing is stored.

As `top` has one. It is opened at the first question and closed when nobody has asked for a while; of the time
before it was opened the recorder's tells, where one runs.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord.actions.recorders_box import TOLD_FOR_S, Aside, RecordersBox, boot_ns, now_ns
from monitord.actions.stacks import Stacks, check
from monitord.actions.top import CLOSES_WITHIN_S, named, own_box, own_processes, why_not_open
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, PermissionDeniedError
from monitord.export.encoding import iso
from monitord.profiles.ring_document import Ring, read_ring
from monitord.profiles.ring_slice import as_plain, cut, seconds

if TYPE_CHECKING:
    from monitord.stacks.box import BlackBox

SPAN_S = 100
_RESTS_AFTER_S = 120.0
_NS_PER_S = 1_000_000_000
_RECORDERS_AGE_NS = 10 * _NS_PER_S  # where there is no box of one's own
_A_MOMENT_S = 1.0  # in which the recorder mostly answers


class LiveStacks:
    """One box for all who ask, from any thread. While one waits for the recorder, others are answered."""

    def __init__(self, workspace: Workspace, rests_after_s: float = _RESTS_AFTER_S) -> None:
        self._workspace = workspace
        self._rests_after_s = rests_after_s
        self._lock = threading.Lock()
        self._box: BlackBox | None = None
        self._opened_ns = 0
        self._rest: threading.Timer | None = None
        self._recorder = RecordersBox(workspace)
        self._wanted_ns = 0
        self._aside = Aside(lambda: self._recorder.whole(self._wanted_ns))

    def seconds(self) -> dict[str, Any]:
        """Tell who used most in each second that it has; the recorder's are there when it has answered.

        Raises PermissionDeniedError where the kernel grants no ring, and no recorder answers.
        """
        with self._lock:
            try:
                box = self._opened()
            except PermissionDeniedError as error:
                refused: PermissionDeniedError | None = error
            else:
                refused = None
                now, until_ns = datetime.now(UTC), now_ns()
                opened_ns, since_ns = self._opened_ns, self._first_second(until_ns)
                found = box.take_machine(since_ns, until_ns)
                status = box.status()
        if refused is not None:
            return self._recorders_seconds(refused)
        listed = _rows(read_ring(BytesIO(found.payload)), since_ns, now, until_ns) if found else []
        self._ask_aside(opened_ns)
        earlier = self._recorder.held
        if earlier is not None and earlier.ended_ns >= opened_ns:
            from_ns = _first_before(opened_ns, max(earlier.began_ns, until_ns - SPAN_S * _NS_PER_S))
            before = _rows(earlier, from_ns, now, until_ns)[: (opened_ns - from_ns) // _NS_PER_S]
            listed, since_ns = [*before, *listed], min(since_ns, from_ns)
        began_at = _earlier(now, until_ns - since_ns)
        return _told(began_at, now, status["scope"], _limits(status, self._recorder.why_not), listed)

    def _recorders_seconds(self, refused: PermissionDeniedError) -> dict[str, Any]:
        now, until_ns = datetime.now(UTC), now_ns()
        is_answered = self._ask_aside(until_ns - _RECORDERS_AGE_NS)
        ring = self._recorder.held
        if ring is None or until_ns - ring.ended_ns > TOLD_FOR_S * _NS_PER_S:
            if is_answered:
                raise refused
            return _told(now, now, "", ["the recorder's black box is being asked"], [])
        since_ns = max(ring.began_ns, until_ns - SPAN_S * _NS_PER_S)
        began_at = _earlier(now, until_ns - since_ns)
        return _told(began_at, now, ring.scope, [], _rows(ring, since_ns, now, until_ns))

    def _ask_aside(self, until_ns: int) -> bool:
        """Have the recorder tell all until then, if it has not; whether it has answered, or is not there."""
        held = self._recorder.held
        if held is not None and held.ended_ns >= until_ns:
            return True
        self._wanted_ns = until_ns
        return self._aside.start(_A_MOMENT_S)

    def recorders(self, since: datetime, until: datetime) -> Stacks | None:
        """Return the stacks of a span as the recorder's box has them; None where it has nothing.

        Of a span that began before it: of the part that it has, and `since` says from when on.
        """
        found, _why_not = self._recorder.ran(since, until)
        if found is None:
            return None
        part = found.part
        return Stacks(found.since, until, {"kind": "recorder", "scope": part.scope}, (), as_plain(part))

    def stacks(self, since: datetime, until: datetime) -> Stacks:
        """Return the stacks of a span: of the time before it was opened, or of everybody, the recorder's.

        Raises NotFoundError where neither has any.
        """
        check(since, until)
        if not self._sees_all_since(boot_ns(since)):
            told = self.recorders(since, until)
            if told is not None:
                return told
        why_not = self._recorder.why_not
        with self._lock:
            box = self._opened()
            since_ns, until_ns, moment_ns = boot_ns(since), boot_ns(until), now_ns()
            if until_ns <= max(self._opened_ns, moment_ns - SPAN_S * _NS_PER_S):
                raise NotFoundError(
                    "cannot show stacks of that time: it was before this page began to look"
                    f"{f', and {why_not}' if why_not else ''};"
                    " `monitord snapshot` keeps those of the recorder's last minute"
                )
            found = box.take_machine(max(since_ns, self._opened_ns), min(until_ns, moment_ns))
            status = box.status()
        if found is None:
            raise NotFoundError("cannot show stacks of that time: nothing ran that may be looked at")
        with tempfile.TemporaryDirectory(prefix="monitord-stacks-") as folder:
            ring = read_ring(BytesIO(named(found, Path(folder))))
        tree = as_plain(cut(ring, 0, ring.seconds_at(ring.ended_ns)))
        tree["tree"]["notes"] = [*tree["tree"]["notes"], *_limits(status, why_not)]
        return Stacks(since, until, {"kind": "now", "scope": status["scope"]}, (), tree)

    def _sees_all_since(self, since_ns: int) -> bool:
        box = self._box
        return box is not None and self._opened_ns <= since_ns and box.status()["scope"] == "machine"

    def close(self) -> None:
        """Give the rings back; the next question opens them anew."""
        with self._lock:
            box, self._box = self._box, None
            if self._rest is not None:
                self._rest.cancel()
        if box is not None:
            box.close(CLOSES_WITHIN_S)

    @property
    def is_open(self) -> bool:
        """Whether a box is open."""
        return self._box is not None

    def _first_second(self, until_ns: int) -> int:
        """Where the first of the seconds begins: at whole ones since the opening, so that none changes."""
        gone = max(0, -(-(until_ns - SPAN_S * _NS_PER_S - self._opened_ns) // _NS_PER_S))
        return self._opened_ns + gone * _NS_PER_S

    def _opened(self) -> BlackBox:
        if self._box is None:
            self._box = _open(self._workspace)
            self._opened_ns = now_ns()
        if self._rest is not None:
            self._rest.cancel()
        self._rest = threading.Timer(self._rests_after_s, self.close)
        self._rest.daemon = True
        self._rest.start()
        self._box.tend(() if self._box.status()["scope"] == "machine" else own_processes())
        return self._box


def _open(workspace: Workspace) -> BlackBox:
    settings = workspace.settings.black_box
    box = own_box(workspace, settings.rate_hz, settings.bytes_per_cpu, is_enabled=settings.enabled)
    reason = why_not_open(box)
    if reason is not None:
        box.close(CLOSES_WITHIN_S)
        raise PermissionDeniedError(
            f"cannot see what runs: {reason}; try `sudo monitord top`; `monitord doctor` says more"
        )
    return box


def _limits(status: Mapping[str, Any], why_not: str) -> list[str]:
    found = [] if status["scope"] == "machine" else [f"seen: {status['reason']}"]
    return [*found, why_not] if why_not else found


def _first_before(end_ns: int, began_ns: int) -> int:
    """When the first of the whole seconds before `end_ns` begins."""
    return end_ns - max(0, (end_ns - began_ns) // _NS_PER_S) * _NS_PER_S


def _earlier(now: datetime, by_ns: int) -> datetime:
    return now - timedelta(seconds=by_ns / _NS_PER_S)


def _rows(ring: Ring, since_ns: int, now: datetime, until_ns: int) -> list[dict[str, Any]]:
    began_at = _earlier(now, until_ns - since_ns)
    return [
        {
            "at": iso(began_at + timedelta(seconds=one.at_s)),
            "cpu_percent": one.cpu_percent,
            "pid": one.pid,
            "name": one.name,
            "process_percent": one.process_percent,
        }
        for one in seconds(ring, since_ns)
    ]


def _told(
    since: datetime, until: datetime, scope: object, limits: list[str], listed: list[dict[str, Any]]
) -> dict[str, Any]:
    return {"since": iso(since), "until": iso(until), "scope": scope, "limits": limits, "seconds": listed}
