"""Samples are of the right process: its own life and its descendants', never of who had the pid before or after."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from monitord.stacks.descent import Descendant
from monitord.stacks.family import Family, family_of, member_at
from monitord.stacks.life import Life

S = 1_000_000_000


def life(
    pid: int, parent: int, began_s: float | None, ended_s: float | None = None, exec_s: float | None = None
) -> Life:
    def ns(seconds: float | None) -> int | None:
        return None if seconds is None else int(seconds * S)

    return Life(pid, parent, f"p{pid}", ns(began_s), ns(exec_s), ns(ended_s), ())


def asked(*lives: Life) -> Callable[[int], tuple[Life, ...]]:
    return lambda pid: tuple(one for one in lives if one.pid == pid)


def family(*lives: Life, descendants: tuple[Descendant, ...] = (), seen: tuple[int, ...] = ()) -> Family:
    return family_of(100, 50 * S, descendants, seen, asked(*lives))


def told(found: Family) -> list[tuple[int, float, bool, bool]]:
    return [
        (pid, one.life.from_ns / S, one.is_target, one.is_kept)
        for pid, members in found.items()
        for one in members
    ]


def test_the_target_and_what_it_started_are_members_with_who_is_between() -> None:
    """Who did not run itself is there too, if a child of it did; who was not seen at all is not."""
    started = (
        Descendant(200, 100, 60 * S, 61 * S),
        Descendant(300, 200, int(60.5 * S), None),
        Descendant(400, 100, 62 * S, None),
    )
    found = family(
        life(100, 1, 50.002), life(200, 100, 60, 61), life(300, 200, 60.5), life(400, 100, 62),
        descendants=started, seen=(300,),
    )  # fmt: skip
    assert told(found) == [(100, 50.002, True, True), (200, 60, False, True), (300, 60.5, False, True)]


@pytest.mark.parametrize("began_s", [10, 49, 51.5, 70])
def test_who_had_the_targets_pid_before_or_after_is_no_member(began_s: float) -> None:
    other = life(100, 1, began_s, began_s + 5)
    assert told(family(*sorted([life(100, 1, 50.002, 51), other]))) == [(100, 50.002, True, True)]


def test_of_a_descendants_pid_only_the_process_that_was_started_counts() -> None:
    """Pids come again: the one that began then, whoever had its pid before."""
    found = family(
        life(100, 1, 50), life(200, 9, 20, 30), life(200, 100, 60.001),
        descendants=(Descendant(200, 100, 60 * S, None),), seen=(200,),
    )  # fmt: skip
    assert told(found) == [(100, 50, True, True), (200, 60.001, False, True)]


def test_a_descendant_of_which_nothing_is_known_is_a_member_without_a_name() -> None:
    found = family(life(100, 1, 50), descendants=(Descendant(200, 100, 60 * S, 61 * S),), seen=(200,))
    (member,) = found[200]
    assert (member.life.name, member.life.parent_pid, member.life.mappings) == ("", 100, ())


def test_a_target_that_nobody_saw_begin_is_the_one_that_was_there() -> None:
    """It ran before the recorder did; one that had ended before the target began is another."""
    assert told(family(life(100, 1, None))) == [(100, 0, True, True)]
    assert told(family(life(100, 1, None, 40))) == []


def test_of_the_target_only_the_program_since_its_last_exec_is_kept() -> None:
    """What it ran before is another program's, and is not given out as the one that was caught."""
    found = family(life(100, 1, 50, 60), life(100, 1, 50, 70, exec_s=60), life(100, 1, 50, None, exec_s=70))
    assert [one.is_kept for one in found[100]] == [False, False, True]
    assert [
        (member.is_kept if (member := member_at(found[100], at * S)) else None) for at in (40, 55, 65, 75)
    ] == [None, False, False, True]


def test_of_a_child_every_program_is_kept_under_its_own_name() -> None:
    """A shell that becomes a compiler: two programs, and each is told as what it is."""
    found = family(
        life(100, 1, 50), life(200, 100, 60, 61), life(200, 100, 60, None, exec_s=61),
        descendants=(Descendant(200, 100, 60 * S, None),), seen=(200,),
    )  # fmt: skip
    assert [one.is_kept for one in found[200]] == [True, True]


def test_parents_that_lead_round_in_a_circle_end() -> None:
    """Records can be lost, and then pids lead anywhere."""
    started = (Descendant(7, 8, 60 * S, None), Descendant(8, 7, 61 * S, None), Descendant(9, 9, 62 * S, None))
    found = family(life(100, 1, 50), descendants=started, seen=(7, 8, 9))
    assert set(found) == {100, 7, 8, 9}
