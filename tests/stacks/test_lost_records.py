"""Where records of starts were lost nobody knows which programs ran since: said as unknown, unless /proc tells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitord import procfs
from monitord.stacks.document import CodePlaces
from monitord.stacks.lives import Lives
from monitord.stacks.rings import Lost
from tests.stacks.programs import now_ns, until
from tests.stacks.telling import Told, lives_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

RANDOM, BEAT_NS = 0x7F0000000000, 10**9


def lost_after_an_exec(
    pid: int, began_ns: int | None = None, path: str = "/srv/first"
) -> tuple[Told, Lives, int]:
    """A process whose program lies at a fixed address, and a library where the kernel drew; then a loss."""
    told, began_ns = Told(), began_ns or now_ns() - BEAT_NS
    told.fork(began_ns, pid, 5)
    told.exec(began_ns + 100, pid, "first")
    told.map(began_ns + 200, pid, 0x400000, path)
    told.map(began_ns + 210, pid, RANDOM, "/lib/first.so")
    lives = lives_of(told)
    lives.keep_up([pid])
    told.lost = Lost(side_bytes=4096)
    lives.keep_up()
    return told, lives, began_ns


def test_after_records_were_lost_an_ended_program_has_no_code_at_fixed_addresses() -> None:
    """What was lost may have told of an exec: a program of 0x400000 was told as the one before it."""
    told, lives, began_ns = lost_after_an_exec(7)
    before_ns, after_ns = began_ns + 300, now_ns() + BEAT_NS
    told.end(after_ns + 1, 7)
    places = CodePlaces(lives.of(7)[-1])
    assert [getattr(places.at(0x400010, at), "path", None) for at in (before_ns, after_ns)] == [
        "/srv/first",
        None,
    ]
    assert getattr(places.at(RANDOM + 0x10, after_ns), "path", None) == "/lib/first.so", (
        "no other has its place"
    )


def test_after_records_were_lost_what_is_told_since_is_known() -> None:
    told, lives, _began_ns = lost_after_an_exec(7)
    told.exec(now_ns(), 7, "second")
    told.map(now_ns(), 7, 0x400000, "/srv/second")
    told.end(now_ns() + BEAT_NS, 7)
    second = lives.of(7)[-1]
    assert [one.path for one in second.code_at(now_ns())] == ["/srv/second"]


def test_after_records_were_lost_a_living_process_that_runs_what_it_ran_has_its_code() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        exe = Path(procfs.path(child.pid, "exe"))
        until(lambda: exe.readlink() == Path(sys.executable).resolve(), "it to run Python")
        stat = procfs.stat_of(child.pid)
        assert stat is not None
        _told, lives, _ = lost_after_an_exec(
            child.pid, stat.start_ticks * 10**9 // procfs.TICKS_PER_S, str(exe.readlink())
        )
        assert [one.start for one in lives.of(child.pid)[-1].fixed] == [0x400000]
        child.communicate(b"\n")
    assert not lives.of(child.pid)[-1].fixed, "now that it is gone nobody can say"


def test_losses_without_end_take_no_room_and_none_is_forgotten() -> None:
    told, lives, began_ns = lost_after_an_exec(7)
    for number in range(100):
        told.lost = Lost(side_bytes=8192 + number)
        lives.keep_up()
    assert len(lives._losses) <= 16
    life = lives.of(7)[-1]
    assert [one.path for one in life.code_at(began_ns + 300)] == ["/srv/first", "/lib/first.so"]
    assert [one.path for one in life.code_at(now_ns())] == ["/lib/first.so"]
