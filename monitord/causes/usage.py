"""What a process used so far, where its threads stand, and what it used between two readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitord import procfs
from monitord.redaction import redact_name

_THREADS = 1000  # of which schedstat is read
_PLACES = 5
_NS_PER_S = 1e9
_LEAST_S = 0.2  # what was used is counted in ticks of 10 ms: in less time it says nothing, not that none was


def read_usage(pid: int) -> dict[str, Any]:
    """What it used so far. Raises OSError, ValueError."""
    fields = procfs.split_stat(procfs.read(procfs.path(pid, "stat"), 4096))[1]
    ran_ns, waited_ns = _turns(pid)
    counts = procfs.numbers(procfs.text(procfs.path(pid, "status")))
    transfers = procfs.numbers(procfs.text(procfs.path(pid, "io")))
    return {
        "at_s": procfs.uptime_s(),
        "user_s": int(fields[11]) / procfs.TICKS_PER_S,
        "system_s": int(fields[12]) / procfs.TICKS_PER_S,
        "children_s": (int(fields[13]) + int(fields[14])) / procfs.TICKS_PER_S,
        "minor_faults": int(fields[7]),
        "major_faults": int(fields[9]),
        "children_faults": int(fields[8]),
        "ran_s": ran_ns / _NS_PER_S,
        "waited_s": waited_ns / _NS_PER_S,
        "switches": counts.get("voluntary_ctxt_switches"),
        "io": {name: transfers[name] for name in sorted(transfers)},
    }


def _turns(pid: int) -> tuple[int, int]:
    """Nanoseconds that its threads ran, and that they waited for their turn on a CPU."""
    ran = waited = 0
    for thread_id in procfs.threads(pid)[:_THREADS]:
        try:
            words = procfs.read(procfs.path(pid, f"task/{thread_id}/schedstat"), 256).split()
            ran, waited = ran + int(words[0]), waited + int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile, or the kernel does not count
    return ran, waited


def read_waits(pid: int) -> dict[str, Any]:
    """How many threads are in which state, and where in the kernel most of them wait."""
    states: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for thread_id in procfs.threads(pid)[:_THREADS]:
        stat = procfs.stat_of(pid, thread_id)
        if stat is None:
            continue
        states[stat.state] += 1
        if stat.state != "R":
            places[procfs.text(procfs.path(pid, f"task/{thread_id}/wchan"), 128)] += 1
    most = [[redact_name(place), count] for place, count in places.most_common(_PLACES)]
    return {"states": dict(states), "places": most}


@dataclass(frozen=True, slots=True)
class Usage:
    """Between two readings: seconds; CPU seconds, of its own in user and kernel mode, of ended children.

    `waited_s` its threads waited for a turn on a CPU. Counts are of page faults and of voluntary switches.
    """

    seconds: float
    user_s: float
    system_s: float
    children_s: float
    waited_s: float
    minor_faults: float
    major_faults: float
    children_faults: float
    switches: float
    calls: float
    read_bytes: float
    written_bytes: float

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s

    @property
    def has_children(self) -> bool:
        """Whether processes that it started have ended."""
        return self.children_faults > 0 or self.children_s > 0


def usage_between(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Usage | None:
    """What was used from the first reading that there is to the last; None where they make no sense, or are
    too near each other.
    """
    try:
        last = after["last"] if after else (before or {})["last"]
        first = (before or after or {})["first"]
        return _usage(first, last)
    except (KeyError, TypeError, ValueError):
        return None


def _usage(first: Mapping[str, Any], last: Mapping[str, Any]) -> Usage | None:
    def grown(name: str) -> float:
        return max(0.0, float(last[name] or 0) - float(first[name] or 0))

    def moved(*names: str) -> float:
        return sum(max(0.0, float(last["io"].get(n, 0)) - float(first["io"].get(n, 0))) for n in names)

    if grown("at_s") < _LEAST_S:
        return None
    return Usage(
        seconds=grown("at_s"), user_s=grown("user_s"), system_s=grown("system_s"),
        children_s=grown("children_s"), waited_s=grown("waited_s"), minor_faults=grown("minor_faults"),
        major_faults=grown("major_faults"), children_faults=grown("children_faults"),
        switches=grown("switches"), calls=moved("syscr", "syscw"), read_bytes=moved("rchar"),
        written_bytes=moved("wchar"),
    )  # fmt: skip
