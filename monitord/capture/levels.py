"""How much a process holds and moves right now: read before and after evidence, to judge its time."""

from __future__ import annotations

import os
import time

from monitord.capture import procfs
from monitord.capture.target import ON_LINUX
from monitord.model import Levels

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NET_CAP_BYTES = 256 * 1024


def read_levels(pid: int) -> Levels | None:
    """Return a process's levels, None for one that may not be read; None off Linux, or when it is gone."""
    stat = procfs.stat_of(pid) if ON_LINUX else None
    if stat is None:
        return None
    io = _numbers(_text(f"/proc/{pid}/io"))
    return Levels(
        at_s=time.monotonic(),
        rss_bytes=_rss_bytes(pid),
        disk_bytes=io["read_bytes"] + io["write_bytes"]
        if {"read_bytes", "write_bytes"} <= io.keys()
        else None,
        network_bytes=_network_bytes(_text(f"/proc/{pid}/net/dev", _NET_CAP_BYTES)),
        fd_count=_fd_count(pid),
        thread_count=stat.thread_count,
    )


def _text(path: str, cap_bytes: int = 4096) -> str:
    try:
        return procfs.read(path, cap_bytes).decode("utf-8", "replace")
    except OSError:
        return ""


def _numbers(text: str) -> dict[str, int]:
    lines = (line.partition(":") for line in text.splitlines())
    return {key: int(value) for key, _, value in lines if value.strip().isdigit()}


def _rss_bytes(pid: int) -> int | None:
    fields = _text(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 and fields[1].isdigit() else None


def _network_bytes(text: str) -> int | None:
    """Received and sent in its network namespace, by everybody there: never too little."""
    counted = [fields for line in text.splitlines()[2:] if len(fields := line.rpartition(":")[2].split()) > 8]
    return sum(int(fields[0]) + int(fields[8]) for fields in counted) if counted else None


def _fd_count(pid: int) -> int | None:
    folder = f"/proc/{pid}/fd"
    try:
        return os.stat(folder).st_size or len(procfs.entries(folder))  # noqa: PTH116 - sizes since Linux 6.2
    except OSError:
        return None
