"""Side records that a test writes itself, in the form in which the kernel does."""

from __future__ import annotations

import struct

from monitord.stacks.lives import Lives
from monitord.stacks.rings import Lost


class Told:
    """Rings whose side records a test writes itself."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int, bytes]] = []
        self.lost = Lost()

    def side_records(self) -> list[tuple[int, int, bytes]]:
        told, self.waiting = self.waiting, []
        return told

    def add(self, kind: int, at_ns: int, pid: int, body: bytes, flags: int = 0) -> None:
        raw = (
            struct.pack("=IHH", kind, flags, 8 + len(body) + 16) + body + struct.pack("=IIQ", pid, pid, at_ns)
        )
        self.waiting.append((at_ns, pid, raw))

    def fork(self, at_ns: int, pid: int, parent: int) -> None:
        self.add(7, at_ns, pid, struct.pack("=IIIIQ", pid, parent, pid, parent, at_ns))

    def thread(self, at_ns: int, pid: int, thread: int) -> None:
        self.add(7, at_ns, pid, struct.pack("=IIIIQ", pid, pid, thread, pid, at_ns))

    def end(self, at_ns: int, pid: int, thread: int | None = None) -> None:
        self.add(4, at_ns, pid, struct.pack("=IIIIQ", pid, 1, thread or pid, 1, at_ns))

    def exec(
        self, at_ns: int, pid: int, name: str, *, is_exec: bool = True, thread: int | None = None
    ) -> None:
        body = struct.pack("=II", pid, thread or pid) + name.encode().ljust(16, b"\0")
        self.add(3, at_ns, pid, body, 1 << 13 if is_exec else 0)

    def map(self, at_ns: int, pid: int, start: int, path: str, length: int = 0x1000) -> None:
        body = struct.pack("=IIQQQIIQQII", pid, pid, start, length, 0, 8, 1, 7, 0, 5, 2)
        self.add(10, at_ns, pid, body + path.encode() + b"\0" * (8 - len(path) % 8))


def lives_of(told: Told) -> Lives:
    return Lives(told)  # type: ignore[arg-type]  # all that Lives asks of rings
