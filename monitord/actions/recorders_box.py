"""The last 100 s as the running recorder's black box has them: what ran before anybody here began to look.

Nothing is stored for it. A document is used as long as it tells enough.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from io import BytesIO

from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, PermissionDeniedError, UnreachableError
from monitord.profiles.ring_document import Ring, read_ring
from monitord.recorder.requesting import ask_span
from monitord.recorder.requests import LONGEST_S
from monitord.recorder.status import read_status

_WITHIN_S = 12.0  # it may rest from the last answer
_ASKS_AGAIN_AFTER_S = 10.0  # where it gave nothing: a page asks every second
_NS_PER_S = 1_000_000_000


class RecordersBox:
    """For one thread. `why_not`: why the last question had no answer; empty where nobody records, too."""

    def __init__(self, workspace: Workspace) -> None:
        self._data_dir = workspace.data_dir
        self._held: Ring | None = None
        self._failed_s = float("-inf")
        self.why_not = ""

    def whole(self, until_ns: int) -> Ring | None:
        """Return a document that reaches from as far back as there is to `until_ns`."""
        if self._held is not None and self._held.ended_ns >= until_ns:
            return self._held
        asked_ns = now_ns()
        found = self._asked(asked_ns - int(LONGEST_S * _NS_PER_S), asked_ns)
        self._held = found or self._held
        return found

    def span(self, since_ns: int, until_ns: int) -> Ring | None:
        """Return a document in which that span is whole, as far as it is not older than the box."""
        held = self._held
        if held is not None and held.began_ns <= since_ns and until_ns <= held.ended_ns:
            return held
        return self._asked(since_ns, min(until_ns, now_ns()))

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


def now_ns() -> int:
    """By the clock of a black box's document."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_ns(at: datetime) -> int:
    """Return a moment by that clock."""
    return now_ns() - int((datetime.now(UTC) - at).total_seconds() * _NS_PER_S)


def is_late(at: datetime) -> bool:
    """Whether a moment is of the last 100 s, and not of the future."""
    return timedelta(0) <= datetime.now(UTC) - at <= timedelta(seconds=LONGEST_S)
