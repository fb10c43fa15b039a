"""Whether a level that rises goes on: a straight line, a plateau, or a saw-tooth. Pure arithmetic.

Detection judges its windows by it, and causes the minutes before an alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STRETCHES = 8
"""Into so many a path is divided; of each its lowest value counts."""
STRAIGHT_R2 = 0.85
"""From which coefficient of determination on a climb counts as a straight line."""
FLOOR_SHARE = 1 / 3
"""Of a gain that its lowest values must have gained too: noise has none, a leak with teeth has."""
NOISE_R2 = 0.6
"""Below it the path goes up and down more than it goes on."""
LEVEL_SHARE = 0.1
"""Who gained less than this share of its average pace in the last of its stretches has stopped."""
_LEAST_POINTS = 4  # of a line

Path = Sequence[tuple[float, float]]
"""Seconds and values, oldest first."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How a path went. `per_s`: of a climb so straight that it can be thought further; None: of no such.

    `is_level`: it rose, and has stopped. `is_noise`: its lowest values did not rise with it.
    """

    gain: float
    per_s: float | None = None
    is_level: bool = False
    is_noise: bool = False


def trend_of(path: Path, span_s: float) -> Trend:
    """Judge lowest values of stretches, each with its beginning, and the last value; spanning `span_s`."""
    start, last = path[0][1], path[-1][1]
    line = _line(path)
    floor_gain = min(floor for _, floor in path[-3:]) - start
    is_noise = floor_gain < FLOOR_SHARE * (last - start) or (line is not None and line[1] < NOISE_R2)
    pace = line[0] if line is not None and line[1] >= STRAIGHT_R2 else None
    return Trend(last - start, pace, _has_stopped(path, last - start, span_s), is_noise)


def floors(points: Path) -> list[tuple[float, float]]:
    """The lowest value of each eighth of the time, with where it begins, and the last value of all."""
    begin_s, end_s = points[0][0], points[-1][0]
    step_s = max((end_s - begin_s) / STRETCHES, 1e-9)
    found: dict[int, float] = {}
    for at_s, value in points:
        number = min(STRETCHES - 1, int((at_s - begin_s) / step_s))
        found[number] = min(value, found.get(number, value))
    return [*((begin_s + number * step_s, value) for number, value in found.items()), points[-1]]


def _line(path: Path) -> tuple[float, float] | None:
    """Slope and r² of the least-squares line; None: too few points for one."""
    count = len(path)
    mean_s, mean = sum(at for at, _ in path) / count, sum(value for _, value in path) / count
    spread = sum((at - mean_s) ** 2 for at, _ in path)
    total = sum((value - mean) ** 2 for _, value in path)
    both = sum((at - mean_s) * (value - mean) for at, value in path)
    is_one = count >= _LEAST_POINTS and spread and total
    return (both / spread, both * both / (spread * total)) if is_one else None


def _has_stopped(path: Path, gain: float, span_s: float) -> bool:
    """Whether the last stretch gained next to nothing: a cache that is full, or a leak that rests."""
    (until_s, value), stretch_s = path[-1], span_s / STRETCHES
    before = [floor for at, floor in path[:-1] if at <= until_s - stretch_s]
    return bool(before) and value - before[-1] < LEVEL_SHARE * gain / STRETCHES
