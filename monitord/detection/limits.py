"""How often a rule may ask for evidence: so many times an hour, whatever happens."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from monitord.detection.reasons import wait
from monitord.model import ProcessKey, counted

HOUR_S = 3600.0


class HourBudget:
    """Counts what was granted in the last hour of the detector's clock."""

    __slots__ = ("_granted", "limit")

    def __init__(self, limit: int, granted_s: Iterable[float] = ()) -> None:
        self.limit = limit
        self._granted: deque[float] = deque(sorted(granted_s)[-max(limit, 1) :])

    def remaining(self, now_s: float) -> int:
        while self._granted and now_s - self._granted[0] >= HOUR_S:
            self._granted.popleft()
        return max(0, self.limit - len(self._granted))

    def grant(self, now_s: float) -> None:
        self._granted.append(now_s)

    def give_back(self) -> None:
        """Take back what was granted last, because it came to nothing."""
        if self._granted:
            self._granted.pop()

    def refusal(self, now_s: float) -> str | None:
        """Why nothing more may be taken now, in words; None when it may."""
        if self.remaining(now_s):
            return None
        if not self.limit:
            return "captures_per_hour of this rule is 0"
        wait_s = HOUR_S - (now_s - self._granted[0])
        most = counted(self.limit, "capture")
        return f"this rule's limit of {most} an hour is reached; the next in {wait(wait_s)}"

    def ages(self, now_s: float) -> list[float]:
        self.remaining(now_s)
        return [round(now_s - granted, 3) for granted in self._granted]


FUTILE_COUNT = 5
FUTILE_PAUSE_S = 60.0
FUTILE_MEMORY_S = 600.0
_MAX_ENTRIES = 512


@dataclass(frozen=True, slots=True)
class _Futile:
    """Looks that came to nothing. `start_ticks` is when the newest of the processes looked at began."""

    count: int = 0
    last_s: float = float("-inf")
    start_ticks: int = 0


class LookPace:
    """How often first looks are worth it: after five that came to nothing, one a minute.

    Without it a build whose compilers each burn for two seconds was looked at 2,053 times an hour, each time
    in vain. A process that crosses again and again counts once for its name, because that name may be an
    interpreter's; and a name says nothing of processes older than the last that was looked at in vain: they
    are not of the same swarm. Forgotten after ten minutes, and at once when a crossing holds.
    """

    __slots__ = ("_futile",)

    def __init__(self) -> None:
        self._futile: dict[str | ProcessKey, _Futile] = {}

    def grant(self, name: str, process: ProcessKey | None, now_s: float) -> bool:
        """Whether this process is to be looked at now; if so, that counts as the last look."""
        concerned = list(self._concerned(name, process))
        for _, futile in concerned:
            if futile.count >= FUTILE_COUNT and now_s - futile.last_s < FUTILE_PAUSE_S:
                return False
        for entry, futile in concerned:
            self._futile[entry] = replace(futile, last_s=now_s)
        return True

    def _concerned(self, name: str, process: ProcessKey | None) -> Iterator[tuple[str | ProcessKey, _Futile]]:
        if process is not None and (of_process := self._futile.get(process)) is not None:
            yield process, of_process
        of_name = self._futile.get(name)
        if of_name is not None and (process is None or process.start_ticks >= of_name.start_ticks):
            yield name, of_name

    def lost(self, name: str, process: ProcessKey | None, now_s: float) -> None:
        """A look at this process was thrown away."""
        start_ticks = 0 if process is None else process.start_ticks
        is_again = process is not None and process in self._futile
        if process is not None:
            self._count(process, start_ticks, now_s)
        if not is_again:
            self._count(name, start_ticks, now_s)

    def _count(self, entry: str | ProcessKey, start_ticks: int, now_s: float) -> None:
        known = self._futile.pop(entry, _Futile())
        if now_s - known.last_s > FUTILE_MEMORY_S:
            known = _Futile()
        if len(self._futile) >= _MAX_ENTRIES:
            del self._futile[next(iter(self._futile))]  # the longest without one
        self._futile[entry] = _Futile(known.count + 1, now_s, max(known.start_ticks, start_ticks))

    def held(self, name: str, process: ProcessKey | None) -> None:
        self._futile.pop(name, None)
        if process is not None:
            self._futile.pop(process, None)
