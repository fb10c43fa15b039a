"""When one value breaks a rule, when it is over again, and how far away it is. No state here.

A rule looks up (`above`) or, for free memory, down (`below`). Breaking includes the level itself, so
that a distance of 0 is broken, and the sampler may skip everything *below* the demanded level.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitord.errors import ConfigError
from monitord.model import METRIC_UNITS, Match, Rule, Threshold, TriggerMetric

DEFAULT_CLEAR_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Condition:
    """One rule's comparison. `floor` is its absolute threshold; None for a rule of a baseline alone."""

    rule: Rule
    floor: float | None
    unit: str
    is_below: bool

    def level(self, baseline: float | None) -> float | None:
        """The value that breaks the rule now; None when that is not known (no baseline yet)."""
        if self.rule.times_baseline is None:
            return self.floor
        if baseline is None:
            return None
        # Nothing is many times 0: a process that never did anything is judged by the threshold alone.
        return max(self.floor or 0.0, self.rule.times_baseline * baseline) or None

    def is_broken(self, value: float, level: float | None) -> bool:
        if level is None:
            return False
        return value <= level if self.is_below else value >= level

    def clear_level(self, level: float) -> float:
        """Return where an episode ends: the rule's own clear level, else 70 % of the threshold."""
        clear = self.rule.clear_level
        if clear is not None:
            return clear.value
        return level / DEFAULT_CLEAR_SHARE if self.is_below else level * DEFAULT_CLEAR_SHARE

    def is_clear(self, value: float, level: float | None) -> bool:
        if level is None:
            return False
        clear = self.clear_level(level)
        return value > clear if self.is_below else value < clear

    def distance(self, value: float, level: float | None) -> float | None:
        """How far `value` is from breaking the rule, in its unit; ≤ 0 is broken."""
        if level is None:
            return None
        return value - level if self.is_below else level - value

    def severity(self, value: float, level: float) -> float:
        """Return value ÷ threshold; inverted for `below`, and finite even at 0."""
        above, under = (level, value) if self.is_below else (value, level)
        return above / max(under, level / 1e6, 1e-9)

    def worst(self, one: float, other: float) -> float:
        return min(one, other) if self.is_below else max(one, other)

    def escalated(self, high_water: float) -> float:
        """Return the level that counts as clearly worse than the last time."""
        factor = self.rule.escalation_factor
        return high_water / factor if self.is_below else high_water * factor

    def threshold(self, level: float) -> Threshold:
        return Threshold(level, self.unit)


def condition_of(rule: Rule) -> Condition:
    """Return the comparison of a rule; raises ConfigError when the rule can't be judged."""
    _check_metric(rule)
    _check_limits(rule)
    limit = rule.below if rule.metric is TriggerMetric.FREE_MEMORY else rule.above
    floor = None if rule.baseline_alone or limit is None else limit.value
    unit = limit.unit if limit is not None else METRIC_UNITS[rule.metric][0]
    return Condition(rule, floor, unit, rule.metric is TriggerMetric.FREE_MEMORY)


def _check_metric(rule: Rule) -> None:
    if rule.metric is TriggerMetric.MANUAL:
        raise ConfigError(
            f"invalid rule {rule.name}: metric {rule.metric}, expected one that a rule can watch"
        )
    units = METRIC_UNITS[rule.metric]
    wants_below = rule.metric is TriggerMetric.FREE_MEMORY
    if (rule.above if wants_below else rule.below) is not None:
        raise ConfigError(
            f"invalid rule {rule.name}: expected `{'below' if wants_below else 'above'}` for {rule.metric}"
        )
    if rule.metric.is_machine_wide and rule.match != Match():
        raise ConfigError(
            f"invalid rule {rule.name}: match, expected none: {rule.metric} is the whole machine's"
        )
    for threshold in (rule.above, rule.below, rule.clear_level):
        if threshold is not None and (threshold.unit not in units or not threshold.value > 0):
            raise ConfigError(
                f"invalid rule {rule.name}: {threshold}, expected above 0 in {' or '.join(units)}"
            )


def _check_limits(rule: Rule) -> None:
    limit = rule.above or rule.below
    if limit is None and not (rule.baseline_alone and rule.times_baseline):
        raise ConfigError(
            f"invalid rule {rule.name}: expected a threshold, or times_baseline with baseline_alone"
        )
    if rule.times_baseline is not None and (
        rule.times_baseline <= 0 or rule.metric is TriggerMetric.FREE_MEMORY
    ):
        raise ConfigError(
            f"invalid rule {rule.name}: times_baseline, expected above 0 and in a rule with `above`"
        )
    if not 0 < rule.min_share <= 1 or rule.window_s < 0 or rule.cooldown_s < 0 or rule.escalation_factor < 1:
        raise ConfigError(
            f"invalid rule {rule.name}: expected window_s and cooldown_s from 0, "
            "min_share up to 1, escalation_factor from 1"
        )
    if limit is not None and rule.clear_level is not None and limit.unit != rule.clear_level.unit:
        raise ConfigError(
            f"invalid rule {rule.name}: clear level, expected in {limit.unit}, like the threshold"
        )
