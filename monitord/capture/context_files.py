"""The open files of a target, as a summary: kinds, busiest folders, states of sockets; never the list."""

from __future__ import annotations

from collections import Counter
from typing import Any

from monitord import procfs
from monitord.capture.context_threads import Source
from monitord.redaction import redact_name

_COUNT_CAP = 20_000
_LOOK_CAP = 2_000
_NET_CAP_BYTES = 1024 * 1024
_TCP_STATES = [
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
]


def summarise_files(source: Source) -> dict[str, Any]:
    """Counts by kind; links are read, never followed: following one can block."""
    folder = procfs.path(source.pid, "fd")
    kinds: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    sockets: set[str] = set()
    try:
        names = procfs.entries(folder)
    except OSError as error:
        source.missing("fd", error)
        return {}
    for name in names[:_LOOK_CAP]:
        try:
            target = procfs.link(f"{folder}/{name}")
        except OSError:
            continue  # closed meanwhile
        kind = kind_of(target)
        kinds[kind] += 1
        if kind == "file":
            folders[target.rpartition("/")[0] or "/"] += 1
        elif kind == "socket":
            sockets.add(target[len("socket:[") : -1])
    return {
        "count": min(len(names), _COUNT_CAP),
        "looked_at": min(len(names), _LOOK_CAP),
        "kinds": dict(kinds),
        "top_folders": {redact_name(name): count for name, count in folders.most_common(5)},
        "sockets": _socket_states(source, sockets) if sockets else {},
    }


def kind_of(link: str) -> str:
    """What a descriptor is, by where its link points."""
    if link.startswith("anon_inode:"):
        return link[:40]
    for prefix in ("socket:", "pipe:"):
        if link.startswith(prefix):
            return prefix[:-1]
    if link.startswith("/dev/"):
        return "device"
    return "file" if link.startswith("/") else "other"


def _socket_states(source: Source, inodes: set[str]) -> dict[str, int]:
    states: Counter[str] = Counter()
    known = 0
    for table in ("net/tcp", "net/tcp6"):
        for line in (source.text(table, _NET_CAP_BYTES) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[9] in inodes:
                number = int(fields[3], 16)
                states[_TCP_STATES[number - 1] if 0 < number <= len(_TCP_STATES) else "other"] += 1
                known += 1
    states["not_tcp"] = len(inodes) - known
    return dict(states)
