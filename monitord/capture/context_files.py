"""The open files of a target, as a summary: kinds, busiest folders, states of sockets; never the list."""

from __future__ import annotations

from collections import Counter
from typing import Any

from monitord import procfs
from monitord.capture.context_threads import Source
from monitord.procfs import descriptors, tcp_table
from monitord.redaction import redact_name

_COUNT_CAP = 20_000
_LOOK_CAP = 2_000


def summarise_files(source: Source) -> dict[str, Any]:
    """Counts by kind; links are read, never followed: following one can block."""
    kinds: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    sockets: set[int] = set()
    try:
        count = len(procfs.entries(procfs.path(source.pid, "fd")))
        links = list(descriptors.links(source.pid, _LOOK_CAP))
    except OSError as error:
        source.missing("fd", error)
        return {}
    for _, target in links:
        kind = descriptors.kind_of(target)
        kinds[kind] += 1
        if kind == "file":
            folders[target.rpartition("/")[0] or "/"] += 1
        elif kind == "socket":
            sockets.add(descriptors.inode_in(target) or 0)
    return {
        "count": min(count, _COUNT_CAP),
        "looked_at": min(count, _LOOK_CAP),
        "kinds": dict(kinds),
        "top_folders": {redact_name(name): count for name, count in folders.most_common(5)},
        "sockets": _socket_states(source, sockets) if sockets else {},
    }


def _socket_states(source: Source, inodes: set[int]) -> dict[str, int]:
    found = tcp_table.connections(lambda name: source.text(name, tcp_table.CAP_BYTES), inodes)
    states = Counter(socket.state for socket in found)
    states["not_tcp"] = len(inodes) - states.total()
    return dict(states)
