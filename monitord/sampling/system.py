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
from datetime import UTC, datetime
from pathlib import Path

import psutil

from monitord.model import DiskCounters, InterfaceCounters, Pressure, SystemSample
from monitord.sampling.bounds import Totals
from monitord.sampling.devices import ProcFile, disks, interfaces, is_whole_disk

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "afs", "glusterfs", "lustre", "virtiofs")


def boottime_s() -> float:
    """Seconds of a clock that goes on in suspend, unlike time.monotonic.

    On macOS that is CLOCK_MONOTONIC (clock_gettime(3)), while Python's monotonic clock stands still.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class SystemReader:
    """One reading of the machine: the sample, and on Linux the totals that bound every process."""

    def read(self) -> tuple[SystemSample, Totals | None]:
        """Both from the same moment."""
        taken_at, monotonic_s = datetime.now(UTC), time.monotonic()
        load_1, load_5, load_15 = os.getloadavg()
        cpu, memory, swap = psutil.cpu_times(), psutil.virtual_memory(), psutil.swap_memory()
        sample = SystemSample(
            taken_at=taken_at,
            monotonic_s=monotonic_s,
            boottime_s=boottime_s(),
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
    """Cached descriptors of all there is to read: one pread a file, no file opened at a look."""

    def __init__(self) -> None:
        self._stat, self._loadavg, self._meminfo, self._vmstat, self._mounts = (
            ProcFile(f"/proc/{name}") for name in ("stat", "loadavg", "meminfo", "vmstat", "self/mounts")
        )
        self._disks, self._interfaces = disks(), interfaces()
        self._pressure = _open_pressure()
        self._mounts_changed = select.poll()
        self._mounts_changed.register(self._mounts.descriptor, select.POLLERR | select.POLLPRI)
        self._has_network_mount = self._look_at_mounts()

    def read(self) -> tuple[SystemSample, Totals | None]:
        if self._mounts_changed.poll(0):
            self._has_network_mount = self._look_at_mounts()
        taken_at, monotonic_s = datetime.now(UTC), time.monotonic()
        load_1, load_5, load_15 = (float(field) for field in self._loadavg.read().split(None, 3)[:3])
        cpu_count, busy_s, idle_s = parse_stat(self._stat.read())
        memory, vmstat = parse_meminfo(self._meminfo.read()), self._vmstat.read()
        sample = SystemSample(
            taken_at=taken_at,
            monotonic_s=monotonic_s,
            boottime_s=boottime_s(),
            cpu_count=cpu_count,
            cpu_busy_s=busy_s,
            memory_total_bytes=memory["MemTotal"],
            memory_available_bytes=memory["MemAvailable"],
            swap_total_bytes=memory["SwapTotal"],
            swap_used_bytes=memory["SwapTotal"] - memory["SwapFree"],
            load_1=load_1,
            load_5=load_5,
            load_15=load_15,
            disks=self._disks.rows(),
            interfaces=self._interfaces.rows(),
            pressure=self._read_pressure(),
            oom_kills=oom_kills(vmstat),
        )
        return sample, Totals(
            monotonic_s=monotonic_s,
            cpu_count=cpu_count,
            idle_s=idle_s,
            busy_s=busy_s,
            mapped_bytes=memory["AnonPages"] + memory["Mapped"],
            storage_bytes=None if self._has_network_mount else storage_bytes(vmstat),
        )

    def close(self) -> None:
        tables = (self._disks, self._interfaces)
        for file in (self._stat, self._loadavg, self._meminfo, self._vmstat, self._mounts, *tables):
            file.close()
        for descriptor in self._pressure.values():
            os.close(descriptor)
        self._pressure = {}

    def _look_at_mounts(self) -> bool:
        return has_network_mount(Path("/proc/self/mounts").read_bytes())

    def _read_pressure(self) -> Pressure | None:
        """None where the kernel has no PSI, or has it switched off (the read is refused then)."""
        stalls: dict[str, float] = {}
        try:
            for resource, descriptor in self._pressure.items():
                stalls |= parse_pressure(resource, os.pread(descriptor, 256, 0))
        except OSError:
            return None
        if not stalls:
            return None
        return Pressure(
            cpu_some_s=stalls.get("cpu_some", 0.0),
            memory_some_s=stalls.get("memory_some", 0.0),
            memory_full_s=stalls.get("memory_full", 0.0),
            io_some_s=stalls.get("io_some", 0.0),
            io_full_s=stalls.get("io_full", 0.0),
        )


def system_reader() -> SystemReader:
    """The reader for this platform."""
    return LinuxSystemReader() if sys.platform == "linux" else SystemReader()


def parse_stat(text: bytes) -> tuple[int, float, float]:
    """Number of online cores, busy seconds and idle seconds (with iowait) of all cores, from /proc/stat.

    Busy leaves out steal: the machine did not get that time. guest is contained in user already.
    """
    ticks = [int(field) for field in text[: text.index(b"\n")].split()[1:]]
    idle = ticks[3] + (ticks[4] if len(ticks) > 4 else 0)
    busy = sum(ticks[:7]) - idle
    return max(1, text.count(b"\ncpu")), busy / _TICKS_PER_S, idle / _TICKS_PER_S


def parse_meminfo(text: bytes) -> dict[str, int]:
    """What we need of /proc/meminfo, in bytes. Before Linux 3.14 free memory stands in for available."""
    text = b"\n" + text
    names = ("MemTotal", "MemFree", "SwapTotal", "SwapFree", "AnonPages", "Mapped")
    found = {name: 1024 * _number_after(text, b"\n%s:" % name.encode()) for name in names}
    try:
        found["MemAvailable"] = 1024 * _number_after(text, b"\nMemAvailable:")
    except ValueError:
        found["MemAvailable"] = found["MemFree"]
    return found


def storage_bytes(vmstat: bytes) -> int:
    """What storage took or gave since boot, no less than any process moved: dirtied pages + paged KiB."""
    return (
        _PAGE_BYTES * _number_after(vmstat, b"\nnr_dirtied ")
        + 1024 * _number_after(vmstat, b"\npgpgin ")
        + 1024 * _number_after(vmstat, b"\npgpgout ")
    )


def oom_kills(vmstat: bytes) -> int | None:
    """Processes killed by the kernel for lack of memory since boot, that of their group too (Linux 4.13)."""
    try:
        return _number_after(vmstat, b"\noom_kill ")
    except ValueError:
        return None


def _number_after(text: bytes, label: bytes) -> int:
    """Searching some labels in 4 kB is ten times cheaper than splitting all of it."""
    start = text.index(label) + len(label)
    return int(text[start : text.index(b"\n", start)].removesuffix(b"kB"))


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
    return any(kind.decode("ascii", "replace").startswith(_NETWORK_FILE_SYSTEMS) for kind in kinds)


def _open_pressure() -> dict[str, int]:
    files = {}
    for resource in ("cpu", "memory", "io"):
        try:
            files[resource] = os.open(f"/proc/pressure/{resource}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return {}
    return files


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
