"""How much a process holds and moves right now: read before and after evidence, to judge its time."""

from __future__ import annotations

import time

from monitord import procfs
from monitord.capture.target import ON_LINUX
from monitord.model import Levels

_NET_CAP_BYTES = 256 * 1024


def read_levels(pid: int) -> Levels | None:
    """Return a process's levels, None for one that may not be read; None off Linux, or when it is gone."""
    stat = procfs.stat_of(pid) if ON_LINUX else None
    if stat is None:
        return None
    memory, io = procfs.memory_of(pid), procfs.numbers(procfs.text(procfs.path(pid, "io")))
    return Levels(
        at_s=time.monotonic(),
        rss_bytes=memory[0] if memory is not None else None,
        disk_bytes=io["read_bytes"] + io["write_bytes"]
        if {"read_bytes", "write_bytes"} <= io.keys()
        else None,
        network_bytes=_network_bytes(procfs.text(procfs.path(pid, "net/dev"), _NET_CAP_BYTES)),
        fd_count=procfs.count_descriptors(pid),
        thread_count=stat.thread_count,
    )


def _network_bytes(text: str) -> int | None:
    """Received and sent in its network namespace, by everybody there: never too little."""
    counted = [fields for line in text.splitlines()[2:] if len(fields := line.rpartition(":")[2].split()) > 8]
    return sum(int(fields[0]) + int(fields[8]) for fields in counted) if counted else None
