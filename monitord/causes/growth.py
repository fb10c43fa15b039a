"""What grew, by kind and within it by target: two counts of the same groups compared.

Where both looks were taken when it had grown already, what there is bounds it from below: of N things that
grew by V, a group of more than N - V has grown by the rest. That is said as "at least".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitord.causes.facts import Facts, Observation
from monitord.causes.unknown import unknown
from monitord.model import Cause, Confidence, counted

MOST_OF_IT = 0.8
ENOUGH = 0.5
SECOND_LOOK = "a second look, later"
_NEAR = 0.75  # of the main one's growth: it may as well be that one


@dataclass(frozen=True, slots=True)
class Group:
    """How many there are of a group now, and by how many it grew (`is_bound`: at least)."""

    name: str
    now: int
    by: int


@dataclass(frozen=True, slots=True)
class Growth:
    """By how many it grew in all, and each kind, the most grown first. `is_measured`: between two looks."""

    by: int
    is_measured: bool
    kinds: tuple[Group, ...]
    _targets: Mapping[str, tuple[Group, ...]]

    def main(self) -> Group | None:
        """The kind that makes up at least half of the growth."""
        first = self.kinds[0] if self.kinds else None
        return first if first and first.by > 0 and first.by >= ENOUGH * self.by else None

    def rival(self) -> str | None:
        """The kind that grew nearly as much as the main one."""
        near = [one for one in self.kinds[1:2] if one.by > 0 and one.by >= _NEAR * self.kinds[0].by]
        return near[0].name if near else None

    def targets(self, kind: str, share: float = MOST_OF_IT) -> list[Group]:
        """The targets that make up most of a kind's growth; one may contain another."""
        whole = next((one.by for one in self.kinds if one.name == kind), 0)
        return [one for one in self._targets.get(kind, ()) if one.by > 0 and one.by >= share * whole]

    def share(self, main: Group) -> str:
        """How many of the growth are the main kind's, in words."""
        return f"{main.by:,}" if self.is_measured else f"at least {main.by:,}"

    def confidence(self, main: Group) -> Confidence:
        """How sure it is that the main kind is what grew."""
        if self.rival() is not None:
            return "possible"
        return "certain" if self.is_measured and main.by >= MOST_OF_IT * self.by else "likely"


def undecided(facts: Facts, why: str, evidence: tuple[tuple[str, str], ...]) -> Cause:
    """Nothing makes up most of the growth, with what there is."""
    cause = unknown(facts, why)
    return Cause(cause.kind, cause.sentence, cause.confidence, None, SECOND_LOOK, evidence)


def limit_rows(facts: Facts, noun: str, done: str) -> list[tuple[str, str]]:
    """The evidence that not all were looked at; empty when they were."""
    seen = facts.after or facts.before or {}
    looked_at, count = seen.get("looked_at"), seen.get("count")
    if isinstance(looked_at, int) and isinstance(count, int) and looked_at < count:
        return [("limit", f"the first {looked_at:,} of {counted(count, noun)} were {done}")]
    return []


def growth(facts: Facts) -> Growth | None:
    """Compare the two looks; None when there was none."""
    now = facts.after or facts.before
    if now is None or not isinstance(now.get("kinds"), Mapping):
        return None
    gained, count = int(facts.alert.value), _whole(now.get("count"))
    before = facts.before if facts.after is not None else None
    delta = count - _whole(before.get("count")) if before else 0
    is_measured = bool(before) and delta > 0 and delta >= ENOUGH * gained
    by = delta if is_measured else min(gained, count)
    earlier = before if is_measured and before else {}
    rest = 0 if is_measured else count - by
    kinds = _groups(now.get("kinds"), earlier.get("kinds"), rest)
    return Growth(
        by,
        is_measured,
        kinds,
        {kind.name: _groups(_of(now, kind.name), _of(earlier, kind.name), rest) for kind in kinds},
    )


def _groups(now: object, earlier: object, rest: int) -> tuple[Group, ...]:
    before = _counts(earlier)
    found = [
        Group(name, count, max(0, count - before.get(name, 0) - rest)) for name, count in _counts(now).items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.by, -one.now, one.name)))


def _of(seen: Observation, kind: str) -> object:
    targets = seen.get("targets")
    return targets.get(kind) if isinstance(targets, Mapping) else None


def _counts(value: object) -> dict[str, int]:
    """An observation was made of an attacker's process: what is not a count is left out."""
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {name: count for name, count in pairs if isinstance(count, int) and isinstance(name, str)}


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
