"""The rings of this machine: one a CPU for stacks, one beside it for who lived where; bounded in all.

For one thread. Whether there is a right to them is the kernel's to say: opening raises OSError.
"""

from __future__ import annotations

import mmap
import os
import select
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, NamedTuple

from monitord import procfs
from monitord.model import counted, sized
from monitord.perf_events import perf_event, records
from monitord.perf_events.perf_event import LockedMemoryError, Ring
from monitord.perf_events.records import Sample

Scope = Literal["machine", "own processes"]

DEFAULT_RATE_HZ = 19
"""Beside timers of round numbers it is never in step with them; a sample costs about 9 µs."""
DEFAULT_BYTES = 512 << 10
"""Of stacks, a CPU: 100 s of a busy CPU at 30 frames a stack. A quarter more is for who lived where."""
MOST_BYTES = 16 << 20
_LEAST_BYTES = 32 << 10
_SIDE_SHARE = 4  # the stacks' ring is so many times the side ring
_FRESH_SIDE_BYTES = 256 << 10  # read at once from all CPUs: more would keep a core busy
_LOOKS_AT_CPUS_EVERY_S = 4.0

_FOLLOWED_AT_MOST, _THREADS_AT_MOST = 16, 32
_DESCRIPTORS_AT_MOST = 1024


class Lost(NamedTuple):
    """What the rings could not tell, since they were opened.

    Bytes that were overwritten before anybody read them, of samples (`samples` may have had them) and of
    who lived where; records that the kernel says it lost, as of the last `samples`; CPUs without a ring now;
    threads of followed processes that there was no room for.
    """

    fresh_bytes: int = 0
    side_bytes: int = 0
    records: int = 0
    cpus: int = 0
    threads: int = 0

    def in_words(self) -> list[str]:
        """What a reader of samples must know. They are read whole, so `fresh_bytes` are not missing."""
        said = []
        if self.side_bytes:
            said.append(
                f"so much happened at once that {sized(self.side_bytes, 'disk_bytes')} about starts, programs"
                " and ends were overwritten unread: some processes have no name, no parent or no code"
            )
        if self.cpus:
            said.append(f"no stacks of {counted(self.cpus, 'CPU')}: no ring was granted")
        if self.threads:
            said.append(f"no stacks of {counted(self.threads, 'thread')} in processes that have too many")
        return said


class _Pair:
    """The two rings of a CPU, in the turn that it was switched on then."""

    __slots__ = ("side", "stacks", "turn")

    def __init__(self, cpu: int, size_bytes: int, scope: Scope, rate_hz: int) -> None:
        self.turn = procfs.cpu_turn(cpu)
        stacks, side = _attributes(scope, rate_hz)
        pid = perf_event.EVERYBODY
        if scope != "machine":
            stacks, side, pid = perf_event.silent(stacks), perf_event.silent(side), 0
        self.stacks = Ring(stacks, pid, cpu, size_bytes)
        try:
            self.side = Ring(side, pid, cpu, max(mmap.PAGESIZE, size_bytes // _SIDE_SHARE))
        except OSError:
            self.stacks.close()
            raise

    @property
    def size_bytes(self) -> int:
        return self.stacks.size_bytes + self.side.size_bytes

    def close(self) -> None:
        self.stacks.close()
        self.side.close()


class Bell:
    """Wakes the thread that waits, also one that waits for rings. Any thread rings it."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._poll = select.poll()
        self.add_to(self._poll)

    def __del__(self) -> None:  # not before: who rings it and who waits may be late
        os.close(self._out)
        os.close(self._in)

    def ring(self) -> None:
        with suppress(OSError):  # full: it rings already; else who waits wakes by his time
            os.write(self._in, b"\0")

    def silence(self) -> None:
        with suppress(OSError):
            os.read(self._out, 65536)

    def wait(self, seconds: float) -> None:
        """Until it rings; then it is silent again."""
        if self._poll.poll(1000 * seconds):
            self.silence()

    def add_to(self, poll: select.poll) -> None:
        """Let it end this poll, which does not silence it."""
        poll.register(self._out, select.POLLIN)


class Rings:
    """What ran on each CPU, newest kept; `open` makes one.

    `scope`: "machine" has every process; "own processes" those that `follow` was told of and what they start.
    """

    def __init__(self, rate_hz: int, bytes_a_cpu: int, scope: Scope, cpus: Iterable[int]) -> None:
        self.rate_hz, self.scope = rate_hz, scope
        self._pairs: dict[int, _Pair] = {}
        self._gone: set[int] = set()
        self._followed: dict[int, list[int]] = {}
        self._unfollowed: dict[int, int] = {}  # pid → threads without an event
        self._closed = Lost()
        self._early: list[tuple[int, int, bytes]] = []
        self._records_lost = 0
        self._cpus_due_s = 0.0
        self._polls: dict[bool, select.poll] = {}  # of what records: with the rings of stacks, or without
        cpus = tuple(cpus)
        self.bytes_a_cpu = stack_bytes(bytes_a_cpu, len(cpus))
        try:
            self.take_cpus(cpus)
        except OSError:
            self.close()
            raise
        self._cpus_due_s = time.monotonic() + _LOOKS_AT_CPUS_EVERY_S

    @classmethod
    def open(
        cls,
        rate_hz: int = DEFAULT_RATE_HZ,
        bytes_a_cpu: int = DEFAULT_BYTES,
        scope: Scope = "machine",
        cpus: Iterable[int] | None = None,
    ) -> Rings:
        """Begin to record. Raises OSError with the kernel's errno when this is not allowed.

        Rings become smaller where the kernel grants less locked memory; `bytes_a_cpu` says what it was.
        """
        found = tuple(procfs.online_cpus() if cpus is None else cpus)
        wanted = stack_bytes(bytes_a_cpu, len(found))
        while True:
            try:
                return cls(rate_hz, wanted, scope, found)
            except LockedMemoryError:
                if wanted <= max(_LEAST_BYTES, mmap.PAGESIZE):
                    raise
                wanted //= 2

    @property
    def cpus(self) -> tuple[int, ...]:
        """Those whose rings are recording."""
        return tuple(sorted(self._pairs.keys() - self._gone))

    @property
    def lost(self) -> Lost:
        """For any thread."""
        pairs = tuple(self._pairs.values())
        return Lost(
            self._closed.fresh_bytes + sum(pair.stacks.overrun_bytes for pair in pairs),
            self._closed.side_bytes + sum(pair.side.overrun_bytes for pair in pairs),
            self._records_lost,
            self._closed.cpus,
            sum(tuple(self._unfollowed.values())),
        )

    def fresh(self) -> dict[tuple[int, int], int]:
        """Samples since the last call by (pid, thread); reads the new bytes alone, without a system call.

        Looks now and then whether a CPU came or went; raises OSError if no CPU is left that has a ring.
        """
        if (now_s := time.monotonic()) >= self._cpus_due_s:
            self._cpus_due_s = now_s + _LOOKS_AT_CPUS_EVERY_S
            self.take_cpus(procfs.online_cpus())
        hot: Counter[tuple[int, int]] = Counter()
        for pair in self._pairs.values():
            if pair.stacks.fresh_bytes:
                hot.update(records.threads_that_ran(pair.stacks.fresh()))
        return hot

    def wait(self, seconds: float, bell: Bell) -> bool:
        """Sleep until a CPU has a few samples, half of a side ring was written, or the bell rings.

        False: nothing of it came in that time. May end early for nothing, as when a CPU goes away. For the
        thread that calls `fresh`.
        """
        poll = self._poll_of(bell, with_stacks=True)
        poll.poll(0)  # what was read already is news to the kernel, once
        if any(pair.stacks.fresh_bytes for pair in self._pairs.values()):
            return True
        is_news = bool(poll.poll(1000 * seconds))
        bell.silence()
        return is_news

    def rest(self, seconds: float, bell: Bell) -> None:
        """Sleep until half of a side ring was written, the bell rings, or so long, while samples come."""
        if self._poll_of(bell, with_stacks=False).poll(1000 * seconds):
            bell.silence()

    def _poll_of(self, bell: Bell, *, with_stacks: bool) -> select.poll:
        if (poll := self._polls.get(with_stacks)) is None:
            poll = self._polls[with_stacks] = select.poll()
            bell.add_to(poll)
            for cpu in self.cpus:
                pair = self._pairs[cpu]
                for ring in (pair.stacks, pair.side) if with_stacks else (pair.side,):
                    poll.register(ring.fd, select.POLLIN)
        return poll

    @property
    def is_filling(self) -> bool:
        """Whether a quarter of a CPU's side records has not been read yet."""
        return any(4 * pair.side.fresh_bytes > pair.side.size_bytes for pair in self._pairs.values())

    def samples(self, since_ns: int = 0, pids: Iterable[int] | None = None) -> list[Sample]:
        """All that the rings still have, oldest first; of these processes alone."""
        wanted = None if pids is None else frozenset(pids)
        found: list[Sample] = []
        lost = 0
        for pair in self._pairs.values():
            data = pair.stacks.whole()
            found += records.samples(data, since_ns, wanted)
            lost += records.lost(data)
        self._records_lost = lost
        found.sort()
        return found

    def side_records(self) -> list[tuple[int, int, bytes]]:
        """New side records of all CPUs, oldest first: when, whose (pid), bytes for `records.side_record`.

        What happens while they are read is for the next call, so that nothing is ever told before its cause.
        """
        until_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        found, self._early = self._early, []
        share = max(mmap.PAGESIZE, _FRESH_SIDE_BYTES // max(1, len(self._pairs)))
        for pair in self._pairs.values():
            if pair.side.fresh_bytes:
                found += records.raw_side_records(pair.side.fresh(share))
        found.sort(key=_when)
        while found and found[-1][0] > until_ns:
            self._early.append(found.pop())
        return found

    def take_cpus(self, online: Iterable[int]) -> None:
        """Open rings for CPUs that came, also if they were away for a moment only. Those of a CPU that went
        are kept until it comes back.

        Raises OSError only if not one CPU has a ring.
        """
        wanted = frozenset(online)
        lasting = {
            cpu
            for cpu, pair in self._pairs.items()
            if cpu not in self._gone and procfs.cpu_turn(cpu) == pair.turn
        }
        came = sorted(wanted - lasting)
        gone = set(self._pairs.keys() - wanted)
        if came or gone != self._gone:
            self._polls.clear()
        self._gone = gone
        refused = 0
        for pid in self.followed if came else ():
            self.unfollow(pid)  # until it is named again: then on these CPUs, too
        for cpu in came:
            if cpu in self._pairs:
                self._close_pair(cpu)  # the kernel took its events away with it
            try:
                self._open_pair(cpu)
            except OSError:
                if not self._pairs or not self._cpus_due_s:
                    raise
                refused += 1
        self._closed = self._closed._replace(cpus=refused)

    def follow(self, pid: int) -> bool:
        """Record this process, and what it starts; False: it is gone, is not ours, or there is no room.

        For scope "own processes"; in scope "machine" everybody is followed. The least lately named one goes.
        """
        if self.scope == "machine":
            return True
        if (known := self._followed.pop(pid, None)) is not None:
            self._followed[pid] = known
            return True
        try:
            threads = procfs.threads(pid)
        except OSError:
            return False
        each = 2 * len(self.cpus)
        chosen = threads[: min(_THREADS_AT_MOST, _DESCRIPTORS_AT_MOST // max(1, each))]
        needed = each * len(chosen)
        while self._followed and (
            len(self._followed) >= _FOLLOWED_AT_MOST or self._descriptors + needed > _DESCRIPTORS_AT_MOST
        ):
            self.unfollow(next(iter(self._followed)))
        opened = [fd for thread in chosen for cpu in self.cpus for fd in self._follow_thread(thread, cpu)]
        if opened:
            self._followed[pid] = opened
            self._unfollowed[pid] = len(threads) - len(chosen)
        return bool(opened)

    def unfollow(self, pid: int) -> None:
        self._unfollowed.pop(pid, None)
        for fd in self._followed.pop(pid, ()):
            os.close(fd)

    @property
    def followed(self) -> tuple[int, ...]:
        """Processes that `follow` was told of, the least lately named first."""
        return tuple(self._followed)

    def close(self) -> None:
        for pid in tuple(self._followed):
            self.unfollow(pid)
        for cpu in tuple(self._pairs):
            self._close_pair(cpu)

    @property
    def _descriptors(self) -> int:
        return sum(map(len, self._followed.values()))

    def _open_pair(self, cpu: int) -> None:
        held = sum(pair.size_bytes for pair in self._pairs.values())
        size = self.bytes_a_cpu
        while size > mmap.PAGESIZE and held + size + size // _SIDE_SHARE > MOST_BYTES:
            size //= 2
        if held + size + max(mmap.PAGESIZE, size // _SIDE_SHARE) > MOST_BYTES:
            raise OSError(12, f"cannot open a ring of CPU {cpu}: {MOST_BYTES} bytes are in use")
        self._pairs[cpu] = _Pair(cpu, size, self.scope, self.rate_hz)

    def _close_pair(self, cpu: int) -> None:
        pair = self._pairs.pop(cpu)
        self._closed = self._closed._replace(
            fresh_bytes=self._closed.fresh_bytes + pair.stacks.overrun_bytes,
            side_bytes=self._closed.side_bytes + pair.side.overrun_bytes,
        )
        pair.close()

    def _follow_thread(self, thread_id: int, cpu: int) -> list[int]:
        pair = self._pairs[cpu]
        opened: list[int] = []
        stacks, side = _attributes(self.scope, self.rate_hz)
        for attributes, ring in ((stacks, pair.stacks), (side, pair.side)):
            try:
                opened.append(perf_event.open_event(perf_event.inherited(attributes), thread_id, cpu))
                perf_event.redirect(opened[-1], ring)
            except OSError:
                for fd in opened:
                    os.close(fd)
                return []
        return opened


def _attributes(scope: Scope, rate_hz: int) -> tuple[bytes, bytes]:
    user_only = scope != "machine"  # all that perf_event_paranoid 2 grants
    return (
        perf_event.stack_attributes(rate_hz, user_only=user_only),
        perf_event.side_attributes(user_only=user_only),
    )


def stack_bytes(wanted: int, cpu_count: int) -> int:
    """The largest power of two, of a page at least, with which all rings keep within their bounds."""
    most = min(wanted, DEFAULT_BYTES, MOST_BYTES * _SIDE_SHARE // (_SIDE_SHARE + 1) // max(1, cpu_count))
    return max(mmap.PAGESIZE, 1 << max(0, most.bit_length() - 1))


def _when(record: tuple[int, int, bytes]) -> int:
    return record[0]
