"""Whose Python stack is worth reading now, and when the next: what ran most, within an allowance of CPU."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping

Thread = tuple[int, int]
"""pid, tid"""

AT_MOST = 16  # on a crowded machine everybody has an equal part, and a stack is cheap
_LEAST = 1.4  # samples: one may be chance
_LEFT, _FORGOTTEN = 0.8, 0.2  # what is left of a score at the next look, and when nothing is
_KNOWN_CAP = 512
_YOUNGEST_S, _YOUNGEST_IN_NEED_S = 0.4, 2.0  # most that are younger end at once
_ATTACHED_EVERY_S = 2.0
_AT_MOST_IN_NEED = 4
_CPU_SHARE, _CPU_SAVED_S = 0.004, 0.1  # of one core; so much is saved at most, and so much owed
# A look costs five times what it would if it were not the first for so long: seldom is cheap. But a stack is
# the word of a quarter of a second before and after it: twice that would leave what ran in between without.
_PAUSE_NEW_S, PAUSE_S = 0.125, 0.25
_UNEVEN = (0.6, 1.4)


class Heat:
    """Remembers who ran in the last looks.

    A busy thread of a process that ran as a whole counts, too: twenty threads that share one core, or
    Python's lock, have a sample each.
    """

    def __init__(self) -> None:
        self._scores: dict[Thread, float] = {}

    def choose(
        self,
        fresh: Mapping[Thread, int],
        excluded: Collection[int] = (),
        watched: Collection[int] = (),
        at_most: int = AT_MOST,
        without_python: Callable[[int], bool] = lambda _pid: False,
    ) -> dict[Thread, bool]:
        """Those that ran most, the watched first, and whether each is hot: worth being attached to.

        Pids that are `excluded` never are among them. Who is `without_python` takes no place of others, who
        would never be read beside as many burners in C; of those, too, there are `at_most`.
        """
        scores = {one: score * _LEFT for one, score in self._scores.items() if score >= _FORGOTTEN}
        for thread, count in fresh.items():
            scores[thread] = scores.get(thread, 0.0) + count
        if len(scores) > _KNOWN_CAP:
            scores = dict(sorted(scores.items(), key=lambda item: -item[1])[:_KNOWN_CAP])
        self._scores = scores
        of_process: dict[int, float] = {}
        for (pid, _tid), score in scores.items():
            of_process[pid] = of_process.get(pid, 0.0) + score
        ran = sorted(
            (thread for thread in fresh if thread in scores and thread[0] not in excluded),
            key=lambda thread: (thread[0] not in watched, -scores[thread], thread),
        )
        found: dict[Thread, bool] = {}
        places = {True: at_most, False: at_most}
        for thread in ran:
            pid = thread[0]
            has_none = without_python(pid)
            if places[has_none]:
                places[has_none] -= 1
                found[thread] = of_process[pid] >= _LEAST or pid in watched
            elif not places[not has_none]:
                break
        return found


class Allowance:
    """CPU seconds that the thread may use: so many a second, and a little that was saved.

    Once they are spent, stacks of known processes are read on, but fewer; of new ones only what
    has lived for a while is attached to, one in two seconds.
    """

    def __init__(self) -> None:
        self._left_s, self._at_s = _CPU_SAVED_S, time.monotonic()
        self._next_s = 0.0

    def spend(self, used_s: float) -> None:
        now_s = time.monotonic()
        saved_s = self._left_s + _CPU_SHARE * (now_s - self._at_s)
        self._left_s, self._at_s = max(-_CPU_SAVED_S, min(_CPU_SAVED_S, saved_s) - used_s), now_s

    @property
    def is_spent(self) -> bool:
        return self._left_s < 0

    @property
    def at_most(self) -> int:
        """How many stacks are read in a look."""
        return _AT_MOST_IN_NEED if self.is_spent else AT_MOST

    def pause_s(self, *, is_new: bool) -> float:
        """How long until the next look; `is_new`: something is read that was not until a moment ago.

        Never the same: a program with a tick of its own, twenty a second say, would be met at one point of it
        each time, and what it does at the others never.
        """
        pause_s = _PAUSE_NEW_S if is_new and not self.is_spent else PAUSE_S
        return pause_s * random.uniform(*_UNEVEN)  # noqa: S311 - no secret

    def least_age_s(self, is_watched: bool) -> float:
        """How old a process must be to be attached to now."""
        if not self.is_spent or is_watched:
            return _YOUNGEST_S
        return _YOUNGEST_IN_NEED_S if time.monotonic() >= self._next_s else float("inf")

    def attached(self) -> None:
        """One process was attached to."""
        self._next_s = time.monotonic() + _ATTACHED_EVERY_S
