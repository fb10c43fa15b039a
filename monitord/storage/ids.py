"""Names for incidents: short enough to type, never to be mistaken for a row's number."""

from __future__ import annotations

import secrets

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET = _LETTERS + "234567"
LENGTH = 12
_SHORT_LENGTH = 8  # 39 bits: among 10,000 incidents two begin alike once in ten thousand stores


def new_correlation_id() -> str:
    """Draw 12 random characters of [a-z2-7], the first one a letter (59 bits)."""
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH - 1))


def is_id_prefix(text: str) -> bool:
    """Whether `text` can be the beginning of a correlation id."""
    return 0 < len(text) <= LENGTH and text[0] in _LETTERS and all(c in _ALPHABET for c in text)


def short_id(correlation_id: str) -> str:
    """What an incident is called wherever people read: the beginning of its id, which every command takes."""
    return correlation_id[:_SHORT_LENGTH]
