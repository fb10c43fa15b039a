"""Folds `perf script` while it is written: `perf_fold.py PERF DATA OUTPUT`, a supervised child run by path.

One output line per stack, root first: `name (module);name (module) COUNT`. Standard library only, memory
bounded by the number of different stacks (capped). Format of a sample (perf 6.1, fields named below): a head
line, leaf-first lines `ip symbol (module)`, an empty line; ip is an offset into the module's file.

Code without a symbol keeps its offset and its module's build id, by which it can be named later. Where the
file that was mapped is at hand, the offset is that of its function, from the table that unwinders search
(.eh_frame_hdr, Linux Standard Base Core 10.6.2), which is there in stripped programs, too.
"""

from __future__ import annotations

import bisect
import os
import re
import stat
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

FIELDS = "comm,pid,tid,time,ip,sym,dso"
UNKNOWN = "[unknown]"
_STACK_CAP = 50_000
_DEPTH_CAP = 256
_FILES_CAP = 256  # open at a time
_WORDS_CAP = 50_000
_HEADERS_CAP = 64
_NOTE_CAP = 4096
_BUILD_ID_SHOWN = 16
_MAPPED = re.compile(r" PERF_RECORD_MMAP2 .* [0-9a-f]+:[0-9a-f]+ ([0-9]{1,20}) [0-9]+\]: \S+ (/.*)$")
_OFFSET = re.compile(r"[0-9a-f]{1,16}")
Header = tuple[int, int, int, int]  # type, offset, address, size in the file
_LOAD, _NOTE, _EH_FRAME = 1, 4, 0x6474E550  # elf.h
_GNU_BUILD_ID = 3
_SORTED_TABLE = b"\x01\x1b\x03\x3b"  # version 1; pointers of 4 bytes, relative; the table relative to itself


class Names:
    """What code without a symbol is called: `function_at_0x1139 (/usr/bin/app build-id 4a90b582eac04a7d)`."""

    def __init__(self) -> None:
        self._inodes: dict[str, int] = {}
        self._files: dict[str, File] = {}
        self._others: dict[str, bool] = {}
        self._words: dict[tuple[str, str], str] = {}

    def note(self, line: str) -> None:
        """Take up a mapping that perf tells of."""
        if found := _MAPPED.search(line.rstrip("\n")):
            self._inodes[found[2]] = int(found[1])

    def is_another(self, module: str) -> bool:
        """Whether the file of that name here is known not to be the one that was mapped."""
        if module not in self._others:
            inode = self._inodes.get(module)
            try:
                self._others[module] = bool(inode) and os.stat(module).st_ino != inode  # noqa: PTH116 - no pathlib
            except OSError:
                self._others[module] = False  # perf could not open it either
        return self._others[module]

    def name(self, offset: str, module: str) -> str:
        """The words for one frame."""
        inode = self._inodes.get(module)
        if inode is None or not _OFFSET.fullmatch(offset):
            return f"{UNKNOWN} ({module})"
        known = self._words.get((offset, module))
        if known is None:
            known = self._named(int(offset, 16), module, inode)
            if len(self._words) < _WORDS_CAP:
                self._words[offset, module] = known
        return known

    def _named(self, at: int, module: str, inode: int) -> str:
        if module not in self._files:
            self._files[module] = File(module, inode)
            if len(self._files) > _FILES_CAP:
                self._files[module].close()
        file = self._files[module]
        start = file.function_at(at)
        word = f"0x{at:x}" if start is None else f"function_at_0x{start:x}"
        build_id = f" build-id {file.build_id[:_BUILD_ID_SHOWN]}" if file.build_id else ""
        return f"{word} ({module}{build_id})"

    def close(self) -> None:
        """Let go of all files."""
        for file in self._files.values():
            file.close()


def frame(line: str, names: Names | None = None) -> str:
    """One `ip symbol (module)` line as a folded frame; what separates frames may not be in it."""
    offset, _, rest = line.strip().partition(" ")
    symbol, opened, module = rest.rpartition(" (")
    if not opened:
        symbol, module = rest, ")"
    if names is not None and names.is_another(module[:-1]):
        symbol = (
            UNKNOWN  # of a container, or replaced meanwhile: perf took the name from a file that is not it
        )
    if symbol in ("", UNKNOWN) and names is not None and module.endswith(")"):
        words = names.name(offset, module[:-1])
    else:
        words = f"{symbol or UNKNOWN} ({module}"
    return words.replace(";", ":").replace("\t", " ")


def stacks(lines: Iterable[str], names: Names | None = None) -> Iterator[tuple[str, ...]]:
    """The stacks of perf script's text, root first."""
    frames: list[str] = []
    for line in lines:
        if not line.strip():
            if frames:
                yield tuple(reversed(frames))
            frames = []
        elif line[0] in " \t" and len(frames) < _DEPTH_CAP:
            frames.append(frame(line, names))
        elif names is not None:
            names.note(line)
    if frames:
        yield tuple(reversed(frames))


class File:
    """A program's build id, and where in its file functions begin; what is not known is empty.

    The table of functions is searched where it lies: it may be hundreds of megabytes, by malice or by rights.
    """

    def __init__(self, path: str, inode: int) -> None:
        self.build_id = ""
        self._file = -1
        self._loads: list[Header] = []
        self._table = (0, 0, 0)  # offset of the first entry, entries, address that they are relative to
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            found = os.fstat(self._file)
            if stat.S_ISREG(found.st_mode) and found.st_ino == inode:
                self._read()
        except (OSError, struct.error, ValueError, OverflowError):
            self._table = (0, 0, 0)

    def _read(self) -> None:
        headers = _program_headers(self._file)
        self.build_id = _build_id(self._file, headers)
        self._loads = [header for header in headers if header[0] == _LOAD]
        for kind, offset, address, size in headers:
            head = os.pread(self._file, 12, offset) if kind == _EH_FRAME else b""
            if head[:4] == _SORTED_TABLE and len(head) == 12:
                count = struct.unpack_from("<I", head, 8)[0]
                self._table = (offset + 12, min(count, size // 8), address)
                return

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file, self._table = -1, (0, 0, 0)

    def function_at(self, offset: int) -> int | None:
        """The offset of the first byte of the function that `offset` is in."""
        first, count, base = self._table
        address = _address_of(offset, self._loads)
        if not count or address is None:
            return None
        try:
            index = bisect.bisect_right(_Starts(self._file, first, count, base), address)
            start = _Starts(self._file, first, count, base)[index - 1] if index else address + 1
        except (OSError, struct.error, OverflowError):
            return None
        inside = address - start
        return offset - inside if 0 <= inside <= offset else None


class _Starts(Sequence[int]):
    """The addresses in a sorted table of .eh_frame_hdr."""

    def __init__(self, file: int, first: int, count: int, base: int) -> None:
        self._file, self._first, self._count, self._base = file, first, count, base

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:  # type: ignore[override]  # slices are not asked for
        return self._base + int(struct.unpack("<i", os.pread(self._file, 4, self._first + 8 * index))[0])


def _program_headers(file: int) -> list[Header]:
    """(type, offset, address, size) of each; ValueError for any but a 64-bit little-endian ELF file."""
    head = os.pread(file, 64, 0)
    if head[:6] != b"\x7fELF\x02\x01":
        raise ValueError("another kind of file")
    at, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    data = os.pread(file, size * min(count, _HEADERS_CAP), at)
    found = []
    for begin in range(0, len(data), size):
        kind, _flags, offset, address, _physical, file_size = struct.unpack_from("<IIQQQQ", data, begin)
        found.append((kind, offset, address, file_size))
    return found


def _build_id(file: int, headers: Sequence[Header]) -> str:
    for kind, offset, _, file_size in headers:
        note, at = os.pread(file, min(file_size, _NOTE_CAP), offset) if kind == _NOTE else b"", 0
        while at + 12 <= len(note):
            name_size, size, type_ = struct.unpack_from("<III", note, at)
            begin = at + 12 + (name_size + 3) // 4 * 4
            if type_ == _GNU_BUILD_ID and note[at + 12 : at + 15] == b"GNU":
                return note[begin : begin + size].hex()
            at = begin + (size + 3) // 4 * 4
    return ""


def _address_of(offset: int, loads: Iterable[Header]) -> int | None:
    for _, begin, address, size in loads:
        if begin <= offset < begin + size:
            return offset - begin + address
    return None


def folded(counts: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """The lines of the folded form."""
    return (f"{';'.join(stack)} {count}\n" for stack, count in counts.items())


def main() -> int:
    perf, data, output = sys.argv[1:4]
    command = [perf, "script", "--no-inline", "--show-mmap-events", "-F", FIELDS, "-i", data]
    counts: Counter[tuple[str, ...]] = Counter()
    left_out = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for stack in stacks(process.stdout or (), Names()):
            if stack in counts or len(counts) < _STACK_CAP:
                counts[stack] += 1
            else:
                left_out += 1
    if left_out:
        counts["[other stacks]",] += left_out
    if counts:
        with open(output, "w", errors="replace") as file:
            file.writelines(folded(dict(counts.most_common())))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
