"""Why an alert was raised, in one plain sentence of facts. Nothing is escaped here: showing does that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from monitord.detection.conditions import Condition
from monitord.detection.consumers import Consumers
from monitord.detection.growth import EARLIER_WINDOWS, Climb
from monitord.detection.readings import Killed
from monitord.detection.resident import shared_bytes
from monitord.detection.windows import Window
from monitord.model import ProcessRates, TriggerMetric, counted, scaled

NOBODY = "unattributed"
"""The process name of an alert that can't blame one."""

_WHAT = {
    TriggerMetric.CPU: ("used", " of one core"),
    TriggerMetric.MEMORY: ("held", " of RAM"),
    TriggerMetric.DISK_IO: ("moved", " to and from disks"),
    TriggerMetric.NETWORK: ("carried", ""),
    TriggerMetric.FREE_MEMORY: ("had", " of memory available"),
    TriggerMetric.SHORT_LIVED_CPU: ("used", " of one core"),
    TriggerMetric.SPAWN_STORM: ("started", " processes a second"),
    TriggerMetric.MEMORY_PRESSURE: ("stood still for memory", " of the time"),
    TriggerMetric.IO_PRESSURE: ("stood still for disks", " of the time"),
    TriggerMetric.CPU_PRESSURE: ("had no processor to spare for", " of the time"),
}
_FOR_WHOM = " for processes too short-lived to be seen"
_PARTS_OF_MEMORY = 3
_SHARED_SHARE = 0.25  # of a process's memory from which on it is worth a word
_GROWN = {
    TriggerMetric.MEMORY_GROWTH: "of memory",
    TriggerMetric.FD_GROWTH: "open files",
    TriggerMetric.THREAD_GROWTH: "threads",
}


def quantity(value: float, unit: str) -> str:
    """Write a number with its unit as people read it: "97 %", "2.1 GiB", "120 MB/s", "60 s", "1,955"."""
    if unit == "percent":
        return f"{_short(value)} %"
    if unit == "seconds":
        return f"{_short(value)} s"
    if unit in ("bytes", "bytes_per_s"):
        number, name = scaled(value, unit)
        return f"{_short(number)} {name}"
    return f"{value:,.0f}" if value >= 1000 else _short(value)


def wait(seconds: float) -> str:
    """A time to wait in its largest unit that says enough: "45 s", "26 min", "5 h"; never too short."""
    for size, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{math.ceil(seconds / size)} {name}"
    return f"{math.ceil(seconds)} s"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")


def held(
    subject: str, condition: Condition, window: Window, level: float, process: ProcessRates | None = None
) -> str:
    """Write the sentence of a rule that counted samples."""
    rule, unit = condition.rule, condition.unit
    verb, object_ = _WHAT[rule.metric]
    if rule.metric is TriggerMetric.MEMORY:
        object_ = _of_memory(condition, process)
    whom = _FOR_WHOM if rule.metric is TriggerMetric.SHORT_LIVED_CPU else ""
    passed_s = max(window.last_s - window.opened_s, 0.0)
    side = "at most" if condition.is_below else "at least"
    is_whole = window.broken == window.samples  # else the average is of the broken ones only
    joint = "," if is_whole else " when"
    waited = _of_waiting(window, process)
    verb = "wanted" if waited else verb
    waited += _of_sharing(rule.metric, process)
    return (
        f"{subject} {verb} {quantity(window.mean, unit)}{object_} on average{whom}{waited}{joint} {side} "
        f"{quantity(level, unit)}{_of_baseline(condition, level)}{'' if is_whole else ','} "
        f"in {window.broken} of {window.samples} samples over {_short(passed_s)} s"
    )


def _of_memory(condition: Condition, process: ProcessRates | None) -> str:
    """What the number is of."""
    if condition.unit == "bytes":
        return " of memory"
    if process is not None and process.memory_limit_bytes:
        return f" of the {quantity(process.memory_limit_bytes, 'bytes')} that its group may hold"
    return " of RAM"


def _of_sharing(metric: TriggerMetric, process: ProcessRates | None) -> str:
    shared = shared_bytes(process)
    if metric is not TriggerMetric.MEMORY or process is None or shared < _SHARED_SHARE * process.rss_bytes:
        return ""
    return f" ({quantity(shared, 'bytes')} of it shared or of files)" if shared else ""


def _of_waiting(window: Window, process: ProcessRates | None) -> str:
    if window.mean_waited < 1:
        return ""
    used, denied = _short(window.mean - window.mean_waited), _short(window.mean_waited)
    if process is not None and (process.throttled_percent or 0.0) > (process.waited_percent or 0.0):
        limit = f" of {_short(process.cpu_limit_percent)} %" if process.cpu_limit_percent else ""
        return f" ({used} % used, {denied} % held back by its group's limit{limit})"
    return f" ({used} % used, {denied} % waited for a turn)"


def _of_baseline(condition: Condition, level: float) -> str:
    times = condition.rule.times_baseline
    if times is None or level == condition.floor:
        return ""
    return f" ({_short(times)} times its baseline of {quantity(level / times, condition.unit)})"


def shared(metric: TriggerMetric, consumers: Consumers) -> str:
    """Write what ends the sentence about a machine that many share."""
    summary = consumers.summary()
    is_of_children = metric in (TriggerMetric.SHORT_LIVED_CPU, TriggerMetric.SPAWN_STORM)
    whose = "the ended children of " if is_of_children else ""
    return f"; the most was used by {whose}{summary}" if summary else ""


def where_memory_is(held_bytes: Mapping[str, int]) -> str:
    """Write what ends the sentence about a machine short of memory: the largest parts, if known."""
    parts = sorted(held_bytes.items(), key=lambda part: -part[1])[:_PARTS_OF_MEMORY]
    said = ", ".join(f"{quantity(size, 'bytes')} in {where}" for where, size in parts if size > 0)
    return f"; {said}" if said else ""


def killed(kills: Iterable[Killed]) -> str:
    """Write the sentence of a kernel that ran out of memory, for the machine or for groups with a limit."""
    return "; ".join(map(_killed, kills))


def _killed(kill: Killed) -> str:
    count = "1 process" if kill.kills == 1 else f"{kill.kills} processes"
    group = f" in the group {kill.group}" if kill.group and kill.group != "/" else ""
    said, victim = f"the kernel killed {count} for lack of memory{group}", kill.victim
    if victim is None:
        return f"{said}; which process is unknown"
    held = quantity(victim.rss_bytes, "bytes")
    limit_bytes = victim.memory_limit_bytes
    of = f" of the {quantity(limit_bytes, 'bytes')} that its group may hold" if limit_bytes else ""
    who = f"{victim.name} (pid {victim.key.pid}) with {held}{of}"
    return f"{said}; of those that disappeared then the likeliest is {who}"


def disappeared(
    subject: str,
    condition: Condition,
    window: Window,
    level: float,
    process: ProcessRates | None,
) -> str:
    """Write the sentence of a process that ended while a rule about its memory was armed."""
    held = quantity(level, condition.unit) + _of_memory(condition, process)
    passed_s = max(window.last_s - window.opened_s, 0.0)
    lasting = f" (for {_short(passed_s)} s)" if passed_s >= 1 else ""
    return f"{subject} disappeared while it held at least {held}{lasting}"


def grown(
    subject: str, condition: Condition, climb: Climb, level: float, process: ProcessRates | None
) -> str:
    """Write the sentence of a rule that compared the two ends of its window."""
    unit, rule = condition.unit, condition.rule
    what = _GROWN[rule.metric]
    if (
        rule.metric is TriggerMetric.MEMORY_GROWTH
        and process is not None
        and process.private_bytes is not None
    ):
        what = "of anonymous memory"
    return (
        f"{subject} gained {quantity(climb.gain, unit)} {what} in {_short(rule.window_s)} s "
        f"(from {quantity(climb.start, unit)} to {quantity(climb.start + climb.gain, unit)}), "
        f"rising {100 * climb.rising_share:.0f} % of that time{_of_its_course(climb, rule.window_s)}; "
        f"the rule says at least {quantity(level, unit)}{_of_baseline(condition, level)}"
    )


def _of_its_course(climb: Climb, window_s: float) -> str:
    """How the gain goes with what was before it: a first rise may be the first tooth of a slow saw."""
    if climb.step_count > 1:
        before = _lasting(EARLIER_WINDOWS * window_s)
        times = counted(climb.step_count, "time")
        return f"; as much was gained {times} in the {before} before, and nothing given back"
    return "; whether it falls again is not known yet"


def until_full(climb: Climb, process: ProcessRates | None, available_bytes: int) -> str:
    """Write what ends the sentence of memory that grows in a straight line: how long there is room for it."""
    if climb.per_s is None or climb.per_s <= 0 or process is None:
        return ""
    limit_bytes = process.memory_limit_bytes
    left_bytes = available_bytes if limit_bytes is None else limit_bytes - process.rss_bytes
    if left_bytes <= 0:
        return ""
    lasting = _lasting(left_bytes / climb.per_s)
    if limit_bytes is None:
        return (
            f"; at this steady pace the {quantity(left_bytes, 'bytes')} that are available last for {lasting}"
        )
    return (
        f"; at this steady pace its group's limit of {quantity(limit_bytes, 'bytes')} is reached in {lasting}"
    )


def _lasting(seconds: float) -> str:
    """ "40 s", "12 minutes", "3.5 h", "9 days"."""
    for unit_s, most_s, word in ((1, 120, "s"), (60, 7200, "minutes"), (3600, 172800, "h")):
        if seconds < most_s:
            return f"{_short(seconds / unit_s)} {word}"
    return f"{_short(seconds / 86400)} days"


def spiked(subject: str, value: float, condition: Condition, level: float) -> str:
    """Write the sentence of a process that is gone."""
    within = _short(condition.rule.window_s)
    return (
        f"{subject} used {_short(value)} s of CPU or more within {within} s and ended; "
        f"the rule says at least {_short(level)} s"
    )


def hung(subject: str, value: float, level: float) -> str:
    return (
        f"{subject} has been in uninterruptible sleep (state D) for {_short(value)} s without a break; "
        f"the rule says at least {_short(level)} s"
    )
