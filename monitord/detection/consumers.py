"""Who used the processors lately: the sum of each process, in which the older counts for less."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from monitord.detection.passes import Pass
from monitord.model import ProcessKey, ProcessRates

MAX_PROCESSES = 256
NAMED = 3
STANDS_OUT_SHARE = 0.5
"""Of all that processes used: who used this much alone is to blame; else it is the sum of many."""


@dataclass(slots=True)
class _Use:
    process: ProcessRates
    used: float = 0.0
    waited: float = 0.0


def own_cpu(process: ProcessRates) -> float | None:
    """What it used itself, in percent of one core."""
    return process.cpu_percent


class Consumers:
    """Follows every process that a pass reports; what is older than `half_life_s` counts half."""

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = max(half_life_s, 1.0)
        self._uses: dict[ProcessKey, _Use] = {}
        self._weight = 0.0

    def add(self, look: Pass, use_of: Callable[[ProcessRates], float | None] = own_cpu) -> None:
        """Take in one pass; `use_of` gives the percent of one core that a process is charged with."""
        fade = 0.5 ** (look.interval_s / self._half_life_s)
        self._weight = self._weight * fade + look.interval_s
        for use in self._uses.values():
            use.used *= fade
            use.waited *= fade
        for key, process in look.present.items():
            used = use_of(process)
            if not used:
                continue
            use = self._uses.setdefault(key, _Use(process))
            use.process = process
            use.used += used * look.interval_s
            use.waited += (process.waited_percent or 0.0) * look.interval_s
        if len(self._uses) > MAX_PROCESSES:
            self._uses = dict(self._ranked()[:MAX_PROCESSES])

    def clear(self) -> None:
        """Start anew."""
        self._uses, self._weight = {}, 0.0

    def outstanding(self) -> ProcessRates | None:
        """Return the process that used at least half of what all used; None when no one stands out."""
        total = sum(use.used for use in self._uses.values())
        _, first = next(iter(self._ranked()), (None, None))
        return first.process if first is not None and first.used >= STANDS_OUT_SHARE * total > 0 else None

    def summary(self) -> str:
        """Name the programs that used the most, with their number; "" when nothing is known."""
        groups: dict[str, list[_Use]] = defaultdict(list)
        for _, use in self._ranked():
            groups[use.process.name].append(use)
        ranked = sorted(groups.items(), key=lambda item: -sum(use.used for use in item[1]))
        return ", ".join(self._said(name, uses) for name, uses in ranked[:NAMED])

    def _said(self, name: str, uses: list[_Use]) -> str:
        used = sum(use.used for use in uses) / self._weight
        waited = sum(use.waited for use in uses) / self._weight
        who = f"{name} (pid {uses[0].process.key.pid})" if len(uses) == 1 else f"{len(uses)} × {name}"
        waiting = f", {waited:.0f} % waited for a turn" if waited >= 1 else ""
        return f"{who} {used:.0f} % of a core{waiting}"

    def _ranked(self) -> list[tuple[ProcessKey, _Use]]:
        return sorted(self._uses.items(), key=lambda item: -item[1].used)
