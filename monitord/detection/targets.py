"""One rule's dealings with one target: armed, firing, cooling down. The whole life of an episode is here.

    quiet ─crossing▶ armed ─window held▶ firing ─below the clear level▶ cooling_down ─cooldown_s▶ quiet
                       └─window lost▶ quiet

An episode is one stretch of firing. It asks for evidence once, and again only when it got clearly worse
(escalation). Times are seconds of the detector's clock; only windows of samples move the state.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from monitord.detection.conditions import Condition
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading
from monitord.detection.windows import PATIENCE_S, Window
from monitord.model import ProcessRates, TriggerMetric

LAST_VALUES = 5
MAX_EXECS = 3
"""After so many programs in one process it is taken for what it is: one that keeps executing others."""


class Step(Enum):
    """What one sample did to a target."""

    NOTHING = auto()
    LOST = auto()
    HELD = auto()
    WORSE = auto()


@dataclass(slots=True)
class Track:
    """What is kept of one target of one rule."""

    process: ProcessRates | None = None
    name: str = ""
    image: tuple[int, int] | None = None
    exec_count: int = 0
    window: Window | None = None
    worse_window: Window | None = None
    is_firing: bool = False
    is_refused: bool = False  # this episode's evidence was refused by a limit
    is_told: bool = False  # … and that was said once
    is_announced: bool = False  # the arming was told
    cool_until_s: float = float("-inf")
    high_water: float | None = None
    values: deque[float] = field(default_factory=lambda: deque(maxlen=LAST_VALUES))
    seen_s: float | None = None
    seen_at: datetime | None = None
    level: float | None = None
    is_restored: bool = False
    awaited_s: float | None = None  # restored and not met since then

    def has_executed(self, process: ProcessRates | None) -> bool:
        """Whether the process is another program than the one that was followed.

        One that goes on executing programs is followed as one in the end: it must not hide so.
        """
        image = None if process is None else process.image
        if image is None or self.image is None or image == self.image or self.exec_count >= MAX_EXECS:
            return False
        self.exec_count += 1
        return True

    def start_anew(self) -> None:
        """Another program begins with no window, no episode and no cooldown."""
        self.window = self.worse_window = self.high_water = None
        self.is_firing = self.is_refused = self.is_told = self.is_announced = False
        self.cool_until_s = float("-inf")
        self.values.clear()

    def note(self, reading: Reading, look: Pass, level: float | None) -> None:
        if reading.process is not None:
            self.process = reading.process
            self.name = reading.process.name
            self.image = reading.process.image or self.image
        self.values.append(reading.value)
        self.seen_s, self.seen_at = look.now_s, look.taken_at
        if level is not None:
            self.level = level

    @property
    def last_value(self) -> float:
        return self.values[-1] if self.values else 0.0

    def is_cooling(self, now_s: float) -> bool:
        return not self.is_firing and now_s < self.cool_until_s

    def is_over(self, now_s: float, cooldown_s: float) -> bool:
        """Nothing more to keep: quiet, or restored and never met again."""
        is_missing = self.awaited_s is not None and self.seen_s is None
        if is_missing and now_s - (self.awaited_s or 0.0) > max(cooldown_s, PATIENCE_S):
            return True
        return not self.is_firing and self.window is None and now_s >= self.cool_until_s

    def state(self, now_s: float) -> str:
        if self.is_firing:
            return "firing"
        if self.is_cooling(now_s):
            return "cooling_down"
        return "armed" if self.window is not None else "quiet"

    def restart_windows(self) -> None:
        for window in (self.window, self.worse_window):
            if window is not None:
                window.restart()


def step(track: Track, reading: Reading, look: Pass, condition: Condition, may_retry: bool) -> Step:
    """Move a target by one sample. `may_retry`: a refused episode would be granted evidence now."""
    level = track.level
    if track.is_firing and condition.is_clear(reading.value, level):
        end_episode(track, look.now_s, condition.rule.cooldown_s)
        return Step.NOTHING
    if _judge_worse(track, reading, look, condition):
        return Step.WORSE
    if track.is_firing and not (track.is_refused and may_retry):
        track.window = None
        return Step.NOTHING
    return _judge_window(track, reading, look, condition)


def end_episode(track: Track, now_s: float, cooldown_s: float) -> None:
    """It is over: the next one begins with a crossing, and within the cooldown repeats this one."""
    track.is_firing = False
    track.window = track.worse_window = None
    track.is_told = False
    if not track.is_refused:
        track.cool_until_s = now_s + cooldown_s
    track.is_refused = False


def _judge_window(track: Track, reading: Reading, look: Pass, condition: Condition) -> Step:
    is_broken = condition.is_broken(reading.value, track.level)
    if track.window is None:
        if not is_broken:
            return Step.NOTHING
        track.window = Window(look.now_s, look.taken_at, look.now_s)
    return _add(track.window, reading, look, condition, is_broken)


def _judge_worse(track: Track, reading: Reading, look: Pass, condition: Condition) -> bool:
    """Whether the value held, for a window of its own, clearly beyond the worst that was granted."""
    # Seconds of hanging grow by themselves: longer is not worse.
    if track.high_water is None or condition.rule.metric is TriggerMetric.HANG:
        return False
    is_worse = condition.is_broken(reading.value, condition.escalated(track.high_water))
    if track.worse_window is None:
        if not is_worse:
            return False
        track.worse_window = Window(look.now_s, look.taken_at, look.now_s)
    outcome = _add(track.worse_window, reading, look, condition, is_worse)
    if outcome is Step.LOST:
        track.worse_window = None
    return outcome is Step.HELD


def _add(window: Window, reading: Reading, look: Pass, condition: Condition, is_broken: bool) -> Step:
    rule = condition.rule
    if window.is_stale(look.now_s, look.interval_s):
        window.restart()
    if window.is_restarting and not is_broken:
        return Step.LOST  # a window starts with a crossing, after a gap too
    window.add(look.now_s, look.taken_at, reading.value, is_broken, reading.waited)
    if reading.is_held is not None:
        if not is_broken:
            return Step.LOST
        return Step.HELD if reading.is_held else Step.NOTHING
    if window.is_held(rule.window_s, rule.min_share, look.interval_s):
        return Step.HELD
    if window.is_lost(rule.window_s, rule.min_share, look.interval_s):
        return Step.LOST
    return Step.NOTHING
