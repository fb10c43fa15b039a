"""Who started how many of which programs, counted from the kernel's records of starts and ends."""

from __future__ import annotations

import os
import subprocess

import pytest

from monitord import procfs
from monitord.stacks.lives import Lives
from monitord.stacks.rings import Rings
from tests.stacks.programs import now_ns
from tests.stacks.telling import Told, lives_of


def _started(
    lives: Lives, since: int = 0, until: int = 1 << 62
) -> list[tuple[int, str, dict[str, int], int]]:
    return [(one.pid, one.name, dict(one.programs), one.ended) for one in lives.starters(since, until)]


def test_starts_are_counted_by_starter_and_program_also_of_those_that_ended() -> None:
    """What a child started before it ended is its living parent's; a pid that is used again counts again."""
    told = Told()
    told.fork(100, 7, 5)
    told.exec(110, 7, "make")
    for at_ns in (200, 300):
        told.fork(at_ns, 8, 7)
        told.exec(at_ns + 10, 8, "sh")
        told.fork(at_ns + 20, 9, 8)
        told.exec(at_ns + 30, 9, "cc")
        told.end(at_ns + 40, 9)
        told.end(at_ns + 50, 8)
    told.fork(400, 10, 7)
    lives = lives_of(told)
    assert _started(lives, since=150) == [(7, "make", {"sh": 2, "cc": 2, "make": 1}, 4)]
    assert _started(lives, since=250, until=355) == [(7, "make", {"sh": 1, "cc": 1}, 2)]


def test_a_starter_that_lives_keeps_what_it_started() -> None:
    told = Told()
    told.fork(100, 7, 5)
    told.exec(110, 7, "make")
    told.fork(120, 8, 7)
    told.exec(130, 8, "cron")
    for at_ns in (200, 210, 220):
        told.fork(at_ns, at_ns, 8)
        told.end(at_ns + 5, at_ns)
    assert _started(lives_of(told), since=150) == [(8, "cron", {"cron": 3}, 3)]


def test_the_end_of_a_process_is_its_own_also_when_its_pid_is_used_again() -> None:
    """One whose end was lost has the end of nobody else; one that lives has none."""
    s = 10**9
    told = Told()
    told.fork(10 * s, 7, 5)
    told.exec(11 * s, 7, "first")
    told.end(20 * s, 7)
    told.fork(30 * s, 7, 5)
    told.end(40 * s, 7)
    told.end(50 * s, 8)  # begun before anything was recorded
    told.fork(60 * s, 9, 5)
    told.fork(70 * s, 9, 5)  # the end of the first was overwritten unread
    told.end(80 * s, 9)
    lives = lives_of(told)
    began = [(7, 10), (7, 30), (8, 1), (9, 60), (9, 70), (7, 45), (5, 1)]
    assert [lives.ended_ns(pid, at * s) for pid, at in began] == [
        20 * s,
        40 * s,
        50 * s,
        None,
        80 * s,
        None,
        None,
    ]


@pytest.mark.root
def test_a_shells_loop_is_counted_with_the_program_that_it_starts() -> None:
    rings = Rings.open()
    try:
        lives = Lives(rings)
        lives.keep_up()
        since = now_ns()
        script = "i=0; while [ $i -lt 120 ]; do /bin/true; i=$((i+1)); done; /bin/echo; read line"
        with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
            assert shell.stdout is not None
            key = procfs.key_of(shell.pid)
            assert key is not None
            shell.stdout.readline()
            [mine] = [one for one in lives.starters(since, now_ns()) if one.pid == shell.pid]
            began = lives.start_of(mine)
            shell.communicate(b"\n")
    finally:
        rings.close()
    assert mine.name == "sh"
    assert began == key.start_ticks
    assert lives.start_of(mine) is None, "it is gone"
    assert dict(mine.programs) == {"true": 120, "echo": 1}
    assert mine.ended >= 120


def test_a_pid_that_was_given_to_another_one_since_is_no_starter() -> None:
    told = Told()
    told.fork(100, os.getpid(), 5)
    told.fork(200, 8, os.getpid())
    lives = lives_of(told)
    (mine,) = lives.starters(150, 300)
    assert mine.pid == os.getpid()
    assert lives.start_of(mine) is None, "this process began later than what that one started"
