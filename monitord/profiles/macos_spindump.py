"""macOS spindump's report. Written from public descriptions of the format: no Mac was at hand.

It holds all processes: one is taken, the asked-for or the report's own; its threads count for what they ran.
Two columns per level; a star in the column before a count marks the kernel.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.limits import LineReader
from monitord.profiles.macos_tree import TreeReader
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread

_TARGET = re.compile(r"PID:\s{1,40}([0-9]{1,10})")
_STEPS = re.compile(r"Steps:\s{1,40}[0-9]{1,12} \(([0-9]{1,9})ms sampling interval\)")
_PROCESS = re.compile(r"Process:\s{1,40}.{0,1000}?\[([0-9]{1,10})\].{0,200}")
_THREAD = re.compile(r"\s{1,8}Thread (0x[0-9a-fA-F]{1,16})\b(.*)")
_CPU_TIME = re.compile(r"CPU Time:\s{1,40}<?[0-9]")
_THREAD_CPU = re.compile(r"\b([0-9]{1,9}) samples? .{0,200}cpu time <?([0-9]{1,9}\.?[0-9]{0,9})s")
_THREAD_NAME = re.compile(r'(?:Thread name|DispatchQueue) "([^"]{0,200})"')
_LINE = re.compile(r"( *+)(\*?)([0-9]{1,15})  ?(\S.*)")
_OFFSET = re.compile(r" \+ [0-9]{1,19}$")
_SOURCE = re.compile(r"(.+):([0-9]{1,9})(?:,[0-9]{1,9})?")


def parse_spindump(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read the threads of one process: `pid`, or the report's target, or the first process in it."""
    builder = ProfileBuilder("spindump")
    report = _Report(builder, pid)
    reader = LineReader(source)
    for line in reader:
        report.take(line)
    report.tree.finish()
    builder.read_all(reader)
    if not report.saw_process:
        raise ProfileError("invalid report of spindump: it names no process")
    if not report.saw_wanted:
        raise ProfileError(f"process {report.wanted} is not in the report")
    return builder.build()


class _Report:
    def __init__(self, builder: ProfileBuilder, pid: int | None) -> None:
        self.builder = builder
        self.tree = TreeReader(builder)
        self.wanted = pid
        self.saw_process = self.saw_wanted = False
        self._pid: int | None = None
        self._zero: int | None = None
        self._in_thread = self._tells_cpu_time = False

    def take(self, line: str) -> None:
        if found := _PROCESS.fullmatch(line):
            self._start_process(int(found[1]))
        elif not self.saw_process:
            self._take_header(line)
        elif self._pid is None or self._pid != self.wanted:
            return
        elif found := _THREAD.fullmatch(line):
            self._in_thread, self._zero = True, None
            name = _THREAD_NAME.search(found[2])
            thread = Thread(name[1] if name else None, int(found[1], 16), self._pid)
            self.tree.start_thread(thread, self._ran_share(found[2]))
        elif line.lstrip().startswith("Binary Images:"):
            self._in_thread = False
        elif not self._in_thread and _CPU_TIME.match(line):
            self._tells_cpu_time = True
        elif self._in_thread:
            self._take_frame(line)

    def _start_process(self, pid: int) -> None:
        self.tree.finish()
        self.saw_process, self._in_thread, self._pid = True, False, pid
        self._tells_cpu_time = False
        if self.wanted is None:
            self.wanted = pid
        self.saw_wanted = self.saw_wanted or pid == self.wanted

    def _ran_share(self, attributes: str) -> float | None:
        """What part of its samples a thread ran: where CPU times are told, one without any ran never."""
        found = _THREAD_CPU.search(attributes)
        if found is None or not self.builder.period_s or not int(found[1]):
            return 0.0 if self._tells_cpu_time and found is None else None
        return float(found[2]) / (int(found[1]) * self.builder.period_s)

    def _take_header(self, line: str) -> None:
        if (found := _TARGET.fullmatch(line)) and self.wanted is None:
            self.wanted = int(found[1])
        elif found := _STEPS.fullmatch(line):
            self.builder.period_s = int(found[1]) / 1e3

    def _take_frame(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        if not found:
            return  # attributes of the thread, blank lines
        column = len(found[1]) + len(found[2])
        if self._zero is None:
            self._zero = column
        self.tree.take((column - self._zero) // 2, int(found[3]), _frame(found[4], bool(found[2])))


def _frame(text: str, is_kernel: bool) -> Frame:
    """Read `symbol + 1 (file.c:31,1 in module + 2) [0x…] (running) 1-49`."""
    body = text.partition(" [0x")[0].rstrip()
    name, opening, place = body.rpartition(" (")
    kind = "kernel" if is_kernel else "native"
    if not opening or not place.endswith(")"):
        return Frame(body or UNKNOWN, kind=kind)
    place = _OFFSET.sub("", place[:-1])
    at, _in, module = place.rpartition(" in ")
    source = _SOURCE.fullmatch(at) if at else None
    name = _OFFSET.sub("", name).strip()
    return Frame(
        name=UNKNOWN if name in ("???", "") else name,
        file=source[1] if source else None,
        line=(int(source[2]) or None) if source else None,
        module=(module if source else place) or None,
        kind=kind,
    )
