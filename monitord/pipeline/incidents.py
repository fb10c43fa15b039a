"""From an alert to an incident: what was seen first, then the full profile or why there is none."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from queue import PriorityQueue

from monitord.errors import BusyError, StorageError
from monitord.logs import get_logger
from monitord.model import (
    Alert,
    Capture,
    CapturePlan,
    Incident,
    ProcessDetails,
    ProcessKey,
    TriggerMetric,
)
from monitord.pipeline.causes import Causes, Observed
from monitord.pipeline.openings import Opening, Unexplained, Waiting
from monitord.pipeline.outcomes import (
    broken,
    is_profile_attempt,
    labelled,
    of_same_program,
    planned,
    refused,
    shows_something,
)
from monitord.pipeline.protocols import NOTHING_BEFORE, BeforeProtocol, CaptureService
from monitord.pipeline.turns import WAITING_AT_MOST, Turns

_FIRST_LOOK_WAIT_S = 5.0  # a first look has a hard deadline of about one second
_TRAFFIC_WAIT_S = 30.0  # whose traffic it is takes seconds to find out, more on a crowded machine
_TURN_WAIT_S = 30.0  # a capture asked for by hand may be running
_STALE_S = 5.0  # who waited longer for a turn is captured only while the episode lasts
_REASONS_KEPT = 16
_AFTER_ALL_ALERTS = 1.0  # theirs are negative


Adapt = Callable[[CapturePlan, ProcessDetails | None], CapturePlan]
"""The plan for one process; asked just before its capture, on the worker's thread."""


class IncidentWorker:
    """Saves every incident at once on one thread; takes one profile at a time on another, the worst first.

    `change` gives a stored incident another reason; `settled` hears of one that gets nothing more.
    """

    def __init__(
        self,
        service: CaptureService,
        save: Callable[[Incident], Future[object]],
        turn: Callable[[], AbstractContextManager[object]],
        folder: Path,
        plan: CapturePlan,
        *,
        before: BeforeProtocol = NOTHING_BEFORE,
        adapt: Adapt = lambda plan, _process: plan,
        causes: Causes | None = None,
        change: Callable[[str, str], object] = lambda _id, _reason: None,
        settled: Callable[[str], object] = lambda _id: None,
    ) -> None:
        self._service = service
        self._before = before
        self._save = save
        self._turn = turn
        self._folder = folder
        self._plan = plan
        self._adapt = adapt
        self._causes = causes
        # The worst first, whenever it came: evidence takes about a second each, and decoys must not delay it.
        # To explain takes seconds more: it comes after all that must be seen now.
        self._opened: PriorityQueue[tuple[float, int, Opening | Unexplained | None]] = PriorityQueue()
        self._unexplained = 0  # each is kept in memory with its evidence
        self._numbers = count()
        self._turns: Turns[Waiting] = Turns()
        self._change = change
        self._settled = settled
        self._reasons: dict[str, str] = {}
        self._is_stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[str, bool] = {}  # what has not all it will get → whether that is a profile
        self.current: tuple[str, datetime] | None = None
        self._threads = [
            threading.Thread(target=self._record_all, name="incident", daemon=True),
            threading.Thread(target=self._profile_all, name="capture", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether every incident that was opened has all it will get."""
        return not self._open

    @property
    def pending(self) -> tuple[str, ...]:
        """The incidents whose profile is still to come, the one that is being taken among them."""
        with self._lock:
            return tuple(correlation_id for correlation_id, is_profile in self._open.items() if is_profile)

    def open(self, opening: Opening) -> None:
        """Take an incident over. Returns at once; behind others its row comes before its evidence."""
        with self._lock:
            self._open[opening.correlation_id] = opening.wants_profile
        if self._opened.unfinished_tasks:
            self._save(opening.bare_incident())
        self._opened.put((-opening.alert.severity, next(self._numbers), opening))

    def amend(self, correlation_id: str, reason: str) -> None:
        """More is known of why an incident was opened: its row says so, and what is saved of it later."""
        with self._lock:
            self._reasons[correlation_id] = reason
            while len(self._reasons) > _REASONS_KEPT:
                del self._reasons[next(iter(self._reasons))]
        self._change(correlation_id, reason)

    def open_quietly(self, opening: Opening) -> bool:
        """Take a profile that is kept only if it shows something; False: something else is open."""
        incident = Incident(opening.correlation_id, opening.alert, opening.process, boot_id=opening.boot_id)
        with self._lock:
            if self._open or self._is_stopping.is_set():
                return False
            self._open[opening.correlation_id] = False
        self._turns.put(Waiting(opening, incident, time.monotonic()))
        return True

    def use(self, plan: CapturePlan) -> None:
        """Take later captures by another plan (the configuration was reloaded)."""
        self._plan = plan

    def close(self, deadline_s: float) -> None:
        """End the running capture with what it has, save it, and stop; what waits is saved without."""
        deadline = time.monotonic() + deadline_s
        self._is_stopping.set()
        self._service.stop()
        self._before.stop()
        self._opened.put((float("inf"), next(self._numbers), None))  # behind all that wait
        while any(thread.is_alive() for thread in self._threads):
            if time.monotonic() >= deadline:
                get_logger().warning("capture.not_stopped", deadline_s=deadline_s)
                return
            self._service.stop()  # more than once: the capture may have been about to begin
            self._before.stop()
            self._threads[-1].join(0.1)

    # ---------------------------------------------------------------------------- first, what is known

    def _record_all(self) -> None:
        while (opening := self._opened.get()[2]) is not None:
            try:
                if isinstance(opening, Unexplained):
                    self._explain_late(opening)
                else:
                    self._record(opening)
            except Exception:  # noqa: BLE001  around one capture: the next one must have its chance
                of = opening.opening if isinstance(opening, Unexplained) else opening
                get_logger().exception("incident.failed", correlation_id=of.correlation_id)
                self._done(of)
            finally:
                self._opened.task_done()
        self._turns.close()

    def _explain_late(self, unexplained: Unexplained) -> None:
        """Save an incident that is stored again with its cause, if one is found."""
        opening, incident = unexplained.opening, unexplained.incident
        self._unexplained -= 1
        explained = self._explained(incident, opening, unexplained.after)
        if explained is not incident:
            self._save(self._with_reason(explained))
        self._settle(opening)

    def _settle(self, opening: Opening) -> None:
        _remove(self._folder / opening.correlation_id)
        self._done(opening)

    def _line_up(self, waiting: Waiting) -> None:
        """Wait for a turn; where too many do, the mildest is told that it will get none."""
        squeezed_out = self._turns.put(waiting)
        if squeezed_out is not None:
            reason = f"{WAITING_AT_MOST} captures of worse alerts were already waiting"
            self._end(squeezed_out, self._refused(squeezed_out, reason))

    def _record(self, opening: Opening) -> None:
        """Save what is known of it now; its profile or its cause, which takes seconds, comes later.

        First comes what the black box has, before its ring goes on over it.
        """
        if self._causes is not None and (starts := self._causes.starts_of(opening.alert)) is not None:
            from monitord.pipeline.starters import about_starter

            opening = about_starter(opening, starts)
        early = self._what_was_before(opening)
        incident = self._with_first_look(opening)
        if opening.alert.target is None:  # the first look may have found whom to blame
            early = self._what_was_before(replace(opening, alert=incident.alert))
        if early is not None:
            incident = replace(incident, captures=(early, *incident.captures))
        target = incident.alert.target
        after = self._causes.observe(opening.alert.metric, target) if self._causes else None
        is_next = target is not None and opening.wants_profile and self._is_free()
        if target is not None and not is_next:
            incident = replace(
                incident, captures=(*incident.captures, self._context(target, opening, incident))
            )
        if opening.refusal is not None and target is not None:
            incident = replace(
                incident, captures=(*incident.captures, refused("profile", target, opening.refusal))
            )
        self._save(incident)
        if opening.wants_profile and target is not None:
            self._line_up(Waiting(opening, incident, time.monotonic(), after))
        elif self._causes is not None and self._unexplained < WAITING_AT_MOST:
            self._unexplained += 1
            self._opened.put((_AFTER_ALL_ALERTS, next(self._numbers), Unexplained(opening, incident, after)))
        else:
            self._settle(opening)

    def _explained(self, incident: Incident, opening: Opening, after: Observed | None) -> Incident:
        if self._causes is None or opening.ended is not None or self._is_stopping.is_set():
            return incident
        return self._causes.explained(
            incident, (opening.before, after), self._folder / opening.correlation_id
        )

    def _what_was_before(self, opening: Opening) -> Capture | None:
        """What the target ran before the alert; a rule without profiles wants none."""
        target = opening.alert.target
        if target is None or opening.alert.profiler == "none" or self._before is NOTHING_BEFORE:
            return None
        try:
            plan = self._plan_for(opening, opening.bare_incident())
            return self._before.capture(opening.alert, plan, self._folder / opening.correlation_id)
        except Exception as error:  # noqa: BLE001  around one capture: its failure must not cost the incident
            get_logger().exception("before.failed", correlation_id=opening.correlation_id)
            return broken("before", target, error)

    def _is_free(self) -> bool:
        """Whether a capture, which begins with its context, would begin at once."""
        return self.current is None and not len(self._turns)

    def _context(self, target: ProcessKey, opening: Opening, incident: Incident) -> Capture:
        """What can be read without a tool, now: when its turn comes it may be over."""
        folder = self._folder / opening.correlation_id
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._service.context(target, self._plan_for(opening, incident), folder)
        except Exception as error:  # noqa: BLE001  around one capture: its failure must not cost the incident
            return broken("context", target, error)

    def _with_first_look(self, opening: Opening) -> Incident:
        """The incident as it stands before the profile: with the first look, and the culprit it found."""
        incident = opening.bare_incident()
        if opening.first_look is None:
            return incident
        alert = opening.alert
        is_traffic = alert.metric is TriggerMetric.NETWORK
        try:
            seen = opening.first_look.result(_TRAFFIC_WAIT_S if is_traffic else _FIRST_LOOK_WAIT_S)
        except Exception as error:  # noqa: BLE001  around one capture: its failure must not cost the incident
            get_logger().warning("first_look.failed", reason=repr(error))
            if is_traffic:
                incident = replace(incident, alert=_with_clause(alert, _TRAFFIC_UNKNOWN))
            return replace(incident, captures=(broken("dump", alert.target, error),) if alert.target else ())
        incident = replace(incident, alert=_with_clause(alert, seen.said))
        if incident.alert.target is None and seen.target is not None:
            blamed = replace(incident.alert, target=seen.target, process_name=seen.process_name)
            incident = replace(incident, alert=blamed, process=opening.describe(seen.target))
        dumps = of_same_program([seen.dump] if seen.dump else [], (), incident.alert.image)
        return replace(incident, captures=tuple(self._read(dump, opening) for dump in dumps))

    def _read(self, dump: Capture, opening: Opening) -> Capture:
        """The dump with its hotspots; without them when the disk or the machine can't afford reading it."""
        folder = self._folder / opening.correlation_id
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._service.read(dump, folder)
        except OSError as error:
            return replace(dump, notes={**dump.notes, "not_read": str(error)})

    # --------------------------------------------------------------------------------- then, the profile

    def _profile_all(self) -> None:
        while (waiting := self._turns.get()) is not None:
            self.current = (waiting.opening.correlation_id, datetime.now(UTC))
            try:
                self._end(waiting, self._profiled(waiting))
            except Exception:  # noqa: BLE001  around one capture: the next one must have its chance
                get_logger().exception("capture.failed", correlation_id=waiting.opening.correlation_id)
                self._done(waiting.opening)
            finally:
                self.current = None

    def _profiled(self, waiting: Waiting) -> list[Capture]:
        """What its turn gave; nothing is begun of what was over when the turn came."""
        opening, incident = waiting.opening, waiting.incident
        target = incident.alert.target
        assert target is not None  # noqa: S101  nobody else lines up; tells mypy
        waited_s = time.monotonic() - waiting.since_s
        if waited_s > _STALE_S and not opening.is_lasting():
            return self._refused(
                waiting, f"the spike ended while its capture waited {waited_s:.0f} s for others"
            )
        plan = self._plan_for(opening, incident)
        captures = planned(self._capture(target, plan, opening, self._folder / opening.correlation_id), plan)
        captures = labelled(of_same_program(captures, incident.captures, incident.alert.image), incident)
        has_context = any(capture.role == "context" for capture in incident.captures)
        return [capture for capture in captures if not (has_context and capture.role == "context")]

    def _refused(self, waiting: Waiting, reason: str) -> list[Capture]:
        target = waiting.incident.alert.target
        return [refused("profile", target, reason)] if target else []

    def _end(self, waiting: Waiting, captures: list[Capture]) -> None:
        """Save the incident again, with its captures or why there are none."""
        opening, folder = waiting.opening, self._folder / waiting.opening.correlation_id
        complete = replace(waiting.incident, captures=(*waiting.incident.captures, *captures))
        was_profiled = any(is_profile_attempt(capture) for capture in captures)
        if opening.ended is not None and not any(map(shows_something, captures)):
            _remove(folder)
            opening.ended(complete, None)
            was_profiled = False
        else:
            explained = self._explained(complete, opening, waiting.after)
            saved = self._save(self._with_reason(explained))
            saved.add_done_callback(lambda _: _remove(folder))
            if opening.ended is not None:
                opening.ended(complete, saved)
        self._done(opening, was_profiled=was_profiled)

    def _with_reason(self, incident: Incident) -> Incident:
        """With what became known of it since it was opened."""
        with self._lock:
            reason = self._reasons.get(incident.correlation_id)
        return incident if reason is None else replace(incident, alert=replace(incident.alert, reason=reason))

    def _plan_for(self, opening: Opening, incident: Incident) -> CapturePlan:
        """As configured, or as set at run time; an opening's own plan changes in its consent only."""
        alert, plan = opening.alert, opening.own_plan or self._plan
        wanted = replace(plan, profiler=alert.profiler, is_about_memory=alert.metric.is_about_memory)
        adapted = self._adapt(wanted, incident.process)
        if opening.own_plan is None:
            return adapted
        return replace(wanted, consent=adapted.consent, named=adapted.named)

    def _capture(
        self, target: ProcessKey, plan: CapturePlan, opening: Opening, folder: Path
    ) -> list[Capture]:
        """Wait for the turn and capture. Every way out of here is a capture with its reason."""
        deadline = time.monotonic() + _TURN_WAIT_S
        while not self._is_stopping.is_set():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._turn():
                    return self._service.capture(target, plan, folder)
            except BusyError as error:
                if time.monotonic() >= deadline:
                    return [refused("profile", target, str(error))]
                self._is_stopping.wait(0.1)
            except StorageError as error:  # of the lock's file: said in one line, with what to do
                return [refused("profile", target, str(error))]
            except Exception as error:  # noqa: BLE001  around one capture: the next one must have its chance
                get_logger().exception("capture.failed", correlation_id=opening.correlation_id)
                return [broken("profile", target, error)]
        return [refused("profile", target, "the daemon was stopping")]

    def _done(self, opening: Opening, *, was_profiled: bool = False) -> None:
        if opening.wants_profile and not was_profiled:
            opening.give_back()
        with self._lock:
            self._open.pop(opening.correlation_id, None)
        if opening.ended is None:  # else it may not even have been saved
            self._settled(opening.correlation_id)


_TRAFFIC_UNKNOWN = "which process moved it is unknown: reading the sockets took too long"


def _with_clause(alert: Alert, said: str) -> Alert:
    """What was found out after the alert, behind its reason."""
    return replace(alert, reason=f"{alert.reason}; {said}") if said else alert


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
