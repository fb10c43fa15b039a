"""Rules: where each stands, what it made, and what others would have made of the past."""

from __future__ import annotations

from typing import Any

from monitord.actions import rule_saving, rule_texts, rule_trial, rules
from monitord.errors import ConfigError, UsageError
from monitord.model import Rule
from monitord.web.question import Question

LONGEST_RULES = 3_000  # they stand in the address of the question


def board(asked: Question) -> dict[str, Any]:
    """Put each rule beside how it stands and what it made in a period; `lines` are what a file would say."""
    asked.only("since", "until")
    found = rules.board(asked.workspace, *asked.period())
    return {
        "rules": [{**one.as_json(), "lines": _lines(one.rule)} for one in found],
        "file": str(rule_texts.rules_file(asked.workspace)),
    }


def _lines(rule: Rule | None) -> list[str] | None:
    return None if rule is None else rule_texts.rule_text(rule).splitlines()


def trial(asked: Question) -> dict[str, Any]:
    """Try rules on stored history; nothing is saved."""
    asked.only("rules", "since", "until")
    text = asked.query.get("rules", "")
    if len(text) > LONGEST_RULES:
        raise UsageError(
            f"invalid rules: {len(text):,} characters, expected {LONGEST_RULES:,} at most;"
            " try `monitord rules test FILE`"
        )
    try:
        return rule_trial.try_rules(asked.workspace, text, *asked.period()).as_json()
    except ConfigError as error:  # of the question, not of the server's configuration
        raise UsageError(str(error)) from error


def save(asked: Question) -> dict[str, Any]:
    """Put rules into the configuration and have the recorder take them up."""
    asked.budget.spend()
    try:
        saved = rule_saving.save_rules(asked.workspace, asked.said("rules", LONGEST_RULES))
    except ConfigError as error:  # of what was typed, or of the file that it would stand in
        raise UsageError(str(error)) from error
    return {"rules": list(saved.names), "file": str(saved.file), "hint": saved.hint}
