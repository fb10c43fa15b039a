"""Whose Python stack is read: the few threads that run most, and none that hardly does."""

from __future__ import annotations

from monitord.stacks.heat import Heat

S = 1_000_000_000


def test_the_hottest_few_are_chosen_and_one_sample_is_chance() -> None:
    fresh = {(n, n): n for n in range(1, 30)}
    assert Heat().choose(fresh, 0, ()) == [(n, n) for n in range(29, 13, -1)]
    assert Heat().choose({(1, 1): 1}, 0, ()) == []


def test_who_is_excluded_is_never_chosen() -> None:
    assert Heat().choose({(1, 1): 5, (2, 2): 5}, 0, (1,)) == [(2, 2)]


def test_who_is_watched_comes_first() -> None:
    """It crossed a threshold: others may be hotter, but it is the one that will be asked for."""
    fresh = {(n, n): 5 for n in range(1, 9)} | {(9, 9): 1}
    assert Heat().choose(fresh, 0, (), (9,))[0] == (9, 9)


def test_threads_that_share_a_core_are_hot_together() -> None:
    """Twenty threads with a sample each are a process that ran all the time."""
    assert len(Heat().choose({(5, 100 + n): 1 for n in range(5)}, 0, ())) == 5


def test_what_runs_a_little_all_the_time_becomes_hot() -> None:
    """A quarter of a core, sample after sample."""
    heat = Heat()
    looks = [heat.choose({(1, 1): 1}, n * S // 4, ()) for n in range(8)]
    assert looks[0] == []
    assert looks[-1] == [(1, 1)]


def test_what_has_just_begun_is_young_for_two_seconds() -> None:
    heat = Heat()
    heat.choose({(1, 1): 5}, 10 * S, ())
    assert heat.has_young(11 * S)
    for n in range(12):
        heat.choose({(1, 1): 5}, 10 * S + n * S // 4, ())
    assert not heat.has_young(13 * S)
    for n in range(6):
        heat.choose({}, 14 * S + n, ())
    heat.choose({(1, 1): 5}, 17 * S, ())
    assert heat.has_young(17 * S)


def test_a_thousand_threads_a_look_are_not_remembered_for_ever() -> None:
    heat = Heat()
    for n in range(50):
        heat.choose({(n, 1000 * n + k): 2 for k in range(1000)}, n * S, ())
    assert len(heat._scores) <= 512
    assert len(heat._since_ns) <= 512
