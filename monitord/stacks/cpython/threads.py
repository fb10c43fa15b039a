"""Thread states of all interpreters of a process, by the id that the kernel gives the thread.

CPython keeps the id of its own pid namespace: /proc says which that is. The list is walked again for a thread
that is not in it, but at most so often that walking takes one percent of a core.
"""

from __future__ import annotations

import struct
import time

from monitord import procfs
from monitord.procfs.memory import Memory
from monitord.symbols.cpython_layouts import Layout

_INTERPRETERS_CAP, _THREADS_CAP = 64, 5000
_STATES_CAP = 8  # of one thread: one in each interpreter that it works for
_REST = 100
_NOBODY = -1
_PIECE = 256  # states that are read in one call


class Threads:
    """Where the states of threads lie. `runtime`: the address of _PyRuntime."""

    def __init__(self, memory: Memory, layout: Layout, runtime: int) -> None:
        self._memory, self._layout, self._runtime = memory, layout, runtime
        self._states: dict[int, tuple[int, ...]] = {}
        self._own_ids: dict[int, int] = {}
        self._is_inside = _own_id(memory.pid, memory.pid) not in (memory.pid, None)
        self._forked_id = _NOBODY
        self._walked_at = self._walk_s = 0.0
        self.size = max(layout.next_thread, layout.thread_id, layout.frame_path[0]) + 8

    def of(self, thread_id: int) -> tuple[int, ...]:
        """Addresses of the states of a thread, of the newest interpreter first; none: it runs no Python.

        Raises OSError when the process is gone or may not be read.
        """
        own_id = self._own_id(thread_id)
        if own_id not in self._states:
            self._walk()
        return self._states.get(own_id, ())

    def is_of(self, state: bytes, thread_id: int) -> bool:
        """Whether what was read is still the state of that thread."""
        found = struct.unpack_from("<Q", state, self._layout.thread_id)[0]
        return bool(found == self._own_id(thread_id)) or self._is_forked(found, thread_id)

    def forget(self, thread_id: int) -> None:
        """Its state is another's by now."""
        self._states.pop(self._own_id(thread_id), None)

    def _own_id(self, thread_id: int) -> int:
        if not self._is_inside:
            return thread_id
        if thread_id not in self._own_ids:
            if (found := _own_id(self._memory.pid, thread_id)) is None:
                return _NOBODY
            if len(self._own_ids) >= _THREADS_CAP:
                self._own_ids.clear()
            self._own_ids[thread_id] = found
        return self._own_ids[thread_id]

    def _is_forked(self, own_id: int, thread_id: int) -> bool:
        """Before 3.12 a forked child keeps its parent's id in its only state."""
        return thread_id == self._memory.pid and self._forked_id == own_id

    def _walk(self) -> None:
        began = time.monotonic()
        if began < self._walked_at + _REST * self._walk_s:
            return
        before = [address for addresses in self._states.values() for address in addresses]
        states = self._read_known(before)
        self._states, count = {}, 0
        for interpreter in self._interpreters():
            address = self._pointer(interpreter + self._layout.threads)
            seen: set[int] = set()
            while address and address not in seen and count < _THREADS_CAP:
                seen.add(address)
                count += 1
                state = states.get(address) or self._memory.read_many(((address, self.size),))[0]
                if state is None:
                    break
                own_id = struct.unpack_from("<Q", state, self._layout.thread_id)[0]
                self._states[own_id] = (*self._states.get(own_id, ()), address)[:_STATES_CAP]
                address = struct.unpack_from("<Q", state, self._layout.next_thread)[0]
        self._note_forked()
        self._walked_at = time.monotonic()
        self._walk_s = self._walked_at - began

    def _note_forked(self) -> None:
        main = self._own_id(self._memory.pid)
        if main not in self._states and len(self._states) == 1:
            self._forked_id = next(iter(self._states))
            self._states[main] = self._states[self._forked_id]

    def _read_known(self, addresses: list[int]) -> dict[int, bytes | None]:
        """Those that were there before, many in one call: their links are followed here."""
        found: dict[int, bytes | None] = {}
        for first in range(0, len(addresses), _PIECE):
            piece = addresses[first : first + _PIECE]
            read = self._memory.read_many([(address, self.size) for address in piece])
            found.update(zip(piece, read, strict=True))
        return found

    def _interpreters(self) -> list[int]:
        """The newest first."""
        found: list[int] = []
        address = self._pointer(self._runtime + self._layout.interpreters)
        while address and address not in found and len(found) < _INTERPRETERS_CAP:
            found.append(address)
            address = self._pointer(address + self._layout.next_interpreter)
        return found

    def _pointer(self, address: int) -> int:
        """Zero, too, where there is no memory."""
        return int.from_bytes(self._memory.read_many(((address, 8),))[0] or b"", "little")


def _own_id(pid: int, thread_id: int) -> int | None:
    """The id that the thread has in its own pid namespace; None: it has ended, or never was."""
    words = procfs.status_of(pid, thread_id).get("NSpid", "").split()
    return int(words[-1]) if words and words[-1].isdigit() else None
