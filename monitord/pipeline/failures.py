"""What fails in the loop costs that step alone: it is counted, told now and then, and tried again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from monitord.errors import MonitordError
from monitord.logs import get_logger

_T = TypeVar("_T")
_TOLD_EVERY_S = 600.0


class Failures:
    """Runs the steps of the loop; nothing that they raise leaves it.

    Told are the 1st, 2nd, 4th, 8th … failure of a step and whatever comes ten minutes later, and that the
    step works again after a failure that was told. `clock` gives seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: dict[str, tuple[int, str]] = {}
        self._told_s: dict[str, float] = {}
        self._is_told: set[str] = set()
        self.counts: dict[str, int] = {}

    def run(self, step: str, call: Callable[[], _T]) -> _T | None:
        """What the call gives; None when it failed."""
        try:
            result = call()
        except Exception as error:  # noqa: BLE001  around one step of one pass: the next must have its chance
            with contextlib.suppress(Exception):  # no memory to say it with
                self._note(step, error)
            return None
        if step in self._failing:
            with contextlib.suppress(Exception):
                self._recover(step)
        return result

    def complaints(self) -> list[str]:
        """What is to be said in `status`: the steps that failed at their last try."""
        return [
            f"{step} failed{f' {count} times in a row' if count > 1 else ''}: {reason}"
            for step, (count, reason) in list(self._failing.items())
        ]

    def _note(self, step: str, error: Exception) -> None:
        total = self.counts[step] = self.counts.get(step, 0) + 1
        reason = f"{type(error).__name__}: {error}"
        self._failing[step] = (self._failing.get(step, (0, ""))[0] + 1, reason)
        now_s = self._clock()
        if total & (total - 1) == 0 or now_s - self._told_s.get(step, now_s) >= _TOLD_EVERY_S:
            self._told_s[step] = now_s
            self._is_told.add(step)
            is_first_bug = total == 1 and not _is_of_the_machine(error)
            get_logger().error("step.failed", step=step, count=total, reason=reason, exc_info=is_first_bug)

    def _recover(self, step: str) -> None:
        count, _ = self._failing.pop(step)
        if step in self._is_told:
            self._is_told.discard(step)
            get_logger().info("step.recovered", step=step, failed_in_a_row=count)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether it is something that a machine can't give, and no bug: threads are refused as RuntimeError."""
    return isinstance(error, OSError | MemoryError | MonitordError) or "new thread" in str(error)
