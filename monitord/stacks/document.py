"""What the ring and the Python stacks say together: the document `ring`, before its native frames have names.

Beside the document's own keys it has `places`: for each frame without a name where its code lies: a file's
number and offset, an address of the kernel, or one of code that was made while it ran. `files`: path, device,
inode, when it was first seen to run. `capture/ring_names.py` puts names in their place. Pure.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitord.model import counted
from monitord.procfs import TICKS_PER_S
from monitord.redaction import redact_name
from monitord.stacks.family import Family, Member, member_at
from monitord.stacks.life import Code, Life
from monitord.stacks.readings import PythonFrame

FORMAT, VERSION = "monitord-ring", 1
NEAR_NS = 250_000_000  # a Python stack says what the thread did at most so long before or after
KERNEL = 1 << 63
SAMPLES_CAP = 20_000
_STACKS_CAP = 5_000
_CHAINS_CAP = 2_000  # addresses that are remembered with what they became
_ADDRESSES_CAP = 150_000  # that are looked up: about half a second
_FRAMES_CAP = 16_000
_TEXT_CAP_BYTES = 4 << 20  # of all names and paths together, as JSON writes them
_WIDE_BYTES = 12  # a letter beyond ASCII takes so much at most
_LEAF_FRAMES_CAP = 16  # below Python's own
_INTERPRETER = re.compile(r"/(lib)?python[23][0-9.]*[a-z]*(\.so[0-9.]*)?( \(deleted\))?$")
_NS_PER_TICK = 1_000_000_000 // TICKS_PER_S
_OTHER_STACKS, _OTHER_CODE, UNKNOWN = "[other stacks]", "[other code]", "[unknown]"
_OURS = (_OTHER_STACKS, _OTHER_CODE, UNKNOWN)
_DISCARDED = "discarded, because they are of another"
Sample = tuple[int, int, int, Sequence[int]]
Reading = tuple[int, int, int, Sequence[PythonFrame]]


@dataclass(frozen=True, slots=True)
class Span:
    """When what fired the alert began, how often and of which processes samples were taken, what was lost.

    It reaches to `until_ns`, though the last sample may be older; None: to that.
    """

    since_ns: int | None
    rate_hz: int
    scope: str
    counts: Mapping[str, int] = field(default_factory=dict)
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes, and what is needed to judge them; `python_count` samples have a stack of Python."""

    payload: bytes
    sample_count: int
    python_count: int
    error_count: int
    process_count: int
    began_ns: int
    ended_ns: int
    rate_hz: int
    scope: str


class _Table:
    """Keys and their numbers, in the order in which they came."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.rows: list[object] = []

    def number(self, key: object, row: object = None) -> int:
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = len(self.rows)
            self.rows.append(key if row is None else row)
        return found


class CodePlaces:
    """Which file lay at an address of one process at a moment."""

    def __init__(self, life: Life) -> None:
        self._mappings = sorted(life.mappings)
        self._starts = [one.start for one in self._mappings]
        self._hidden = life.hidden
        self._turns = sorted({at_ns or 0 for one in life.hidden for at_ns in (one.from_ns, one.until_ns)})

    def turn(self, at_ns: int) -> int:
        """The same number for moments between which nothing was mapped over other code."""
        return bisect_right(self._turns, at_ns)

    def at(self, address: int, at_ns: int) -> Code | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._mappings[index].end and self._mappings[index].from_ns <= at_ns:
            return self._mappings[index]
        hidden = (one for one in self._hidden if one.start <= address < one.end)
        return next((one for one in hidden if one.from_ns <= at_ns < (one.until_ns or 0)), None)


class DocumentBuilder:
    """Takes samples, oldest first, of the members of a family; the rest is not kept."""

    def __init__(self, family: Family, readings: Iterable[Reading]) -> None:
        self._family = family
        self._python: dict[tuple[int, int], tuple[list[int], list[Sequence[PythonFrame]]]] = {}
        self._pythons: dict[int, bool] = {}
        self._code: dict[int, CodePlaces] = {}
        self._chains: dict[tuple[int, int, bool, tuple[int, ...]], list[int]] = {}
        for at_ns, pid, tid, stack in readings:
            times, stacks = self._python.setdefault((pid, tid), ([], []))
            times.append(at_ns)
            stacks.append(stack)
        self._processes, self._threads = _Table(), _Table()
        kept = (member for members in family.values() for member in members if member.is_kept)
        self._members = sorted(kept, key=lambda member: (not member.is_target, member.life.from_ns))
        for member in self._members:  # also who did not run itself: its children did
            self._processes.number(id(member))
        self._files, self._frames, self._stacks = _Table(), _Table(), _Table()
        self._places: list[object] = []
        self._samples: list[list[int]] = []
        self._discarded_exec = self._discarded_life = self._python_count = 0
        self._text_bytes, self._addresses_left, self._left_out = 0, _ADDRESSES_CAP, 0
        self._at_ns = 0

    def add(self, sample: Sample) -> None:
        """Keep a sample, unless it is another process' or another program's."""
        at_ns, pid, tid, ips = sample
        self._at_ns = at_ns
        members = self._family.get(pid)
        if not members:
            return
        member = member_at(members, at_ns)
        if member is None:
            self._discarded_life += 1
            return
        if not member.is_kept:
            self._discarded_exec += member.is_asked
            return
        process = self._processes.number(id(member))
        if not ips and self._near(pid, tid, at_ns, member) is None:
            return  # nothing is known but that it ran
        thread = self._threads.number((process, tid))
        stack = self._stack(at_ns, tid, member, process, ips)
        key: object = tuple(stack)
        if key not in self._stacks.numbers and len(self._stacks.rows) >= _STACKS_CAP:
            key = (self._named(_OTHER_STACKS),)
        self._samples.append([at_ns, thread, self._stacks.number(key), 1])

    # ------------------------------------------------------------------------------------------- stacks

    def _stack(self, at_ns: int, tid: int, member: Member, process: int, ips: Sequence[int]) -> list[int]:
        python = self._near(member.life.pid, tid, at_ns, member)
        is_python = python is not None or self._is_python(member, process)
        key = (process, self._places_of(member, process).turn(at_ns), is_python, tuple(ips))
        if key not in self._chains:  # most come again
            self._chains[key] = self._translated(member, process, is_python, ips)
        frames = self._chains[key]
        if python is None:
            return frames
        self._python_count += 1
        return [self._python_frame(frame) for frame in python] + frames[1:]

    def _translated(self, member: Member, process: int, is_python: bool, ips: Sequence[int]) -> list[int]:
        if len(self._chains) >= _CHAINS_CAP:
            self._chains.clear()
        if self._addresses_left <= 0:
            self._left_out += 1
            return [self._named(_OTHER_CODE)]
        self._addresses_left -= len(ips)
        code = self._below_python if is_python else self._native
        return code(self._places_of(member, process), process, ips)

    def _places_of(self, member: Member, process: int) -> CodePlaces:
        if process not in self._code:
            self._code[process] = CodePlaces(member.life)
        return self._code[process]

    def _is_python(self, member: Member, process: int) -> bool:
        """Whether the names of its native frames would be those of an interpreter."""
        if process not in self._pythons:
            self._pythons[process] = any(_INTERPRETER.search(one.path) for one in member.life.mappings)
        return self._pythons[process]

    def _near(self, pid: int, tid: int, at_ns: int, member: Member) -> Sequence[PythonFrame] | None:
        """The nearest stack that was read of that thread, of the same program."""
        times, stacks = self._python.get((pid, tid), ([], []))
        at = bisect_left(times, at_ns)
        near = [
            (abs(times[index] - at_ns), index)
            for index in (at - 1, at)
            if 0 <= index < len(times) and member_at(self._family[pid], times[index]) is member
        ]
        distance, index = min(near, default=(NEAR_NS + 1, -1))
        return stacks[index] if distance <= NEAR_NS else None

    def _python_frame(self, frame: PythonFrame) -> int:
        name, file, line = frame
        kind = "python" if file else "native"
        return self._frame((name, file, line, None, kind), None)

    def _native(self, code: CodePlaces, process: int, ips: Sequence[int]) -> list[int]:
        frames = [self._frame_at(code.at(at, self._at_ns), process, at) for at in _calls(ips)]
        return frames[::-1] or [self._named(UNKNOWN)]

    def _below_python(self, code: CodePlaces, process: int, ips: Sequence[int]) -> list[int]:
        """One frame for the interpreter; then what an extension or the kernel did when Python called it."""
        found: list[int] = []
        for at in _calls(ips[: _LEAF_FRAMES_CAP + 1]):
            mapped = code.at(at, self._at_ns)
            if mapped is not None and _INTERPRETER.search(mapped.path):
                return [self._named(f"[{_file_name(mapped.path)}]"), *found[::-1]]
            found.append(self._frame_at(mapped, process, at))
        return [self._named("[python]"), *found[:1]]  # it never came back there: only the leaf is sure

    def _frame_at(self, mapped: Code | None, process: int, at: int) -> int:
        """The number of the frame for an address."""
        if at >= KERNEL:
            return self._frame((None, None, None, "[kernel]", "kernel"), ("kernel", at))
        if mapped is not None and mapped.inode:
            number = self._file(mapped)
            if number is None:
                return self._named(_OTHER_CODE)
            place = ("file", number, at - mapped.start + mapped.offset)
            return self._frame((None, None, None, _file_name(mapped.path), "native"), place)
        if mapped is not None and mapped.path.startswith("[v"):  # [vdso], [vsyscall]
            return self._named(mapped.path)
        return self._frame((UNKNOWN, None, None, None, "native"), ("made", process, at))

    def _named(self, name: str) -> int:
        return self._frame((name, None, None, None, "native"), None)

    def _file(self, mapped: Code) -> int | None:
        """The number of a file; None where there is no room for its path."""
        key = (mapped.path, mapped.device, mapped.inode)
        if key not in self._files.numbers and not self._has_room(mapped.path):
            self._left_out += 1
            return None
        return self._files.number(key, (*key, self._at_ns))

    def _frame(self, frame: tuple[str | int | None, ...], place: tuple[object, ...] | None) -> int:
        """Its number. Addresses and names are the target's to choose: there is room for so many only."""
        is_ours = place is None and frame[0] in _OURS
        if not is_ours and (frame, place) not in self._frames.numbers:
            texts = (part for part in frame if isinstance(part, str))
            if len(self._frames.rows) >= _FRAMES_CAP or not self._has_room(*texts):
                self._left_out += 1
                return self._named(_OTHER_CODE)
        number = self._frames.number((frame, place), frame)
        if number == len(self._places):
            self._places.append(place)
        return number

    def _has_room(self, *texts: str) -> bool:
        """Whether these texts may be kept; they are counted if so."""
        wanted = sum(len(text) * (1 if text.isascii() else _WIDE_BYTES) for text in texts)
        is_room = self._text_bytes + wanted <= _TEXT_CAP_BYTES
        self._text_bytes += wanted if is_room else 0
        return is_room

    # --------------------------------------------------------------------------------------- the result

    def build(self, span: Span, notes: Sequence[str] = ()) -> Document | None:
        """The document; None without a sample."""
        if not self._samples:
            return None
        began_ns, ended_ns = self._samples[0][0], max(self._samples[-1][0], span.until_ns or 0)
        for sample in self._samples:
            sample[0] -= began_ns
        told = {
            "format": FORMAT,
            "version": VERSION,
            "clock": "boottime",
            "began_ns": began_ns,
            "ended_ns": ended_ns,
            "since_ns": span.since_ns,
            "rate_hz": span.rate_hz,
            "scope": span.scope,
            "processes": [_told(member) for member in self._members],
            "threads": self._threads.rows,
            "frames": self._frames.rows,
            "stacks": self._stacks.rows,
            "samples": self._samples,
            **{name: span.counts.get(name, 0) for name in ("lost", "unreadable", "impossible")},
            "notes": [*notes, *self._own_notes()],
            "places": self._places,
            "files": self._files.rows,
        }
        payload = json.dumps(told, separators=(",", ":")).encode("ascii")
        return Document(
            payload=payload,
            sample_count=len(self._samples),
            python_count=self._python_count,
            error_count=span.counts.get("unreadable", 0) + span.counts.get("impossible", 0),
            process_count=len({process for process, _tid in self._threads.numbers}),
            began_ns=began_ns,
            ended_ns=ended_ns,
            rate_hz=span.rate_hz,
            scope=span.scope,
        )

    def _own_notes(self) -> list[str]:
        found = []
        if self._discarded_exec:
            found.append(f"{_DISCARDED} program, before an exec: {counted(self._discarded_exec, 'sample')}")
        if self._discarded_life:
            found.append(f"{_DISCARDED} process that had the pid: {counted(self._discarded_life, 'sample')}")
        if self._left_out:
            found.append(
                f"not told apart, because there are too many: {counted(self._left_out, 'place')} in code"
            )
        return found


def _calls(ips: Sequence[int]) -> Iterator[int]:
    """Where code was, the leaf first: what a call returns to lies behind it."""
    return (at - 1 if index else at for index, at in enumerate(ips))


def _file_name(path: str) -> str:
    return path.removesuffix(" (deleted)").rpartition("/")[2]


def _told(member: Member) -> dict[str, object]:
    life = member.life
    return {
        "pid": life.pid,
        "start_ns": life.began_ns,
        "start_ticks": None if life.began_ns is None else life.began_ns // _NS_PER_TICK,
        "name": redact_name(life.name),
        "parent_pid": life.parent_pid,
        "ended_ns": life.ended_ns,
        "is_target": member.is_target,
    }
