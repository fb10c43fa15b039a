"""Collapsed stacks of Python 3.15's own sampler: `tid:N;file:function:line;… count`, base names only.

Its JSON lines hold no stacks, only sums per frame, so they are not read.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.limits import LineReader
from monitord.profiles.representation import Frame, Profile, Thread

_LINE = re.compile(r"tid:([0-9]{1,19});(.+) ([0-9]{1,15})")
_WORD = re.compile(r"(.{1,2000}):([^:]{1,2000}):([0-9]{1,9})")


def parse_tachyon(source: BinaryIO, *, pid: int | None = None) -> Profile:  # it names no process
    """Read the stacks of all threads."""
    builder = ProfileBuilder("tachyon")
    reader = LineReader(source)
    saw_anything = False
    for line in reader:
        if not line.strip():
            continue
        saw_anything = True
        found = _LINE.fullmatch(line)
        if found is None:
            builder.errors += 1
            continue
        numbers = [builder.frame(_frame(word)) for word in found[2].split(";")]
        builder.add(Thread(thread_id=int(found[1])), numbers, int(found[3]))
    builder.read_all(reader)
    if saw_anything and builder.is_empty:
        raise ProfileError("invalid collapsed stacks: no line is a stack with its thread and count")
    return builder.build()


def _frame(word: str) -> Frame:
    found = _WORD.fullmatch(word)
    if found is None:
        return Frame(word, kind="native")
    return Frame(found[2], found[1], int(found[3]) or None)
