"""Whose Python stack is read: the few threads that run most, and none that hardly does."""

from __future__ import annotations

import pytest

from monitord.stacks import heat as heat_module
from monitord.stacks.document import NEAR_NS
from monitord.stacks.heat import Allowance, Heat


def hot(found: dict[tuple[int, int], bool]) -> list[tuple[int, int]]:
    return [thread for thread, is_hot in found.items() if is_hot]


def test_the_hottest_few_come_first_and_one_sample_is_chance() -> None:
    """Who is known is read on at any sample; to attach to somebody takes more."""
    fresh = {(n, n): n for n in range(1, 30)}
    assert hot(Heat().choose(fresh)) == [(n, n) for n in range(29, 13, -1)]
    assert Heat().choose({(1, 1): 1}) == {(1, 1): False}


def test_who_is_excluded_is_never_chosen() -> None:
    assert list(Heat().choose({(1, 1): 5, (2, 2): 5}, (1,))) == [(2, 2)]


def test_who_is_watched_comes_first_and_counts_as_hot() -> None:
    """It crossed a threshold: others may be hotter, but it is the one that will be asked for."""
    fresh = {(n, n): 5 for n in range(1, 9)} | {(9, 9): 1}
    assert next(iter(Heat().choose(fresh, (), (9,)).items())) == ((9, 9), True)


def test_threads_that_share_a_core_are_hot_together() -> None:
    """Twenty threads with a sample each are a process that ran all the time."""
    assert len(hot(Heat().choose({(5, 100 + n): 1 for n in range(5)}))) == 5


def test_what_runs_a_little_all_the_time_becomes_hot() -> None:
    """A tenth of a core, sample after sample; and what ran once is forgotten."""
    heat = Heat()
    looks = [hot(heat.choose({(1, 1): 1} if not n % 4 else {})) for n in range(13)]
    assert looks[0] == []
    assert looks[-1] == [(1, 1)]
    for _ in range(20):
        heat.choose({})
    assert hot(heat.choose({(1, 1): 1})) == []


def test_a_thousand_threads_a_look_are_not_remembered_for_ever() -> None:
    heat = Heat()
    for n in range(50):
        heat.choose({(n, 1000 * n + k): 2 for k in range(1000)})
    assert len(heat._scores) <= 512


def test_who_has_no_python_takes_no_place() -> None:
    """Six burners in C once had all places of a crowded machine, and Python's stacks were never read."""
    fresh = {(n, n): 9 for n in range(1, 7)} | {(10, 10): 5, (11, 11): 4, (12, 12): 3}
    assert hot(Heat().choose(fresh, at_most=2)) == [(1, 1), (2, 2)]
    chosen = hot(Heat().choose(fresh, at_most=2, without_python=lambda pid: pid < 10))
    assert chosen == [(1, 1), (2, 2), (10, 10), (11, 11)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is; a test sets it."""
    now = [1000.0]
    monkeypatch.setattr(heat_module.time, "monotonic", lambda: now[0])
    return now


def looks_in(seconds: float, each_s: float, clock: list[float], *, new_for_s: float = 0.0) -> tuple[int, int]:
    """How many looks there are in that time if each takes so much CPU, and how many stacks they may read."""
    allowance, began_s = Allowance(), clock[0]
    looks = stacks = 0
    while clock[0] < began_s + seconds:
        allowance.spend(each_s)
        looks, stacks = looks + 1, stacks + allowance.at_most
        clock[0] += allowance.pause_s(is_new=clock[0] < began_s + new_for_s)
    return looks, stacks


def test_what_is_new_is_looked_at_twice_as_often(clock: list[float]) -> None:
    seldom, often = (looks_in(100, 0.0, clock, new_for_s=new_for_s)[0] for new_for_s in (0.0, 100.0))
    assert 350 < seldom < 450
    assert 700 < often < 900


@pytest.mark.parametrize("each_s", [0.0167, 0.05, 0.1, 0.125, 0.25, 0.5])
def test_what_a_program_does_at_each_of_its_ticks_is_not_all_that_is_seen_of_it(
    each_s: float, clock: list[float]
) -> None:
    """It does one thing in the first half of each tick, another in the second."""
    allowance, halves = Allowance(), [0, 0]
    for _ in range(4000):
        halves[int(2 * (clock[0] % each_s) / each_s)] += 1
        clock[0] += allowance.pause_s(is_new=False)
    assert min(halves) > 1500


def test_looks_that_cost_much_read_less_and_are_not_hurried(clock: list[float]) -> None:
    """Whatever is new. What had a stack read is near enough to it to be told with it, also then."""
    assert 1e9 * max(heat_module._UNEVEN) * heat_module.PAUSE_S <= 2 * NEAR_NS
    looks, stacks = looks_in(100, 0.005, clock, new_for_s=100.0)
    assert 350 < looks < 470
    assert stacks <= 5 * looks


def test_what_is_owed_is_soon_paid_back(clock: list[float]) -> None:
    """After an hour of a crowded machine the next spike is looked at as any other."""
    allowance = Allowance()
    for _ in range(3600):
        clock[0] += 1.0
        allowance.spend(0.05)
    assert allowance.is_spent
    clock[0] += 60.0
    allowance.spend(0.0)
    assert not allowance.is_spent
