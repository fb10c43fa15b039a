"""The machine as a whole, every tick, in about 0.2 ms: a sample for people and totals for bounds.py.

On Linux the few files that both need are read once through cached descriptors. Elsewhere psutil gives
everything and there are no totals, so nothing is ever skipped.
"""

# mypy: allow-untyped-calls
# (psutil ships no types)

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from monitord.model import DiskCounters, InterfaceCounters, Pressure, SystemSample
from monitord.procfs import PAGE_BYTES, TICKS_PER_S, uptime_s
from monitord.procfs.mounts import NETWORK
from monitord.sampling.bounds import Totals
from monitord.sampling.devices import disks, interfaces, is_whole_disk
from monitord.sampling.sources import ProcFile, Sources


class SystemReader:
    """One reading of the machine: the sample, and on Linux the totals that bound every process."""

    has_huge_pages = False
    """Whether some are reserved, as last read."""

    @property
    def missing(self) -> Mapping[str, str]:
        """What can't be read of the machine, and why."""
        return {}

    def read(self) -> tuple[SystemSample, Totals | None]:
        """Both from the same moment."""
        taken_at, monotonic_s = datetime.now(UTC), time.monotonic()
        load_1, load_5, load_15 = os.getloadavg()
        cpu, memory, swap = psutil.cpu_times(), psutil.virtual_memory(), psutil.swap_memory()
        sample = SystemSample(
            taken_at=taken_at,
            monotonic_s=monotonic_s,
            boottime_s=uptime_s(),
            cpu_count=psutil.cpu_count() or 1,
            cpu_busy_s=sum(cpu) - cpu.idle,
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            swap_total_bytes=swap.total,
            swap_used_bytes=swap.used,
            load_1=load_1,
            load_5=load_5,
            load_15=load_15,
            disks=_disks(),
            interfaces=_interfaces(),
        )
        return sample, None

    def close(self) -> None:
        """Nothing is kept open."""


class LinuxSystemReader(SystemReader):
    """Cached descriptors of all there is to read: one pread a file, no file opened at a look.

    Of what is missing the last known value stands, or none; nothing is left out then that it would bound.
    """

    def __init__(self, root: str = "/proc") -> None:
        self._stat, self._loadavg, self._meminfo, self._vmstat, self._mounts = (
            ProcFile(f"{root}/{name}") for name in ("stat", "loadavg", "meminfo", "vmstat", "self/mounts")
        )
        self._pressure = {name: ProcFile(f"{root}/pressure/{name}") for name in ("cpu", "memory", "io")}
        self._disks, self._interfaces = disks(root), interfaces(root)
        arcstats = f"{root}/spl/kstat/zfs/arcstats"
        self._arcstats = ProcFile(arcstats) if Path(arcstats).exists() else None
        self._sources = Sources()
        self._cpu = CpuTimes(os.cpu_count() or 1, 0.0, 0.0)
        self._mounts_changed = select.poll()
        self._has_network_mount = self._sources.take("self/mounts", self._watch_mounts, True)

    @property
    def missing(self) -> Mapping[str, str]:
        return self._sources.missing

    def read(self) -> tuple[SystemSample, Totals | None]:
        take = self._sources.take
        if self._mounts_changed.poll(0):
            self._has_network_mount = take("self/mounts", self._look_at_mounts, True)
        taken_at, monotonic_s = datetime.now(UTC), time.monotonic()
        load_1, load_5, load_15 = take("loadavg", self._read_load, (0.0, 0.0, 0.0))
        cpu = take("stat", lambda: parse_stat(self._stat.read()), None)
        self._cpu = cpu or self._cpu
        no_memory: tuple[dict[str, int], Mapping[str, int]] = {}, {}
        memory, held = take("meminfo", self._read_memory, no_memory)
        self.has_huge_pages = bool(memory.get("Hugetlb"))
        vmstat = take("vmstat", self._vmstat.read, b"")
        sample = SystemSample(
            taken_at=taken_at,
            monotonic_s=monotonic_s,
            boottime_s=uptime_s(),
            cpu_count=self._cpu.cores,
            cpu_busy_s=self._cpu.busy_s,
            memory_total_bytes=memory.get("MemTotal", 0),
            memory_available_bytes=memory.get("MemAvailable", 0),
            swap_total_bytes=memory.get("SwapTotal", 0),
            swap_used_bytes=max(0, memory.get("SwapTotal", 0) - memory.get("SwapFree", 0)),
            load_1=load_1,
            load_5=load_5,
            load_15=load_15,
            disks=take("diskstats", self._disks.rows, ()),
            interfaces=take("self/net/dev", self._interfaces.rows, ()),
            pressure=take("pressure", self._read_pressure, None),
            oom_kills=_count_in(vmstat, b"\noom_kill "),
            memory_held_bytes=held,
            starts=self._cpu.starts,
        )
        if cpu is None:
            return sample, None
        return sample, Totals(
            monotonic_s=monotonic_s,
            cpu_count=cpu.cores,
            idle_s=cpu.idle_s,
            busy_s=cpu.busy_s,
            mapped_bytes=mapped_bytes(memory),
            storage_bytes=None if self._has_network_mount else storage_bytes(vmstat),
        )

    def close(self) -> None:
        files = (self._stat, self._loadavg, self._meminfo, self._vmstat, self._mounts)
        for file in (*files, *self._pressure.values(), *filter(None, (self._arcstats,))):
            file.close()
        self._disks.close()
        self._interfaces.close()

    def _read_memory(self) -> tuple[dict[str, int], Mapping[str, int]]:
        text, arc_bytes = self._meminfo.read(), self._arc_bytes()
        return parse_meminfo(text, _EACH_TIME), MemoryHeld(
            lambda: memory_held(parse_meminfo(text), arc_bytes)
        )

    def _arc_bytes(self) -> int:
        file = self._arcstats
        return 0 if file is None else self._sources.take("ZFS", lambda: arc_bytes_of(file.read()), 0)

    def _read_load(self) -> tuple[float, float, float]:
        one, five, fifteen = (float(field) for field in self._loadavg.read().split(None, 3)[:3])
        return one, five, fifteen

    def _watch_mounts(self) -> bool:
        self._mounts_changed.register(self._mounts.open(), select.POLLERR | select.POLLPRI)
        return self._look_at_mounts()

    def _look_at_mounts(self) -> bool:
        return has_network_mount(self._mounts.read())

    def _read_pressure(self) -> Pressure | None:
        """Refused where the kernel has no PSI, or has it switched off."""
        stalls: dict[str, float] = {}
        for resource, file in self._pressure.items():
            stalls |= parse_pressure(resource, file.read())
        return Pressure(
            cpu_some_s=stalls["cpu_some"],
            memory_some_s=stalls["memory_some"],
            memory_full_s=stalls.get("memory_full", 0.0),
            io_some_s=stalls["io_some"],
            io_full_s=stalls.get("io_full", 0.0),
        )


def system_reader(root: str = "/proc") -> SystemReader:
    """The reader for this platform."""
    return LinuxSystemReader(root) if sys.platform == "linux" else SystemReader()


class CpuTimes(NamedTuple):
    """Number of online cores; since boot: busy and idle (with iowait) seconds of all, starts of tasks."""

    cores: int
    busy_s: float
    idle_s: float
    starts: int | None = None


def parse_stat(text: bytes) -> CpuTimes:
    """The first line of /proc/stat, and its count of starts.

    Busy leaves out steal: the machine did not get that time. guest is contained in user already.
    """
    if not text.startswith(b"cpu "):
        raise ValueError("expected the line of all processors first")
    ticks = [int(field) for field in text[: text.index(b"\n")].split()[1:]]
    idle = ticks[3] + (ticks[4] if len(ticks) > 4 else 0)
    busy = sum(ticks[:7]) - idle
    starts = text.partition(b"\nprocesses ")[2].split(None, 1)[:1]
    return CpuTimes(
        max(1, text.count(b"\ncpu")),
        busy / TICKS_PER_S,
        idle / TICKS_PER_S,
        int(starts[0]) if starts and starts[0].isdigit() else None,
    )


_OF_EACH_PASS = (
    *("MemTotal", "MemFree", "MemAvailable", "SwapTotal", "SwapFree", "AnonPages", "Mapped", "Hugetlb"),
)
_MEMORY_NAMES = (
    *_OF_EACH_PASS,
    *("Shmem", "SUnreclaim", "PageTables", "Buffers", "Cached", "SwapCached", "Slab"),
    *("KernelStack", "Percpu", "VmallocUsed"),
)
_MEMORY_LABELS = tuple((name, b"\n%s:" % name.encode()) for name in _MEMORY_NAMES)
_EACH_TIME = _MEMORY_LABELS[: len(_OF_EACH_PASS)]


def parse_meminfo(text: bytes, labels: Sequence[tuple[str, bytes]] = _MEMORY_LABELS) -> dict[str, int]:
    """What is there of what we need of /proc/meminfo, in bytes; MemTotal must be.

    Before Linux 3.14 free memory stands in for available.
    """
    text = b"\n" + text
    memory = {}
    for name, label in labels:
        count = _count_in(text, label)
        if count is not None:
            memory[name] = 1024 * count
    if "MemTotal" not in memory:
        raise ValueError("expected MemTotal")
    memory.setdefault("MemAvailable", memory.get("MemFree", 0))
    return memory


def mapped_bytes(memory: Mapping[str, int]) -> int | None:
    """All that processes can have resident together; None: not known."""
    return memory["AnonPages"] + memory["Mapped"] if "AnonPages" in memory and "Mapped" in memory else None


_HELD_WORDS = {
    "AnonPages": "processes' own memory", "Shmem": "shared memory and tmpfs",
    "SUnreclaim": "the kernel's slab", "PageTables": "page tables", "Hugetlb": "huge pages",
}  # fmt: skip
_COUNTED = (
    *("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "Slab", "PageTables", "Hugetlb"),
    *("KernelStack", "Percpu", "VmallocUsed"),
)
"""All that meminfo accounts for; shared memory is in Cached."""
_LEAST_COUNTED = frozenset({"MemFree", "Cached", "AnonPages", "Slab"})
UNCOUNTED = "what the kernel does not account for (drivers, virtual machines)"
UNCOUNTED_SHARE = 0.05
"""Of RAM: drivers and the kernel always hold a little that no line counts."""


def memory_held(memory: Mapping[str, int], arc_bytes: int = 0) -> dict[str, int]:
    """Where memory is that can't simply be taken back, in words; with what the sum lacks."""
    held = {word: memory[name] for name, word in _HELD_WORDS.items() if name in memory}
    if arc_bytes:
        held["the ZFS cache"] = arc_bytes
    if memory.keys() >= _LEAST_COUNTED:
        missing = memory["MemTotal"] - sum(memory.get(name, 0) for name in _COUNTED) - arc_bytes
        if missing > UNCOUNTED_SHARE * memory["MemTotal"]:
            held[UNCOUNTED] = missing
    return held


class MemoryHeld(Mapping[str, int]):
    """`memory_held` of one reading, made when somebody asks: of hardly any reading anybody does."""

    __slots__ = ("_found", "_make")

    def __init__(self, make: Callable[[], Mapping[str, int]]) -> None:
        self._make = make
        self._found: Mapping[str, int] | None = None

    def _read(self) -> Mapping[str, int]:
        if self._found is None:
            self._found = self._make()
        return self._found

    def __getitem__(self, word: str) -> int:
        return self._read()[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def arc_bytes_of(arcstats: bytes) -> int:
    """What ZFS caches: `size` of its arcstats, rows of name, type, value; 0 where it is not told."""
    rows = (line.split() for line in arcstats.splitlines())
    return next((int(row[2]) for row in rows if len(row) == 3 and row[0] == b"size" and row[2].isdigit()), 0)


def storage_bytes(vmstat: bytes) -> int | None:
    """What storage took or gave since boot, no less than any process moved: dirtied pages + paged KiB."""
    dirtied, paged_in, paged_out = (
        _count_in(vmstat, label) for label in (b"\nnr_dirtied ", b"\npgpgin ", b"\npgpgout ")
    )
    if dirtied is None or paged_in is None or paged_out is None:
        return None
    return PAGE_BYTES * dirtied + 1024 * (paged_in + paged_out)


def _count_in(text: bytes, label: bytes) -> int | None:
    """The number after a label; None where it is not told, or not as a number.

    Searching some labels in 4 kB is ten times cheaper than splitting all of it.
    """
    try:
        start = text.index(label) + len(label)
        return int(text[start : text.index(b"\n", start)].removesuffix(b"kB"))
    except ValueError:
        return None


def parse_pressure(resource: str, text: bytes) -> dict[str, float]:
    """`{"cpu_some": seconds, …}` of one /proc/pressure file (`some avg10=… total=MICROSECONDS`)."""
    stalls = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(b" ")
        stalls[f"{resource}_{kind.decode()}"] = int(rest.rpartition(b"total=")[2]) / 1e6
    return stalls


def has_network_mount(mounts: bytes) -> bool:
    """Whether a file system is mounted whose I/O does not pass local block devices."""
    kinds = (fields[2] for line in mounts.splitlines() if len(fields := line.split()) > 2)
    return any(kind.decode("ascii", "replace").startswith(NETWORK) for kind in kinds)


def _disks() -> tuple[DiskCounters, ...]:
    """By psutil: whole devices only, where the platform lists partitions beside their disk."""
    counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    return tuple(
        DiskCounters(name, used.read_bytes, used.write_bytes)
        for name, used in counters.items()
        if sys.platform != "linux" or is_whole_disk(name)
    )


def _interfaces() -> tuple[InterfaceCounters, ...]:
    counters = psutil.net_io_counters(pernic=True, nowrap=False) or {}
    return tuple(InterfaceCounters(name, used.bytes_recv, used.bytes_sent) for name, used in counters.items())
