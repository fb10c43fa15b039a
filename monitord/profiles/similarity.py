"""Whether two incidents are alike, and by what: function, statement, cause, process, metric. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitord.model import UNKNOWN_CAUSE, Hotspot, TriggerMetric

WEIGHTS = {"statement": 8, "function": 8, "cause": 4, "process": 2, "metric": 1}
"""What may agree, and how much each tells."""
LEAST_SHARE = 0.1
"""A function with less of the time tells nothing of its incident."""
MOST_FUNCTIONS = 3
"""Of these only so many tell of it, the hottest."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What an incident is recognised by. Functions and statements are those with a tenth of the time."""

    functions: frozenset[str]
    statements: frozenset[str]
    cause: str | None
    process: str
    metric: TriggerMetric

    @property
    def marks(self) -> frozenset[tuple[str, ...]]:
        """What makes alike: incidents are so when they have one of these in common."""
        named = {"function": self.functions, "statement": self.statements}
        hot = {(kind, each) for kind, names in named.items() for each in names}
        return frozenset(hot if self.cause is None else {*hot, ("cause", self.cause, self.process)})


def traits_of(hotspots: Sequence[Hotspot], cause: str | None, process: str, metric: TriggerMetric) -> Traits:
    """Return what an incident is recognised by; code without a name and an unknown cause tell nothing.

    `cause` is its class.
    """
    hot = [spot for spot in hotspots if is_telling(spot.function, spot.self_share)]
    hot = sorted(hot, key=lambda spot: -spot.self_share)[:MOST_FUNCTIONS]
    return Traits(
        frozenset(_function(spot) for spot in hot),
        frozenset(spot.stmt_id for spot in hot if spot.stmt_id),
        None if cause == UNKNOWN_CAUSE else cause,
        process,
        metric,
    )


def is_telling(function: str, self_share: float) -> bool:
    """Whether a function with this share of the time tells something of its incident."""
    return self_share >= LEAST_SHARE and function[:1] not in ("", "[")


def agreement(one: Traits, other: Traits) -> tuple[str, ...]:
    """Return what agrees, what tells most first; () unless they are alike.

    Alike are incidents with a hot function or statement in common, or with the same known cause in processes
    of one name.
    """
    holds = {
        "statement": bool(one.statements & other.statements),
        "function": bool(one.functions & other.functions),
        "cause": one.cause is not None and one.cause == other.cause,
        "process": one.process == other.process,
        "metric": one.metric is other.metric,
    }
    return tuple(name for name in WEIGHTS if holds[name]) if one.marks & other.marks else ()


def _function(spot: Hotspot) -> str:
    return spot.func_id or f"{spot.module or spot.file or ''}\0{spot.function}"
