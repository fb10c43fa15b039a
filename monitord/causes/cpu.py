"""What a process spends CPU on: one of twelve classes and the function; unknown where two are near."""

from __future__ import annotations

from typing import Any

from monitord.causes.facts import Facts
from monitord.causes.usage import observe_usage
from monitord.model import Cause


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """What it used, its faults, switches and waits; read twice."""
    return observe_usage(pid)


def explain(facts: Facts) -> Cause | None:
    """Which class the leading profile speaks for."""
    return None
