"""Which threads of a Python run a function whose name py-spy can't read: it leaves such frames out silently.

`python -m monitord.capture.python_frames PID LOOKS`: a supervised child that reads the innermost frames from
outside. CPython 3.11 to 3.13 with a lock; any other version is refused. What is read is the target's word:
every length and count is bounded, and a frame that changes while it is read counts for nothing.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import sys
import time
from collections.abc import Mapping, Sequence

from monitord import procfs
from monitord.procfs.maps import mappings
from monitord.symbols.cpython_layouts import PUBLISHED_BYTES, UnknownPythonError, layout_of, named
from monitord.symbols.elf import BROKEN, LOAD, sections_of, segments_of
from monitord.symbols.tables import addresses_of

NAME_CAP = 4096  # characters: what py-spy 0.4.3 copies at most
PAUSE_S = 0.02
_MAPS_CAP_BYTES = 2 * 1024 * 1024
_THREADS_CAP = 64
_SHIMS_CAP = 8
_KNOWN = ((3, 11), (3, 12), (3, 13))  # later ones hand out pointers to code with a mark in them
_OF_C = 3  # FRAME_OWNED_BY_CSTACK: no function's
_SYMBOLS = ("_PyRuntime", "Py_Version", "PyUnicode_Type")
_PYTHON = re.compile(r"/(lib)?python3[0-9.]*[a-z]*(\.so[0-9.]*)?$")


class Frames:
    """One running Python; raises UnknownPythonError, OSError or struct.error when it can't be read."""

    def __init__(self, pid: int) -> None:
        self._memory = os.open(procfs.path(pid, "mem"), os.O_RDONLY | os.O_CLOEXEC)
        symbols = _symbols(pid)
        self._runtime, self._text_type = symbols["_PyRuntime"], symbols["PyUnicode_Type"]
        head = os.pread(self._memory, PUBLISHED_BYTES, self._runtime)
        self._layout = layout_of(head, self._word(symbols["Py_Version"]) & 0xFFFFFFFF)
        if self._layout.version not in _KNOWN or self._layout.is_free_threaded:
            raise UnknownPythonError(named(self._word(symbols["Py_Version"])))

    def _word(self, address: int) -> int:
        return int(struct.unpack("<Q", os.pread(self._memory, 8, address))[0])

    def hidden(self) -> dict[int, bool]:
        """Return by the id of each thread in Python code if its innermost function's name is unreadable."""
        layout, found = self._layout, {}
        thread = self._word(self._word(self._runtime + layout.interpreters) + layout.threads)
        for _ in range(_THREADS_CAP):
            if not thread:
                break
            code = self._code_of(thread)
            # Asked again: a frame that was left meanwhile is not one that can't be read.
            if code and not (is_named := self._is_named(code)) and self._code_of(thread) != code:
                is_named = True
            if code:
                found[self._word(thread + layout.thread_id)] = not is_named
            thread = self._word(thread + layout.next_thread)
        return found

    def _code_of(self, thread: int) -> int:
        at = thread
        for offset in self._layout.frame_path:
            at = self._word(at + offset)
        for _ in range(_SHIMS_CAP):
            if not at or os.pread(self._memory, 1, at + self._layout.owner) != bytes((_OF_C,)):
                break
            at = self._word(at + self._layout.previous)
        return self._word(at + self._layout.code) if at else 0

    def _is_named(self, code: int) -> bool:
        try:
            return all(
                self._is_text(self._word(code + at)) for at in (self._layout.name, self._layout.file_name)
            )
        except (OSError, struct.error, OverflowError):
            return False

    def _is_text(self, address: int) -> bool:
        _references, kind, length = struct.unpack("<QQQ", os.pread(self._memory, 24, address))
        return kind == self._text_type and bool(length < NAME_CAP)


def _symbols(pid: int) -> dict[str, int]:
    """Where the symbols lie in the memory of a process."""
    for mapping in mappings(procfs.read(procfs.path(pid, "maps"), _MAPS_CAP_BYTES)):
        if mapping.offset == 0 and _PYTHON.search(mapping.path):
            found = _in_file(procfs.path(pid, f"root{mapping.path}"), mapping.begin)
            if found.keys() >= set(_SYMBOLS):
                return found
    raise UnknownPythonError("its symbols are not found")


def _in_file(path: str, begin: int) -> dict[str, int]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return {}
        first = next(one.address for one in segments_of(file) if one.kind == LOAD)
        found = addresses_of(file, sections_of(file), _SYMBOLS)
        return {name: begin - first + address for name, address in found.items()}
    except (*BROKEN, StopIteration):
        return {}
    finally:
        os.close(file)


def counted(frames: Frames, looks: int) -> Mapping[int, tuple[int, int]]:
    """Count by thread at how many looks it ran Python code, and at how many its name could not be read."""
    found: dict[int, tuple[int, int]] = {}
    for number in range(looks):
        if number:
            time.sleep(PAUSE_S)
        try:
            seen = frames.hidden()
        except (OSError, struct.error, OverflowError):
            continue  # it changed under us
        for thread_id, is_hidden in seen.items():
            count, hidden = found.get(thread_id, (0, 0))
            found[thread_id] = (count + 1, hidden + is_hidden)
    return found


def main(arguments: Sequence[str]) -> int:
    """Print `{"THREAD": [looks, hidden]}`."""
    try:
        found = counted(Frames(int(arguments[0])), int(arguments[1]))
    except (UnknownPythonError, OSError, struct.error, OverflowError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
