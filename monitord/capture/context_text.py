"""What the context record says, in words by label; what was measured and is not shown, by reason (NOT_SHOWN).

Pure. Names and paths in the record are an attacker's bytes: every text is cut, and escaped where it is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from monitord.model import CONTEXT_LABELS, counted, sized
from monitord.procfs.cgroups import FROZEN, tell_frozen

NOT_SHOWN: Mapping[str, str] = {
    "taken_at": "the capture's own time",
    "cpu_percent": "the capture's target_cpu_percent",
    "window_s": "how long it was measured; rates are given per second",
    "identity.pid": "the incident's",
    "identity.name": "the incident's",
    "identity.start_ticks": "the incident's",
    "identity.executable": "the incident's",
    "identity.command_line": "the incident's",
    "identity.is_kernel_thread": "such a process has no program and no memory, which is shown",
    "identity.namespaces": "numbers that mean nothing to a person; NSpid and the container are shown",
    "status.VmPeak": "address space, most of it never used",
    "status.VmSize": "address space, most of it never used",
    "status.Threads": "counted with the threads",
    "status.SigCgt": "a bit mask; for tools, in the artefact",
    "status.SigBlk": "a bit mask; for tools, in the artefact",
    "status.CapEff": "a bit mask; for tools, in the artefact",
    "status.Uid": "the incident's user",
    "status.Gid": "the incident's user",
    "memory.Swap": "VmSwap says the same",
    "memory.Shared_Clean": "in the file part of the resident memory",
    "memory.Shared_Dirty": "in the shared part of the resident memory",
    "threads.shown.name": "shown of busy threads; waiting ones are counted by where they wait",
    "limits": "of the limits only those on files and memory are near in practice",
    "cgroup.paths": "the unit, the container or the incident's cgroup",
    "system.meminfo.MemFree": "MemAvailable is what can be had",
    "system.meminfo.Buffers": "in MemAvailable",
    "system.meminfo.Cached": "in MemAvailable",
    "system.meminfo.Committed_AS": "promised, not used",
    "system.meminfo.HugePages_Total": "reserved at boot",
    "system.meminfo.SUnreclaim": "a part of Slab",
}
_TEXT = 400
_GROUPS = 3
_FRAMES = 4
_FRAME = re.compile(r"\] (\S+?)(?:\+0x|$)")
_AVERAGE = re.compile(r"(some|full) avg10=([0-9.]+)")
_IDLE = "0"
_NO_LIMIT_BYTES = 1 << 60
"""Version 1 says "no limit" with the largest number of pages that there is."""


def render_context(record: Mapping[str, Any]) -> dict[str, str]:
    """Return texts by label, in the order of CONTEXT_LABELS; a label without anything to say is not there."""
    found = {label: "; ".join(_PARTS[label](record)) for label in CONTEXT_LABELS}
    return {label: text[:_TEXT] for label, text in found.items() if text}


def _waits(record: Mapping[str, Any]) -> Iterator[str]:
    """Where its threads wait, the most first; those in uninterruptible sleep before all others."""
    places: Counter[tuple[bool, str]] = Counter()
    for thread in _get(record, "threads", "shown") or ():
        place = _place_of(thread)
        if place:
            places[thread.get("state") != "D", place] += 1
    for (is_ordinary, place), count in sorted(places.items(), key=lambda item: (item[0][0], -item[1]))[
        :_GROUPS
    ]:
        who = "1 thread" if count == 1 else f"{count} threads"
        how = "waits" if count == 1 else "wait"
        yield f"{who} {how} in {place}" + ("" if is_ordinary else " (state D: can't be interrupted)")


def _place_of(thread: Mapping[str, Any]) -> str:
    """`percpu_rwsem_wait ← vfs_write, system call write, on /srv/x`; empty for a thread that runs."""
    stack = [match[1] for line in thread.get("kernel_stack") or () if (match := _FRAME.search(line))]
    wchan = thread.get("wchan")
    if not stack and wchan not in (None, "", _IDLE):
        stack = [str(wchan)]
    if thread.get("state") == "R" or not stack:
        return ""
    words = [" ← ".join(stack[:_FRAMES])]
    if thread.get("syscall") not in (None, "running", "-1"):
        words.append(f"system call {thread.get('call') or thread['syscall']}")
    if thread.get("file"):
        words.append(f"on {thread['file']}")
    return ", ".join(words)


def _threads(record: Mapping[str, Any]) -> Iterator[str]:
    threads = record.get("threads") or {}
    if not threads.get("count"):
        return
    busy = [one for one in threads.get("shown", ()) if (one.get("cpu_percent") or 0) >= 1]
    names = [f"{one.get('name') or '?'} ({one['thread_id']}) {one['cpu_percent']:.0f} %" for one in busy[:4]]
    yield f"{threads['count']:,} in all" + (" (read: the busiest 100)" if threads.get("is_cut") else "")
    yield f"busy: {', '.join(names)}" if names else "none used CPU"
    if record.get("cut"):
        yield str(record["cut"])


def _memory(record: Mapping[str, Any]) -> Iterator[str]:
    status, memory = record.get("status") or {}, record.get("memory") or {}
    if "VmRSS" in status:
        parts = (("RssAnon", "anonymous"), ("RssFile", "of files"), ("RssShmem", "shared"))
        split = [f"{_size(status[key])} {word}" for key, word in parts if key in status]
        yield f"{_size(status['VmRSS'])} resident ({', '.join(split)})"
    words = (
        (status, "VmHWM", "at most"), (status, "VmSwap", "swapped out"),
        (status, "HugetlbPages", "not counted as resident: in reserved huge pages"),
        (memory, "Pss", "its share (Pss)"),
        (memory, "Private_Dirty", "private and written"), (memory, "AnonHugePages", "in huge pages"),
    )  # fmt: skip
    yield from (f"{word} {_size(held[key])}" for held, key, word in words if not _is_nothing(held.get(key)))
    score = _get(record, "identity", "oom_score")
    if score:
        yield f"out-of-memory score {score}"


def _files(record: Mapping[str, Any]) -> Iterator[str]:
    files = record.get("files") or {}
    if not files.get("count"):
        return
    limit = _get(record, "limits", "Max open files")
    yield f"{files['count']:,} open" + (f" of {limit}" if limit else "")
    if files.get("looked_at", files["count"]) < files["count"]:
        yield f"read: the first {files['looked_at']:,}"
    yield ", ".join(f"{count:,} {kind}" for kind, count in _most(files.get("kinds")))
    folders = [f"{count:,} in {folder}" for folder, count in _most(files.get("top_folders"))]
    if folders:
        yield ", ".join(folders[:_GROUPS])


def _sockets(record: Mapping[str, Any]) -> Iterator[str]:
    states = _get(record, "files", "sockets") or {}
    known = [f"{count:,} {state.replace('_', ' ')}" for state, count in _most(states) if count]
    if known:
        yield ", ".join(known)


def _disk(record: Mapping[str, Any]) -> Iterator[str]:
    io = record.get("io") or {}
    words = {
        "read_bytes_per_s": "from disks", "write_bytes_per_s": "to disks", "rchar_per_s": "read by calls",
        "wchar_per_s": "written by calls", "cancelled_write_bytes_per_s": "of written data thrown away",
    }  # fmt: skip
    yield from (f"{sized(io[key], 'bytes_per_s')} {word}" for key, word in words.items() if io.get(key))
    calls = [
        f"{io[key]:,} {word}/s"
        for key, word in (("syscr_per_s", "reads"), ("syscw_per_s", "writes"))
        if io.get(key)
    ]
    if calls:
        yield ", ".join(calls)


def _state(record: Mapping[str, Any]) -> Iterator[str]:
    status = record.get("status") or {}
    if tell_frozen(_get(record, "cgroup", "limits") or {}):
        yield FROZEN
    if status.get("State"):
        yield str(status["State"])
    if status.get("TracerPid", _IDLE) != _IDLE:
        yield f"traced by process {status['TracerPid']}"
    if status.get("Seccomp", _IDLE) != _IDLE:
        yield f"seccomp mode {status['Seccomp']}"
    if status.get("NoNewPrivs", _IDLE) != _IDLE:
        yield "can't gain privileges"
    switches = (("voluntary_ctxt_switches", "voluntary"), ("nonvoluntary_ctxt_switches", "involuntary"))
    counts = [f"{int(status[key]):,} {word}" for key, word in switches if str(status.get(key, "")).isdigit()]
    if counts:
        yield f"context switches: {', '.join(counts)}"
    if status.get("Cpus_allowed_list"):
        yield f"may run on CPUs {status['Cpus_allowed_list']}"


def _place(record: Mapping[str, Any]) -> Iterator[str]:
    identity = record.get("identity") or {}
    if identity.get("python"):
        yield f"Python {identity['python']}"
    if identity.get("cwd"):
        yield f"in {identity['cwd']}"
    ancestors = [f"{one['name']} ({one['pid']})" for one in identity.get("ancestors") or ()]
    if ancestors:
        yield f"started by {' ← '.join(ancestors[:_FRAMES])}"
    inner = str(_get(record, "status", "NSpid") or "").split()[1:]
    if inner:
        yield f"pid {inner[-1]} in its own namespace"


def _group(record: Mapping[str, Any]) -> Iterator[str]:
    cgroup = record.get("cgroup") or {}
    limits = _as_version_2(cgroup.get("limits") or {})
    if cgroup.get("unit"):
        yield str(cgroup["unit"])
    if cgroup.get("container_id"):
        yield f"container {str(cgroup['container_id'])[:12]}"
    for name in ("memory", "pids"):
        if f"{name}.current" in limits:
            held = limits[f"{name}.current"]
            most = limits.get(f"{name}.max", "max")
            of = "" if most == "max" else f" of {_number(name, most)}"
            yield f"{name} {_number(name, held)}{of}"
    if limits.get("memory.high", "max") != "max":
        yield f"slowed down from {_number('memory', limits['memory.high'])}"
    quota = str(limits.get("cpu.max", "max")).split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]):
        yield f"CPU quota {100 * int(quota[0]) / int(quota[1]):.0f} % of a core"
    events = {**_pairs(limits.get("memory.events")), **_pairs(limits.get("cpu.stat"))}
    kills, periods = events.get("oom_kill", _IDLE), events.get("nr_throttled", _IDLE)
    if kills != _IDLE:
        yield f"{kills} killed for lack of memory"
    if events.get("max", _IDLE) != _IDLE:
        yield f"at its memory limit {counted(int(events['max']), 'time')}"
    if periods != _IDLE:
        yield f"held back by its CPU quota in {periods} of {events.get('nr_periods', '?')} periods"
    for name in ("cpu", "memory", "io"):
        yield from _pressed(f"{name} of the group", limits.get(f"{name}.pressure"))


def _as_version_2(limits: Mapping[str, str]) -> dict[str, str]:
    """The same under the names of version 2; no limit is "max"."""
    found = dict(limits)
    most = found.get("memory.limit_in_bytes", "")
    if most.isdigit() and int(most) < _NO_LIMIT_BYTES and "memory.usage_in_bytes" in found:
        found |= {"memory.max": most, "memory.current": found["memory.usage_in_bytes"]}
    if "memory.oom_control" in found:
        events = f"max {found.get('memory.failcnt', _IDLE)}\n{found['memory.oom_control']}"
        found["memory.events"] = events
    quota = found.get("cpu.cfs_quota_us", "")
    if quota.isdigit():
        found["cpu.max"] = f"{quota} {found.get('cpu.cfs_period_us', '?')}"
    return found


def _pressure(record: Mapping[str, Any]) -> Iterator[str]:
    for name, text in (_get(record, "system", "pressure") or {}).items():
        yield from _pressed(name, text)


def _pressed(name: str, text: str | None) -> Iterator[str]:
    """Of the last ten seconds; quiet resources are not shown."""
    averages = [
        f"{kind} {float(value):.0f} %" for kind, value in _AVERAGE.findall(text or "") if float(value) >= 1
    ]
    if averages:
        yield f"{name}: {', '.join(averages)}"


def _machine(record: Mapping[str, Any]) -> Iterator[str]:
    system = record.get("system") or {}
    info = system.get("meminfo") or {}
    if system.get("loadavg"):
        yield f"load {' '.join(str(system['loadavg']).split()[:3])}"
    if {"MemTotal", "MemAvailable"} <= info.keys():
        yield f"{_size(info['MemAvailable'])} of {_size(info['MemTotal'])} available"
    if not _is_nothing(info.get("SwapTotal")):
        yield f"swap: {_size(info.get('SwapFree', '0 kB'))} of {_size(info['SwapTotal'])} free"
    words = {
        "AnonPages": "anonymous", "Shmem": "shared", "Slab": "kernel's", "Dirty": "to be written",
        "Writeback": "being written", "Hugetlb": "reserved as huge pages",
    }  # fmt: skip
    yield from (f"{_size(info[key])} {word}" for key, word in words.items() if not _is_nothing(info.get(key)))
    if system.get("arc_bytes"):
        yield f"{sized(system['arc_bytes'], 'bytes')} in the ZFS cache"


def _unread(record: Mapping[str, Any]) -> Iterator[str]:
    """Reasons with the files; what to type against them is said where the missing right is known."""
    reasons: dict[str, list[str]] = {}
    for path, reason in (record.get("not_readable") or {}).items():
        reasons.setdefault(reason, []).append(path.rpartition("/")[2])
    for reason, names in reasons.items():
        yield f"{', '.join(dict.fromkeys(names))}: {reason}"


def _get(record: Mapping[str, Any], *names: str) -> Any:
    found: Any = record
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _most(counts: Mapping[str, int] | None) -> Iterable[tuple[str, int]]:
    return sorted((counts or {}).items(), key=lambda item: (-item[1], item[0]))


def _pairs(text: str | None) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in (text or "").splitlines() if " " in line)


def _number(name: str, text: str) -> str:
    return sized(int(text), "bytes") if name == "memory" and text.isdigit() else text


def _is_nothing(value: object) -> bool:
    return value is None or str(value).split()[:1] in ([], ["0"])


def _size(text: str) -> str:
    """`123 kB` of /proc in a unit that can be read; other texts stay."""
    number = str(text).split()[:1]
    return sized(int(number[0]) * 1024, "bytes") if number and number[0].isdigit() else str(text)


_PARTS = {
    "state": _state, "waits": _waits, "threads": _threads, "memory": _memory, "files": _files,
    "sockets": _sockets, "disk": _disk, "place": _place, "group": _group, "pressure": _pressure,
    "machine": _machine, "unread": _unread,
}  # fmt: skip
