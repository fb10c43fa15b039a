"""What a process does that somebody looks at: where its CPU goes; of one at rest, what it waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monitord.causes import cpu, hang
from monitord.causes.facts import Facts
from monitord.causes.frame_classes import IDLE
from monitord.causes.usage import read_usage, usage_between
from monitord.model import Cause

_HARDLY = 0.05  # of a core
_WAITS = "waits"


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """As for CPU; who did not run meanwhile is asked what it waits for, before the rights are given up."""
    return cpu.observed(
        pid,
        lambda first: {_WAITS: hang.observe(pid, start_ticks)} if _hardly_ran(pid, first) else {},
    )


def _hardly_ran(pid: int, first: dict[str, Any]) -> bool:
    used = usage_between(None, {"first": first, "last": read_usage(pid)})
    return used is not None and used.cpu_s < _HARDLY * used.seconds


def explain(facts: Facts) -> Cause | None:
    """The class of its CPU use; of one at rest who or what it waits for, if that is known."""
    cause = cpu.explain(facts)
    waits = (facts.after or {}).get(_WAITS)
    if cause is None or cause.kind != IDLE or not isinstance(waits, dict):
        return cause
    held_up = hang.explain(replace(facts, before=None, after=waits))
    if held_up.confidence == "unknown":
        return replace(cause, evidence=(*cause.evidence, *held_up.evidence))
    return replace(held_up, evidence=(*cause.evidence, *held_up.evidence))
