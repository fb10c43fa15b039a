"""In place of rings, where the kernel grants none: /proc is asked which threads of the busiest processes run.

Weaker, and said to be: four times a second, of a few processes, and only their Python stacks.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext

from monitord import procfs
from monitord.perf_events.records import Sample
from monitord.stacks.descent import Descendant
from monitord.stacks.life import Life
from monitord.stacks.rings import Lost

ASKED_HZ = 4
SCOPE = "dumps"
_FOLLOWED_AT_MOST, _THREADS_AT_MOST = 4, 24
_SAMPLES_CAP = 4096
_LIVES_CAP = 256
_NS_PER_TICK = 1_000_000_000 // procfs.TICKS_PER_S
_IN_A_LOOK = 2  # one that is seen running may have run all the time


class Asking:
    """Has the questions of `Rings`. `follow` names whom to ask about."""

    scope = SCOPE
    rate_hz = ASKED_HZ
    is_filling = False
    lost = Lost()

    def __init__(self) -> None:
        self._followed: OrderedDict[int, int] = OrderedDict()  # pid → where its threads go on
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES_CAP)

    def follow(self, pid: int) -> bool:
        """Ask about this process; the least lately named goes."""
        self._followed[pid] = self._followed.pop(pid, 0)
        while len(self._followed) > _FOLLOWED_AT_MOST:
            self._followed.popitem(last=False)
        return True

    def fresh(self) -> dict[tuple[int, int], int]:
        """Threads that run at this moment."""
        at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        found: dict[tuple[int, int], int] = {}
        for pid in tuple(self._followed):
            for thread_id in self._some_threads(pid):
                stat = procfs.stat_of(pid, thread_id)
                if stat is not None and stat.state == "R":
                    found[pid, thread_id] = _IN_A_LOOK
                    self._samples.append((at_ns, pid, thread_id, ()))
        return found

    def _some_threads(self, pid: int) -> list[int]:
        """All, or in turns so many of them."""
        try:
            threads = procfs.threads(pid)
        except OSError:
            del self._followed[pid]
            return []
        first = self._followed[pid] % len(threads) if threads else 0
        self._followed[pid] = first + _THREADS_AT_MOST
        return (threads[first:] + threads[:first])[:_THREADS_AT_MOST]

    def samples(self, since_ns: int = 0, pids: Iterable[int] | None = None) -> list[Sample]:
        """What was seen, oldest first."""
        wanted = None if pids is None else frozenset(pids)
        return [one for one in self._samples if one[0] >= since_ns and (wanted is None or one[1] in wanted)]

    def close(self) -> None:
        self._samples.clear()


class AskedLives:
    """Has the questions of `Lives`, as far as /proc answers them while a process lives."""

    def __init__(self) -> None:
        self._lives: OrderedDict[int, list[Life]] = OrderedDict()
        self._images: dict[int, tuple[int, int]] = {}

    def keep_up(self, sampled: Iterable[int] = ()) -> list[int]:
        """Look at those that were seen running."""
        for pid in sampled:
            self.note(pid)
        return []

    def note(self, pid: int, lock: AbstractContextManager[object] | None = None) -> bool:
        """Remember who it is now; another image is another program since then."""
        stat = procfs.stat_of(pid)
        if stat is None:
            return False
        with lock or nullcontext():
            self._remember(pid, stat)
        return True

    def _remember(self, pid: int, stat: procfs.Stat) -> None:
        began_ns = stat.start_ticks * _NS_PER_TICK
        lives = [one for one in self._lives.pop(pid, []) if one.began_ns == began_ns]
        if not lives or self._images.get(pid) != stat.image:
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) if lives else None
            lives = [one._replace(ended_ns=one.ended_ns or now_ns) for one in lives]
            lives.append(Life(pid, stat.parent_pid, stat.name, began_ns, now_ns, None, ()))
        self._lives[pid], self._images[pid] = lives[-2:], stat.image
        while len(self._lives) > _LIVES_CAP:
            self._images.pop(self._lives.popitem(last=False)[0], None)

    @staticmethod
    def is_whole_since(_since_ns: int) -> bool:
        """Nothing is told, so nothing is lost."""
        return True

    def of(self, pid: int) -> tuple[Life, ...]:
        """The programs that it was seen running, oldest first."""
        return tuple(self._lives.get(pid, ()))

    def descendants(
        self, pid: int, since_ns: int, at_ns: int | None = None, among: Collection[int] | None = None
    ) -> tuple[Descendant, ...]:
        """Those of which it was seen that this process, or one of them, started them."""
        del since_ns, at_ns, among
        parents, found = {pid}, dict[int, Descendant]()
        for _ in range(_LIVES_CAP):
            children = [
                lives[0]
                for one, lives in self._lives.items()
                if one not in found and one != pid and lives[0].parent_pid in parents
            ]
            if not children:
                break
            for child in children:
                found[child.pid] = Descendant(child.pid, child.parent_pid or 0, child.began_ns or 0, None)
            parents = {child.pid for child in children}
        return tuple(found.values())
