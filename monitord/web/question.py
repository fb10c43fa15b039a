"""What was asked over HTTP: names of the path, checked words of the query, the body's values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from monitord.actions.budget import Budget
from monitord.actions.lately import Lately
from monitord.actions.live_stacks import LiveStacks
from monitord.actions.times import parse_period
from monitord.actions.underway import CapturesUnderway
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.redaction import printable

_E = TypeVar("_E", bound=Enum)
_LONGEST_WORD = 256
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Question:
    """One request. An unknown word is an error, so that a typing mistake never widens an answer."""

    workspace: Workspace
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    captures: CapturesUnderway = field(default_factory=CapturesUnderway)
    budget: Budget = field(default_factory=Budget)
    allows_actions: bool = False
    own_box: LiveStacks | None = None
    lately: Lately = field(default_factory=Lately)

    @property
    def id(self) -> str:
        """The incident that the path names."""
        return self.path["id"]

    @property
    def live(self) -> LiveStacks:
        """The server's own black box."""
        if self.own_box is None:
            raise UsageError("invalid question: this server has no black box of its own")
        return self.own_box

    def only(self, *names: str) -> None:
        """Refuse a query that has other words."""
        unknown = sorted(set(self.query) - set(names))
        if unknown:
            expected = f"expected {', '.join(names)}" if names else "expected none"
            raise UsageError(f"invalid filter {_shown(unknown[0])}, {expected}")

    def text(self, name: str, most: int = _LONGEST_WORD) -> str | None:
        """A word of the query; None where it is absent or empty."""
        word = self.query.get(name, "").strip()
        if len(word) > most:
            raise UsageError(f"invalid {name}: expected at most {most} characters")
        return word or None

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """A whole number of the query."""
        word = self.text(name)
        if word is None:
            return default
        if not (word.isascii() and word.isdigit()) or len(word) > 18 or not low <= int(word) <= high:
            raise UsageError(f"invalid {name} {_shown(word)}, expected {low} to {high}")
        return int(word)

    def flag(self, name: str) -> bool | None:
        """Yes or no, or None where nothing was said."""
        word = self.text(name)
        if word not in (None, "1", "0"):
            raise UsageError(f"invalid {name} {_shown(word)}, expected 1 or 0")
        return None if word is None else word == "1"

    def choice(self, name: str, members: type[_E]) -> _E | None:
        """A member of an enumeration by its value."""
        word = self.text(name)
        if word is None:
            return None
        known = {str(one.value): one for one in members}
        if word not in known:
            raise UsageError(f"invalid {name} {_shown(word)}, expected one of {', '.join(known)}")
        return known[word]

    def one_of(self, name: str, words: Collection[str], default: str) -> str:
        """A word of a list."""
        word = self.text(name) or default
        if word not in words:
            raise UsageError(f"invalid {name} {_shown(word)}, expected one of {', '.join(words)}")
        return word

    def period(self, since: str = "since", until: str = "until") -> tuple[datetime | None, datetime | None]:
        """Both ends of a period, in the words that the command line takes, or ISO-8601."""
        return parse_period(self.text(since), self.text(until), datetime.now(UTC))

    def said(self, name: str, most: int = _LONGEST_WORD) -> str:
        """A text of the body; raises UsageError without one."""
        held = self.body.get(name)
        if not isinstance(held, str) or not held.strip() or len(held) > most:
            raise UsageError(f"invalid {name}: expected a text of at most {most} characters")
        return held.strip()

    def said_flag(self, name: str) -> bool:
        """A yes or no of the body; no where nothing was said."""
        held = self.body.get(name, False)
        if not isinstance(held, bool):
            raise UsageError(f"invalid {name}: expected true or false")
        return held


def _shown(word: object) -> str:
    return repr(printable(str(word))[:_SHOWN])


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is a text, shown as one."""

    body: str | bytes
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that is a file."""

    body: bytes
    media_type: str
    file_name: str
