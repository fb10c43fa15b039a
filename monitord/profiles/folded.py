"""Folded stacks, `root;…;leaf count`: py-spy's raw form with its traps, and what `write_folded` writes.

Traps (all recorded): status lines end in a number too; `-t` puts the thread at the root; `-s` puts the full
command line of each process there, secrets, quotes, semicolons, line breaks and all: only the pid is taken.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.frame_text import process_of, read_frame, read_thread
from monitord.profiles.limits import MAX_FRAMES, MAX_NAME, LineReader
from monitord.profiles.representation import Profile, Thread

_STATUS = "py-spy>"
_ERRORS = re.compile(r"Samples: [0-9]{1,15} Errors: ([0-9]{1,15})")
_MAX_CACHED = MAX_FRAMES
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
        raise ProfileError("invalid folded stacks: no line is a stack with its count")
    return builder.build()


class _FoldedParser:
    """Remembers over line ends whether a command line is still open."""

    def __init__(self, builder: ProfileBuilder, pid: int | None) -> None:
        self._builder = builder
        self._pid = pid
        self._open_pid: int | None = None
        self._numbers: dict[str, int] = {}
        self._labels: dict[tuple[str, int | None], tuple[Thread, bool]] = {}
        self.lines = 0
        self.skipped = 0

    def take(self, line: str) -> None:
        if line.startswith(_STATUS):
            if found := _ERRORS.search(line):
                self._builder.errors += int(found[1])
            self.skipped += 1
            return
        self.lines += 1
        if self._open_pid is not None or (line.startswith("process ") and process_of(line) is not None):
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
        if self._pid is not None and pid is not None and pid != self._pid:
            self.skipped += 1
            return
        label, is_thread = self._label(words[0], pid)
        if is_thread:
            words = words[1:] or words
        known = self._numbers.get
        numbers = [known(word) for word in words]
        if None in numbers:
            numbers = [self._number(word) for word in words]
        self._builder.add(label, numbers, int(count))  # type: ignore[arg-type]  # none is None any more

    def _label(self, word: str, pid: int | None) -> tuple[Thread, bool]:
        """The thread that the first word names, if it does; few words stand first, so they are remembered."""
        found = self._labels.get((word, pid))
        if found is None:
            thread = read_thread(word)
            named = thread or Thread()
            found = Thread(named.name, named.thread_id, pid), thread is not None
            if len(self._labels) < _MAX_CACHED:
                self._labels[(word, pid)] = found
        return found

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is None:
            if self._builder.is_full and len(self._numbers) >= _MAX_CACHED:
                return self._builder.other_frame()  # without a look: there may be millions
            number = self._builder.frame(read_frame(word))
            if len(self._numbers) < _MAX_CACHED and len(word) <= 3 * MAX_NAME:
                self._numbers[word] = number
        return number


def _is_placed(word: str) -> bool:
    return (word.endswith(")") and " (" in word) or read_thread(word) is not None
