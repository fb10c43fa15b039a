"""Which functions brought in the memory that a process still has, by page faults seen while a rule was armed.

The rings are the recorder's; only a page that is there still counts, and only where it was brought in last.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

from monitord import procfs, rights
from monitord.causes.blocks import Blocks
from monitord.causes.leaves import MAPS_CAP_BYTES, Names, Seen, code_in
from monitord.causes.mappings import Region, group_of
from monitord.causes.observed import Faults, fitting
from monitord.perf_events import faults
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
Kept = tuple[float, str, faults.Fault, bool, bool]
"""For how many pages it stands, in which group of mappings, the fault, and whether its block is in use still,
and has a mapping of its own."""
Frames = tuple[tuple[str, str], ...]
"""Names and modules, the leaf first."""


def read(pid: int, told: str, regions: Sequence[Region]) -> Faults:
    """What the recorder's rings hold; `told` says which. Afterwards this process has no rights."""
    if told.isdecimal():
        return {"refused": _REFUSALS.get(int(told), os.strerror(int(told)))}
    rings = faults.read(told)
    found: Faults = {"threads": len(rings), "counted": sum(ring.counted for ring in rings)}
    kept = list(_still_there(pid, _last_of_each(rings), regions))
    found["times_s"] = _mostly_between(sorted((fault.at_ns, pages) for pages, _group, fault, *_ in kept))
    seen = Seen(pid)
    code = code_in(procfs.read(procfs.path(pid, "maps"), MAPS_CAP_BYTES))
    with opened_code(seen) as files, ExitStack() as opened:
        rights.keep_only(())
        names = Names(code, {path: File(os.dup(file)) for path, file in files.items()}, {})
        opened.callback(names.close)
        pages: defaultdict[tuple[str, Frames], float] = defaultdict(float)
        samples: Counter[tuple[str, Frames]] = Counter()
        held: Counter[tuple[str, Frames]] = Counter()
        alone: Counter[tuple[str, Frames]] = Counter()
        for weight, group, fault, is_held, is_alone in kept:
            key = group, _frames(fault, names)
            pages[key] += weight
            samples[key] += 1
            held[key] += is_held
            alone[key] += is_alone
    rows = [
        [key[0], round(weight, 1), samples[key], held[key], alone[key], [list(one) for one in key[1]]]
        for key, weight in sorted(pages.items(), key=lambda one: -one[1])
    ]
    found["stacks"] = fitting(rows, _STACKS_BYTES)  # type: ignore[typeddict-item]
    found["pages"] = {}
    for (group, _frames_of_it), weight in pages.items():
        found["pages"][group] = found["pages"].get(group, 0.0) + weight
    return found


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
                is_alone = blocks.is_mapped_alone(fault.address, regions[at])
                is_held = is_alone or blocks.is_kept(fault.address, [*fault.registers.values()])
                kept.append((weight, group_of(regions[at].kind), fault, is_held, is_alone))
    return kept


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


def _frames(fault: faults.Fault, names: Names) -> Frames:
    found: list[tuple[str, str]] = []
    for at in walked(fault.registers, fault.stack, names.row_at):
        frame = names.name_of(at)
        if frame is None or len(found) == _FRAMES_KEPT:
            break
        found.append((frame[0] or names.start_of(at), frame[1]))
    return tuple(found)
