"""The last 100 s as the running recorder's black box has them: what ran before anybody here began to look.

Nothing is stored for it. A document is used as long as it tells enough.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO

from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, PermissionDeniedError, UnreachableError
from monitord.profiles.consumers import Consumer
from monitord.profiles.ring_document import Ring, read_ring
from monitord.profiles.ring_slice import Slice, cut, ran
from monitord.recorder.requesting import ask_span
from monitord.recorder.requests import LONGEST_S
from monitord.recorder.status import read_status

_WITHIN_S = 12.0  # it may rest from the last answer
_ASKS_AGAIN_AFTER_S = 10.0  # where it gave nothing: a page asks every second
_SAME_SPAN_NS = 50_000_000  # that is asked again by another clock
_LATELY_S = 10.0
TOLD_FOR_S = 30.0  # what nobody refreshes is no longer told
_SAME_MOMENT = timedelta(seconds=2)  # of a quiet machine the first sample comes a little later
_SHORTEST_PART = timedelta(seconds=1)  # of a longer span less is nothing to tell
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What ran in a span from `since` on, which is later than its beginning where the box began later."""

    since: datetime
    part: Slice


class RecordersBox:
    """For any thread: one asks at a time, for twelve seconds at most, and others wait for it.

    `why_not`: why the last question had no answer; empty where nobody records, too.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._data_dir = workspace.data_dir
        self._lock = threading.Lock()
        self._held: Ring | None = None
        self._part: tuple[int, int, Ring] | None = None  # a span that was asked for, and what there was
        self._failed_s = float("-inf")
        self.why_not = ""

    @property
    def held(self) -> Ring | None:
        """The last document of all that there was; nobody is asked."""
        return self._held

    def whole(self, until_ns: int) -> Ring | None:
        """Return a document that reaches from as far back as there is to `until_ns`."""
        with self._lock:
            if self._held is not None and self._held.ended_ns >= until_ns:
                return self._held
            asked_ns = now_ns()
            found = self._asked(asked_ns - int(LONGEST_S * _NS_PER_S), asked_ns)
            self._held = found or self._held
            return found

    def span(self, since_ns: int, until_ns: int) -> Ring | None:
        """Return a document in which that span is whole, as far as it is not older than the box."""
        with self._lock:
            return self._span(since_ns, until_ns)

    def _span(self, since_ns: int, until_ns: int) -> Ring | None:
        held = self._held
        if held is not None and held.began_ns <= since_ns and until_ns <= held.ended_ns:
            return held
        until_ns = min(until_ns, now_ns())
        if self._part is not None and _is_within(since_ns, until_ns, self._part):
            return self._part[2]
        found = self._asked(since_ns, until_ns)
        self._part = (since_ns, until_ns, found) if found is not None else None
        return found

    def ran(self, since: datetime, until: datetime) -> tuple[Recorded | None, str]:
        """Return what ran in the part of a span that is of the last 100 s, and why that is not known.

        Both say nothing of an earlier time, and where nobody records.
        """
        now = datetime.now(UTC)
        kept_since = max(since, now - timedelta(seconds=LONGEST_S))
        if until <= since or min(until, now) - kept_since < min(until - since, _SHORTEST_PART):
            return None, ""
        since_ns, until_ns = boot_ns(kept_since), boot_ns(until)
        ring = self.span(since_ns, until_ns)
        if ring is None:
            return None, self.why_not
        part = cut(ring, ring.seconds_at(since_ns), ring.seconds_at(until_ns))
        began_at = now - timedelta(seconds=(boot_ns(now) - max(since_ns, ring.began_ns)) / _NS_PER_S)
        return Recorded(since if began_at - since < _SAME_MOMENT else began_at, part), ""

    def _asked(self, since_ns: int, until_ns: int) -> Ring | None:
        if until_ns <= since_ns or time.monotonic() - self._failed_s < _ASKS_AGAIN_AFTER_S:
            return None
        self.why_not = ""
        try:
            status = read_status(self._data_dir)
            if status is not None and status["is_running"]:
                return read_ring(BytesIO(ask_span(self._data_dir, since_ns, until_ns, _WITHIN_S)))
        except MonitordError as error:
            self.why_not = f"the recorder's black box was asked: {error}"
            if not isinstance(error, UnreachableError | PermissionDeniedError):
                return None  # it answered: another span may be known
        self._failed_s = time.monotonic()
        return None


def _is_within(since_ns: int, until_ns: int, part: tuple[int, int, Ring]) -> bool:
    return part[0] <= since_ns + _SAME_SPAN_NS and until_ns <= part[1] + _SAME_SPAN_NS


class Aside:
    """Does one thing on a thread of its own, never twice at once: nobody waits for it, or only a moment."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, waits_s: float = 0.0) -> bool:
        """Begin, where it is not under way; wait so long for its end. Whether it came to it."""
        with self._lock:
            thread = self._thread
            if thread is None or not thread.is_alive():
                thread = threading.Thread(target=self._call, name="recorder's box", daemon=True)
                self._thread = thread
                thread.start()
        thread.join(waits_s)
        return not thread.is_alive()


class LastSeconds:
    """Who ran in the last ten seconds, ten seconds old at most; asked aside: nobody waits."""

    def __init__(self, box: RecordersBox) -> None:
        self._box = box
        self._seen: tuple[int, Mapping[int, Consumer]] | None = None
        self._aside = Aside(self._ask)

    def seen(self, waits_s: float = 0.0) -> tuple[int, Mapping[int, Consumer]] | None:
        """Return when they ended, by CLOCK_BOOTTIME, and who ran, by pid; None where that is not known.

        What is old is asked for anew, its answer waited for so long, and half a minute later no longer told.
        """
        if self._age_s() > _LATELY_S:
            self._aside.start(waits_s)
        return self._seen if self._age_s() < TOLD_FOR_S else None

    def _age_s(self) -> float:
        return (now_ns() - self._seen[0]) / _NS_PER_S if self._seen is not None else float("inf")

    def _ask(self) -> None:
        until_ns = now_ns()
        ring = self._box.span(until_ns - int(_LATELY_S * _NS_PER_S), until_ns)
        if ring is not None:
            consumers = ran(ring, 0, ring.seconds_at(ring.ended_ns))
            self._seen = ring.ended_ns, {one.pid: one for one in consumers}


def now_ns() -> int:
    """By the clock of a black box's document."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_ns(at: datetime) -> int:
    """Return a moment by that clock."""
    return now_ns() - int((datetime.now(UTC) - at).total_seconds() * _NS_PER_S)


def is_late(at: datetime) -> bool:
    """Whether a moment is of the last 100 s, and not of the future."""
    return timedelta(0) <= datetime.now(UTC) - at <= timedelta(seconds=LONGEST_S)
