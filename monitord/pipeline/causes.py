"""From the first crossing to the sentence that names the cause: what is observed when, and who explains it.

Observing takes a child of up to a second. It happens on a thread of its own, one at a time, those of alerts
before those of crossings; what waits and what is kept is bounded, and goes when the window breaks.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord.capture.causes import Look
from monitord.causes import METRICS, OBSERVED_BYTES
from monitord.logs import get_logger
from monitord.model import Alert, Arming, Cause, Incident, ProcessKey, TriggerMetric

if TYPE_CHECKING:
    from monitord.capture.fault_watch import Watch
    from monitord.pipeline.watches import Watches

_WAITING_AT_MOST = 4  # crossings: where more come in one tick, the others are observed at their alert alone
_KEPT_AT_MOST = 32
_REST = 10  # after an observation of a crossing so many times as long: below a tenth of a core
_WAIT_S = 7.0  # what takes longer comes too late
_STALE_S = 5.0  # an alert whose turn comes later is not observed: what it was about may be over by then

Observed = Future[bytes | None]
Both = tuple[bytes | None, bytes | None]
Starters = Callable[[int, int], Mapping[str, Any] | None]
"""Who started what between two times of CLOCK_BOOTTIME, by the black box; None: not all can be seen."""
EndedNs = Callable[[ProcessKey], int | None]
"""When a process ended by that clock, by the black box; None: not known."""


class Causes:
    """Observes what crosses and what alerts, and explains incidents; a failure costs its sentence only."""

    def __init__(
        self,
        observe: Callable[[Look, Path], bytes | None],
        explain: Callable[[Incident, Both, Path], Cause | None],
        folder: Path,
        *,
        observes_armings: bool = True,
        starters: Starters = lambda _since_ns, _until_ns: None,
        ended_ns: EndedNs = lambda _target: None,
        watch: Callable[[Look], Watch | None] = lambda _look: None,
    ) -> None:
        self._observe = observe
        self._explain = explain
        self._folder = folder
        self._observes_armings = observes_armings
        self._starters = starters
        self._ended_ns = ended_ns
        self._told: tuple[tuple[str, datetime], Mapping[str, Any] | None] | None = None
        self._watch = watch
        self._watches: Watches | None = None
        self._armed: OrderedDict[tuple[str, ProcessKey | None], tuple[Look, Observed]] = OrderedDict()
        self._asked: deque[tuple[Look, Observed, float]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._rests_until_s = {False: 0.0, True: 0.0}  # of what compares its looks, and of others

    # ------------------------------------------------------------------------------------------- observing

    def arm(self, arming: Arming) -> None:
        """Observe what has just crossed a threshold, soon; returns at once."""
        member = METRICS.get(arming.metric)
        look = _look(arming.metric, arming.target)
        if look is None or member is None or not member.at_arming or not self._observes_armings:
            return
        with self._changed:
            waiting = sum(not observed.done() for _look, observed in self._armed.values())
            if waiting >= _WAITING_AT_MOST and not member.compares:
                return
            self._armed[arming.rule, arming.target] = (look, Future())
            while len(self._armed) > _KEPT_AT_MOST:
                self._armed.popitem(last=False)[1][1].cancel()
        self._go_on()

    def forget(self, arming: Arming) -> None:
        """Throw away what was observed, because the window broke."""
        with self._changed:
            look, observed = self._armed.pop((arming.rule, arming.target), (None, None))
            self._tidy_watches()
        if look is not None and observed is not None:
            observed.cancel()

    def claim(self, rule: str, target: ProcessKey | None) -> Observed | None:
        """What was observed at the crossing that has become an alert; None: nothing."""
        with self._changed:
            _look, observed = self._armed.pop((rule, target), (None, None))
            if self._watches is not None:
                self._watches.claim(target)
        if observed is None or (not observed.done() and observed.cancel()):
            return None  # its turn never came: what the alert observes says the same
        return observed

    def observe(self, metric: TriggerMetric, target: ProcessKey | None) -> Observed | None:
        """Observe what an alert is about now; None where nothing is to be observed."""
        look = _look(metric, target)
        if look is None:
            return None
        observed: Observed = Future()
        with self._changed:
            self._asked.append((look, observed, time.monotonic()))
        self._go_on()
        return observed

    def close(self) -> None:
        """Observe nothing more; what is under way ends by its own deadline."""
        with self._changed:
            self._is_closed = True
            for observed in (*(one[1] for one in self._asked), *(one[1] for one in self._armed.values())):
                observed.cancel()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_WAIT_S)
        if self._watches is not None:
            self._watches.close()

    def _go_on(self) -> None:
        with self._changed:
            if self._thread is None and not self._is_closed:
                thread = threading.Thread(target=self._observe_all, name="causes", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no further thread can be started: it is what is to be recorded
                    return
                self._thread = thread
            self._changed.notify_all()

    def _observe_all(self) -> None:
        while (due := self._next()) is not None:
            look, observed, is_armed = due
            if not observed.set_running_or_notify_cancel():
                continue
            began_s = time.monotonic()
            try:
                watched = self._watched(look, is_armed=is_armed)
                observed.set_result(self._observe(watched, self._folder))
            except Exception as error:  # noqa: BLE001 - around one capture: it costs what it would have told
                get_logger().warning("cause.not_observed", metric=look.metric, reason=repr(error))
                observed.set_result(None)
            with self._changed:
                self._tidy_watches(*(() if is_armed else (look.target,)))
            if is_armed:
                now_s = time.monotonic()
                self._rests_until_s[_compares(look)] = now_s + _REST * (now_s - began_s)

    def _watched(self, look: Look, *, is_armed: bool) -> Look:
        """Record the page faults of what has crossed; of what alerts, look at those that were recorded."""
        if look.target is None or not _watches(look):
            return look
        if is_armed:
            from monitord.pipeline.watches import Watches  # only when a rule about memory is armed

            with self._changed:
                watches = self._watches = self._watches or Watches()
            watches.begin(look.target, lambda: self._watch(look))
            return look
        return replace(look, watch=self._watches.of(look.target)) if self._watches else look

    def _tidy_watches(self, *settled: ProcessKey | None) -> None:
        """End those that no armed rule and no alert needs; one that is `settled` was observed."""
        if self._watches is not None:
            armed = {look.target for look, _observed in self._armed.values() if _watches(look)}
            self._watches.keep(armed, settled)

    def _next(self) -> tuple[Look, Observed, bool] | None:
        """The next to observe, waited for; None at the end."""
        with self._changed:
            while not self._is_closed:
                while self._asked:
                    look, observed, asked_s = self._asked.popleft()
                    if time.monotonic() - asked_s < _STALE_S:
                        return look, observed, False
                    observed.cancel()
                    self._tidy_watches(look.target)
                waiting = [one for one in self._armed.values() if _waits(one[1])]
                waiting.sort(key=lambda one: not _compares(one[0]))
                now_s = time.monotonic()
                self._tidy_watches()
                rests_s = [self._rests_until_s[_compares(look)] - now_s for look, _observed in waiting]
                due = next((index for index, rest_s in enumerate(rests_s) if rest_s <= 0), None)
                if due is not None:
                    return (*waiting[due], True)
                rests_s += self._watches.rests_s() if self._watches else ()
                self._changed.wait(min(rests_s, default=None))
        return None

    # ------------------------------------------------------------------------------------------ explaining

    def explained(
        self, incident: Incident, observed: tuple[Observed | None, Observed | None], folder: Path
    ) -> Incident:
        """The incident with its cause, by what is known of it now and what was observed before and after."""
        if incident.alert.metric not in METRICS:
            return incident
        before, after = map(result_of, observed)
        try:
            told = self.starts_of(incident.alert) or self._end_of(incident.alert)
            after = _with_records(after, told)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            cause = self._explain(incident, (before, after), folder)
        except Exception:  # noqa: BLE001 - around one capture: a failing explainer costs its sentence only
            get_logger().exception("cause.failed", correlation_id=incident.correlation_id)
            return incident
        return replace(incident, cause=cause or incident.cause)

    def starts_of(self, alert: Alert) -> Mapping[str, Any] | None:
        """Who started what while a storm's window lasted; None of other alerts, and where it is not known.

        Asked once an alert, as early as it can be: the box goes on over its records.
        """
        member = METRICS.get(alert.metric)
        if member is None or not member.reads_starts:
            return None
        of = (alert.rule, alert.raised_at)
        if self._told is None or self._told[0] != of:
            self._told = (of, self._read_starts(alert))
        return self._told[1]

    def _read_starts(self, alert: Alert) -> Mapping[str, Any] | None:
        lasted_ns = int((alert.raised_at - alert.crossed_at).total_seconds() * 1e9)
        until_ns = _raised_ns(alert)
        try:
            return self._starters(until_ns - max(0, lasted_ns), until_ns)
        except (OSError, ValueError) as error:
            get_logger().warning("cause.no_starts", reason=repr(error))
            return None

    def _end_of(self, alert: Alert) -> Mapping[str, Any] | None:
        """How long before its alert a killed process ended; None of other alerts, and where it is unknown."""
        if not METRICS[alert.metric].reads_end or alert.target is None:
            return None
        try:
            ended_ns = self._ended_ns(alert.target)
        except OSError as error:
            get_logger().warning("cause.no_end", reason=repr(error))
            return None
        return None if ended_ns is None else {"ended_before_s": (_raised_ns(alert) - ended_ns) / 1e9}


def _raised_ns(alert: Alert) -> int:
    """When it was raised, by the clock of the black box."""
    ago_ns = int((datetime.now(UTC) - alert.raised_at).total_seconds() * 1e9)
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - max(0, ago_ns)


def _with_records(after: bytes | None, told: Mapping[str, Any] | None) -> bytes | None:
    """What was observed at the alert, with what the black box says beside it."""
    if told is None:
        return after
    try:
        held = json.loads(after or b"{}")
    except (ValueError, RecursionError):
        held = None
    return json.dumps({**(held if isinstance(held, dict) else {}), "box": told}).encode("ascii")


def _look(metric: TriggerMetric, target: ProcessKey | None) -> Look | None:
    member = METRICS.get(metric)
    if member is None or member.observes == "nothing" or (member.observes == "process" and target is None):
        return None
    needs_target = member.observes == "process"
    limits = (member.limit_s, member.capabilities, OBSERVED_BYTES, member.asks_sockets)
    return Look(metric.value, target, needs_target, *limits)


def _compares(look: Look) -> bool:
    return METRICS[TriggerMetric(look.metric)].compares


def _watches(look: Look) -> bool:
    return METRICS[TriggerMetric(look.metric)].watches_faults


def _waits(observed: Observed) -> bool:
    return not (observed.done() or observed.running())


def result_of(observed: Observed | None) -> bytes | None:
    """What was observed, waited for; None when nothing was."""
    try:
        return observed.result(_WAIT_S) if observed is not None else None
    except (TimeoutError, CancelledError):
        return None
