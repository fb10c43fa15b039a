"""From an alert to an incident: what was seen first, then the full profile or why there is none."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from monitord.errors import BusyError
from monitord.logs import get_logger
from monitord.model import (
    Alert,
    Capture,
    CapturePlan,
    CaptureStatus,
    HistoryPoint,
    Incident,
    ProcessDetails,
    ProcessKey,
    TriggerMetric,
)
from monitord.pipeline.first_looks import FirstLook

_FIRST_LOOK_WAIT_S = 5.0  # a first look has a hard deadline of about one second


class CaptureService(Protocol):
    """What the pipeline needs of the capture room."""

    def capture(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]: ...

    def read(self, capture: Capture, folder: Path) -> Capture: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """An alert as the loop hands it over: everything that must be read at that moment is in it.

    `refusal` says why no profile may be taken of it; the incident is kept all the same.
    """

    correlation_id: str
    alert: Alert
    process: ProcessDetails | None
    history: tuple[HistoryPoint, ...]
    first_look: Future[FirstLook] | None
    describe: Callable[[ProcessKey], ProcessDetails | None]
    boot_id: str | None = None
    refusal: str | None = None


class IncidentWorker:
    """One capture at a time, on a thread of its own, behind a queue of one."""

    def __init__(
        self,
        service: CaptureService,
        save: Callable[[Incident], Future[object]],
        turn: Callable[[], AbstractContextManager[object]],
        folder: Path,
        plan: CapturePlan,
    ) -> None:
        self._service = service
        self._save = save
        self._turn = turn
        self._folder = folder
        self._plan = plan
        self._openings: queue.Queue[Opening | None] = queue.Queue(maxsize=1)
        self._refused: queue.Queue[Opening] = queue.Queue()
        self._is_stopping = threading.Event()
        self.current: tuple[str, datetime] | None = None
        self._thread = threading.Thread(target=self._work, name="capture", daemon=True)
        self._thread.start()

    def open(self, opening: Opening) -> None:
        """Take an incident over. Returns at once; when a capture is waiting already, this one gets none."""
        if opening.refusal is None:
            try:
                self._openings.put_nowait(opening)
                return
            except queue.Full:
                opening = replace(opening, refusal="another capture is running and one is waiting")
        threading.Thread(target=self._record, args=(opening,), name="incident", daemon=True).start()

    def use(self, plan: CapturePlan) -> None:
        """Take later captures by another plan (the configuration was reloaded)."""
        self._plan = plan

    def close(self, deadline_s: float) -> None:
        """End the running capture with what it has, save it, and stop."""
        self._is_stopping.set()
        self._service.stop()
        try:
            self._openings.put(None, timeout=deadline_s)
        except queue.Full:
            get_logger().warning("capture.not_stopped", deadline_s=deadline_s)
        self._thread.join(deadline_s)

    def _work(self) -> None:
        while (opening := self._openings.get()) is not None:
            self.current = (opening.correlation_id, datetime.now(UTC))
            try:
                self._record(opening)
            except Exception:  # noqa: BLE001  # around one capture: the next one must have its chance
                get_logger().exception("capture.failed", correlation_id=opening.correlation_id)
            finally:
                self.current = None
                self._openings.task_done()

    def _record(self, opening: Opening) -> None:
        """Save what is known at once, then what the full profile adds."""
        folder = self._folder / opening.correlation_id
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            opening = replace(opening, refusal=f"{folder.parent}: can't be written: {error.strerror}")
        incident = self._with_first_look(opening, folder)
        target = incident.alert.target
        if opening.refusal is not None and target is not None:
            incident = replace(incident, captures=(*incident.captures, _refused(target, opening.refusal)))
        self._save(incident)
        if target is not None and opening.refusal is None and opening.alert.profiler != "none":
            captures = self._capture(target, opening, folder)
            labelled = (_labelled(capture, incident.alert) for capture in captures)
            complete = replace(incident, captures=(*incident.captures, *labelled))
            self._save(complete).add_done_callback(lambda _: _remove(folder))
        else:
            _remove(folder)

    def _capture(self, target: ProcessKey, opening: Opening, folder: Path) -> list[Capture]:
        if self._is_stopping.is_set():
            return [_refused(target, "the daemon was stopping")]
        plan = replace(self._plan, profiler=opening.alert.profiler)
        try:
            with self._turn():
                return self._service.capture(target, plan, folder)
        except BusyError as error:
            return [_refused(target, str(error))]

    def _with_first_look(self, opening: Opening, folder: Path) -> Incident:
        """The incident as it stands before the profile: with the first look, and the culprit it found."""
        incident = Incident(
            correlation_id=opening.correlation_id,
            alert=opening.alert,
            process=opening.process,
            history=opening.history,
            boot_id=opening.boot_id,
        )
        if opening.first_look is None:
            return incident
        try:
            seen = opening.first_look.result(_FIRST_LOOK_WAIT_S)
        except Exception as error:  # noqa: BLE001  # around one capture: its failure must not cost the incident
            get_logger().warning("first_look.failed", reason=repr(error))
            return incident
        if incident.alert.target is None and seen.target is not None:
            blamed = replace(incident.alert, target=seen.target, process_name=seen.process_name)
            incident = replace(incident, alert=blamed, process=opening.describe(seen.target))
        return replace(incident, captures=(self._service.read(seen.dump, folder),) if seen.dump else ())


def _labelled(capture: Capture, alert: Alert) -> Capture:
    """Evidence taken when the spike was over says so: less than half the CPU that fires the rule."""
    seen = capture.target_cpu_percent
    is_late = (
        alert.metric is TriggerMetric.CPU
        and capture.role == "profile"
        and seen is not None
        and seen < 0.5 * alert.threshold.value
    )
    return replace(capture, late=is_late)


def _refused(target: ProcessKey, reason: str) -> Capture:
    return Capture(
        role="profile",
        profiler="none",
        status=CaptureStatus.REFUSED,
        started_at=datetime.now(UTC),
        duration_s=0.0,
        target=target,
        reason=reason,
    )


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
