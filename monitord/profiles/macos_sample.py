"""macOS `sample`'s report. Written from public descriptions of the format: no Mac was at hand.

Two columns per level below the thread lines; `+ ! : |` are decoration; some pasted reports lost the first
four columns, so the first thread line sets the zero.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.limits import LineReader
from monitord.profiles.macos_tree import TreeReader
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread

_ANALYSIS = re.compile(
    r"Analysis of sampling .{0,1000}? \(pid ([0-9]{1,10})\) every ([0-9]{1,9}) millisecond"
)
_LINE = re.compile(r"([ +!:|]*+)([0-9]{1,15}) (.*)")
_THREAD = re.compile(r"Thread_([0-9A-Fa-fx]{1,20})(.*)")
_SOURCE = re.compile(r"(.+):([0-9]{1,9})")
_QUEUE = re.compile(r"DispatchQueue_[^:]{1,40}: (.{1,200}?)(?:  \(.*)?$")


def parse_sample(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read the call graph; `pid` must be the report's own, if given."""
    builder = ProfileBuilder("sample")
    tree = TreeReader(builder)
    reader = LineReader(source)
    zero: int | None = None
    target: int | None = None
    inside = False
    for line in reader:
        if not inside:
            inside = line.startswith("Call graph:")
            if found := _ANALYSIS.match(line):
                target, builder.period_s = int(found[1]), int(found[2]) / 1e3
            continue
        if not line.strip() or line.startswith("Total number in stack"):
            if zero is not None:
                break
            continue
        zero = _take(tree, builder, line, zero, target)
    tree.finish()
    builder.read_all(reader)
    if not inside:
        raise ProfileError(
            "invalid output of sample: it has no call graph (sample was refused, or its target had gone)"
        )
    if pid is not None and target not in (None, pid):
        raise ProfileError(f"the report is about process {target}, not {pid}")
    return builder.build()


def _take(
    tree: TreeReader, builder: ProfileBuilder, line: str, zero: int | None, pid: int | None
) -> int | None:
    """Read one line of the graph; gives the column that thread lines start at."""
    found = _LINE.fullmatch(line)
    if not found:
        builder.errors += 1
        return zero
    column = len(found[1])
    thread = _THREAD.fullmatch(found[3])
    if thread and (zero is None or column == zero):
        tree.start_thread(_thread(thread, pid))
        return column
    if zero is None:
        builder.errors += 1
        return None
    tree.take((column - zero) // 2 - 1, int(found[2]), _frame(found[3]))
    return zero


def _thread(found: re.Match[str], pid: int | None) -> Thread:
    number, rest = found[1], found[2]
    queue = _QUEUE.search(rest)
    name = queue[1] if queue else rest.removeprefix(":").partition("  ")[0].strip()
    thread_id = int(number, 16) if number.startswith("0x") else int(number) if number.isdecimal() else None
    return Thread(name or None, thread_id, pid)


def _frame(text: str) -> Frame:
    """Read `SYMBOL  (in MODULE) + OFFSETS  [ADDRESSES]  file.cpp:42`; symbols hold spaces and brackets."""
    symbol, marker, rest = text.partition("  (in ")
    name = symbol.strip()
    if not marker:
        return Frame(name or UNKNOWN, kind="native")
    module, _bracket, rest = rest.partition(")")
    last = rest.rpartition("  ")[2]
    place = _SOURCE.fullmatch(last) if not last.startswith(("[", "load ")) else None
    return Frame(
        name=UNKNOWN if name in ("???", "") else name,
        file=place[1] if place else None,
        line=(int(place[2]) or None) if place else None,
        module=module or None,
        kind="native",
    )
