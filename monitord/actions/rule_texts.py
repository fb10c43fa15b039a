"""A rule as the text of a configuration file, and the file that a new one is to be put into."""

from __future__ import annotations

import json
from pathlib import Path

from monitord.actions.workspace import Workspace
from monitord.model import Rule, Threshold


def rule_text(rule: Rule) -> str:
    """Write a rule as a `[[rules]]` table that `parse_rules` reads back."""
    defaults = Rule(rule.name, rule.metric)
    lines = ["[[rules]]", f"name = {_text(rule.name)}", f"metric = {_text(rule.metric.value)}"]
    clear = "clear_below" if rule.below is None else "clear_above"
    for key, threshold in (("above", rule.above), ("below", rule.below), (clear, rule.clear_level)):
        if threshold is not None:
            lines.append(f"{key} = {_amount(threshold)}")
    for key, name in _SETTINGS.items():
        value = getattr(rule, name)
        if value != getattr(defaults, name) or key == "window_s":
            lines.append(f"{key} = {_text(value) if isinstance(value, str | bool) else f'{value:g}'}")
    matched = {name: getattr(rule.match, name) for name in ("names", "users", "units", "pids", "not_names")}
    if any(matched.values()):
        lines += [
            "[rules.match]",
            *(f"{name} = {_text(list(held))}" for name, held in matched.items() if held),
        ]
    return "\n".join(lines) + "\n"


_SETTINGS = {
    "times_baseline": "times_baseline", "baseline_alone": "baseline_alone", "window_s": "window_s",
    "min_share": "min_share", "cooldown_s": "cooldown_s", "escalation_factor": "escalation_factor",
    "captures_per_hour": "captures_per_hour", "profiler": "profiler", "enabled": "is_enabled",
}  # fmt: skip


def _text(value: object) -> str:
    """A text, a flag or a list of both as TOML writes it: as JSON does."""
    return json.dumps(value)


def _amount(threshold: Threshold) -> str:
    for unit, size, word in (("bytes", 1 << 20, "MiB"), ("bytes", 1, "B"), ("bytes_per_s", 1e6, "MB/s")):
        if threshold.unit == unit and threshold.value % size == 0:
            return f'"{threshold.value / size:.0f}{word}"'
    return f"{threshold.value:.15g}"


def rules_file(workspace: Workspace) -> Path:
    """Return the file that a new rule is to be put into, whether it exists or not."""
    from monitord.config import default_path

    sources = workspace.config().sources
    return workspace.config_path or (sources[-1] if sources else default_path())
