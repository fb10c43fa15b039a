"""Collects stacks into a Profile and holds every limit while doing so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from monitord.profiles.limits import (
    MAX_CELLS,
    MAX_DEPTH,
    MAX_FRAMES,
    MAX_NAME,
    MAX_STACKS,
    MAX_VALUE,
    LineReader,
)
from monitord.profiles.representation import OTHER_STACKS, OUTER_LEFT_OUT, Frame, Profile, Thread
from monitord.redaction import redact_name

_STACKS_LEFT_OUT = f"distinct stacks beyond the limit are counted as {OTHER_STACKS}"
_DEEP = f"stacks deeper than {MAX_DEPTH:,} frames lost their outer frames"


class ProfileBuilder:
    """Takes frames and stacks one by one; `build` gives the Profile.

    Here every name that a process gave comes in, so here secrets in names are hidden. Beyond a limit nothing
    fails: deep stacks lose their outer frames, and stacks too many in number are counted under one name. The
    profile's notes say so.
    """

    def __init__(self, tool: str, *, unit: str = "samples") -> None:
        self.tool = tool
        self.unit = unit
        self.period_s: float | None = None
        self.errors = 0
        self.looks: int | None = None
        self._numbers: dict[Frame, int] = {}
        self._known: dict[Frame, int] = {}
        self._threads: dict[Thread, Thread] = {}
        self._names: dict[str, str] = {}
        self._other: int | None = None
        self._stacks: dict[tuple[Thread, tuple[int, ...]], int | float] = {}
        self._sample_count = 0
        self._cells = 0
        self._notes: Counter[str] = Counter()

    def frame(self, frame: Frame) -> int:
        """Give the number of this frame, the same for equal frames."""
        number = self._known.get(frame)
        if number is not None:
            return number
        if (
            len(frame.name) > MAX_NAME
            or len(frame.file or "") > MAX_NAME
            or len(frame.module or "") > MAX_NAME
        ):
            self.note("overlong names were cut")
            return self.frame(
                Frame(frame.name[:MAX_NAME], _cut(frame.file), frame.line, _cut(frame.module), frame.kind)
            )
        if self.is_full:
            return self.other_frame()
        safe = Frame(
            self._safe(frame.name),
            frame.file and self._safe(frame.file),
            frame.line,
            frame.module and self._safe(frame.module),
            frame.kind,
        )
        return self._known.setdefault(frame, self._numbers.setdefault(safe, len(self._numbers)))

    def _safe(self, name: str) -> str:
        safe = self._names.get(name)
        if safe is None:
            safe = self._names[name] = redact_name(name)
        return safe

    def _safe_thread(self, thread: Thread) -> Thread:
        if not thread.name:
            return thread
        safe = self._threads.get(thread)
        if safe is None:
            safe = self._threads[thread] = replace(thread, name=self._safe(thread.name))
        return safe

    @property
    def is_full(self) -> bool:
        """Whether every frame that is not known yet becomes `other_frame`."""
        return len(self._known) >= MAX_FRAMES

    def other_frame(self) -> int:
        """The number that stands for all frames beyond the limit."""
        self._notes[_STACKS_LEFT_OUT] += 1
        if self._other is None:
            self._other = self._numbers.setdefault(Frame(OTHER_STACKS, kind="native"), len(self._numbers))
        return self._other

    def add(
        self, thread: Thread, root_first: Sequence[int], value: int | float = 1, samples: int | None = None
    ) -> None:
        """Count a stack. Values must be positive and finite; others count as an error."""
        if not root_first or not 0 < value <= MAX_VALUE:
            self.errors += 1
            return
        if len(root_first) > MAX_DEPTH:
            outer = self.frame(Frame(OUTER_LEFT_OUT, kind="native"))
            root_first = (outer, *root_first[-MAX_DEPTH:])
            self.note(_DEEP)
        key = (self._safe_thread(thread), tuple(root_first))
        if key not in self._stacks and not self._has_room(len(root_first)):
            self.note(_STACKS_LEFT_OUT)
            key = (Thread(), (self.frame(Frame(OTHER_STACKS, kind="native")),))
        self._stacks[key] = self._stacks.get(key, 0) + value
        self._sample_count += int(value) if samples is None else samples

    def note(self, text: str) -> None:
        """Remember a limitation; said once, with its count."""
        self._notes[text] += 1

    def read_all(self, reader: LineReader) -> None:
        """Take over what the reader had to leave out."""
        if reader.overlong:
            self.errors += reader.overlong
            self.note("overlong lines were left out")
        if reader.is_cut:
            self.note("the input was longer than is read; the rest was left out")

    @property
    def is_empty(self) -> bool:
        return not self._stacks

    def build(self) -> Profile:
        """Give what was collected; possibly no stack at all."""
        return Profile(
            tool=self.tool,
            frames=list(self._numbers),
            stacks=self._stacks,
            sample_count=self._sample_count,
            unit=self.unit,
            period_s=self.period_s,
            errors=self.errors,
            notes=tuple(
                text if count == 1 else f"{text} ({count:,} times)" for text, count in self._notes.items()
            ),
            looks=self.looks,
        )

    def _has_room(self, depth: int) -> bool:
        if len(self._stacks) >= MAX_STACKS or self._cells + depth > MAX_CELLS:
            return False
        self._cells += depth
        return True


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:MAX_NAME]
