"""What /proc says about a target without any tool.

`python -m monitord.capture.context PID START_TICKS [WINDOW_S]` prints one JSON object. A supervised child
runs it, because reads of a hung process can hang and those of a huge one are slow. What may not be read is
named with its reason. Never in it: environment values, the list of open files, an unredacted argument.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from monitord import procfs
from monitord.capture import context_system
from monitord.capture.context_files import summarise_files
from monitord.capture.context_threads import read_threads
from monitord.capture.thread_cpu import thread_cpu_ns
from monitord.procfs.maps import python_version
from monitord.redaction import redact_argv, redact_name

WINDOW_S = 0.3
_CAP_BYTES = 256 * 1024
_STATUS = [
    "State",
    "VmPeak",
    "VmSize",
    "VmHWM",
    "VmRSS",
    "VmSwap",
    "RssAnon",
    "RssFile",
    "RssShmem",
    "HugetlbPages",
    "Threads",
    "TracerPid",
    "NSpid",
    "Seccomp",
    "CapEff",
    "SigCgt",
    "SigBlk",
    "NoNewPrivs",
    "Uid",
    "Gid",
    "voluntary_ctxt_switches",
    "nonvoluntary_ctxt_switches",
    "Cpus_allowed_list",
]
_MEMORY = ("Pss", "Private_Dirty", "Swap", "AnonHugePages", "Shared_Clean", "Shared_Dirty")
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")

Record = dict[str, Any]


class Snapshot:
    """One record under construction; knows what could not be read."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.not_readable: dict[str, str] = {}

    def text(self, name: str, cap_bytes: int = 65536) -> str | None:
        """Return the text of /proc/PID/NAME, or None with the reason kept."""
        try:
            return os.fsdecode(procfs.read(procfs.path(self.pid, name), cap_bytes))
        except OSError as error:
            self.missing(name, error)
            return None

    def link(self, name: str) -> str | None:
        """Return where /proc/PID/NAME points: it is read, never followed."""
        try:
            return procfs.link(procfs.path(self.pid, name))
        except OSError as error:
            self.missing(name, error)
            return None

    def missing(self, name: str, error: OSError) -> None:
        """Keep why a file gave nothing."""
        self.not_readable[procfs.path(self.pid, name)] = (error.strerror or "unreadable").lower()


def take(pid: int, start_ticks: int, window_s: float) -> Record:
    """Return the whole record; it has `error` when the process is gone or is another one."""
    snapshot = Snapshot(pid)
    stat = procfs.stat_of(pid)
    if stat is None or stat.start_ticks != start_ticks:
        return {"error": "target_gone" if stat is None else "target_replaced"}
    began, cpu, threads, io = (
        time.monotonic(),
        stat.cpu_ticks,
        thread_cpu_ns(pid),
        procfs.numbers(snapshot.text("io") or ""),
    )
    record: Record = {
        "taken_at": datetime.now(UTC).isoformat(),
        "identity": _identity(snapshot, stat),
        "status": _status(snapshot),
        "limits": _limits(snapshot),
        "cgroup": context_system.cgroup(snapshot.text("cgroup") or ""),
        "system": context_system.machine(),
        "files": summarise_files(snapshot),
    }
    time.sleep(max(0.0, window_s - (time.monotonic() - began)))
    took_s = time.monotonic() - began
    later = procfs.stat_of(pid)
    if later is not None and later.start_ticks == start_ticks:
        record["cpu_percent"] = round(100 * (later.cpu_ticks - cpu) / procfs.TICKS_PER_S / took_s, 1)
        record["io"] = _delta(io, procfs.numbers(snapshot.text("io") or ""), took_s)
        record["threads"] = read_threads(snapshot, threads, took_s)
        record["memory"] = _memory(snapshot)
    record["window_s"] = round(took_s, 3)
    record["not_readable"] = snapshot.not_readable
    return record


def _identity(snapshot: Snapshot, stat: procfs.Stat) -> Record:
    arguments = snapshot.text("cmdline", 16384) or ""
    return {
        "pid": snapshot.pid,
        "name": redact_name(stat.name),
        "start_ticks": stat.start_ticks,
        "is_kernel_thread": stat.is_kernel_thread,
        "executable": redact_name(snapshot.link("exe") or "") or None,
        "command_line": list(redact_argv(arguments.rstrip("\0").split("\0"))) if arguments else [],
        "python": _python_version(snapshot),
        "cwd": redact_name(snapshot.link("cwd") or "") or None,
        "ancestors": _ancestors(stat.parent_pid),
        "namespaces": {name: snapshot.link(f"ns/{name}") for name in _NAMESPACES},
        "oom_score": (snapshot.text("oom_score") or "").strip() or None,
    }


def _python_version(snapshot: Snapshot) -> str | None:
    return python_version(os.fsencode(snapshot.text("maps", 1024 * 1024) or ""))


def _ancestors(parent: int) -> list[Record]:
    found: list[Record] = []
    while parent > 0 and len(found) < 32 and (stat := procfs.stat_of(parent)) is not None:
        found.append({"pid": parent, "name": redact_name(stat.name)})
        parent = stat.parent_pid
    return found


def _status(snapshot: Snapshot) -> Record:
    table = procfs.table(snapshot.text("status") or "")
    return {key: value for key, value in table.items() if key in _STATUS}


def _limits(snapshot: Snapshot) -> Record:
    found: Record = {}
    for line in (snapshot.text("limits") or "").splitlines()[1:]:
        name, soft = line[:26].strip(), line[26:47].strip()
        if name and soft:
            found[name] = soft
    return found


def _memory(snapshot: Snapshot) -> Record:
    """Last of all: on a process of 100 GB this takes seconds, and nothing else should wait for it."""
    table = procfs.table(snapshot.text("smaps_rollup") or "")
    return {key: value for key, value in table.items() if key in _MEMORY}


def _delta(before: dict[str, int], after: dict[str, int], took_s: float) -> Record:
    return {f"{key}_per_s": round((after[key] - before[key]) / took_s) for key in after if key in before}


def fit(record: Record, cap_bytes: int = _CAP_BYTES) -> str:
    """Return the record as JSON under the cap; threads are what is cut, and it says so."""
    text = json.dumps(record)
    while len(text) > cap_bytes and record.get("threads", {}).get("shown"):
        shown = record["threads"]["shown"]
        record["threads"]["shown"] = shown[: len(shown) // 2]
        record["cut"] = "threads were left out to keep this record small"
        text = json.dumps(record)
    return text if len(text) <= cap_bytes else json.dumps({"error": "record too large"})


def main(arguments: list[str], show: Callable[[str], object] = sys.stdout.write) -> int:
    """Take and print."""
    window_s = float(arguments[2]) if len(arguments) > 2 else WINDOW_S
    show(fit(take(int(arguments[0]), int(arguments[1]), window_s)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
