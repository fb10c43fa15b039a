"""What the machine ran lately, out of the black box: as an incident, or as a document for one client."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import (
    SNAPSHOT,
    WHOLE_MACHINE,
    Alert,
    Capture,
    Incident,
    ProcessDetails,
    ProcessKey,
    SnapshotRequest,
)
from monitord.pipeline.before import NamesProtocol, before_capture

if TYPE_CHECKING:
    from monitord.stacks.document import Document

_NOBODY = ProcessKey(0, 0)
_NS_PER_S = 1_000_000_000


class MachineBoxProtocol(Protocol):
    """What is asked of the black box."""

    @property
    def why_off(self) -> str: ...

    def take(
        self, target: ProcessKey, since_ns: int, until_ns: int, crossed_ns: int | None = None
    ) -> Document | None: ...

    def take_machine(self, since_ns: int, until_ns: int, pattern: str = "*") -> Document | None: ...


@dataclass(frozen=True, slots=True)
class SnapshotAccess:
    """What a snapshot needs: who a process is, how it becomes readable, where it is kept."""

    key_of: Callable[[int], ProcessKey | None]
    describe: Callable[[ProcessKey], ProcessDetails | None]
    read: Callable[[Capture, Path], Capture]
    save: Callable[[Incident], object]
    boot_id: str | None = None


class Snapshots:
    """For one thread; `stop` is for any. What can't be had is a MonitordError with the reason."""

    def __init__(
        self, box: MachineBoxProtocol, names: NamesProtocol, access: SnapshotAccess, folder: Path
    ) -> None:
        self._box = box
        self._names = names
        self._access = access
        self._folder = folder

    def stop(self) -> None:
        """End what runs in a child."""
        self._names.stop()

    def document(self, since_ns: int, until_ns: int) -> bytes:
        """What everybody ran between two moments of CLOCK_BOOTTIME, with names; nothing is stored."""
        now_ns, now = self._now()
        found = self._box.take_machine(since_ns, min(until_ns, now_ns))
        if found is None:
            raise MonitordError("the black box has nothing of that time")
        with self._place(f"span-{since_ns}") as folder:
            named = self._names.put_in(before_capture(_NOBODY, found, _moment(now, now_ns, found)), folder)
        return named.payload or b""

    def take(self, request: SnapshotRequest) -> None:
        """Have an incident stored."""
        until_ns, now = self._now()
        target = self._access.key_of(request.pid) if request.pid is not None else _NOBODY
        if target is None:
            raise MonitordError(f"there is no process {request.pid}")
        since_ns = until_ns - int(request.since_s * _NS_PER_S)
        if request.pid is not None:
            found = self._box.take(target, since_ns, until_ns)
        else:
            found = self._box.take_machine(since_ns, until_ns, request.process or "*")
        if found is None:
            raise MonitordError(
                f"nothing of it ran in the last {request.since_s:g} s, or it may not be profiled"
            )
        covered_s = request.since_s
        if request.pid is None and request.process is None:  # something always runs: before it, nobody looked
            covered_s = min(covered_s, (until_ns - found.began_ns) / _NS_PER_S)
        with self._place(request.correlation_id) as folder:
            named = self._names.put_in(before_capture(target, found, _moment(now, until_ns, found)), folder)
            capture = _with_names_first(self._access.read(named, folder))
        incident = self._incident(request, target, capture, now, covered_s)
        self._access.save(incident)
        get_logger().info("snapshot.taken", correlation_id=request.correlation_id, since_s=request.since_s)

    def _now(self) -> tuple[int, datetime]:
        if self._box.why_off:
            raise MonitordError(f"the black box is off: {self._box.why_off}")
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME), datetime.now(UTC)

    @contextmanager
    def _place(self, name: str) -> Iterator[Path]:
        folder = self._folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _incident(
        self, request: SnapshotRequest, target: ProcessKey, capture: Capture, now: datetime, covered_s: float
    ) -> Incident:
        process = self._access.describe(target) if request.pid is not None else None
        name = process.name if process else request.process or WHOLE_MACHINE
        used = 100 * (capture.sample_count or 0) / ((capture.rate_hz or 1) * max(covered_s, 0.001))
        alert = Alert.unraised(SNAPSHOT, target, name, used, now)
        alert = replace(
            alert,
            target=target if request.pid is not None else None,
            crossed_at=now - timedelta(seconds=covered_s),
            window_s=covered_s,
            reason=f"asked for by hand by {request.asked_by}: what ran in the last {covered_s:.0f} s,"
            f" {used:.0f} % of one core",
        )
        boot_id = self._access.boot_id
        return Incident(request.correlation_id, alert, process, captures=(capture,), boot_id=boot_id)


def _moment(now: datetime, now_ns: int, found: Document) -> datetime:
    """When what was found began."""
    return now - timedelta(seconds=(now_ns - found.began_ns) / _NS_PER_S)


def _with_names_first(capture: Capture) -> Capture:
    """Code without a name ("[dash]") is of many programs here: functions tell more."""
    spots = sorted(capture.hotspots, key=lambda spot: spot.func_id is None and spot.function.startswith("["))
    return replace(capture, hotspots=tuple(spots))
