"""Documents of the black box as the recorder writes them, for tests: what ran, second by second."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

RATE_HZ = 19
BEGAN_NS = 500_000_000_000
_SECOND_NS = 1_000_000_000

Call = tuple[str, str | None, int | None, str | None, str]


def python(name: str, file: str = "/srv/shop/orders.py", line: int = 10) -> Call:
    return (name, file, line, None, "python")


def native(name: str, module: str = "/usr/lib/libfoo.so") -> Call:
    return (name, None, None, module, "native")


@dataclass
class RingDocument:
    """A document in the making. Processes and threads are numbered in the order in which they are added."""

    length_s: float = 100.0
    scope: str = "machine"
    processes: list[dict[str, object]] = field(default_factory=list)
    threads: list[list[int]] = field(default_factory=list)
    frames: list[list[object]] = field(default_factory=list)
    stacks: list[list[int]] = field(default_factory=list)
    samples: list[list[int]] = field(default_factory=list)
    others: dict[str, object] = field(default_factory=dict)

    def process(self, pid: int, name: str = "shop", **facts: object) -> int:
        """Add a process and its main thread; the thread's number."""
        known: Mapping[str, object] = {
            "pid": pid, "start_ticks": 1000, "name": name, "parent_pid": 1, "ended_ns": None, "is_target": False,
        }  # fmt: skip
        self.processes.append({**known, **facts})
        return self.thread(len(self.processes) - 1, pid)

    def thread(self, process: int, tid: int) -> int:
        self.threads.append([process, tid])
        return len(self.threads) - 1

    def ran(
        self, thread: int, stack: Sequence[Call], begin_s: float, end_s: float, share: float = 1.0
    ) -> None:
        """From one second to another that thread ran this stack (root first) at a share of one core."""
        number = self._stack(stack)
        count = round((end_s - begin_s) * RATE_HZ * share)
        for index in range(count):
            at_s = begin_s + (end_s - begin_s) * index / count
            self.samples.append([int(at_s * _SECOND_NS), thread, number, 1])

    def as_dict(self) -> dict[str, object]:
        return {
            "format": "monitord-ring", "version": 1, "clock": "boottime", "began_ns": BEGAN_NS,
            "ended_ns": BEGAN_NS + int(self.length_s * _SECOND_NS), "rate_hz": RATE_HZ, "scope": self.scope,
            "processes": self.processes, "threads": self.threads, "frames": self.frames,
            "stacks": self.stacks, "samples": sorted(self.samples), "lost": 0, "unreadable": 0,
            "impossible": 0, "notes": [], **self.others,
        }  # fmt: skip

    def payload(self) -> bytes:
        return json.dumps(self.as_dict()).encode()

    def _stack(self, calls: Iterable[Call]) -> int:
        numbers = [self._number(self.frames, list(call)) for call in calls]
        return self._number(self.stacks, numbers)

    @staticmethod
    def _number(table: list[list[object]] | list[list[int]], entry: list[object] | list[int]) -> int:
        if entry not in table:
            table.append(entry)  # type: ignore[arg-type]  # both are lists of one kind
        return table.index(entry)  # type: ignore[arg-type]


def shop(pid: int = 4321) -> RingDocument:
    """A shop that loads orders for 8 s and then prices baskets for 12 s, beside a busy stranger."""
    made = RingDocument()
    main = made.process(pid, "shop", is_target=True)
    stranger = made.process(99, "stranger")
    made.ran(main, [python("<module>"), python("load_orders", line=20)], 80, 88, 0.3)
    made.ran(main, [python("<module>"), python("price_basket", line=30)], 88, 100, 0.95)
    made.ran(stranger, [native("spin", "/usr/bin/stranger")], 0, 100)
    return made


def many_lives(n: int) -> bytes:
    """As many lives of one pid, threads, frames and stacks, each sample of another one."""
    lives = [
        {"pid": 5, "parent_pid": 5, "start_ticks": k, "name": "x" * k, "is_target": not k} for k in range(n)
    ]
    document = {
        "format": "monitord-ring", "version": 1, "began_ns": 0, "ended_ns": n, "rate_hz": 19, "processes": lives,
        "threads": [[k, k] for k in range(n)], "frames": [[f"f{k}", "/a", 1, None, "python"] for k in range(n)],
        "stacks": [[k, 0] for k in range(n)], "samples": [[k, k, k, 1] for k in range(n)], "notes": ["x" * n],
    }  # fmt: skip
    return json.dumps(document).encode()
