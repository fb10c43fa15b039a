"""Which TCP socket moved how many bytes, and whose it is: `python -m monitord.sampling.sockets SECONDS`.

Runs in a child process, so that the daemon never carries pyroute2. Asks the kernel twice (INET_DIAG,
tcp_info bytes_acked and bytes_received) and looks for the owners of the busy sockets only. UDP has no
byte counters, and sockets of other network namespaces are not listed: those bytes stay unattributed.
Prints JSON: [[pid, start_ticks, name, bytes per second], …], busiest first.
"""

# mypy: allow-untyped-calls
# (pyroute2 ships no types)

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping

from monitord import rights
from monitord.sampling.procfs import STAT_BYTES, read_file, start_ticks

_TCP_INFO = 1 << (2 - 1)
"""INET_DIAG_INFO as the bit of idiag_ext that asks for it."""

_CONNECTED = ((1 << 12) - 1) & ~(1 << 10 | 1 << 6 | 1 << 3)
"""All TCP states but LISTEN, TIME_WAIT and SYN_RECV, which have no owner or move nothing."""

_FEWEST_BYTES_PER_S = 1024.0
"""Sockets below this are nobody's suspects; looking for their owners is what costs."""


def counters() -> dict[int, int]:
    """Bytes acknowledged by the other side plus bytes received, by socket inode."""
    import socket

    from pyroute2.netlink.diag import DiagSocket

    found: dict[int, int] = {}
    with DiagSocket() as diag:
        diag.bind()
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in diag.get_sock_stats(family=family, states=_CONNECTED, extensions=_TCP_INFO):
                information = message.get_attr("INET_DIAG_INFO")
                if information and message["idiag_inode"]:
                    found[message["idiag_inode"]] = _bytes_in(information)
    return found


def _bytes_in(information: Mapping[str, int]) -> int:
    return int(information.get("tcpi_bytes_acked") or 0) + int(information.get("tcpi_bytes_received") or 0)


def busy(before: Mapping[int, int], after: Mapping[int, int], over_s: float) -> dict[int, float]:
    """Bytes per second by inode, of sockets worth naming. A socket opened in between counts from nothing."""
    rates = {inode: max(0, moved - before.get(inode, 0)) / over_s for inode, moved in after.items()}
    return {inode: rate for inode, rate in rates.items() if rate >= _FEWEST_BYTES_PER_S}


def owners(inodes: Iterable[int]) -> dict[int, int]:
    """The process that holds each socket; of several (a forked server), the one with the lowest number."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) if wanted else ():  # noqa: PTH208 - names
        for target in _links(pid):
            if target in wanted:
                found.setdefault(wanted[target], pid)
        if len(found) == len(wanted):
            break
    return found


def _links(pid: int) -> list[str]:
    """Where the descriptors of a process point; nothing when it is gone or may not be read."""
    folder = f"/proc/{pid}/fd"
    links = []
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names
            try:
                links.append(os.readlink(f"{folder}/{name}"))  # noqa: PTH115 - text, not a path
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return []
    return links


def by_process(rates: Mapping[int, float], owner_of: Mapping[int, int]) -> list[tuple[int, int, str, float]]:
    """Rows (pid, start ticks, name, bytes/s), busiest first; sockets without an owner are left out."""
    sums: dict[int, float] = {}
    for inode, rate in rates.items():
        if inode in owner_of:
            sums[owner_of[inode]] = sums.get(owner_of[inode], 0.0) + rate
    rows = []
    for pid, rate in sums.items():
        raw = read_file(f"/proc/{pid}/stat", STAT_BYTES)
        if raw:
            name = os.fsdecode(raw[raw.index(b"(") + 1 : raw.rindex(b")")])
            rows.append((pid, start_ticks(raw), name, rate))
    return sorted(rows, key=lambda row: -row[3])


def main(over_s: float) -> None:
    """Look twice and print. ASCII JSON keeps any process name whole."""
    rights.keep_only((rights.CAP_SYS_PTRACE, rights.CAP_DAC_READ_SEARCH))
    first_s, before = time.monotonic(), counters()
    time.sleep(over_s)
    rates = busy(before, counters(), time.monotonic() - first_s)
    sys.stdout.write(json.dumps(by_process(rates, owners(rates))))


if __name__ == "__main__":
    main(float(sys.argv[1]))
