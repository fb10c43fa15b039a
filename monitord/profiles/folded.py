"""Folded stacks, `root;…;leaf count`: py-spy's raw form with its traps, and what `write_folded` writes.

Traps (all recorded): status lines end in a number too; `-t` puts the thread at the root; `-s` puts the full
command line of each process there, secrets, quotes, semicolons, line breaks and all: only the pid is taken.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from monitord.profiles.building import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.limits import LineReader
from monitord.profiles.representation import Profile, Thread
from monitord.profiles.spelling import process_of, read_frame, read_thread

_STATUS = "py-spy>"
_ERRORS = re.compile(r"Samples: [0-9]{1,15} Errors: ([0-9]{1,15})")
_MAX_CACHED = 50_000
_COUNT = re.compile(r"[0-9]{1,15}")
_PROCESSES = re.compile(r'(?:^|";)process ([0-9]{1,10}):"')
_CLOSING = '";'


def parse_folded(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read folded stacks; with `pid`, only those of that process where processes are named."""
    builder = ProfileBuilder("folded")
    reader = LineReader(source)
    parser = _FoldedParser(builder, pid)
    for line in reader:
        if line.strip():
            parser.take(line)
    builder.read_all(reader)
    if builder.is_empty and parser.lines and not parser.skipped:
        raise ProfileError("no line of this file is a stack with its count")
    return builder.build()


class _FoldedParser:
    """Remembers over line ends whether a command line is still open."""

    def __init__(self, builder: ProfileBuilder, pid: int | None) -> None:
        self._builder = builder
        self._pid = pid
        self._open_pid: int | None = None
        self._numbers: dict[str, int] = {}
        self.lines = 0
        self.skipped = 0

    def take(self, line: str) -> None:
        if line.startswith(_STATUS):
            if found := _ERRORS.search(line):
                self._builder.errors += int(found[1])
            self.skipped += 1
            return
        self.lines += 1
        if process_of(line) is not None or self._open_pid is not None:
            self._take_processes(line)
            return
        stack, _space, count = line.rpartition(" ")
        self._take_stack(stack.split(";"), count, None)

    def _take_processes(self, line: str) -> None:
        """Throw the command lines away: everything up to the last closing quote of a process word."""
        pids = _PROCESSES.findall(line)
        pid = int(pids[-1]) if pids else self._open_pid
        _dropped, closing, rest = line.rpartition(_CLOSING)
        stack, _space, count = rest.rpartition(" ")
        words = stack.split(";")
        if not closing or not _COUNT.fullmatch(count) or not all(map(_is_placed, words)):
            self._open_pid = pid  # a line break inside the command line: the stack is still to come
            self._builder.errors += not closing and line.endswith('"')
            return
        self._open_pid = None
        self._take_stack(words, count, pid)

    def _take_stack(self, words: list[str], count: str, pid: int | None) -> None:
        if not _COUNT.fullmatch(count) or not words[0]:
            self._builder.errors += 1
            return
        thread = read_thread(words[0])
        if thread is not None:
            words = words[1:] or [words[0]]
        if self._pid is not None and pid is not None and pid != self._pid:
            self.skipped += 1
            return
        label = Thread(thread.name if thread else None, thread.thread_id if thread else None, pid)
        self._builder.add(label, [self._number(word) for word in words], int(count))

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is None:
            number = self._builder.frame(read_frame(word))
            if len(self._numbers) < _MAX_CACHED:
                self._numbers[word] = number
        return number


def _is_placed(word: str) -> bool:
    return (word.endswith(")") and " (" in word) or read_thread(word) is not None
