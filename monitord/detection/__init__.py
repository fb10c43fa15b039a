"""When numbers deserve an alert. Pure: given rates and the time inside them; no I/O, no clock, no chance.

A rule's life with a target: see `targets`; what each metric reads: `meters.METERS`; why: `reasons`.
"""

from monitord.detection.conditions import condition_of
from monitord.detection.detector import Detector, replay
from monitord.detection.explanations import assess
from monitord.model import Rule


def check_rule(rule: Rule) -> None:
    """Raise ConfigError, naming the rule and what was expected, when a rule can't be judged."""
    condition_of(rule)


__all__ = ["Detector", "assess", "check_rule", "replay"]
