"""Which mappings of a process hold its memory, by kind, from /proc/PID/smaps; and which of them grew.

The kernel walks the page tables to tell it, so what is read is bounded: of a process with tens of thousands
of mappings the first are told one by one, and the rest by the sums that it has anyway.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from monitord import procfs
from monitord.causes.observed import Mappings, OfProcess

SMAPS_CAP_BYTES = 8 << 20
"""About 11,000 mappings; 20 ms."""
_KINDS_CAP = 24
_NAME_CAP = 120
_HEAD = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ (\S+) +(\d+) *(.*)")
_SUMS = {"RssAnon": "anonymous memory", "RssFile": "mapped files", "RssShmem": "shared memory"}
_SHARED_NAMES = ("/dev/shm/", "/memfd:", "/SYSV", "/dev/zero")  # noqa: S108 - what the kernel calls them


@dataclass(frozen=True, slots=True)
class Region:
    """One mapping: where it lies, of what kind it is, and bytes of it in RAM and in swap."""

    begin: int
    end: int
    kind: str
    is_writable: bool
    is_private: bool
    path: str
    resident_bytes: int = 0
    swapped_bytes: int = 0
    huge_bytes: int = 0


def regions(smaps: bytes) -> Iterator[Region]:
    """The mappings in a text of smaps, which may be cut; what is not of its form is left out."""
    head: re.Match[bytes] | None = None
    sums: dict[bytes, int] = {}
    for line in smaps.split(b"\n"):
        key, separator, value = line.partition(b":")
        if (separator and key.isalpha()) or b"_" in key[:16]:
            number = value.split(None, 1)[:1]
            if number and number[0].isdigit():
                sums[key] = 1024 * int(number[0])
        elif found := _HEAD.fullmatch(line):
            if head is not None:
                yield _region(head, sums)
            head, sums = found, {}
    if head is not None:
        yield _region(head, sums)


def _region(head: re.Match[bytes], sums: Mapping[bytes, int]) -> Region:
    begin, end, rights, _device, _inode, name = head.groups()
    path = os.fsdecode(name[: 4 * _NAME_CAP])[:_NAME_CAP]
    reserved = sums.get(b"Private_Hugetlb", 0) + sums.get(b"Shared_Hugetlb", 0)
    return Region(
        int(begin, 16), int(end, 16), kind_of(path, is_private=rights[3:4] == b"p", is_reserved=reserved > 0),
        rights[1:2] == b"w", rights[3:4] == b"p", path,
        sums.get(b"Rss", 0) + reserved, sums.get(b"Swap", 0), sums.get(b"AnonHugePages", 0),
    )  # fmt: skip


def kind_of(path: str, *, is_private: bool, is_reserved: bool = False) -> str:
    """What a mapping is, in a few words; its path where that says more."""
    if is_reserved:
        return "reserved huge pages"
    if path == "[heap]":
        return "the heap"
    if path.startswith("[stack"):
        return "the stack"
    if not path or path.startswith("[anon:"):
        return f"anonymous memory{f' ({path[6:-1]})' if path else ''}"
    if path.startswith("[anon_shmem:") or path.startswith(_SHARED_NAMES):
        return f"shared memory {path}"
    if path.startswith("["):
        return path
    return f"the file {path}" if not is_private else f"the file {path} (private)"


def read(pid: int) -> tuple[list[Region], Mappings]:
    """The mappings of a process, and what is kept of them; raises OSError."""
    smaps = procfs.read(procfs.path(pid, "smaps"), SMAPS_CAP_BYTES)
    found = list(regions(smaps))
    kept = summed(found)
    status = procfs.status_of(pid)
    kept["sums"] = {word: _kilobytes(status.get(name, "")) for name, word in _SUMS.items()}
    kept["swapped"] = _kilobytes(status.get("VmSwap", ""))
    kept["is_whole"] = len(smaps) < SMAPS_CAP_BYTES
    return found, kept


def summed(found: list[Region]) -> Mappings:
    """Bytes by kind, the largest first; and in huge pages."""
    kinds: dict[str, tuple[int, int]] = {}
    for region in found:
        size, count = kinds.get(region.kind, (0, 0))
        kinds[region.kind] = (size + region.resident_bytes + region.swapped_bytes, count + 1)
    ranked = sorted(kinds.items(), key=lambda kind: -kind[1][0])
    groups: dict[str, int] = {}
    for name, (size, _count) in kinds.items():
        groups[group_of(name)] = groups.get(group_of(name), 0) + size
    return {
        "kinds": dict(ranked[:_KINDS_CAP]),
        "groups": groups,
        "count": len(found),
        "huge": sum(region.huge_bytes for region in found),
    }


def _kilobytes(word: str) -> int:
    number = word.split(" ", 1)[0]
    return 1024 * int(number) if number.isdigit() else 0


def gains(before: OfProcess | None, after: OfProcess) -> tuple[int, list[tuple[str, int]]]:
    """Bytes gained between two observations, in all and by kind, or by group if no single kind gained half.

    Held, where there is no observation before. The most first; losses are left out. Of a process whose
    mappings were not all read, the kernel's sums stand for them.
    """
    now, then = after.get("mappings", {}), before.get("mappings", {}) if before is not None else {}
    if not (now.get("is_whole", True) and then.get("is_whole", True)):
        return _gains(then.get("sums", {}), now.get("sums", {}))
    by_kind = _gains(
        {name: size for name, (size, _count) in then.get("kinds", {}).items()},
        {name: size for name, (size, _count) in now.get("kinds", {}).items()},
    )
    total, by_group = _gains(then.get("groups", {}), now.get("groups", {}))
    is_one = by_kind[1] and by_kind[1][0][1] >= total / 2
    return total, by_kind[1] if is_one else by_group


def _gains(then: Mapping[str, int], now: Mapping[str, int]) -> tuple[int, list[tuple[str, int]]]:
    gained = [(name, size - then.get(name, 0)) for name, size in now.items()]
    total = sum(now.values()) - sum(then.values())
    return total, sorted((one for one in gained if one[1] > 0), key=lambda one: -one[1])


def group_of(kind: str) -> str:
    """Kinds of many names, such as segments of shared memory, together."""
    if kind.startswith("anonymous memory"):
        return "anonymous memory"
    if kind.startswith("shared memory"):
        return "shared memory"
    if kind.startswith("the file "):
        return "private memory of files" if kind.endswith("(private)") else "mapped files"
    return kind


def is_cache(kind: str) -> bool:
    """Whether what was only read of it can be taken back: a file's."""
    return kind == "mapped files" or (kind.startswith("the file ") and not kind.endswith("(private)"))
