"""Scalene's JSON: the stacks it saw. Source lines, memory timelines and per-line tables are left alone.

Scalene samples threads that wait as well: those whose last call waits are marked. `stacks` hold the Python
frames as words. `combined_stacks` hang the interpreter's own stack, from `main` on, below each Python leaf:
every leaf would be the interpreter's, so they are read only where there is nothing else. A program that was
too short leaves `{}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.idle_calls import waits_in_library
from monitord.profiles.limits import MAX_DEPTH, read_json, whole_number
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread

_WORD = re.compile(r"(.+) (\S{1,500}):([0-9]{1,9});?")


def parse_scalene(source: BinaryIO, *, pid: int | None = None) -> Profile:  # it names no process
    """Read Python's stacks or, without any, the combined ones; each counts as often as it was seen."""
    document = read_json(source)
    if not isinstance(document, Mapping) or (document and "stacks" not in document):
        raise ProfileError("invalid Scalene profile: expected an object with stacks")
    builder = ProfileBuilder("scalene")
    listed = document.get("stacks") or document.get("combined_stacks") or []
    if not isinstance(listed, list):
        raise ProfileError("invalid Scalene profile: expected a list of stacks")
    for entry in listed:
        _take(builder, entry)
    return builder.build()


def _take(builder: ProfileBuilder, entry: object) -> None:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], list):
        builder.errors += 1
        return
    frames, seen = entry
    count = whole_number(seen.get("count") if isinstance(seen, Mapping) else seen, 0) or 0
    stack = list(_frames(frames[-2 * MAX_DEPTH :]))
    idle = bool(stack) and waits_in_library(stack[-1].name, stack[-1].file)
    builder.add(Thread(is_idle=idle), [builder.frame(frame) for frame in stack], count)


def _frames(words: list[object]) -> Iterator[Frame]:
    for word in words:
        if isinstance(word, Mapping):
            yield _frame(word)
        elif isinstance(word, str) and (found := _WORD.fullmatch(word)) is not None:
            yield Frame(found[2], found[1], int(found[3]) or None)
        else:
            yield Frame(UNKNOWN)


def _frame(entry: Mapping[object, object]) -> Frame:
    name, place = entry.get("display_name"), entry.get("filename_or_module")
    name = name if isinstance(name, str) and name else UNKNOWN
    place = place if isinstance(place, str) and place else None
    if entry.get("kind") != "py":
        return Frame(name, module=place, kind="native")
    return Frame(name, place, max(0, whole_number(entry.get("line"), 0) or 0) or None)
