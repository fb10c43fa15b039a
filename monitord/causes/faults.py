"""Which functions brought in the memory that a process still has, by page faults seen while a rule was armed.

The rings are the recorder's; only a page that is there still counts, and only where it was brought in last.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from monitord import procfs, rights
from monitord.causes.allocating import asker_of
from monitord.causes.blocks import Blocks
from monitord.causes.leaves import MAPS_CAP_BYTES, Code, Names, Seen, code_in
from monitord.causes.mappings import Region, group_of
from monitord.causes.observed import Faults, OneBlock, fitting
from monitord.perf_events import faults
from monitord.perf_events.records import Mapped
from monitord.procfs.memory import Memory
from monitord.symbols.call_frames import walked
from monitord.symbols.files import File
from monitord.symbols.opening import opened_code

GROUPS = ("the heap", "anonymous memory")
_FRAMES_KEPT = 12
_STACKS_BYTES = 12_000
_NS_PER_S = 1e9
_MOSTLY = 0.1  # of the pages, left out at both ends of the time in which they came
_REFUSALS = {
    errno.EACCES: "not permitted; sudo sysctl kernel.perf_event_paranoid=1, or record with CAP_PERFMON",
    errno.EPERM: "not permitted; record with CAP_PERFMON, where the container lets perf events through",
    errno.EBUSY: "it was not among the four processes that were watched",
    errno.ENOMEM: "no more memory may be locked; raise LimitMEMLOCK of the service, or ulimit -l",
    errno.ENOSYS: "this is known only of Linux on x86-64",
}
Frames = tuple[tuple[str, str], ...]
"""Names and modules, the leaf first."""
_ALLOCATORS = (  # what it is called; how its library's file begins, and its functions' names
    ("Go's runtime", "libgo.so", ("runtime.mallocgc", "runtime.main", "main.main")),
    ("jemalloc", "libjemalloc", ("je_", "_rjem_")),
    ("tcmalloc", "libtcmalloc", ("tc_", "tcmalloc::")),
    ("mimalloc", "libmimalloc", ("mi_", "_mi_")),
    ("musl's malloc", r"ld-musl|libc\.so$", ("__libc_malloc_impl",)),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A fault whose page is there still, and for how many it stands.

    In which group, whether its block is in use still, whether that is so because it has a mapping of its own,
    and that block.
    """

    pages: float
    group: str
    fault: faults.Fault
    is_held: bool
    is_proved: bool
    block: tuple[int, int] | None

    @property
    def size(self) -> int:
        """Of that block."""
        return self.block[1] - self.block[0] if self.block else 0


def read(pid: int, watched: str, regions: Sequence[Region]) -> Faults:
    """What the recorder's rings hold; `watched` says which. Afterwards this process has no rights."""
    if watched.isdecimal():
        return {"refused": _REFUSALS.get(int(watched), os.strerror(int(watched)))}
    threads, rings = faults.read(watched, pid)
    found: Faults = {"threads": threads, "counted": sum(ring.counted for ring in rings)}
    found["sampled"] = sum(ring.sampled for ring in rings)
    newest = _last_of_each(rings)
    kept = list(_still_there(pid, newest, regions))
    found["times_s"] = _mostly_between(sorted((one.fault.at_ns, one.pages) for one in kept))
    seen = Seen(pid)
    code = code_in(procfs.read(procfs.path(pid, "maps"), MAPS_CAP_BYTES))
    with opened_code(seen) as files, ExitStack() as opened:
        rights.keep_only(())
        names = Names(code, {path: File(os.dup(file)) for path, file in files.items()}, {})
        opened.callback(names.close)
        later = [one for ring in rings for one in ring.mapped]
        frames = {id(fault): _frames(fault, names, later) for _weight, fault in newest}
    rows: defaultdict[tuple[str, Frames], list[float]] = defaultdict(lambda: [0.0, 0, 0, 0])
    for one in kept:
        row = rows[one.group, frames[id(one.fault)]]
        for number, value in enumerate((one.pages, 1, one.is_held, one.is_proved)):
            row[number] += value
    ranked = sorted(rows.items(), key=lambda one: -one[1][0])
    told = [[group, round(row[0], 1), *row[1:], [[*one] for one in way]] for (group, way), row in ranked]
    found["stacks"] = fitting(told, _STACKS_BYTES)  # type: ignore[typeddict-item]
    found["pages"] = {}
    for (group, _frames_of_it), row in rows.items():
        found["pages"][group] = found["pages"].get(group, 0.0) + row[0]
    if block := _largest(kept, frames):
        found["block"] = block
    if allocator := _allocator(code, frames.values()):
        found["allocator"] = allocator
    return found


def _largest(kept: Sequence[Kept], frames: Mapping[int, Frames]) -> OneBlock | None:
    """Of the blocks that have a mapping of their own."""
    mapped = [one for one in kept if one.block is not None]
    if not mapped:
        return None
    largest = max(mapped, key=lambda one: one.size)
    inside = [one for one in mapped if one.block == largest.block]
    askers = Counter(asker_of(frames[id(one.fault)]) for one in inside)
    function, count = askers.most_common(1)[0]
    way = next(told for one in inside if asker_of(told := frames[id(one.fault)]) == function)
    return {
        "group": largest.group, "size": largest.size, "samples": len(inside), "function": function,
        "by_function": count, "seen": len(frames),
        "seen_by_function": sum(asker_of(told) == function for told in frames.values()),
        "frames": list(way),
    }  # fmt: skip


def _allocator(code: Sequence[Code], stacks: Iterable[Frames]) -> str:
    """Whose blocks they are, by what is loaded or was seen at work; empty: glibc's, or the program's own."""
    files = {one.path.rpartition("/")[2] for one in code}
    names = {name for stack in stacks for name, _module in stack}
    return next(
        (
            word
            for word, file, name in _ALLOCATORS
            if any(re.match(file, one) for one in files) or any(one.startswith(name) for one in names)
        ),
        "",
    )


def _last_of_each(rings: Sequence[faults.Read]) -> list[tuple[float, faults.Fault]]:
    """Of each page the newest fault, with how many faults it stands for; none of an earlier program."""
    since_ns = max((ring.changed_ns for ring in rings), default=0)
    newest: dict[int, tuple[float, faults.Fault]] = {}
    for ring in rings:
        for fault in ring.faults:
            page = fault.address // procfs.PAGE_BYTES
            known = newest.get(page)
            if fault.at_ns > since_ns and (known is None or known[1].at_ns < fault.at_ns):
                newest[page] = ring.weight, fault
    return list(newest.values())


def _still_there(
    pid: int, found: Sequence[tuple[float, faults.Fault]], regions: Sequence[Region]
) -> list[Kept]:
    """Those whose page is in memory or in swap now, in a mapping that is nobody's file."""
    begins, blocks = [one.begin for one in regions], Blocks(Memory(pid).read)
    kept: list[Kept] = []
    with open(procfs.path(pid, "pagemap"), "rb", buffering=0) as pages:
        for weight, fault in found:
            at = bisect_right(begins, fault.address) - 1
            if at < 0 or fault.address >= regions[at].end or group_of(regions[at].kind) not in GROUPS:
                continue
            entry = os.pread(pages.fileno(), 8, fault.address // procfs.PAGE_BYTES * 8)
            if len(entry) == 8 and entry[7] & 0xC0:  # bits 63: present, 62: in swap
                alone, is_whole = blocks.mapped_alone(fault.address, regions[at], _words_of(fault))
                is_held = is_whole or blocks.is_kept(fault.address, [*fault.registers.values()])
                kept.append(Kept(weight, group_of(regions[at].kind), fault, is_held, is_whole, alone))
    return kept


def _words_of(fault: faults.Fault) -> Iterator[int]:
    """What who caused it had at hand: registers, and what lies on top of his stack."""
    yield from fault.registers.values()
    yield from (word for (word,) in struct.iter_unpack("<Q", fault.stack[: len(fault.stack) // 8 * 8]))


def _mostly_between(times: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Between when most of the pages came: seconds since boot."""
    whole = sum(pages for _at_ns, pages in times)
    begin = end = 0
    so_far = 0.0
    for at_ns, pages in times:
        so_far += pages
        if so_far <= _MOSTLY * whole or not begin:
            begin = at_ns
        if so_far <= (1 - _MOSTLY) * whole or not end:
            end = at_ns
    return begin / _NS_PER_S, end / _NS_PER_S


def _frames(fault: faults.Fault, names: Names, mapped: Iterable[Mapped]) -> Frames:
    """Its stack, to where other code lay than does now."""
    later = [one for one in mapped if one.at_ns > fault.at_ns]
    found: list[tuple[str, str]] = []
    for at in walked(fault.registers, fault.stack, names.row_at):
        frame = names.name_of(at)
        is_other = any(one.start <= at < one.end for one in later)
        if frame is None or is_other or len(found) == _FRAMES_KEPT:
            break
        found.append((frame[0] or names.start_of(at), frame[1]))
    return tuple(found)
