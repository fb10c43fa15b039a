"""Puts names in place of addresses in a document of the black box: DOCUMENT OUTPUT FILES, a supervised child.

`places` and `files` (stacks/document.py) become names of functions. A name comes from the file that was
mapped, and from no other; without one a frame is `[libfoo.so]`. FILES is JSON: the target's own files by the
names in its maps, each as the number of an inherited descriptor. `perf.map` beside them is the target's, if
it has one.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from monitord.symbols.files import File

PERF_MAP = "perf.map"
_DOCUMENT_CAP_BYTES = 64 * 1024 * 1024
_KALLSYMS = "/proc/kallsyms"
_FILES_CAP = 200  # open at a time: a reader may have 256 descriptors
_SYMBOLS_CAP = 3_000_000  # of all files together: about 6 s
_NAME_CAP = 512
_OVERLAPS_CAP = 256
# Of functions; addresses have one length and need not become numbers to be sorted: there are 100,000 of them.
_KERNEL_LINE = re.compile(rb"(?m)^([0-9a-f]{8,16}) [tTwW] (\S+)")
_LOOK = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAP_LINE = re.compile(rb"(?m)^(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) ([^\n]{1,512})")
# What an interpreter does besides evaluating: below Python's frames only this is worth a frame.
_WORK_OF_INTERPRETER = re.compile(r"_?sre_|SRE\(|gc_collect|deduce_unreachable")
_INTERPRETER = re.compile(r"(lib)?python[23][0-9.]*[a-z]*(\.so[0-9.]*)?$")
Frame = list[Any]
_NAME, _FILE, _LINE, _MODULE, _KIND = range(5)


class CodeFiles:
    """The files that were mapped, by number; None for one that is not to be had, or is another one."""

    def __init__(self, files: Sequence[Sequence[Any]], given: Mapping[str, int]) -> None:
        self._files, self._given = files, given
        self._opened: dict[int, File | None] = {}
        self._symbols_left = _SYMBOLS_CAP

    def name(self, number: int, offset: int) -> str | None:
        """The function at this offset of that file."""
        if number not in self._opened:
            is_room = len(self._opened) < _FILES_CAP
            self._opened[number] = self._open(*self._files[number]) if is_room else None
        file = self._opened[number]
        if file is None:
            return None
        before = file.symbol_count
        name = file.name_at(offset, reads_symbols=self._symbols_left > 0)
        self._symbols_left -= file.symbol_count - before
        return name

    def _open(self, path: str, device: int, inode: int, seen_ns: int | None = None) -> File | None:
        """A path is a process' word, and what lies there may be a device: looked at before it is opened."""
        given = self._given.get(path)
        try:
            seen = os.dup(given) if given is not None else os.open(path, _LOOK)
        except (OSError, ValueError):
            return None
        try:
            found = os.fstat(seen)
            # A name that is removed or added changes the status of a file, too: of one that is still mapped
            # that means nothing, and no other file has its number.
            changed_ns = found.st_mtime_ns if given is not None else max(found.st_mtime_ns, found.st_ctime_ns)
            if not _is_it(found, device, inode) or not _is_older(changed_ns, seen_ns):
                return None
            return File(os.open(f"/proc/self/fd/{seen}", _OPEN))
        except OSError:
            return None
        finally:
            os.close(seen)


def _is_it(found: os.stat_result, device: int, inode: int) -> bool:
    """Some file systems (btrfs, overlayfs) have a device of their own for stat, without a major number."""
    is_device = found.st_dev == device or os.major(found.st_dev) == 0
    return stat.S_ISREG(found.st_mode) and is_device and found.st_ino == inode


def _is_older(changed_ns: int, seen_ns: int | None) -> bool:
    """Whether a file was as it is when it was seen to run: a new one may have the number of a removed one."""
    since_boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return seen_ns is None or changed_ns <= seen_ns + since_boot_ns


class Ranges:
    """Names of addresses: where each begins, and where it ends. What has several names has none.

    A JIT writes over code that it needs no more: which of the two ran when a sample was taken, nobody knows.
    """

    def __init__(self, rows: Iterable[tuple[int, int, str]]) -> None:
        self._rows = sorted(rows)
        self._reach = list(accumulate((end for _start, end, _name in self._rows), max))

    def name(self, address: int) -> str | None:
        index = bisect_right(self._rows, (address, 1 << 65, ""))
        names: set[str] = set()
        for at in range(index - 1, -1, -1):
            if self._reach[at] <= address or len(names) > 1:
                break
            if at < index - _OVERLAPS_CAP:
                return None
            _start, end, name = self._rows[at]
            if address < end:
                names.add(name)
        return names.pop() if len(names) == 1 else None


def kernel_names(wanted: Iterable[int], path: str = _KALLSYMS) -> Ranges:
    """The kernel's functions at these addresses; none where it does not show where they lie."""
    left = sorted(set(wanted))
    if not left:
        return Ranges(())
    try:
        with open(path, "rb") as file:
            starts = sorted(_KERNEL_LINE.findall(file.read()))
    except OSError:
        return Ranges(())
    if not starts or not int(starts[-1][0], 16):
        return Ranges(())
    rows: dict[bytes, tuple[int, int, str]] = {}
    for address in left:
        index = bisect_right(starts, (b"%0*x" % (len(starts[0][0]), address), b"\xff"))
        if 0 < index < len(starts):
            start, name = starts[index - 1]
            rows[start] = int(start, 16), int(starts[index][0], 16), _clean(name)
    return Ranges(rows.values())


def made_names(path: Path) -> Ranges:
    """What a JIT wrote for perf of the code that it made."""
    try:
        text = path.read_bytes()
    except OSError:
        return Ranges(())
    rows = []
    for line in _MAP_LINE.finditer(text):
        start, size = int(line[1], 16), int(line[2], 16)
        rows.append((start, start + size, _clean(line[3])))
    return Ranges(rows)


def _clean(name: bytes) -> str:
    words = name.decode("utf-8", "replace")[:_NAME_CAP].strip()
    return "".join(letter if letter.isprintable() else "?" for letter in words)


class Naming:
    """Names for the frames of one document."""

    def __init__(self, told: Mapping[str, Any], files: CodeFiles, made: Ranges) -> None:
        self._told, self._files, self._made = told, files, made
        places = told["places"]
        self._kernel = kernel_names(place[1] for place in places if place and place[0] == "kernel")
        self._target = {index for index, process in enumerate(told["processes"]) if process.get("is_target")}

    def frames(self) -> Iterator[Frame]:
        """Each frame with its name."""
        for frame, place in zip(self._told["frames"], self._told["places"], strict=True):
            yield frame if place is None else self._named(list(frame), place)

    def _named(self, frame: Frame, place: Sequence[Any]) -> Frame:
        kind, first = place[0], place[1]
        if kind == "kernel":
            name: str | None = self._kernel.name(first)
        elif kind == "file":
            name = self._files.name(first, place[2])
        elif kind == "made" and first in self._target:
            name = self._made.name(place[2])
        else:
            name = None
        if name is not None:
            frame[_NAME] = name
        elif frame[_NAME] is None:
            module = str(frame[_MODULE])
            frame[_NAME] = module if module.startswith("[") else f"[{module}]"
        return frame


def named(told: dict[str, Any], naming: Naming) -> dict[str, Any]:
    """The document with names: frames that came to be the same are one, and so are stacks."""
    numbers: list[int] = []
    frames: dict[tuple[Any, ...], int] = {}
    for frame in naming.frames():
        numbers.append(frames.setdefault(tuple(frame), len(frames)))
    rows = list(frames)
    stacks: dict[tuple[int, ...], int] = {}
    again: list[int] = []
    for stack in told["stacks"]:
        kept = tuple(_readable([numbers[frame] for frame in stack], rows))
        again.append(stacks.setdefault(kept, len(stacks)))
    samples = [[at, thread, again[stack], weight] for at, thread, stack, weight in told["samples"]]
    kept_keys = {key: value for key, value in told.items() if key not in ("places", "files")}
    return {**kept_keys, "frames": rows, "stacks": list(stacks), "samples": samples}


def _readable(stack: list[int], frames: Sequence[tuple[Any, ...]]) -> list[int]:
    """Below Python's own frames only what has a name, and does not merely evaluate them."""
    kinds = [frames[number][_KIND] for number in stack]
    if "python" not in kinds:
        return stack
    inner = len(kinds) - kinds[::-1].index("python")
    return stack[:inner] + [number for number in stack[inner:] if _tells(frames[number])]


def _tells(frame: tuple[Any, ...]) -> bool:
    if frame[_NAME].startswith("["):
        return False
    is_interpreter = _INTERPRETER.match(frame[_MODULE] or "")
    return not is_interpreter or bool(_WORK_OF_INTERPRETER.match(frame[_NAME]))


def without_files(document: bytes) -> bytes:
    """The document with no more names than it has: native frames are `[libfoo.so]`."""
    told = json.loads(document)
    told["places"] = [None if place is None else ["", 0, 0] for place in told["places"]]
    done = named(told, Naming(told, CodeFiles((), {}), Ranges(())))
    return json.dumps(done, separators=(",", ":")).encode("ascii")


def main(arguments: Sequence[str]) -> int:
    """Name one document; 1 with one line on stderr when it can't be read."""
    document, output, files = arguments
    try:
        with open(document, "rb") as file:
            told = json.loads(file.read(_DOCUMENT_CAP_BYTES))
        with open(files, "rb") as file:
            given = {str(name): int(number) for name, number in json.loads(file.read()).items()}
        done = named(told, Naming(told, CodeFiles(told["files"], given), made_names(Path(PERF_MAP))))
        with open(output, "w", encoding="ascii") as written:
            json.dump(done, written, separators=(",", ":"))
    except (OSError, ValueError, KeyError, IndexError, TypeError, MemoryError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
