"""The machine as it is, with functions: a look and a black box of the caller's own, with his rights."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.late_moments import with_late_functions
from monitord.actions.live_readings import LiveReadings
from monitord.actions.moment_incidents import incident_of
from monitord.actions.moment_shapes import totals_row
from monitord.actions.moments import Leader, Moment, leader_of, totals_of
from monitord.actions.recorders_box import LastSeconds, RecordersBox
from monitord.actions.workspace import Workspace
from monitord.export.encoding import iso
from monitord.model import BEFORE, Capture, CaptureStatus, ProcessKey, Rates
from monitord.profiles.consumers import Consumer, consumers
from monitord.profiles.ring_document import read_ring
from monitord.storage.views import IncidentSpan

if TYPE_CHECKING:
    from monitord.stacks.box import BlackBox
    from monitord.stacks.document import Document

_RATE_HZ = 99  # a second of it is looked at: 1 % of a core is one sample
_BYTES_PER_CPU = 256 * 1024
_OPENS_WITHIN_S = 5.0
CLOSES_WITHIN_S = 2.0
_FOLLOWED = 16
_WATCHED = 8  # of the busiest the stacks are read whatever the box's allowance of CPU
_NS_PER_S = 1_000_000_000
_NOBODY = ProcessKey(0, 0)
NO_FUNCTIONS = "no functions"
"""The scope where the kernel grants no ring."""

GoesOn = Callable[[float], bool]
"""Waits so many seconds; False: the caller has seen enough."""


@dataclass(frozen=True, slots=True)
class LiveMoment:
    """The machine as it is: `moment` has who ran in the last `interval_s`; `scope` is of the caller's box."""

    moment: Moment
    interval_s: float
    scope: str

    def as_json(self) -> dict[str, object]:
        """Return it as plain data with the keys of docs/output.md."""
        processes = [_row(one) for one in self.moment.leaders if one.cpu_percent or one.function]
        return {
            "taken_at": iso(self.moment.at), "interval_s": self.interval_s, "scope": self.scope,
            "processes": processes, "notes": list(self.moment.notes), "totals": totals_row(self.moment),
        }  # fmt: skip


def _row(one: Leader) -> dict[str, object]:
    """One of those that ran, or that the box saw, with the keys of a snapshot's processes."""
    return {
        "pid": one.pid, "name": one.name, "cpu_percent": one.cpu_percent, "function": one.function,
        "file": one.file, "share": one.share, "ended": one.is_ended,
    }  # fmt: skip


def live_moments(
    workspace: Workspace, interval_s: float, goes_on: GoesOn, waits_s: float = 0.0
) -> Iterator[LiveMoment]:
    """Yield the machine as it is, interval by interval, until `goes_on` says no.

    Where the caller's own box does not see everybody, functions of the others are the recorder's, if it
    tells: its first answer is waited for so long. Where nobody knows any, that is said, with what to type.
    """
    last_seconds = LastSeconds(RecordersBox(workspace))
    with _functions(workspace) as functions, LiveReadings(workspace) as readings:
        if not functions.sees_all:
            last_seconds.seen(waits_s)
        while goes_on(interval_s):
            seen = functions.since_last()
            live = _joined(seen, readings.look(), readings.incidents())
            if not functions.sees_all:
                live = replace(live, moment=with_late_functions(live.moment, last_seconds))
            yield live


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the box saw since the last look."""

    interval_s: float
    scope: str
    consumers: Sequence[Consumer] = ()
    notes: Sequence[str] = ()


class _Functions:
    """A black box, asked for what ran since it was last asked; without one `why_not` says why."""

    def __init__(self, box: BlackBox | None, folder: Path, why_not: str = "") -> None:
        self._box, self._folder, self._why_not = box, folder, why_not
        self._since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    @property
    def sees_all(self) -> bool:
        """Whether it sees processes of everybody."""
        return self._box is not None and self._box.status()["scope"] == "machine"

    def since_last(self) -> _Seen:
        since_ns, self._since_ns = self._since_ns, time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        interval_s = round((self._since_ns - since_ns) / _NS_PER_S, 3)
        if self._box is None:
            return _Seen(interval_s, NO_FUNCTIONS, notes=(self._why_not,))
        seen = _seen(self._box, since_ns, interval_s, self._since_ns, self._folder)
        for one in seen.consumers[:_WATCHED]:
            self._box.watch(one.pid)
        _follow(self._box)
        return seen


@contextmanager
def _functions(workspace: Workspace) -> Iterator[_Functions]:
    """A box of the caller's own, with his rights."""
    box = own_box(workspace, _RATE_HZ, _BYTES_PER_CPU)
    try:
        with tempfile.TemporaryDirectory(prefix="monitord-top-") as folder:
            reason = why_not_open(box)
            if reason is None:
                _follow(box)
                yield _Functions(box, Path(folder))
            else:
                words = (
                    f"cannot see functions itself: {reason}; try `sudo monitord top`; see `monitord doctor`"
                )
                yield _Functions(None, Path(folder), words)
    finally:
        box.close(CLOSES_WITHIN_S)


def _joined(seen: _Seen, rates: Rates, incidents: Sequence[IncidentSpan]) -> LiveMoment:
    """One moment of what was read and what the box saw; by pid, as both are of this second."""
    consumers = {one.pid: one for one in seen.consumers}
    leaders = {one.pid: one for one in map(leader_of, rates.processes)}
    joined = [_leader(consumers.get(pid), leaders.get(pid)) for pid in {**consumers, **leaders}]
    moment = Moment(
        at=rates.taken_at,
        taken_at=rates.taken_at,
        totals=totals_of(rates),
        leaders=tuple(sorted(joined, key=lambda one: -(one.cpu_percent or 0.0))),
        leaders_at=rates.taken_at,
        incidents=tuple(map(incident_of, incidents)),
        notes=seen.notes,
    )
    return LiveMoment(moment, seen.interval_s, seen.scope)


def _leader(consumer: Consumer | None, read: Leader | None) -> Leader:
    """What was read of a process, with what the box saw of it: its function, and its CPU where it is new."""
    if consumer is None:
        assert read is not None  # noqa: S101 - it came from one of the two; tells mypy
        return read
    is_measured = read is not None and read.cpu_percent is not None
    return replace(
        read or Leader(consumer.pid, consumer.name, None),
        cpu_percent=read.cpu_percent if read is not None and is_measured else consumer.cpu_percent,
        is_ended=consumer.is_ended,
        function=consumer.function,
        file=consumer.file,
        share=consumer.share,
    )


def own_box(workspace: Workspace, rate_hz: int, bytes_per_cpu: int, *, is_enabled: bool = True) -> BlackBox:
    """Start a black box of the caller's own, which sees whom the configuration lets profile."""
    from monitord.recorder.from_settings import consent
    from monitord.stacks.box import BlackBox
    from monitord.stacks.opening import BoxSettings

    permits = consent(workspace.settings).permits
    box = BlackBox(BoxSettings(rate_hz, bytes_per_cpu, is_enabled), permits, lambda _step, call: call())
    box.start()
    return box


def why_not_open(box: BlackBox) -> str | None:
    """Wait until the kernel said whether there are rings; why there are none, in words."""
    ends_s = time.monotonic() + _OPENS_WITHIN_S
    while (status := box.status())["state"] != "on":
        if status["reason"] or time.monotonic() > ends_s:
            return str(status["reason"] or "it took too long")
        time.sleep(0.02)
    return None


def _seen(box: BlackBox, since_ns: int, interval_s: float, until_ns: int, folder: Path) -> _Seen:
    found = box.take_machine(since_ns, until_ns)
    status = box.status()
    ring = read_ring(BytesIO(named(found, folder))) if found is not None else None
    notes = list(ring.notes) if ring is not None else []
    if status["scope"] != "machine":
        reason = str(status["reason"])
        notes = [f"seen: {reason}; `sudo monitord top` sees everybody"] + [
            note for note in notes if note not in reason
        ]
    return _Seen(
        interval_s=interval_s,
        scope=str(status["scope"]),
        consumers=consumers(ring, since_ns) if ring is not None else (),
        notes=notes,
    )


def named(found: Document, folder: Path) -> bytes:
    """Return the document with names of native functions, put in by a child."""
    from monitord.capture.before import RingNames

    taken = Capture(
        role=BEFORE, profiler="ring", status=CaptureStatus.OK, started_at=datetime.now(UTC), duration_s=0.0,
        target=_NOBODY, format="ring", payload=found.payload,
    )  # fmt: skip
    return RingNames().put_in(taken, folder).payload or b""


def _follow(box: BlackBox) -> None:
    """Where not everybody can be seen, see our own user's processes; which of them, can change."""
    box.tend(() if box.status()["scope"] == "machine" else own_processes())


def own_processes() -> list[int]:
    """Return processes of our own user, those that have used most CPU in their lives first."""
    from monitord import procfs

    used: dict[int, int] = {}
    for pid in procfs.pids():
        if procfs.owner(procfs.path(pid)) == os.geteuid() and (stat := procfs.stat_of(pid)) is not None:
            used[pid] = stat.cpu_ticks
    return sorted(used, key=lambda pid: -used[pid])[:_FOLLOWED]
