"""TCP sockets of the network namespace of a process, from /proc/PID/net/tcp and tcp6 (proc_net_tcp(5)).

Without byte counters, but in the process' own namespace and without a right; sock_diag has those.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

CAP_BYTES = 4 << 20
"""Of each table: some 26,000 sockets."""

STATES = (
    *("established", "syn_sent", "syn_received", "fin_wait_1", "fin_wait_2", "time_wait", "close"),
    *("close_wait", "last_ack", "listen", "closing"),
)
"""By their number in the kernel, from 1 on."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One socket: its own and the other end as `address:port`, its state, and the inode of its descriptor."""

    inode: int
    local: str
    remote: str
    state: str


def rows(text: str, inodes: Container[int] | None = None) -> Iterator[Connection]:
    """Every row of a table, or those of these inodes; lines that make no sense are left out."""
    for line in text.split("\n")[1:]:
        fields = line.split(None, 10)
        try:
            if len(fields) < 10 or (inodes is not None and int(fields[9]) not in inodes):
                continue
            local, remote = _address(fields[1]), _address(fields[2])
            yield Connection(int(fields[9]), local, remote, state_of(int(fields[3], 16)))
        except (ValueError, OSError):
            continue


def connections(read: Callable[[str], str | None], inodes: Container[int] | None = None) -> list[Connection]:
    """Of both families; `read` gives the text of a file of the process, or None."""
    return [row for name in ("net/tcp", "net/tcp6") for row in rows(read(name) or "", inodes)]


def state_of(number: int) -> str:
    """The name of a TCP state, or "other"."""
    return STATES[number - 1] if 0 < number <= len(STATES) else "other"


def shown(family: int, host: bytes, port: int) -> str:
    """An address as it is written with its port; IPv4 in IPv6 is told as IPv4."""
    if family == socket.AF_INET6 and host[:12] == bytes(10) + b"\xff\xff":
        family, host = socket.AF_INET, host[12:]
    text = socket.inet_ntop(family, host)
    return f"[{text}]:{port}" if family == socket.AF_INET6 else f"{text}:{port}"


def _address(field: str) -> str:
    """The kernel prints words of 32 bits as this machine orders them."""
    host, _, port = field.partition(":")
    raw = bytes.fromhex(host)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return shown(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw, int(port, 16))
