"""Python stacks read from outside, each with its thread and its time: bounded in number and in bytes.

Names are kept, never addresses: code objects die with their process. A stack is the numbers of its frames,
two bytes each, and the same stack is kept once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

PythonFrame = tuple[str, str | None, int | None]
"""Function, file, line; None: not known."""

_KEPT_NS = 150_000_000_000
_READINGS_CAP = 4096
_FRAMES_CAP = 60_000  # numbers have two bytes
_BYTES_CAP = 768 * 1024
_OUTER, _INNER = 15, 48  # of a deeper stack its root and its leaf are kept
_PER_READING, _PER_STACK, _PER_FRAME = 32, 140, 260  # what the interpreter adds to the texts
LEFT_OUT: PythonFrame = ("[frames left out]", None, None)


class PythonStacks:
    """The newest readings. Not for two threads at once: the box has a lock."""

    def __init__(self, bytes_cap: int = _BYTES_CAP) -> None:
        self._bytes_cap = bytes_cap
        self._forget_all()

    def _forget_all(self) -> None:
        self._at_ns, self._pids, self._tids = array("Q"), array("i"), array("i")
        self._stacks: list[bytes] = []
        self._known_stacks: dict[bytes, bytes] = {}
        self._frames: list[PythonFrame] = []
        self._numbers: dict[PythonFrame, int] = {}
        self._text_bytes = 0

    def __len__(self) -> int:
        return len(self._stacks)

    @property
    def bytes_held(self) -> int:
        """About how much memory they take. For any thread."""
        of_stacks = sum(len(stack) + _PER_STACK for stack in tuple(self._known_stacks))
        return _PER_READING * len(self) + of_stacks + self._text_bytes

    def add(self, at_ns: int, pid: int, tid: int, stack: Sequence[PythonFrame]) -> None:
        """Keep one reading; the stack is root first. Older ones go when room is short."""
        if len(stack) > _OUTER + _INNER:
            stack = (*stack[:_OUTER], LEFT_OUT, *stack[-_INNER:])
        self._put(at_ns, pid, tid, stack)
        if len(self) >= _READINGS_CAP or self._is_full():
            self._make_room(at_ns)

    def _is_full(self) -> bool:
        # The sum over all stacks only now and then: a stack is small beside its frames.
        if len(self._frames) > _FRAMES_CAP or self._text_bytes > self._bytes_cap:
            return True
        return len(self) % 64 == 0 and self.bytes_held > self._bytes_cap

    def _put(self, at_ns: int, pid: int, tid: int, stack: Sequence[PythonFrame]) -> None:
        packed = array("H", map(self._number, stack)).tobytes()
        self._at_ns.append(at_ns)
        self._pids.append(pid)
        self._tids.append(tid)
        self._stacks.append(self._known_stacks.setdefault(packed, packed))

    def _number(self, frame: PythonFrame) -> int:
        number = self._numbers.get(frame)
        if number is None:
            number = self._numbers[frame] = len(self._frames)
            self._frames.append(frame)
            self._text_bytes += _PER_FRAME + len(frame[0]) + len(frame[1] or "")
        return number

    def _make_room(self, now_ns: int) -> None:
        """Drop what is too old, and a quarter at least; frames that only these had go with them."""
        least = len(self) // 4
        kept = [
            (at_ns, pid, tid, self._named(stack))
            for at_ns, pid, tid, stack in list(
                zip(self._at_ns, self._pids, self._tids, self._stacks, strict=True)
            )[least:]
            if now_ns - at_ns <= _KEPT_NS
        ]
        self._forget_all()
        for reading in kept:
            self._put(*reading)
        if self.bytes_held > self._bytes_cap and len(self) > 1:
            self._make_room(now_ns)

    def _named(self, packed: bytes) -> tuple[PythonFrame, ...]:
        numbers = array("H")
        numbers.frombytes(packed)
        return tuple(self._frames[number] for number in numbers)

    def since(self, since_ns: int, until_ns: int) -> Iterator[tuple[int, int, int, tuple[PythonFrame, ...]]]:
        """(when, pid, tid, stack) of each reading in that time, oldest first."""
        named: dict[bytes, tuple[PythonFrame, ...]] = {}
        for at_ns, pid, tid, stack in zip(self._at_ns, self._pids, self._tids, self._stacks, strict=True):
            if since_ns <= at_ns <= until_ns:
                if stack not in named:
                    named[stack] = self._named(stack)
                yield at_ns, pid, tid, named[stack]
