"""Whose the traffic is, and with whom: `python -m monitord.sampling.sockets SECONDS`.

Runs in a child process: it takes a second, and the right to enter network namespaces (CAP_SYS_ADMIN), which
it gives up before it reads the first socket. Looks for the processes that use the busy sockets only.
Prints JSON: {"talkers": [[pid, start_ticks, name, bytes per second], …], "blamed": one of these or null,
"said": what was found, or why nobody could be blamed}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitord import rights
from monitord.model import counted, sized
from monitord.ownership import line_for_all
from monitord.perf_events import moving
from monitord.procfs import holders as held_by
from monitord.procfs import online_cpus, path, sockdiag, stat_of

Row = tuple[int, int, str, float]

_FEWEST_BYTES_PER_S = 1024.0
"""Sockets below this are nobody's suspects; looking for their owners is what costs."""

_LEAST_SHARE = 0.2  # who moved less than this of the traffic is not to blame for it
_MANY_DATAGRAMS_PER_S = 200.0
_NAMED_AT_MOST = 4
_DATAGRAM_SOCKETS_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """The sockets, the bytes of every interface by namespace (0: our own), and UDP's datagrams."""

    at_s: float
    sockets: sockdiag.Sockets
    bytes_by_namespace: dict[int, int]
    datagrams: int


def take(namespaces: sockdiag.Namespaces) -> Moment:
    """One look at all of it."""
    at_s, sockets = time.monotonic(), sockdiag.look(namespaces.open)
    carried = {0: _interface_bytes("/proc/net/dev")}
    carried |= {inode: _interface_bytes(path(pid, "net/dev")) for inode, pid in namespaces.closed.items()}
    return Moment(at_s, sockets, carried, _datagrams())


def busy(before: Mapping[int, int], after: Mapping[int, int], over_s: float) -> dict[int, float]:
    """Bytes per second by inode, of sockets worth naming. A socket opened in between counts from nothing."""
    rates = {inode: max(0, moved - before.get(inode, 0)) / over_s for inode, moved in after.items()}
    return {inode: rate for inode, rate in rates.items() if rate >= _FEWEST_BYTES_PER_S}


def by_process(rates: Mapping[int, float], owner_of: Mapping[int, int]) -> list[Row]:
    """Rows (pid, start ticks, name, bytes/s), busiest first; sockets without an owner are left out."""
    sums: dict[int, float] = {}
    for inode, rate in rates.items():
        if inode in owner_of:
            sums[owner_of[inode]] = sums.get(owner_of[inode], 0.0) + rate
    rows = [row for pid, rate in sums.items() if (row := _row(pid, rate)) is not None]
    return sorted(rows, key=lambda row: -row[3])


def answer(
    before: Moment, after: Moment, namespaces: sockdiag.Namespaces, samples: held_by.Samples | None
) -> dict[str, object]:
    """What is printed; see the top."""
    over_s = max(after.at_s - before.at_s, 1e-3)
    rates = busy(before.sockets.moved(), after.sockets.moved(), over_s)
    held = held_by.holders(rates)
    owners = held_by.owners(held, lambda: sockdiag.look(namespaces.open).both(), samples=samples)
    owner_of, shared = owners.by_inode, owners.shared
    talkers = by_process(rates, owner_of)
    carried = (after.bytes_by_namespace[0] - before.bytes_by_namespace[0]) / over_s
    datagrams = (after.datagrams - before.datagrams) / over_s
    said: list[str] = []
    blamed = talkers[0] if talkers and talkers[0][3] >= _LEAST_SHARE * carried else None
    if blamed:
        theirs = [inode for inode, pid in owner_of.items() if pid == blamed[0]]
        peers = {after.sockets.tcp[inode].remote: rates[inode] for inode in theirs}
        said.append(
            f"{sized(blamed[3], 'bytes_per_s')} by TCP of {_called(blamed)} with {_listed_peers(peers)}"
        )
    for group in sorted(set(shared.values())):
        rate = sum(rates[inode] for inode, by in shared.items() if by == group)
        said.append(
            f"{sized(rate, 'bytes_per_s')} by TCP sockets that {_named(group)} share; which one moved it is"
            " unknown"
        )
    missing = carried - sum(rates.values())
    if missing > carried / 2 and datagrams >= _MANY_DATAGRAMS_PER_S:
        row, text = _datagram_users(after.sockets.udp, datagrams, samples)
        blamed = row or blamed
        said.append(text)
    said += _closed(before, after, namespaces.closed)
    if blamed is None and not said:
        said.append(_nobody())
    return {"talkers": talkers, "blamed": blamed, "said": "; ".join(said)}


def _datagram_users(
    inodes: Iterable[int], datagrams: float, samples: held_by.Samples | None
) -> tuple[Row | None, str]:
    """Processes seen sending or receiving datagrams, whose bytes nothing counts."""
    held = held_by.holders(sorted(inodes)[-_DATAGRAM_SOCKETS_AT_MOST:])
    used = held_by.by_process(held)
    seen = held_by.activity(used, held_by.LOOK_S, samples)
    hits = {pid: did.hits(used.get(pid, ()), held) for pid, did in seen.items()}
    ranked = sorted(seen, key=lambda pid: (hits[pid], seen[pid].run_ns), reverse=True)
    active = [pid for pid in ranked if hits[pid]]
    likely = active or [pid for pid in ranked if seen[pid].run_ns]
    who = (
        f"these processes hold busy UDP sockets: {_named(likely)}"
        if likely
        else "no process was seen using it"
    )
    text = f"UDP ({datagrams:.0f} datagrams/s): bytes per process can't be counted; {who}"
    return (_row(active[0], 0.0) if active else None), text


def _closed(before: Moment, after: Moment, closed: Mapping[int, int]) -> list[str]:
    """What network namespaces carried whose sockets we may not read."""
    said, over_s = [], max(after.at_s - before.at_s, 1e-3)
    for inode, pid in closed.items():
        rate = (after.bytes_by_namespace[inode] - before.bytes_by_namespace.get(inode, 0)) / over_s
        if inode in before.bytes_by_namespace and rate >= _FEWEST_BYTES_PER_S * 1024:
            said.append(
                f"{sized(rate, 'bytes_per_s')} in the network namespace of {_named([pid])}, whose"
                " sockets can't be read without CAP_SYS_ADMIN"
                f" (sudo nsenter --net --target {pid} ss -tinp shows them)"
            )
    return said


def _nobody() -> str:
    """Why nobody is named, by what this process may see."""
    hidden = held_by.hidden_count()
    if hidden:
        return (
            f"no socket that could be seen moved it: those of {counted(hidden, 'process')} can't be"
            f" (record as root to see them: {line_for_all()})"
        )
    return "no socket moved it: packets that are forwarded or raw, or connections that closed meanwhile"


# ------------------------------------------------------------------------------- counters and words


def _interface_bytes(path: str) -> int:
    """Received and sent, of the interface that carried the most."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()[2:]
    except OSError:
        return 0
    fields = [line.rpartition(":")[2].split() for line in lines]
    return max((int(each[0]) + int(each[8]) for each in fields if len(each) > 8), default=0)


def _datagrams() -> int:
    """UDP's received and sent, by IPv4 and IPv6; 0 where the kernel does not count them."""
    v4 = [words for words in _table("/proc/net/snmp") if words[0] == "Udp:"]
    told = dict(zip(*v4[:2], strict=False)) if len(v4) > 1 else {}
    told |= {words[0]: words[1] for words in _table("/proc/net/snmp6")}
    names = ("InDatagrams", "OutDatagrams", "Udp6InDatagrams", "Udp6OutDatagrams")
    return sum(int(told.get(name, 0)) for name in names)


def _table(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return []
    return [words for line in lines if len(words := line.split()) > 1]


def _row(pid: int, rate: float) -> Row | None:
    stat = stat_of(pid)
    return None if stat is None else (pid, stat.start_ticks, stat.name, rate)


def _called(row: Row) -> str:
    return f"{row[2]} (pid {row[0]})"


def _named(pids: Iterable[int]) -> str:
    rows = [row for pid in list(pids)[:_NAMED_AT_MOST] if (row := _row(pid, 0.0)) is not None]
    return " and ".join(map(_called, rows)) or "processes that have ended"


def _listed_peers(rates: Mapping[str, float]) -> str:
    busiest = sorted(rates, key=lambda peer: -rates[peer])
    more = f" and {len(busiest) - 2} more" if len(busiest) > 2 else ""
    return " and ".join(busiest[:2]) + more


def main(over_s: float) -> None:
    """Look twice and print. ASCII JSON keeps any process name whole."""
    namespaces = sockdiag.open_namespaces()
    samples = moving.opened(online_cpus())
    rights.keep_only((rights.CAP_SYS_PTRACE, rights.CAP_DAC_READ_SEARCH))
    before = take(namespaces)
    time.sleep(over_s)
    sys.stdout.write(json.dumps(answer(before, take(namespaces), namespaces, samples)))


if __name__ == "__main__":
    main(float(sys.argv[1]))
