"""Snapshots asked for by hand: what the machine ran lately, out of the black box, as an incident."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
    """Takes one at a time on a thread of its own. `refuse` gets the id and the reason of one that failed."""

    def __init__(
        self,
        box: MachineBoxProtocol,
        names: NamesProtocol,
        access: SnapshotAccess,
        refuse: Callable[[str, str], object],
        folder: Path,
    ) -> None:
        self._box = box
        self._names = names
        self._access = access
        self._refuse = refuse
        self._folder = folder
        self._turn = threading.Lock()

    def take(self, request: SnapshotRequest) -> None:
        """Begin; returns at once."""
        if not self._turn.acquire(blocking=False):
            self._refuse(request.correlation_id, "another snapshot is being taken; try again in some seconds")
            return
        try:
            threading.Thread(target=self._run, args=(request,), name="snapshot", daemon=True).start()
        except RuntimeError as error:  # no further thread can be started
            self._turn.release()
            self._refuse(request.correlation_id, str(error))

    def stop(self) -> None:
        """End what runs in a child."""
        self._names.stop()

    def _run(self, request: SnapshotRequest) -> None:
        folder = self._folder / request.correlation_id
        try:
            problem = self._take(request, folder)
        except Exception as error:  # noqa: BLE001 - around one capture: who asked is told why
            get_logger().exception("snapshot.failed", correlation_id=request.correlation_id)
            problem = f"{type(error).__name__}: {error}"
        finally:
            self._turn.release()
            shutil.rmtree(folder, ignore_errors=True)
        if problem is not None:
            self._refuse(request.correlation_id, problem)

    def _take(self, request: SnapshotRequest, folder: Path) -> str | None:
        """Save it; else why not."""
        if self._box.why_off:
            return f"the black box is off: {self._box.why_off}"
        until_ns, now = time.clock_gettime_ns(time.CLOCK_BOOTTIME), datetime.now(UTC)
        target = self._access.key_of(request.pid) if request.pid is not None else _NOBODY
        if target is None:
            return f"there is no process {request.pid}"
        since_ns = until_ns - int(request.since_s * _NS_PER_S)
        if request.pid is not None:
            found = self._box.take(target, since_ns, until_ns)
        else:
            found = self._box.take_machine(since_ns, until_ns, request.process or "*")
        if found is None:
            return f"nothing of it ran in the last {request.since_s:g} s, or it may not be profiled"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        began_at = now - timedelta(seconds=(until_ns - found.began_ns) / _NS_PER_S)
        named = self._names.put_in(before_capture(target, found, began_at), folder)
        covered_s = request.since_s
        if request.pid is None and request.process is None:  # something always runs: before it, nobody looked
            covered_s = min(covered_s, (until_ns - found.began_ns) / _NS_PER_S)
        capture = _with_names_first(self._access.read(named, folder))
        incident = self._incident(request, target, capture, now, covered_s)
        self._access.save(incident)
        get_logger().info("snapshot.taken", correlation_id=request.correlation_id, since_s=request.since_s)
        return None

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


def _with_names_first(capture: Capture) -> Capture:
    """Code without a name ("[dash]") is of many programs here: functions tell more."""
    spots = sorted(capture.hotspots, key=lambda spot: spot.func_id is None and spot.function.startswith("["))
    return replace(capture, hotspots=tuple(spots))
