"""Objects of a Python process by type, counted from outside; nothing in it is stopped, run or written.

Only pages that are in memory are read, so that nothing is brought back from swap. Of more than `BUDGET_BYTES`
every second, fourth, … piece is read, the same ones each time, and what is found is scaled.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from monitord import procfs
from monitord.causes.mappings import Region
from monitord.causes.observed import Objects
from monitord.causes.python_types import PythonType, PythonTypes, Read, UncountableError, find_type_type
from monitord.causes.scan import LARGE_LENGTH, Piece
from monitord.causes.sizes import Sizes, is_sized
from monitord.procfs.memory import CAP_BYTES, Memory

BUDGET_BYTES = 80 << 20
"""What is read of a process at most: 0.3 s of CPU."""
PIECE_BYTES = CAP_BYTES
CPU_LIMIT_S = 0.35
TYPES_KEPT = 120
NO_PYTHON = "cannot count objects: no Python interpreter was found in it"
_OLDEST = (3, 8)
_VERSION = re.compile(r"python(\d)\.(\d{1,3})")
_DATA_CAP_BYTES = 24 << 20
_CANDIDATES, _KINDS = 2000, 200
_COUNTED_CAP = 200_000
_LEAST_COUNT = 4
_LOOKUPS_CAP = 20_000
_LARGE_KEPT, _LARGE_TOLD = 4000, 12
_LARGE_SCALED = 16  # of fewer large objects it is chance how many are in the pieces that are read
_SAMPLE_PIECES, _SAMPLE, _SAMPLE_ALIKE = 48, 200, 24
_MIX, _MIXED_BITS = 0x9E3779B97F4A7C15, (1 << 64) - 1
_PAGE = procfs.PAGE_BYTES
_STRIDE_PHASE = 0x5A5A5A5A
_IS_PRESENT = bytes(value >> 7 for value in range(256))


@dataclass(slots=True)
class Census:
    """Objects by full name of their type: how many, and bytes; both scaled by `scale` already.

    `large` are the largest containers and texts: address, type and number of elements.
    """

    types: dict[str, tuple[int, int]] = field(default_factory=dict)
    user_types: frozenset[str] = frozenset()
    large: tuple[tuple[int, str, int], ...] = ()
    read_bytes: int = 0
    resident_bytes: int = 0

    @property
    def scale(self) -> float:
        """How many times as much there is as was read."""
        return max(1.0, self.resident_bytes / self.read_bytes) if self.read_bytes else 1.0

    def kept(self) -> Objects:
        """What an observation keeps of it."""
        return {
            "types": self.types,
            "user_types": sorted(self.user_types),
            "large": list(self.large),
            "read_bytes": self.read_bytes,
            "resident_bytes": self.resident_bytes,
        }


def take(
    pid: int,
    regions: Sequence[Region],
    budget_bytes: int = BUDGET_BYTES,
    cpu_limit_s: float = CPU_LIMIT_S,
) -> Census:
    """Count the objects of a process, of which `budget_bytes` are read at most, within so much CPU.

    Raises UncountableError where they can't be counted, with the reason; OSError when they can't be read.
    """
    read = Memory(pid).read
    type_type = _find(regions, read)
    holders = [one for one in regions if _holds_objects(one)]
    counting = _Counting(pid, read, PythonTypes(read, type_type))
    counting.count(_pieces(holders, budget_bytes), cpu_limit_s)
    return counting.result(sum(one.resident_bytes for one in holders))


def _find(regions: Sequence[Region], read: Read) -> int:
    """Where `type` is: in the data of the interpreter, whose file's name mostly says so."""
    files = [one for one in regions if one.path.startswith("/") and one.is_writable and one.is_private]
    named = [one for one in regions if "python" in one.path.rpartition("/")[2]]
    versions = {
        (int(major), int(minor))
        for one in named
        for major, minor in _VERSION.findall(one.path.rpartition("/")[2])
    }
    if versions and max(versions) < _OLDEST:
        version = "{}.{}".format(*max(versions))
        raise UncountableError(f"cannot count objects of Python {version}: expected 3.8 or later")
    left = _DATA_CAP_BYTES
    for one in sorted(files, key=lambda each: "python" not in each.path.rpartition("/")[2]):
        for begin in range(one.begin, min(one.end, one.begin + left), PIECE_BYTES):
            size = min(PIECE_BYTES, one.end - begin)
            left -= size
            with contextlib.suppress(OSError):
                if (found := find_type_type(read(begin, size), begin, read)) is not None:
                    return found
    raise UncountableError(NO_PYTHON)


def _holds_objects(region: Region) -> bool:
    is_anonymous = region.path in ("", "[heap]") or region.path.startswith("[anon:")
    return is_anonymous and region.is_writable and region.is_private and region.resident_bytes > 0


class _Counting:
    def __init__(self, pid: int, read: Read, types: PythonTypes) -> None:
        self._pid, self._read, self._types = pid, read, types
        self._sizes = Sizes(read)
        self._counts: Counter[int] = Counter()
        self._large: list[tuple[int, int, int]] = []  # length, address, type
        self._told: list[tuple[int, str, int]] = []
        self._pieces: list[tuple[int, int]] = []
        self._read_bytes = 0

    def count(self, pieces: Sequence[tuple[int, int]], cpu_limit_s: float = CPU_LIMIT_S) -> None:
        """All pieces, in an order in which the first are as good as the others: the CPU is limited."""
        end_s = time.process_time() + cpu_limit_s
        pages = _Pages(self._pid)
        try:
            for begin, size in _spread(pieces):
                for start, length in pages.present(begin, size):
                    self._look(start, length)
                if time.process_time() > end_s:
                    break
        finally:
            pages.close()

    def _look(self, address: int, size: int) -> None:
        try:
            piece = Piece(self._read(address, size))
        except OSError:
            return  # it was unmapped
        self._read_bytes += size
        self._pieces.append((address, size))
        self._counts.update(piece.types())
        if len(self._counts) > _COUNTED_CAP:
            self._prune()
        for offset, kind, length in piece.large():
            if self._is_sized(kind):
                self._large.append((length, address + offset, kind))
        if len(self._large) > 2 * _LARGE_KEPT:
            self._large = heapq.nlargest(_LARGE_KEPT, self._large)

    def _prune(self) -> None:
        """Forget what was seen least often: nearly all of it points elsewhere, and would fill our memory."""
        least = _LEAST_COUNT
        while len(self._counts) > _COUNTED_CAP // 2:
            self._counts = Counter({one: count for one, count in self._counts.items() if count >= least})
            least *= 2

    def _is_sized(self, address: int) -> bool:
        """Most of what looks like a type is something else, so many are asked at once, within bounds."""
        kind = self._types.at(address) if len(self._types) < _LOOKUPS_CAP else None
        return kind is not None and is_sized(kind)

    def result(self, resident_bytes: int) -> Census:
        """What was counted, the types with the most bytes; names are read of these alone."""
        kinds = self._kinds()
        census = Census(read_bytes=self._read_bytes, resident_bytes=resident_bytes)
        large, samples = self._large_ones(kinds), self._samples(kinds)
        sizes = {}
        for address, kind in kinds.items():
            count, size = large.get(address, (0, 0))
            small = max(0, self._counts[address] - count) * self._mean(kind, samples.get(address, ()))
            sizes[address] = census.scale * small + (census.scale if count >= _LARGE_SCALED else 1) * size
        for address in heapq.nlargest(TYPES_KEPT, sizes, key=sizes.__getitem__):
            name = self._types.full_name(kinds[address])
            before, before_bytes = census.types.get(name, (0, 0))
            count = round(self._counts[address] * census.scale)
            census.types[name] = (before + count, before_bytes + round(sizes[address]))
            if kinds[address].is_heap:
                census.user_types |= {name}
        census.large = tuple(self._told)
        return census

    def _kinds(self) -> dict[int, PythonType]:
        """The types among what was counted that must have the most bytes, and those of large objects."""
        most = heapq.nlargest(_CANDIDATES, self._counts.items(), key=itemgetter(1))
        found = {}
        for address, count in most:
            kind = self._types.at(address) if count >= _LEAST_COUNT else None
            if kind is not None:
                found[address] = kind
        ranked = heapq.nlargest(
            _KINDS, found, key=lambda one: self._counts[one] * (found[one].basic_bytes + 16)
        )
        kept = {address: found[address] for address in ranked}
        for _length, _at, address in self._large:  # a few large ones weigh more than many small
            if address not in kept and (kind := self._types.at(address)) is not None:
                kept[address] = kind
        return kept

    def _large_ones(self, kinds: dict[int, PythonType]) -> dict[int, tuple[int, int]]:
        """How many large objects each type has, and their bytes."""
        found: dict[int, tuple[int, int]] = {}
        for length, at, address in heapq.nlargest(_LARGE_KEPT, self._large):
            kind = kinds.get(address)
            if kind is not None:
                size = self._sizes.of(at, kind)
                if size < length:
                    continue  # the number was not its length
                count, total = found.get(address, (0, 0))
                found[address] = (count + 1, total + size)
                if len(self._told) < _LARGE_TOLD:
                    self._told.append((at, self._types.full_name(kind), length))
        return found

    def _samples(self, kinds: dict[int, PythonType]) -> dict[int, list[int]]:
        """Addresses of some objects of each type: the same ones at two moments, so that chance cancels."""
        found: dict[int, list[int]] = {}
        for begin, size in heapq.nsmallest(_SAMPLE_PIECES, self._pieces, key=lambda piece: _mixed(piece[0])):
            try:
                piece = Piece(self._read(begin, size))
            except OSError:
                continue
            for offset, address in piece.objects():
                if address in kinds:
                    found.setdefault(address, []).append(begin + offset)
        return {
            address: heapq.nsmallest(_SAMPLE if is_sized(kinds[address]) else _SAMPLE_ALIKE, ones, key=_mixed)
            for address, ones in found.items()
        }

    def _mean(self, kind: PythonType, sample: Sequence[int]) -> float:
        """Of the small ones: what is large was counted by itself."""
        sizes = [self._sizes.of(address, kind) for address in sample]
        if is_sized(kind):
            sizes = [size for size in sizes if size < 8 * LARGE_LENGTH]
        return sum(sizes) / len(sizes) if sizes else float(kind.basic_bytes)


def _mixed(address: int) -> int:
    return (address >> 4) * _MIX & _MIXED_BITS


def _pieces(regions: Sequence[Region], budget_bytes: int) -> list[tuple[int, int]]:
    """Pieces of the budget's size in all: one of every 1, 2, 4, … of equal distance."""
    resident_bytes = sum(one.resident_bytes for one in regions)
    stride = 1
    while resident_bytes > stride * budget_bytes:
        stride *= 2
    found = []
    for one in regions:
        first = one.begin // PIECE_BYTES
        first += (_STRIDE_PHASE - first) % stride
        for number in range(first, -(-one.end // PIECE_BYTES), stride):
            begin = max(one.begin, number * PIECE_BYTES)
            found.append((begin, min(one.end, (number + 1) * PIECE_BYTES) - begin))
    return found


def _spread(pieces: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """All of them, so that any first part of them is from everywhere."""
    steps = 32
    for phase in sorted(range(steps), key=lambda number: f"{number:05b}"[::-1]):
        yield from pieces[phase::steps]


class _Pages:
    """Which pages are in memory, from /proc/PID/pagemap (bit 63 of an entry); all, where it can't be read."""

    def __init__(self, pid: int) -> None:
        try:
            self._file = os.open(procfs.path(pid, "pagemap"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def present(self, begin: int, size: int) -> Iterator[tuple[int, int]]:
        """The parts of this that are in memory: address and size."""
        flags = bytes([1]) * (size // _PAGE)
        if self._file >= 0:
            try:
                entries = os.pread(self._file, size // _PAGE * 8, begin // _PAGE * 8)
            except OSError:
                return
            flags = entries[7::8].translate(_IS_PRESENT)
        for run in re.finditer(b"\x01+", flags):
            yield begin + run.start() * _PAGE, (run.end() - run.start()) * _PAGE

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
