"""Who holds the machine's memory: each process, and the kernel's own parts; and who grew."""

from __future__ import annotations

import os
from dataclasses import dataclass

from monitord import procfs
from monitord.causes import words
from monitord.causes.observed import OfMachine

_PROCESSES_CAP = 8000
_TOLD = 40
_NAME_CAP = 64
PARTS = {
    "Shmem": "shared memory and tmpfs", "SUnreclaim": "the kernel's slab", "PageTables": "page tables",
    "Hugetlb": "reserved huge pages", "KernelStack": "kernel stacks", "Percpu": "the kernel's per-CPU memory",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, or a part of the kernel's (pid 0): bytes gained, and held."""

    name: str
    pid: int
    gained: int
    held: int

    def described(self) -> str:
        """ "worker (pid 12)"."""
        return f"{self.name} (pid {self.pid})" if self.pid else self.name


def read() -> OfMachine:
    """Private memory of the largest processes, and what meminfo says, in bytes."""
    rows: list[tuple[int, int, str, int]] = []
    for pid in procfs.pids()[:_PROCESSES_CAP]:
        line = procfs.read_once(procfs.path(pid, "stat"), procfs.STAT_BYTES)
        memory = procfs.memory_of(pid)
        if line is None or memory is None or not memory[0]:
            continue
        try:
            name, start = os.fsdecode(procfs.split_stat(line, 1)[0])[:_NAME_CAP], procfs.start_ticks(line)
        except (ValueError, IndexError):
            continue
        rows.append((pid, start, name, memory[1]))
    rows.sort(key=lambda row: -row[3])
    parts = {
        name: 1024 * int(value.split(" ", 1)[0])
        for name, value in procfs.table(procfs.text("/proc/meminfo")).items()
        if value.split(" ", 1)[0].isdigit() and (name in PARTS or name in ("MemTotal", "MemAvailable"))
    }
    return {"at_s": procfs.uptime_s(), "processes": rows[:_TOLD], "parts": parts}


def ranked(before: OfMachine | None, after: OfMachine) -> list[Holder]:
    """Processes and parts by what they gained, or by what they hold where there is nothing before."""
    then: OfMachine = before if before is not None else {}
    known = {(pid, start): size for pid, start, _name, size in then.get("processes", ())}
    floor = min(known.values()) if len(known) >= _TOLD else 0  # of who was not told then
    found = []
    for pid, start, name, held in after.get("processes", ()):
        gained = held - known.get((pid, start), floor)
        found.append(Holder(name, pid, gained, held))
    for part, said in PARTS.items():
        held = after.get("parts", {}).get(part, 0)
        found.append(Holder(said, 0, held - then.get("parts", {}).get(part, 0), held))
    return sorted((one for one in found if one.gained > 0), key=lambda one: -one.gained)


def available(seen: OfMachine | None) -> int:
    """Bytes that can be had without swapping; 0 where it was not read."""
    return seen.get("parts", {}).get("MemAvailable", 0) if seen is not None else 0


def table(rows: list[Holder], *, is_gain: bool, limit: int = 6) -> str:
    """The first of them on one line."""
    if is_gain:
        return "; ".join(f"{words.grown(row.gained)} {row.described()}" for row in rows[:limit])
    return "; ".join(f"{words.size(row.held)} {row.described()}" for row in rows[:limit])
