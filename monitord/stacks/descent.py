"""What a process started, itself or through others: from the starts and ends of all processes. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from itertools import chain
from typing import NamedTuple

from monitord.stacks.life import SAME_START_NS

_MOVES_AT_MOST = 1 << 16  # 16 bytes each: 65 s of 500 processes a second that begin and end
END = 0xFFFFFFFF
"""An end, where a start has its parent."""


class Descendant(NamedTuple):
    """A process that another one started, itself or through others."""

    pid: int
    parent_pid: int
    began_ns: int
    ended_ns: int | None


class Moves:
    """Starts and ends of processes, as many as there is room for, oldest first."""

    def __init__(self) -> None:
        self._at, self._pid, self._other = array("Q"), array("I"), array("I")
        self._next = 0

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
