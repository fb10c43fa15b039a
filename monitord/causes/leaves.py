"""Where the CPU is, also below Python: for a second the innermost frames of the busiest threads.

Linux, by perf_event_open on the target's threads alone; nothing where the kernel refuses it. Its files are
opened first; what reads their symbols has given up every right by then, and this process ends with it.
"""

from __future__ import annotations

import mmap
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from monitord import procfs, rights
from monitord.model import ProcessKey
from monitord.perf_events import perf_event, records
from monitord.procfs.maps import mappings
from monitord.redaction import redact_name
from monitord.symbols.call_frames import Row
from monitord.symbols.files import File
from monitord.symbols.opening import opened_code

RATE_HZ = 397
_THREADS = 24
_FRAMES = 6  # of code without frame pointers only the first is sure
_SECONDS = 0.8
_RING_PAGES = 16
_STACKS = 120
MAPS_CAP_BYTES = 4 * 1024 * 1024
_KALLSYMS = "/proc/kallsyms"
_KERNEL_CAP_BYTES = 24 * 1024 * 1024
_NAME = 120


@dataclass(frozen=True, slots=True)
class _Ids:
    users: str
    groups: str


class Seen:
    """The target as `symbols.opening` asks about it."""

    def __init__(self, pid: int) -> None:
        status = procfs.status_of(pid)
        groups = f"{(status.get('Gid', '').split() or [''])[-1]} {status.get('Groups', '')}"
        self._known = procfs.key_of(pid)
        self.key = self._known or ProcessKey(pid, 0)
        self.identity = _Ids(status.get("Uid", ""), groups)

    def is_alive(self) -> bool:
        return self._known is not None

    def was_replaced(self) -> object | None:
        return None if procfs.key_of(self.key.pid) == self._known else "another process"


@dataclass(frozen=True, slots=True)
class Code:
    """Executable memory of a file."""

    start: int
    end: int
    offset: int
    path: str


Chains = Counter[tuple[int, tuple[int, ...]]]
"""How often each chain of addresses, leaf first, was seen in each thread."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was seen, and what lay where before that."""

    chains: Chains
    code: Sequence[Code]
    image: tuple[int, int] | None


def sample_leaves(pid: int, seconds: float = _SECONDS) -> Sampled | str:
    """Sample, which takes so long; the reason in words where the kernel grants no samples."""
    try:
        image, code = procfs.image_of(pid), _code_of(pid)
        return Sampled(_sampled(pid, seconds), code, image)
    except OSError as error:
        return error.strerror or "the kernel grants no samples"


def name_leaves(pid: int, sampled: Sampled | str) -> dict[str, Any]:
    """The samples with names; `refused` says why there are none. Afterwards this process has no rights.

    Named is what lies where it lay before: an exec, or the next plugin, may have come in between.
    """
    if isinstance(sampled, str):
        return {"refused": sampled}
    found, seen = sampled.chains, Seen(pid)
    earlier = frozenset(sampled.code)
    code = [one for one in _code_of(pid) if one in earlier]
    if procfs.image_of(pid) != sampled.image:
        return {"refused": "it became another program meanwhile"}
    kernel = _kernel_names({at for _thread, chain in found for at in chain if at >= records.KERNEL})
    names = {thread: procfs.text(procfs.path(pid, f"task/{thread}/comm"), 64) for thread, _ in found}
    with opened_code(seen) as files, ExitStack() as opened:
        rights.keep_only(())
        named = Names(code, {path: File(os.dup(file)) for path, file in files.items()}, kernel)
        opened.callback(named.close)
        stacks = Counter((names[thread], named.chain(chain)) for thread, chain in found.elements())
    return {
        "rate_hz": RATE_HZ,
        "samples": found.total(),
        "stacks": [
            [count, redact_name(name), [list(frame) for frame in frames]]
            for (name, frames), count in stacks.most_common(_STACKS)
        ],
    }


def _sampled(pid: int, seconds: float) -> Chains:
    """Raises OSError when no thread can be sampled."""
    attributes = perf_event.stack_attributes(RATE_HZ, _FRAMES + 2)
    user_only = perf_event.stack_attributes(RATE_HZ, _FRAMES + 2, user_only=True)
    rings: list[perf_event.Ring] = []
    refusal: OSError | None = None
    try:
        for thread in _busiest(pid):
            try:
                rings.append(_ring(attributes, user_only, thread))
            except OSError as error:
                refusal = error
        if not rings and refusal is not None:
            raise refusal
        time.sleep(seconds)
        found: Chains = Counter()
        for ring in rings:
            for _at, _pid, thread, chain in records.samples(ring.whole()):
                found[thread, chain[:_FRAMES]] += 1
        return found
    finally:
        for ring in rings:
            ring.close()


def _ring(attributes: bytes, user_only: bytes, thread: int) -> perf_event.Ring:
    size = _RING_PAGES * mmap.PAGESIZE
    try:
        return perf_event.Ring(attributes, thread, perf_event.NO_CPU, size)
    except PermissionError:  # kernel.perf_event_paranoid 2: an ordinary user may see his own code
        return perf_event.Ring(user_only, thread, perf_event.NO_CPU, size)


def _busiest(pid: int) -> list[int]:
    """The threads that ran most in a moment; then those that ran most before: work may go round a pool."""
    before = _ran_ns(pid)
    time.sleep(0.05)
    after = _ran_ns(pid)
    used = {thread: ran - before.get(thread, ran) for thread, ran in after.items()}
    return sorted(used, key=lambda thread: (-used[thread], -after[thread]))[:_THREADS]


def _ran_ns(pid: int) -> dict[int, int]:
    found = {}
    for thread in procfs.threads(pid)[:1000]:
        with suppress(OSError, ValueError, IndexError):
            found[thread] = int(procfs.read(procfs.path(pid, f"task/{thread}/schedstat"), 256).split()[0])
    return found


def _code_of(pid: int) -> list[Code]:
    return code_in(procfs.read(procfs.path(pid, "maps"), MAPS_CAP_BYTES))


def code_in(maps: bytes) -> list[Code]:
    """What is mapped to be executed."""
    found = []
    for mapping in mappings(maps):
        if mapping.is_code:
            begin, _, end = mapping.where.partition("-")
            found.append(Code(int(begin, 16), int(end, 16), mapping.offset, mapping.path))
    return found


class Names:
    """Names of addresses in the target's files and in the kernel."""

    def __init__(self, code: Sequence[Code], files: Mapping[str, File], kernel: Mapping[int, str]) -> None:
        self._code = code
        self._files = files
        self._kernel = kernel
        self._known: dict[int, tuple[str, str, str] | None] = {}

    def chain(self, chain: Sequence[int]) -> tuple[tuple[str, str, str], ...]:
        """Name, module and kind of each frame, leaf first; it ends where an address is in no code."""
        found: list[tuple[str, str, str]] = []
        for at in chain:
            frame = self.name_of(at)
            if frame is None and found:
                break
            found.append(frame or ("", "", "native"))
        return tuple(found)

    def name_of(self, at: int) -> tuple[str, str, str] | None:
        """Name, module and kind of what lies there; None: no code."""
        if at not in self._known:
            self._known[at] = self._named(at)
        return self._known[at]

    def row_at(self, at: int) -> Row | None:
        """How to come from there to the caller."""
        code = self._code_at(at)
        file = self._files.get(code.path) if code else None
        return file.row_at(at - code.start + code.offset) if file and code else None

    def start_of(self, at: int) -> str:
        """What stands for the name of a function that has none; empty where its beginning is not known."""
        code = self._code_at(at)
        file = self._files.get(code.path) if code else None
        start = file.function_at(at - code.start + code.offset) if file and code else None
        return "" if start is None else f"function_at_0x{start:x}"

    def _code_at(self, at: int) -> Code | None:
        return next((one for one in self._code if one.start <= at < one.end), None)

    def _named(self, at: int) -> tuple[str, str, str] | None:
        if at >= records.KERNEL:
            return self._kernel.get(at, ""), "[kernel]", "kernel"
        code = self._code_at(at)
        if code is None:
            return None
        file = self._files.get(code.path)
        name = file.name_at(at - code.start + code.offset, reads_symbols=True) if file else None
        return redact_name(name or "")[:_NAME], redact_name(code.path.rpartition("/")[2])[:_NAME], "native"

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.close()


def _kernel_names(addresses: Iterable[int]) -> dict[int, str]:
    """The kernel's functions, where it shows their addresses: one pass over its table."""
    wanted = sorted(addresses)
    if not wanted:
        return {}
    try:
        table = procfs.read(_KALLSYMS, _KERNEL_CAP_BYTES)
    except OSError:
        return {}
    rows = sorted(
        (int(words[0], 16), words[2].decode("ascii", "replace"))
        for words in (line.split() for line in table.split(b"\n"))
        if len(words) >= 3 and words[1] in b"tTwW"
    )
    return _nearest(wanted, [row for row in rows if row[0]])


def _nearest(wanted: Sequence[int], rows: Sequence[tuple[int, str]]) -> dict[int, str]:
    found, at = {}, 0
    for address in wanted:
        while at < len(rows) and rows[at][0] <= address:
            at += 1
        if at:
            found[address] = rows[at - 1][1]
    return found
