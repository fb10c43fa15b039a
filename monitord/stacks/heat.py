"""Whose Python stack is worth reading now: the threads that the ring saw running most. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

Thread = tuple[int, int]
"""pid, tid"""

AT_MOST = 16  # on a crowded machine everybody has an equal part, and a stack is cheap
_LEAST = 1.4  # samples: one may be chance, one in each of two looks is none
_YOUNG_NS = 2_000_000_000
_KNOWN_CAP = 512


class Heat:
    """Remembers since when each thread has been hot, so that what has just begun is looked at twice as often.

    A busy thread of a process that ran as a whole counts, too: twenty threads that share one core, or
    Python's lock, have a sample each.
    """

    def __init__(self) -> None:
        self._scores: dict[Thread, float] = {}
        self._since_ns: dict[Thread, int] = {}

    def has_young(self, now_ns: int) -> bool:
        """Whether something has been hot for less than two seconds."""
        return any(now_ns - since_ns < _YOUNG_NS for since_ns in self._since_ns.values())

    def choose(
        self,
        fresh: Mapping[Thread, int],
        now_ns: int,
        excluded: Collection[int] = (),
        watched: Collection[int] = (),
        at_most: int = AT_MOST,
    ) -> list[Thread]:
        """The hottest few; those of `excluded` pids never, and those of `watched` ones first."""
        scores = {thread: score / 2 for thread, score in self._scores.items() if score >= 1}
        for thread, count in fresh.items():
            scores[thread] = scores.get(thread, 0.0) + count
        if len(scores) > _KNOWN_CAP:
            scores = dict(sorted(scores.items(), key=lambda item: -item[1])[:_KNOWN_CAP])
        self._scores = scores
        of_process: dict[int, float] = {}
        for (pid, _tid), score in scores.items():
            of_process[pid] = of_process.get(pid, 0.0) + score
        found = sorted(
            (
                thread
                for thread in fresh
                if thread in scores
                and thread[0] not in excluded
                and (of_process[thread[0]] >= _LEAST or thread[0] in watched)
            ),
            key=lambda thread: (thread[0] not in watched, -scores[thread], thread),
        )[:at_most]
        self._since_ns = {
            thread: self._since_ns.get(thread, now_ns) for thread in {*found, *self._still_warm()}
        }
        return found

    def _still_warm(self) -> list[Thread]:
        return [thread for thread in self._since_ns if self._scores.get(thread, 0.0) >= _LEAST / 2]
