"""Why nothing is known of a stretch between two stored passes. Pure; nothing is interpolated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitord.model import Rates

_STEPS_APART = 2.5  # thinned passes are up to two steps apart: one early in its step, the next late
_SHORTEST_HOLE_S = 10.0  # a tick or two may be late
_CLOCKS_APART_S = 2.0


@dataclass(frozen=True, slots=True)
class UnknownStretch:
    """From when to when nothing is known, and why. None: there is no end, or no beginning, in the store."""

    since: datetime | None
    until: datetime | None
    reason: str


def stretch_between(before: Rates, after: Rates, step_s: float) -> UnknownStretch | None:
    """Return the stretch if nothing may be concluded of it; None where the passes stand `step_s` apart."""
    wall_s = (after.taken_at - before.taken_at).total_seconds()
    if after.gap is None and wall_s <= longest_s(step_s, before, after):
        return None
    return UnknownStretch(before.taken_at, after.taken_at, _reason(before, after, wall_s))


def longest_s(step_s: float, *passes: Rates) -> float:
    """How long a pass stands for the machine: some steps, or some of the intervals over which was looked."""
    return max(_SHORTEST_HOLE_S, _STEPS_APART * max(step_s, *(rates.interval_s for rates in passes)))


def _reason(before: Rates, after: Rates, wall_s: float) -> str:
    monotonic_s = after.monotonic_s - before.monotonic_s
    if monotonic_s < 0:
        return "the machine was restarted"
    if after.gap == "first sample":
        return "nobody recorded: monitord was stopped, and started again at the end of it"
    if after.gap == "suspend":
        return "the machine was asleep"
    if after.gap == "clock jump":
        return "the clock was set"
    if after.gap == "interval too long":
        return "monitord was held up and could not look"
    if after.gap is not None:
        return f"the readings can't be trusted ({after.gap})"
    if wall_s - monotonic_s > _CLOCKS_APART_S:
        return "the machine was asleep, or its clock was set"
    return "no history was kept"
