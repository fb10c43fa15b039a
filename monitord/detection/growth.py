"""What a level gained over a window, and whether it really rose: a leak climbs or steps up, a cache loads
once.

A return to the level before the window does not count as a gain: a saw-tooth, a wave.
The level of each process is kept as a few points a window (its floor in each eighth of it, so that a
garbage collector's saw-tooth counts by its lowest values). A level that does not move costs one point.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise

from monitord.model import ProcessKey
from monitord.trend import STRETCHES, trend_of

MAX_PROCESSES = 4096
_TOLERANCE_SHARE = 0.02
STEP_SHARE = 0.5
"""Of the gain in the window that a gain before it must have reached to be a step like it."""
EARLIER_WINDOWS = 6
"""So many windows long it is remembered how high a level stood before, and its lowest in each."""


@dataclass(slots=True)
class Climb:
    """A gain: from `start` to `start + gain`; `rising_share` of the time its floor went up.

    `new_gain` is what it stands above all that it was before the window.
    """

    start: float
    gain: float
    new_gain: float
    rising_share: float
    covers_window: bool
    per_s: float | None = None  # of a climb so straight that it can be thought further; None: of no such
    is_level: bool = False  # it rose, and has stopped
    is_noise: bool = False  # its lowest values did not rise with it
    step_count: int = 0  # how often it had gained about as much in the windows before, and never fell


_COLUMNS = 3  # of a stretch: its start, its floor, its peak


@dataclass(slots=True)
class _Levels:
    """Of one process. A crowd has thousands that stand still: one array each costs half of what lists do."""

    stretches: array[float]  # one after the other, of each its columns
    last: float
    last_s: float
    earlier: tuple[float, float] = (float("-inf"), float("-inf"))  # the highest before them, and when
    floors: tuple[tuple[float, float], ...] = ()  # of the windows before them, each with its start

    @property
    def points(self) -> list[tuple[float, float]]:
        """Of each stretch its start and its floor."""
        return list(zip(self.stretches[::_COLUMNS], self.stretches[1::_COLUMNS], strict=True))


class LevelHistory:
    """The levels of many processes over one window; bounded, the longest unchanged goes first."""

    def __init__(self, window_s: float, max_processes: int = MAX_PROCESSES) -> None:
        self._window_s = window_s
        self._step_s = window_s / STRETCHES
        self._max_processes = max_processes
        self._levels: dict[ProcessKey, _Levels] = {}  # the longest unchanged first
        self._last_complete_s = float("-inf")

    def __len__(self) -> int:
        return len(self._levels)

    def note(self, key: ProcessKey, now_s: float, value: float) -> float:
        """Take in a level; gives at once the most that it can have gained, whatever the window's start."""
        levels = self._levels.get(key)
        if levels is None:
            levels = self._levels[key] = _Levels(array("d", (now_s, value, value)), value, now_s)
            if len(self._levels) > self._max_processes:
                del self._levels[next(iter(self._levels))]
        else:
            if value != levels.last:
                self._levels[key] = self._levels.pop(key)
            self._append(levels, now_s, value)
        levels.last, levels.last_s = value, now_s
        return value - min(levels.stretches[1::_COLUMNS])

    def _append(self, levels: _Levels, now_s: float, value: float) -> None:
        stretches = levels.stretches
        since_s = self._last_complete_s
        if since_s > levels.last_s and since_s - stretches[-_COLUMNS] >= self._step_s:
            # Complete passes did not report it, so it stood still until the last of them.
            stretches.extend((since_s, levels.last, levels.last))
        if now_s - stretches[-_COLUMNS] >= self._step_s:
            stretches.extend((now_s, value, value))
        stretches[-2] = min(stretches[-2], value)
        stretches[-1] = max(stretches[-1], value)
        horizon_s = now_s - self._window_s
        while len(stretches) > _COLUMNS and stretches[_COLUMNS] <= horizon_s:
            self._leave_behind(levels)

    def _leave_behind(self, levels: _Levels) -> None:
        """A stretch that the window left: only how high and how low it went is remembered, for a while."""
        at_s, floor, peak = levels.stretches[:_COLUMNS]
        del levels.stretches[:_COLUMNS]
        begin_s, lowest = levels.floors[-1] if levels.floors else (float("-inf"), 0.0)
        if at_s - begin_s >= self._window_s:
            levels.floors = (*levels.floors[1 - EARLIER_WINDOWS :], (at_s, floor))
        elif floor < lowest:
            levels.floors = (*levels.floors[:-1], (begin_s, floor))
        if peak >= levels.earlier[0] or at_s - levels.earlier[1] > EARLIER_WINDOWS * self._window_s:
            levels.earlier = (peak, at_s)

    def saw_everything(self, now_s: float) -> None:
        """A complete pass ended: processes not noted stood still up to now."""
        self._last_complete_s = now_s

    def gain(self, key: ProcessKey, now_s: float) -> float | None:
        """Return the gain alone: of most processes, which stand still, that costs a fraction of `climb`."""
        levels = self._levels.get(key)
        if levels is not None and len(levels.stretches) == _COLUMNS:
            return levels.last - levels.stretches[1]
        climb = self.climb(key, now_s)
        return None if climb is None else climb.new_gain

    def climb(self, key: ProcessKey, now_s: float) -> Climb | None:
        """Return the gain over the window that ends now; None for a process never noted."""
        levels = self._levels.get(key)
        if levels is None:
            return None
        horizon_s = now_s - self._window_s
        points = levels.points
        first = max((i for i, point in enumerate(points) if point[0] <= horizon_s), default=0)
        start_s, start = points[first]
        rising_s, floor_s = 0.0, max(start_s, horizon_s)
        for (since_s, floor), (until_s, later) in zip(points[first:], points[first + 1 :], strict=False):
            if later > floor:
                rising_s += until_s - max(since_s, floor_s)
        end_s = points[-1][0]
        if now_s > end_s and levels.last > points[-1][1]:
            rising_s += levels.last_s - end_s
        span_s = max(now_s - floor_s, 1e-9)
        covers = start_s <= horizon_s + _TOLERANCE_SHARE * self._window_s
        rising_share = min(1.0, max(0.0, rising_s) / span_s)
        path = [*points[first:], (now_s, levels.last)]
        trend = trend_of(path, span_s)
        new_gain = levels.last - max(start, levels.earlier[0])
        steps = self._steps_before(levels, horizon_s, start, trend.gain)
        return Climb(
            start, trend.gain, new_gain, rising_share, covers,
            trend.per_s, trend.is_level, trend.is_noise, steps,
        )  # fmt: skip

    def _steps_before(self, levels: _Levels, horizon_s: float, start: float, gain: float) -> int:
        since_s = horizon_s - EARLIER_WINDOWS * self._window_s
        floors = [*(floor for at_s, floor in levels.floors if at_s >= since_s), start]
        rises = [later - floor for floor, later in pairwise(floors)]
        has_fallen = any(rise < -_TOLERANCE_SHARE * gain for rise in rises)
        return 0 if has_fallen else sum(rise >= STEP_SHARE * gain for rise in rises)

    def forget(self, key: ProcessKey) -> None:
        self._levels.pop(key, None)

    def clear(self) -> None:
        """Forget everything: after a gap nothing is compared with what was before it."""
        self._levels.clear()
        self._last_complete_s = float("-inf")
