"""Whose samples belong to a target: its own, and its descendants', also of those that ended. Pure.

A pid is nobody's name: what counts is the process that had it at that time. Of the target itself only the
program that it runs since its last exec counts; what it ran before is another program's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from monitord.model import ProcessKey
from monitord.stacks.descent import Descendant
from monitord.stacks.life import Life, life_at

_NS_PER_S = 1_000_000_000
# A start is told in ticks, cut off; the side ring tells it a moment later, when the fork is all but done.
_EARLIER_NS, _LATER_NS = 20_000_000, _NS_PER_S
LivesOf = Callable[[int], tuple[Life, ...]]


@dataclass(frozen=True, slots=True)
class Member:
    """One program of one process. Samples of one that is not `is_kept` are discarded.

    That is said, but of one that nobody asked for, or that may not be profiled.
    """

    life: Life
    is_target: bool = False
    is_kept: bool = True
    is_asked: bool = True

    def left_out(self) -> Member:
        return replace(self, is_kept=False, is_asked=False)


Family = Mapping[int, tuple[Member, ...]]
"""Members by pid, oldest first."""


def start_ns(target: ProcessKey, ticks_per_s: int) -> int:
    """When it began, by the clock that goes on in suspend; cut to a tick."""
    return target.start_ticks * _NS_PER_S // ticks_per_s


def member_at(members: Iterable[Member], at_ns: int) -> Member | None:
    """The program that had the pid at that moment."""
    members = tuple(members)
    life = life_at([member.life for member in members], at_ns)
    return next((member for member in members if member.life is life), None)


def family_of(
    pid: int, began_ns: int, descendants: Iterable[Descendant], seen: Collection[int], lives_of: LivesOf
) -> Family:
    """The target that began then and those of its descendants that were seen running, with who is between."""
    found: dict[int, list[Member]] = {pid: _programs(lives_of(pid), began_ns)}
    for one in _needed(descendants, seen):
        lives = [life for life in lives_of(one.pid) if _began(life, one.began_ns)]
        unknown = Life(one.pid, one.parent_pid, "", one.began_ns, None, one.ended_ns, ())
        found.setdefault(one.pid, []).extend(
            Member(life._replace(parent_pid=one.parent_pid)) for life in lives or [unknown]
        )
    return {pid: tuple(members) for pid, members in found.items() if members}


def _programs(lives: Iterable[Life], began_ns: int) -> list[Member]:
    """Those of the target: kept is what ran since its last exec."""
    own = [life for life in lives if _began(life, began_ns)]
    return [Member(life, is_target=True, is_kept=life is own[-1]) for life in own]


def _began(life: Life, began_ns: int) -> bool:
    """Whether this is the process that began then; one that nobody saw begin must not have ended before."""
    if life.began_ns is None:
        return life.ended_ns is None or life.ended_ns >= began_ns
    return began_ns - _EARLIER_NS <= life.began_ns <= began_ns + _LATER_NS


def _needed(descendants: Iterable[Descendant], seen: Collection[int]) -> list[Descendant]:
    """Those that were seen, and their parents up to the target."""
    all_ = sorted(descendants, key=lambda one: one.began_ns)
    latest: dict[int, int] = {}
    parents: list[int | None] = []
    for place, one in enumerate(all_):
        parents.append(latest.get(one.parent_pid))
        latest[one.pid] = place
    needed: set[int] = set()
    for place, one in enumerate(all_):
        at: int | None = place if one.pid in seen else None
        while at is not None and at not in needed:
            needed.add(at)
            at = parents[at]
    return [all_[place] for place in sorted(needed)]
