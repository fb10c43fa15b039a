"""`perf script`'s text, read as a stream: header line, frames leaf first, blank line.

Both header styles (`comm tid time: period event:` and `comm pid/tid time:`), `(inlined)` frames,
`[unknown]`, kernel frames, and `py::name:/path` from CPython's perf trampoline, which are Python's.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.frame_text import is_kernel_module
from monitord.profiles.limits import MAX_DEPTH, LineReader
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread

# The command name may hold spaces, digits, anything: it is what stands before the last thing that fits.
_HEADER = re.compile(
    r"\s{0,16}(.{1,64})\s{1,16}([0-9]{1,10})(?:/([0-9]{1,10}))?\s{1,16}(?:\[[0-9]{1,6}\]\s{1,16})?[0-9]{1,12}\.[0-9]{1,9}:"
    r"(?:\s{1,16}([0-9]{1,15}))?(?:\s{1,16}([\w:/,.=-]{1,80}):[a-zA-Z]{0,8})?\s{0,16}"
)
_OFFSET = re.compile(r"\+0x[0-9a-f]{1,16}$")
_CLOCKS = ("cpu-clock", "task-clock")
_INLINED = "inlined"
_CACHE_SIZE = 50_000


def parse_perf_script(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read samples; with `pid`, only that process's where the header names it (`-F pid,tid`)."""
    builder = ProfileBuilder("perf")
    reader = LineReader(source)
    parser = _Samples(builder, pid)
    saw_anything = False
    for line in reader:
        if not line or line.isspace():
            parser.finish_sample()
        elif line[0] == "\t" or line.startswith("    "):
            parser.take_frame(line)
        elif not line.startswith("#"):
            saw_anything = True
            parser.take_header(line)
    parser.finish_sample()
    builder.read_all(reader)
    if saw_anything and not parser.saw_header:
        raise ProfileError("invalid output of perf script: it has no sample header")
    return builder.build()


class _Samples:
    def __init__(self, builder: ProfileBuilder, wanted: int | None) -> None:
        self._builder = builder
        self._wanted = wanted
        self._thread: Thread | None = None
        self._is_wanted = False
        self._leaf_first: list[int] = []
        self._inlined: list[str] = []
        self._cache: dict[tuple[str, bool], int] = {}
        self.saw_header = False

    def take_header(self, line: str) -> None:
        self.finish_sample()
        found = _HEADER.fullmatch(line)
        if not found:
            self._builder.errors += 1
            return
        comm, first, second, period, event = found.groups()
        self.saw_header = True
        process = int(first) if second else None
        self._thread = Thread(comm.strip(" "), int(second or first), process)
        self._is_wanted = self._wanted is None or process is None or process == self._wanted
        if period and event and event.startswith(_CLOCKS):
            self._builder.period_s = int(period) / 1e9

    def take_frame(self, line: str) -> None:
        if self._thread is None:
            if found := _HEADER.fullmatch(line):  # perf pads short command names on the left
                self.take_header(found[0])
            return
        if not self._is_wanted or len(self._leaf_first) > 2 * MAX_DEPTH:
            return
        address, _space, rest = line.strip().partition(" ")
        is_high = len(address) == 16 and address.startswith("ffff")
        name, module = _split(rest)
        if module == _INLINED:
            self._inlined.append(name)
            return
        for inlined in self._inlined:  # they stand before the function that holds them, in the same binary
            self._leaf_first.append(self._builder.frame(Frame(inlined, module=module, kind="native")))
        self._inlined.clear()
        self._leaf_first.append(self._number(rest, is_high, name, module))

    def _number(self, rest: str, is_high: bool, name: str, module: str | None) -> int:
        number = self._cache.get((rest, is_high))
        if number is None:
            number = self._builder.frame(_frame(name, module, is_high))
            if len(self._cache) < _CACHE_SIZE:
                self._cache[(rest, is_high)] = number
        return number

    def finish_sample(self) -> None:
        thread, numbers = self._thread, self._leaf_first
        for inlined in self._inlined:
            numbers.append(self._builder.frame(Frame(inlined, kind="native")))
        self._thread, self._leaf_first, self._inlined = None, [], []
        if thread is not None and self._is_wanted:
            self._builder.add(thread, numbers[::-1])


def _split(rest: str) -> tuple[str, str | None]:
    """Divide `symbol+0x12 (module)`: both may hold spaces and brackets; deleted files end in `(deleted))`."""
    body = rest.removesuffix(")")
    is_deleted = body.endswith(" (deleted)")
    body = body.removesuffix(" (deleted)")
    name, opening, module = body.partition(" (/")
    if opening:
        module = f"/{module}"
    else:
        name, opening, module = body.rpartition(" (")
    if not opening:
        return _OFFSET.sub("", rest) or UNKNOWN, None
    module = module + (" (deleted)" if is_deleted else "")
    return _OFFSET.sub("", name), None if module == UNKNOWN else module


def _frame(name: str, module: str | None, is_high: bool) -> Frame:
    if name.startswith("py::"):
        function, _colon, file = name[4:].partition(":")
        return Frame(function or UNKNOWN, file or None)
    is_kernel = is_high or (module is not None and is_kernel_module(module))
    return Frame(name or UNKNOWN, module=module, kind="kernel" if is_kernel else "native")
