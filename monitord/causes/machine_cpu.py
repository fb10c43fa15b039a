"""Who used the CPU of the whole machine, and who started what used it."""

from __future__ import annotations

from typing import Any

from monitord.causes.facts import Facts
from monitord.model import Cause


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """Nothing yet."""
    return {}


def explain(facts: Facts) -> Cause | None:
    """Nobody is named."""
    return None
