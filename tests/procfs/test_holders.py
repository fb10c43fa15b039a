"""Who of several uses a socket: by what was met there, by who ran long enough, or nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from monitord.procfs.holders import Activity, Owners, Use, _choice, chosen, owners

BUFFERED = 8 * 1024 * 1024


def test_a_part_is_not_the_doing_of_one() -> None:
    """Who was met running there counts, then the only one that can have moved it, then who was met blocked."""
    both_ran = {1: Use(10**9), 2: Use(10**8)}
    assert chosen(both_ran, 1e8) is None, "CPU used at what? The other ran, too"
    assert chosen({1: Use(10**9), 2: Use(10**8, running=10)}, 1e8) == (2, True)
    assert chosen({1: Use(10**9, running=1), 2: Use(10**8, running=20)}, 1e8) == (2, True)
    assert chosen({1: Use(10**9, running=90), 2: Use(10**8, running=90)}, 1e8) is None
    assert chosen({1: Use(10**9, blocked=30), 2: Use(10**8, running=10)}, 1e8) == (2, True), (
        "who is blocked there may move little"
    )
    assert chosen({1: Use(900), 2: Use(10, blocked=10)}) == (2, True)
    assert chosen({1: Use(blocked=30), 2: Use(10)}) == (2, False), "who only waits in a read moved nothing"
    assert chosen({1: Use(9, blocked=15), 2: Use(9, blocked=15)}) is None
    assert chosen({1: Use(), 2: Use()}) is None
    assert chosen({}) is None


def test_who_alone_ran_moved_what_the_kernel_cannot_have_kept() -> None:
    assert chosen({1: Use(10**6), 2: Use(4 * 10**6)}, 1e8) == (2, True), "1 ms moves no 100 MB"
    assert chosen({1: Use(900), 2: Use()}, BUFFERED + 1e8) is None, "nobody ran long enough"
    assert chosen({1: Use(900), 2: Use()}, BUFFERED) == (1, False), "they may have lain in a buffer"
    assert chosen({1: Use(10**9), 2: Use(100)}, BUFFERED) is None, "a little time fills a buffer"


def test_to_be_met_a_few_times_is_chance_and_is_not_contradicted_either() -> None:
    """Of two that work as much one is met five times and the other never in one of sixteen watches."""
    assert chosen({1: Use(10**9), 2: Use(10**8, running=5)}, 1e8) is None
    assert chosen({1: Use(10**9), 2: Use(10**8, running=20), 3: Use(10**8, running=2)}, 1e8) is None
    assert chosen({1: Use(10**9), 2: Use(10**8, blocked=5)}, 1e8) is None
    assert chosen({1: Use(10**9), 2: Use(0, running=2)}, 1e8) is None, "2 is hidden: its time is not known"
    assert chosen({1: Use(10**9, blocked=30), 2: Use(10**8, running=1)}, 1e8) is None
    assert chosen({1: Use(10), 2: Use(10**8, running=5)}, 1e8) == (2, True), "1 can't have: no chance is left"


def test_who_is_met_receiving_sent_nothing() -> None:
    """Of two that hold a socket one is met in a read each time; where much went both ways, one did both."""
    held = {1: {5}, 2: {6}}
    reads = {
        1: Activity(10**7, Counter({(5, False): 30})),
        2: Activity(10**7, Counter({(6, True): 10})),
    }
    much, little = 10**6, 100
    assert _choice(99, held, reads, (much, little)) == (2, True)
    assert _choice(99, held, reads, (little, much)) == (1, True)
    assert _choice(99, held, reads, (much, much)) is None
    assert _choice(99, {1: {5}}, reads, (much, little)) == (1, False), (
        "it alone is seen to hold it, and was not met sending"
    )
    assert _choice(99, {1: {5}}, reads, (little, much)) == (1, True)
    both = {1: Activity(10**7, Counter({(5, False): 10, (5, True): 10})), 2: Activity(10**7)}
    assert _choice(99, held, both, (much, much)) == (1, True)
    assert _choice(99, {1: {5}, 3: {7}}, reads, (much, 0)) is None, "one was not looked at"


# ------------------------------------------------------------------------- what was sampled at a socket


class Samples:
    """The same again each time that it is asked, but for what was there before anybody watched."""

    def __init__(self, *met: tuple[int, int, int, bool]) -> None:
        self.met, self.asked = met, 0

    def fresh(self) -> tuple[tuple[int, int, int, bool], ...]:
        self.asked += 1
        return self.met if self.asked > 1 else ()


@pytest.fixture
def shared() -> Iterator[tuple[socket.socket, int, int]]:
    """A socket of ours that two children hold, too, at the same number."""
    ours, theirs = socket.socketpair()
    children = [subprocess.Popen(["sleep", "600"], pass_fds=[ours.fileno()]) for _ in range(2)]
    yield ours, children[0].pid, children[1].pid
    for child in children:
        child.kill()
        child.wait()
    ours.close()
    theirs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_who_is_sampled_at_a_socket_moved_its_bytes_the_way_that_they_went(
    shared: tuple[socket.socket, int, int],
) -> None:
    """Also who was not seen to hold it: its thread's own table of descriptors says that it does."""
    ours, child, unseen = shared
    pid, number, inode = os.getpid(), ours.fileno(), os.fstat(ours.fileno()).st_ino
    by_nobody = Owners(shared={inode: tuple(sorted((pid, child)))})

    def told(sent: int, received: int, *met: tuple[int, int, int, bool]) -> Owners:
        held = {inode: {one: {number} for one in (pid, child)}}
        looks = iter(({inode: (5, 5)}, {inode: (5 + sent, 5 + received)}))
        return owners(held, lambda: next(looks), 0.0, Samples(*met))

    much = 10**11  # more than anybody can move meanwhile
    assert told(much, 0, (child, child, number, True)) == Owners({inode: child}, sure={inode})
    assert told(0, much, (child, child, number, True)) == by_nobody, "it sent, and the bytes were received"
    assert told(much, 0, (unseen, unseen, number, True)).by_inode == {inode: unseen}
    assert told(much, 0, (child, child, number, True), (pid, pid, number, True)) == by_nobody
    elsewhere = number + 1000
    assert told(much, 0, (child, child, elsewhere, True)).by_inode == {inode: child}, "it may be io_uring's"
    assert told(much, 0, (unseen, unseen, elsewhere, True)) == by_nobody
    assert told(-5, -5, (child, child, number, True)) == by_nobody, "it was closed meanwhile"
    told_of_two = told(much, 0, (child, child, number, True), (pid, pid, elsewhere, True))
    assert told_of_two == by_nobody, "who moves bytes at something else may have moved these"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_who_alone_is_seen_to_hold_a_socket_is_not_named_where_another_is_sampled_there(
    shared: tuple[socket.socket, int, int],
) -> None:
    ours, child, unseen = shared
    number, inode = ours.fileno(), os.fstat(ours.fileno()).st_ino
    held = {inode: {child: {number}}}
    for samples, named in (
        (None, child),
        (Samples(), child),
        (Samples((unseen, unseen, number, True)), unseen),
    ):
        assert owners(held, dict, 0.0, samples).by_inode == {inode: named}
