"""The Python of one process: found, told apart by its version, and asked for the stacks of its threads."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from monitord import procfs
from monitord.model import ProcessKey
from monitord.procfs.memory import Memory, ReadBuffer
from monitord.stacks.cpython.codes import Code, Codes, Frame
from monitord.stacks.cpython.refusals import (
    ImpossibleStackError,
    NotPythonError,
    StackError,
    UnknownLayoutError,
    UnreadableError,
)
from monitord.stacks.cpython.runtime import runtime_of
from monitord.stacks.cpython.threads import Threads
from monitord.stacks.cpython.walking import OF_THREAD, RawFrame, State, Walk, frame_struct

TRUNCATED: Frame = ("[deeper frames]", None, None)
_TRIES = 4
_STATES_CAP = 64  # whose ranges are kept
_PAGE = 4096
_CHUNK_HEADS = (
    24,
    32,
)  # where the first frame of a piece of the data stack lies


class Interpreter:
    """A CPython that was running when it was attached to. Nothing in it is stopped or changed."""

    def __init__(self, key: ProcessKey, image: tuple[int, int], memory: Memory) -> None:
        self.key, self._image, self._memory = key, image, memory
        runtime, self._layout = runtime_of(memory)
        self._threads = Threads(memory, self._layout, runtime)
        self._codes = Codes(memory, self._layout)
        self._frame = frame_struct(self._layout)
        self._states: dict[int, State] = {}

    @classmethod
    def attach(cls, pid: int, buffer: ReadBuffer | None = None) -> Interpreter:
        """Find the interpreter of a process; `buffer` is shared by all that one thread reads.

        Raises NotPythonError, UnknownLayoutError, or UnreadableError (gone, not allowed, not ready).
        """
        stat = procfs.stat_of(pid)
        if stat is None or stat.state == "Z":
            raise UnreadableError("the process is gone")
        if stat.is_kernel_thread:
            raise NotPythonError("it is a thread of the kernel")
        if not any(stat.image):
            raise UnreadableError("its memory may not be read, or it is being executed")
        try:
            found = cls(ProcessKey(pid, stat.start_ticks), stat.image, Memory(pid, buffer))
        except (OSError, struct.error) as error:
            raise UnreadableError(_reason(error)) from error
        except UnknownLayoutError as error:
            if procfs.image_of(pid) == stat.image:
                raise
            raise UnreadableError("the process became another one") from error  # half of it was read of each
        if not found.is_same():
            raise UnreadableError("the process became another one")
        return found

    @property
    def version(self) -> tuple[int, int]:
        """(3, 12)."""
        return self._layout.version

    @property
    def is_free_threaded(self) -> bool:
        return self._layout.is_free_threaded

    @property
    def call_count(self) -> int:
        """How many system calls have read its memory so far."""
        return self._memory.call_count

    def is_same(self) -> bool:
        """Whether the process is still the one that was attached to, running the same program."""
        return procfs.key_of(self.key.pid) == self.key and procfs.image_of(self.key.pid) == self._image

    def stack(self, thread_id: int) -> tuple[Frame, ...] | None:
        """What a thread of the process runs now, the outermost function first; None: no Python function.

        Of more than a thousand calls the innermost, behind TRUNCATED.
        Raises UnreadableError, ImpossibleStackError.
        """
        problem: StackError | None = None
        for _ in range(_TRIES):
            try:
                return self._stack(thread_id, is_last=problem is not None)
            except StackError as error:
                problem = error
            except (OSError, struct.error) as error:
                raise UnreadableError(_reason(error)) from error
        raise problem or UnreadableError("it changes faster than it can be read")

    def _stack(self, thread_id: int, *, is_last: bool) -> tuple[Frame, ...] | None:
        for address in self._threads.of(thread_id):
            state = self._state(address)
            walk = Walk(self._memory, self._layout, state)
            if not self._threads.is_of(walk.head, thread_id):
                self._threads.forget(thread_id)
                raise UnreadableError("its threads changed")
            frames, is_whole = walk.frames(self._frame)
            if not frames:
                continue
            if walk.missed > 1 and not is_last:
                raise UnreadableError("it moves")  # read in several calls: now one will do
            return self._named(frames, is_whole=is_whole)
        return None

    def _state(self, address: int) -> State:
        state = self._states.get(address)
        if state is None:
            if len(self._states) >= _STATES_CAP:
                self._states.clear()
            state = self._states[address] = State(address, self._threads.size)
        return state

    def _named(self, frames: Sequence[RawFrame], *, is_whole: bool) -> tuple[Frame, ...] | None:
        codes = self._codes.of(frame[1] for frame in frames)
        places: list[tuple[Code, int]] = []
        above: int | None = None
        for address, of, instruction, owner, index in frames:
            code = codes[of]
            if code is None:
                raise ImpossibleStackError("a frame has no code")
            if owner == OF_THREAD:
                if above is not None and not _fits(address + code.frame_bytes, above):
                    raise ImpossibleStackError("a frame does not reach to the one it called")
                above = address
            if not code.is_own:
                places.append((code, instruction - self._codes.beginning(code, index)))
        named = self._codes.frames(places)
        if not is_whole:
            named[-1:] = [TRUNCATED]
        return tuple(reversed(named)) or None


def _fits(end: int, above: int) -> bool:
    """Frames of the data stack follow each other without a gap, but for the first one of a piece of it."""
    return end == above or above % _PAGE in _CHUNK_HEADS


def _reason(error: OSError | struct.error) -> str:
    if isinstance(error, ProcessLookupError):
        return "the process is gone"
    if isinstance(error, PermissionError):
        return "its memory may not be read: run monitord as its user or root, or give it CAP_SYS_PTRACE"
    return "its memory can't be read"
