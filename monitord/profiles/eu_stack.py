"""eu-stack's text (elfutils), one snapshot or many appended: each thread of each snapshot is one sample.

`PID 1 - process`, `TID 2:`, `#0  0x… symbol@@VERSION - /path/of/module` (`-m`), leaf first. Before a snapshot
capture puts `CPU TID SHARE`, what part of the time that thread ran: a guess by its last call is not enough.
Under a frame without a symbol stands `[build id]@0xMODULE+0xOFFSET` (`-b`), by which it can be named later.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.idle_calls import BUSY_SHARE, is_waiting
from monitord.profiles.limits import MAX_DEPTH, LineReader
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread

_PID = re.compile(r"PID ([0-9]{1,10})\b")
_TID = re.compile(r"TID ([0-9]{1,10}):")
_CPU = re.compile(r"CPU ([0-9]{1,10}) ([01]\.[0-9]{1,6})")
_SPINNING_SHARE = 0.9
_FRAME = re.compile(r"#[0-9]{1,9}\s{1,20}0x([0-9a-f]{1,16})(?: - 1)?(?:\s(.*))?")
_BUILD_ID = re.compile(r" {4}\[([0-9a-f]{1,128})\]@0x[0-9a-f]{1,16}\+0x([0-9a-f]{1,16})")
_BUILD_ID_SHOWN = 16
_TOOL_TROUBLE = "eu-stack:"


def parse_eu_stack(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read snapshots; with `pid`, only that process's. Threads that wait in the kernel are marked idle."""
    builder = ProfileBuilder("eu-stack")
    reader = LineReader(source)
    state = _Snapshots(builder, pid)
    saw_anything = False
    for line in reader:
        saw_anything = saw_anything or bool(line.strip())
        state.take(line)
    state.finish_thread()
    builder.read_all(reader)
    if saw_anything and not state.saw_thread:
        raise ProfileError("invalid output of eu-stack: it names no thread")
    return builder.build()


class _Snapshots:
    def __init__(self, builder: ProfileBuilder, wanted: int | None) -> None:
        self._builder = builder
        self._wanted = wanted
        self._pid: int | None = None
        self._tid: int | None = None
        self._leaf_first: list[Frame] = []
        self._announced: dict[int, float] = {}
        self._shares: dict[int, float] = {}
        self.saw_thread = False

    def take(self, line: str) -> None:
        if found := _FRAME.fullmatch(line):
            if self._tid is not None and len(self._leaf_first) <= 2 * MAX_DEPTH:
                self._leaf_first.append(_frame(found[1], found[2] or ""))
        elif found := _BUILD_ID.fullmatch(line):
            self._place_last(found[1][:_BUILD_ID_SHOWN], found[2])
        elif found := _TID.match(line):
            self.finish_thread()
            self._tid = int(found[1])
            self.saw_thread = True
        elif found := _PID.match(line):
            self.finish_thread()
            self._pid = int(found[1])
            self._shares, self._announced = self._announced, {}
        elif found := _CPU.fullmatch(line):
            self._announced[int(found[1])] = float(found[2])
        elif line.startswith(_TOOL_TROUBLE):
            self._builder.errors += 1

    def _place_last(self, build_id: str, offset: str) -> None:
        if self._leaf_first and self._leaf_first[-1].name == UNKNOWN:
            last = self._leaf_first[-1]
            module = f"{last.module} build-id {build_id}"
            self._leaf_first[-1] = replace(last, name=f"0x{offset}", module=module)

    def finish_thread(self) -> None:
        tid, frames = self._tid, self._leaf_first
        self._tid, self._leaf_first = None, []
        if tid is None or (self._wanted is not None and self._pid not in (None, self._wanted)):
            return
        share = self._shares.get(tid)
        waits = bool(frames) and is_waiting(frames[0].name)
        # A call that waits in a thread that ran all the time came back at once, again and again: it is hot.
        idle = waits if share is None else share < (_SPINNING_SHARE if waits else BUSY_SHARE)
        numbers = [self._builder.frame(frame) for frame in reversed(frames)]
        value = 1.0 if idle or not share else share
        self._builder.add(Thread(None, tid, self._pid, idle), numbers, value, samples=1)


def _frame(address: str, rest: str) -> Frame:
    name, dash, module = f" {rest}".partition(" - /")  # a frame without a symbol begins with the dash
    if dash:
        module = f"/{module}"
    else:
        name, _dash, module = rest.rpartition(" - ") if " - " in rest else (rest, "", "")
    name = name.strip().partition("@")[0]  # symbol versions: clock_nanosleep@GLIBC_2.2.5
    return Frame(
        name or (UNKNOWN if module else f"0x{address.lstrip('0')}"),
        module=module.strip() or None,
        kind="native",
    )
