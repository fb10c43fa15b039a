"""Questions to a fleet for engines past one machine: answered by Spark, or printed for an engine's client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.actions.fleet import Asked, answered, opened, tell_of_unknown_rule
from monitord.actions.workspace import Workspace
from monitord.analytics.tables import TABLES
from monitord.errors import UsageError
from monitord.fleet.asking import bound, pattern
from monitord.fleet.engines import DIALECTS, address, ask_spark, script
from monitord.fleet.questions import QUESTIONS, RULES, Question

_BY_OPTION = frozenset({"since", "until", "host", "limit"})
_DEFAULTS: Mapping[str, Any] = {"window_s": 300, "hosts": 2, "factor": 1.1, "pinned": False}
_NEEDED = frozenset({"version"})


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows by column, as the engine gave them."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def is_question(word: str) -> bool:
    """Whether a word is the name of one of our questions, and not SQL."""
    return any(word == question.name for question in QUESTIONS)


def ask_here(workspace: Workspace, asked: Asked, words: Sequence[str]) -> Answered:
    """Have DuckDB answer one of our questions by its name and NAME=VALUE."""
    question, values = _named(asked, words)
    given = {name: value for name, value in values.items() if name not in ("since", "until")}
    found = answered(workspace, question, asked, **given)
    return Answered(found.columns, [tuple(row.values()) for row in found.rows])


def ask_elsewhere(workspace: Workspace, asked: Asked, words: Sequence[str]) -> Answered:
    """Have Spark answer SQL, or one of our questions by its name and NAME=VALUE."""
    url = address(_place(workspace, asked), "spark")
    if is_question(words[0]):
        question, values = _named(asked, words)
        found = Answered(*ask_spark(url, question.sql, question.tables, values))
        if values.get("rule") and not found.rows:
            rules, asked_of = _named(asked, (RULES.name,))
            known = ask_spark(url, rules.sql, rules.tables, asked_of)[1]
            tell_of_unknown_rule(workspace, values["rule"], [str(row[0]) for row in known])
        return found
    refuse_values(words)
    named = tuple(table.name for table in TABLES if table.name in words[0].lower())
    columns, rows = ask_spark(url, words[0], named, {}, most_rows=asked.limit)
    return Answered(columns, rows)


def printed(workspace: Workspace, asked: Asked, words: Sequence[str], engine: str) -> str:
    """Return what the engine's own client has to run: the bucket's tables, then the question."""
    if not is_question(words[0]):
        known = ", ".join(question.name for question in QUESTIONS)
        raise UsageError(f"invalid question {words[0][:40]!r}, expected one of {known}")
    question, values = _named(asked, words)
    tables = [table for table in TABLES if table.name in question.tables]
    return script(address(_place(workspace, asked), engine), question.sql, tables, values, DIALECTS[engine])


def named_values(question: Question, words: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE for a question's parameters that no option gives; others stand for any."""
    free = question.parameters - _BY_OPTION
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in free:
            expected = ", ".join(f"{each}=…" for each in sorted(free)) or "none"
            raise UsageError(f"invalid value {word[:40]!r} of {question.name}, expected {expected}")
        given[name] = value
    missing = sorted((free & _NEEDED) - given.keys())
    if missing:
        raise UsageError(f"invalid call: {question.name} needs {missing[0]}=…")
    return {name: _value(question, name, given.get(name)) for name in free}


def _named(asked: Asked, words: Sequence[str]) -> tuple[Question, dict[str, Any]]:
    question = next(each for each in QUESTIONS if each.name == words[0])
    scope = bound(asked.scope)
    host = scope.host
    given = {
        "since": scope.since,
        "until": scope.until,
        "host": pattern(host, is_whole=True) if _is_pattern(question, "host") else host,
        "limit": asked.limit,
        **named_values(question, words[1:]),
    }
    return question, {name: given[name] for name in question.parameters}


def _value(question: Question, name: str, word: str | None) -> Any:
    default = _DEFAULTS.get(name, "")
    if word is None:
        return default
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[word]
        if isinstance(default, int | float):
            return type(default)(word)
    except (KeyError, ValueError):
        raise UsageError(f"invalid {name} {word[:40]!r}, expected something like {default}") from None
    return pattern(word) if _is_pattern(question, name) else word


def _is_pattern(question: Question, name: str) -> bool:
    return re.search(rf"like \${name}\b", question.sql) is not None


def refuse_values(words: Sequence[str]) -> None:
    """Raise UsageError for words behind SQL: somebody forgot the quotes."""
    if len(words) > 1:
        raise UsageError(f"invalid call: SQL takes no values, got {words[1][:40]!r}; put the SQL in quotes")


def _place(workspace: Workspace, asked: Asked) -> Any:
    with opened(workspace, asked.url) as bucket:  # as every question: what can't be right is said alike
        return bucket.url
