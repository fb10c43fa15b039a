"""What a process started, itself or through others: from the starts and ends of all processes. Pure."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import NamedTuple

from monitord.stacks.life import SAME_START_NS

_MOVES_AT_MOST = 3 << 15  # 16 bytes each: 65 s of 500 processes a second that begin, run a program and end
_NAMES_AT_MOST = 4096
_SPELL_BITS, _SPELLS = 28, 512  # threads are counted by quarters of a second, of two minutes
END = 0xFFFFFFFF
"""An end, where a start has its parent."""
PROGRAM = 1 << 31
"""No pid reaches this: from here on it is the number of the name of a program that was begun."""


class Descendant(NamedTuple):
    """A process that another one started, itself or through others."""

    pid: int
    parent_pid: int
    began_ns: int
    ended_ns: int | None


class Starter(NamedTuple):
    """A process and how many it started, itself or through others that are gone, by program.

    `first_ns` is when it started the first that is known.
    """

    pid: int
    name: str
    programs: Counter[str]
    ended: int
    first_ns: int


class Moves:
    """Starts and ends of processes and their programs, as many as there is room for, oldest first."""

    def __init__(self) -> None:
        self._at, self._pid, self._other = array("Q"), array("I"), array("I")
        self._next = 0
        self._numbers = {"": 0}
        self.names = [""]
        self._threads: deque[list[int]] = deque(maxlen=_SPELLS)

    def run(self, at_ns: int, pid: int, name: str) -> None:
        """A program was begun; the name is forgotten where there are too many others."""
        number = self._numbers.get(name)
        if number is None:
            number = 0
            if len(self.names) < _NAMES_AT_MOST:
                number = self._numbers[name] = len(self.names)
                self.names.append(name)
        self.add(at_ns, pid, PROGRAM | number)

    def thread(self, at_ns: int) -> None:
        """A thread was begun: only how many is kept, so that they push out no starts of processes."""
        spell = at_ns >> _SPELL_BITS
        if not self._threads or self._threads[-1][0] < spell:
            self._threads.append([spell, 0])
        self._threads[-1][1] += 1

    def threads(self, since_ns: int, until_ns: int) -> int:
        """How many threads were begun in that time, to a quarter of a second."""
        first, last = since_ns >> _SPELL_BITS, until_ns >> _SPELL_BITS
        return sum(count for spell, count in self._threads if first <= spell <= last)

    def add(self, at_ns: int, pid: int, other: int) -> None:
        if len(self._at) < _MOVES_AT_MOST:
            self._at.append(at_ns)
            self._pid.append(pid)
            self._other.append(other)
            return
        self._at[self._next], self._pid[self._next], self._other[self._next] = at_ns, pid, other
        self._next = (self._next + 1) % _MOVES_AT_MOST

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for place in chain(range(self._next, len(self._at)), range(self._next)):
            yield self._at[place], self._pid[place], self._other[place]


class Family:
    """One process and what comes of it, told start by start and end by end."""

    def __init__(self, pid: int, at_ns: int | None, among: Collection[int] | None) -> None:
        self._pid, self._at_ns, self._among = pid, at_ns, among
        self._begin()

    def _begin(self) -> None:
        self._alive: dict[int, int | None] = {self._pid: None}  # pid → its place in `found`
        self.found: list[Descendant] = []

    def take(self, at_ns: int, pid: int, other: int) -> bool:
        """A start (`other`: the parent) or an end; False: what follows is of another process of that pid."""
        if other == END:
            place = self._alive.pop(pid, None)
            if place is not None:
                self.found[place] = self.found[place]._replace(ended_ns=at_ns)
            return True
        if other >= PROGRAM:
            return True
        if pid == self._pid:
            if self._at_ns is not None and at_ns > self._at_ns + SAME_START_NS:
                return False
            self._begin()
            return True
        self._alive.pop(pid, None)  # its pid was given to another one
        if other in self._alive:
            is_wanted = self._among is None or pid in self._among
            self._alive[pid] = len(self.found) if is_wanted else None
            if is_wanted:
                self.found.append(Descendant(pid, other, at_ns, None))
        return True


class _Tally:
    """Processes by their place: a pid may be several, one after the other."""

    def __init__(self) -> None:
        self.alive: dict[int, int] = {}
        self.pids, self.parents, self.names = array("I"), array("i"), list[str]()
        self.ended, self.counted = bytearray(), bytearray()

    def place(self, pid: int) -> int:
        return self.alive[pid] if pid in self.alive else self.begin(pid, -1, "", is_counted=False)

    def begin(self, pid: int, parent: int, name: str, *, is_counted: bool) -> int:
        place = self.alive[pid] = len(self.pids)
        self.pids.append(pid)
        self.parents.append(parent)
        self.names.append(name)
        self.ended.append(False)
        self.counted.append(is_counted)
        return place

    def starters(self) -> array[int]:
        """By place, whose it is what that one started: its nearest ancestor's that lives.

        But an ended one from which most of that came is the starter itself: what started it once, such as a
        cron or a shell that lives, did not make the storm. A parent's place is always the lower one.
        """
        itself, through = array("I", bytes(4 * len(self.pids))), array("I", bytes(4 * len(self.pids)))
        for place in range(len(self.pids) - 1, -1, -1):
            if (parent := self.parents[place]) >= 0:
                itself[parent] += self.counted[place]
                through[parent] += self.counted[place] + (through[place] if self.ended[place] else 0)
        found = array("I", range(len(self.pids)))
        for place, parent in enumerate(self.parents):
            if not self.ended[place] or parent < 0:
                continue
            above = found[parent]
            is_most = above == parent and 5 * through[place] >= 3 * through[above] > 0
            if not (is_most and (not self.ended[above] or itself[place] > itself[above])):
                found[place] = above
        return found


def starters(
    moves: Moves, since_ns: int, until_ns: int, name_of: Callable[[int, int], str], from_ns: int = 0
) -> list[Starter]:
    """Who started what in that time, most first; `name_of` names a process that began before a moment.

    What lies before `from_ns` is not looked at: some of it was lost, and a pid may be another one's since.
    """
    tally = _Tally()
    first_ns: dict[int, int] = {}
    for at_ns, pid, other in moves:
        if not from_ns <= at_ns <= until_ns:
            continue
        if other == END:
            if (place := tally.alive.pop(pid, None)) is not None:
                tally.ended[place] = True
        elif other >= PROGRAM:
            tally.names[tally.place(pid)] = moves.names[other - PROGRAM]
        else:
            parent = tally.place(other)
            first_ns.setdefault(parent, at_ns)
            tally.begin(pid, parent, tally.names[parent], is_counted=at_ns >= since_ns)
    by_starter: dict[int, list[int]] = {}
    starter_of = tally.starters()
    for place, is_counted in enumerate(tally.counted):
        if is_counted:
            by_starter.setdefault(starter_of[tally.parents[place]], []).append(place)
    most_first = sorted(by_starter.items(), key=lambda item: -len(item[1]))
    return [_starter(tally, place, started, name_of, first_ns[place]) for place, started in most_first]


def _starter(
    tally: _Tally, place: int, started: list[int], name_of: Callable[[int, int], str], at_ns: int
) -> Starter:
    pid = tally.pids[place]
    name = tally.names[place] or name_of(pid, at_ns)
    programs = Counter(tally.names[one] or name for one in started)
    return Starter(pid, name, programs, sum(tally.ended[one] for one in started), at_ns)
