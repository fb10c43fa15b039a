"""What the control group of a process allows it: CPU quota and throttling, memory, frozen. Versions 1 and 2.

Asked of those that could matter only. Which group it is, and its limits, are looked up once a minute; the
limits once for all its members.
"""

from __future__ import annotations

import os
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitord.model import ProcessKey, ProcessRates, changed
from monitord.procfs import age_s, path, read_once
from monitord.procfs.cgroups import folders_of, is_frozen, memberships, mounted_here
from monitord.redaction import redact_name
from monitord.sampling.details import unit_in_membership
from monitord.sampling.rates import SHORTEST_S

BUSY_PERCENT = 5.0
LARGE_BYTES = 32 << 20
"""From where on a process is asked: with less it is far from any limit that anybody sets."""

MAX_ASKED = 64
"""Of those that are not known yet, in one pass; the others are asked in the next."""

MAX_GROUPS = 256
"""Whose kills are counted; the one that was met longest ago goes first."""

_KILLS = ("memory.events.local", "memory.events", "memory.oom_control")
"""Version 2 (before Linux 5.2 with the groups beneath) and version 1; all have a row `oom_kill N`."""

GroupOfMemory = tuple[str, str]
"""Its folder and its name."""

MAX_NAME = 256
"""Characters of a group's path that are kept."""
_FRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class _Group:
    cpu_folder: str | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    memory: GroupOfMemory | None = None

    @property
    def is_limited(self) -> bool:
        return self.cpu_percent is not None or self.memory_bytes is not None


@dataclass(frozen=True, slots=True)
class _Throttled:
    at_s: float
    seconds: float


class Groups:
    """The limits of processes' groups. `root` is where Linux shows its processes."""

    def __init__(self, root: str = "/proc") -> None:
        self._root = root
        self._here = mounted_here(root)
        self._memberships: dict[ProcessKey, tuple[float, str]] = {}
        self._groups: dict[str, tuple[float, _Group]] = {}  # by membership: many processes share a group
        self._units: dict[str, str | None] = {}  # by membership, too
        self._texts: dict[str, str] = {}
        self._throttled: dict[str, _Throttled] = {}
        self._forgotten_at_s = float("-inf")

    def with_limits(
        self, processes: tuple[ProcessRates, ...], memory_total_bytes: int
    ) -> tuple[ProcessRates, ...]:
        """The same processes; those in a limited group with its limit and what it held back."""
        mattering = [one for one in processes if _could_matter(one)]
        if not (mattering or self._throttled):
            return processes
        now_s = time.monotonic()
        self._ask_some(mattering, now_s)
        groups = {
            one.key: self._group(self._memberships[one.key][1], now_s, memory_total_bytes)
            for one in mattering
            if one.key in self._memberships
        }
        limited = [one for one in mattering if (group := groups.get(one.key)) and group.is_limited]
        if not limited:
            self._throttled.clear()
            return processes
        held_back = self._held_back(limited, groups, now_s)
        told = {one.key: _limited(one, groups[one.key], held_back.get(one.key)) for one in limited}
        return tuple(told.get(one.key, one) for one in processes)

    def unit_of(self, key: ProcessKey) -> str | None:
        """The systemd unit of a process as it was within the last minute; None outside systemd."""
        now_s = time.monotonic()
        if _is_stale(self._memberships.get(key), now_s) or _is_young(key):
            self._forget_old(now_s)
            self._ask(key, now_s)
        if key not in self._memberships:
            return None
        text = self._memberships[key][1]
        if text not in self._units:
            self._units[text] = unit_in_membership(text)
        return self._units[text]

    def is_frozen(self, pid: int) -> bool:
        """Whether its group, or one above it, is frozen: it is paused, and does not hang."""
        return is_frozen(pid, self._root, self._here)

    def _ask_some(self, mattering: list[ProcessRates], now_s: float) -> None:
        """In which groups they are, where it is not known or was asked long ago; the busiest first."""
        due = [one for one in mattering if _is_stale(self._memberships.get(one.key), now_s)]
        if not due or not self._here:
            return
        due.sort(key=lambda one: -(one.cpu_percent or 0.0))
        for one in due[:MAX_ASKED]:
            self._ask(one.key, now_s)
        self._forget_old(now_s)

    def _forget_old(self, now_s: float) -> None:
        """Those that ended, or are small since then."""
        oldest_s = now_s - 2 * _FRESH_S
        if now_s < self._forgotten_at_s + _FRESH_S:
            return
        self._forgotten_at_s = now_s
        self._units.clear()
        self._texts.clear()
        self._memberships = {key: entry for key, entry in self._memberships.items() if entry[0] > oldest_s}
        self._groups = {text: entry for text, entry in self._groups.items() if entry[0] > oldest_s}

    def _group(self, membership: str, now_s: float, memory_total_bytes: int) -> _Group:
        entry = self._groups.get(membership)
        if entry is None or _is_stale(entry, now_s):
            entry = self._groups[membership] = now_s, self._read_group(membership, memory_total_bytes)
        return entry[1]

    def _read_group(self, membership: str, memory_total_bytes: int) -> _Group:
        paths, here = memberships(membership), self._here
        quotas = [
            (quota, folder)
            for folder in folders_of("cpu", paths, here) or folders_of("", paths, here)
            if (quota := quota_percent(folder)) is not None
        ]
        percent, folder = min(quotas, default=(None, None))
        memory_folders = folders_of("memory", paths, here) or folders_of("", paths, here)
        sizes = [
            size
            for folder_ in memory_folders
            if (size := memory_limit_bytes(folder_)) is not None and size < memory_total_bytes
        ]
        name = redact_name(paths.get("memory", paths.get("", "/")))[:MAX_NAME]
        own = (memory_folders[0], name) if memory_folders else None
        return _Group(folder, percent, min(sizes, default=None), own)

    def of_memory(self) -> set[GroupOfMemory]:
        """The groups charged for the memory of processes asked about lately."""
        return {group.memory for _, group in self._groups.values() if group.memory is not None}

    def _ask(self, key: ProcessKey, now_s: float) -> None:
        """Remember in which groups it is, one copy of what many say; what can't be read is asked again."""
        if text := _text(path(key.pid, "cgroup", self._root)):
            self._memberships[key] = now_s, self._texts.setdefault(text, text)

    def _held_back(
        self, asked: Iterable[ProcessRates], groups: Mapping[ProcessKey, _Group], now_s: float
    ) -> dict[ProcessKey, float]:
        """Percent of one core that each was held back, in proportion to what it used of its group."""
        members: dict[str, list[ProcessRates]] = defaultdict(list)
        for one in asked:
            folder = groups[one.key].cpu_folder
            if folder is not None and one.cpu_percent:
                members[folder].append(one)
        earlier, self._throttled = self._throttled, {}
        found: dict[ProcessKey, float] = {}
        for folder, ones in members.items():
            after = self._throttled[folder] = _Throttled(now_s, throttled_s(folder))
            before = earlier.get(folder)
            if before is None or now_s - before.at_s < SHORTEST_S:
                continue
            percent = 100.0 * max(0.0, after.seconds - before.seconds) / (now_s - before.at_s)
            used = sum(one.cpu_percent or 0.0 for one in ones)
            for one in ones:
                most = max(0.0, 100.0 * one.thread_count - (one.cpu_percent or 0.0))
                found[one.key] = min(most, percent * (one.cpu_percent or 0.0) / used)
        return found


class GroupKills:
    """Kills for lack of memory in the groups it was told of, by the groups' own counters.

    Read when the machine's counter has grown, or in each pass where the machine has none.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[GroupOfMemory, int] = OrderedDict()
        self._watched: set[GroupOfMemory] = set()

    def watch(self, groups: set[GroupOfMemory]) -> None:
        """Count from now on what is killed in these, too."""
        if groups == self._watched:
            return  # a group without a counter is not asked for it in every pass
        self._watched = groups
        for group in groups:
            if group in self._counts:
                self._counts.move_to_end(group)
            elif (count := kills_in(group[0])) is not None:
                self._counts[group] = count
        while len(self._counts) > MAX_GROUPS:
            self._counts.popitem(last=False)

    def since(self, machine_kills: int | None) -> tuple[int | None, dict[str, int]]:
        """Kills since the last time, and those of named groups among them; None: nobody counts here.

        More than the machine counted are left for the next time: they came after it was read.
        """
        if machine_kills == 0:
            return 0, {}
        found: dict[str, int] = {}
        for group, before in list(self._counts.items()):
            after = kills_in(group[0])
            if after is None:
                del self._counts[group]  # it was removed
                continue
            left = after if machine_kills is None else machine_kills - sum(found.values())
            if more := min(after - before, left):
                self._counts[group] = before + more
                if more > 0:
                    found[group[1]] = found.get(group[1], 0) + more
        if machine_kills is None and (found or self._counts):
            return sum(found.values()), found
        return machine_kills, found


def _is_young(key: ProcessKey) -> bool:
    """A young process may be on its way to another group: a manager moves it, or it moves itself."""
    return sys.platform == "linux" and age_s(key.start_ticks) < _FRESH_S


def _is_stale(entry: tuple[float, object] | None, now_s: float) -> bool:
    return entry is None or now_s - entry[0] >= _FRESH_S


def _could_matter(process: ProcessRates) -> bool:
    return (process.cpu_percent or 0.0) >= BUSY_PERCENT or process.rss_bytes >= LARGE_BYTES


def _limited(process: ProcessRates, group: _Group, held_back: float | None) -> ProcessRates:
    return changed(
        process,
        throttled_percent=held_back,
        cpu_limit_percent=group.cpu_percent,
        memory_limit_bytes=group.memory_bytes,
        memory_group=group.memory[1] if group.memory is not None else None,
    )


def quota_percent(folder: str) -> float | None:
    """The CPU that a group may use, in percent of one core; None: as much as it likes."""
    words = _text(f"{folder}/cpu.max").split()
    if not words:
        words = [*_text(f"{folder}/cpu.cfs_quota_us").split(), *_text(f"{folder}/cpu.cfs_period_us").split()]
    if len(words) < 2 or not words[0].isdigit() or not words[1].isdigit() or int(words[1]) == 0:
        return None
    return 100.0 * int(words[0]) / int(words[1])


def memory_limit_bytes(folder: str) -> int | None:
    """The memory that a group may hold; None: no limit."""
    word = (_text(f"{folder}/memory.max") or _text(f"{folder}/memory.limit_in_bytes")).strip()
    return int(word) if word.isdigit() else None


def throttled_s(folder: str) -> float:
    """Seconds for which the group's threads were held back by its quota, of all cores together."""
    rows = (line.split() for line in _text(f"{folder}/cpu.stat").splitlines())
    found = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
    return found.get("throttled_usec", 0) / 1e6 + found.get("throttled_time", 0) / 1e9


def kills_in(folder: str) -> int | None:
    """Processes that the kernel killed in this group for lack of memory; None: it does not say."""
    for name in _KILLS:
        rows = (row.split() for row in (read_once(f"{folder}/{name}", 4096) or b"").splitlines())
        for row in rows:
            if len(row) == 2 and row[0] == b"oom_kill" and row[1].isdigit():
                return int(row[1])
    return None


def _text(file: str) -> str:
    return os.fsdecode(read_once(file, 8192) or b"")
