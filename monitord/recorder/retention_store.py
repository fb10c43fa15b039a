"""Where incidents and history go: room is made in the budget, then they are saved, on the writer's thread."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from monitord.errors import MonitordError, NotFoundError, StorageError
from monitord.jobs import RetentionLimits, RetentionManager, jobs_of
from monitord.logs import get_logger
from monitord.model import CaptureStatus, Incident, Rates
from monitord.scheduling import ScheduledTask
from monitord.storage import SQLiteProfileStore, StoreReader
from monitord.storage.artefacts.errors import ArtefactError
from monitord.storage.artefacts.metadata import FilePayload
from monitord.storage.thinning import FINE_S
from monitord.storage.usage import room_for_rows

_REMEMBERED = 64  # incidents whose profile may still come
_FIX = "monitord retention run  # it says what stands in the way"


class Saving:
    """The store together with the limits it is kept in."""

    def __init__(
        self, store: SQLiteProfileStore, limits: RetentionLimits, other_jobs: Sequence[ScheduledTask] = ()
    ) -> None:
        self._store = store
        self._other_jobs = other_jobs
        self._saved: deque[str] = deque(maxlen=_REMEMBERED)
        self.use(limits)

    def use(self, limits: RetentionLimits) -> None:
        """Keep the store within these limits from now on."""
        self.limits = limits
        self._room_for_rows = room_for_rows(limits.max_total_bytes)
        self._retention = RetentionManager(
            self._store, limits, reserve_bytes=self._room_for_rows, keeps_names=False
        )
        self.jobs: tuple[ScheduledTask, ...] = jobs_of(self._store, self._retention, limits, self._other_jobs)

    def save(self, incident: Incident) -> object:
        """Save an incident; durable when this returns. Raises StorageError when it can't be, now.

        When kept incidents leave no room for the evidence, the incident is saved without it and says why:
        the budget is a promise, and so is a pin. When it was saved before and deleted since then, what came
        later goes the same way: the deletion was meant for all of it.
        """
        if incident.correlation_id in self._saved and self._was_deleted(incident.correlation_id):
            get_logger().info("incident.stays_deleted", correlation_id=incident.correlation_id)
            return None
        now = incident.alert.raised_at
        report = self._retention.make_room(self._room_for(incident), now)
        if not report.has_room:
            incident = _bare(incident, str(report.obstacle))
            report = self._retention.make_room(self._room_for(incident), now)
            if not report.has_room:
                raise StorageError(f"cannot keep another incident: {report.obstacle}")
        rows = self._store.save_incident(incident)
        self._saved.append(incident.correlation_id)
        return rows

    def amend_later(self, submit: Callable[..., object]) -> Callable[[str, str], None]:
        """Gives a stored incident another reason, on the writer's thread; one that is not stored has none."""

        def put(correlation_id: str, reason: str) -> None:
            try:
                self._store.set_reason(correlation_id, reason)
            except MonitordError as error:
                get_logger().debug("incident.not_amended", correlation_id=correlation_id, reason=str(error))

        def amend(correlation_id: str, reason: str) -> None:
            submit(partial(put, correlation_id, reason), may_drop=True)

        return amend

    def _was_deleted(self, correlation_id: str) -> bool:
        try:
            with StoreReader(self._store.data_dir) as reader:
                return not reader.has_incident(correlation_id)
        except NotFoundError:
            return False  # the whole store is gone: a new one is made, and this belongs into it

    def add_history(self, passes: Sequence[Rates], step_s: int = FINE_S) -> None:
        """Save passes of a level for looking back. Raises StorageError when there is no room for them."""
        if passes:
            now = passes[-1].taken_at
            report = self._retention.make_room(self._room_for_rows, now, may_delete=False)
            if not report.has_room:
                raise StorageError(f"cannot keep history: {report.obstacle}")
        self._store.add_history(passes, step_s=step_s)

    def _room_for(self, incident: Incident) -> int:
        """Bytes it takes: rows, and evidence compressed (zlib's fastest is at least as large as zstd)."""
        evidence = sum(_compressed_size(capture.payload, capture.path) for capture in incident.captures)
        return evidence + self._room_for_rows


def _bare(incident: Incident, reason: str) -> Incident:
    captures = tuple(
        replace(capture, payload=None, path=None, status=CaptureStatus.REFUSED, reason=reason, fix=_FIX)
        for capture in incident.captures
    )
    return replace(incident, captures=captures, history=())


def _compressed_size(payload: bytes | None, path: Path | None) -> int:
    compressor, size = zlib.compressobj(1), 0
    try:
        file = FilePayload(path) if payload is None and path is not None else None
    except ArtefactError:
        return 0  # a file that is gone, or no plain one, needs no room; saving says what became of it
    try:
        for block in file.chunks() if file is not None else (payload or b"",):
            size += len(compressor.compress(block))
    finally:
        if file is not None:
            file.close()
    return size + len(compressor.flush())
