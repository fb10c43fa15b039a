"""Who lived where: the programs that each process ran and where their code lay, also when it is gone.

Bounded whatever the machine does. From the side rings; for processes older than those, from /proc (`note`).
For one thread, that of its rings.
"""

from __future__ import annotations

import heapq
import re
import sys
import time
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from monitord import procfs
from monitord.perf_events import records
from monitord.procfs.maps import mappings
from monitord.redaction import redact_name
from monitord.stacks.descent import END, PROGRAM, Descendant, Family, Moves, Starter, starters
from monitord.stacks.life import (
    MAPPINGS_AT_MOST,
    SAME_START_NS,
    Code,
    Life,
    Noted,
    cut_oldest,
    fork_times,
    forked_from,
    has_ended,
    life_at,
    lives_in,
)  # fmt: skip
from monitord.stacks.rings import Rings

__all__ = ["Code", "Descendant", "Life", "Lives", "life_at"]

_NS_PER_TICK = 1_000_000_000 // procfs.TICKS_PER_S
_TOLD_LATER_NS = 1_000_000_000  # a start is recorded when the fork is all but done

# What each table holds at most.
_YOUNG_BYTES, _YOUNG = 192 << 10, 1024  # records of processes that no sample was of yet
_KEPT_BYTES, _KEPT = 256 << 10, 512  # and of those that were sampled
_ENDED_BYTES, _ENDED = 256 << 10, 1024  # and of those of them that ended: compressed, a quarter of it
_ONE_BYTES = 16 << 10
_NOTED = 64
_LOSSES = 16
_ANCESTORS = 8
_MAPS_BYTES, _MAPS_WITHIN_S = 1 << 20, 0.5
# 4 KiB of window and small tables: zlib's own size is 256 KiB, taken and given back at each process' end.
_WINDOW_BITS, _MEMORY_LEVEL = -12, 5
_EXECUTED = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ ..x. .*/.*$", re.MULTILINE)


class Lives:
    """Give it the pids that were sampled at each beat (`keep_up`), and ask it later."""

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._young: OrderedDict[int, bytearray] = OrderedDict()
        self._kept: OrderedDict[int, bytearray] = OrderedDict()
        self._ended: OrderedDict[int, bytes] = OrderedDict()
        self._young_bytes = self._kept_bytes = self._ended_bytes = 0
        self._noted: OrderedDict[tuple[int, int, tuple[int, int]], Noted] = OrderedDict()
        self._moves = Moves()
        self._lost_bytes = self._lost_ns = self._kept_up_ns = 0
        self._losses: list[tuple[int, int]] = []

    def keep_up(self, sampled: Iterable[int] = ()) -> list[int]:
        """Take in what the side rings have; what is told of a sampled process outlives it.

        Gives their parents that nothing was told of: to be noted while they live.
        """
        for at_ns, pid, raw in self._rings.side_records():
            if records.is_mapping(raw):  # most are, and are read only when they are asked for
                self._append(pid, raw)
            else:
                self._take(at_ns, pid, raw)
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if (lost_bytes := self._rings.lost.side_bytes) != self._lost_bytes:
            self._lost_bytes, self._lost_ns = lost_bytes, now_ns
            self._losses.append((self._kept_up_ns, now_ns))
            if len(self._losses) > _LOSSES:
                self._losses[:2] = [(self._losses[0][0], self._losses[1][1])]
        self._kept_up_ns = now_ns
        unknown = dict.fromkeys(parent for pid in sampled if (parent := self._keep(pid)) is not None)
        self._forget()
        return list(unknown)

    def note(self, pid: int, lock: AbstractContextManager[object] | None = None) -> bool:
        """Remember where a living process is now; once for each program it runs. False: it is gone.

        The answer of a process can take half a second; `lock` is taken when it is there.
        """
        stat = procfs.stat_of(pid)
        if stat is None:
            return False
        key = (pid, stat.start_ticks * _NS_PER_TICK, stat.image)
        known = self._noted.get(key)
        if known is None:
            at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            code = () if stat.is_kernel_thread else _code_of(pid)
            if procfs.image_of(pid) not in (None, stat.image):
                return False  # another program by now: the next note is of that one
            known = Noted(at_ns, key[1], stat.parent_pid, stat.name, code)
        with lock or nullcontext():
            self._noted[key] = known
            self._noted.move_to_end(key)
            while len(self._noted) > _NOTED:
                self._noted.popitem(last=False)
        return True

    def of(self, pid: int) -> tuple[Life, ...]:
        """The programs that had this pid, oldest first; empty when nothing is known."""
        self.keep_up()
        return self._lives(pid, _ANCESTORS)

    def descendants(
        self, pid: int, since_ns: int, at_ns: int | None = None, among: Collection[int] | None = None
    ) -> tuple[Descendant, ...]:
        """What a process started, itself or through others, as far as it was there after `since_ns`.

        `at_ns`: of the process that had this pid then (default: lately). `among`: only with these pids.
        """
        self.keep_up()
        family = Family(pid, at_ns, among)
        for move in heapq.merge(self._moves, self._noted_starts()):
            if not family.take(*move):
                break
        return tuple(one for one in family.found if one.ended_ns is None or one.ended_ns >= since_ns)

    def starters(self, since_ns: int, until_ns: int) -> list[Starter]:
        """Who started how many of which programs in that time, most first; also of those that ended."""
        self.keep_up()
        from_ns = self._lost_ns if self.is_whole_since(since_ns) else 0
        return starters(self._moves, since_ns, until_ns, self._name_before, from_ns)

    def is_whole_since(self, since_ns: int) -> bool:
        """Whether no record was lost from then on: one flood must leave no doubt on later storms."""
        return self._lost_ns < since_ns

    @staticmethod
    def start_of(starter: Starter) -> int | None:
        """When a starter that still lives began, in ticks; None: its pid is nobody's or another's by now."""
        stat = procfs.stat_of(starter.pid)
        is_same = stat is not None and stat.start_ticks * _NS_PER_TICK <= starter.first_ns
        return stat.start_ticks if stat is not None and is_same else None

    def told_starters(self, since_ns: int, until_ns: int) -> dict[str, object]:
        """The same as JSON-able values, the first sixteen, and how much of that time is known."""
        found = self.starters(since_ns, until_ns)
        began_ns = max(since_ns, next((at_ns for at_ns, _pid, _other in self._moves), since_ns))
        return {
            "seconds": (until_ns - began_ns) / 1e9,
            "count": sum(one.programs.total() for one in found),
            "threads": self._moves.threads(began_ns, until_ns),
            "is_whole": self.is_whole_since(began_ns),
            "first_start_ticks": self.start_of(found[0]) if found else None,
            "starters": [
                [one.pid, redact_name(one.name), one.programs.total(), one.ended,
                 [[redact_name(name), count] for name, count in one.programs.most_common(8)]]
                for one in found[:16]
            ],
        }  # fmt: skip

    def ended_ns(self, pid: int, began_ns: int) -> int | None:
        """When the process that had this pid and began then ended, by the record of its main thread's end.

        None: not known, or not yet.
        """
        self.keep_up()
        for at_ns, of, other in self._moves:
            if of != pid or at_ns < began_ns:
                continue
            if other == END:
                return at_ns
            if other < PROGRAM and at_ns > began_ns + _TOLD_LATER_NS:
                return None  # another one has its pid, and its end was lost
        return None

    def _name_before(self, pid: int, at_ns: int) -> str:
        """Of the process that had this pid then; empty when it is not known."""
        life = life_at(self._lives(pid, _ANCESTORS), at_ns)
        if life is not None and life.name and life.from_ns >= self._lost_ns:  # else its end may be lost
            return life.name
        stat = procfs.stat_of(pid)
        is_same = stat is not None and stat.start_ticks * _NS_PER_TICK <= at_ns
        return stat.name if stat is not None and is_same else ""

    # ------------------------------------------------------------------------------------- taking in

    def _take(self, at_ns: int, pid: int, raw: bytes) -> None:
        record = records.side_record(raw)
        if isinstance(record, records.Forked):
            if record.pid == record.parent_pid:
                self._moves.thread(at_ns)
                return
            self._moves.add(at_ns, pid, record.parent_pid)
        elif isinstance(record, records.Ended):
            if record.thread_id != pid:
                return
            self._moves.add(at_ns, pid, END)
            self._append(pid, raw)
            self._pack(pid)
            return
        elif isinstance(record, records.Named) and record.thread_id != pid and not record.is_exec:
            return  # a thread's own name
        elif isinstance(record, records.Named) and record.is_exec:
            self._moves.run(at_ns, pid, record.name)
        self._append(pid, raw)

    def _append(self, pid: int, raw: bytes) -> None:
        if pid in self._ended:
            self._unpack(pid)
        is_kept = pid in self._kept
        told = (self._kept if is_kept else self._young).setdefault(pid, bytearray())
        before = len(told)
        told += raw
        if len(told) > _ONE_BYTES:
            cut_oldest(told, _ONE_BYTES // 2)
        if is_kept:
            self._kept_bytes += len(told) - before
        else:
            self._young_bytes += len(told) - before
            self._forget_young()

    def _keep(self, pid: int) -> int | None:
        """With its parents, whose code it shares until it runs a program of its own. The one not known."""
        if (known := self._table_of(pid)) is not None:
            known.move_to_end(pid)
            return None
        for _ in range(_ANCESTORS):
            told = self._young.pop(pid, bytearray())
            self._young_bytes -= len(told)
            self._kept[pid] = told
            self._kept_bytes += len(told)
            parent = forked_from(told)
            if has_ended(told):
                self._pack(pid)
            if parent is None or self._table_of(parent) is not None:
                return None
            if parent not in self._young:
                return parent
            pid = parent
        return None

    def _table_of(self, pid: int) -> OrderedDict[int, Any] | None:
        """Where what was told of a sampled process is."""
        return next((table for table in (self._kept, self._ended) if pid in table), None)

    def _pack(self, pid: int) -> None:
        """A sampled process has ended: what was told of it takes less room from now on."""
        if (told := self._kept.pop(pid, None)) is not None:
            self._kept_bytes -= len(told)
            self._ended[pid] = packed = _packed(told)
            self._ended_bytes += len(packed)

    def _unpack(self, pid: int) -> None:
        """More is told of it, or of the next process that has its pid."""
        packed = self._ended.pop(pid)
        self._ended_bytes -= len(packed)
        self._kept[pid] = told = bytearray(_unpacked(packed))
        self._kept_bytes += len(told)

    def _told(self, pid: int) -> bytes | bytearray:
        if pid in self._ended:
            return _unpacked(self._ended[pid])
        return self._kept.get(pid) or self._young.get(pid) or b""

    def _forget_young(self) -> None:
        while len(self._young) > _YOUNG or self._young_bytes > _YOUNG_BYTES:
            self._young_bytes -= len(self._young.popitem(last=False)[1])

    def _forget(self) -> None:
        while len(self._kept) > _KEPT or self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        while len(self._ended) > _ENDED or self._ended_bytes > _ENDED_BYTES:
            self._ended_bytes -= len(self._ended.popitem(last=False)[1])

    # ------------------------------------------------------------------------------------- answering

    def _lives(self, pid: int, depth: int) -> tuple[Life, ...]:
        told = self._told(pid)
        noted = [one for (of, _, _), one in self._noted.items() if of == pid]
        forks = fork_times(told)
        lives = (
            self._with_parents(life, depth) if life.began_ns in forks and life.exec_ns is None else life
            for life in lives_in(pid, told, noted)
        )
        return tuple(self._without_doubt(life, noted) if self._losses else life for life in lives)

    def _without_doubt(self, life: Life, noted: Iterable[Noted]) -> Life:
        """Without code that may be the last program's: /proc told of the process since, or nobody did."""
        end_ns = sys.maxsize if life.ended_ns is None else life.ended_ns
        sure_ns = max((one.at_ns for one in noted if life.from_ns <= one.at_ns <= end_ns), default=0)
        losses = [one for one in self._losses if max(life.from_ns, sure_ns) < one[1] and one[0] < end_ns]
        return life if not losses or not life.fixed or _runs_still(life) else life.doubted(losses)

    def _with_parents(self, life: Life, depth: int) -> Life:
        """It runs its parent's program: it has its parent's code, and its name until it takes another."""
        if not depth or life.parent_pid is None or life.began_ns is None:
            return life
        parent = life_at(self._lives(life.parent_pid, depth - 1), life.began_ns)
        if parent is None:
            return life
        code = (*parent.code_at(life.began_ns), *life.pieces())
        return life._replace(name=life.name or parent.name).with_code(code)

    def _noted_starts(self) -> list[tuple[int, int, int]]:
        """Starts that only /proc told, oldest first."""
        pids = {pid for pid, _, _ in self._noted}
        slots = {
            (pid, at_ns // SAME_START_NS)
            for at_ns, pid, other in self._moves
            if pid in pids and other < PROGRAM
        }
        starts = set()
        for (pid, start_ns, _), noted in self._noted.items():
            slot = start_ns // SAME_START_NS
            if not slots & {(pid, slot), (pid, slot + 1)}:
                starts.add((start_ns, pid, noted.parent_pid))
        return sorted(starts)


def _runs_still(life: Life) -> bool:
    """Whether a process lives and runs a file that was mapped in this life."""
    stat = procfs.stat_of(life.pid)
    began_ns = None if stat is None else stat.start_ticks * _NS_PER_TICK
    if life.ended_ns is not None or began_ns is None or life.began_ns is None:
        return False
    try:
        path = procfs.link(procfs.path(life.pid, "exe"))
    except OSError:
        return False
    is_same = abs(began_ns - life.began_ns) <= SAME_START_NS
    return is_same and any(one.path == path for one in life.mappings)


def _packed(told: bytes | bytearray) -> bytes:
    packing = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packing.compress(told) + packing.flush()


def _unpacked(packed: bytes) -> bytes:
    return zlib.decompress(packed, _WINDOW_BITS)


def _code_of(pid: int) -> tuple[Code, ...]:
    """The files that a process executes, from /proc; empty where they are not ours to see."""
    maps = procfs.read_within(procfs.path(pid, "maps"), _MAPS_WITHIN_S, _MAPS_BYTES) or b""
    return tuple(_code_in(maps[: maps.rfind(b"\n") + 1]))


def _code_in(maps: bytes) -> Iterator[Code]:
    """Of a process that has thousands of mappings, only these are looked at closely."""
    lines = (found[0] for found in islice(_EXECUTED.finditer(maps), MAPPINGS_AT_MOST))
    for one in mappings(b"\n".join(lines)):
        if one.is_code:
            start, _, end = one.where.partition("-")
            yield Code(int(start, 16), int(end, 16), one.offset, one.device, one.inode, sys.intern(one.path))
