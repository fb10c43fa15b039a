"""Waits in words. They were read from an attacker's process: any value may be missing, or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitord.model import counted
from monitord.redaction import printable

Row = Mapping[str, Any]

_DOES = {
    "running": "runs",
    "nanosleep": "sleeps",
    "clock_nanosleep": "sleeps",
    "pause": "waits for a signal",
    "futex": "waits for a lock or condition",
    "": "does what can't be read",
}
_NAMED = 4
OWNED: Mapping[str, str] = {"mutex": "a mutex", "PI mutex": "a PI mutex", "RLock": "an RLock"}
"""Locks in memory that have an owner, as a sentence calls one."""


def rows(value: object) -> list[Row]:
    """The dictionaries in a list; nothing for anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def number(row: Row, key: str) -> int:
    """A whole number, else 0."""
    value = row.get(key)
    return value if isinstance(value, int) else 0


def text(row: Row, key: str) -> str:
    """A text that fits into a sentence, at most 200 characters; empty for anything else."""
    value = row.get(key)
    return printable(value[:200]) if isinstance(value, str) else ""


def threads_of(group: Row) -> list[int]:
    """The ids of those of a group that are named."""
    return list(_names_in(group))


def owner_of(group: Row) -> int:
    """The thread of the target that holds what a group waits for; 0: none is known."""
    held = rows(group.get("holders"))
    return number(held[0], "thread_id") if held and text(group, "on") in OWNED else 0


def named(group: Row, thread_id: int) -> str:
    """A thread of a group by its name."""
    return f"thread {printable(_names_in(group).get(thread_id, ''))} ({thread_id})"


def _names_in(group: Row) -> dict[int, str]:
    pairs = group.get("named")
    fitting = (
        [one for one in pairs if isinstance(one, list) and len(one) == 2] if isinstance(pairs, list) else []
    )
    return {one[0]: str(one[1])[:40] for one in fitting if isinstance(one[0], int)}


def called(holder: Row) -> str:
    """A holder: a thread, or a process with its container."""
    if number(holder, "thread_id"):
        return f"thread {text(holder, 'name')} ({number(holder, 'thread_id')})"
    container = text(holder, "container")
    inside = f" in container {container[:12]}" if container else ""
    return f"{process_called(text(holder, 'name'), number(holder, 'pid'))}{inside}"


def process_called(name: object, pid: object) -> str:
    """A process by its name and number; one that ended before it could be read has no name."""
    shown = text({"name": name}, "name")
    return f"{shown} (pid {pid})" if shown else f"pid {pid}"


def held_by(group: Row) -> str:
    """All of its holders, the first four by name."""
    held = rows(group.get("holders"))
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    return " and ".join(called(one) for one in held[:_NAMED]) + more


def doing(holder: Row) -> str:
    """What a process does, by the call that its main thread is in."""
    call = text(holder, "call")
    return _DOES.get(call) or f"is in the system call {call}"


def wait_verb(group: Row) -> str:
    """`1 thread waits` or `45 threads wait`."""
    count = number(group, "count")
    return f"{counted(count, 'thread')} {'waits' if count == 1 else 'wait'}"


def describe(group: Row) -> str:
    """What one of the group does, without who: `waits for a mutex that …`, `sleeps`."""
    on = text(group, "on")
    if on in OWNED:
        lost = f"thread {number(group, 'lost_owner')}, {text(group, 'said')}"
        return f"waits for {OWNED[on]} that {held_by(group) or lost} holds"
    if on == "Python lock":
        return "waits for a Python lock (or a semaphore); its holder is not recorded"
    if on == "semaphore":
        return "waits for a semaphore, which has no owner"
    if on == "thread id":
        return f"waits for the end of {held_by(group)}, or for a lock of it"
    if on == "futex":
        return "waits for a condition, an event or a lock without an owner" + _said(group)
    if on == "file lock":
        holder = held_by(group) or "nobody that can be seen"
        return f"waits for a {text(group, 'kind')} lock on {text(group, 'what')}, held by {holder}"
    return _describe_file(group, on)


def _describe_file(group: Row, on: str) -> str:
    held = held_by(group)
    if on == "pipe":
        other = "write" if text(group, "what") == "read" else "read"
        holder = held or "nobody that can be seen"
        return f"waits to {text(group, 'what')} at a pipe; its {other} end is held by {holder}"
    if on == "socket":
        remote = text(group, "what") or "another end that is not known"
        return f"waits at a socket to {remote}" + (f", which {held} holds" if held else "")
    if on == "child":
        if not held:
            return "waits for a child, of which none is alive"
        return f"waits for a child: {held}, which {doing(rows(group.get('holders'))[0])}"
    if on == "file":
        return f"waits in {text(group, 'call')} at {text(group, 'what')}{_mount(group)}"
    if on == "idle":
        return _DOES.get(text(group, "call")) or f"waits for work in {text(group, 'call')}"
    return _DOES.get(on) or f"is in the system call {text(group, 'call') or 'that can not be read'}"


def _mount(group: Row) -> str:
    kind, source = text(group, "mount_kind"), text(group, "mount_source")
    return f", on {source} ({kind}) at {text(group, 'mount')}" if kind else ""


def _said(group: Row) -> str:
    return f": {text(group, 'said')}" if text(group, "said") else ""
