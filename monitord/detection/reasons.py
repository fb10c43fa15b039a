"""Why an alert was raised, in one plain sentence of facts. Nothing is escaped here: showing does that."""

from __future__ import annotations

from monitord.detection.conditions import Condition
from monitord.detection.consumers import Consumers
from monitord.detection.growth import Climb
from monitord.detection.windows import Window
from monitord.model import TriggerMetric

NOBODY = "unattributed"
"""The process name of an alert that can't blame one."""

NO_SINGLE_PROCESS = "no single process"
"""The process name of an alert that is the sum of many."""

_WHAT = {
    TriggerMetric.CPU: ("used", " of one core"),
    TriggerMetric.MEMORY: ("held", " of RAM"),
    TriggerMetric.DISK_IO: ("moved", " to and from disks"),
    TriggerMetric.NETWORK: ("carried", ""),
    TriggerMetric.FREE_MEMORY: ("had", " of memory available"),
    TriggerMetric.CPU_PRESSURE: ("had no processor to spare for", " of the time"),
}
_GROWN = {
    TriggerMetric.MEMORY_GROWTH: "of memory",
    TriggerMetric.FD_GROWTH: "open files",
    TriggerMetric.THREAD_GROWTH: "threads",
}


def quantity(value: float, unit: str) -> str:
    """A number with its unit as people read it: "97 %", "2.1 GiB", "120 MB/s", "60 s", "512"."""
    if unit == "percent":
        return f"{_short(value)} %"
    if unit == "seconds":
        return f"{_short(value)} s"
    if unit == "bytes":
        return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    if unit == "bytes_per_s":
        return _scaled(value, 1000, ("B/s", "kB/s", "MB/s", "GB/s", "TB/s"))
    return _short(value)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if abs(value) < step:
            return f"{_short(value)} {unit}"
        value /= step
    return f"{_short(value)} {units[-1]}"


def counted(subject: str, condition: Condition, window: Window, level: float) -> str:
    """The sentence of a rule that counted samples."""
    rule, unit = condition.rule, condition.unit
    verb, object_ = _WHAT[rule.metric]
    if window.mean_waited >= 1:
        verb = "wanted"
    if unit == "bytes" and rule.metric is TriggerMetric.MEMORY:
        object_ = " of memory"
    passed_s = max(window.last_s - window.opened_s, 0.0)
    side = "below" if condition.is_below else "above"
    waited = _of_waiting(window)
    is_whole = window.broken == window.samples
    joint = ", " if is_whole else " while "
    return (
        f"{subject} {verb} {quantity(window.mean, unit)}{object_} on average{waited}{joint}{side} "
        f"{quantity(level, unit)}{_of_baseline(condition, level)}{'' if is_whole else ','} "
        f"in {window.broken} of {window.samples} samples over {_short(passed_s)} s"
    )


def _of_waiting(window: Window) -> str:
    if window.mean_waited < 1:
        return ""
    used = window.mean - window.mean_waited
    return f" ({_short(used)} % used, {_short(window.mean_waited)} % waited for a turn)"


def _of_baseline(condition: Condition, level: float) -> str:
    times = condition.rule.times_baseline
    if times is None or level == condition.floor:
        return ""
    return f" ({_short(times)} times its baseline of {quantity(level / times, condition.unit)})"


def shared(consumers: Consumers) -> str:
    """What ends the sentence about a machine that many share."""
    summary = consumers.summary()
    return f"; the most was used by {summary}" if summary else ""


def grown(subject: str, condition: Condition, climb: Climb, level: float) -> str:
    """The sentence of a rule that compared the two ends of its window."""
    unit, rule = condition.unit, condition.rule
    return (
        f"{subject} gained {quantity(climb.gain, unit)} {_GROWN[rule.metric]} in {_short(rule.window_s)} s "
        f"(from {quantity(climb.start, unit)} to {quantity(climb.start + climb.gain, unit)}), above "
        f"{quantity(level, unit)}{_of_baseline(condition, level)}, "
        f"rising {100 * climb.rising_share:.0f} % of that time"
    )


def hung(subject: str, value: float, level: float) -> str:
    return (
        f"{subject} has been in uninterruptible sleep (state D) for {_short(value)} s without a break, "
        f"above {_short(level)} s"
    )
