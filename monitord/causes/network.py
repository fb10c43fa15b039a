"""With which remote ends a process exchanges bytes, and whether it moved them: sockets are held by several.

Bytes are the kernel's, by socket (sock_diag). Who moved them is the process met in a send or receive of that
socket, running or blocked, else the only one that ran meanwhile; two that did leave it unknown. UDP has no
counters.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import Any

from monitord import procfs, rights
from monitord.causes.facts import Facts
from monitord.causes.unknown import unknown
from monitord.causes.wait_words import Row, number, process_called, rows, text
from monitord.model import Cause, counted, sized
from monitord.perf_events import moving
from monitord.procfs import descriptors, holders, sockdiag
from monitord.redaction import redact_name

FIRST_S, WATCH_S = 0.3, 1.0
_LEAST_BYTES = 1024
_ROWS = 60
_BUSIEST = 400
_HOLDERS = 8
_MOST_OF_IT, _A_PART = 0.8, 0.05
_MOVERS = 3
_EVIDENCE = 6
_UDP_LOOK_S = 0.3
_DECIDES = "the stacks of those that hold these sockets"
_DECIDES_UNSAMPLED = (
    "samples of who runs in sends and receives: record as root, or with CAP_PERFMON and CAP_SYSLOG"
)


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """Bytes of its TCP sockets in a second by remote end, and who uses each; and its UDP sockets."""
    inodes = {
        inode
        for _number, link in descriptors.links(pid)
        if link.startswith("socket:") and (inode := descriptors.inode_in(link))
    }
    try:
        asker = sockdiag.asker_of(pid)
    except PermissionError:
        return {"sockets": len(inodes), "unread": "the kernel may not be asked for sockets"}
    samples = moving.opened(procfs.online_cpus()) if asker else None
    rights.keep_only((rights.CAP_SYS_PTRACE, rights.CAP_DAC_READ_SEARCH))
    rights.refuse_calls(profiles=False)
    if asker is None:
        return {
            "sockets": len(inodes),
            "unread": "its network namespace can't be entered without CAP_SYS_ADMIN",
        }
    held = holders.holders(_busiest(inodes, asker))
    began_s, before = time.monotonic(), sockdiag.look([asker])
    owners = holders.owners(held, lambda: sockdiag.look([asker]).both(), WATCH_S, samples, doubts=True)
    over_s = time.monotonic() - began_s
    time.sleep(max(0.0, WATCH_S - over_s))
    after, over_s = sockdiag.look([asker]), time.monotonic() - began_s
    deltas = _deltas(inodes, before, after)
    _add_new(deltas.keys() - held.keys(), owners)
    if holders.hidden_count():
        owners.sure.clear()  # one that may not be seen might hold them, too
    return {
        "over_s": round(over_s, 3),
        "sockets": len(inodes),
        "moved": _moved(deltas, after, owners),
        "is_sampled": samples is not None,
        "udp": _udp(pid, inodes & after.udp, samples),
    }


def _add_new(inodes: Set[int], owners: holders.Owners) -> None:
    """Of sockets that moved nothing before the watch only those that one process holds have a user."""
    for inode, by in holders.holders(inodes).items():
        if len(by) == 1:
            owners.by_inode[inode] = next(iter(by))


def _busiest(inodes: set[int], asker: socket.socket) -> list[int]:
    """Those whose holders are worth being looked for."""
    before = sockdiag.look([asker])
    time.sleep(FIRST_S)
    deltas = _deltas(inodes, before, sockdiag.look([asker]))
    return sorted(deltas, key=lambda inode: -sum(deltas[inode]))[:_BUSIEST]


def _deltas(
    inodes: set[int], before: sockdiag.Sockets, after: sockdiag.Sockets
) -> dict[int, tuple[int, int]]:
    """Bytes sent and received in between; a socket that is new counts from nothing."""
    now, then, found = after.both(), before.both(), {}
    for inode in inodes & now.keys():
        (sent, received), (sent_before, received_before) = now[inode], then.get(inode, (0, 0))
        moved = sent - sent_before, received - received_before
        if sum(moved) >= _LEAST_BYTES:
            found[inode] = moved
    return found


def _moved(
    deltas: Mapping[int, tuple[int, int]], after: sockdiag.Sockets, owners: holders.Owners
) -> list[dict[str, Any]]:
    """By remote end and user, the most bytes first; a socket that nobody was looked for has no user."""
    found: defaultdict[tuple[str, tuple[int, ...], bool], list[int]] = defaultdict(lambda: [0, 0])
    for inode, (sent, received) in deltas.items():
        by = owners.shared.get(inode) or tuple(filter(None, (owners.by_inode.get(inode),)))
        total = found[after.tcp[inode].remote, by, inode in owners.sure]
        total[0], total[1] = total[0] + sent, total[1] + received
    ranked = sorted(found.items(), key=lambda one: -sum(one[1]))[:_ROWS]
    return [
        {
            "remote": remote,
            "sent": sent,
            "received": received,
            "by": _named(by[:_HOLDERS]),
            "is_sure": is_sure,
        }
        for (remote, by, is_sure), (sent, received) in ranked
    ]


def _named(pids: Iterable[int]) -> list[list[Any]]:
    told = ((pid, procfs.stat_of(pid)) for pid in pids)
    return [[pid, redact_name(stat.name)[:40] if stat else ""] for pid, stat in told]


def _udp(pid: int, inodes: set[int], samples: holders.Samples | None) -> dict[str, int]:
    """How many UDP sockets it has, and in how many looks it was met sending or receiving there."""
    if not inodes:
        return {"sockets": 0, "looks_met": 0}
    held = holders.holders(inodes)
    used = set().union(*(by.get(pid, set()) for by in held.values()))
    met = holders.activity({pid: used}, _UDP_LOOK_S, samples)[pid].hits(used, inodes)
    return {"sockets": len(inodes), "looks_met": met}


# ------------------------------------------------------------------------------------------- explaining


def explain(facts: Facts) -> Cause:
    """The remote ends that most of the bytes went to or came from, and who moved them."""
    looks = [one for one in (facts.after, facts.before) if one is not None]
    seen = max(looks, key=lambda one: sum(map(_bytes, rows(one.get("moved")))), default=None)
    if seen is None or seen.get("unread"):
        why = text(seen, "unread") if seen else "its sockets could not be read"
        return unknown(facts, why, _fix(facts))
    moved = rows(seen.get("moved"))
    if not moved:
        return _without_tcp(facts, seen)
    whole = sum(map(_bytes, moved))
    by_user = _by_user(moved)
    evidence = _evidence(moved, seen)
    over_s = seen.get("over_s")
    per_s = whole / over_s if isinstance(over_s, float) and over_s > 0 else float(whole)
    ends, rate = _ends(moved), sized(per_s, "bytes_per_s")
    user, share = max(by_user.items(), key=lambda one: one[1])
    target = facts.alert.target.pid if facts.alert.target else 0
    if not user or len(user) > 1 or share < _MOST_OF_IT * whole:
        return Cause(
            "remote end", f"{rate} {ends}; {_undecided(by_user, whole)}", "possible", None,
            _DECIDES if seen.get("is_sampled") else _DECIDES_UNSAMPLED, evidence,
        )  # fmt: skip
    mover = user[0]
    is_sure = all(one.get("is_sure") for one in moved if _user(one) == user)
    rest = (
        ""
        if mover[0] == target
        else f"; {_called((target, facts.alert.process_name))} only holds the sockets"
    )
    sentence = f"{rate} {ends}, moved by {_called(mover)}{rest if target else ''}"
    return Cause("remote end", sentence, "certain" if is_sure else "likely", evidence=evidence)


def _undecided(by_user: Mapping[tuple[tuple[int, str], ...], int], whole: int) -> str:
    """Who moved which part, where nobody moved most of it: the largest that is sure, then who may have."""
    known = sorted(((by[0], count) for by, count in by_user.items() if len(by) == 1), key=lambda one: -one[1])
    told = [f"{_called(one)} moved {100 * count / whole:.0f} %" for one, count in known[:_MOVERS]]
    several = max((by for by in by_user if len(by) > 1), key=lambda by: by_user[by], default=())
    left = whole - sum(count for _one, count in known[:_MOVERS])
    what = "the rest" if told else "them"
    if several:
        told.append(f"which of {' and '.join(_called(one) for one in several[:4])} moved {what} is unknown")
    elif left >= _A_PART * whole:
        told.append(f"who moved {what} can't be seen" if () in by_user else f"others moved {what}")
    return ", ".join(told)


def _fix(facts: Facts) -> str:
    pid = facts.alert.target.pid if facts.alert.target else 0
    return f"sudo nsenter --net --target {pid} ss -tinp shows them"


def _without_tcp(facts: Facts, seen: Row) -> Cause:
    udp = seen.get("udp")
    count = number(udp, "sockets") if isinstance(udp, dict) else 0
    met = number(udp, "looks_met") if isinstance(udp, dict) else 0
    if not count:
        return unknown(
            facts, "no TCP socket of it moved bytes while it was watched, and it has no UDP socket"
        )
    told = counted(count, "UDP socket")
    if met:
        sentence = f"it was met sending or receiving at its {told}, whose bytes are not counted by anybody"
        return Cause("UDP", sentence, "likely", None, "a capture of packets: sudo tcpdump -c 100 udp")
    return unknown(facts, f"it has {told}, whose bytes are not counted", "sudo tcpdump -c 100 udp")


def _bytes(row: Row) -> int:
    return number(row, "sent") + number(row, "received")


def _user(row: Row) -> tuple[tuple[int, str], ...]:
    pairs = row.get("by")
    if not isinstance(pairs, list):
        return ()
    return tuple(
        (one[0], str(one[1]))
        for one in pairs
        if isinstance(one, list) and len(one) == 2 and isinstance(one[0], int)
    )


def _by_user(moved: list[Row]) -> dict[tuple[tuple[int, str], ...], int]:
    found: defaultdict[tuple[tuple[int, str], ...], int] = defaultdict(int)
    for row in moved:
        found[_user(row)] += _bytes(row)
    return dict(found)


def _ends(moved: list[Row]) -> str:
    """The two busiest remote ends, joined by host where ports are many, with the direction of most bytes."""
    sent, received = (sum(number(row, key) for row in moved) for key in ("sent", "received"))
    by_end: defaultdict[str, int] = defaultdict(int)
    by_host: defaultdict[str, int] = defaultdict(int)
    for row in moved:
        remote = text(row, "remote")
        by_end[remote] += _bytes(row)
        by_host[remote.rpartition(":")[0]] += _bytes(row)
    ends = by_end if max(by_end.values()) >= 0.5 * sum(by_end.values()) else by_host
    ranked = sorted(ends, key=lambda one: -ends[one])
    more = f" and {counted(len(ranked) - 2, 'other end')}" if len(ranked) > 2 else ""
    way = "to" if sent >= _MOST_OF_IT * (sent + received) else "with"
    way = "from" if received >= _MOST_OF_IT * (sent + received) else way
    return f"{way} {' and '.join(ranked[:2])}{more}"


def _called(process: tuple[int, str]) -> str:
    pid, name = process
    return process_called(name, pid)


def _evidence(moved: list[Row], seen: Row) -> tuple[tuple[str, str], ...]:
    found = []
    for row in moved[:_EVIDENCE]:
        who = " or ".join(_called(one) for one in _user(row)[:4]) or "nobody that can be seen"
        sent, received = (sized(number(row, key), "disk_bytes") for key in ("sent", "received"))
        found.append((text(row, "remote"), f"{sent} sent, {received} received by {who}"))
    udp = seen.get("udp")
    if isinstance(udp, dict) and number(udp, "sockets"):
        found.append(("UDP", f"{counted(number(udp, 'sockets'), 'socket')}, whose bytes are not counted"))
    return tuple(found)
