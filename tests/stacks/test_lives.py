"""Whose sample it was: pids are used again, programs replaced, processes gone, and their children with them."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord import procfs
from monitord.perf_events import records
from monitord.stacks.lives import Life, Lives, life_at
from monitord.stacks.rings import Rings
from tests.stacks.programs import BEAT_S, burner, functions_of, now_ns, until
from tests.stacks.telling import Told, lives_of


def test_a_sample_belongs_to_the_life_in_whose_time_it_fell() -> None:
    """Two processes had one pid, one after the other."""
    told = Told()
    told.fork(100 * 10**9, 7, 5)
    told.exec(101 * 10**9, 7, "first")
    told.end(110 * 10**9, 7)
    told.fork(120 * 10**9, 7, 6)
    told.exec(121 * 10**9, 7, "second")
    lives = lives_of(told).of(7)
    names = [getattr(life_at(lives, at * 10**9), "name", None) for at in (99, 100, 105, 115, 120, 125)]
    assert names == [None, "", "first", None, "", "second"]
    assert [(life.parent_pid, life.ended_ns) for life in lives if life.name] == [(5, 110 * 10**9), (6, None)]


def test_samples_before_an_exec_are_another_programs() -> None:
    """Same process, same start, other code: what lay there before is not what lies there now."""
    told = Told()
    told.fork(100, 7, 5)
    told.exec(200, 7, "sh")
    told.map(210, 7, 0x5000, "/bin/sh")
    told.exec(300, 7, "worker")
    told.map(310, 7, 0x5000, "/srv/worker")
    lives = lives_of(told).of(7)
    before, after = life_at(lives, 250), life_at(lives, 350)
    assert before is not None
    assert after is not None
    assert [(life.name, life.began_ns, life.exec_ns, life.mappings[0].path) for life in (before, after)] == [
        ("sh", 100, 200, "/bin/sh"),
        ("worker", 100, 300, "/srv/worker"),
    ]


def test_a_process_without_a_program_of_its_own_has_its_parents_code() -> None:
    """A worker that was forked: the library its parent loaded before is its own, what came later is not."""
    told = Told()
    told.fork(100, 7, 5)
    told.exec(110, 7, "server")
    told.map(120, 7, 0x5000, "/lib/early.so")
    told.fork(200, 8, 7)
    told.map(210, 7, 0x9000, "/lib/late.so")
    told.map(220, 8, 0x7000, "/lib/own.so")
    told.end(300, 8)
    lives = lives_of(told)
    [worker] = lives.of(8)
    assert (worker.name, worker.parent_pid, worker.ended_ns) == ("server", 7, 300)
    assert [code.path for code in worker.mappings] == ["/lib/early.so", "/lib/own.so"]


def test_names_and_ends_of_threads_are_no_processes() -> None:
    told = Told()
    told.fork(100, 7, 5)
    told.exec(110, 7, "server")
    told.add(7, 120, 7, struct.pack("=IIIIQ", 7, 7, 71, 7, 120))
    told.exec(130, 7, "thread-1", is_exec=False, thread=71)
    told.end(140, 7, thread=71)
    lives = lives_of(told)
    assert [(one.name, one.ended_ns) for one in lives.of(7)][-1] == ("server", None)
    assert [one.pid for one in lives.descendants(5, 0)] == [7]


def test_descendants_are_found_when_they_and_what_is_between_have_ended() -> None:
    """A shell started a script that started a worker; a process with a used pid of theirs is none of them."""
    told = Told()
    told.fork(100, 20, 10)
    told.fork(200, 21, 20)
    told.fork(300, 22, 21)
    told.end(400, 22)
    told.end(410, 21)
    told.fork(500, 21, 99)
    told.fork(510, 23, 21)
    lives = lives_of(told)
    assert [(one.pid, one.parent_pid, one.ended_ns) for one in lives.descendants(10, 0)] == [
        (20, 10, None),
        (21, 20, 410),
        (22, 21, 400),
    ]
    assert [one.pid for one in lives.descendants(10, 405)] == [20, 21]
    assert [one.pid for one in lives.descendants(10, 0, among={22})] == [22]


def test_descendants_are_of_the_process_that_had_the_pid_then() -> None:
    told = Told()
    second = 10**9
    told.fork(1 * second, 10, 1)
    told.fork(2 * second, 20, 10)
    told.end(3 * second, 10)
    told.fork(4 * second, 10, 1)
    told.fork(5 * second, 30, 10)
    lives = lives_of(told)
    assert [one.pid for one in lives.descendants(10, 0)] == [30]
    assert [one.pid for one in lives.descendants(10, 0, at_ns=2 * second)] == [20]


def tables_bytes(lives: Lives) -> int:
    return sum(sum(map(len, table.values())) for table in (lives._young, lives._kept, lives._ended))


def test_an_end_takes_little_memory_for_a_moment() -> None:
    """A shell's programs end by the dozen a second: zlib's own tables are 256 KiB, taken and given back each time."""
    told = Told()
    lives = lives_of(told)
    for pid in range(100, 120):
        told.fork(pid, pid, 5)
        told.exec(pid, pid, "other")
        for number in range(8):
            told.map(pid, pid, 0x10000 * (number + 1), f"/usr/lib/lib{number}.so")
    lives.keep_up(range(100, 120))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for pid in range(100, 120):
            told.end(1000 + pid, pid)
        lives.keep_up()
        assert tracemalloc.get_traced_memory()[1] - before < 128 << 10
    finally:
        tracemalloc.stop()


def test_what_was_told_of_an_ended_process_takes_less_room_and_says_the_same() -> None:
    """Also when its pid comes again: then the one before it is still known."""
    told = Told()
    lives = lives_of(told)
    told.fork(1, 8, 5)
    told.exec(2, 8, "other")
    for number in range(100):
        told.map(10 + number, 8, 0x10000 * (number + 1), f"/usr/lib/lib{number}.so")
    lives.keep_up([8])
    [living, before] = lives.of(8), tables_bytes(lives)
    told.end(1000, 8)
    lives.keep_up()
    assert tables_bytes(lives) < before / 3
    assert lives.of(8)[-1] == living[-1]._replace(ended_ns=1000)
    told.fork(2000, 8, 5)
    lives.keep_up([8])
    assert [life.ended_ns for life in lives.of(8)] == [2, 1000, None]


def test_five_hundred_starts_a_second_keep_within_the_bounds() -> None:
    """Two minutes of them, each with a program and its libraries: those that were sampled are still known."""
    told = Told()
    lives = lives_of(told)
    second = 10**9
    told.fork(1, 10, 1)
    for beat in range(480):  # four a second
        began = beat * second // 4
        pids = range(1000 + beat * 125, 1000 + beat * 125 + 125)
        for number, pid in enumerate(pids):
            at = began + number * 1_000_000 + 10
            told.fork(at, pid, 10)
            told.exec(at + 1, pid, f"job{pid}")
            for library in range(5):
                path = f"/usr/lib/x86_64-linux-gnu/lib{library}.so"
                told.map(at + 2 + library, pid, 0x1000 * (library + 1), path)
            told.end(at + 10, pid)
        lives.keep_up(pids[:9])
        assert tables_bytes(lives) <= (192 << 10) + (256 << 10) + (256 << 10)
    assert len(list(lives._moves)) == 3 << 15
    last = 1000 + 479 * 125
    [_, life] = lives.of(last)
    assert (life.name, len(life.mappings)) == (f"job{last}", 5)
    assert lives.of(last - 100 * 125), "sampled twenty-five seconds ago"
    children = lives.descendants(10, 0)
    assert len(children) >= 30_000
    assert lives.descendants(10, 0, among={last})[0].pid == last


def test_one_process_that_maps_for_ever_pushes_nobody_out() -> None:
    """What is kept of one process is bounded, and it is the newest."""
    told = Told()
    lives = lives_of(told)
    told.fork(1, 8, 5)
    told.exec(2, 8, "other")
    lives.keep_up([8])
    for number in range(5_000):
        told.map(10 + number, 7, 0x10000 * (number + 1), f"/tmp/{number}.so")
    lives.keep_up([7])
    assert tables_bytes(lives) <= 20_000
    assert lives.of(8)[-1].name == "other"
    assert lives.of(7)[-1].mappings[-1].path == "/tmp/4999.so"


kinds = st.sampled_from([3, 4, 7, 10])
noise = st.lists(
    st.tuples(
        kinds,
        st.integers(0, 2**64 - 1),
        st.integers(1, 6),
        st.binary(max_size=120),
        st.integers(0, 2**16 - 1),
    ),
    max_size=30,
)


@given(noise)
def test_no_side_record_raises(parts: list[tuple[int, int, int, bytes, int]]) -> None:
    told = Told()
    lives = lives_of(told)
    for kind, at_ns, pid, body, flags in parts:
        told.add(kind, at_ns, pid, struct.pack("=I", pid) + body, flags)
    lives.keep_up([1, 2])
    for pid in range(1, 7):
        found = lives.of(pid)
        assert all(isinstance(life, Life) for life in found)
        life_at(found, 5)
        lives.descendants(pid, 0)


# ------------------------------------------------------------------------------------ of this kernel


def keep_up(
    lives: Lives, process: subprocess.Popen[bytes], rings: Rings | None = None, beat_s: float = BEAT_S
) -> None:
    """As the box does, until the process has ended."""
    while process.poll() is None:
        lives.keep_up({pid for pid, _ in rings.fresh()} if rings is not None else ())
        time.sleep(beat_s)


@pytest.fixture
def machine() -> Iterator[Rings]:
    opened = Rings.open()
    yield opened
    opened.close()


@pytest.mark.root
def test_a_program_that_is_gone_has_its_name_its_parent_and_its_code(machine: Rings, tmp_path: Path) -> None:
    program = burner(tmp_path)
    lives = Lives(machine)
    began = now_ns()
    with subprocess.Popen([program, "100"]) as process:
        keep_up(lives, process, machine)
    family = lives.descendants(os.getpid(), began)
    life = lives.of(process.pid)[-1]
    assert (life.pid, life.parent_pid, life.name) == (process.pid, os.getpid(), "burner")
    assert life.began_ns is not None
    assert life.exec_ns is not None
    assert life.ended_ns is not None
    assert began <= life.began_ns <= life.exec_ns <= life.ended_ns <= now_ns()
    begin, _ = functions_of(program)["burn"]
    [code] = [code for code in life.mappings if code.start <= begin < code.end]
    assert (code.path, code.inode, code.device) == (
        str(program),
        program.stat().st_ino,
        program.stat().st_dev,
    )
    assert [one.pid for one in family] == [process.pid]


def has_burned(pid: int) -> bool:
    """So it is long past its exec."""
    stat = procfs.stat_of(pid)
    return stat is not None and stat.name == "burner" and stat.cpu_ticks >= 2


@pytest.mark.root
def test_a_process_older_than_the_rings_is_known_once_it_was_noted(tmp_path: Path) -> None:
    """By its start, its name and its code, also after its end; the records of its end are of the same life."""
    program = burner(tmp_path)
    rings = None
    process = subprocess.Popen([program, "60000"])
    try:
        until(lambda: has_burned(process.pid), "the program to run")
        rings = Rings.open()
        lives = Lives(rings)
        assert lives.note(process.pid)
        assert lives.note(process.pid)
        process.kill()
        process.wait()
        assert not lives.note(process.pid)
        [life] = lives.of(process.pid)
    finally:
        process.kill()
        process.wait()
        if rings is not None:
            rings.close()
    assert (life.name, life.parent_pid) == ("burner", os.getpid())
    assert life.began_ns is not None
    assert life.ended_ns is not None
    assert life.ended_ns - life.began_ns > 0
    assert any(code.path == str(program) for code in life.mappings)


@pytest.mark.root
def test_a_noted_start_is_the_start_that_the_ring_told(machine: Rings) -> None:
    """Both clocks are one: a process that is in both is one life, and one descendant."""
    lives = Lives(machine)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"runs\n")
        process.stdin.flush()
        process.stdout.readline()
        noted = lives.note(process.pid)
        found = lives.of(process.pid)
        family = lives.descendants(os.getpid(), 0)
        process.stdin.close()
    assert noted
    assert [life.name for life in found if life.exec_ns] == ["cat"]
    assert len({life.began_ns for life in found}) == 1
    assert [one.pid for one in family].count(process.pid) == 1


WORKERS = """
import os, sys, time
def work():
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
for _ in range(2):
    if os.fork() == 0:
        work()
        os._exit(0)
for _ in range(2): os.wait()
"""


@pytest.mark.root
def test_workers_that_were_forked_and_are_gone_have_the_code_of_their_parent(machine: Rings) -> None:
    """They ran no program of their own, and ended between two beats of ours."""
    lives = Lives(machine)
    with subprocess.Popen([sys.executable, "-c", WORKERS]) as process:
        keep_up(lives, process, machine)
    lives.keep_up({pid for pid, _ in machine.fresh()})
    workers = lives.descendants(process.pid, 0)
    assert len(workers) == 2
    for worker in workers:
        [life] = lives.of(worker.pid)
        samples = machine.samples(pids=[worker.pid])
        assert all(life_at([life], at_ns) == life for at_ns, *_ in samples)
        own = {ip for *_, frames in samples for ip in frames if ip < records.KERNEL}
        placed = {ip for ip in own if any(code.start <= ip < code.end for code in life.mappings)}
        assert len(placed) >= len(own) / 2 > 0  # without frame pointers some are no addresses of code
        assert life.name == lives.of(process.pid)[-1].name


@pytest.mark.root
def test_a_storm_of_starts_is_taken_in_and_every_child_has_its_parent(machine: Rings) -> None:
    """Some hundred starts as fast as a shell makes them, taken in four times a second."""
    lives = Lives(machine)
    script = "i=0; while [ $i -lt 600 ]; do /bin/true; i=$((i+1)); done"
    with subprocess.Popen(["/bin/sh", "-c", script]) as shell:
        keep_up(lives, shell, machine, beat_s=0.25)  # the box's
    children = [one for one in lives.descendants(shell.pid, 0) if one.parent_pid == shell.pid]
    assert len(children) >= 100
    # A shell can start more than the side ring holds between two beats: then it is said.
    if not machine.lost.side_bytes:
        assert len(children) == 600
        assert all(one.ended_ns for one in children)
