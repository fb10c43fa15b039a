"""A process that hangs: what each of its threads waits for, and who holds it.

Observed are groups of threads that wait for the same. "Certain" is only what the kernel or every field of a
mutex says, of threads that did not run while it was read.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from monitord import procfs
from monitord.causes.ends import children_of
from monitord.causes.facts import Facts, Observation
from monitord.causes.threads import MOST_THREADS, RUNNING, Waiting, ran_ns_of, read_all
from monitord.causes.unknown import unknown
from monitord.causes.wait_words import (
    OWNED,
    Row,
    called,
    describe,
    doing,
    held_by,
    named,
    number,
    owner_of,
    rows,
    text,
    threads_of,
    wait_verb,
)
from monitord.causes.waits import Reader, Wait
from monitord.model import Cause, counted
from monitord.profiles.representation import RING, Frame, Profile
from monitord.redaction import printable, redact_name

LOOK_S = 0.3
_GROUPS = 48
_NAMED = 8
_OWNERS = 64
_EVIDENCE = 8
_SHOWN = 3
_FIX = "its system calls: record as root, or as its user"
_PLACED = ("file", "file lock", "child")
_THREADING = ("/threading.py", "/queue.py")
# What waits there for another thread's word, and not for the holder of a lock.
_AWAITED = frozenset(("wait", "wait_for", "get", "put", "join", "_wait_for_tstate_lock"))
_MUTEXES = tuple(OWNED)
_SENT = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGIO,
)
_REAL_TIME = ((1 << 64) - 1) & ~((1 << 33) - 1)
_LOCKS = frozenset((*OWNED, "semaphore", "Python lock", "thread id", "futex"))


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """What the threads of a process wait for, by groups; those that moved meanwhile are not `is_steady`."""
    began_s = time.monotonic()
    count, threads = read_all(pid)
    reader = Reader(pid, threads)
    waits = [reader.wait_of(thread) for thread in threads]
    time.sleep(max(0.0, LOOK_S - (time.monotonic() - began_s)))
    steady = [one.ran_ns is not None and one.ran_ns == ran_ns_of(pid, one.thread_id) for one in threads]
    return {
        "threads": count,
        "looked_at": len(threads),
        "python": reader.python,
        "catches_signals": _catches_signals(pid),
        "ended_children": sum(stat.state == "Z" for _pid, stat in children_of(pid)),
        "groups": _grouped(pid, threads, waits, steady),
    }


def _catches_signals(pid: int) -> bool:
    """Whether it handles a signal that others send; Python itself handles SIGINT, the C library 32 and 33."""
    caught = procfs.status_of(pid).get("SigCgt", "0")
    sent = sum(1 << (one - 1) for one in _SENT)
    return bool(int(caught, 16) & (sent | _REAL_TIME))


def _grouped(
    pid: int, threads: Sequence[Waiting], waits: Sequence[Wait], steady: Sequence[bool]
) -> list[dict[str, Any]]:
    """Those that wait for the same, together. Owners of what others wait for are named first."""
    owners = {one["thread_id"] for wait in waits for one in wait.get("holders", ()) if "thread_id" in one}
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    members: dict[tuple[Any, ...], list[Waiting]] = {}
    for thread, wait, is_steady in zip(threads, waits, steady, strict=True):
        key = (is_steady, wait["on"], wait["state"], wait["call"], wait.get("key"))
        groups.setdefault(key, wait | {"is_steady": is_steady})
        members.setdefault(key, []).append(thread)
    ranked = sorted(groups, key=lambda key: (_rank(groups[key]), -len(members[key])))[:_GROUPS]
    for key in ranked:
        first = sorted(members[key], key=lambda one: (one.thread_id not in owners, one.thread_id != pid))
        holding = sum(one.thread_id in owners for one in first)
        shown = first[: max(_NAMED, min(holding, _OWNERS))]
        groups[key] |= {
            "count": len(first),
            "has_main": any(one.thread_id == pid for one in first),
            "named": [[one.thread_id, redact_name(one.name)[:40]] for one in shown],
        }
        groups[key].pop("key", None)
    return [groups[key] for key in ranked]


def _rank(wait: Mapping[str, Any]) -> int:
    """What is said first when not all fits: who can't be interrupted, who waits for a holder."""
    if wait["state"] == "D":
        return 0
    return 1 if wait.get("holders") or "lost_owner" in wait else 3 if wait["on"] == "idle" else 2


# ------------------------------------------------------------------------------------------- explaining


def explain(facts: Facts) -> Cause:
    """Who holds what it waits for; the first that applies of the ways below, each surer than the next."""
    seen = facts.after or facts.before
    if seen is None or not rows(seen.get("groups")):
        return unknown(facts, "its threads could not be read", _FIX)
    groups = rows(seen.get("groups"))
    still = [group for group in groups if group.get("is_steady")]
    all_stuck = partial(_all_stuck, places=_places(facts.profiles))
    for way in (_deadlock, _lost_mutex, _uninterruptible, _file_lock, _mutex, all_stuck, _held_up):
        if (cause := way(still, seen)) is not None:
            kind, sentence, confidence, decides = cause
            return Cause(kind, sentence, confidence, decides=decides, evidence=_evidence(facts, groups, seen))
    return _idle(facts, groups, seen)


Found = tuple[str, str, Any, str | None]


def _deadlock(groups: list[Row], seen: Observation) -> Found | None:
    """Threads that wait for each other's mutexes, or processes for each other's file locks."""
    waits = {thread: group for group in groups if owner_of(group) for thread in threads_of(group)}
    for first in waits:
        way = [first]
        while (owner := owner_of(waits[way[-1]])) in waits and owner not in way:
            way.append(owner)
        if owner == first:
            return "deadlock", _around(way, waits), "certain", None
    for group in groups:
        if others := rows(group.get("cycle")):
            chain = " and ".join(called(one) for one in others[:4])
            sentence = (
                f"deadlock: it waits for a lock on {text(group, 'what')} that {held_by(group)} holds, "
                f"and {chain} waits for a lock of its own"
            )
            is_sure = bool(group.get("is_sure"))
            return "deadlock", sentence, "certain" if is_sure else "likely", None
    return None


def _around(way: list[int], waits: Mapping[int, Row]) -> str:
    names = {thread: named(waits[thread], thread) for thread in way}
    first = names[way[0]]
    if len(way) == 1:
        return f"deadlock: {first} waits for {OWNED[text(waits[way[0]], 'on')]} that it holds itself"
    steps = [
        f"{names[one]} for one that {names[following]} holds"
        for one, following in zip(way, [*way[1:], way[0]], strict=True)
    ]
    shown = steps if len(steps) <= 4 else [*steps[:3], f"{len(steps) - 4} more between", steps[-1]]
    kinds = {OWNED[text(waits[thread], "on")] for thread in way}
    what = kinds.pop() if len(kinds) == 1 else "a lock"
    return f"deadlock of {counted(len(way), 'thread')}: each waits for {what}: {', '.join(shown)}"


def _lost_mutex(groups: list[Row], seen: Observation) -> Found | None:
    """A mutex whose owner is not a thread of the process any more."""
    for group in groups:
        if "lost_owner" in group:
            who = f"thread {number(group, 'lost_owner')}, {text(group, 'said')}"
            return "abandoned lock", f"{wait_verb(group)} for a mutex held by {who}", "likely", None
    return None


def _uninterruptible(groups: list[Row], seen: Observation) -> Found | None:
    """State D: the file and its mount, or the child."""
    asleep = [group for group in groups if group.get("state") == "D"]
    if not asleep:
        return None
    group = max(asleep, key=lambda one: (one.get("on") in _PLACED, number(one, "count")))
    place = describe(group)
    inside = _inside(group)
    sentence = f"{wait_verb(group)} in the kernel and can't be interrupted: {place}"
    decides = None if inside else "its kernel stack: record as root"
    is_placed = group.get("on") in _PLACED
    if not is_placed and inside:
        sentence += f", in {inside}"
    if "percpu_rwsem_wait" in inside and group.get("on") == "file" and text(group, "mount"):
        sentence += "; the file system is frozen"
        decides = f"sudo fsfreeze -u {text(group, 'mount')} lets it go on"
    kind = "child" if group.get("on") == "child" else "I/O wait"
    return (kind if is_placed else "kernel"), sentence, "likely" if is_placed else "possible", decides


def _inside(group: Row) -> str:
    """The functions of the kernel that it is in."""
    names = group.get("stack")
    return " ← ".join(str(name)[:60] for name in names[:4]) if isinstance(names, list) else ""


def _file_lock(groups: list[Row], seen: Observation) -> Found | None:
    """A lock on a file that another process holds: the kernel's own list says so."""
    for group in groups:
        if group.get("on") == "file lock":
            what = f"{wait_verb(group)} for {_article(text(group, 'kind'))} lock on {text(group, 'what')}"
            if not rows(group.get("holders")):
                return "held lock", f"{what}: {text(group, 'said')}", "possible", "the file's server"
            handed = f" ({text(group, 'said')})" if group.get("said") else ""
            return "held lock", f"{what}, held by {held_by(group)}{handed}", "certain", None
    return None


def _article(kind: str) -> str:
    return f"an {kind}" if kind.startswith("O") else f"a {kind}"


def _mutex(groups: list[Row], seen: Observation) -> Found | None:
    """A mutex with an owner: the one at the root, and what that one does."""
    held = [group for group in groups if group.get("on") in _MUTEXES and rows(group.get("holders"))]
    if not held:
        return None
    by_thread = {thread: group for group in rows(seen.get("groups")) for thread in threads_of(group)}
    group = max(held, key=lambda one: number(one, "count"))
    way = [group]
    while (following := by_thread.get(owner_of(way[-1]))) in held and following not in way:
        way.append(following)
    last, waiting = way[-1], sum(number(one, "count") for one in way)
    own = by_thread.get(owner_of(last))
    does = describe(own) if own else doing(rows(last["holders"])[0])
    what = f"for {OWNED[text(last, 'on')]} that {held_by(last)} holds; it {does}"
    sentence = f"{counted(waiting, 'thread')} {'waits' if waiting == 1 else 'wait'} {what}"
    return "held lock", sentence, "certain", None


def _all_stuck(groups: list[Row], seen: Observation, places: Mapping[int, Place]) -> Found | None:
    """Every thread waits without a limit for what only a thread of this process can give or release.

    Nobody in it can wake one then. A deadlock it is only where somebody waits for a lock: who waits for an
    item or a notice holds up nobody.
    """
    count = number(seen, "threads")
    stuck = [
        group
        for group in groups
        if group.get("on") in _LOCKS and group.get("is_private") and not group.get("is_timed")
    ]
    if not count or sum(number(group, "count") for group in stuck) != count:
        return None
    pythons = [group for group in stuck if group.get("on") == "Python lock"]
    known = [places[thread] for group in pythons for thread in threads_of(group) if thread in places]
    is_known = len(known) == count
    what = "locks or conditions of its own"
    if pythons:
        what = "Python locks, conditions or queues, whose holders are not recorded,"
    whole = f"all of its {counted(count, 'thread')} wait" if count > 1 else "its only thread waits"
    waits = f"{whole} for {_awaited(known) if is_known else what} without a time limit"
    if seen.get("catches_signals"):
        sentence = f"{waits}; it handles signals, which may be what it waits for"
        return "lock", sentence, "possible", "the stacks of its threads"
    left = "no thread is left to release one" if count > 1 else "it has no other thread"
    sentence = f"{waits}; nobody in this process can wake {'one' if count > 1 else 'it'}: {left}"
    is_deadlock = count > 1 if not is_known else any(not one.is_awaited for one in known)
    decides = "" if is_known else "the stacks of its threads; "
    decides += "only a handler of a signal could still wake one"
    return "deadlock" if is_deadlock else "lock", sentence, "likely", decides


def _awaited(places: Collection[Place]) -> str:
    """What they wait for, by the functions that they are in: `another thread's word (get, called by f)`."""
    names = dict.fromkeys(one.said for one in places)
    shown = ", ".join([*names][:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    if all(one.is_awaited for one in places):
        return f"another thread's word ({shown})"
    return f"locks ({shown})" if len(places) > 1 else f"a lock ({shown})"


def _held_up(groups: list[Row], seen: Observation) -> Found | None:
    """The main thread waits for another process: at a pipe, a socket, or for a child."""
    for group in groups:
        if not group.get("has_main") or group.get("on") not in ("pipe", "socket", "child"):
            continue
        sentence = f"its main thread {describe(group)}"
        kind = {"pipe": "pipe", "socket": "remote end", "child": "child"}[str(group["on"])]
        return kind, sentence, "likely" if rows(group.get("holders")) else "possible", None
    return None


def _idle(facts: Facts, groups: Sequence[Row], seen: Observation) -> Cause:
    """Nothing that another holds: what most of its threads do is told, and nobody is blamed."""
    if all(group.get("on") == "unread" for group in groups):
        return unknown(facts, "its system calls may not be read", _FIX)
    most = max(groups, key=lambda one: number(one, "count"))
    locks = [group for group in groups if group.get("on") in _LOCKS]
    running = sum(number(group, "count") for group in groups if group.get("on") == RUNNING)
    why = "none of its threads waits for anything that another is known to hold"
    decides = None
    if locks and not running and most in locks:
        what = describe(most).removeprefix("waits for ").partition(";")[0]
        why = f"{wait_verb(most)} for {what}, whose holder is not recorded"
        decides = "the stacks of its threads"
    cause = unknown(facts, why, decides)
    return Cause(cause.kind, cause.sentence, cause.confidence, None, decides, _evidence(facts, groups, seen))


def _evidence(facts: Facts, groups: Sequence[Row], seen: Observation) -> tuple[tuple[str, str], ...]:
    found = [row for group in groups[:_EVIDENCE] for row in _rows_of(group)]
    threads = {thread for group in groups for thread in threads_of(group) if group.get("on") in _LOCKS}
    for thread, place in _places(facts.profiles).items():
        if thread in threads and len(found) < 2 * _EVIDENCE:
            found.append((f"thread {thread}", place.row))
    if ended := number(seen, "ended_children"):
        found.append(("children", f"{counted(ended, 'child process')} ended and not waited for"))
    if number(seen, "looked_at") >= MOST_THREADS:
        whole = counted(number(seen, "threads"), "thread")
        found.append(("limit", f"the first {MOST_THREADS:,} of {whole} were read"))
    return tuple(found)


def _rows_of(group: Row) -> list[tuple[str, str]]:
    moved = "" if group.get("is_steady") else " (it moved meanwhile)"
    inside = _inside(group)
    who = ""
    if group.get("on") == RUNNING:
        who = ": " + ", ".join(named(group, thread) for thread in threads_of(group)[:4])
    told = describe(group) + (f", in {inside}" if inside else "") + who + moved
    return [(counted(number(group, "count"), "thread"), told)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread of Python is: its own innermost function, and what that calls in the library, if any.

    `is_awaited`: there it waits for another thread's word; else it waits for a lock.
    """

    function: str
    file: str
    call: str
    is_awaited: bool

    @property
    def said(self) -> str:
        return f"{self.call}, called by {self.function}" if self.call else self.function

    @property
    def row(self) -> str:
        where = f" ({self.file})" if self.file else ""
        return f"is in {self.function}{where}" + (f", which calls {self.call}" if self.call else "")


def _places(profiles: tuple[Profile, ...]) -> dict[int, Place]:
    """By thread, the innermost Python function that is not of the library's own locks and queues.

    The black box says where a thread ran last, which need not be where it waits.
    """
    found: dict[int, Place] = {}
    for profile in (one for one in profiles if one.tool != RING):
        for thread, stack in profile.stacks:
            python = [frame for index in stack if (frame := profile.frames[index]).kind == "python"]
            last = next((at for at in range(len(python), 0, -1) if not _is_threading(python[at - 1])), 0)
            if last and thread.thread_id is not None:
                own, library = python[last - 1], python[last:]
                file = f"{(own.file or '')[-80:]}:{own.line}" if own.file else ""
                inner = library[-1].name.rpartition(".")[2] if library else ""
                call = printable(library[0].name[:80]) if library else ""
                place = Place(printable(own.name[:80]), printable(file), call, inner in _AWAITED)
                found.setdefault(thread.thread_id, place)
    return found


def _is_threading(frame: Frame) -> bool:
    return (frame.file or "").endswith(_THREADING)
