"""What to do when saving fails: keep it in memory, bounded, and try again. Nothing acknowledged is lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from monitord.errors import MonitordError, StorageError
from monitord.logs import get_logger
from monitord.model import CaptureStatus, Incident

Save = Callable[[Incident], object]
_POINT_BYTES = 400  # one moment of a history, as Python holds it
_SPOT_BYTES = 1000  # one hotspot with its statements
_NOT_KEPT = "the store could not be written, and too much waited in memory for this evidence to stay"


class PendingIncidents:
    """Saves incidents in order on the writer's thread; holds back what the store can't take now.

    `write(call)` runs a call on the writer's thread and gives its Future. An incident is acknowledged
    by its Future alone: until then it is here, at most `capacity` of them and `most_bytes` of evidence. When
    there is more, the mildest loses its evidence first, and then goes, counted in `dropped`.
    """

    def __init__(
        self,
        save: Save,
        write: Callable[[Callable[[], object]], Future[object]],
        capacity: int = 64,
        most_bytes: int = 4 << 20,
    ) -> None:
        self._save = save
        self._write = write
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[Incident, Future[object]]] = deque()
        self._lock = threading.Lock()
        self.dropped = 0
        self.trouble: str | None = None

    def keep(self, incident: Incident) -> Future[object]:
        """Save an incident soon; the Future ends when it is durable."""
        acknowledged: Future[object] = Future()
        with self._lock:
            self._waiting.append((incident, acknowledged))
            if len(self._waiting) > self._capacity:
                self._drop_mildest()
            self._lighten()
        self.retry()
        return acknowledged

    def retry(self) -> None:
        """Try to save whatever waits; called for each new incident and at every heartbeat."""
        with self._lock:
            if not self._waiting:
                return
        try:
            self._write(self._drain)
        except StorageError as error:
            self._note(str(error))

    @property
    def waiting_count(self) -> int:
        """How many incidents are not durable yet."""
        return len(self._waiting)

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                incident, acknowledged = self._waiting.popleft()
            try:
                result = self._save(incident)
            except (MonitordError, OSError, MemoryError) as error:
                with self._lock:
                    self._waiting.appendleft((incident, acknowledged))
                self._note(str(error) or type(error).__name__)
                return
            except Exception as error:  # noqa: BLE001  a bug, met again at each try: it must not block the others
                self.dropped += 1
                get_logger().exception("incident.dropped", correlation_id=incident.correlation_id)
                acknowledged.set_exception(error)
                continue
            self._note(None)
            get_logger().info(
                "incident.saved", correlation_id=incident.correlation_id, captures=len(incident.captures)
            )
            acknowledged.set_result(result)

    def _note(self, trouble: str | None) -> None:
        """Say it once when saving begins to fail, and once when it works again."""
        if trouble and not self.trouble:
            get_logger().error("store.failing", reason=trouble)
        if self.trouble and not trouble:
            get_logger().info("store.recovered")
        self.trouble = trouble

    def _lighten(self) -> None:
        """Take their evidence from the mildest until what waits is small enough; their rows stay."""
        total = sum(_size(incident) for incident, _ in self._waiting)
        while total > self._most_bytes:
            heavy = [i for i, (incident, _) in enumerate(self._waiting) if _size(incident)]
            index = min(heavy, key=lambda i: self._waiting[i][0].alert.severity)
            incident, acknowledged = self._waiting[index]
            total -= _size(incident)
            self._waiting[index] = (_bare(incident), acknowledged)

    def _drop_mildest(self) -> None:
        index = min(range(len(self._waiting)), key=lambda i: self._waiting[i][0].alert.severity)
        incident, acknowledged = self._waiting[index]
        del self._waiting[index]
        self.dropped += 1
        get_logger().error(
            "incident.dropped", correlation_id=incident.correlation_id, rule=incident.alert.rule
        )
        acknowledged.cancel()


def _size(incident: Incident) -> int:
    """About how much memory its evidence and history take."""
    payloads = sum(len(capture.payload) for capture in incident.captures if capture.payload is not None)
    spots = sum(len(capture.hotspots) for capture in incident.captures)
    return payloads + _POINT_BYTES * len(incident.history) + _SPOT_BYTES * spots


def _bare(incident: Incident) -> Incident:
    captures = tuple(
        replace(capture, payload=None, hotspots=(), status=CaptureStatus.REFUSED, reason=_NOT_KEPT)
        if capture.payload is not None
        else replace(capture, hotspots=())
        for capture in incident.captures
    )
    return replace(incident, captures=captures, history=())
