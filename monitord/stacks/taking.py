"""What is given out of the black box: the samples of a family, with its Python stacks, as one document.

Only of processes that may be profiled, by the name and the program that they had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from monitord import procfs
from monitord.model import ProcessKey, counted
from monitord.stacks.asking import AskedLives, Asking
from monitord.stacks.document import NEAR_NS, SAMPLES_CAP, Document, DocumentBuilder, Span
from monitord.stacks.family import Family, LivesOf, Member, family_of, start_ns
from monitord.stacks.life import SAME_START_NS, Life
from monitord.stacks.lives import Lives
from monitord.stacks.reader import who_is
from monitord.stacks.readings import PythonStacks
from monitord.stacks.rings import Rings

_OWN_GENERATIONS = 8


@dataclass(frozen=True, slots=True)
class Taking:
    """One look into the box, of the time from `since_ns` to `until_ns`. For who holds its lock.

    `seen` are the pids that ran since then. `failures`: (when, pid, kind) of Python stacks without success.
    """

    rings: Rings | Asking
    lives: Lives | AskedLives
    stacks: PythonStacks
    since_ns: int
    until_ns: int
    seen: Sequence[int]
    failures: Sequence[tuple[int, int, str]]
    permits: Callable[[str, str | None], bool]
    notes: Sequence[str]

    def of_target(self, target: ProcessKey, crossed_ns: int | None) -> Document | None:
        """The target's and its descendants'."""
        began_ns = start_ns(target, procfs.TICKS_PER_S)
        if procfs.key_of(target.pid) == target:
            self.lives.note(target.pid)
        found = self.lives.descendants(target.pid, self.since_ns, began_ns)
        return self._document(
            family_of(target.pid, began_ns, found, self.seen, self.lives.of),
            max(self.since_ns, began_ns),
            crossed_ns,
        )

    def of_machine(self, own_pid: int, pattern: str = "*") -> Document | None:
        """Those with a name like this, but `own_pid` and what it started."""
        lives_of = cache(self.lives.of)  # a parent is asked for each of its children
        family: dict[int, tuple[Member, ...]] = {}
        for pid in self.seen:
            if not _is_own(pid, own_pid, lives_of):
                members = (Member(life, is_target=True) for life in lives_of(pid))
                family[pid] = tuple(
                    one if fnmatchcase(one.life.name, pattern) else one.left_out() for one in members
                )
        return self._document(family, self.since_ns, None)

    def _document(self, family: Family, since_ns: int, crossed_ns: int | None) -> Document | None:
        notes = list(self.notes)
        allowed = {pid: self._allowed(members) for pid, members in family.items()}
        refused = _asked_in(family) - _asked_in(allowed)
        allowed = {pid: members for pid, members in allowed.items() if any(one.is_asked for one in members)}
        if refused:
            notes.append(f"left out, because they may not be profiled: {counted(refused, 'process')}")
        found = [one for one in self.rings.samples(since_ns, allowed) if one[0] <= self.until_ns]
        if len(found) > SAMPLES_CAP:
            notes.append(
                f"left out, because they are too many: {counted(len(found) - SAMPLES_CAP, 'sample')}"
            )
        readings = self.stacks.since(since_ns - NEAR_NS, self.until_ns + NEAR_NS)
        builder = DocumentBuilder(allowed, (one for one in readings if one[1] in allowed))
        for sample in found[-SAMPLES_CAP:]:
            builder.add(sample)
        rings = self.rings
        losses = self._losses(allowed)
        return builder.build(Span(crossed_ns, rings.rate_hz, rings.scope, losses, self.until_ns), notes)

    def _allowed(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(
            one if not one.is_asked or self.permits(*self._who(one.life)) else one.left_out()
            for one in members
        )

    def _who(self, life: Life) -> tuple[str, str | None]:
        """Its name and its program's file; empty and None: not known, and `permits` decides without.

        After a loss they may be another one's: what was lost may have told of its program.
        """
        if self.lives.is_whole_since(life.from_ns) and (executable := executable_of(life)) is not None:
            return life.name, executable
        if (now := who_lives(life)) is not None:
            return now
        return (life.name if self.lives.is_whole_since(life.from_ns) else ""), None

    def _losses(self, family: Family) -> dict[str, int]:
        """What could not be told of these processes; what the ring lost is everybody's."""
        kinds = [kind for at_ns, pid, kind in self.failures if at_ns >= self.since_ns and pid in family]
        counts = {kind: kinds.count(kind) for kind in ("unreadable", "impossible")}
        return {"lost": self.rings.lost.records, **counts}


def _asked_in(family: Family) -> int:
    return sum(one.is_asked for members in family.values() for one in members)


def _is_own(pid: int, own_pid: int, lives_of: LivesOf) -> bool:
    for _ in range(_OWN_GENERATIONS):
        if pid == own_pid:
            return True
        lives = lives_of(pid)
        if not lives or not lives[-1].parent_pid:
            return False
        pid = lives[-1].parent_pid
    return False


def executable_of(life: Life) -> str | None:
    """The program's own file: what is mapped lowest."""
    files = [one for one in life.mappings if one.inode]
    return min(files).path if files else None


def who_lives(life: Life) -> tuple[str, str | None] | None:
    """Name and file of a process that lives, by /proc; None: it is gone, or another has its pid."""
    living = procfs.key_of(life.pid)
    if living is None or life.ended_ns is not None or life.began_ns is None:
        return None
    is_same = abs(start_ns(living, procfs.TICKS_PER_S) - life.began_ns) <= SAME_START_NS
    return who_is(life.pid) if is_same else None
