"""What the machine runs at this moment, with functions: a black box of the caller's own, with his rights."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.workspace import Workspace
from monitord.errors import PermissionDeniedError
from monitord.export.encoding import iso
from monitord.export.shapes import consumer_row
from monitord.model import BEFORE, Capture, CaptureStatus, ProcessKey
from monitord.profiles.consumers import Consumer, consumers
from monitord.profiles.ring_document import read_ring

if TYPE_CHECKING:
    from monitord.stacks.box import BlackBox
    from monitord.stacks.document import Document

_RATE_HZ = 99  # a second of it is looked at: 1 % of a core is one sample
_BYTES_PER_CPU = 256 * 1024
_OPENS_WITHIN_S = 5.0
_CLOSES_WITHIN_S = 2.0
_FOLLOWED = 16
_WATCHED = 8  # of the busiest the stacks are read whatever the box's allowance of CPU
_NS_PER_S = 1_000_000_000
_NOBODY = ProcessKey(0, 0)
GoesOn = Callable[[float], bool]
"""Waits so many seconds; False: the caller has seen enough."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Who ran in the last seconds, the busiest first; `notes` say what can't be seen."""

    taken_at: datetime
    interval_s: float
    scope: str
    consumers: Sequence[Consumer]
    notes: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Return it as plain data with the keys of docs/output.md."""
        processes = list(map(consumer_row, self.consumers))
        return {
            "taken_at": iso(self.taken_at), "interval_s": self.interval_s, "scope": self.scope,
            "processes": processes, "notes": list(self.notes),
        }  # fmt: skip


def moments(workspace: Workspace, interval_s: float, goes_on: GoesOn) -> Iterator[Moment]:
    """Yield what ran, interval by interval, until `goes_on` says no.

    Raises PermissionDeniedError where the kernel grants no ring, with what to type.
    """
    box = _box(workspace)
    box.start()
    try:
        _wait_until_open(box)
        _follow(box)
        since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        with tempfile.TemporaryDirectory(prefix="monitord-top-") as folder:
            while goes_on(interval_s):
                until_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                moment = _moment(box, since_ns, until_ns, Path(folder))
                for one in moment.consumers[:_WATCHED]:
                    box.watch(one.pid)
                yield moment
                since_ns = until_ns
                _follow(box)
    finally:
        box.close(_CLOSES_WITHIN_S)


def _box(workspace: Workspace) -> BlackBox:
    from monitord.recorder.from_settings import consent
    from monitord.stacks.box import BlackBox
    from monitord.stacks.opening import BoxSettings

    return BlackBox(
        BoxSettings(_RATE_HZ, _BYTES_PER_CPU),
        consent(workspace.settings).permits,
        lambda _step, call: call(),
    )


def _wait_until_open(box: BlackBox) -> None:
    """Until the kernel said whether there are rings; raises PermissionDeniedError where there are none."""
    ends_s = time.monotonic() + _OPENS_WITHIN_S
    while (status := box.status())["state"] != "on":
        if status["reason"] or time.monotonic() > ends_s:
            why = status["reason"] or "it took too long"
            raise PermissionDeniedError(
                f"cannot see what runs: {why}; try `sudo monitord top`; `monitord doctor` says more"
            )
        time.sleep(0.02)


def _moment(box: BlackBox, since_ns: int, until_ns: int, folder: Path) -> Moment:
    found = box.take_machine(since_ns, until_ns)
    status = box.status()
    ring = read_ring(BytesIO(named(found, folder))) if found is not None else None
    notes = list(ring.notes) if ring is not None else []
    if status["scope"] != "machine":
        notes = [f"seen: {status['reason']}; `sudo monitord top` sees everybody"] + [
            note for note in notes if not note.startswith("scope: ")
        ]
    return Moment(
        taken_at=datetime.now(UTC),
        interval_s=round((until_ns - since_ns) / _NS_PER_S, 3),
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
