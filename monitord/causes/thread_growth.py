"""Threads that grew: by name, by where they wait, and by the function they began in, if there are stacks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from monitord.causes.facts import Facts
from monitord.causes.frame_classes import NAMELESS
from monitord.causes.growth import MOST_OF_IT, Growth, growth, limit_rows, undecided
from monitord.causes.threads import RUNNING, Waiting, read_all
from monitord.causes.unknown import unknown
from monitord.model import Cause, counted
from monitord.profiles.representation import Frame, Profile, Thread
from monitord.redaction import printable, redact_name

_KINDS = 60
_TARGETS = 20
_EVIDENCE = 6
_DIGITS = re.compile(r"\d+")
_WAITS = {
    "futex": "wait for a lock or condition", "nanosleep": "sleep", "clock_nanosleep": "sleep",
    "epoll_wait": "wait for work in epoll_wait", "": "do what can't be read", RUNNING: "run",
    "restart_syscall": "wait in a call that was interrupted and goes on",
}  # fmt: skip
_STARTERS = frozenset(
    (
        *("clone", "clone3", "__clone", "__clone3", "start_thread", "_start", "thread_start"),
        *("_bootstrap", "_bootstrap_inner", "Thread._bootstrap", "Thread._bootstrap_inner"),
    )
)
"""What every thread begins in: functions of the C library and of Python's threading."""

_FIX = "its threads: record as root, or as its user"


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """How many threads there are of each name, numbers in it left out, and in which call they wait; 4,000.

    `names`: the whole name of those that all have the same.
    """
    count, threads = read_all(pid)
    kinds: Counter[str] = Counter()
    targets: defaultdict[str, Counter[str]] = defaultdict(Counter)
    names: dict[str, str | None] = {}
    for thread in threads:
        name = _pattern(thread.name)
        kinds[name] += 1
        own = redact_name(thread.name)[:40]
        names[name] = own if names.get(name, own) == own else None
        targets[name][_wait(thread)] += 1
    shown = kinds.most_common(_KINDS)
    return {
        "count": count,
        "looked_at": len(threads),
        "kinds": dict(shown),
        "targets": {name: dict(targets[name].most_common(_TARGETS)) for name, _number in shown},
        "names": {name: whole for name, _number in shown if (whole := names[name]) and whole != name},
    }


def _pattern(name: str) -> str:
    """`worker-17` and `worker-18` are of one kind."""
    return _DIGITS.sub("#", redact_name(name))[:40]


def _wait(thread: Waiting) -> str:
    call = f"system call {thread.call}" if thread.call.isdecimal() else thread.call
    return _WAITS.get(thread.call) or f"wait in {call}"


# ------------------------------------------------------------------------------------------- explaining


def explain(facts: Facts) -> Cause:
    """The name of at least half of the growth, where those threads wait, and what they began in."""
    found = growth(facts)
    if found is None:
        return unknown(facts, "its threads could not be read", _FIX)
    main, evidence = found.main(), _evidence(found, facts)
    if main is None:
        return undecided(facts, "no name makes up most of the further threads", evidence)
    began = _began_in(facts.profiles, main.now)
    where = next((one.name for one in found.targets(main.name)), None)
    of = counted(found.by, "further thread")
    sentence = f"{found.share(main)} of {of} are called {_called(facts, main.name)}"
    sentence += f", began in {began}" if began else ""
    sentence += f", and {printable(where)}" if where else ""
    decides = None if began else "a stack of each of its threads, which shows the function they began in"
    rival = found.rival()
    runner_up = None if rival is None else f"threads called {_called(facts, rival)}"
    return Cause(
        "threads that grew",
        f"{sentence}; {main.now:,} live",
        found.confidence(main),
        runner_up,
        decides,
        evidence,
    )


def _called(facts: Facts, name: str) -> str:
    """The name that all threads of a kind have; of several that differ in numbers the pattern."""
    names = (facts.after or facts.before or {}).get("names")
    whole = names.get(name) if isinstance(names, dict) else None
    return printable(whole if isinstance(whole, str) else name)


def _began_in(profiles: tuple[Profile, ...], count: int) -> str | None:
    """The function that most threads of the best profile with as many threads began in."""
    for profile in profiles:
        began: dict[Thread, Frame] = {}
        for thread, stack in profile.stacks:
            first = _first(profile, stack)
            if first is not None:
                began.setdefault(thread, first)
        functions = Counter((frame.name, frame.file) for frame in began.values())
        (name, file), number = functions.most_common(1)[0] if functions else (("", None), 0)
        if number >= MOST_OF_IT * min(count, len(began)) and number > 1:
            return printable(name[:120]) + (f" ({printable(file[-120:])})" if file else "")
    return None


def _first(profile: Profile, stack: tuple[int, ...]) -> Frame | None:
    """The first frame that is not of those that start threads; None where that has no name."""
    for index in stack:
        frame = profile.frames[index]
        is_run = frame.name in ("run", "Thread.run") and (frame.file or "").endswith("threading.py")
        if frame.name not in _STARTERS and not is_run:
            return None if frame.name.startswith(NAMELESS) else frame
    return None


def _evidence(found: Growth, facts: Facts) -> tuple[tuple[str, str], ...]:
    more = "" if found.is_measured else "at least "
    rows = [
        (_called(facts, one.name), f"{one.now:,} live" + (f", {more}{one.by:,} more" if one.by else ""))
        for one in found.kinds[:_EVIDENCE]
    ]
    main = found.main()
    for one in found.targets(main.name, 0.1)[:_EVIDENCE] if main else ():
        rows.append((_called(facts, main.name) if main else "", f"{one.now:,} {printable(one.name)}"))
    rows += limit_rows(facts, "thread", "read")
    return tuple(rows)
