"""Who started how many of which programs, counted from the kernel's records of starts and ends."""

from __future__ import annotations

import os
import subprocess

import pytest

from monitord import procfs
from monitord.stacks.lives import Lives
from monitord.stacks.rings import Lost, Rings
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


def _storm(told: Told, parent: int, count: int, at_ns: int = 1000) -> None:
    for number in range(count):
        told.fork(at_ns + 2 * number, 1000 + number, parent)
        told.end(at_ns + 2 * number + 1, 1000 + number)


def test_who_lives_is_not_blamed_for_the_storm_of_one_that_it_started_once() -> None:
    """A storm that ends before its alert is the script's, not that of the cron which started its shell."""
    told = Told()
    for at_ns, pid, parent, name in ((100, 7, 1, "cron"), (200, 8, 7, "sh"), (300, 9, 8, "storm")):
        told.fork(at_ns, pid, parent)
        told.exec(at_ns + 1, pid, name)
    _storm(told, 9, 300)
    told.end(5000, 9)
    told.end(5001, 8)
    assert _started(lives_of(told), since=150) == [
        (9, "storm", {"storm": 300}, 300),
        (7, "cron", {"sh": 1}, 1),
        (8, "sh", {"storm": 1}, 1),
    ]


def test_a_bomb_whose_processes_end_is_its_firsts_and_not_the_login_servers() -> None:
    """Each process starts two more and ends; who lives has started one."""
    told = Told()
    told.fork(100, 7, 1)
    told.exec(110, 7, "sshd")
    told.fork(200, 10, 7)
    told.exec(210, 10, "bomb")
    for place in range(512):
        for child in (2 * place + 1, 2 * place + 2):
            told.fork(1000 + 3 * place, 10 + child, 10 + place)
        told.end(1002 + 3 * place, 10 + place)
    [first, *_] = _started(lives_of(told), since=150)
    assert first[:3] == (10, "bomb", {"bomb": 1024})


def test_one_that_starts_itself_anew_and_ends_leaves_its_starts_to_the_first() -> None:
    told = Told()
    told.fork(100, 7, 1)
    told.exec(110, 7, "sshd")
    for number in range(8, 300):
        told.fork(1000 + 2 * number, number, number - 1)
        told.end(1001 + 2 * number, number - 1 if number > 8 else 6)
    assert {pid: sum(programs.values()) for pid, _, programs, _ in _started(lives_of(told))} == {
        8: 291, 7: 1, 1: 1,
    }  # fmt: skip


def test_a_build_is_its_makes_though_each_shell_of_it_started_some() -> None:
    told = Told()
    told.fork(100, 7, 1)
    told.exec(110, 7, "make")
    for shell in range(20):
        at_ns, pid = 1000 * (shell + 1), 50 + shell
        told.fork(at_ns, pid, 7)
        _storm(told, pid, 30, at_ns + 1)
        told.end(at_ns + 900, pid)
    assert _started(lives_of(told), since=150) == [(7, "make", {"make": 620}, 620)]


def test_threads_are_counted_and_push_out_no_start_of_a_process() -> None:
    told = Told()
    told.fork(1 << 30, 8, 7)
    lives = lives_of(told)
    lives.keep_up()
    for number in range(200_000):
        told.thread((1 << 30) + number, 9, 10 + number)
    assert [one.programs.total() for one in lives.starters(0, 1 << 62)] == [1]
    assert lives.told_starters(1 << 30, 1 << 31)["threads"] == 200_000
    assert lives.told_starters(1 << 32, 1 << 33)["threads"] == 0


def test_records_that_were_lost_once_leave_no_doubt_on_later_storms_and_name_nobody_in_them() -> None:
    """Of one whose end was lost the pid may be another one's since."""
    told = Told()
    told.fork(100, 7, 1)
    told.exec(110, 7, "victim")
    lives = lives_of(told)
    lives.keep_up()
    told.lost = Lost(side_bytes=4096)
    lives.keep_up()
    assert lives.told_starters(150, now_ns())["is_whole"] is False
    later_ns = now_ns() + 1000
    assert lives.told_starters(later_ns, later_ns + 1)["is_whole"] is True
    _storm(told, 7, 300, later_ns)
    [mine] = _started(lives, since=later_ns)
    assert (mine[0], sum(mine[2].values())) == (7, 300)
    assert "victim" not in (mine[1], *mine[2])


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
