"""Descriptors that grew: of which kind, and where they lead: to a remote end, or below a folder."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from monitord import procfs
from monitord.causes.facts import Facts
from monitord.causes.growth import SECOND_LOOK, Group, Growth, growth, limit_rows, undecided
from monitord.causes.unknown import unknown
from monitord.model import Cause, counted
from monitord.procfs import descriptors, tcp_table
from monitord.redaction import printable, redact_name

_KINDS = 40
_TARGETS = 80
_DEPTH = 12
_TEXT = 160
_EVIDENCE = 6
_FIX = "its descriptors: record as root, or as its user"
CLOSED = "closed by the other end"
_OTHER = "other descriptors"

Targets = defaultdict[str, Counter[str]]


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """How many descriptors of each kind and target there are; 20,000 are looked at, nothing is opened."""
    count = procfs.count_descriptors(pid) or 0
    kinds: Counter[str] = Counter()
    targets: Targets = defaultdict(Counter)
    sockets: Counter[int] = Counter()
    for _number, link in descriptors.links(pid):
        kind = _kind(link)
        kinds[kind] += 1
        if kind == "sockets":
            sockets[descriptors.inode_in(link) or 0] += 1
        elif kind in ("files", "deleted files"):
            targets[kind].update(_folders(link))
        elif kind == "devices":
            targets[kind][redact_name(link)[:_TEXT]] += 1
    if sockets:
        targets["sockets"] = _remote_ends(pid, sockets)
    return {
        "count": max(count, kinds.total()),
        "looked_at": kinds.total(),
        "kinds": dict(kinds.most_common(_KINDS)),
        "targets": {kind: dict(each.most_common(_TARGETS)) for kind, each in targets.items()},
    }


def _kind(link: str) -> str:
    kind = descriptors.kind_of(link)
    if kind.startswith("anon_inode:"):
        return f"{redact_name(kind.removeprefix('anon_inode:').strip('[]'))} descriptors"
    if kind == "file":
        return "deleted files" if link.endswith(descriptors.DELETED) else "files"
    return {"socket": "sockets", "pipe": "pipes", "device": "devices"}.get(kind, _OTHER)


def _folders(link: str) -> list[str]:
    """A file, and each folder above it, which ends in a slash."""
    path = redact_name(link.removesuffix(descriptors.DELETED))
    parts = path.split("/")[: _DEPTH + 1]
    folders = ["/".join(parts[:depth]) + "/" for depth in range(2, len(parts))]
    return [one[:_TEXT] for one in (*folders, path)]


def _remote_ends(pid: int, inodes: Counter[int]) -> Counter[str]:
    """TCP's by their other end, its host, and the own port; the rest is not TCP, or not connected."""
    found: Counter[str] = Counter()
    table = tcp_table.connections(
        lambda name: procfs.text(procfs.path(pid, name), tcp_table.CAP_BYTES), inodes
    )
    seen = 0
    for row in table:
        number = inodes[row.inode]
        seen += number
        if row.state == "listen":
            found[f"listening at {row.local}"] += number
            continue
        found.update({f"to {row.remote}": number, f"to {row.remote.rpartition(':')[0]}": number})
        found[f"accepted at {row.local}"] += number
        found[CLOSED] += number if row.state == "close_wait" else 0
    found["that are not connected, or not TCP"] += inodes.total() - seen
    return +found


# ------------------------------------------------------------------------------------------- explaining


def explain(facts: Facts) -> Cause:
    """The kind that makes up at least half of the growth, with the narrowest target of most of it."""
    found = growth(facts)
    if found is None:
        return unknown(facts, "its descriptors could not be read", _FIX)
    main, evidence = found.main(), _evidence(found, facts)
    if main is None:
        return undecided(facts, "no kind of its descriptors makes up most of the growth", evidence)
    targets = found.targets(main.name)
    narrow = max(targets, key=_narrowness, default=None)
    is_closed = any(one.name == CLOSED for one in targets)
    what = f"{main.name}{_where(main, narrow)}{', closed by the other end and not here' if is_closed else ''}"
    sentence = (
        f"{found.share(main)} of {counted(found.by, 'further descriptor')} are {what}; {main.now:,} are open"
    )
    kind = "remote end" if main.name == "sockets" and narrow else main.name
    kind = kind if len(kind.split()) <= 3 else "descriptors"
    if (rival := found.rival()) is not None:
        return Cause(kind, sentence, found.confidence(main), printable(rival), SECOND_LOOK, evidence)
    return Cause(kind, sentence, found.confidence(main), evidence=evidence)


def _narrowness(target: Group) -> tuple[int, int, int]:
    """A file before its folder, a remote end with its port before its host, before the own port."""
    name = target.name
    if name == CLOSED:
        return 0, 0, 0
    if name.startswith("to "):
        return 3, int(name.rpartition(":")[2].isdigit()), target.by
    if name.startswith("accepted at "):
        return 2, 0, target.by
    return 1, name.count("/") + (not name.endswith("/")), target.by


def _where(main: Group, narrow: Group | None) -> str:
    if narrow is None or narrow.name == CLOSED:
        return ""
    name = printable(narrow.name)
    if main.name in ("files", "deleted files"):
        return f" below {name}" if name.endswith("/") else f": {name}, again and again"
    return f": {name}" if main.name == "devices" else f" {name}"


def _told_once(targets: list[Group]) -> list[Group]:
    """Without folders that hold nothing but a file or folder that is told as well."""
    below = {one.name: one.now for one in targets}
    return [
        one
        for one in targets
        if not (
            one.name.endswith("/")
            and any(
                name != one.name and name.startswith(one.name) and now == one.now
                for name, now in below.items()
            )
        )
    ]


def _evidence(found: Growth, facts: Facts) -> tuple[tuple[str, str], ...]:
    rows = [
        (one.name, f"{one.now:,} open, {'' if found.is_measured else 'at least '}{one.by:,} more")
        for one in found.kinds
        if one.by
    ] or [(one.name, f"{one.now:,} open") for one in found.kinds]
    main = found.main()
    more = _told_once(found.targets(main.name, 0.1)) if main else []
    rows += [(main.name if main else "", f"{printable(one.name)}: {one.now:,}") for one in more[:_EVIDENCE]]
    rows += limit_rows(facts, "descriptor", "looked at")
    return tuple((printable(label), text) for label, text in rows[: 2 * _EVIDENCE])
