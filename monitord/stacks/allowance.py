"""The CPU that the black box's thread may use: so much a second, and a little that was saved."""

from __future__ import annotations

import time

_YOUNGEST_S, _YOUNGEST_IN_NEED_S = 0.4, 2.0  # most that are younger end at once
_ATTACHED_EVERY_S = 1.0
_CPU_SHARE, _CPU_SAVED_S = 0.004, 0.25  # of one core; what was not used is saved, up to that


class Allowance:
    """CPU seconds that the thread may use: so many a second, and a little that was saved.

    Once they are spent, stacks of known processes are read on, which costs little; of new ones only what has
    lived for a while is attached to, one a second.
    """

    def __init__(self) -> None:
        self._left_s, self._at_s = _CPU_SAVED_S, time.monotonic()
        self._next_s = 0.0

    def spend(self, used_s: float) -> None:
        now_s = time.monotonic()
        saved_s = self._left_s + _CPU_SHARE * (now_s - self._at_s)
        self._left_s, self._at_s = min(_CPU_SAVED_S, saved_s) - used_s, now_s

    @property
    def is_spent(self) -> bool:
        return self._left_s < 0

    def least_age_s(self, is_watched: bool) -> float:
        """How old a process must be to be attached to now."""
        if not self.is_spent or is_watched:
            return _YOUNGEST_S
        return _YOUNGEST_IN_NEED_S if time.monotonic() >= self._next_s else float("inf")

    def attached(self) -> None:
        """One process was attached to."""
        self._next_s = time.monotonic() + _ATTACHED_EVERY_S
