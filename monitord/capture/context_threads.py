"""The threads of a target: how much CPU each used, where it waits in the kernel."""

from __future__ import annotations

from typing import Any, Protocol

from monitord import procfs
from monitord.capture.thread_cpu import thread_cpu_ns
from monitord.procfs.system_calls import CALLS
from monitord.redaction import redact_name

_SHOWN = 100
_STACKS = 20


class Source(Protocol):
    """Reads files of one process and keeps why some gave nothing."""

    pid: int

    def text(self, name: str, cap_bytes: int = ...) -> str | None: ...
    def link(self, name: str) -> str | None: ...
    def missing(self, name: str, error: OSError) -> None: ...


def read_threads(source: Source, before: dict[int, int], took_s: float) -> dict[str, Any]:
    """The busiest threads, then those in uninterruptible sleep; the first 20 with their kernel stacks."""
    after = thread_cpu_ns(source.pid)
    shown = []
    for thread_id, cpu_ns in after.items():
        state, name = _state(source.pid, thread_id)
        used = cpu_ns - before.get(thread_id, 0 if before else cpu_ns)
        shown.append(
            {
                "thread_id": thread_id,
                "name": name,
                "state": state,
                "cpu_percent": round(used / took_s / 1e7, 1),
            }
        )
    shown.sort(key=lambda thread: (-float(str(thread["cpu_percent"])), thread["state"] != "D"))
    for rank, thread in enumerate(shown[:_SHOWN]):
        folder = f"task/{thread['thread_id']}"
        thread["wchan"] = source.text(f"{folder}/wchan", 256)
        if rank < _STACKS:
            thread.update(_system_call(source, folder))
            thread["kernel_stack"] = (source.text(f"{folder}/stack", 4096) or "").splitlines()
    return {"count": len(after), "is_cut": len(after) > _SHOWN, "shown": shown[:_SHOWN]}


def _system_call(source: Source, folder: str) -> dict[str, Any]:
    """Its number, its name where that is known, and the file that it is about."""
    words = (source.text(f"{folder}/syscall", 256) or "").split()
    found: dict[str, Any] = {"syscall": words[0] if words else None}
    call = CALLS.get(words[0]) if words else None
    if call is not None:
        found["call"] = call.name
        if call.has_file and len(words) > 1:
            found["file"] = redact_name(source.link(f"fd/{int(words[1], 16)}") or "") or None
    return found


def _state(pid: int, thread_id: int) -> tuple[str, str]:
    stat = procfs.stat_of(pid, thread_id)
    if stat is None:
        return "", ""
    return stat.state, redact_name(stat.name)
