"""What leaves: redacted, escaped, capped. Every answer passes here, and nothing passes it by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monitord.actions.identities import identities
from monitord.redaction import Redactor, SecondScan, printable

TEXT_LIMIT = 400
ANSWER_LIMIT_BYTES = 48_000
# Our own words and ids: redacting them would make them useless and tells nothing about anybody.
_OWN = frozenset(
    {"id", "correlation_id", "profile_id", "captured_at", "raised_at", "crossed_at", "taken_at", "started_at"}
    | {"func_id", "stmt_id", "func_hash", "ast_node_id", "event_type", "status", "metric", "trigger_metric"}
    | {"last_at", "first_at", "began_at", "ended_at", "last_incident", "last_incident_at", "checksum"}
    | {"host_id"}  # by which a fleet is asked; a pseudonym where that is wanted (docs/fleet.md)
)


def fence_of(*, raw: bool) -> Fence:
    """Return the fence that knows this machine's names; a `raw` one redacts nothing."""
    known = identities()
    redactor = Redactor(users=known.users, hosts=known.hosts, machine_ids=known.machine_ids)
    return Fence(None if raw else redactor)


class Fence:
    """One for each server: the same user or host has the same stand-in in all of its answers."""

    def __init__(self, redactor: Redactor | None) -> None:
        """With None nothing is redacted (`--raw`); it is escaped and capped all the same."""
        self._redactor = redactor

    def value(self, value: Any) -> Any:
        """Plain data, fit to leave."""
        return self._walk(value, own=False)

    def text(self, text: str) -> str:
        """One text, fit to leave."""
        return str(self._walk(text, own=False))

    def _walk(self, value: Any, *, own: bool) -> Any:
        if isinstance(value, str):
            return self._shown(value, own=own)
        if isinstance(value, Mapping):
            return {
                self._shown(str(name), own=True): self._walk(
                    self._words(name, held), own=name in _OWN or name == "source_line"
                )
                for name, held in value.items()
            }
        if isinstance(value, Sequence):
            return [self._walk(held, own=own) for held in value]
        return value if isinstance(value, int | float | bool) or value is None else printable(str(value))

    def _words(self, name: str, value: Any) -> Any:
        """A command line is redacted as one, its options and values together, a source line as code."""
        if self._redactor is None:
            return value
        if name == "command_line" and isinstance(value, list | tuple):
            return SecondScan().words(self._redactor.words(value))
        return self._redactor.source(value) if name == "source_line" and isinstance(value, str) else value

    def _shown(self, text: str, *, own: bool) -> str:
        safe = text if own or self._redactor is None else SecondScan().text(self._redactor.text(text))
        shown = printable(safe)
        return shown if len(shown) <= TEXT_LIMIT else f"{shown[:TEXT_LIMIT]}…"

    def whole(self, value: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """One thing, its longest lists halved until it fits into an answer, and whether that was needed."""
        safe = dict(self.value(value))
        is_cut = False
        while len(json.dumps(safe)) > ANSWER_LIMIT_BYTES:
            lists = [name for name, held in safe.items() if isinstance(held, list) and held]
            name = max(lists or safe, key=lambda each: len(json.dumps(safe[each])))
            safe[name] = safe[name][: len(safe[name]) // 2] if lists else None
            is_cut = True
        return safe, is_cut

    def rows(self, rows: Sequence[Any]) -> tuple[list[dict[str, Any]], bool]:
        """As many rows as an answer may hold, and whether some were left out."""
        kept: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            safe = self.value(row)
            size += len(json.dumps(safe))
            if size > ANSWER_LIMIT_BYTES:
                return kept, True
            kept.append(safe)
        return kept, False
